package xmpps2s

import (
	"crypto/sha256"
	"crypto/tls"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"fedlab/gateway/im"
	"fedlab/internal/pki"
	"fedlab/internal/revocation"
)

// provesBy opens a stream in TLS as the client, and proves gmail.com by a certificate. It is false if that is not taken as proof.
func (p *peer) provesBy(cert tls.Certificate) bool {
	p.t.Helper()
	p.startTLS(cert)
	p.send(oldHeader + " from='gmail.com' to='contoso.com' version='1.0'>")
	if p.until("</mechanisms>", "</stream:error>") != 0 {
		return false
	}
	p.expect("</stream:features>")
	p.send("<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='EXTERNAL'>=</auth>")
	p.expect("<success xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>")
	p.open()
	return true
}

// believes is the server's side: it shows a certificate and takes ours as proof.
func (p *peer) believes(cert tls.Certificate) *tls.Conn {
	p.t.Helper()
	conn := p.acceptTLS(cert, tlsMust)
	p.expect("xml:lang='en'>")
	p.send(oldHeader + " from='gmail.com' to='contoso.com' id='2' version='1.0'>" + offer(external))
	p.expect("</auth>")
	p.send("<success xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>")
	p.expect("xml:lang='en'>")
	p.send(oldHeader + " from='gmail.com' to='contoso.com' id='3' version='1.0'>" + offer())
	return conn
}

// A new certificate, new authorities and new lists of revoked certificates count for streams that are negotiated from now on; those that
// stand go on.
func TestRenew(t *testing.T) {
	tlsRow(t, "both directions", strict, func(t *testing.T, l *lab, old *certs) {
		theirs := l.connect()
		if !theirs.provesBy(old.gmail) {
			t.Fatal("the first certificate is no proof")
		}
		out := l.send(im.Message{Body: "before"})
		ours := l.accept()
		ours.believes(old.gmail)
		ours.expect("before")
		delivered(t, out)

		if l := l.s.Status().Links[0]; l.Proof != (Proof{By: "SASL EXTERNAL", TLS: "TLS 1.3"}) {
			t.Errorf("proof %+v", l.Proof)
		}

		renewed := newCerts(t)
		gone, err := renewed.authority.Issue(pki.Leaf{Subject: "gmail.com", Names: []string{"gmail.com"}, Server: true})
		if err != nil {
			t.Fatal(err)
		}
		file, err := renewed.authority.List(pki.Revoked{Pair: gone, Since: time.Now()})
		if err != nil {
			t.Fatal(err)
		}
		lists, err := revocation.Parse(file)
		if err != nil {
			t.Fatal(err)
		}
		l.s.Renew(renewed.contoso, pki.Roots(renewed.authority), lists)

		theirs.send("<message from='bob@gmail.com' to='anna@contoso.com'><body>still there</body></message>")
		if m := <-l.inbox.ch; m.Body != "still there" {
			t.Errorf("got %+v", m)
		}
		delivered(t, l.send(im.Message{Body: "after"}))
		ours.expect("after")
		for name, c := range map[string]struct {
			cert tls.Certificate
			good bool
		}{"of the old authority": {old.gmail, false}, "of the new one": {renewed.gmail, true}, "that is revoked": {gone.TLS(), false}} {
			p := l.connect()
			if good := p.provesBy(c.cert); good != c.good {
				t.Errorf("a certificate %s is proof: %v", name, good)
			}
			if shown := p.conn.(*tls.Conn).ConnectionState().PeerCertificates[0]; !shown.Equal(renewed.contoso.Leaf) {
				t.Error("a client is not shown the new certificate")
			}
		}

		ours.conn.Close()
		synctest.Wait()
		out = l.send(im.Message{Body: "old"})
		p := l.accept()
		p.acceptTLS(old.gmail, tlsMust)
		if f := want(t, out, im.RemoteServerTimeout); !strings.Contains(f.Text, "cannot be verified") {
			t.Errorf("text %q", f.Text)
		}
		out = l.send(im.Message{Body: "new"})
		ours = l.accept()
		conn := ours.believes(renewed.gmail)
		ours.expect("new")
		delivered(t, out)
		if shown := conn.ConnectionState().PeerCertificates[0]; !shown.Equal(renewed.contoso.Leaf) {
			t.Error("a server is not shown the new certificate")
		}
	})
}

// What is said of a stream that stands: how it was proved, and in which version of TLS.
func TestProofs(t *testing.T) {
	for _, c := range []struct {
		serve func(*peer, *certs)
		want  Proof
	}{
		{func(p *peer, _ *certs) { p.answerHeader(""); p.proves() }, Proof{By: "dialback"}},
		{func(p *peer, c *certs) {
			p.acceptTLS(c.gmail, starttls, dialback)
			p.expect("xml:lang='en'>")
			p.send(oldHeader + " from='gmail.com' to='contoso.com' id='2' version='1.0'>" + offer(dialback))
			p.proves()
		}, Proof{By: "dialback in TLS", TLS: "TLS 1.3"}},
		{func(p *peer, c *certs) { p.believes(c.gmail) }, Proof{By: "SASL EXTERNAL", TLS: "TLS 1.3"}},
	} {
		tlsRow(t, c.want.By, optional, func(t *testing.T, l *lab, certs *certs) {
			out := l.send(im.Message{Body: "x"})
			p := l.accept()
			c.serve(p, certs)
			p.expect("</message>")
			delivered(t, out)
			if s := l.s.Status().Links[0]; s.Proof != c.want {
				t.Errorf("%+v, want %+v", s.Proof, c.want)
			}
			p.conn.Close()
			synctest.Wait()
			if s := l.s.Status().Links[0]; s.Up || s.Proof != (Proof{}) {
				t.Errorf("without a stream: %+v", s)
			}
		})
	}
}

// S52: a stream ends when the certificate does that proves the peer; the next message goes over a new one (RFC 6120 §13.7.2.3).
func TestCertificateEndsMeanwhile(t *testing.T) {
	for name, pinned := range map[string]bool{"verified": false, "pinned, which takes the place of its dates": true} {
		var c *certs
		var short tls.Certificate
		row(t, name, func(cfg *Config) {
			c = newCerts(t)
			p, err := c.authority.Issue(pki.Leaf{Subject: "gmail.com", Names: []string{"gmail.com"}, Server: true, NotAfter: time.Now().Add(5 * time.Minute)})
			if err != nil {
				t.Fatal(err)
			}
			short = p.TLS()
			policy := strict
			if pinned {
				policy.Pin = fmt.Sprintf("%x", sha256.Sum256(short.Certificate[0]))
			}
			cfg.Domains["gmail.com"], cfg.Certificate, cfg.Roots = policy, &c.contoso, pki.Roots(c.authority)
		}, func(t *testing.T, l *lab) {
			began := time.Now()
			theirs := l.connect()
			if !theirs.provesBy(short) {
				t.Fatal("the certificate is no proof")
			}
			out := l.send(im.Message{Body: "before"})
			ours := l.accept()
			ours.believes(short)
			ours.expect("before")
			delivered(t, out)
			if !pinned {
				for _, p := range []*peer{theirs, ours} {
					p.expect("<reset xmlns='urn:ietf:params:xml:ns:xmpp-streams'/>")
					p.expect("</stream:stream>")
					p.conn.Close()
				}
				if took := time.Since(began); took < 5*time.Minute || took > 5*time.Minute+time.Second {
					t.Errorf("after %v", took)
				}
				out = l.send(im.Message{Body: "after"})
				ours = l.accept()
				ours.believes(c.gmail)
			} else {
				time.Sleep(6 * time.Minute)
				out = l.send(im.Message{Body: "after"})
			}
			ours.expect("after")
			delivered(t, out)
		})
	}
}
