package vnet

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"fedlab/sim/trace"
)

// drawLink draws a link with any faults.
func drawLink(t *rapid.T, label string) LinkConfig {
	share := func(name string, most float64) float64 {
		if !rapid.Bool().Draw(t, label+name+"?") {
			return 0
		}
		return rapid.Float64Range(0, most).Draw(t, label+name)
	}
	return LinkConfig{
		Latency:   time.Duration(rapid.IntRange(1, 50_000).Draw(t, label+"latency")) * time.Microsecond,
		Jitter:    time.Duration(share("jitter", 20_000)) * time.Microsecond,
		Loss:      share("loss", 0.4),
		Duplicate: share("duplicate", 0.3),
		Reorder:   share("reorder", 0.3),
		Bandwidth: rapid.SampledFrom([]int{0, 0, 0, 1_000_000, 100_000_000}).Draw(t, label+"bandwidth"),
		MTU:       rapid.SampledFrom([]int{0, 576, 1280, 9000}).Draw(t, label+"mtu"),
	}
}

// in runs f in a bubble of its own; a panic or failure there fails the property.
func in(t *testing.T, rt *rapid.T, f func(*testing.T) error) {
	var err error
	synctest.Test(t, func(t *testing.T) { err = f(t) })
	if err != nil {
		rt.Fatal(err)
	}
}

// Bytes arrive once and in order, or both ends find out in bounded time: whatever links do, and whatever is cut.
func TestDelivery(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		topology := contoso()
		for _, name := range []string{"internet", "perimeter"} {
			s := topology.Segments[name]
			s.Link = drawLink(rt, name+" ")
			topology.Segments[name] = s
		}
		size := [2]int{rapid.IntRange(0, 200_000).Draw(rt, "up"), rapid.IntRange(0, 200_000).Draw(rt, "down")}
		cut := rapid.Bool().Draw(rt, "cut")
		cutAfter := time.Duration(rapid.IntRange(0, 5_000).Draw(rt, "cut after")) * time.Millisecond
		mendAfter := time.Duration(rapid.SampledFrom([]int{1, 1_000, 30_000, 600_000, 100_000_000}).Draw(rt, "mended after")) * time.Millisecond
		seed := rapid.Uint64().Draw(rt, "seed")
		in(t, rt, func(t *testing.T) error {
			n, err := New(topology, Options{Seed: seed})
			if err != nil {
				return err
			}
			defer n.Close()
			start := time.Now()
			l, err := n.Host("xmpp").Listen(t.Context(), "tcp", ":5269")
			if err != nil {
				return err
			}
			l.(*Listener).SetDeadline(start.Add(time.Hour)) // a handshake that a cut ends in the middle leaves no trace here
			if cut {
				time.AfterFunc(cutAfter, n.Segment("perimeter").Cut)
				time.AfterFunc(cutAfter+mendAfter, n.Segment("perimeter").Restore)
			}
			data := func(k, n int) []byte {
				b := make([]byte, n)
				for i := range b {
					b[i] = byte(i>>8*7 + i + k)
				}
				return b
			}
			var wg sync.WaitGroup
			errs := make([]error, 2)
			end := func(k int, open func() (*TCPConn, error)) {
				defer wg.Done()
				c, err := open()
				if err != nil {
					l.Close() // a failed attempt has to be noticed by whoever waits for it
					return
				}
				defer c.Close()
				var writer sync.WaitGroup
				writer.Go(func() {
					if _, err := c.Write(data(k, size[k])); err == nil {
						c.CloseWrite()
					}
				})
				got, err := io.ReadAll(c)
				want := data(1-k, size[1-k])
				if !bytes.HasPrefix(want, got) || err == nil && len(got) != len(want) {
					errs[k] = fmt.Errorf("end %d got %d of %d bytes, or wrong ones, and %v", k, len(got), len(want), err)
				}
				writer.Wait()
			}
			wg.Add(2)
			go end(0, func() (*TCPConn, error) {
				c, err := n.Host("talk").DialContext(t.Context(), "tcp", "12.34.56.78:5269")
				if err != nil {
					return nil, err
				}
				return c.(*TCPConn), nil
			})
			go end(1, func() (*TCPConn, error) {
				c, err := l.Accept()
				if err != nil {
					return nil, err
				}
				return c.(*TCPConn), nil
			})
			wg.Wait()
			if took := time.Since(start); took > 2*time.Hour {
				errs = append(errs, fmt.Errorf("it took %v", took))
			}
			return errors.Join(errs...)
		})
	})
}

// natWorld is a NAT with two inside hosts, a stranger and two remote hosts.
func natWorld(nat NATBehaviour, policy Verdict) Topology {
	pfx := netip.MustParsePrefix
	host := func(segment, prefix string, routes map[string]netip.Addr) HostConfig {
		return HostConfig{Interfaces: map[string]netip.Prefix{segment: pfx(prefix)}, Routes: routes}
	}
	inside := map[string]netip.Addr{"default": netip.MustParseAddr("10.0.0.1")}
	return Topology{
		Segments: map[string]SegmentConfig{"out": {Prefixes: []netip.Prefix{pfx("0.0.0.0/0")}}, "in": {Prefixes: []netip.Prefix{pfx("10.0.0.0/24")}}},
		Routers: map[string]RouterConfig{"nat": {
			Interfaces: map[string]netip.Prefix{"out": pfx("192.0.2.1/24"), "in": pfx("10.0.0.1/24")},
			Masquerade: []string{"out"}, NAT: nat, Policy: policy,
			Rules: []Rule{{Name: "out", From: "in", Verdict: Pass}},
		}},
		Hosts: map[string]HostConfig{
			"a": host("in", "10.0.0.2/24", inside), "b": host("in", "10.0.0.3/24", inside),
			"r": host("out", "198.51.100.1/24", nil), "s": host("out", "198.51.100.2/24", nil),
		},
	}
}

// A NAT never delivers to a wrong host, and a closed filter never lets in what it did not let out. Inside hosts send datagrams
// that say who sent them; outside hosts answer some, and send others to ports that they guess.
func TestNAT(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		behaviours := []EndpointBehaviour{AddressAndPortDependent, AddressDependent, EndpointIndependent}
		nat := NATBehaviour{Mapping: rapid.SampledFrom(behaviours).Draw(rt, "mapping"),
			Filtering: rapid.SampledFrom(behaviours).Draw(rt, "filtering"), Scramble: rapid.Bool().Draw(rt, "scramble")}
		policy := rapid.SampledFrom([]Verdict{Pass, Drop}).Draw(rt, "policy")
		type send struct {
			from, port, to, toPort int
			wait                   int
		}
		sends := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) send {
			return send{rapid.IntRange(0, 1).Draw(t, "from"), rapid.IntRange(0, 1).Draw(t, "port"), rapid.IntRange(0, 1).Draw(t, "to"),
				rapid.IntRange(0, 1).Draw(t, "to port"), rapid.SampledFrom([]int{0, 0, 1, 100, 200}).Draw(t, "wait")}
		}), 1, 20).Draw(rt, "sends")
		guesses := rapid.SliceOfN(rapid.IntRange(1024, 1034), 0, 5).Draw(rt, "guesses")
		in(t, rt, func(t *testing.T) error {
			n, err := New(natWorld(nat, policy), Options{})
			if err != nil {
				return err
			}
			defer n.Close()
			var sockets [4][2]*UDPConn
			for i, name := range []string{"a", "b", "r", "s"} {
				for p := range 2 {
					pc, err := n.Host(name).ListenPacket(t.Context(), "udp", fmt.Sprint(":", 4000+p))
					if err != nil {
						return err
					}
					sockets[i][p] = pc.(*UDPConn)
				}
			}
			talked := map[string]bool{} // "inside socket > outside socket" within the last two minutes or ever
			drain := func(c *UDPConn, f func(text string, from netip.AddrPort) error) error {
				buf := make([]byte, 100)
				c.SetReadDeadline(time.Now().Add(10 * time.Millisecond))
				for {
					k, from, err := c.ReadFrom(buf)
					if err != nil {
						return nil
					}
					if err := f(string(buf[:k]), netip.MustParseAddrPort(from.String())); err != nil {
						return err
					}
				}
			}
			outside := [2]string{"198.51.100.1", "198.51.100.2"}
			for _, s := range sends {
				time.Sleep(time.Duration(s.wait) * time.Second)
				to := fmt.Sprintf("%s:%d", outside[s.to], 4000+s.toPort)
				me := fmt.Sprintf("%d/%d", s.from, s.port)
				talked[me+">"+to] = true
				talked[me+">"+outside[s.to]] = true
				sockets[s.from][s.port].WriteTo([]byte(me), udpAddr(to))
				time.Sleep(10 * time.Millisecond)
				for o := 2; o < 4; o++ {
					for p := range 2 {
						c := sockets[o][p]
						err := drain(c, func(text string, from netip.AddrPort) error {
							if from.Addr() != netip.MustParseAddr("192.0.2.1") {
								return fmt.Errorf("%s came from %v", text, from)
							}
							c.WriteTo([]byte("for "+text), udpAddr(from.String()))
							// Someone else answers to the same port.
							sockets[5-o][p].WriteTo([]byte("stray for "+text), udpAddr(from.String()))
							return nil
						})
						if err != nil {
							return err
						}
						for _, g := range guesses {
							c.WriteTo([]byte("guess"), udpAddr(fmt.Sprint("192.0.2.1:", g)))
						}
					}
				}
				time.Sleep(10 * time.Millisecond)
				for i := range 2 {
					for p := range 2 {
						me := fmt.Sprintf("%d/%d", i, p)
						err := drain(sockets[i][p], func(text string, from netip.AddrPort) error {
							switch {
							case text == "for "+me:
								return nil
							case text != "guess" && !strings.HasPrefix(text, "stray for "): // a stray may well be from whom we spoke to
								return fmt.Errorf("%s got %q", me, text)
							case policy == Drop && !talked[me+">"+from.String()]:
								return fmt.Errorf("%s got %q from %v, to whom it never spoke", me, text, from)
							case nat.Filtering == AddressDependent && !talked[me+">"+from.Addr().String()]:
								return fmt.Errorf("%s got %q from %v, in spite of address-dependent filtering", me, text, from)
							case nat.Filtering == AddressAndPortDependent && !talked[me+">"+from.String()]:
								return fmt.Errorf("%s got %q from %v, in spite of address-and-port-dependent filtering", me, text, from)
							}
							return nil
						})
						if err != nil {
							return err
						}
					}
				}
			}
			return nil
		})
	})
}

// RFC 4787's behaviours one by one: which outside port an inside socket has towards whom, and who may answer.
func TestNATBehaviours(t *testing.T) {
	for _, test := range []struct {
		name                string
		nat                 NATBehaviour
		samePort            [2]bool // towards another port of the same host, and towards another host
		otherPort, stranger bool    // who may send back
	}{
		{"like Linux", NATBehaviour{Scramble: true}, [2]bool{false, false}, false, false},
		{"address-dependent", NATBehaviour{AddressDependent, AddressDependent, true}, [2]bool{true, false}, true, false},
		{"endpoint-independent", NATBehaviour{EndpointIndependent, EndpointIndependent, true}, [2]bool{true, true}, true, true},
		{"restricted", NATBehaviour{EndpointIndependent, AddressAndPortDependent, true}, [2]bool{true, true}, false, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			world(t, natWorld(test.nat, Pass), func(t *testing.T, n *Net, _ *trace.Recorder) {
				open := func(host, at string) *UDPConn {
					pc, err := n.Host(host).ListenPacket(t.Context(), "udp", at)
					if err != nil {
						t.Fatal(err)
					}
					return pc.(*UDPConn)
				}
				a, r1, r2, s := open("a", ":4000"), open("r", ":1"), open("r", ":2"), open("s", ":1")
				seen := map[*UDPConn]string{}
				buf := make([]byte, 10)
				for c, to := range map[*UDPConn]string{r1: "198.51.100.1:1", r2: "198.51.100.1:2", s: "198.51.100.2:1"} {
					a.WriteTo([]byte("x"), udpAddr(to))
					_, from, err := c.ReadFrom(buf)
					if err != nil {
						t.Fatal(err)
					}
					seen[c] = from.String()
				}
				if same := [2]bool{seen[r1] == seen[r2], seen[r1] == seen[s]}; same != test.samePort {
					t.Errorf("outside ports %s, %s, %s", seen[r1], seen[r2], seen[s])
				}
				b := open("b", ":5000") // one mapping, to r1 alone
				b.WriteTo([]byte("x"), udpAddr("198.51.100.1:1"))
				_, from, _ := r1.ReadFrom(buf)
				receives := func(c *UDPConn) bool {
					c.WriteTo([]byte("y"), from)
					b.SetReadDeadline(time.Now().Add(time.Second))
					_, err := b.Read(buf)
					return err == nil
				}
				if !receives(r1) || receives(r2) != test.otherPort || receives(s) != test.stranger {
					t.Errorf("filtering is wrong")
				}
			})
		})
	}
}
