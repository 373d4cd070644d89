package ocsedge

import (
	"crypto/tls"
	"crypto/x509"
	"net"
	"strings"
	"testing"
	"time"

	"fedlab/internal/pki"
	"fedlab/sim/trace"
)

// papers are the certificates that the field has, right and wrong, for a machine that should be xmpp.jds.local. inbound and
// outbound are what an Edge's log has to say when it meets one as a server and as a client; "" for one that is good.
var papers = map[string]struct {
	make              func(*world) *pki.Pair
	inbound, outbound string
}{
	"name in the CN only":   {leaf(pki.Leaf{Subject: "xmpp.jds.local", Server: true}), "", ""},
	"name in the SAN only":  {leaf(pki.Leaf{Names: []string{"im.jds.local", "xmpp.jds.local"}, Server: true}), "", ""},
	"another case":          {leaf(pki.Leaf{Subject: "XMPP.jds.local", Server: true}), "", ""},
	"for both usages":       {leaf(pki.Leaf{Subject: "xmpp.jds.local", Server: true, Client: true}), "", ""},
	"for no usage":          {leaf(pki.Leaf{Subject: "xmpp.jds.local"}), "", ""},
	"RSA":                   {leaf(pki.Leaf{Subject: "xmpp.jds.local", Server: true, RSA: true}), "", ""},
	"for clients only":      {leaf(pki.Leaf{Subject: "xmpp.jds.local", Client: true}), "", "SEC_E_CERT_WRONG_USAGE"},
	"an alias":              {leaf(pki.Leaf{Subject: "im.contoso.com", Server: true}), "SIPPROXY_E_ROUTING_MSG_CERT_MISMATCH", "SEC_E_WRONG_PRINCIPAL"},
	"a wildcard":            {leaf(pki.Leaf{Names: []string{"*.jds.local"}, Server: true}), "SIPPROXY_E_ROUTING_MSG_CERT_MISMATCH", "SEC_E_WRONG_PRINCIPAL"},
	"CN right, SAN without": {leaf(pki.Leaf{Subject: "xmpp.jds.local", Names: []string{"im.contoso.com"}, Server: true}), "SIPPROXY_E_ROUTING_MSG_CERT_MISMATCH", "SEC_E_WRONG_PRINCIPAL"},
	"no name at all":        {leaf(pki.Leaf{Server: true}), "SIPPROXY_E_ROUTING_MSG_CERT_MISMATCH", "SEC_E_WRONG_PRINCIPAL"},
	"expired":               {leaf(pki.Leaf{Subject: "xmpp.jds.local", NotAfter: epoch.Add(-time.Hour), NotBefore: epoch.Add(-time.Hour * 48), Server: true}), "SEC_E_CERT_EXPIRED", "SEC_E_CERT_EXPIRED"},
	"not yet valid":         {leaf(pki.Leaf{Subject: "xmpp.jds.local", NotBefore: epoch.Add(time.Hour), Server: true}), "SEC_E_CERT_EXPIRED", "SEC_E_CERT_EXPIRED"},
	"issuing certificate not sent": {func(w *world) *pki.Pair {
		return w.issue(pki.Leaf{Subject: "xmpp.jds.local", Server: true}).WithoutChain()
	}, "SEC_E_UNTRUSTED_ROOT", "SEC_E_UNTRUSTED_ROOT"},
	"another authority": {func(w *world) *pki.Pair {
		w.ca, _ = pki.NewAuthority("private-ca", pki.AuthorityOptions{})
		return w.issue(pki.Leaf{Subject: "xmpp.jds.local", Server: true})
	}, "SEC_E_UNTRUSTED_ROOT", "SEC_E_UNTRUSTED_ROOT"},
	"self-signed": {func(w *world) *pki.Pair {
		p, err := pki.SelfSigned(pki.Leaf{Subject: "xmpp.jds.local", Server: true})
		if err != nil {
			w.t.Fatal(err)
		}
		return p
	}, "SEC_E_UNTRUSTED_ROOT", "SEC_E_UNTRUSTED_ROOT"},
}

// epoch is when a bubble begins.
var epoch = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)

func leaf(l pki.Leaf) func(*world) *pki.Pair { return func(w *world) *pki.Pair { return w.issue(l) } }

// TestCertificatesIn: the peer calls with each of the certificates. A bad chain breaks the handshake; a wrong name is let in and
// gets a bare 504 on a connection that stays. The reason stands in the Edge's log alone.
func TestCertificatesIn(t *testing.T) {
	for name, c := range papers {
		t.Run(name, func(t *testing.T) {
			inWorld(t, nil, func(t *testing.T, w *world) {
				p, err := w.dialAs("10.11.12.33:5061", c.make(w).TLS())
				defer p.close()
				w.judgeLog(c.inbound)
				if strings.HasPrefix(c.inbound, "SEC_") {
					if err == nil {
						t.Error("the handshake was good")
					}
					w.seen(trace.TLS, trace.Failed, c.inbound)
					return
				}
				if err != nil {
					t.Fatal(err)
				}
				w.seen(trace.TLS, trace.Passed, "TLS 1.2")
				if c.inbound == "" {
					p.invite("alice@contoso.com")
					w.conforming()
					return
				}
				for range 2 { // the connection stays
					p.open("OPTIONS", "alice@contoso.com", "", "")
					if m := p.read("SIP/2.0 504 Server time-out"); len(m.fields) != 7 {
						t.Errorf("not bare: %s", m.bytes())
					}
				}
				w.judgeLog(c.inbound)
				w.conforming()
			})
		})
	}
}

// TestCertificatesOut: the peer answers with each of the certificates.
func TestCertificatesOut(t *testing.T) {
	for name, c := range papers {
		t.Run(name, func(t *testing.T) {
			inWorld(t, nil, func(t *testing.T, w *world) {
				w.pair = c.make(w)
				w.send("anna@contoso.com", "bob@gmail.com", "hello")
				p := w.accept()
				defer p.close()
				if c.outbound == "" {
					p.take()
					w.conforming()
					return
				}
				if err := p.c.HandshakeContext(t.Context()); err == nil {
					p.silent(time.Minute)
				}
				if e := w.shown(trace.Error, "anna@contoso.com"); e.Item.Code != 504 || e.At.Sub(epoch) > time.Second {
					t.Errorf("shown %+v", e)
				}
				w.judgeLog(c.outbound)
				w.seen(trace.TLS, trace.Failed, c.outbound)
				w.conforming()
			})
		})
	}
}

// judgeLog wants the Edge's log to give this reason, or none.
func (w *world) judgeLog(symbol string) {
	w.t.Helper()
	w.unexpected() // comes to rest
	if log := w.log(); strings.HasPrefix(symbol, "SIPPROXY") && log == "" {
		return // not asked for anything yet
	} else if !strings.Contains(log, symbol) || (symbol == "" && log != "") {
		w.t.Errorf("the log says %q, want %q", log, symbol)
	}
}

// seen wants an event in the trace.
func (w *world) seen(layer trace.Layer, kind, summary string) {
	w.t.Helper()
	w.unexpected()
	var all []string
	for _, e := range w.trace.Events() {
		if e.Layer == layer {
			if e.Kind == kind && strings.Contains(e.Summary, summary) {
				return
			}
			all = append(all, e.String())
		}
	}
	w.t.Errorf("no %s %s %q in %q", layer, kind, summary, all)
}

// TestInstalledIssuer: an issuing certificate that the peer does not send will do if it is installed.
func TestInstalledIssuer(t *testing.T) {
	inWorld(t, func(w *world, c *Config) { c.Intermediates = []*x509.Certificate{w.ca.Issuing()} }, func(t *testing.T, w *world) {
		w.pair = w.pair.WithoutChain()
		p := w.dial()
		defer p.close()
		p.invite("alice@contoso.com")
		w.send("anna@contoso.com", "bob@gmail.com", "hello")
		q := w.accept()
		defer q.close()
		q.take()
		w.conforming()
	})
}

// TestHandshakes: what else can go wrong, in both directions.
func TestHandshakes(t *testing.T) {
	t.Run("no client certificate", func(t *testing.T) {
		inWorld(t, nil, func(t *testing.T, w *world) {
			p, err := w.dialAs("10.11.12.33:5061")
			defer p.close()
			if err == nil {
				t.Error("let in")
			}
			w.judgeLog("SEC_E_INCOMPLETE_CREDENTIALS")
		})
	})
	t.Run("no certificate of its own", func(t *testing.T) {
		inWorld(t, quirks(Quirks{WithoutCertificate: true}), func(t *testing.T, w *world) {
			w.send("anna@contoso.com", "bob@gmail.com", "hello")
			p := w.accept()
			defer p.close()
			if err := p.c.HandshakeContext(t.Context()); err == nil {
				t.Error("it sent one")
			}
			w.shown(trace.Error, "anna@contoso.com")
			w.judgeLog("SEC_E_ILLEGAL_MESSAGE")
		})
	})
	t.Run("no key", func(t *testing.T) {
		inWorld(t, func(w *world, c *Config) {
			c.Certificate = w.issue(pki.Leaf{Subject: "sip.contoso.com", Server: true}).WithoutKey().TLS()
		}, func(t *testing.T, w *world) {
			p, err := w.dialAs("10.11.12.33:5061", w.pair.TLS())
			defer p.close()
			if err == nil {
				t.Error("let in")
			}
			w.judgeLog("connection from 10.11.12.40")
			w.send("anna@contoso.com", "bob@gmail.com", "hello")
			w.accept().close()
			w.shown(trace.Error, "anna@contoso.com")
			w.judgeLog("SEC_E_NO_CREDENTIALS")
		})
	})
	t.Run("the key of another", func(t *testing.T) {
		inWorld(t, func(w *world, c *Config) {
			p, err := w.issue(pki.Leaf{Subject: "sip.contoso.com", Server: true}).WithOtherKey()
			if err != nil {
				t.Fatal(err)
			}
			c.Certificate = p.TLS()
		}, func(t *testing.T, w *world) {
			p, err := w.dialAs("10.11.12.33:5061", w.pair.TLS())
			defer p.close()
			if err == nil {
				t.Error("let in")
			}
			w.judgeLog("connection from 10.11.12.40")
		})
	})
	t.Run("versions", func(t *testing.T) {
		inWorld(t, quirks(Quirks{MaxTLS: tls.VersionTLS10}), func(t *testing.T, w *world) {
			p, err := w.dialAs("10.11.12.33:5061", w.pair.TLS()) // offers 1.2 and later
			defer p.close()
			if err == nil {
				t.Error("let in")
			}
			w.judgeLog("SEC_E_ALGORITHM_MISMATCH")
			raw := w.tcp("10.11.12.33:5061")
			defer raw.Close()
			c := tls.Client(raw, &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS10, Certificates: []tls.Certificate{w.pair.TLS()}})
			if err := c.HandshakeContext(t.Context()); err != nil || c.ConnectionState().Version != tls.VersionTLS10 {
				t.Errorf("TLS 1.0: %v", err)
			}
		})
	})
	t.Run("cipher suites", func(t *testing.T) {
		inWorld(t, quirks(Quirks{CipherSuites: []uint16{tls.TLS_RSA_WITH_3DES_EDE_CBC_SHA}}), func(t *testing.T, w *world) {
			p, err := w.dialAs("10.11.12.33:5061", w.pair.TLS())
			defer p.close()
			if err == nil {
				t.Error("let in")
			}
			w.judgeLog("SEC_E_ALGORITHM_MISMATCH")
			w.send("anna@contoso.com", "bob@gmail.com", "hello")
			q := w.accept()
			defer q.close()
			if err := q.c.HandshakeContext(t.Context()); err == nil {
				t.Error("agreed")
			}
			w.shown(trace.Error, "anna@contoso.com")
		})
	})
	t.Run("silence", func(t *testing.T) {
		inWorld(t, nil, func(t *testing.T, w *world) {
			raw := w.tcp("10.11.12.33:5061")
			defer raw.Close()
			w.send("anna@contoso.com", "bob@gmail.com", "hello")
			q, err := w.l.Accept()
			if err != nil {
				t.Fatal(err)
			}
			defer q.Close()
			if e := w.shown(trace.Error, "anna@contoso.com"); e.At.Sub(epoch).Round(time.Second) != handshakeTime {
				t.Errorf("told after %s", e.At.Sub(epoch))
			}
			w.judgeLog("connection from 10.11.12.40 to the federation listener")
			w.judgeLog("WSAETIMEDOUT")
		})
	})
}

// TestGate: who is let in, and what the log says of the others.
func TestGate(t *testing.T) {
	for name, c := range map[string]struct {
		config func(*Config)
		edits  []string
		status string
		log    string
	}{
		"a domain that is not on the list": {nil, []string{"bob@gmail.com", "bob@googlemail.com"}, "504 Server time-out", "googlemail.com is not on the Allow list"},
		"a blocked domain":                 {func(c *Config) { c.Block = []string{"Gmail.com"} }, nil, "403 Forbidden", "blocked"},
		"an alias on the list":             {func(c *Config) { c.Allow["gmail.com"] = "im.contoso.com" }, nil, "504 Server time-out", `the Allow list has "im.contoso.com" for gmail.com`},
		"a domain that is not ours":        {nil, []string{"To: <sip:alice@contoso.com>", "To: <sip:alice@elsewhere.eu>"}, "404 Not Found", "not an internal one"},
		"no hops left":                     {nil, []string{"Max-Forwards: 70", "Max-Forwards: 0"}, "483 Too Many Hops", ""},
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, func(_ *world, cfg *Config) {
				if c.config != nil {
					c.config(cfg)
				}
			}, func(t *testing.T, w *world) {
				p := w.dial()
				defer p.close()
				p.open("OPTIONS", "alice@contoso.com", "", "", c.edits...)
				p.read("SIP/2.0 " + c.status)
				w.judgeLog(c.log)
				w.conforming()
			})
		})
	}
	t.Run("the internal interface", func(t *testing.T) {
		inWorld(t, nil, func(t *testing.T, w *world) {
			p, err := w.dialAs("10.10.10.50:5061", w.pair.TLS())
			defer p.close()
			if err != nil {
				t.Fatal(err)
			}
			if names := certificateNames(p.c.ConnectionState().PeerCertificates[0]); names[0] != "edge.jds.local" {
				t.Errorf("it is called %q", names)
			}
			p.open("OPTIONS", "alice@contoso.com", "", "")
			if m := p.read("SIP/2.0 504 Server time-out"); !strings.HasPrefix(m.get("ms-diagnostics"), "1000;") {
				t.Errorf("an internal server is not told why: %q", m.get("ms-diagnostics"))
			}
			w.judgeLog("not an internal server, on the internal interface")
			w.conforming()
		})
	})
	t.Run("closing", func(t *testing.T) {
		inWorld(t, quirks(Quirks{CloseOnRefusal: true}), func(t *testing.T, w *world) {
			p := w.dial()
			defer p.close()
			p.open("OPTIONS", "alice@contoso.com", "", "", "bob@gmail.com", "bob@jabber.org")
			p.read("SIP/2.0 504")
			p.silent(time.Second)
			if _, err := p.c.Write([]byte("\r\n")); err == nil {
				p.silent(time.Second)
			}
		})
	})
	t.Run("changed while it runs", func(t *testing.T) {
		inWorld(t, nil, func(t *testing.T, w *world) {
			p := w.dial()
			defer p.close()
			if err := w.edge.SetAllow(t.Context(), nil); err != nil {
				t.Fatal(err)
			}
			p.open("OPTIONS", "alice@contoso.com", "", "")
			p.read("SIP/2.0 504")
			w.send("anna@contoso.com", "bob@gmail.com", "hello")
			w.shown(trace.Error, "anna@contoso.com")
			w.judgeLog("cannot route to the destination domain")
		})
	})
}

// TestUnreachable: the next hop cannot be reached, and the log says how.
func TestUnreachable(t *testing.T) {
	for name, c := range map[string]struct {
		next, log string
		after     time.Duration
	}{
		"nobody knows the name": {"nowhere.jds.local", "WSATRY_AGAIN", -1},
		"nothing listens":       {"xmpp.jds.local:5016", "10061 WSAECONNREFUSED", 0},
		"nobody is there":       {"dark.jds.local", "10065 WSAEHOSTUNREACH", -1},
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, func(_ *world, cfg *Config) { cfg.Allow["gmail.com"] = c.next }, func(t *testing.T, w *world) {
				w.send("anna@contoso.com", "bob@gmail.com", "hello")
				e := w.shown(trace.Error, "anna@contoso.com")
				if d := e.At.Sub(epoch).Round(time.Second); e.Item.Code != 504 || d > transactionTime || (c.after >= 0 && d != c.after) {
					t.Errorf("shown %+v after %s", e, d)
				}
				w.judgeLog(c.log)
				w.conforming()
			})
		})
	}
	if got := dialReason(&net.DNSError{Name: "xmpp.jds.local", IsNotFound: true}).String(); got != "ErrorId 1014 11001 WSAHOST_NOT_FOUND: no address for xmpp.jds.local" {
		t.Errorf("a name that does not exist: %s", got)
	}
	t.Run("the way is cut", func(t *testing.T) {
		inWorld(t, nil, func(t *testing.T, w *world) {
			w.net.Segment("perimeter").Cut()
			w.send("anna@contoso.com", "bob@gmail.com", "hello")
			if e := w.shown(trace.Error, "anna@contoso.com"); e.At.Sub(epoch).Round(time.Second) != connectTime {
				t.Errorf("told after %s", e.At.Sub(epoch))
			}
			w.judgeLog("10060 WSAETIMEDOUT")
		})
	})
}
