package sipedge

import (
	"crypto/tls"
	"errors"
	"net"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"fedlab/gateway/config"
	"fedlab/gateway/im"
	"fedlab/internal/pki"
)

const bySRV = "_sipfederationtls._tcp.contoso.com"

func nextHop(hops ...string) func(*Config) {
	return func(c *Config) {
		c.Domains = map[string]config.SIPDomain{"contoso.com": {NextHop: hops}}
	}
}

// at listens on one address, or under one name, of the network.
func (w *world) at(name string) net.Listener {
	w.t.Helper()
	l, err := memhost{w.net, name}.Listen(w.t.Context(), "tcp", ":5061")
	if err != nil {
		w.t.Fatal(err)
	}
	return l
}

// knows puts names into the DNS.
func (w *world) knows(name string, addresses ...string) {
	w.net.mu.Lock()
	defer w.net.mu.Unlock()
	w.net.addresses[name] = nil
	for _, a := range addresses {
		w.net.addresses[name] = append(w.net.addresses[name], netip.MustParseAddr(a))
	}
}

func (w *world) publishes(records ...*net.SRV) {
	w.net.mu.Lock()
	defer w.net.mu.Unlock()
	w.net.records[bySRV] = records
}

// greet does an Edge's part of the handshake on a connection that the gateway made.
func greet(raw net.Conn, cert tls.Certificate) error {
	return tls.Server(raw, &tls.Config{Certificates: []tls.Certificate{cert}, ClientAuth: tls.RequireAnyClientCert}).Handshake()
}

// client is a caller with a certificate for name. In TLS 1.2 he knows whether he was let in when the handshake is over.
func (w *world) client(name string) *tls.Config {
	return &tls.Config{Certificates: []tls.Certificate{w.certificate(leafFor(name))}, ServerName: gatewayName, RootCAs: pki.Roots(w.ca), MaxVersion: tls.VersionTLS12}
}

// placeErrors is what the status says of each address, in short.
func (w *world) placeErrors() string {
	var all []string
	for _, p := range w.edge.Status().Links[0].Places {
		s := p.Target
		if p.Address.IsValid() {
			s = p.Address.Addr().String()
		}
		switch {
		case p.Err == nil:
			s += " ok"
		case errors.Is(p.Err, ErrName):
			s += " name"
		default:
			s += " " + p.Err.(interface{ Unwrap() error }).Unwrap().Error()
		}
		all = append(all, s)
	}
	return strings.Join(all, "; ")
}

// TestAddressesAreRaced: an address family that does not work delays little. RFC 8305 §5
func TestAddressesAreRaced(t *testing.T) {
	inWorldWith(t, func(w *world, _ *Config) {
		w.knows(edgeName, "2001:db8::33", "2001:db8::34", "10.11.12.33")
		w.net.dead["[2001:db8::33]:5061"], w.net.dead["[2001:db8::34]:5061"] = true, true
	}, func(w *world) {
		began := time.Now()
		w.connected().close()
		if took := time.Since(began); took > 2*time.Second { // the first attempt was made before anybody listened
			t.Errorf("after %v", took)
		}
	})
}

// TestOneOfTwoEdgesDies: two Edges stand behind one name. The one that we are connected to goes away in the middle of a
// conversation, which goes on over the other one; the one that failed is not tried first when that goes away as well.
func TestOneOfTwoEdgesDies(t *testing.T) {
	var first, second net.Listener
	inWorldWith(t, func(w *world, _ *Config) {
		w.knows(edgeName, "10.11.12.33", "10.11.12.34")
		first, second = w.at("10.11.12.33"), w.at("10.11.12.34")
	}, func(w *world) {
		cert := w.edgeCertificate()
		defer second.Close()
		p := w.accept(first, cert)
		out := newOutcomes()
		w.edge.Send(im.Message{From: bob, To: alice, Body: "1"}, out.of("1"))
		p.open()
		p.answer(p.expect("MESSAGE "), "200 OK")
		out.expect(t, "1 ok")

		_ = first.Close()
		p.close()
		synctest.Wait()
		w.edge.Send(im.Message{From: bob, To: alice, Body: "2"}, out.of("2"))
		p = w.accept(second, cert)
		m := p.expect("MESSAGE " + gruu)
		if m.body != "2" {
			t.Errorf("got %q", m.body)
		}
		p.answer(m, "200 OK")
		out.expect(t, "2 ok")
		synctest.Wait() // the status is written down beside the traffic
		if s := w.edge.Status().Links[0]; len(s.Places) != 2 || s.Places[0].Err == nil || s.Places[0].Rests.IsZero() || s.Places[1].Err != nil || !s.Dialled {
			t.Errorf("status %+v", s)
		}

		first = w.at("10.11.12.33") // back, and still at the end of the queue
		defer first.Close()
		w.knows(edgeName, "10.11.12.33", "10.11.12.35")
		third := w.at("10.11.12.35")
		defer third.Close()
		go func() {
			if c, err := first.Accept(); err == nil {
				_ = c.Close()
				t.Error("what failed just now is tried first")
			}
		}()
		p.close()
		w.accept(third, cert).close()
	})
}

// TestWhatRestsIsTriedLast: where everything else fails too, what failed lately is tried all the same; its rests grow and are bounded.
func TestWhatRestsIsTriedLast(t *testing.T) {
	inWorldWith(t, func(w *world, _ *Config) { w.knows(edgeName, "10.11.12.33", "10.11.12.34") }, func(w *world) {
		time.Sleep(time.Hour)
		for _, p := range w.edge.Status().Links[0].Places {
			if rest := p.Rests.Sub(p.At); p.Err == nil || rest != longestRest {
				t.Errorf("%v: %v, rests for %v", p.Address, p.Err, rest)
			}
		}
		l := w.at("10.11.12.34")
		defer l.Close()
		p := w.accept(l, w.edgeCertificate())
		defer p.close()
		synctest.Wait()
		if got := w.placeErrors(); got != "10.11.12.33 dial tcp: connect: connection refused; 10.11.12.34 ok" {
			t.Errorf("places: %s", got)
		}
	})
}

// TestSeveralHosts: the hosts of a next hop are tried in their order, and each has to be who it is said to be.
func TestSeveralHosts(t *testing.T) {
	var second, third net.Listener
	inWorldWith(t, func(w *world, c *Config) {
		nextHop("edge1.contoso.com:5061", "edge2.contoso.com:5061", "edge3.contoso.com:5061")(c)
		w.knows("edge1.contoso.com")
		w.knows("edge2.contoso.com", "10.11.12.34")
		w.knows("edge3.contoso.com", "10.11.12.35")
		second, third = w.at("10.11.12.34"), w.at("10.11.12.35") // before the gateway looks for them
	}, func(w *world) {
		defer second.Close()
		defer third.Close()
		go func() {
			if raw, err := second.Accept(); err == nil { // it has the third one's certificate
				_ = greet(raw, w.certificate(leafFor("edge3.contoso.com")))
			}
		}()
		p := w.accept(third, w.certificate(leafFor("edge3.contoso.com")))
		defer p.close()
		synctest.Wait()
		if got := w.placeErrors(); got != "edge1.contoso.com:5061 lookup edge1.contoso.com: no such host; 10.11.12.34 name; 10.11.12.35 ok" {
			t.Errorf("places: %s", got)
		}
		for _, name := range []string{"edge1.contoso.com", "edge2.contoso.com", "edge3.contoso.com"} { // any of them may call in
			in := w.dial(w.certificate(leafFor(name)))
			in.send(options)
			in.expect("SIP/2.0 200 OK")
			in.close()
		}
	})
}

// TestFirstHostSilent: a host that does not answer makes room for the next one long before a message gives up.
func TestFirstHostSilent(t *testing.T) {
	inWorldWith(t, func(w *world, c *Config) {
		nextHop("edge1.contoso.com:5061", edgeName+":5061")(c)
		w.net.dead["edge1.contoso.com:5061"] = true
	}, func(w *world) {
		l := w.listen()
		defer l.Close()
		out := newOutcomes()
		w.edge.Send(im.Message{From: bob, To: alice, Body: "1"}, out.of("1"))
		p := w.accept(l, w.edgeCertificate())
		defer p.close()
		p.open()
		p.answer(p.expect("MESSAGE "), "200 OK")
		out.expect(t, "1 ok")
	})
}

// TestNextHopBySRV: the record _sipfederationtls._tcp of a domain names its Edges. RFC 2782, RFC 3263 §4.2
func TestNextHopBySRV(t *testing.T) {
	target := func(host string, priority uint16) *net.SRV {
		return &net.SRV{Target: host + ".", Port: 5061, Priority: priority}
	}
	t.Run("the preferred one first", func(t *testing.T) {
		inWorldWith(t, func(w *world, c *Config) {
			nextHop(config.BySRV)(c)
			w.publishes(target("late.contoso.com", 20), target(edgeName, 10))
		}, func(w *world) {
			late := w.at("late.contoso.com")
			p := w.connected()
			defer p.close()
			synctest.Wait()
			if s := w.edge.Status().Links[0]; s.NextHop != bySRV || !s.Dialled {
				t.Errorf("status %+v", s)
			}
			p.close()
			w.accept(late, w.certificate(leafFor("late.contoso.com"))).close()
			_ = late.Close()
		})
	})
	// Who forges the record must not get away with any certificate: a host elsewhere has to prove the domain. RFC 5922 §7.3
	for name, c := range map[string]struct {
		target, certificate string
		fits                bool
	}{
		"a host of the domain by its own name":   {"sip.contoso.com", "sip.contoso.com", true},
		"a host of the domain by the domain":     {"sip.contoso.com", "contoso.com", true},
		"a host elsewhere by the domain":         {"sipfed.example.net", "contoso.com", true},
		"a host elsewhere by its own name":       {"sipfed.example.net", "sipfed.example.net", false},
		"a host of a sub-domain by its own name": {"sip.eu.contoso.com", "sip.eu.contoso.com", false},
		"a host of the domain by another one's":  {"sip.contoso.com", "www.contoso.com", false},
		"a host whose name only ends so":         {"sip.notcontoso.com", "sip.notcontoso.com", false},
	} {
		t.Run(name, func(t *testing.T) {
			inWorldWith(t, func(w *world, conf *Config) {
				nextHop(config.BySRV)(conf)
				w.publishes(target(c.target, 0))
			}, func(w *world) {
				l := w.at(c.target)
				defer l.Close()
				raw, err := l.Accept()
				if err != nil {
					t.Fatal(err)
				}
				err = greet(raw, w.certificate(leafFor(c.certificate)))
				synctest.Wait()
				if up := w.edge.Status().Links[0].Dialled; up != c.fits {
					t.Errorf("link up: %v (%v)", up, err)
				}
				_ = raw.Close()
				if in, err := w.tryDial(w.client(c.certificate)); (err == nil) != c.fits {
					t.Errorf("let in: %v", err)
				} else if err == nil {
					in.close()
				}
			})
		})
	}
	t.Run("who has been added to the record may call in", func(t *testing.T) {
		inWorldWith(t, func(w *world, c *Config) {
			nextHop(config.BySRV)(c)
			w.publishes(target(edgeName, 0))
		}, func(w *world) {
			defer w.connected().close()
			if in, err := w.tryDial(w.client("edge2.contoso.com")); err == nil {
				in.close()
				t.Error("somebody whom the record does not name was let in")
			}
			w.publishes(target(edgeName, 0), target("edge2.contoso.com", 0))
			time.Sleep(lookupRest)
			in := w.dial(w.certificate(leafFor("edge2.contoso.com")))
			in.send(options)
			in.expect("SIP/2.0 200 OK")
			in.close()
		})
	})
	t.Run("the last answer holds while DNS fails", func(t *testing.T) {
		inWorldWith(t, func(w *world, c *Config) {
			nextHop(config.BySRV)(c)
			w.publishes(target(edgeName, 0))
		}, func(w *world) {
			p := w.connected()
			w.net.mu.Lock()
			w.net.failing = true
			w.net.mu.Unlock()
			p.close()
			w.connected().close()
		})
	})
	for name, c := range map[string]struct {
		records []*net.SRV
		says    string
	}{
		"no record":          {nil, "there is no SRV record " + bySRV},
		"the service is not": {[]*net.SRV{{Target: "."}}, "says that the domain does not federate"},
	} {
		t.Run(name, func(t *testing.T) {
			inWorldWith(t, func(w *world, conf *Config) {
				nextHop(config.BySRV)(conf)
				w.publishes(c.records...)
			}, func(w *world) {
				told := make(chan *im.Failure, 1)
				w.edge.Send(im.Message{From: bob, To: alice, Body: "1"}, func(f *im.Failure) { told <- f })
				if f := <-told; f == nil || f.Condition != im.RemoteServerTimeout {
					t.Errorf("told %v", f)
				}
				if err := w.edge.Status().Links[0].LastErr; err == nil || !strings.Contains(err.Error(), c.says) {
					t.Errorf("status: %v", err)
				}
			})
		})
	}
}
