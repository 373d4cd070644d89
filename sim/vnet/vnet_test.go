package vnet

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"syscall"
	"testing"
	"time"

	"fedlab/sim/trace"
)

// A stranger on the Internet reaches the gateway through the firewall's port forwarding; bytes go both ways; both sides see
// the addresses that translation leaves them; closing ends in TIME_WAIT on the side that closed first.
func TestThroughForward(t *testing.T) {
	world(t, contoso(), func(t *testing.T, n *Net, rec *trace.Recorder) {
		start := time.Now()
		c, s := pair(t, n.Host("talk"), n.Host("xmpp"), "12.34.56.78:5269")
		if rtt := time.Since(start); rtt < 42*time.Millisecond || rtt > 64*time.Millisecond {
			t.Errorf("connecting took %v", rtt)
		}
		if got := s.RemoteAddr().String(); got != "74.125.45.125:49152" {
			t.Errorf("gateway sees %s", got)
		}
		if got := s.LocalAddr().String(); got != "10.11.12.40:5269" {
			t.Errorf("gateway is %s", got)
		}
		write(t, c, "hello")
		expectRead(t, s, "hello")
		write(t, s, "there")
		expectRead(t, c, "there")
		c.Close()
		if _, err := s.Read(make([]byte, 1)); err != io.EOF {
			t.Errorf("after close: %v", err)
		}
		s.Close()
		time.Sleep(time.Second)
		sockets, _ := n.Host("talk").Sockets()
		if len(sockets) != 1 || sockets[0].State != "TIME_WAIT" {
			t.Errorf("sockets of talk: %v", sockets)
		}
		time.Sleep(time.Minute)
		if sockets, _ := n.Host("talk").Sockets(); len(sockets) != 0 {
			t.Errorf("sockets of talk after 2 MSL: %v", sockets)
		}
	})
}

// What the perimeter sends to the Internet leaves from the firewall's address.
func TestMasquerade(t *testing.T) {
	world(t, contoso(), func(t *testing.T, n *Net, _ *trace.Recorder) {
		_, s := pair(t, n.Host("xmpp"), n.Host("talk"), "74.125.45.125:5269")
		if got := s.RemoteAddr().String(); got != "12.34.56.78:49152" {
			t.Errorf("talk sees %s", got)
		}
	})
}

// The Edge has a route of its own to the gateway and therefore calls from its internal address. Field notes, netstat.
func TestSourceByRoute(t *testing.T) {
	world(t, contoso(), func(t *testing.T, n *Net, _ *trace.Recorder) {
		_, s := pair(t, n.Host("edge"), n.Host("xmpp"), "10.11.12.40:5061")
		if got := s.RemoteAddr().String(); got != "10.10.10.50:49152" {
			t.Errorf("gateway sees %s", got)
		}
	})
}

func TestIPv6(t *testing.T) {
	world(t, contoso(), func(t *testing.T, n *Net, _ *trace.Recorder) {
		c, s := pair(t, n.Host("xmpp"), n.Host("pool"), "[2001:db8:10::60]:5061")
		write(t, c, "six")
		expectRead(t, s, "six")
		if got := s.RemoteAddr().String(); got != "[2001:db8:12::40]:49152" {
			t.Errorf("pool sees %s", got)
		}
	})
}

// A hairpin works only when it is on, and then both ends see the outside address.
func TestHairpin(t *testing.T) {
	world(t, contoso(), func(t *testing.T, n *Net, rec *trace.Recorder) {
		l := listen(t, n.Host("edge"), ":5061")
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		_, err := n.Host("xmpp").DialContext(ctx, "tcp", "12.34.56.79:5061")
		cancel()
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("hairpin off: %v", err)
		}
		n.Router("firewall").SetHairpin(true)
		c := dial(t, n.Host("xmpp"), "12.34.56.79:5061")
		s := accept(t, l)
		write(t, c, "round")
		expectRead(t, s, "round")
		write(t, s, "trip")
		expectRead(t, c, "trip")
		if got := s.RemoteAddr().String(); got[:12] != "12.34.56.79:" {
			t.Errorf("edge sees %s", got)
		}
	})
}

// Each way in which connecting fails, with its time and its errno.
func TestDialErrors(t *testing.T) {
	for _, test := range []struct {
		name, from, to string
		want           error
		after, before  time.Duration
	}{
		{"closed port", "xmpp", "10.11.12.33:9", syscall.ECONNREFUSED, time.Millisecond, 5 * time.Millisecond},
		{"own closed port", "xmpp", "127.0.0.1:9", syscall.ECONNREFUSED, 0, time.Millisecond},
		{"dropped by policy", "talk", "12.34.56.78:22", syscall.ETIMEDOUT, 127 * time.Second, 128 * time.Second},
		{"nobody on the Internet", "talk", "203.0.113.9:5269", syscall.ETIMEDOUT, 127 * time.Second, 128 * time.Second},
		{"nobody on the segment", "edge", "10.11.12.99:5061", syscall.EHOSTUNREACH, 3 * time.Second, 3 * time.Second},
		{"nobody beyond a router", "pool", "10.11.12.99:5061", syscall.EHOSTUNREACH, 3 * time.Second, 4 * time.Second},
		{"no route", "talk", "[2001:db8::1]:1", syscall.ENETUNREACH, 0, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			world(t, contoso(), func(t *testing.T, n *Net, _ *trace.Recorder) {
				start := time.Now()
				_, err := n.Host(test.from).DialContext(t.Context(), "tcp", test.to)
				if !errors.Is(err, test.want) {
					t.Errorf("%v, want %v", err, test.want)
				}
				if took := time.Since(start); took < test.after || took > test.before {
					t.Errorf("took %v, want %v to %v", took, test.after, test.before)
				}
			})
		})
	}
}

func TestReset(t *testing.T) {
	world(t, contoso(), func(t *testing.T, n *Net, _ *trace.Recorder) {
		c, s := pair(t, n.Host("xmpp"), n.Host("pool"), "10.10.10.60:1")
		write(t, c, "unread")
		time.Sleep(time.Second)
		s.Close() // with unread data: a reset
		if _, err := c.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("read: %v", err)
		}
		if _, err := c.Write([]byte("x")); !errors.Is(err, syscall.EPIPE) {
			t.Errorf("write: %v", err)
		}
	})
}

func TestHalfClose(t *testing.T) {
	world(t, contoso(), func(t *testing.T, n *Net, _ *trace.Recorder) {
		c, s := pair(t, n.Host("xmpp"), n.Host("pool"), "10.10.10.60:1")
		write(t, c, "question")
		c.CloseWrite()
		got, err := io.ReadAll(s)
		if string(got) != "question" || err != nil {
			t.Fatalf("%q, %v", got, err)
		}
		write(t, s, "answer")
		s.Close()
		if got, err := io.ReadAll(c); string(got) != "answer" || err != nil {
			t.Fatalf("%q, %v", got, err)
		}
	})
}

// A cut ends in ETIMEDOUT for whoever has something to say, in about a quarter of an hour, and by keep-alive for the other.
func TestCut(t *testing.T) {
	world(t, contoso(), func(t *testing.T, n *Net, _ *trace.Recorder) {
		c, s := pair(t, n.Host("xmpp"), n.Host("pool"), "10.10.10.60:1")
		n.Segment("corporate").Cut()
		start := time.Now()
		write(t, c, "anyone there?")
		if _, err := s.Read(make([]byte, 1)); !errors.Is(err, syscall.ETIMEDOUT) {
			t.Errorf("idle end: %v", err)
		}
		if took := time.Since(start); took < 149*time.Second || took > 151*time.Second {
			t.Errorf("keep-alive took %v", took)
		}
		if _, err := c.Read(make([]byte, 1)); !errors.Is(err, syscall.ETIMEDOUT) {
			t.Errorf("sending end: %v", err)
		}
		if took := time.Since(start); took < 15*time.Minute || took > 16*time.Minute {
			t.Errorf("giving up took %v", took)
		}
	})
}

// A cut that is mended in time costs only time.
func TestCutAndRestore(t *testing.T) {
	world(t, contoso(), func(t *testing.T, n *Net, _ *trace.Recorder) {
		c, s := pair(t, n.Host("xmpp"), n.Host("pool"), "10.10.10.60:1")
		n.Segment("corporate").Cut()
		write(t, c, "late")
		time.Sleep(20 * time.Second)
		n.Segment("corporate").Restore()
		expectRead(t, s, "late")
	})
}

func TestDeadline(t *testing.T) {
	world(t, contoso(), func(t *testing.T, n *Net, _ *trace.Recorder) {
		c, _ := pair(t, n.Host("xmpp"), n.Host("pool"), "10.10.10.60:1")
		start := time.Now()
		c.SetReadDeadline(start.Add(time.Minute))
		_, err := c.Read(make([]byte, 1))
		var ne net.Error
		if !errors.Is(err, os.ErrDeadlineExceeded) || !errors.As(err, &ne) || !ne.Timeout() || time.Since(start) != time.Minute {
			t.Errorf("read: %v after %v", err, time.Since(start))
		}
		c.SetWriteDeadline(time.Now().Add(time.Minute))
		n1, err := c.Write(make([]byte, 1<<20)) // nobody reads: both buffers fill up
		if full := sendBuffer + receiveBuffer; !errors.Is(err, os.ErrDeadlineExceeded) || n1 > full || n1 < full*3/4 {
			t.Errorf("write: %d, %v", n1, err)
		}
	})
}

func TestBulk(t *testing.T) {
	world(t, contoso(), func(t *testing.T, n *Net, _ *trace.Recorder) {
		c, s := pair(t, n.Host("talk"), n.Host("xmpp"), "12.34.56.78:5269")
		want := make([]byte, 3<<20)
		for i := range want {
			want[i] = byte(i * i >> 8)
		}
		go func() {
			c.Write(want)
			c.Close()
		}()
		got, err := io.ReadAll(s)
		if err != nil || string(got) != string(want) {
			t.Fatalf("%d bytes, %v", len(got), err)
		}
		s.Close()
	})
}

func TestUDP(t *testing.T) {
	world(t, contoso(), func(t *testing.T, n *Net, _ *trace.Recorder) {
		s, err := n.Host("talk").ListenPacket(t.Context(), "udp", ":53")
		if err != nil {
			t.Fatal(err)
		}
		c, err := n.Host("xmpp").DialContext(t.Context(), "udp", "74.125.45.125:53")
		if err != nil {
			t.Fatal(err)
		}
		write(t, c, "ping")
		buf := make([]byte, 100)
		k, from, err := s.ReadFrom(buf)
		if err != nil || string(buf[:k]) != "ping" || from.String() != "12.34.56.78:49152" {
			t.Fatalf("%q from %v, %v", buf[:k], from, err)
		}
		s.WriteTo([]byte("pong"), from)
		expectRead(t, c, "pong")
		s.Close()
		write(t, c, "anyone?")
		if _, err := c.Read(buf); !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("closed port: %v", err)
		}
	})
}
