package xmpps2s

import (
	"context"
	"crypto/tls"
	"errors"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"fedlab/gateway/config"
	"fedlab/internal/pki"
)

// contosoTLSAddr is where streams in TLS from the first byte come in.
const contosoTLSAddr = "203.0.113.1:5270"

// directRow is a tlsRow whose server listens there.
func directRow(t *testing.T, name string, d config.XMPPDomain, change func(*Config), f func(*testing.T, *lab, *certs)) {
	t.Helper()
	var c *certs
	row(t, name, func(cfg *Config) {
		c = newCerts(t)
		cfg.Domains["gmail.com"], cfg.ListenTLS = d, ":5270"
		cfg.Certificate, cfg.Roots = &c.contoso, pki.Roots(c.authority)
		if change != nil {
			change(cfg)
		}
	}, func(t *testing.T, l *lab) { f(t, l, c) })
}

// connectTLS opens a connection where TLS comes first.
func (l *lab) connectTLS() *peer {
	l.t.Helper()
	c, err := l.outside.DialContext(l.t.Context(), "tcp", contosoTLSAddr)
	if err != nil {
		l.t.Fatal(err)
	}
	return &peer{t: l.t, conn: c, name: "caller"}
}

// handshake is the client's side of TLS.
func (p *peer) handshake(cert tls.Certificate, alpn ...string) (*tls.Conn, error) {
	conn := tls.Client(p.conn, &tls.Config{Certificates: []tls.Certificate{cert}, NextProtos: alpn, ServerName: "contoso.com", InsecureSkipVerify: true})
	p.conn = conn
	return conn, conn.Handshake()
}

func TestIncomingDirectTLS(t *testing.T) {
	directRow(t, "with ALPN; no STARTTLS inside, and the certificate proves the domain", strict, nil, func(t *testing.T, l *lab, c *certs) {
		p := l.connectTLS()
		conn, err := p.handshake(c.gmail, "xmpp-server")
		if err != nil {
			t.Fatal(err)
		}
		if got := conn.ConnectionState().NegotiatedProtocol; got != "xmpp-server" {
			t.Errorf("ALPN %q", got)
		}
		p.modernFeatures(external + bidi)
		p.send("<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='EXTERNAL'>=</auth>")
		p.expect("<success xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>")
		p.open()
		p.send(message("gmail.com", "x"))
		if m := <-l.inbox.ch; m.Body != "x" {
			t.Errorf("got %+v", m)
		}
	})
	directRow(t, "without ALPN, and with dialback", optional, nil, func(t *testing.T, l *lab, c *certs) {
		p := l.connectTLS()
		if _, err := p.handshake(c.stranger); err != nil {
			t.Fatal(err)
		}
		p.modernFeatures(dialback + bidi)
		p.send("<db:result from='gmail.com' to='contoso.com'>the-key</db:result>")
		v := l.accept()
		q := v.acceptTLS(c.gmail, starttls, dialback)
		v.conn = q
		v.answerHeader(" version='1.0'")
		v.send(offer(dialback))
		id := attrOf(t, v.expect("</db:verify>"), "id")
		v.send("<db:verify from='gmail.com' to='contoso.com' id='" + id + "' type='valid'/>")
		p.expect("type='valid'/>")
		p.send(message("gmail.com", "x"))
		if m := <-l.inbox.ch; m.Body != "x" {
			t.Errorf("got %+v", m)
		}
	})
	directRow(t, "ALPN of another protocol is refused", optional, nil, func(t *testing.T, l *lab, c *certs) {
		if _, err := l.connectTLS().handshake(c.gmail, "h2"); err == nil || !strings.Contains(err.Error(), "no application protocol") {
			t.Errorf("got %v", err)
		}
	})
	directRow(t, "a stream in clear is not spoken there", optional, nil, func(t *testing.T, l *lab, c *certs) {
		p := l.connectTLS()
		p.send(oldHeader + " from='gmail.com' to='contoso.com'>" + message("gmail.com", "x"))
		if got := p.end(); strings.Contains(got, "<") {
			t.Errorf("got %q", got)
		}
		l.inbox.none(t)
	})
	directRow(t, "who says nothing is let go within the time for a header", optional, func(c *Config) { c.HeaderTimeout = 7 * time.Second }, func(t *testing.T, l *lab, c *certs) {
		began := time.Now()
		l.connectTLS().end()
		if took := time.Since(began); took > 8*time.Second {
			t.Errorf("after %v", took)
		}
	})
	directRow(t, "an address has as many streams as it may, wherever they come in", optional, func(c *Config) { c.Limits.Streams = 2 }, func(t *testing.T, l *lab, c *certs) {
		first := l.connectTLS()
		if _, err := first.handshake(c.gmail); err != nil {
			t.Fatal(err)
		}
		l.connect().old()
		if _, err := l.connectTLS().handshake(c.gmail); err == nil {
			t.Error("a third stream was let in")
		}
		if got := l.connect().end(); got != "" {
			t.Errorf("got %s", got)
		}
		first.conn.Close()
		synctest.Wait()
		if _, err := l.connectTLS().handshake(c.gmail); err != nil {
			t.Error(err)
		}
	})
	t.Run("without a certificate it is refused", func(t *testing.T) {
		_, err := New(Config{Network: newWorld().host("203.0.113.1"), ListenTLS: ":5270"}, &inbox{})
		if err == nil || !strings.Contains(err.Error(), "no certificate") {
			t.Errorf("got %v", err)
		}
	})
	t.Run("if it cannot listen there it does not listen at all", func(t *testing.T) {
		w, c := newWorld(), newCerts(t)
		if _, err := w.host("203.0.113.1").Listen(t.Context(), "tcp", ":5270"); err != nil {
			t.Fatal(err)
		}
		s, err := New(Config{Network: w.host("203.0.113.1"), ListenTLS: ":5270", Certificate: &c.contoso}, &inbox{})
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Run(context.Background()); !errors.Is(err, syscall.EADDRINUSE) || !strings.Contains(err.Error(), ":5270") {
			t.Errorf("got %v", err)
		}
		if w.listeners[contosoAddr] != nil {
			t.Error("the other door was left open")
		}
	})
}
