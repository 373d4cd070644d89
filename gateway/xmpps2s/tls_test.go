package xmpps2s

import (
	"crypto/tls"
	"encoding/base64"
	"strings"
	"testing"
	"time"

	"fedlab/gateway/config"
	"fedlab/gateway/im"
	"fedlab/internal/pki"
)

// certs are made in the bubble that uses them: its clock stands in the year 2000.
type certs struct {
	authority *pki.Authority
	contoso   tls.Certificate
	gmail     tls.Certificate
	stranger  tls.Certificate // for gmail.com, by nobody's authority
}

func newCerts(t *testing.T) *certs {
	t.Helper()
	a, err := pki.NewAuthority("ca", pki.AuthorityOptions{Issuing: true})
	if err != nil {
		t.Fatal(err)
	}
	issue := func(p *pki.Pair, err error) tls.Certificate {
		if err != nil {
			t.Fatal(err)
		}
		return p.TLS()
	}
	return &certs{authority: a,
		contoso:  issue(a.Issue(pki.Leaf{Subject: "contoso.com", Names: []string{"contoso.com"}, Server: true, Client: true})),
		gmail:    issue(a.Issue(pki.Leaf{Subject: "gmail.com", Names: []string{"gmail.com"}, Server: true})),
		stranger: issue(pki.SelfSigned(pki.Leaf{Subject: "gmail.com", Names: []string{"gmail.com"}})),
	}
}

// tlsRow is a row with certificates and a policy towards gmail.com.
func tlsRow(t *testing.T, name string, d config.XMPPDomain, f func(*testing.T, *lab, *certs)) {
	t.Helper()
	var c *certs
	row(t, name, func(cfg *Config) {
		c = newCerts(t)
		cfg.Domains["gmail.com"] = d
		cfg.Certificate, cfg.Roots = &c.contoso, pki.Roots(c.authority)
	}, func(t *testing.T, l *lab) { f(t, l, c) })
}

var (
	optional = config.XMPPDomain{TLS: config.TLSOptional}
	required = config.XMPPDomain{TLS: config.TLSRequired}
	strict   = config.XMPPDomain{TLS: config.TLSRequired, SASL: config.SASLRequired}
)

const (
	starttls = "<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>"
	tlsMust  = "<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'><required/></starttls>"
	proceed  = "<proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>"
	external = "<mechanisms xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><mechanism>EXTERNAL</mechanism></mechanisms>"
	dialback = "<dialback xmlns='urn:xmpp:features:dialback'><errors/></dialback>"
	bidi     = "<bidi xmlns='urn:xmpp:features:bidi'/>"
)

func offer(features ...string) string {
	return "<stream:features>" + strings.Join(features, "") + "</stream:features>"
}

// acceptTLS is the server's side: it answers a header with features, and starttls with proceed, and returns the stream in TLS.
func (p *peer) acceptTLS(cert tls.Certificate, features ...string) *tls.Conn {
	p.t.Helper()
	p.answerHeader(" version='1.0'")
	p.send(offer(features...))
	if got := p.expect(">"); got != starttls {
		p.t.Fatalf("got %s", got)
	}
	p.send(proceed)
	c := tls.Server(p.conn, &tls.Config{Certificates: []tls.Certificate{cert}, ClientAuth: tls.RequestClientCert})
	if err := c.Handshake(); err != nil {
		p.t.Fatal(err)
	}
	p.conn = c
	return c
}

// startTLS is the client's side.
func (p *peer) startTLS(certs ...tls.Certificate) {
	p.t.Helper()
	p.modern()
	p.send(starttls)
	if got := p.expect(">"); got != proceed {
		p.t.Fatalf("got %s", got)
	}
	c := tls.Client(p.conn, &tls.Config{Certificates: certs, InsecureSkipVerify: true})
	if err := c.Handshake(); err != nil {
		p.t.Fatal(err)
	}
	p.conn = c
}

// open sends a header of version 1.0 and returns the features.
func (p *peer) open() (header, features string) {
	p.t.Helper()
	p.send(oldHeader + " from='gmail.com' to='contoso.com' version='1.0'>")
	return p.expect("xml:lang='en'>"), p.expect("</stream:features>")
}

// proves reads a db:result and accepts it.
func (p *peer) proves() {
	p.t.Helper()
	p.expect("</db:result>")
	p.send("<db:result from='gmail.com' to='contoso.com' type='valid'/>")
}

func TestOutgoingTLS(t *testing.T) {
	tlsRow(t, "S19 S20 TLS, then SASL EXTERNAL: restarts without a closing tag, no STARTTLS afterwards", optional, func(t *testing.T, l *lab, c *certs) {
		out := l.send(im.Message{Body: "x"})
		p := l.accept()
		conn := p.acceptTLS(c.gmail, starttls, dialback)
		p.expect("from='contoso.com' to='gmail.com' version='1.0'")
		p.expect(">")
		p.send(oldHeader + " from='gmail.com' to='contoso.com' id='2' version='1.0'>" + offer(external, dialback))
		if got, want := p.expect("</auth>"), "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='EXTERNAL'>"+
			base64.StdEncoding.EncodeToString([]byte("contoso.com"))+"</auth>"; got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
		p.send("<success xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>")
		if h := p.expect("?>") + p.expect(">"); strings.Contains(h, "</stream") || !strings.Contains(h, "from='contoso.com' to='gmail.com' version='1.0'") {
			t.Errorf("got %s", h)
		}
		p.send(oldHeader + " from='gmail.com' to='contoso.com' id='3' version='1.0'>" + offer())
		if got := p.expect("</message>"); !strings.HasPrefix(got, "<message ") {
			t.Errorf("got %s", got)
		}
		delivered(t, out)
		if s := conn.ConnectionState(); len(s.PeerCertificates) == 0 || s.PeerCertificates[0].Subject.CommonName != "contoso.com" || s.ServerName != "gmail.com" {
			t.Errorf("certificates %v, SNI %q", s.PeerCertificates, s.ServerName)
		}
		l.stop()
		p.expect("</stream:stream>")
		p.end() // close_notify: io.EOF, and not an unexpected one (S17)
	})
	tlsRow(t, "S24 SASL fails, dialback in TLS with the new id", optional, func(t *testing.T, l *lab, c *certs) {
		out := l.send(im.Message{Body: "x"})
		p := l.accept()
		p.acceptTLS(c.gmail, starttls)
		p.expect("?>")
		p.expect(">")
		p.send(oldHeader + " from='gmail.com' to='contoso.com' id='NEW' version='1.0'>" + offer(external, dialback))
		p.expect("</auth>")
		p.send("<failure xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><not-authorized/></failure>")
		if got := p.expect("</db:result>"); !strings.Contains(got, dialbackKey("dialback-lab-secret", "gmail.com", "contoso.com", "NEW")) {
			t.Errorf("got %s", got)
		}
		p.send("<db:result from='gmail.com' to='contoso.com' type='valid'/>")
		p.expect("</message>")
		delivered(t, out)
	})
	tlsRow(t, "S24 SASL fails and nothing else is allowed", strict, func(t *testing.T, l *lab, c *certs) {
		out := l.send(im.Message{Body: "x"})
		p := l.accept()
		p.acceptTLS(c.gmail, tlsMust)
		p.expect("?>")
		p.expect(">")
		p.send(oldHeader + " from='gmail.com' to='contoso.com' id='2' version='1.0'>" + offer(external, dialback))
		p.expect("</auth>")
		p.send("<failure xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><not-authorized/></failure>")
		if f := want(t, out, im.RemoteServerTimeout); !strings.Contains(f.Text, "not-authorized") {
			t.Errorf("text %q", f.Text)
		}
	})
	tlsRow(t, "S24 a certificate is not believed, and the next message is tried on a stream of its own", strict, func(t *testing.T, l *lab, c *certs) {
		for range 2 {
			out := l.send(im.Message{Body: "x"})
			p := l.accept()
			p.acceptTLS(c.stranger, tlsMust)
			if f := want(t, out, im.RemoteServerTimeout); !strings.Contains(f.Text, "cannot be verified") {
				t.Errorf("text %q", f.Text)
			}
		}
	})
	tlsRow(t, "S20 a lone STARTTLS feature is mandatory, and forbidden to us", config.XMPPDomain{TLS: config.TLSNever}, func(t *testing.T, l *lab, c *certs) {
		out := l.send(im.Message{Body: "x"})
		p := l.accept()
		p.answerHeader(" version='1.0'")
		p.send(offer(starttls))
		if f := want(t, out, im.RemoteServerTimeout); !strings.Contains(f.Text, "demands TLS") {
			t.Errorf("text %q", f.Text)
		}
	})
	tlsRow(t, "S20 TLS is required, and not offered", required, func(t *testing.T, l *lab, c *certs) {
		for _, version := range []string{"", " version='1.0'"} {
			out := l.send(im.Message{Body: "x"})
			p := l.accept()
			p.answerHeader(version)
			if version != "" {
				p.send(offer(dialback))
			}
			if f := want(t, out, im.RemoteServerTimeout); !strings.Contains(f.Text, "offers no TLS") {
				t.Errorf("text %q", f.Text)
			}
			if got := p.end(); strings.Contains(got, "db:result") {
				t.Errorf("got %s", got)
			}
		}
	})
	tlsRow(t, "S20 a failed handshake ends the connection without a closing tag", required, func(t *testing.T, l *lab, c *certs) {
		out := l.send(im.Message{Body: "x"})
		p := l.accept()
		p.answerHeader(" version='1.0'")
		p.send(offer(starttls))
		p.expect(starttls)
		p.send(proceed + "this is not TLS, is it?")
		want(t, out, im.RemoteServerTimeout)
		if got := p.end(); strings.Contains(got, "stream") {
			t.Errorf("got %q", got)
		}
	})
	tlsRow(t, "S21 what is injected behind proceed is not read", optional, func(t *testing.T, l *lab, c *certs) {
		l.send(im.Message{Body: "x"})
		p := l.accept()
		p.answerHeader(" version='1.0'")
		p.send(offer(starttls))
		p.expect(starttls)
		p.send(proceed + oldHeader + " id='EVIL' version='1.0'>" + offer(external))
		server := tls.Server(p.conn, &tls.Config{Certificates: []tls.Certificate{c.gmail}})
		if err := server.Handshake(); err != nil {
			return // the injected bytes broke the handshake: as good
		}
		p.conn = server
		p.expect("?>")
		p.expect(">")
		p.send(oldHeader + " from='gmail.com' to='contoso.com' id='GOOD' version='1.0'>" + offer(dialback))
		if got := p.expect("</db:result>"); !strings.Contains(got, dialbackKey("dialback-lab-secret", "gmail.com", "contoso.com", "GOOD")) {
			t.Errorf("got %s", got)
		}
	})
	tlsRow(t, "S23 a certificate that proves nothing: dialback in TLS", optional, func(t *testing.T, l *lab, c *certs) {
		out := l.send(im.Message{Body: "x"})
		p := l.accept()
		p.acceptTLS(c.stranger, starttls)
		p.expect("?>")
		p.expect(">")
		p.send(oldHeader + " from='gmail.com' to='contoso.com' id='2' version='1.0'>" + offer(dialback))
		p.proves()
		p.expect("</message>")
		delivered(t, out)
	})
	tlsRow(t, "S23 a certificate that proves nothing where it has to", strict, func(t *testing.T, l *lab, c *certs) {
		out := l.send(im.Message{Body: "x"})
		p := l.accept()
		p.acceptTLS(c.stranger, starttls)
		if f := want(t, out, im.RemoteServerTimeout); !strings.Contains(f.Text, "certificate of gmail.com cannot be verified") {
			t.Errorf("text %q", f.Text)
		}
	})
	tlsRow(t, "S40 the stream to the authoritative server is encrypted where the policy says so", required, func(t *testing.T, l *lab, c *certs) {
		p := l.connect()
		p.startTLS()
		p.open()
		p.send("<db:result from='gmail.com' to='contoso.com'>k</db:result>")
		v := l.accept()
		v.acceptTLS(c.gmail, starttls, dialback)
		v.expect("?>")
		v.expect(">")
		v.send(oldHeader + " from='gmail.com' to='contoso.com' id='2' version='1.0'>" + offer(external, dialback))
		q := v.expect("</db:verify>")
		v.send("<db:verify from='gmail.com' to='contoso.com' id='" + attrOf(t, q, "id") + "' type='valid'/>")
		p.expect("type='valid'/>")
	})
}

func TestIncomingTLS(t *testing.T) {
	tlsRow(t, "S19 S20 S22 TLS, then SASL EXTERNAL", optional, func(t *testing.T, l *lab, c *certs) {
		p := l.connect()
		first := p.modernFeatures(starttls + dialback + bidi)
		p.send(starttls)
		if got := p.expect(">"); got != proceed {
			t.Fatalf("got %s", got)
		}
		conn := tls.Client(p.conn, &tls.Config{Certificates: []tls.Certificate{c.gmail}, InsecureSkipVerify: true})
		p.conn = conn
		h, f := p.open()
		if f != offer(external, dialback, bidi) {
			t.Errorf("features %s", f)
		}
		p.send("<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='EXTERNAL'>=</auth>")
		if got := p.expect(">"); got != "<success xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>" {
			t.Fatalf("got %s", got)
		}
		h2, f := p.open()
		if f != offer(dialback) {
			t.Errorf("features %s", f)
		}
		if a, b := attrOf(t, h, "id"), attrOf(t, h2, "id"); a == b || a == first || b == first {
			t.Errorf("ids %s, %s, %s", first, a, b)
		}
		p.send("<message from='bob@gmail.com' to='anna@contoso.com'><body>x</body></message>")
		<-l.inbox.ch
		if s := conn.ConnectionState(); s.PeerCertificates[0].Subject.CommonName != "contoso.com" {
			t.Errorf("certificate for %s", s.PeerCertificates[0].Subject)
		}
		p.send("<message from='bob@googlemail.com' to='anna@contoso.com'><body>x</body></message>")
		p.expect("<invalid-from ")
	})
	tlsRow(t, "S20 where TLS is required it is all that is offered", required, func(t *testing.T, l *lab, c *certs) {
		p := l.connect()
		p.modernFeatures(tlsMust)
		p.send("<db:result from='gmail.com' to='contoso.com'>k</db:result>")
		if got := p.expect("</db:result>"); !strings.Contains(got, "<policy-violation ") {
			t.Errorf("got %s", got)
		}
	})
	tlsRow(t, "S20 where TLS is forbidden it is not offered, and refused", config.XMPPDomain{TLS: config.TLSNever}, func(t *testing.T, l *lab, c *certs) {
		p := l.connect()
		p.modernFeatures(dialback + bidi)
		p.send(starttls)
		if got := p.end(); got != "<failure xmlns='urn:ietf:params:xml:ns:xmpp-tls'/></stream:stream>" {
			t.Errorf("got %s", got)
		}
	})
	tlsRow(t, "S20 a failed handshake ends the connection without a closing tag", optional, func(t *testing.T, l *lab, c *certs) {
		p := l.connect()
		p.modern()
		p.send(starttls)
		p.expect(proceed)
		p.send("GET / HTTP/1.1\r\n\r\n")
		if got := p.end(); strings.Contains(got, "stream") {
			t.Errorf("got %q", got)
		}
	})
	tlsRow(t, "S20 a handshake that never comes", optional, func(t *testing.T, l *lab, c *certs) {
		p := l.connect()
		p.modern()
		p.send(starttls)
		p.expect(proceed)
		began := time.Now()
		p.end()
		if took := time.Since(began); took > 11*time.Second {
			t.Errorf("it took %v", took)
		}
	})
	tlsRow(t, "S21 what is injected behind starttls is not read", optional, func(t *testing.T, l *lab, c *certs) {
		p := l.connect()
		p.modern()
		p.send(starttls + oldHeader + " from='gmail.com' to='contoso.com' version='1.0'><db:result from='gmail.com' to='contoso.com'>evil</db:result>")
		p.expect(proceed)
		p.conn = tls.Client(p.conn, &tls.Config{InsecureSkipVerify: true})
		p.open()
		p.quiet(time.Second)
		if d := l.w.dialled(); len(d) != 1 {
			t.Errorf("dialled %v", d)
		}
	})
	for _, cs := range []struct {
		name string
		cert func(*certs) []tls.Certificate
	}{
		{"no certificate", func(*certs) []tls.Certificate { return nil }},
		{"a certificate of nobody's authority", func(c *certs) []tls.Certificate { return []tls.Certificate{c.stranger} }},
		{"a certificate for another domain", func(c *certs) []tls.Certificate { return []tls.Certificate{c.contoso} }},
	} {
		tlsRow(t, "S22 EXTERNAL is not offered with "+cs.name, optional, func(t *testing.T, l *lab, c *certs) {
			p := l.connect()
			p.startTLS(cs.cert(c)...)
			if _, f := p.open(); f != offer(dialback, bidi) {
				t.Errorf("features %s", f)
			}
			p.send("<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='EXTERNAL'>=</auth>")
			p.expect("<failure xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><not-authorized/></failure>")
			p.send("<db:result from='gmail.com' to='contoso.com'>k</db:result>")
			l.accept()
		})
		tlsRow(t, "S24 policy-violation with "+cs.name+" where only a certificate would do", strict, func(t *testing.T, l *lab, c *certs) {
			p := l.connect()
			p.startTLS(cs.cert(c)...)
			p.send(oldHeader + " from='gmail.com' to='contoso.com' version='1.0'>")
			if got := p.end(); !strings.Contains(got, "<stream:error><policy-violation ") {
				t.Errorf("got %s", got)
			}
		})
	}
	for _, cs := range []struct{ name, auth, failure string }{
		{"another domain", base64.StdEncoding.EncodeToString([]byte("googlemail.com")), "invalid-authzid"},
		{"a user", base64.StdEncoding.EncodeToString([]byte("bob@gmail.com")), "invalid-authzid"},
		{"bad base64", "!!!", "incorrect-encoding"},
	} {
		tlsRow(t, "S22 an identity that is "+cs.name, optional, func(t *testing.T, l *lab, c *certs) {
			p := l.connect()
			p.startTLS(c.gmail)
			p.open()
			for range 2 {
				p.send("<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='EXTERNAL'>" + cs.auth + "</auth>")
				p.expect("<failure xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><" + cs.failure + "/></failure>")
			}
			p.send("<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='EXTERNAL'>" + cs.auth + "</auth>")
			if got := p.end(); !strings.HasPrefix(got, "<stream:error><policy-violation ") {
				t.Errorf("got %s", got)
			}
		})
	}
	tlsRow(t, "S22 the identity of the header, in capitals", optional, func(t *testing.T, l *lab, c *certs) {
		p := l.connect()
		p.startTLS(c.gmail)
		p.open()
		p.send("<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='EXTERNAL'>" + base64.StdEncoding.EncodeToString([]byte("GMail.com")) + "</auth>")
		p.expect("<success ")
	})
	tlsRow(t, "S22 another mechanism", optional, func(t *testing.T, l *lab, c *certs) {
		p := l.connect()
		p.startTLS(c.gmail)
		p.open()
		p.send("<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>AGEAYg==</auth>")
		p.expect("<invalid-mechanism/>")
	})
	tlsRow(t, "S22 the restarted stream is from another domain", optional, func(t *testing.T, l *lab, c *certs) {
		p := l.connect()
		p.startTLS(c.gmail)
		p.open()
		p.send("<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='EXTERNAL'>=</auth>")
		p.expect("/>")
		p.send(oldHeader + " from='googlemail.com' to='contoso.com' version='1.0'>")
		if got := p.end(); !strings.Contains(got, "<stream:error><invalid-from ") {
			t.Errorf("got %s", got)
		}
	})
	tlsRow(t, "S12 a stanza in TLS before authentication", optional, func(t *testing.T, l *lab, c *certs) {
		p := l.connect()
		p.startTLS(c.gmail)
		p.open()
		p.send("<message from='bob@gmail.com' to='anna@contoso.com'><body>x</body></message>")
		p.expect("<not-authorized ")
		l.inbox.none(t)
	})
	tlsRow(t, "S33 a question about our key is answered in TLS too", required, func(t *testing.T, l *lab, c *certs) {
		p := l.connect()
		p.startTLS()
		p.open()
		p.send("<db:verify from='gmail.com' to='contoso.com' id='5F0A1C2B3D4E6F70'>3696e5c7c7ae26e5d676e14545136a45c2279a1dc777513796862bf0ca278af9</db:verify>")
		p.expect("type='valid'/>")
	})
}

// modernFeatures opens a stream and fails unless it offers this.
func (p *peer) modernFeatures(want string) (id string) {
	p.t.Helper()
	h, f := p.open()
	if f != "<stream:features>"+want+"</stream:features>" {
		p.t.Fatalf("features %s", f)
	}
	return attrOf(p.t, h, "id")
}

func TestPolicyTable(t *testing.T) {
	type set = methods
	for _, c := range []struct {
		tls      config.TLSPolicy
		sasl     config.SASLPolicy
		dialback config.DialbackPolicy
		want     set
	}{
		{config.TLSRequired, config.SASLRequired, config.DialbackOptional, set{external: true}},
		{config.TLSRequired, config.SASLRequired, config.DialbackNever, set{external: true}},
		{config.TLSRequired, config.SASLOptional, config.DialbackOptional, set{external: true, tlsDialback: true}},
		{config.TLSRequired, config.SASLOptional, config.DialbackNever, set{external: true}},
		{config.TLSRequired, config.SASLNever, config.DialbackOptional, set{tlsDialback: true}},
		{config.TLSRequired, config.SASLNever, config.DialbackNever, set{}},
		{config.TLSOptional, config.SASLRequired, config.DialbackOptional, set{true, true, true}},
		{config.TLSOptional, config.SASLOptional, config.DialbackOptional, set{true, true, true}},
		{config.TLSOptional, config.SASLRequired, config.DialbackNever, set{external: true}},
		{config.TLSOptional, config.SASLOptional, config.DialbackNever, set{external: true}},
		{config.TLSOptional, config.SASLNever, config.DialbackOptional, set{tlsDialback: true, tcpDialback: true}},
		{config.TLSOptional, config.SASLNever, config.DialbackNever, set{}},
		{config.TLSNever, config.SASLRequired, config.DialbackOptional, set{tcpDialback: true}},
		{config.TLSNever, config.SASLOptional, config.DialbackOptional, set{tcpDialback: true}},
		{config.TLSNever, config.SASLNever, config.DialbackOptional, set{tcpDialback: true}},
		{config.TLSNever, config.SASLRequired, config.DialbackNever, set{}},
		{config.TLSNever, config.SASLOptional, config.DialbackNever, set{}},
		{config.TLSNever, config.SASLNever, config.DialbackNever, set{}},
	} {
		d := config.XMPPDomain{TLS: c.tls, SASL: c.sasl, Dialback: c.dialback}
		name := "TLS " + string(c.tls) + ", SASL " + string(c.sasl) + ", dialback " + string(c.dialback)
		m, err := methodsOf(d)
		if m != c.want || (err != nil) != (m == set{}) {
			t.Errorf("%s: %+v, %v", name, m, err)
		}
		if err != nil {
			w := newWorld()
			if _, err := New(Config{Network: w.host("203.0.113.1"), Domains: map[string]config.XMPPDomain{"gmail.com": d}, Certificate: new(tls.Certificate)}, &inbox{}); err == nil {
				t.Errorf("%s: accepted", name)
			}
			continue
		}
		// Each proof, on both sides of a wire.
		for _, proof := range []struct {
			name    string
			allowed bool
			out, in func(*testing.T, *lab, *certs) bool
		}{
			{"SASL", m.external, proveOutSASL, proveInSASL},
			{"TLS dialback", m.dialback(true) && m.tls(), proveOutTLS, proveInTLS},
			{"TCP dialback", m.tcpDialback, proveOutTCP, proveInTCP},
		} {
			tlsRow(t, name+"/"+proof.name+" out", d, func(t *testing.T, l *lab, c *certs) {
				if got := proof.out(t, l, c); got != proof.allowed {
					t.Errorf("works: %v, want %v", got, proof.allowed)
				}
			})
			tlsRow(t, name+"/"+proof.name+" in", d, func(t *testing.T, l *lab, c *certs) {
				if got := proof.in(t, l, c); got != proof.allowed {
					t.Errorf("works: %v, want %v", got, proof.allowed)
				}
			})
		}
	}
}

// trySend sends a message while serve plays a peer that accepts only one proof, and reports whether it was delivered.
func trySend(t *testing.T, l *lab, serve func(*peer)) bool {
	out := l.send(im.Message{Body: "x"})
	p := l.accept()
	go serve(p)
	f := <-out
	p.conn.Close()
	return f == nil
}

// until reads until one of the texts stands in what came, or the end, and returns which one; -1 for the end.
func (p *peer) until(texts ...string) int {
	p.conn.SetReadDeadline(time.Now().Add(2 * time.Hour))
	var b [4096]byte
	for {
		for i, text := range texts {
			if _, after, ok := strings.Cut(p.buf.String(), text); ok {
				p.buf.Reset()
				p.buf.WriteString(after)
				return i
			}
		}
		n, err := p.conn.Read(b[:])
		p.buf.Write(b[:n])
		if err != nil && n == 0 {
			return -1
		}
	}
}

func (p *peer) write(s string) { p.conn.Write([]byte(s)) }

func (p *peer) serveTLS(c *certs, features string) bool {
	p.until("xml:lang='en'>")
	p.write(oldHeader + " from='gmail.com' to='contoso.com' id='1' version='1.0'>" + offer(tlsMust))
	if p.until(starttls) < 0 {
		return false
	}
	p.write(proceed)
	p.conn = tls.Server(p.conn, &tls.Config{Certificates: []tls.Certificate{c.gmail}, ClientAuth: tls.RequestClientCert})
	p.until("xml:lang='en'>")
	p.write(oldHeader + " from='gmail.com' to='contoso.com' id='2' version='1.0'>" + features)
	return true
}

func proveOutSASL(t *testing.T, l *lab, c *certs) bool {
	return trySend(t, l, func(p *peer) {
		if p.serveTLS(c, offer(external)) && p.until("</auth>", "</db:result>") == 0 {
			p.write("<success xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>")
			p.until("xml:lang='en'>")
			p.write(oldHeader + " from='gmail.com' to='contoso.com' id='3' version='1.0'>" + offer())
			return
		}
		p.conn.Close()
	})
}

func proveOutTLS(t *testing.T, l *lab, c *certs) bool {
	return trySend(t, l, func(p *peer) {
		if p.serveTLS(c, offer(dialback)) && p.until("</db:result>") == 0 {
			p.write("<db:result from='gmail.com' to='contoso.com' type='valid'/>")
			return
		}
		p.conn.Close()
	})
}

func proveOutTCP(t *testing.T, l *lab, c *certs) bool {
	return trySend(t, l, func(p *peer) {
		p.until("xml:lang='en'>")
		p.write(oldHeader + " from='gmail.com' to='contoso.com' id='1'>")
		if p.until("</db:result>") == 0 {
			p.write("<db:result from='gmail.com' to='contoso.com' type='valid'/>")
			return
		}
		p.conn.Close()
	})
}

func proveInSASL(t *testing.T, l *lab, c *certs) bool {
	p := l.connect()
	if _, f := p.open(); !strings.Contains(f, "<starttls") {
		return false
	}
	p.send(starttls)
	p.expect(proceed)
	p.conn = tls.Client(p.conn, &tls.Config{Certificates: []tls.Certificate{c.gmail}, InsecureSkipVerify: true})
	if _, f := p.open(); !strings.Contains(f, "EXTERNAL") {
		return false
	}
	p.send("<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='EXTERNAL'>=</auth>")
	p.expect("<success")
	p.open()
	p.send("<message from='bob@gmail.com' to='anna@contoso.com'><body>x</body></message>")
	<-l.inbox.ch
	return true
}

func proveInTLS(t *testing.T, l *lab, c *certs) bool {
	p := l.connect()
	if _, f := p.open(); !strings.Contains(f, "<starttls") {
		return false
	}
	p.send(starttls)
	p.expect(proceed)
	p.conn = tls.Client(p.conn, &tls.Config{InsecureSkipVerify: true})
	return provesIn(l, p, c)
}

func proveInTCP(t *testing.T, l *lab, c *certs) bool {
	return provesIn(l, l.connect(), c)
}

// provesIn tries dialback on p. The authoritative server takes any question, in TLS or not.
func provesIn(l *lab, p *peer, c *certs) bool {
	p.write(oldHeader + " from='gmail.com' to='contoso.com' version='1.0'>")
	if p.until("</stream:features>", "</stream:error>") != 0 {
		return false
	}
	p.write("<db:result from='gmail.com' to='contoso.com'>k</db:result>")
	go func() {
		conn, err := l.gmail.Accept()
		if err != nil {
			return
		}
		v := &peer{t: l.t, conn: conn}
		v.until("xml:lang='en'>")
		v.write(oldHeader + " from='gmail.com' to='contoso.com' id='1' version='1.0'>" + offer(starttls, dialback))
		if v.until(starttls, "</db:verify>") == 0 {
			v.write(proceed)
			v.conn = tls.Server(v.conn, &tls.Config{Certificates: []tls.Certificate{c.gmail}})
			v.until("xml:lang='en'>")
			v.write(oldHeader + " from='gmail.com' to='contoso.com' id='2' version='1.0'>" + offer(dialback))
			v.until("</db:verify>")
		}
		for _, in := range l.ids() {
			v.write("<db:verify from='gmail.com' to='contoso.com' id='" + in + "' type='valid'/>")
		}
	}()
	return p.until("type='valid'/>", "type='error'") == 0
}

// ids are the identifiers of the streams that peers have open.
func (l *lab) ids() []string {
	l.s.mu.Lock()
	defer l.s.mu.Unlock()
	var ids []string
	for in := range l.s.incoming {
		ids = append(ids, in.st.ours.id)
	}
	return ids
}
