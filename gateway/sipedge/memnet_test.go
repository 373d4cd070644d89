package sipedge

import (
	"context"
	"io"
	"net"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"sync"
	"syscall"
	"time"
)

// memnet is a network in memory: hosts listen by name or by address, connections have unbounded buffers. It blocks only on sync.Cond
// made in the bubble, so that virtual time passes.
type memnet struct {
	mu        sync.Mutex
	listeners map[string]*memListener // "host:port"
	dead      map[string]bool         // dialled, and never answers
	port      uint16
	addresses map[string][]netip.Addr // of names; one that is not here gets one
	records   map[string][]*net.SRV   // by name
	failing   bool                    // DNS answers that it cannot
}

func newMemnet() *memnet {
	return &memnet{
		listeners: make(map[string]*memListener), dead: make(map[string]bool), port: 40000,
		addresses: make(map[string][]netip.Addr), records: make(map[string][]*net.SRV),
	}
}

// place is where an address leads: a name's, where one has it that listens under its name.
func (n *memnet) place(address string) string {
	at, err := netip.ParseAddrPort(address)
	if err != nil || n.listeners[address] != nil {
		return address
	}
	for name, all := range n.addresses {
		if by := net.JoinHostPort(name, strconv.Itoa(int(at.Port()))); slices.Contains(all, at.Addr()) && (n.listeners[by] != nil || n.dead[by]) {
			return by
		}
	}
	return address
}

// host is one machine's view.
type memhost struct {
	*memnet
	name string
}

func (h memhost) DialContext(ctx context.Context, _, address string) (net.Conn, error) {
	h.mu.Lock()
	address = h.place(address)
	l, dead := h.listeners[address], h.dead[address]
	h.port++
	port := h.port
	h.mu.Unlock()
	if dead {
		<-ctx.Done()
		return nil, &net.OpError{Op: "dial", Net: "tcp", Err: os.ErrDeadlineExceeded}
	}
	if l == nil {
		return nil, &net.OpError{Op: "dial", Net: "tcp", Err: os.NewSyscallError("connect", syscall.ECONNREFUSED)}
	}
	a, b := newHalf(), newHalf()
	from, to := memAddr(h.name+":"+strconv.Itoa(int(port))), memAddr(address)
	client, server := &memConn{in: a, out: b, local: from, remote: to}, &memConn{in: b, out: a, local: to, remote: from}
	select {
	case l.conns <- server:
		return client, nil
	case <-l.done:
		return nil, &net.OpError{Op: "dial", Net: "tcp", Err: os.NewSyscallError("connect", syscall.ECONNREFUSED)}
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (h memhost) Listen(_ context.Context, _, address string) (net.Listener, error) {
	_, port, _ := net.SplitHostPort(address)
	name := h.name + ":" + port
	l := &memListener{addr: memAddr(name), conns: make(chan net.Conn), done: make(chan struct{}), net: h.memnet}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.listeners[name] != nil {
		return nil, &net.OpError{Op: "listen", Net: "tcp", Err: os.NewSyscallError("bind", syscall.EADDRINUSE)}
	}
	h.listeners[name] = l
	return l, nil
}

func (h memhost) LookupNetIP(_ context.Context, _, name string) ([]netip.Addr, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	all, known := h.addresses[name]
	if !known {
		all = []netip.Addr{netip.AddrFrom4([4]byte{10, 11, 12, byte(100 + len(h.addresses))})}
		h.addresses[name] = all
	}
	if len(all) == 0 {
		return nil, &net.DNSError{Err: "no such host", Name: name, IsNotFound: true}
	}
	return all, nil
}

func (h memhost) LookupSRV(_ context.Context, service, proto, name string) (string, []*net.SRV, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	name = "_" + service + "._" + proto + "." + name
	records := h.records[name]
	switch {
	case h.failing:
		return "", nil, &net.DNSError{Err: "server misbehaving", Name: name, IsTemporary: true}
	case len(records) == 0:
		return "", nil, &net.DNSError{Err: "no such host", Name: name, IsNotFound: true}
	}
	return name, records, nil
}

type memAddr string

func (memAddr) Network() string  { return "tcp" }
func (a memAddr) String() string { return string(a) }

type memListener struct {
	addr  memAddr
	conns chan net.Conn
	done  chan struct{}
	once  sync.Once
	net   *memnet
}

func (l *memListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}

func (l *memListener) Close() error {
	l.once.Do(func() {
		close(l.done)
		l.net.mu.Lock()
		delete(l.net.listeners, string(l.addr))
		l.net.mu.Unlock()
	})
	return nil
}

func (l *memListener) Addr() net.Addr { return l.addr }

// memHalf is one direction of a connection.
type memHalf struct {
	mu       sync.Mutex
	cond     *sync.Cond
	data     []byte
	closed   bool
	deadline time.Time
	timer    *time.Timer
}

func newHalf() *memHalf {
	h := &memHalf{}
	h.cond = sync.NewCond(&h.mu)
	return h
}

func (h *memHalf) close() {
	h.mu.Lock()
	h.closed = true
	if h.timer != nil {
		h.timer.Stop()
	}
	h.mu.Unlock()
	h.cond.Broadcast()
}

type memConn struct {
	in, out       *memHalf
	local, remote memAddr
	mu            sync.Mutex
	shut          bool
}

func (c *memConn) isShut() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.shut
}

func (c *memConn) Read(b []byte) (int, error) {
	h := c.in
	h.mu.Lock()
	defer h.mu.Unlock()
	for {
		switch {
		case c.isShut():
			return 0, net.ErrClosed
		case len(h.data) > 0:
			n := copy(b, h.data)
			h.data = h.data[n:]
			return n, nil
		case h.closed:
			return 0, io.EOF
		case !h.deadline.IsZero() && !time.Now().Before(h.deadline):
			return 0, os.ErrDeadlineExceeded
		}
		h.cond.Wait()
	}
}

func (c *memConn) Write(b []byte) (int, error) {
	h := c.out
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed || c.isShut() {
		return 0, &net.OpError{Op: "write", Net: "tcp", Err: os.NewSyscallError("write", syscall.EPIPE)}
	}
	h.data = append(h.data, b...)
	h.cond.Broadcast()
	return len(b), nil
}

func (c *memConn) Close() error {
	c.mu.Lock()
	c.shut = true
	c.mu.Unlock()
	c.in.close()
	c.out.close()
	return nil
}

func (c *memConn) SetReadDeadline(t time.Time) error {
	h := c.in
	h.mu.Lock()
	defer h.mu.Unlock()
	h.deadline = t
	if h.timer != nil {
		h.timer.Stop()
	}
	if !t.IsZero() && !h.closed {
		h.timer = time.AfterFunc(time.Until(t), h.cond.Broadcast)
	}
	h.cond.Broadcast()
	return nil
}

func (c *memConn) SetDeadline(t time.Time) error    { return c.SetReadDeadline(t) }
func (c *memConn) SetWriteDeadline(time.Time) error { return nil }
func (c *memConn) LocalAddr() net.Addr              { return c.local }
func (c *memConn) RemoteAddr() net.Addr             { return c.remote }
