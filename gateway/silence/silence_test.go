package silence_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"slices"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"fedlab/gateway/silence"
	"fedlab/internal/network"
)

// line is a network of one connection at a time, on which the test says what comes.
type line struct {
	network.Network
	conn *end
}

func (l *line) DialContext(context.Context, string, string) (net.Conn, error) {
	l.conn = &end{comes: make(chan error)}
	return l.conn, nil
}

func (l *line) Listen(context.Context, string, string) (net.Listener, error) { return l, nil }
func (l *line) Accept() (net.Conn, error) {
	l.conn = &end{comes: make(chan error)}
	return l.conn, nil
}
func (l *line) Addr() net.Addr { return nil }
func (l *line) Close() error   { return nil }

// end is one connection: what comes is a byte (nil) or an error; what is written is acknowledged or not.
type end struct {
	net.Conn
	comes   chan error
	waiting int
}

func (e *end) RemoteAddr() net.Addr {
	return net.TCPAddrFromAddrPort(netip.MustParseAddrPort("[::ffff:192.0.2.1]:5269"))
}
func (e *end) Read(p []byte) (int, error) {
	if err := <-e.comes; err != nil {
		return 0, err
	}
	return 1, nil
}
func (e *end) Write(p []byte) (int, error)  { return len(p), nil }
func (e *end) Close() error                 { return nil }
func (e *end) Unacknowledged() (int, error) { return e.waiting, nil }

func TestBreaks(t *testing.T) {
	reset := &net.OpError{Op: "read", Net: "tcp", Err: syscall.ECONNRESET}
	timeout := &net.OpError{Op: "read", Net: "tcp", Err: syscall.ETIMEDOUT}
	type act func(l *line, c net.Conn)
	wait := func(d time.Duration) act { return func(*line, net.Conn) { time.Sleep(d) } }
	comes := func(err error) act {
		return func(l *line, c net.Conn) {
			go func() { l.conn.comes <- err }()
			if _, got := c.Read(make([]byte, 1)); !errors.Is(got, err) {
				panic(fmt.Sprint("read ", got))
			}
		}
	}
	write := func(l *line, c net.Conn) { _, _ = c.Write([]byte("x")) }
	stuck := func(l *line, c net.Conn) { l.conn.waiting = 1 }
	closed := func(l *line, c net.Conn) { c.Close() }
	for _, tt := range []struct {
		name string
		acts []act
		want string
	}{
		{"a probe is answered with a reset", []act{write, wait(5 * time.Minute), comes(reset)}, "5m0s reset"},
		{"probes are not answered", []act{write, wait(7 * time.Minute), comes(timeout)}, "7m0s timed out"},
		{"what is written is answered with a reset", []act{write, wait(time.Hour), write, wait(time.Second), comes(reset)}, "1h0m0s reset"},
		{"what is written is not acknowledged", []act{write, wait(time.Hour), stuck, write, wait(30 * time.Second), closed}, "1h0m0s nothing acknowledged"},
		{"it goes on after a pause and breaks in the next", []act{write, wait(time.Hour), write, wait(5 * time.Minute), comes(reset)}, "5m0s reset"},
		{"in use", []act{write, wait(30 * time.Second), comes(reset)}, ""},
		{"given up at once", []act{write, wait(time.Hour), stuck, write, wait(time.Second), closed}, ""},
		{"ended by us", []act{write, wait(time.Hour), closed, comes(net.ErrClosed)}, ""},
		{"ended by the peer", []act{write, wait(time.Hour), comes(io.EOF), closed}, ""},
		{"counted once", []act{wait(time.Hour), comes(reset), comes(reset), stuck, closed}, "1h0m0s reset"},
	} {
		for _, dialled := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s/%v", tt.name, dialled), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					l := &line{}
					n := silence.Watch(l)
					c := connect(t, n, dialled)
					for _, act := range tt.acts {
						act(l, c)
					}
					got := ""
					for _, b := range n.Breaks() {
						got += fmt.Sprint(b.Silence, " ", b.How)
						if b.Peer.String() != "192.0.2.1" || b.Dialled != dialled || !b.At.Equal(time.Now()) {
							t.Errorf("%+v", b)
						}
					}
					if got != tt.want {
						t.Errorf("got %q, want %q", got, tt.want)
					}
				})
			})
		}
	}
}

func connect(t *testing.T, n *silence.Network, dialled bool) net.Conn {
	t.Helper()
	var c net.Conn
	var err error
	if dialled {
		c, err = n.DialContext(t.Context(), "tcp", "192.0.2.1:5269")
	} else {
		var l net.Listener
		if l, err = n.Listen(t.Context(), "tcp", ":5269"); err == nil {
			c, err = l.Accept()
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// A break is forgotten when another connection with the same peer has lived through as long a silence.
func TestRefuted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &line{}
		n := silence.Watch(l)
		var got []int
		try := func(quiet time.Duration, end error) {
			c := connect(t, n, true)
			time.Sleep(quiet)
			go func() { l.conn.comes <- end }()
			_, _ = c.Read(make([]byte, 1))
			got = append(got, len(n.Breaks()))
		}
		try(5*time.Minute, syscall.ECONNRESET)
		try(7*time.Minute, syscall.ETIMEDOUT)
		try(4*time.Minute, io.EOF)
		try(6*time.Minute, nil) // only the first was as short
		try(8*time.Minute, io.EOF)
		if want := []int{1, 2, 2, 1, 0}; !slices.Equal(got, want) {
			t.Errorf("breaks: %v, want %v", got, want)
		}
		for range 100 {
			try(5*time.Minute, syscall.ECONNRESET)
		}
		if len(n.Breaks()) != 64 {
			t.Errorf("%d breaks are kept", len(n.Breaks()))
		}
		// What is written and acknowledged counts as well: XMPP streams have one direction.
		c := connect(t, n, true)
		for range 2 {
			time.Sleep(6 * time.Minute)
			_, _ = c.Write([]byte("x"))
		}
		if len(n.Breaks()) != 0 {
			t.Errorf("%d breaks are left", len(n.Breaks()))
		}
	})
}
