package xmpps2s

import (
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// world is a network of a test's own, in memory: DNS by maps, connections with buffers, and every fault a test wants.
// All of it is made of channels and sync.Cond, so that it works in a bubble.
type world struct {
	mu        sync.Mutex
	srv       map[string][]*net.SRV    // "_xmpp-server._tcp.gmail.com"
	hosts     map[string][]netip.Addr  // names and their addresses
	dnsErr    map[string]error         // by name
	listeners map[string]*testListener // "192.0.2.1:5269"
	dropped   map[string]bool          // connecting to it times out
	dials     []string                 // every address dialled, in order
	lookups   []string
}

func newWorld() *world {
	return &world{srv: map[string][]*net.SRV{}, hosts: map[string][]netip.Addr{}, dnsErr: map[string]error{},
		listeners: map[string]*testListener{}, dropped: map[string]bool{}}
}

// host is one host's view: its own address.
type host struct {
	w    *world
	addr netip.Addr
	port uint16
}

func (w *world) host(addr string) *host { return &host{w: w, addr: netip.MustParseAddr(addr)} }

func (h *host) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	h.w.mu.Lock()
	h.w.dials = append(h.w.dials, address)
	l, dropped := h.w.listeners[address], h.w.dropped[address]
	h.port++
	local := netip.AddrPortFrom(h.addr, 40000+h.port)
	h.w.mu.Unlock()
	if dropped {
		<-ctx.Done()
		return nil, &net.OpError{Op: "dial", Net: network, Err: os.ErrDeadlineExceeded}
	}
	select {
	case <-time.After(10 * time.Millisecond):
	case <-ctx.Done():
		return nil, &net.OpError{Op: "dial", Net: network, Err: ctx.Err()}
	}
	if l == nil {
		return nil, &net.OpError{Op: "dial", Net: network, Err: os.NewSyscallError("connect", syscall.ECONNREFUSED)}
	}
	ours, theirs := newTestPipe(local.String(), address)
	select {
	case l.conns <- theirs:
		return ours, nil
	case <-l.closed:
		return nil, &net.OpError{Op: "dial", Net: network, Err: os.NewSyscallError("connect", syscall.ECONNREFUSED)}
	}
}

func (h *host) Listen(_ context.Context, _, address string) (net.Listener, error) {
	if strings.HasPrefix(address, ":") {
		address = h.addr.String() + address
	}
	l := &testListener{w: h.w, addr: address, conns: make(chan net.Conn, 1024), closed: make(chan struct{})}
	h.w.mu.Lock()
	defer h.w.mu.Unlock()
	if h.w.listeners[address] != nil {
		return nil, &net.OpError{Op: "listen", Err: syscall.EADDRINUSE}
	}
	h.w.listeners[address] = l
	return l, nil
}

func (h *host) LookupNetIP(_ context.Context, _, name string) ([]netip.Addr, error) {
	h.w.mu.Lock()
	defer h.w.mu.Unlock()
	h.w.lookups = append(h.w.lookups, name)
	if err := h.w.dnsErr[name]; err != nil {
		return nil, err
	}
	if a := h.w.hosts[name]; len(a) > 0 {
		return a, nil
	}
	return nil, &net.DNSError{Err: "no such host", Name: name, IsNotFound: true}
}

func (h *host) LookupSRV(_ context.Context, service, proto, name string) (string, []*net.SRV, error) {
	h.w.mu.Lock()
	defer h.w.mu.Unlock()
	full := "_" + service + "._" + proto + "." + name
	h.w.lookups = append(h.w.lookups, full)
	if err := h.w.dnsErr[full]; err != nil {
		return "", nil, err
	}
	if r := h.w.srv[full]; len(r) > 0 {
		return full, r, nil
	}
	return "", nil, &net.DNSError{Err: "no such host", Name: full, IsNotFound: true}
}

// dialled is what was dialled so far.
// drop lets connections to an address time out, or no longer.
func (w *world) drop(address string, yes bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.dropped[address] = yes
}

func (w *world) dialled() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return append([]string(nil), w.dials...)
}

type testListener struct {
	w      *world
	addr   string
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func (l *testListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *testListener) Close() error {
	l.once.Do(func() {
		close(l.closed)
		l.w.mu.Lock()
		delete(l.w.listeners, l.addr)
		l.w.mu.Unlock()
	})
	return nil
}

func (l *testListener) Addr() net.Addr { return testAddr(l.addr) }

type testAddr string

func (testAddr) Network() string  { return "tcp" }
func (a testAddr) String() string { return string(a) }

// testConn is one end of a connection with a buffer in each direction.
type testConn struct {
	local, remote testAddr
	in, out       *testBuffer
}

func newTestPipe(client, server string) (*testConn, *testConn) {
	a, b := newTestBuffer(), newTestBuffer()
	return &testConn{testAddr(client), testAddr(server), a, b}, &testConn{testAddr(server), testAddr(client), b, a}
}

func (c *testConn) Read(p []byte) (int, error)  { return c.in.read(p) }
func (c *testConn) Write(p []byte) (int, error) { return c.out.write(p) }
func (c *testConn) CloseWrite() error           { c.out.finish(io.EOF, false); return nil }
func (c *testConn) Close() error {
	c.out.finish(io.EOF, false)
	c.in.finish(net.ErrClosed, true)
	return nil
}

// Unacknowledged is what vanished: whatever else was written has arrived.
func (c *testConn) Unacknowledged() (int, error) {
	c.out.mu.Lock()
	defer c.out.mu.Unlock()
	if c.in.isBroken() || c.out.broken {
		return 0, net.ErrClosed
	}
	return c.out.vanished, nil
}

// cut lets everything vanish that the other end writes from now on.
func (c *testConn) cut() {
	c.in.mu.Lock()
	defer c.in.mu.Unlock()
	c.in.cut = true
}

func (b *testBuffer) isBroken() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.broken
}

func (c *testConn) LocalAddr() net.Addr                { return c.local }
func (c *testConn) RemoteAddr() net.Addr               { return c.remote }
func (c *testConn) SetReadDeadline(t time.Time) error  { c.in.deadline(t, false); return nil }
func (c *testConn) SetWriteDeadline(t time.Time) error { c.out.deadline(t, true); return nil }
func (c *testConn) SetDeadline(t time.Time) error {
	return errors.Join(c.SetReadDeadline(t), c.SetWriteDeadline(t))
}

// testBuffer is one direction of a connection, 64 KiB deep.
type testBuffer struct {
	mu           sync.Mutex
	cond         *sync.Cond
	data         []byte
	end          error // set once: no more data comes
	broken       bool  // the reader has closed: writes fail
	cut          bool  // what is written vanishes and is never acknowledged
	vanished     int
	rAt, wAt     time.Time
	rStop, wStop *time.Timer
}

const testBufferSize = 64 << 10

func newTestBuffer() *testBuffer {
	b := &testBuffer{}
	b.cond = sync.NewCond(&b.mu)
	return b
}

func (b *testBuffer) deadline(t time.Time, write bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	at, stop := &b.rAt, &b.rStop
	if write {
		at, stop = &b.wAt, &b.wStop
	}
	*at = t
	if *stop != nil {
		(*stop).Stop()
		*stop = nil
	}
	if !t.IsZero() {
		*stop = time.AfterFunc(time.Until(t), func() {
			b.mu.Lock() // so that nobody is between looking at the clock and waiting
			defer b.mu.Unlock()
			b.cond.Broadcast()
		})
	}
	b.cond.Broadcast()
}

func past(t time.Time) bool { return !t.IsZero() && !time.Now().Before(t) }

func (b *testBuffer) read(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for {
		switch {
		case b.broken:
			return 0, net.ErrClosed
		case past(b.rAt): // even if there is something to read, as package net has it
			return 0, &net.OpError{Op: "read", Err: os.ErrDeadlineExceeded}
		case len(b.data) > 0:
			n := copy(p, b.data)
			b.data = b.data[n:]
			b.cond.Broadcast()
			return n, nil
		case b.end != nil:
			return 0, b.end
		}
		b.cond.Wait()
	}
}

func (b *testBuffer) write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	written := 0
	for written < len(p) {
		switch {
		case b.end != nil:
			return written, net.ErrClosed
		case b.broken:
			return written, &net.OpError{Op: "write", Err: os.NewSyscallError("write", syscall.EPIPE)}
		case past(b.wAt):
			return written, &net.OpError{Op: "write", Err: os.ErrDeadlineExceeded}
		case len(b.data) == testBufferSize:
			b.cond.Wait()
			continue
		}
		n := min(len(p)-written, testBufferSize-len(b.data))
		if b.cut {
			b.vanished += n
			written += n
			continue
		}
		b.data = append(b.data, p[written:written+n]...)
		written += n
		b.cond.Broadcast()
	}
	return written, nil
}

func (b *testBuffer) finish(err error, reader bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if reader {
		b.broken = true
	} else if b.end == nil {
		b.end = err
	}
	b.cond.Broadcast()
}

// peer is a server of a test: it reads and writes bytes, and knows nothing of XMPP but what the test says.
type peer struct {
	t    *testing.T
	conn net.Conn
	buf  strings.Builder
	name string
}

// expect reads until text stands in what was not yet expected, and returns what stood before it and the text.
func (p *peer) expect(text string) string {
	p.t.Helper()
	p.conn.SetReadDeadline(time.Now().Add(2 * time.Hour))
	var b [4096]byte
	for {
		if before, after, ok := strings.Cut(p.buf.String(), text); ok {
			p.buf.Reset()
			p.buf.WriteString(after)
			return before + text
		}
		n, err := p.conn.Read(b[:])
		p.buf.Write(b[:n])
		if err != nil && n == 0 {
			p.t.Fatalf("%s: waiting for %q: %v; got %q", p.name, text, err, p.buf.String())
		}
	}
}

// end reads until the connection ends and returns what came.
func (p *peer) end() string {
	p.t.Helper()
	p.conn.SetReadDeadline(time.Now().Add(2 * time.Hour))
	var b [4096]byte
	for {
		n, err := p.conn.Read(b[:])
		p.buf.Write(b[:n])
		if errors.Is(err, io.EOF) {
			return p.buf.String()
		}
		if err != nil {
			p.t.Fatalf("%s: waiting for the end: %v; got %q", p.name, err, p.buf.String())
		}
	}
}

// quiet fails if anything but what was expected comes within d.
func (p *peer) quiet(d time.Duration) {
	p.t.Helper()
	p.conn.SetReadDeadline(time.Now().Add(d))
	var b [4096]byte
	n, err := p.conn.Read(b[:])
	p.buf.Write(b[:n])
	if p.buf.Len() > 0 {
		p.t.Fatalf("%s: expected silence, got %q", p.name, p.buf.String())
	}
	if !isTimeout(err) {
		p.t.Fatalf("%s: expected silence, got %v", p.name, err)
	}
}

func (p *peer) send(text string) {
	p.t.Helper()
	if _, err := p.conn.Write([]byte(text)); err != nil {
		p.t.Fatalf("%s: sending %q: %v", p.name, text, err)
	}
}
