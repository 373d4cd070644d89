package vnet

import (
	"net"
	"net/netip"
	"os"
	"slices"
	"sync"
	"time"
)

// backlog is how many connections wait to be accepted, or for the end of their handshake, at most; further attempts are
// dropped, and their clients try again.
const backlog = 4096

// Listener listens for TCP connections on one host. It is a net.Listener with the errors of *net.TCPListener.
type Listener struct {
	node     *node
	owner    string
	network  string
	bound    []netip.AddrPort
	waiting  []*tcb // established
	opening  int    // in SYN_RECEIVED
	closed   bool
	cond     sync.Cond
	accept   deadline
	announce net.Addr
}

// input takes a SYN.
func (l *Listener) input(p *packet) {
	if len(l.waiting)+l.opening >= backlog {
		return
	}
	c := l.node.newTCB(l.owner, p.dst, p.src)
	c.listener = l
	l.opening++
	c.takeOptions(p)
	c.wnd, c.wl1, c.wl2 = uint32(p.wnd), p.seq, c.iss
	c.state = stateSynReceived
	c.sendSyn()
}

// complete is called when a connection is established.
func (l *Listener) complete(c *tcb) {
	l.opening--
	l.waiting = append(l.waiting, c)
	l.cond.Broadcast()
}

// lose is called when a connection ends that nobody has accepted. One that was established stays in the queue: the program
// accepts it and then finds out.
func (l *Listener) lose(c *tcb) {
	if !slices.Contains(l.waiting, c) {
		l.opening--
		c.listener = nil
	}
}

// Accept waits for the next connection.
func (l *Listener) Accept() (net.Conn, error) {
	n := l.node.net
	n.lock()
	defer n.unlock()
	for {
		switch {
		case l.closed || n.closed:
			return nil, &net.OpError{Op: "accept", Net: l.network, Addr: l.announce, Err: net.ErrClosed}
		case l.accept.expired:
			return nil, &net.OpError{Op: "accept", Net: l.network, Addr: l.announce, Err: os.ErrDeadlineExceeded}
		case len(l.waiting) > 0:
			c := l.waiting[0]
			l.waiting[0] = nil
			l.waiting = l.waiting[1:]
			c.listener = nil
			return &TCPConn{c}, nil
		}
		n.wait(&l.cond)
	}
}

// SetDeadline sets when Accept fails with os.ErrDeadlineExceeded; the zero time means never.
func (l *Listener) SetDeadline(at time.Time) error {
	n := l.node.net
	n.lock()
	defer n.unlock()
	if l.closed || n.closed {
		return &net.OpError{Op: "set", Net: l.network, Addr: l.announce, Err: net.ErrClosed}
	}
	l.accept.set(n, at)
	l.cond.Broadcast()
	return nil
}

// Close stops listening. Connections that nobody has accepted are reset.
func (l *Listener) Close() error {
	n := l.node.net
	n.lock()
	defer n.unlock()
	if l.closed {
		return &net.OpError{Op: "close", Net: l.network, Addr: l.announce, Err: net.ErrClosed}
	}
	l.shut()
	return nil
}

func (l *Listener) shut() {
	l.closed = true
	for _, at := range l.bound {
		if l.node.listeners[at] == l {
			delete(l.node.listeners, at)
		}
	}
	for _, c := range l.node.sortedConns() {
		if c.listener == l {
			c.listener = nil
			c.reset()
		}
	}
	l.waiting = nil
	l.accept.timer.stop()
	l.cond.Broadcast()
}

// Addr returns a *net.TCPAddr.
func (l *Listener) Addr() net.Addr { return l.announce }
