package vnet

import (
	"context"
	"errors"
	"io"
	"net/netip"
	"strings"
	"syscall"
	"testing"
	"time"

	"fedlab/sim/trace"
)

// Rules of a segment act on some of the packets that match, as they say, and count.
func TestSegmentRules(t *testing.T) {
	for _, test := range []struct {
		name          string
		rule          Rule
		want          error
		after, before time.Duration // of a connection attempt
		hits          int
	}{
		{"the first SYN is lost", Rule{Flags: "SYN !ACK", First: 1, Verdict: Drop}, nil, time.Second, 1100 * time.Millisecond, 1},
		{"the first two", Rule{Flags: "SYN !ACK", First: 2, Verdict: Drop}, nil, 3 * time.Second, 3100 * time.Millisecond, 2},
		{"the first answer", Rule{SYNACK: true, Nth: 1, Verdict: Drop}, nil, time.Second, 1100 * time.Millisecond, 1},
		{"for five seconds", Rule{Flags: "SYN", For: 5 * time.Second, Verdict: Drop}, nil, 7 * time.Second, 7100 * time.Millisecond, 3},
		{"every answer", Rule{SYNACK: true, Verdict: Drop}, context.DeadlineExceeded, 10 * time.Second, 10 * time.Second, 7}, // both ends try again
		{"one direction", Rule{To: "dc", Verdict: Drop}, context.DeadlineExceeded, 10 * time.Second, 10 * time.Second, 4},
		{"another port", Rule{Port: 2, Verdict: Drop}, nil, 0, 10 * time.Millisecond, 0},
		{"reject", Rule{Protocol: "tcp", Port: 1, Verdict: Reject}, syscall.ECONNREFUSED, 0, 10 * time.Millisecond, 1},
		{"delay", Rule{Flags: "SYN", Verdict: Delay, Delay: 300 * time.Millisecond}, nil, 600 * time.Millisecond, 620 * time.Millisecond, 2},
	} {
		t.Run(test.name, func(t *testing.T) {
			world(t, contoso(), func(t *testing.T, n *Net, _ *trace.Recorder) {
				listen(t, n.Host("dc"), ":1")
				test.rule.Name = "fault"
				if err := n.Segment("perimeter").SetRules([]Rule{test.rule}); err != nil {
					t.Fatal(err)
				}
				ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
				defer cancel()
				start := time.Now()
				_, err := n.Host("xmpp").DialContext(ctx, "tcp", "10.11.12.10:1")
				if !errors.Is(err, test.want) {
					t.Errorf("%v, want %v", err, test.want)
				}
				if took := time.Since(start); took < test.after || took > test.before {
					t.Errorf("took %v, want %v to %v", took, test.after, test.before)
				}
				if got := n.Segment("perimeter").Hits()["fault"]; got != test.hits {
					t.Errorf("%d hits, want %d", got, test.hits)
				}
			})
		})
	}
}

// Verdict reset ends an established connection at both ends at once.
func TestResetBoth(t *testing.T) {
	world(t, contoso(), func(t *testing.T, n *Net, _ *trace.Recorder) {
		c, s := pair(t, n.Host("talk"), n.Host("xmpp"), "12.34.56.78:5269")
		rules := []Rule{{Name: "ips", From: "internet", Protocol: "tcp", Flags: "PSH", Stateless: true, Verdict: Reset}}
		if err := n.Router("firewall").SetRules(rules, Drop); err != nil {
			t.Fatal(err)
		}
		write(t, c, "attack")
		for name, end := range map[string]*TCPConn{"client": c, "server": s} {
			if _, err := end.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
				t.Errorf("%s: %v", name, err)
			}
		}
		if got := n.Router("firewall").Hits()["ips"]; got != 1 {
			t.Errorf("%d hits", got)
		}
	})
}

// Return traffic filtered by accident: the request goes out, the answer never comes back. Field notes, what goes wrong
func TestReturnTrafficDropped(t *testing.T) {
	world(t, contoso(), func(t *testing.T, n *Net, rec *trace.Recorder) {
		listen(t, n.Host("talk"), ":5269")
		rules := append([]Rule{{Name: "oops", From: "internet", Stateless: true, SYNACK: true, Verdict: Drop}}, contoso().Routers["firewall"].Rules...)
		if err := n.Router("firewall").SetRules(rules, Drop); err != nil {
			t.Fatal(err)
		}
		_, err := n.Host("xmpp").DialContext(t.Context(), "tcp", "74.125.45.125:5269")
		if !errors.Is(err, syscall.ETIMEDOUT) {
			t.Errorf("%v", err)
		}
		dropped := 0
		for _, e := range rec.Events() {
			if e.Layer == trace.Router && e.Kind == trace.Dropped && e.Host == "firewall" && e.Conn == "oops" {
				dropped++
			}
		}
		if dropped < 7 {
			t.Errorf("%d verdicts in the trace", dropped)
		}
	})
}

// A firewall forgets an idle connection: silently, so that the next segment is lost and the sender gives up after a quarter of
// an hour; or with a reset. Traffic within the time keeps it alive.
func TestForgetting(t *testing.T) {
	for _, test := range []struct {
		name  string
		reset bool
		idle  time.Duration
		want  error
	}{
		{"silently", false, 11 * time.Minute, syscall.ETIMEDOUT},
		{"with a reset", true, 11 * time.Minute, syscall.ECONNRESET},
		{"in time", false, 9 * time.Minute, nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			world(t, contoso(), func(t *testing.T, n *Net, _ *trace.Recorder) {
				n.Router("firewall").SetState(StateTimeouts{Established: 10 * time.Minute, Reset: test.reset})
				c, s := pair(t, n.Host("xmpp"), n.Host("talk"), "74.125.45.125:5269")
				c.SetKeepAlive(false)
				s.SetKeepAlive(false)
				time.Sleep(test.idle)
				write(t, c, "x")
				if test.want == nil {
					time.Sleep(test.idle)
					write(t, c, "x")
				}
				if test.want == nil {
					expectRead(t, s, "xx")
					return
				}
				if _, err := c.Read(make([]byte, 1)); !errors.Is(err, test.want) {
					t.Errorf("%v, want %v", err, test.want)
				}
			})
		})
	}
}

// To some, probes are no traffic: both ends probe, and the connection is forgotten all the same.
func TestForgettingWhatIsProbed(t *testing.T) {
	for _, test := range []struct {
		dataOnly bool
		want     error
	}{{false, nil}, {true, syscall.ETIMEDOUT}} {
		world(t, contoso(), func(t *testing.T, n *Net, _ *trace.Recorder) {
			n.Router("firewall").SetState(StateTimeouts{Established: 10 * time.Minute, DataOnly: test.dataOnly})
			c, s := pair(t, n.Host("xmpp"), n.Host("talk"), "74.125.45.125:5269")
			for range 3 {
				time.Sleep(9 * time.Minute)
				write(t, c, "x") // data is traffic, and so the time begins anew
				expectRead(t, s, "x")
			}
			time.Sleep(20 * time.Minute)
			if test.want == nil {
				write(t, c, "x")
				expectRead(t, s, "x")
				return
			}
			if _, err := c.Read(make([]byte, 1)); !errors.Is(err, test.want) {
				t.Errorf("%v, want %v", err, test.want)
			}
		})
	}
}

// The hairpin can be had for one forward alone.
func TestHairpinPerForward(t *testing.T) {
	topology := contoso()
	r := topology.Routers["firewall"]
	r.Forwards[1].Hairpin = true
	topology.Routers["firewall"] = r
	world(t, topology, func(t *testing.T, n *Net, _ *trace.Recorder) {
		pair(t, n.Host("xmpp"), n.Host("edge"), "12.34.56.79:5061")
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		listen(t, n.Host("xmpp"), ":5269")
		if _, err := n.Host("edge").DialContext(ctx, "tcp", "12.34.56.78:5269"); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("the other forward: %v", err)
		}
	})
}

// Links: bandwidth takes its time, a queue overflows, one direction fails alone.
func TestLinks(t *testing.T) {
	transfer := func(t *testing.T, n *Net, size int) time.Duration {
		c, s := pair(t, n.Host("xmpp"), n.Host("dc"), "10.11.12.10:1")
		start := time.Now()
		go func() {
			c.Write(make([]byte, size))
			c.Close()
		}()
		if k, err := io.Copy(io.Discard, s); int(k) != size || err != nil {
			t.Fatal(k, err)
		}
		s.Close()
		return time.Since(start)
	}
	t.Run("bandwidth", func(t *testing.T) {
		world(t, contoso(), func(t *testing.T, n *Net, _ *trace.Recorder) {
			n.Segment("perimeter").SetLink(LinkConfig{Bandwidth: 8_000_000}) // a megabyte a second
			if took := transfer(t, n, 5_000_000); took < 5*time.Second || took > 6*time.Second {
				t.Errorf("5 MB at 1 MB/s took %v", took)
			}
		})
	})
	t.Run("loss slows down", func(t *testing.T) {
		world(t, contoso(), func(t *testing.T, n *Net, _ *trace.Recorder) {
			clean := transfer(t, n, 1_000_000)
			n.Segment("perimeter").SetLink(LinkConfig{Loss: 0.05})
			if took := transfer(t, n, 1_000_000); took < 2*clean {
				t.Errorf("%v with 5 %% loss, %v without", took, clean)
			}
		})
	})
	t.Run("one direction down", func(t *testing.T) {
		world(t, contoso(), func(t *testing.T, n *Net, _ *trace.Recorder) {
			c, s := pair(t, n.Host("xmpp"), n.Host("dc"), "10.11.12.10:1")
			if err := n.Host("dc").SetLink("perimeter", AttachmentLink{Out: LinkConfig{Down: true}}); err != nil {
				t.Fatal(err)
			}
			write(t, c, "arrives")
			expectRead(t, s, "arrives")
			write(t, s, "does not")
			c.SetReadDeadline(time.Now().Add(time.Minute))
			if _, err := c.Read(make([]byte, 1)); err == nil {
				t.Error("came through")
			}
		})
	})
	t.Run("seeded", func(t *testing.T) {
		var took [3]time.Duration
		for i, seed := range []uint64{5, 5, 6} {
			topology := contoso()
			s := topology.Segments["perimeter"]
			s.Link = LinkConfig{Loss: 0.1, Jitter: time.Millisecond}
			topology.Segments["perimeter"] = s
			seeded(t, topology, seed, func(t *testing.T, n *Net) { took[i] = transfer(t, n, 300_000) })
		}
		if took[0] != took[1] || took[0] == took[2] {
			t.Errorf("took %v with seeds 5, 5, 6", took)
		}
	})
}

// A segment of a smaller MTU behind a router: fragmentation needed, and the sender learns.
func TestPathMTU(t *testing.T) {
	for _, target := range []string{"10.10.10.60:1", "[2001:db8:10::60]:1"} {
		topology := contoso()
		s := topology.Segments["corporate"]
		s.Link.MTU = 1300
		topology.Segments["corporate"] = s
		world(t, topology, func(t *testing.T, n *Net, rec *trace.Recorder) {
			c, sv := pair(t, n.Host("xmpp"), n.Host("pool"), target)
			n.lock()
			c.c.mss = 1400 // as if somebody had announced more than the path takes
			n.unlock()
			go func() {
				c.Write(make([]byte, 100_000))
				c.Close()
			}()
			start := time.Now()
			if k, err := io.Copy(io.Discard, sv); k != 100_000 || err != nil {
				t.Fatal(k, err)
			}
			if took := time.Since(start); took > time.Second {
				t.Errorf("took %v", took)
			}
			found := false
			for _, e := range rec.Events() {
				found = found || e.Layer == trace.Router && e.Conn == "MTU"
			}
			if !found {
				t.Error("nothing was too big")
			}
		})
	}
}

func TestTopologyErrors(t *testing.T) {
	pfx, addr := netip.MustParsePrefix, netip.MustParseAddr
	for _, test := range []struct {
		name   string
		change func(*Topology)
		want   string
	}{
		{"unknown segment", func(t *Topology) {
			t.Hosts["new"] = HostConfig{Interfaces: map[string]netip.Prefix{"dmz": pfx("10.0.0.1/24")}}
		}, `host new has an interface on segment "dmz", which does not exist`},
		{"address taken", func(t *Topology) {
			t.Hosts["new"] = HostConfig{Interfaces: map[string]netip.Prefix{"perimeter": pfx("10.11.12.40/24")}}
		}, "has address 10.11.12.40 on segment perimeter, but"},
		{"address outside", func(t *Topology) {
			t.Hosts["new"] = HostConfig{Interfaces: map[string]netip.Prefix{"perimeter": pfx("10.1.1.1/24")}}
		}, "do not contain it"},
		{"next hop off-link", func(t *Topology) {
			t.Hosts["new"] = HostConfig{Interfaces: map[string]netip.Prefix{"perimeter": pfx("10.11.12.77/24")}, Routes: map[string]netip.Addr{"default": addr("192.0.2.1")}}
		}, "which is on none of its segments"},
		{"rule without a name", func(t *Topology) {
			r := t.Routers["firewall"]
			r.Rules = append(r.Rules, Rule{Verdict: Pass})
			t.Routers["firewall"] = r
		}, "has no name"},
		{"stateful SYN ACK", func(t *Topology) {
			r := t.Routers["firewall"]
			r.Rules = append(r.Rules, Rule{Name: "x", SYNACK: true, Verdict: Drop})
			t.Routers["firewall"] = r
		}, "make it stateless"},
		{"foreign forward", func(t *Topology) {
			r := t.Routers["firewall"]
			r.Forwards = append(r.Forwards, Forward{Name: "x", Address: addr("12.34.56.80"), Port: 1, To: netip.MustParseAddrPort("10.11.12.40:1")})
			t.Routers["firewall"] = r
		}, "which is not the router's; add it to its addresses"},
		{"loss", func(t *Topology) {
			s := t.Segments["internet"]
			s.Link.Loss = 20
			t.Segments["internet"] = s
		}, "it is a share, from 0 to 1"},
	} {
		t.Run(test.name, func(t *testing.T) {
			topology := contoso()
			test.change(&topology)
			_, err := New(topology, Options{})
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("%v, want %q", err, test.want)
			}
		})
	}
}
