package network

import (
	"io"
	"net"
	"net/netip"
	"testing"

	"golang.org/x/sys/unix"
)

// Both ends keep to the limit, and what is longer passes in pieces.
func TestDialSmall(t *testing.T) {
	const mss = 536
	l, err := OS{}.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	c, err := OS{}.DialSmall(t.Context(), netip.MustParseAddrPort(l.Addr().String()), mss)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	s, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for _, end := range []net.Conn{c, s} {
		raw, err := end.(*net.TCPConn).SyscallConn()
		if err != nil {
			t.Fatal(err)
		}
		got := 0
		if err := raw.Control(func(fd uintptr) { got, err = unix.GetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_MAXSEG) }); err != nil {
			t.Fatal(err)
		}
		if got == 0 || got > mss {
			t.Errorf("%v sends segments of %d bytes", end.LocalAddr(), got)
		}
	}
	go func() {
		_, _ = s.Write(make([]byte, 10_000))
		_ = s.Close()
	}()
	if n, err := io.Copy(io.Discard, c); n != 10_000 || err != nil {
		t.Errorf("%d bytes, %v", n, err)
	}
}
