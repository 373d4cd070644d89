package sipedge

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"

	"fedlab/gateway/config"
	"fedlab/gateway/im"
	"fedlab/internal/pki"
	"fedlab/internal/revocation"
)

// TestPeerCertificates: E25, E26. Every kind of certificate an Edge may present, in both directions: taken, or refused in the
// handshake with a reason that names what was wrong. A refused client never reaches SIP.
func TestPeerCertificates(t *testing.T) {
	now := time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC) // when bubbles begin
	for _, c := range []struct {
		name   string
		leaf   pki.Leaf
		by     string // "", "other" authority, "self", "issuing" with chain, "no-chain"
		pin    bool
		reason error
		text   string
	}{
		{name: "SAN", leaf: pki.Leaf{Subject: "whatever", Names: []string{edgeName}, Server: true}},
		{name: "one SAN of several, other case", leaf: pki.Leaf{Subject: "x", Names: []string{"edge.jds.local", "SIP.Contoso.com"}, Server: true}},
		{name: "CN only", leaf: pki.Leaf{Subject: edgeName, Server: true}},
		{name: "CN does not count beside a SAN", leaf: pki.Leaf{Subject: edgeName, Names: []string{"edge.jds.local"}, Server: true}, reason: ErrName, text: "expected sip.contoso.com, it has edge.jds.local"},
		{name: "no usage at all", leaf: pki.Leaf{Subject: edgeName}},
		{name: "client usage only", leaf: pki.Leaf{Subject: edgeName, Client: true}},
		{name: "other name", leaf: pki.Leaf{Subject: "sip.fabrikam.com", Server: true}, reason: ErrName, text: "expected sip.contoso.com, it has sip.fabrikam.com"},
		{name: "wildcard", leaf: pki.Leaf{Subject: "x", Names: []string{"*.contoso.com"}, Server: true}, reason: ErrName},
		{name: "suffix", leaf: pki.Leaf{Subject: "contoso.com", Server: true}, reason: ErrName},
		{name: "longer", leaf: pki.Leaf{Subject: "a.sip.contoso.com", Server: true}, reason: ErrName},
		{name: "no name", leaf: pki.Leaf{Server: true}, reason: ErrName, text: "it has no name"},
		{name: "expired", leaf: pki.Leaf{Subject: edgeName, Server: true, NotBefore: now.AddDate(-2, 0, 0), NotAfter: now.AddDate(0, 0, -1)}, reason: ErrDates, text: "to 1999-12-31 00:00 UTC, now is 2000-01-01 00:00 UTC"},
		{name: "not yet valid", leaf: pki.Leaf{Subject: edgeName, Server: true, NotBefore: now.AddDate(0, 0, 1)}, reason: ErrDates},
		{name: "other authority", leaf: pki.Leaf{Subject: edgeName, Server: true}, by: "other", reason: ErrAuthority, text: `issued by "CN=other-ca`},
		{name: "revoked", leaf: pki.Leaf{Subject: edgeName, Server: true}, by: "revoked", reason: ErrRevoked, text: "was revoked at 1999-12-31 23:00 UTC: superseded"},
		{name: "another revoked", leaf: pki.Leaf{Subject: edgeName, Server: true}, by: "another-revoked"},
		{name: "self-signed", leaf: pki.Leaf{Subject: edgeName, Server: true}, by: "self", reason: ErrAuthority},
		{name: "issuing certificate sent along", leaf: pki.Leaf{Subject: edgeName, Server: true}, by: "issuing"},
		{name: "issuing certificate missing", leaf: pki.Leaf{Subject: edgeName, Server: true}, by: "no-chain", reason: ErrAuthority, text: "let the peer send its issuing certificates"},
		{name: "pinned", leaf: pki.Leaf{Subject: edgeName, Server: true, NotBefore: now.AddDate(-2, 0, 0), NotAfter: now.AddDate(-1, 0, 0)}, by: "self", pin: true},
		{name: "pinned, signed with SHA-1", leaf: pki.Leaf{Subject: edgeName, Server: true, SHA1: true}, pin: true},
		{name: "SHA-1 without a pin", leaf: pki.Leaf{Subject: edgeName, Server: true, SHA1: true}, reason: ErrAuthority},
		{name: "pinned, other name", leaf: pki.Leaf{Subject: "sip.fabrikam.com", Server: true}, pin: true, reason: ErrName},
	} {
		for _, inbound := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s/inbound=%v", c.name, inbound), func(t *testing.T) {
				var cert tls.Certificate
				prepare := func(w *world, conf *Config) {
					cert = issued(w, c.leaf, c.by, conf)
					if c.pin {
						sum := verifierPin(cert)
						conf.Domains = map[string]config.SIPDomain{"contoso.com": {NextHop: config.NextHop{edgeName + ":5061"}, Pin: strings.ToUpper(sum[:2]) + ":" + sum[2:]}}
					}
				}
				inWorldWith(t, prepare, func(w *world) {
					l := w.listen()
					if !inbound {
						raw, err := l.Accept()
						if err != nil {
							t.Fatal(err)
						}
						conn := tls.Server(raw, &tls.Config{Certificates: []tls.Certificate{cert}, ClientAuth: tls.RequireAnyClientCert, MaxVersion: tls.VersionTLS12})
						err = conn.Handshake()
						defer raw.Close()
						_ = l.Close()
						if (err == nil) != (c.reason == nil) {
							t.Fatalf("handshake: %v", err)
						}
						if c.reason != nil {
							time.Sleep(time.Millisecond) // virtual: the gateway has noted it
							checkReason(t, w.edge.Status().Links[0].LastErr, c.reason, c.text)
						}
						return
					}
					_ = l.Close()
					p, err := w.tryDial(&tls.Config{Certificates: []tls.Certificate{cert}, ServerName: gatewayName, RootCAs: pki.Roots(w.ca), MaxVersion: tls.VersionTLS12})
					if (err == nil) != (c.reason == nil) {
						t.Fatalf("handshake: %v", err)
					}
					if c.reason != nil {
						time.Sleep(time.Millisecond)
						checkReason(t, w.edge.Status().LastRefusal.Err, c.reason, c.text)
						return
					}
					p.send(options)
					p.expect("SIP/2.0 200 OK")
					p.close()
				})
			})
		}
	}
}

const options = `OPTIONS sip:Options_User@gmail.com SIP/2.0
Via: SIP/2.0/TLS sip.contoso.com:5061;branch=z9hG4bKopt
Max-Forwards: 70
From: <sip:sip.contoso.com>;tag=1
To: <sip:Options_User@gmail.com>
Call-ID: probe
CSeq: 1 OPTIONS
Contact: <sip:sip.contoso.com;transport=Tls>
User-Agent: RTCC/4.0.0.0`

func leafFor(name string) pki.Leaf {
	return pki.Leaf{Subject: name, Names: []string{name}, Server: true}
}

func issued(w *world, leaf pki.Leaf, by string, conf *Config) tls.Certificate {
	w.t.Helper()
	var p *pki.Pair
	var err error
	switch by {
	case "":
		p, err = w.ca.Issue(leaf)
	case "self":
		p, err = pki.SelfSigned(leaf)
	case "revoked", "another-revoked":
		if p, err = w.ca.Issue(leaf); err != nil {
			break
		}
		gone := p
		if by != "revoked" {
			gone = must(w.ca.Issue(leaf))
		}
		conf.Revoked = must(revocation.Parse(must(w.ca.List(pki.Revoked{Pair: gone, Since: time.Now().Add(-time.Hour), Reason: 4}))))
	default:
		name := "other-ca"
		if by != "other" {
			name = "issuing-ca"
		}
		a, e := pki.NewAuthority(name, pki.AuthorityOptions{Issuing: by != "other"})
		if e != nil {
			w.t.Fatal(e)
		}
		if by != "other" {
			conf.Roots = pki.Roots(w.ca, a)
		}
		if p, err = a.Issue(leaf); err == nil && by == "no-chain" {
			p = p.WithoutChain()
		}
	}
	if err != nil {
		w.t.Fatal(err)
	}
	return p.TLS()
}

func verifierPin(c tls.Certificate) string {
	_, err := verifier{now: time.Now}.check([]*x509.Certificate{must(x509.ParseCertificate(c.Certificate[0]))}, nil, "x")
	p, _ := errors.AsType[*PeerError](err)
	return p.Pin
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func checkReason(t *testing.T, err, reason error, text string) {
	t.Helper()
	p, ok := errors.AsType[*PeerError](err)
	if !ok || !errors.Is(err, reason) {
		t.Fatalf("refused for %v, want %v", err, reason)
	}
	if !strings.Contains(p.Error(), text) || len(p.Expected) != 1 || p.Expected[0] != edgeName {
		t.Errorf("%q does not say %q (expected names %q)", p.Error(), text, p.Expected)
	}
}

// TestPeerNames: E25, RFC 5922 §7.1.
func TestPeerNames(t *testing.T) {
	uri := func(s string) *url.URL { return must(url.Parse(s)) }
	for _, c := range []struct {
		cert x509.Certificate
		want string
	}{
		{x509.Certificate{DNSNames: []string{"a.example", "B.example."}}, "a.example b.example"},
		{x509.Certificate{DNSNames: []string{"a.example"}, URIs: []*url.URL{uri("sip:c.example")}}, "c.example"},
		{x509.Certificate{DNSNames: []string{"a.example"}, URIs: []*url.URL{uri("sip:user@c.example"), uri("https://d.example")}}, "a.example"},
	} {
		if got := strings.Join(peerNames(&c.cert), " "); got != c.want {
			t.Errorf("names %q, want %q", got, c.want)
		}
	}
}

// TestNoClientCertificate: E26. Whoever presents none is turned away in the handshake.
func TestNoClientCertificate(t *testing.T) {
	inWorld(t, func(w *world) {
		p, err := w.tryDial(&tls.Config{ServerName: gatewayName, RootCAs: pki.Roots(w.ca), MaxVersion: tls.VersionTLS12})
		if err == nil {
			p.close()
			t.Fatal("a client without certificate was let in")
		}
		// In TLS 1.3 the client learns of it one flight later.
		if p, err = w.tryDial(&tls.Config{ServerName: gatewayName, RootCAs: pki.Roots(w.ca)}); err == nil {
			if _, err := p.read(time.Minute); err == nil || !strings.Contains(err.Error(), "certificate required") {
				t.Errorf("got %v", err)
			}
			p.close()
		}
	})
}

// TestTLSVersions: a peer of 2007 is served where its domain says so, with the suites it knows, and refused elsewhere.
func TestTLSVersions(t *testing.T) {
	for _, c := range []struct {
		min     string
		version uint16
		ok      bool
	}{
		{"", tls.VersionTLS12, true}, {"", tls.VersionTLS11, false}, {"1.0", tls.VersionTLS10, true},
		{"1.1", tls.VersionTLS10, false}, {"1.3", tls.VersionTLS12, false}, {"1.3", tls.VersionTLS13, true},
	} {
		t.Run(c.min+" "+tls.VersionName(c.version), func(t *testing.T) {
			prepare := func(w *world, conf *Config) {
				conf.Certificate = w.certificate(pki.Leaf{Subject: gatewayName, Names: []string{gatewayName}, Server: true, RSA: true})
				conf.Domains = map[string]config.SIPDomain{"contoso.com": {NextHop: config.NextHop{edgeName}, MinTLS: c.min}}
			}
			inWorldWith(t, prepare, func(w *world) {
				old := &tls.Config{
					Certificates: []tls.Certificate{w.certificate(pki.Leaf{Subject: edgeName, RSA: true})}, ServerName: gatewayName, RootCAs: pki.Roots(w.ca),
					MinVersion: tls.VersionTLS10, MaxVersion: c.version,
				}
				if c.version == tls.VersionTLS10 {
					old.CipherSuites = []uint16{tls.TLS_RSA_WITH_3DES_EDE_CBC_SHA}
				}
				p, err := w.tryDial(old)
				if (err == nil) != c.ok {
					t.Fatalf("inbound handshake: %v", err)
				}
				if err == nil {
					p.send(options)
					p.expect("SIP/2.0 200 OK")
					p.close()
				}
				l := w.listen()
				raw, err := l.Accept()
				if err != nil {
					t.Fatal(err)
				}
				_ = l.Close()
				old.ClientAuth = tls.RequireAnyClientCert
				if err := tls.Server(raw, old).Handshake(); (err == nil) != c.ok {
					t.Errorf("outbound handshake: %v", err)
				}
				_ = raw.Close()
			})
		})
	}
}

// TestOurCertificateRefused: the Edge does not trust ours. Senders are told, and why; nothing hangs.
func TestOurCertificateRefused(t *testing.T) {
	inWorld(t, func(w *world) {
		l := w.listen()
		defer l.Close()
		go func() {
			for {
				raw, err := l.Accept()
				if err != nil {
					return
				}
				strict := &tls.Config{Certificates: []tls.Certificate{w.edgeCertificate()}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: x509.NewCertPool()}
				_ = tls.Server(raw, strict).Handshake()
				_ = raw.Close()
			}
		}()
		told := make(chan *im.Failure, 1)
		w.edge.Send(im.Message{From: bob, To: alice, Body: "Hello"}, func(f *im.Failure) { told <- f })
		began := time.Now()
		f := <-told
		if f == nil || f.Condition != im.RemoteServerTimeout || !strings.Contains(f.Text, "unknown certificate authority (the peer refused us") {
			t.Errorf("told %v", f)
		}
		if took := time.Since(began); took > 60*time.Second {
			t.Errorf("told after %v", took)
		}
	})
}
