// Package networktest is the contract of package network: what fits both the operating system and the virtual network is what
// the gateway may rely on. [Run] is called once for each implementation, with an [Env] that says how to bring it into each
// situation.
package networktest

import (
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"slices"
	"syscall"
	"testing"
	"time"

	"fedlab/internal/network"
)

// Env is an implementation to be tested: two ends that can reach each other, and the situations that a test cannot make by
// itself.
type Env struct {
	Client, Server network.PacketNetwork
	Address        string // of Server, without port
	Filtered       string // address:port from which no answer ever comes
	Unassigned     string // an address that is not Server's
	DNS            DNS
}

// DNS says what the client's resolver knows. The servers behind it have to be there.
type DNS struct {
	Host, SRV string     // a name with addresses; a domain with records for _xmpp-server._tcp
	Addr      netip.Addr // Host's
	Targets   []string   // the targets of SRV, by ascending priority
	Missing   string     // does not exist (NXDOMAIN)
	Empty     string     // exists without addresses
	Broken    string     // the server answers SERVFAIL
	Silent    string     // the server does not answer
}

// Run tests an implementation. in calls its argument with an environment made for one test: for the virtual network in a
// bubble, where time-outs cost nothing.
func Run(t *testing.T, in func(t *testing.T, test func(t *testing.T, e Env))) {
	for _, c := range []struct {
		name string
		run  func(*testing.T, Env)
	}{
		{"exchange", exchange}, {"refused", refused}, {"filtered", filtered}, {"cancel", cancelled}, {"already cancelled", alreadyCancelled},
		{"unread data resets", unreadResets}, {"linger 0 resets", lingerResets}, {"half close", halfClose},
		{"read deadline", readDeadline}, {"past deadline", pastDeadline}, {"write deadline", writeDeadline}, {"use after close", useAfterClose},
		{"close wakes reader", closeWakesReader}, {"closed listener", closedListener}, {"listener gone", listenerGone},
		{"unaccepted reset", unacceptedReset}, {"address in use", addressInUse}, {"foreign address", foreignAddress},
		{"bad addresses", badAddresses}, {"udp", udp}, {"udp refused", udpRefused},
		{"address literal", literal}, {"lookup", lookup}, {"srv", srv}, {"nxdomain", missing}, {"no data", empty}, {"servfail", broken},
		{"dns silent", silent}, {"dial by name", dialByName}, {"dial missing name", dialMissing},
	} {
		t.Run(c.name, func(t *testing.T) { in(t, c.run) })
	}
}

// is fails the test unless err is each of want, and none of the other errors that callers tell apart.
func is(t *testing.T, what string, err error, want ...error) {
	t.Helper()
	for _, w := range want {
		if !errors.Is(err, w) {
			t.Errorf("%s: %v (%T), which is not %v", what, err, err, w)
		}
	}
	for _, other := range []error{syscall.ECONNREFUSED, syscall.ECONNRESET, syscall.EPIPE, syscall.ETIMEDOUT, syscall.EHOSTUNREACH,
		os.ErrDeadlineExceeded, context.DeadlineExceeded, context.Canceled, net.ErrClosed, io.EOF} {
		if !slices.Contains(want, other) && errors.Is(err, other) {
			t.Errorf("%s: %v, which is %v as well", what, err, other)
		}
	}
}

// operation fails the test unless err is a *net.OpError of that operation and kind.
func operation(t *testing.T, err error, op string, timeout bool) {
	t.Helper()
	var oe *net.OpError
	if !errors.As(err, &oe) || oe.Op != op {
		t.Errorf("%v (%T) is not a *net.OpError of %s", err, err, op)
		return
	}
	if oe.Timeout() != timeout {
		t.Errorf("%v: Timeout() is %v", err, oe.Timeout())
	}
}

func (e Env) listen(t *testing.T) net.Listener {
	t.Helper()
	l, err := e.Server.Listen(t.Context(), "tcp", net.JoinHostPort(e.Address, "0"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

func (e Env) pair(t *testing.T) (client, server net.Conn) {
	t.Helper()
	l := e.listen(t)
	client, err := e.Client.DialContext(t.Context(), "tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	server, err = l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close(); server.Close() })
	return client, server
}

func exchange(t *testing.T, e Env) {
	c, s := e.pair(t)
	if c.RemoteAddr().String() != s.LocalAddr().String() || c.LocalAddr().String() != s.RemoteAddr().String() {
		t.Errorf("client %v > %v, server %v > %v", c.LocalAddr(), c.RemoteAddr(), s.LocalAddr(), s.RemoteAddr())
	}
	if c.LocalAddr().Network() != "tcp" {
		t.Errorf("network is %q", c.LocalAddr().Network())
	}
	for _, way := range [][2]net.Conn{{c, s}, {s, c}} {
		if n, err := way[0].Write([]byte("hello")); n != 5 || err != nil {
			t.Errorf("write: %d, %v", n, err)
		}
		got := make([]byte, 5)
		if _, err := io.ReadFull(way[1], got); string(got) != "hello" || err != nil {
			t.Errorf("read: %q, %v", got, err)
		}
	}
	if n, err := c.Read(nil); n != 0 || err != nil {
		t.Errorf("read of nothing: %d, %v", n, err)
	}
	c.Close()
	_, err := s.Read(make([]byte, 1))
	if err != io.EOF {
		t.Errorf("after close: %v", err)
	}
}

func refused(t *testing.T, e Env) {
	l := e.listen(t)
	l.Close()
	_, err := e.Client.DialContext(t.Context(), "tcp", l.Addr().String())
	is(t, "dial", err, syscall.ECONNREFUSED)
	operation(t, err, "dial", false)
}

func filtered(t *testing.T, e Env) {
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	_, err := e.Client.DialContext(ctx, "tcp", e.Filtered)
	// Package net notices the context or its own poller's deadline, whichever comes first. Only Timeout can be relied upon.
	if !errors.Is(err, context.DeadlineExceeded) && !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("dial: %v", err)
	}
	operation(t, err, "dial", true)
}

func cancelled(t *testing.T, e Env) {
	ctx, cancel := context.WithCancel(t.Context())
	defer time.AfterFunc(50*time.Millisecond, cancel).Stop()
	_, err := e.Client.DialContext(ctx, "tcp", e.Filtered)
	is(t, "dial", err, context.Canceled)
	operation(t, err, "dial", false)
}

func alreadyCancelled(t *testing.T, e Env) {
	l := e.listen(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := e.Client.DialContext(ctx, "tcp", l.Addr().String())
	is(t, "dial", err, context.Canceled)
}

// unreadResets: closing with unread data resets the connection. The reader is told once; then there is nothing more to read
// and nobody to write to.
func unreadResets(t *testing.T, e Env) {
	c, s := e.pair(t)
	c.Write([]byte("never read"))
	s.SetReadDeadline(time.Now().Add(5 * time.Second))
	if _, err := s.Read(make([]byte, 1)); err != nil { // it has arrived
		t.Fatal(err)
	}
	s.Close()
	_, err := c.Read(make([]byte, 1))
	is(t, "read", err, syscall.ECONNRESET)
	operation(t, err, "read", false)
	_, err = c.Read(make([]byte, 1))
	is(t, "second read", err, io.EOF)
	_, err = c.Write([]byte("x"))
	is(t, "write", err, syscall.EPIPE)
	operation(t, err, "write", false)
}

func lingerResets(t *testing.T, e Env) {
	c, s := e.pair(t)
	if err := s.(interface{ SetLinger(int) error }).SetLinger(0); err != nil {
		t.Fatal(err)
	}
	s.Close()
	_, err := c.Read(make([]byte, 1))
	is(t, "read", err, syscall.ECONNRESET)
}

func halfClose(t *testing.T, e Env) {
	c, s := e.pair(t)
	c.Write([]byte("question"))
	if err := c.(interface{ CloseWrite() error }).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(s); string(got) != "question" || err != nil {
		t.Errorf("%q, %v", got, err)
	}
	_, err := c.Write([]byte("more"))
	is(t, "write after CloseWrite", err, syscall.EPIPE)
	s.Write([]byte("answer"))
	s.Close()
	if got, err := io.ReadAll(c); string(got) != "answer" || err != nil {
		t.Errorf("%q, %v", got, err)
	}
}

func readDeadline(t *testing.T, e Env) {
	c, s := e.pair(t)
	c.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
	_, err := c.Read(make([]byte, 1))
	is(t, "read", err, os.ErrDeadlineExceeded)
	operation(t, err, "read", true)
	c.SetReadDeadline(time.Time{}) // the connection goes on
	s.Write([]byte("x"))
	if _, err := c.Read(make([]byte, 1)); err != nil {
		t.Errorf("read after the deadline was lifted: %v", err)
	}
}

func pastDeadline(t *testing.T, e Env) {
	c, s := e.pair(t)
	s.Write([]byte("x"))
	c.SetDeadline(time.Unix(1, 0))
	_, err := c.Read(make([]byte, 1))
	is(t, "read", err, os.ErrDeadlineExceeded)
	_, err = c.Write([]byte("x"))
	is(t, "write", err, os.ErrDeadlineExceeded)
}

func writeDeadline(t *testing.T, e Env) {
	c, _ := e.pair(t)
	c.SetWriteDeadline(time.Now().Add(100 * time.Millisecond))
	chunk := make([]byte, 1<<20)
	var err error
	for range 1000 { // nobody reads
		if _, err = c.Write(chunk); err != nil {
			break
		}
	}
	is(t, "write", err, os.ErrDeadlineExceeded)
	operation(t, err, "write", true)
}

func useAfterClose(t *testing.T, e Env) {
	c, _ := e.pair(t)
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	_, err := c.Read(make([]byte, 1))
	is(t, "read", err, net.ErrClosed)
	_, err = c.Write([]byte("x"))
	is(t, "write", err, net.ErrClosed)
	is(t, "close", c.Close(), net.ErrClosed)
	is(t, "deadline", c.SetDeadline(time.Now()), net.ErrClosed)
}

func closeWakesReader(t *testing.T, e Env) {
	c, _ := e.pair(t)
	time.AfterFunc(20*time.Millisecond, func() { c.Close() })
	_, err := c.Read(make([]byte, 1))
	is(t, "read", err, net.ErrClosed)
	operation(t, err, "read", false)
}

func closedListener(t *testing.T, e Env) {
	l := e.listen(t)
	time.AfterFunc(20*time.Millisecond, func() { l.Close() })
	_, err := l.Accept()
	is(t, "accept", err, net.ErrClosed)
	operation(t, err, "accept", false)
	is(t, "close", l.Close(), net.ErrClosed)
}

// listenerGone: connections outlive the listener that they came through.
func listenerGone(t *testing.T, e Env) {
	l := e.listen(t)
	c, err := e.Client.DialContext(t.Context(), "tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	s, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	l.Close()
	c.Write([]byte("x"))
	if _, err := s.Read(make([]byte, 1)); err != nil {
		t.Error(err)
	}
}

// unacceptedReset: who was never accepted is reset when the listener goes.
func unacceptedReset(t *testing.T, e Env) {
	l := e.listen(t)
	c, err := e.Client.DialContext(t.Context(), "tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	time.AfterFunc(50*time.Millisecond, func() { l.Close() })
	_, err = c.Read(make([]byte, 1))
	is(t, "read", err, syscall.ECONNRESET)
}

func addressInUse(t *testing.T, e Env) {
	l := e.listen(t)
	_, err := e.Server.Listen(t.Context(), "tcp", l.Addr().String())
	is(t, "listen", err, syscall.EADDRINUSE)
	operation(t, err, "listen", false)
	l.Close()
	again, err := e.Server.Listen(t.Context(), "tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	again.Close()
}

func foreignAddress(t *testing.T, e Env) {
	_, err := e.Server.Listen(t.Context(), "tcp", net.JoinHostPort(e.Unassigned, "0"))
	is(t, "listen", err, syscall.EADDRNOTAVAIL)
	operation(t, err, "listen", false)
}

func badAddresses(t *testing.T, e Env) {
	_, err := e.Client.DialContext(t.Context(), "tcp", e.Address)
	var ae *net.AddrError
	if !errors.As(err, &ae) {
		t.Errorf("address without a port: %v", err)
	}
	_, err = e.Client.DialContext(t.Context(), "carrier-pigeon", e.Address+":1")
	var ue net.UnknownNetworkError
	if !errors.As(err, &ue) {
		t.Errorf("unknown network: %v", err)
	}
}

func udp(t *testing.T, e Env) {
	s, err := e.Server.ListenPacket(t.Context(), "udp", net.JoinHostPort(e.Address, "0"))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	c, err := e.Client.DialContext(t.Context(), "udp", s.LocalAddr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.Write([]byte("ping"))
	buf := make([]byte, 100)
	n, from, err := s.ReadFrom(buf)
	if err != nil || string(buf[:n]) != "ping" || from.String() != c.LocalAddr().String() {
		t.Fatalf("%q from %v, %v", buf[:n], from, err)
	}
	s.WriteTo([]byte("pong"), from)
	if n, err := c.Read(buf); err != nil || string(buf[:n]) != "pong" {
		t.Errorf("%q, %v", buf[:n], err)
	}
	c.SetReadDeadline(time.Now().Add(20 * time.Millisecond))
	_, err = c.Read(buf)
	is(t, "read", err, os.ErrDeadlineExceeded)
	s.Close()
	_, _, err = s.ReadFrom(buf)
	is(t, "closed", err, net.ErrClosed)
}

func udpRefused(t *testing.T, e Env) {
	s, err := e.Server.ListenPacket(t.Context(), "udp", net.JoinHostPort(e.Address, "0"))
	if err != nil {
		t.Fatal(err)
	}
	s.Close()
	c, err := e.Client.DialContext(t.Context(), "udp", s.LocalAddr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.Write([]byte("anyone?"))
	c.SetReadDeadline(time.Now().Add(5 * time.Second))
	_, err = c.Read(make([]byte, 1))
	is(t, "read", err, syscall.ECONNREFUSED)
	operation(t, err, "read", false)
}
