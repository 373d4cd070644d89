package vnet

import (
	"errors"
	"io"
	"net"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"fedlab/sim/trace"
)

func states(t *testing.T, hosts ...*Host) []string {
	t.Helper()
	var all []string
	for _, h := range hosts {
		sockets, err := h.Sockets()
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range sockets {
			all = append(all, s.State)
		}
	}
	return all
}

// Two machines that dial each other from and to the same ports make one connection. RFC 9293 §3.5
func TestSimultaneousOpen(t *testing.T) {
	world(t, contoso(), func(t *testing.T, n *Net, _ *trace.Recorder) {
		var ends [2]*TCPConn
		var wg sync.WaitGroup
		for i, from := range []string{"xmpp", "dc"} {
			to := []string{"10.11.12.10:49152", "10.11.12.40:49152"}[i] // the first port that each of them dials from
			wg.Go(func() {
				c, err := n.Host(from).DialContext(t.Context(), "tcp", to)
				if err != nil {
					t.Error(err)
					return
				}
				ends[i] = c.(*TCPConn)
			})
		}
		wg.Wait()
		if t.Failed() {
			return
		}
		write(t, ends[0], "one")
		expectRead(t, ends[1], "one")
		write(t, ends[1], "two")
		expectRead(t, ends[0], "two")
	})
}

// Both close at the same instant: CLOSING, then TIME_WAIT on both sides. RFC 9293 §3.6
func TestSimultaneousClose(t *testing.T) {
	world(t, contoso(), func(t *testing.T, n *Net, _ *trace.Recorder) {
		c, s := pair(t, n.Host("xmpp"), n.Host("dc"), "10.11.12.10:1")
		time.Sleep(time.Second)
		c.Close()
		s.Close()
		time.Sleep(1500 * time.Microsecond)
		if got := states(t, n.Host("xmpp"), n.Host("dc")); !slices.Equal(got, []string{"CLOSING", "CLOSING"}) {
			t.Errorf("%q", got)
		}
		time.Sleep(time.Second)
		if got := states(t, n.Host("xmpp"), n.Host("dc")); !slices.Equal(got, []string{"TIME_WAIT", "TIME_WAIT"}) {
			t.Errorf("%q", got)
		}
	})
}

// A reader that stops reading closes its window; the writer probes it for as long as it takes, even when the segment that opens
// it again gets lost. RFC 9293 §3.8.6.1
func TestZeroWindow(t *testing.T) {
	world(t, contoso(), func(t *testing.T, n *Net, _ *trace.Recorder) {
		c, s := pair(t, n.Host("xmpp"), n.Host("dc"), "10.11.12.10:1")
		const size = 2 << 20
		go func() {
			c.Write(make([]byte, size))
			c.Close()
		}()
		time.Sleep(2 * time.Hour)
		n.Segment("perimeter").Cut()
		got := 0
		buf := make([]byte, 1<<20)
		for got < 200_000 { // opens the window, of which nobody hears
			k, err := s.Read(buf[:200_000-got])
			if err != nil {
				t.Fatal(err)
			}
			got += k
		}
		time.Sleep(time.Second)
		n.Segment("perimeter").Restore()
		rest, err := io.Copy(io.Discard, s)
		if err != nil || got+int(rest) != size {
			t.Errorf("%d bytes, %v", got+int(rest), err)
		}
		s.Close()
	})
}

// Keep-alive probes as the program sets them find out about a silent peer.
func TestKeepAlive(t *testing.T) {
	for _, test := range []struct {
		name   string
		config net.KeepAliveConfig
		after  time.Duration
	}{
		{"package net's defaults", net.KeepAliveConfig{Enable: true}, 150 * time.Second},
		{"own figures", net.KeepAliveConfig{Enable: true, Idle: time.Minute, Interval: 5 * time.Second, Count: 3}, 75 * time.Second},
	} {
		t.Run(test.name, func(t *testing.T) {
			world(t, contoso(), func(t *testing.T, n *Net, _ *trace.Recorder) {
				c, s := pair(t, n.Host("xmpp"), n.Host("pool"), "10.10.10.60:1")
				s.SetKeepAlive(false)
				c.SetKeepAliveConfig(test.config)
				time.Sleep(time.Hour) // a peer that is there answers
				n.Segment("corporate").Cut()
				c.SetKeepAliveConfig(test.config) // the idle time begins anew
				write(t, c, "")
				start := time.Now()
				_, err := c.Read(make([]byte, 1))
				if took := time.Since(start); !errors.Is(err, syscall.ETIMEDOUT) || took > test.after+time.Second || took < test.after/2 {
					t.Errorf("%v after %v, want %v", err, took, test.after)
				}
				s.SetReadDeadline(time.Now().Add(24 * time.Hour))
				if _, err := s.Read(make([]byte, 1)); errors.Is(err, syscall.ETIMEDOUT) {
					t.Error("the other end probes although it was told not to")
				}
			})
		})
	}
}

// The retransmission time-out doubles. RFC 6298 §5.5
func TestBackoff(t *testing.T) {
	world(t, contoso(), func(t *testing.T, n *Net, rec *trace.Recorder) {
		c, _ := pair(t, n.Host("xmpp"), n.Host("dc"), "10.11.12.10:1")
		n.Segment("perimeter").Cut()
		since := rec.Len()
		write(t, c, "x")
		time.Sleep(10 * time.Second)
		var at []time.Time
		for _, e := range rec.Events()[since:] {
			if e.Layer == trace.Packet {
				at = append(at, e.At)
			}
		}
		if len(at) < 5 {
			t.Fatalf("%d segments", len(at))
		}
		for i := 2; i < len(at); i++ {
			if a, b := at[i-1].Sub(at[i-2]), at[i].Sub(at[i-1]); b < 2*a-time.Millisecond || b > 2*a+time.Millisecond {
				t.Errorf("%v after %v", b, a)
			}
		}
	})
}

// A soft error is told when the connection is given up: an unreachable host, not just silence. RFC 1122 §4.2.3.9
func TestSoftError(t *testing.T) {
	world(t, contoso(), func(t *testing.T, n *Net, _ *trace.Recorder) {
		c, _ := pair(t, n.Host("xmpp"), n.Host("pool"), "10.10.10.60:1")
		n.lock()
		delete(n.segments["corporate"].neighbours, n.hosts["pool"].node.ifaces[0].addrs[0])
		n.unlock()
		write(t, c, "x")
		if _, err := c.Read(make([]byte, 1)); !errors.Is(err, syscall.EHOSTUNREACH) {
			t.Errorf("%v", err)
		}
	})
}

// Closing the network fails everything at once and leaves nothing behind; the bubble would not end otherwise.
func TestNetClose(t *testing.T) {
	world(t, contoso(), func(t *testing.T, n *Net, _ *trace.Recorder) {
		c, _ := pair(t, n.Host("xmpp"), n.Host("dc"), "10.11.12.10:1")
		_, full := pair(t, n.Host("xmpp"), n.Host("dc"), "10.11.12.10:3")
		l := listen(t, n.Host("dc"), ":2")
		pc, err := n.Host("dc").ListenPacket(t.Context(), "udp", ":53")
		if err != nil {
			t.Fatal(err)
		}
		errs := make(chan error)
		go func() { _, err := c.Read(make([]byte, 1)); errs <- err }()
		go func() { _, err := full.Write(make([]byte, 1<<20)); errs <- err }()
		go func() { _, err := l.Accept(); errs <- err }()
		go func() { _, _, err := pc.ReadFrom(make([]byte, 1)); errs <- err }()
		go func() { _, err := n.Host("talk").DialContext(t.Context(), "tcp", "203.0.113.1:1"); errs <- err }()
		time.Sleep(time.Second)
		n.Close()
		n.Close()
		for range 5 {
			if err := <-errs; !errors.Is(err, net.ErrClosed) {
				t.Errorf("%v", err)
			}
		}
		if _, err := n.Host("talk").DialContext(t.Context(), "tcp", "203.0.113.1:1"); !errors.Is(err, net.ErrClosed) {
			t.Errorf("dial: %v", err)
		}
	})
}

// Sockets shows who opened what.
func TestOwners(t *testing.T) {
	world(t, contoso(), func(t *testing.T, n *Net, _ *trace.Recorder) {
		listen(t, n.Host("xmpp").As("fedgate"), ":5269")
		dial(t, n.Host("talk").As("farm"), "12.34.56.78:5269")
		sockets, _ := n.Host("xmpp").Sockets()
		for _, s := range sockets {
			if s.Owner != "fedgate" {
				t.Errorf("%+v", s)
			}
		}
		if len(sockets) != 3 { // the listener for both families, and the connection
			t.Errorf("%v", sockets)
		}
	})
}

// One seed, one story: whatever the scheduler does with goroutines that act at the same instant, packets of different
// connections arrive in the same order.
func TestDeterminism(t *testing.T) {
	story := func() (events []string) {
		world(t, contoso(), func(t *testing.T, n *Net, rec *trace.Recorder) {
			l := listen(t, n.Host("xmpp"), ":5269")
			var wg sync.WaitGroup
			for _, h := range []string{"talk", "outside"} {
				wg.Go(func() {
					for range 3 {
						c, err := n.Host(h).DialContext(t.Context(), "tcp", "12.34.56.78:5269")
						if err != nil {
							t.Error(err)
							return
						}
						c.Write([]byte(h))
						c.Close()
					}
				})
			}
			for range 6 {
				s := accept(t, l)
				wg.Go(func() { io.Copy(io.Discard, s); s.Close() })
			}
			wg.Wait()
			for _, e := range rec.Events() {
				if e.Layer == trace.Packet && e.Host == "perimeter" {
					events = append(events, e.At.Format("05.000000000 ")+e.String())
				}
			}
		})
		return events
	}
	first := story()
	for range 20 {
		if again := story(); !slices.Equal(first, again) {
			t.Fatalf("stories differ:\n%q\n%q", first, again)
		}
	}
}
