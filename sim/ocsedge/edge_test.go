package ocsedge

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"fedlab/internal/network"
	"fedlab/internal/pki"
	"fedlab/sim/trace"
)

func TestStartRefuses(t *testing.T) {
	inWorld(t, nil, func(t *testing.T, w *world) {
		good := func() Config {
			return Config{Network: w.net.Host("edge"), Name: "sip.contoso.com", Federation: "10.11.12.33:5062", Domains: []string{"contoso.com"},
				Certificate: w.issue(pki.Leaf{Subject: "sip.contoso.com"}).TLS()}
		}
		for want, change := range map[string]func(*Config){
			"Network":                func(c *Config) { c.Network = nil },
			"Name":                   func(c *Config) { c.Name = "" },
			"Federation":             func(c *Config) { c.Federation = "" },
			"Certificate":            func(c *Config) { c.Certificate = tls.Certificate{} },
			"Domains":                func(c *Config) { c.Domains = nil },
			"bob@gmail.com":          func(c *Config) { c.Users = []User{{Address: "bob@gmail.com"}} },
			"address already in use": func(c *Config) { c.Internal = "10.11.12.33:5061" },
			"AnswerDelay":            func(c *Config) { c.Quirks.AnswerDelay = time.Hour },
			"KeepAlive":              func(c *Config) { c.Quirks.KeepAlive = -1 },
			"UnlistedStatus":         func(c *Config) { c.Quirks.UnlistedStatus = 200 },
		} {
			c := good()
			change(&c)
			e, err := Start(t.Context(), c)
			if err == nil {
				e.Close()
			}
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%s: %v", want, err)
			}
		}
		e, err := Start(t.Context(), good()) // and the address is free again
		if err != nil {
			t.Fatal(err)
		}
		e.Close()
		if err := e.Send(t.Context(), SendOptions{From: "alice@contoso.com", To: "bob@gmail.com"}); !errors.Is(err, ErrClosed) {
			t.Errorf("after Close: %v", err)
		}
		if err := w.edge.Send(t.Context(), SendOptions{From: "eve@contoso.com", To: "bob@gmail.com"}); !errors.Is(err, ErrNoUser) {
			t.Errorf("a stranger: %v", err)
		}
		if err := w.edge.Send(t.Context(), SendOptions{From: "alice@contoso.com", To: "gmail.com"}); err == nil {
			t.Error("a domain is written to")
		}
	})
}

// TestRestart: connections and dialogs are gone without a word; who waits is told; the next text goes its way, and clients
// subscribe afresh.
func TestRestart(t *testing.T) {
	inWorld(t, nil, func(t *testing.T, w *world) {
		k, _ := w.subscribe("28800")
		defer k.close()
		p := w.dial()
		defer p.close()
		c := p.invite("alice@contoso.com")
		w.send("alice@contoso.com", "bob@gmail.com", "unanswered")
		k.read("MESSAGE")
		if err := w.edge.Restart(t.Context()); err != nil {
			t.Fatal(err)
		}
		if e := w.shown(trace.Error, "alice@contoso.com"); e.Item.Body != "unanswered" {
			t.Errorf("shown %+v", e)
		}
		p.silent(time.Hour)
		again := w.accept()
		defer again.close()
		sub := again.read("SUBSCRIBE sip:bob@gmail.com")
		again.reply(sub, "200 OK", peerContact+"Expires: 28800\n", "")
		q := w.dial()
		defer q.close()
		c.peer = q
		c.say("to a session that is no more")
		q.read("SIP/2.0 481")
		w.send("alice@contoso.com", "bob@gmail.com", "next")
		again.take()
		again.reply(again.read("MESSAGE"), "200 OK", "", "")
		w.conforming()
	})
}

// TestOpening: NEGOTIATE, with Max-Forwards 0 and a Via without branch, is the first thing on a connection; it goes on without
// compression whatever the refusal is, and a grant is caught.
func TestOpening(t *testing.T) {
	for status, guilt := range map[string]string{"405 Method Not Allowed": "", "501 Not Implemented": "", "200 OK\nCompression: None": "", "200 OK\nCompression: LZ77-8K": "grants compression"} {
		t.Run(status, func(t *testing.T) {
			inWorld(t, quirks(Quirks{Negotiate: true}), func(t *testing.T, w *world) {
				w.send("anna@contoso.com", "bob@gmail.com", "hello")
				p := w.accept()
				defer p.close()
				n := p.read("NEGOTIATE sip:10.11.12.40:5061 SIP/2.0")
				if n.get("Max-Forwards") != "0" || strings.Contains(n.get("Via"), "branch") || len(n.values("Via")) != 1 || n.get("Compression") != "LZ77-8K" {
					t.Errorf("%s", n.bytes())
				}
				inv := p.read("INVITE")
				p.reply(n, status, "", "")
				if guilt != "" {
					w.guilty(guilt)
					return
				}
				p.reply(inv, "200 OK", peerAnswer, peerSDP)
				p.read("ACK")
				w.conforming()
			})
		})
	}
}

// TestIdleConnection: empty lines and OPTIONS at their intervals; who does not answer OPTIONS loses the connection.
func TestIdleConnection(t *testing.T) {
	inWorld(t, quirks(Quirks{KeepAlive: time.Minute, Probe: 5 * time.Minute, SessionIdle: 17 * time.Minute}), func(t *testing.T, w *world) {
		w.send("anna@contoso.com", "bob@gmail.com", "hello")
		p := w.accept()
		defer p.close()
		p.take()
		p.reply(p.read("MESSAGE"), "200 OK", "", "")
		for i := range 3 {
			o := p.read("OPTIONS sip:Options_User@xmpp.jds.local SIP/2.0")
			if d := time.Since(epoch).Round(time.Minute); d != time.Duration(i+1)*5*time.Minute {
				t.Errorf("probe %d after %s", i, d)
			}
			p.reply(o, "200 OK", "", "")
		}
		p.reply(p.read("BYE "), "200 OK", "", "")
		if d := time.Since(epoch).Round(time.Minute); d != 17*time.Minute {
			t.Errorf("the session ended after %s", d)
		}
		p.read("OPTIONS")
		p.silent(time.Hour)
		if !strings.Contains(w.log(), "no answer to OPTIONS") {
			t.Errorf("log %q", w.log())
		}
		w.conforming()
	})
	inWorld(t, quirks(Quirks{KeepAlive: time.Minute}), func(t *testing.T, w *world) {
		p := w.dial()
		defer p.close()
		p.c.SetReadDeadline(time.Now().Add(2*time.Minute + time.Second))
		buf := make([]byte, 16)
		var got []byte
		for {
			n, err := p.c.Read(buf)
			got = append(got, buf[:n]...)
			if err != nil {
				break
			}
		}
		if string(got) != "\r\n\r\n\r\n\r\n" {
			t.Errorf("in two minutes: %q", got)
		}
	})
}

// TestStalledPeer: a peer that stops reading loses its connection; others are not held up, and Close is not either.
func TestStalledPeer(t *testing.T) {
	inWorld(t, nil, func(t *testing.T, w *world) {
		w.send("anna@contoso.com", "bob@gmail.com", "hello")
		p := w.accept()
		defer p.close()
		p.take()
		for range 300 {
			w.send("anna@contoso.com", "bob@gmail.com", strings.Repeat("x", 20000))
		}
		q := w.dial()
		defer q.close()
		q.invite("alice@contoso.com")
		time.Sleep(writeTime + time.Second)
		if e := w.shown(trace.Error, "anna@contoso.com"); e.Item.Code != 504 {
			t.Errorf("shown %+v", e)
		}
		if !strings.Contains(w.log(), "WSAETIMEDOUT") {
			t.Errorf("log %s", w.log())
		}
	})
}

// records answers SRV questions from a table.
type records struct {
	network.Network
	srv map[string][]*net.SRV
}

func (r records) LookupSRV(_ context.Context, service, proto, name string) (string, []*net.SRV, error) {
	key := "_" + service + "._" + proto + "." + name
	if s, ok := r.srv[key]; ok {
		return key, s, nil
	}
	return "", nil, &net.DNSError{Err: "no such host", Name: key, IsNotFound: true}
}

// TestPartners: a domain on the Allow list without a next hop, and one that is only discovered, are those whom their SRV record
// names; the discovered one has limits.
func TestPartners(t *testing.T) {
	setup := func(target string, listed bool) func(*world, *Config) {
		return func(w *world, c *Config) {
			w.pair = w.issue(pki.Leaf{Subject: target, Server: true})
			c.Network = records{c.Network, map[string][]*net.SRV{"_sipfederationtls._tcp.gmail.com": {{Target: target + ".", Port: 5061}}}}
			c.Allow, c.Discovery = map[string]string{}, true
			if listed {
				c.Allow["gmail.com"], c.Discovery = "", false
			}
		}
	}
	options := func(p *peer, to string) { p.open("OPTIONS", to, "", "", "CSeq: 1", fmt.Sprintf("CSeq: %d", p.w.n)) }
	t.Run("allowed", func(t *testing.T) {
		inWorld(t, setup("sip.gmail.com", true), func(t *testing.T, w *world) {
			p := w.dial()
			defer p.close()
			begin := time.Now()
			for range 100 {
				options(p, "alice@contoso.com")
				p.read("SIP/2.0 200")
			}
			if d := time.Since(begin); d > time.Second {
				t.Errorf("100 messages took %s", d)
			}
			w.conforming()
		})
	})
	t.Run("foreign target", func(t *testing.T) {
		inWorld(t, setup("sip.googlemail.com", true), func(t *testing.T, w *world) {
			p := w.dial()
			defer p.close()
			options(p, "alice@contoso.com")
			p.read("SIP/2.0 504")
			w.judgeLog("SIPPROXY_E_EPROUTING_MSG_ALLOWED_DOMAIN_NO_SRV_MATCH")
			w.send("anna@contoso.com", "bob@gmail.com", "hello")
			w.shown(trace.Error, "anna@contoso.com")
			w.judgeLog("ErrorId 1009")
		})
	})
	t.Run("another peer", func(t *testing.T) {
		inWorld(t, setup("sip.gmail.com", true), func(t *testing.T, w *world) {
			w.pair = w.issue(pki.Leaf{Subject: "xmpp.jds.local", Server: true})
			p := w.dial()
			defer p.close()
			options(p, "alice@contoso.com")
			p.read("SIP/2.0 504")
			w.judgeLog(`names ["sip.gmail.com"]`)
		})
	})
	t.Run("no record", func(t *testing.T) {
		inWorld(t, setup("sip.gmail.com", false), func(t *testing.T, w *world) {
			p := w.dial()
			defer p.close()
			p.open("OPTIONS", "alice@contoso.com", "", "", "bob@gmail.com", "bob@jabber.org")
			p.read("SIP/2.0 504")
			w.judgeLog("ErrorId 1008")
		})
	})
	t.Run("discovered: the rate", func(t *testing.T) {
		inWorld(t, setup("sip.gmail.com", false), func(t *testing.T, w *world) {
			p := w.dial()
			defer p.close()
			begin := time.Now()
			for range 60 {
				options(p, "alice@contoso.com")
			}
			for range 60 {
				p.read("SIP/2.0 200")
			}
			if d := time.Since(begin).Round(100 * time.Millisecond); d != 3*time.Second {
				t.Errorf("60 messages took %s", d)
			}
			w.conforming()
		})
	})
	t.Run("discovered: suspicious, and too many addresses", func(t *testing.T) {
		inWorld(t, setup("sip.gmail.com", false), func(t *testing.T, w *world) {
			p := w.dial()
			defer p.close()
			ask := func(n int) time.Duration {
				begin := time.Now()
				for range n {
					p.open("MESSAGE", fmt.Sprintf("nobody%d@contoso.com", w.n), "Content-Type: text/plain\n", "x")
					want := "SIP/2.0 404"
					if w.n > discoveredURIs {
						want = "SIP/2.0 504"
					}
					p.read(want)
				}
				return time.Since(begin).Round(time.Second)
			}
			if d := ask(20); d != time.Second {
				t.Errorf("20 messages took %s", d)
			}
			if d := ask(11); d != 10*time.Second {
				t.Errorf("11 failures more took %s", d)
			}
			ask(discoveredURIs - 31)
			ask(3)
			w.judgeLog("on the watch list")
			w.conforming()
		})
	})
}

// TestSeed: the same seed says the same, byte for byte but for what the connection adds.
func TestSeed(t *testing.T) {
	run := func(seed uint64) (said []string) {
		inWorld(t, func(_ *world, c *Config) { c.Seed = seed }, func(t *testing.T, w *world) {
			w.send("anna@contoso.com", "bob@gmail.com", "hello")
			p := w.accept()
			defer p.close()
			p.take()
			p.reply(p.read("MESSAGE"), "200 OK", "", "")
			q := w.dial()
			defer q.close()
			q.invite("alice@contoso.com").say("x")
			q.read("SIP/2.0 200")
			synctest.Wait()
			for _, e := range w.trace.Events() {
				if e.Layer == trace.SIP {
					said = append(said, string(e.Data))
				}
			}
		})
		return said
	}
	if !slices.Equal(run(7), run(7)) {
		t.Error("the same seed says something else")
	}
	if slices.Equal(run(7), run(8)) {
		t.Error("another seed says the same")
	}
}
