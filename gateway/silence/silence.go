// Package silence remembers after how long a silence connections broke.
//
// A firewall or a translator that forgets a connection on which nothing passes says so to nobody: the next byte, or the next keep-alive
// probe, gets no answer or a reset. One such end says nothing, for machines crash and cables are pulled; several after the same silence,
// while none survives a longer one, say all. Package gateway puts a [Network] around the network of each of its sides and shows its
// [Network.Breaks] in its status, for people and for the doctor. Nothing in the protocols above has to take part.
//
// What it keeps is bounded, however many peers there are, and it forgets by itself what was refuted: a break counts until a connection
// with the same peer has lived through as long a silence.
package silence

import (
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"slices"
	"sync"
	"syscall"
	"time"

	"fedlab/internal/network"
)

// Shortest is the silence from which on a break is remembered. What breaks while it is in use did not break for want of use.
const Shortest = time.Minute

const (
	kept   = 64               // breaks that are remembered, of all peers together
	prompt = 10 * time.Second // what is written is acknowledged or reset within this time, or will not be
)

// The ways in which a connection breaks.
const (
	Reset          = "reset"
	TimedOut       = "timed out"            // keep-alive probes were not answered
	Unacknowledged = "nothing acknowledged" // what was written was not, and we gave up
)

// Break is a connection that stood, was silent, and was then found to be broken.
type Break struct {
	At      time.Time
	Peer    netip.Addr
	Dialled bool          // by us
	Silence time.Duration // for how long nothing had passed in either direction, until the end or until the first byte that was lost
	How     string        // Reset, TimedOut or Unacknowledged
}

// Network is a network whose connections are watched. It is safe for concurrent use.
type Network struct {
	network.Network

	mu     sync.Mutex
	breaks []Break // oldest first
}

// Watch returns n with its connections watched.
func Watch(n network.Network) *Network { return &Network{Network: n} }

// Breaks are those that nothing has refuted, oldest first.
func (n *Network) Breaks() []Break {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.Clone(n.breaks)
}

// DialContext connects as the network below does.
func (n *Network) DialContext(ctx context.Context, name, address string) (net.Conn, error) {
	c, err := n.Network.DialContext(ctx, name, address)
	if err != nil {
		return nil, err
	}
	return n.watch(c, true), nil
}

// Listen listens as the network below does.
func (n *Network) Listen(ctx context.Context, name, address string) (net.Listener, error) {
	l, err := n.Network.Listen(ctx, name, address)
	if err != nil {
		return nil, err
	}
	return listener{l, n}, nil
}

type listener struct {
	net.Listener
	n *Network
}

func (l listener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return l.n.watch(c, false), nil
}

func (n *Network) watch(c net.Conn, dialled bool) net.Conn {
	peer, err := netip.ParseAddrPort(c.RemoteAddr().String())
	if err != nil {
		return c // not of the Internet
	}
	return &conn{Conn: c, n: n, peer: peer.Addr().Unmap(), dialled: dialled, last: time.Now()}
}

func (n *Network) broke(b Break) {
	if b.Silence < Shortest {
		return
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if len(n.breaks) == kept {
		n.breaks = slices.Delete(n.breaks, 0, 1)
	}
	n.breaks = append(n.breaks, b)
}

// survived forgets the breaks that a connection refutes which has lived through a silence.
func (n *Network) survived(peer netip.Addr, silence time.Duration) {
	if silence < Shortest {
		return
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.breaks = slices.DeleteFunc(n.breaks, func(b Break) bool { return b.Peer == peer && b.Silence <= silence })
}

// conn is a connection that is watched.
type conn struct {
	net.Conn
	n       *Network
	peer    netip.Addr
	dialled bool

	mu    sync.Mutex
	last  time.Time     // when something was last read or written
	pause time.Duration // the longest silence of which it is not known that the connection survived it, ended by what was written at wrote
	wrote time.Time
	over  bool
}

func (c *conn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	switch {
	case n > 0 || errors.Is(err, io.EOF):
		c.heard()
	case err != nil:
		c.failed(err)
	}
	return n, err
}

func (c *conn) Write(p []byte) (int, error) {
	c.spoke()
	n, err := c.Conn.Write(p)
	if err != nil {
		c.failed(err)
	}
	return n, err
}

// heard notes that something came: the connection has survived every silence so far.
func (c *conn) heard() {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := time.Now()
	c.n.survived(c.peer, max(c.pause, now.Sub(c.last)))
	c.last, c.pause = now, 0
}

// spoke notes that something is written. It may be what shows that the connection is broken.
func (c *conn) spoke() {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := time.Now()
	if pause := now.Sub(c.last); pause >= prompt {
		c.settle()
		if pause > c.pause {
			c.pause, c.wrote = pause, now
		}
	}
	c.last = now
}

// settle takes the last silence for survived if the other host has acknowledged what ended it. c.mu is held.
func (c *conn) settle() {
	if c.pause == 0 {
		return
	}
	if n, known := network.Unacknowledged(c.Conn); known && n == 0 {
		c.n.survived(c.peer, c.pause)
		c.pause = 0
	}
}

// failed notes how a connection broke.
//
// A reset comes at once, in answer to a byte after the silence or to a probe in the middle of it. A time-out comes from probes that were not
// answered: unacknowledged bytes would have been given up by us before TCP does.
func (c *conn) failed(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.over {
		return
	}
	silence := time.Since(c.last)
	switch {
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE), errors.Is(err, syscall.ECONNABORTED):
		if c.pause > 0 && time.Since(c.wrote) < prompt {
			silence = c.pause
		}
		c.breaks(Reset, silence)
	case errors.Is(err, syscall.ETIMEDOUT):
		c.breaks(TimedOut, silence)
	}
}

func (c *conn) breaks(how string, silence time.Duration) {
	c.over = true
	c.n.broke(Break{At: time.Now(), Peer: c.peer, Dialled: c.dialled, Silence: silence, How: how})
}

// Close closes the connection. Whoever gives it up while nothing is acknowledged any more has found it broken.
func (c *conn) Close() error {
	c.mu.Lock()
	if !c.over {
		c.settle()
		if n, known := network.Unacknowledged(c.Conn); known && n > 0 && c.pause > 0 && time.Since(c.wrote) >= prompt {
			c.breaks(Unacknowledged, c.pause)
		}
		c.over = true
	}
	c.mu.Unlock()
	return c.Conn.Close()
}

// CloseWrite closes the sending half.
func (c *conn) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return errors.ErrUnsupported
}

// Unacknowledged is what [network.Unacknowledged] asks.
func (c *conn) Unacknowledged() (int, error) {
	n, known := network.Unacknowledged(c.Conn)
	if !known {
		return 0, errors.ErrUnsupported
	}
	return n, nil
}
