package xmpps2s

import (
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"fmt"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"fedlab/gateway/config"
	"fedlab/gateway/im"
	"fedlab/internal/pki"
)

const asksBidi = "<bidi xmlns='urn:xmpp:bidi'/>"

// shared is an incoming stream in clear which gmail.com has proven itself on and both sides use.
func (l *lab) shared() *peer {
	l.t.Helper()
	p := l.connect()
	p.modernFeatures(dialback + bidi)
	p.send(asksBidi)
	l.prove(p, "gmail.com", "contoso.com", "valid")
	return p
}

// sharing is an outgoing stream in clear on which dialback has succeeded and which both sides use.
func (l *lab) sharing() *peer {
	l.t.Helper()
	p := l.accept()
	p.answerHeader(" version='1.0'")
	p.send(offer(dialback, bidi))
	if got := p.expect("</db:result>"); !strings.HasPrefix(got, asksBidi+"<db:result ") {
		l.t.Fatalf("got %s", got)
	}
	p.send("<db:result from='gmail.com' to='contoso.com' type='valid'/>")
	return p
}

// client is the client's side of TLS.
func (p *peer) client(cert tls.Certificate) net.Conn {
	return tls.Client(p.conn, &tls.Config{Certificates: []tls.Certificate{cert}, InsecureSkipVerify: true})
}

// message is one from Bob to Anna, on the wire.
func message(from, body string) string {
	return "<message from='bob@" + from + "' to='anna@contoso.com'><body>" + body + "</body></message>"
}

const (
	itsPing = "<iq from='juliet@gmail.com/balcony' to='contoso.com' type='get' id='8dfc70af'><ping xmlns='urn:xmpp:ping'/></iq>"
	ourPong = "<iq from='contoso.com' to='juliet@gmail.com/balcony' id='8dfc70af' type='result'></iq>"
)

// The examples of XEP-0288 §3, with contoso.com in montague.lit's place where we are the receiving server, and with gmail.com
// in it where we open the stream.
func TestSharedStream(t *testing.T) {
	tlsRow(t, "S48 S49 the example with SASL, as the receiving server", required, func(t *testing.T, l *lab, c *certs) {
		p := l.connect()
		p.startTLS(c.gmail)
		if _, f := p.open(); f != offer(external, dialback, bidi) {
			t.Errorf("features %s", f)
		}
		p.send(asksBidi + "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='EXTERNAL'>Z21haWwuY29t</auth>")
		p.expect("<success xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>")
		if _, f := p.open(); f != offer(dialback) {
			t.Errorf("features %s", f)
		}
		p.send(itsPing)
		if got := p.expect("</iq>"); got != ourPong {
			t.Errorf("got  %s\nwant %s", got, ourPong)
		}
		out := l.send(im.Message{Body: "x"})
		p.expect("<body>x</body>")
		delivered(t, out)
		if d := l.w.dialled(); len(d) != 1 {
			t.Errorf("dialled %v", d[1:])
		}
	})
	row(t, "S48 S49 the example with dialback, as the receiving server", nil, func(t *testing.T, l *lab) {
		p := l.shared()
		p.send(itsPing)
		if got := p.expect("</iq>"); got != ourPong {
			t.Errorf("got  %s\nwant %s", got, ourPong)
		}
	})
	tlsRow(t, "S48 S49 the example with SASL, as the initiating server", required, func(t *testing.T, l *lab, c *certs) {
		out := l.send(im.Message{Body: "x"})
		p := l.accept()
		p.acceptTLS(c.gmail, starttls, bidi)
		p.expect("?>")
		p.expect(">")
		p.send(oldHeader + " from='gmail.com' to='contoso.com' id='2' version='1.0'>" + offer(external, bidi))
		if got := p.expect("</auth>"); !strings.HasPrefix(got, asksBidi+"<auth ") {
			t.Errorf("got %s", got)
		}
		p.send("<success xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>")
		p.expect("?>")
		p.expect(">")
		p.send(oldHeader + " from='gmail.com' to='contoso.com' id='3' version='1.0'>" + offer())
		if got := p.expect("</message>"); !strings.HasPrefix(got, "<message ") {
			t.Errorf("got %s", got)
		}
		delivered(t, out)
		p.send(itsPing)
		if got := p.expect("</iq>"); got != ourPong {
			t.Errorf("got  %s\nwant %s", got, ourPong)
		}
	})
	row(t, "S48 S49 S50 the example with dialback, as the initiating server", nil, func(t *testing.T, l *lab) {
		out := l.send(im.Message{Body: "x"})
		p := l.sharing()
		p.expect("<body>x</body></message>")
		delivered(t, out)
		p.send(itsPing + message("gmail.com", "y"))
		if got := p.expect("</iq>"); got != ourPong {
			t.Errorf("got  %s\nwant %s", got, ourPong)
		}
		if m := <-l.inbox.ch; m.Body != "y" {
			t.Errorf("got %+v", m)
		}
		// The other domain of the same server, in conference.montague.lit's place, proves itself on the stream.
		l.prove(p, "googlemail.com", "contoso.com", "valid")
		p.send(message("googlemail.com", "z"))
		if m := <-l.inbox.ch; m.Body != "z" {
			t.Errorf("got %+v", m)
		}
		dialled := len(l.w.dialled())
		out = l.send(im.Message{To: im.Address{Local: "bob", Domain: "googlemail.com"}, Body: "back"})
		p.expect("<body>back</body>")
		delivered(t, out)
		if d := l.w.dialled(); len(d) != dialled {
			t.Errorf("dialled %v", d[dialled:])
		}
	})
}

func TestSharedStreamPairs(t *testing.T) {
	row(t, "S49 nothing goes out on an incoming stream before its pair is proven", nil, func(t *testing.T, l *lab) {
		p := l.connect()
		p.modern()
		p.send(asksBidi + "<db:result from='gmail.com' to='contoso.com'>k</db:result>")
		v := l.accept()
		v.answerHeader("")
		q := v.expect("</db:verify>")
		out := l.send(im.Message{Body: "x"})
		own := l.accept() // meanwhile a stream of our own is tried
		p.quiet(time.Second)
		v.send("<db:verify from='gmail.com' to='contoso.com' id='" + attrOf(t, q, "id") + "' type='valid'/>")
		p.expect("type='valid'/>")
		own.conn.Close()
		p.expect("<body>x</body>")
		delivered(t, out)
	})
	row(t, "S49 a key that is not valid proves nothing in either direction", nil, func(t *testing.T, l *lab) {
		p := l.connect()
		p.modern()
		p.send(asksBidi)
		l.prove(p, "gmail.com", "contoso.com", "invalid")
		p.expect("type='invalid'/>")
		out := l.send(im.Message{Body: "x"})
		l.accepted().expect("<body>x</body>")
		delivered(t, out)
		if got := p.end(); got != "</stream:stream>" {
			t.Errorf("got %s", got)
		}
	})
	row(t, "S49 only the proven pair goes out", nil, func(t *testing.T, l *lab) {
		p := l.shared()
		for _, m := range []im.Message{
			{From: im.Address{Local: "anna", Domain: "fabrikam.com"}, To: im.Address{Local: "bob", Domain: "gmail.com"}, Body: "x"},
			{From: im.Address{Local: "anna", Domain: "contoso.com"}, To: im.Address{Local: "bob", Domain: "googlemail.com"}, Body: "x"},
		} {
			l.send(m)
			own := l.accept()
			if h := own.expect("?>") + own.expect(">"); !strings.Contains(h, "from='"+m.From.Domain+"' to='"+m.To.Domain+"'") {
				t.Errorf("got %s", h)
			}
		}
		p.quiet(time.Second)
	})
	for _, c := range []struct{ name, says, condition string }{
		{"of another domain", message("googlemail.com", "x"), "<invalid-from "},
		{"of our own domain", message("contoso.com", "x"), "<invalid-from "},
		{"for another domain of ours", strings.Replace(message("gmail.com", "x"), "contoso", "fabrikam", 1), "<host-unknown "},
	} {
		row(t, "S14 S49 a stanza "+c.name+" on an outgoing stream", nil, func(t *testing.T, l *lab) {
			out := l.send(im.Message{Body: "x"})
			p := l.sharing()
			p.expect("</message>")
			delivered(t, out)
			p.send(c.says)
			p.expect(c.condition)
			p.end()
			l.inbox.none(t)
		})
	}
	row(t, "S49 a stanza on an outgoing stream before it is verified", nil, func(t *testing.T, l *lab) {
		out := l.send(im.Message{Body: "x"})
		p := l.accept()
		p.answerHeader(" version='1.0'")
		p.send(offer(dialback, bidi) + message("gmail.com", "early"))
		p.expect("</db:result>")
		p.send("<db:result from='gmail.com' to='contoso.com' type='valid'/>" + message("gmail.com", "in time"))
		delivered(t, out)
		if m := <-l.inbox.ch; m.Body != "in time" {
			t.Errorf("got %+v", m)
		}
		l.inbox.none(t)
	})
	row(t, "S37 S40 S50 a wrong key on an outgoing stream leaves its own pair as it is", nil, func(t *testing.T, l *lab) {
		out := l.send(im.Message{Body: "x"})
		p := l.sharing()
		p.expect("</message>")
		delivered(t, out)
		l.prove(p, "googlemail.com", "contoso.com", "invalid")
		if got := p.expect("</db:result>"); !strings.Contains(got, " type='error'><error type='auth'><forbidden ") {
			t.Errorf("got %s", got)
		}
		p.send("<db:result from='example.net' to='contoso.com'>k</db:result>")
		if got := p.expect("</db:result>"); !strings.Contains(got, "<policy-violation ") {
			t.Errorf("got %s", got)
		}
		p.send("<db:result from='googlemail.com' to='contoso.com' type='valid'/>") // unsolicited
		p.send(message("gmail.com", "y"))
		<-l.inbox.ch
		p.send(message("googlemail.com", "y"))
		p.expect("<invalid-from ")
	})
	row(t, "S32 S50 the key on an outgoing stream is about the id in the peer's header", nil, func(t *testing.T, l *lab) {
		l.send(im.Message{Body: "x"})
		p := l.sharing()
		p.send("<db:result from='googlemail.com' to='contoso.com'>k</db:result>")
		v := l.accept()
		v.answerHeader("")
		if q := v.expect("</db:verify>"); attrOf(t, q, "id") != "5F0A1C2B3D4E6F70" {
			t.Errorf("got %s", q)
		}
	})
}

func TestSharedStreamNegotiation(t *testing.T) {
	row(t, "S48 who did not ask hears nothing", nil, func(t *testing.T, l *lab) {
		p := l.connect()
		p.modern()
		l.prove(p, "gmail.com", "contoso.com", "valid")
		out := l.send(im.Message{Body: "x"})
		l.accepted().expect("<body>x</body>")
		delivered(t, out)
		p.quiet(time.Second)
	})
	row(t, "S48 a peer without version, who was offered nothing, asks for nothing", nil, func(t *testing.T, l *lab) {
		p := l.connect()
		p.old()
		p.send(asksBidi)
		l.prove(p, "gmail.com", "contoso.com", "valid")
		out := l.send(im.Message{Body: "x"})
		l.accepted().expect("<body>x</body>")
		delivered(t, out)
		p.quiet(time.Second)
	})
	row(t, "S48 strangers are not offered it", nil, func(t *testing.T, l *lab) {
		p := l.connect()
		p.send(oldHeader + " from='example.net' to='contoso.com' version='1.0'>")
		p.expect("xml:lang='en'>")
		if f := p.expect("</stream:features>"); f != offer(dialback) {
			t.Errorf("features %s", f)
		}
	})
	tlsRow(t, "S48 asked for in clear it is forgotten with TLS", optional, func(t *testing.T, l *lab, c *certs) {
		p := l.connect()
		p.modern()
		p.send(asksBidi)
		p.send(starttls)
		p.expect(proceed)
		p.conn = p.client(c.gmail)
		if _, f := p.open(); f != offer(external, dialback, bidi) {
			t.Errorf("features %s", f)
		}
		p.send("<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='EXTERNAL'>=</auth>")
		p.expect("<success ")
		p.expect(">")
		p.open()
		l.send(im.Message{Body: "x"})
		l.accept()
		p.quiet(time.Second)
	})
	for _, shows := range []bool{true, false} {
		name := "S48 where a certificate is pinned, only who shows it may be answered on its stream: "
		var c *certs
		row(t, name+fmt.Sprint(shows), func(cfg *Config) {
			c = newCerts(t)
			sum := sha256.Sum256(c.gmail.Certificate[0])
			cfg.Domains["gmail.com"] = config.XMPPDomain{Pin: hex.EncodeToString(sum[:])}
			cfg.Certificate, cfg.Roots = &c.contoso, pki.Roots(c.authority)
		}, func(t *testing.T, l *lab) {
			p := l.connect()
			p.modernFeatures(starttls + dialback)
			p.send(starttls)
			p.expect(proceed)
			cert, want := c.gmail, offer(external, dialback, bidi)
			if !shows {
				cert, want = c.stranger, offer(dialback)
			}
			p.conn = p.client(cert)
			if _, f := p.open(); f != want {
				t.Errorf("features %s, want %s", f, want)
			}
		})
	}
	row(t, "S48 S20 TLS and nothing else but both directions is mandatory TLS", nil, func(t *testing.T, l *lab) {
		out := l.send(im.Message{Body: "x"})
		p := l.accept()
		p.answerHeader(" version='1.0'")
		p.send(offer(starttls, bidi))
		if f := want(t, out, im.RemoteServerTimeout); !strings.Contains(f.Text, "demands TLS") {
			t.Errorf("got %v", f)
		}
	})
	row(t, "S48 a verification asks for nothing", nil, func(t *testing.T, l *lab) {
		p := l.connect()
		p.modern()
		p.send("<db:result from='gmail.com' to='contoso.com'>k</db:result>")
		v := l.accept()
		v.answerHeader(" version='1.0'")
		v.send(offer(dialback, bidi))
		if got := v.expect("</db:verify>"); !strings.HasPrefix(got, "<db:verify ") {
			t.Errorf("got %s", got)
		}
	})
}

func TestSharedStreamUse(t *testing.T) {
	row(t, "S51 one stream for both directions, and order in each", nil, func(t *testing.T, l *lab) {
		p := l.shared()
		before := len(l.w.dialled())
		var outcomes []chan *im.Failure
		for i := range 100 {
			outcomes = append(outcomes, l.send(im.Message{Body: fmt.Sprint(i)}))
			p.send(message("gmail.com", fmt.Sprint(i)) + itsPing)
		}
		answers := 0
		for i := range 100 {
			got := p.expect("<body>" + fmt.Sprint(i) + "</body>")
			answers += strings.Count(got, ourPong)
			delivered(t, outcomes[i])
			if m := <-l.inbox.ch; m.Body != fmt.Sprint(i) {
				t.Fatalf("%s in place of %d", m.Body, i)
			}
		}
		for ; answers < 100; answers++ {
			p.expect(ourPong)
		}
		if d := l.w.dialled(); len(d) != before {
			t.Errorf("dialled %v", d[before:])
		}
	})
	row(t, "S51 what waits for a stream of ours goes over the peer's as soon as there is one", func(c *Config) { c.Backoff = time.Hour }, func(t *testing.T, l *lab) {
		out := l.send(im.Message{Body: "lost"})
		l.accept().conn.Close()
		want(t, out, im.RemoteServerTimeout)
		out = l.send(im.Message{Body: "kept"}) // no attempt yet
		began := time.Now()
		l.shared().expect("<body>kept</body>")
		delivered(t, out)
		if took := time.Since(began); took > time.Second {
			t.Errorf("after %v", took)
		}
	})
	row(t, "S51 behind the end of the peer's stream another is opened", nil, func(t *testing.T, l *lab) {
		p := l.shared()
		delivered(t, l.send(im.Message{Body: "one"}))
		p.expect("<body>one</body>")
		p.send("</stream:stream>")
		if got := p.end(); !strings.HasSuffix(got, "</stream:stream>") {
			t.Errorf("got %s", got)
		}
		out := l.send(im.Message{Body: "two"})
		l.accepted().expect("<body>two</body>")
		delivered(t, out)
		l.inbox.none(t)
	})
	row(t, "S17 S51 nothing is written behind our closing tag: what comes then goes over another stream", nil, func(t *testing.T, l *lab) {
		p := l.shared()
		delivered(t, l.send(im.Message{Body: "one"}))
		p.send(starttls) // too late, so that we close
		p.expect("<failure xmlns='urn:ietf:params:xml:ns:xmpp-tls'/></stream:stream>")
		l.s.maxSignals = 1
		out, shown := l.send(im.Message{Body: "two"}), l.show(Presence{Show: "dnd"})
		p.quiet(time.Second)
		want(t, l.show(Presence{Show: "away"}), im.ResourceConstraint) // what was put back waits as before
		p.send("</stream:stream>")
		p = l.accepted()
		p.expect("<body>two</body>")
		p.expect("<show>dnd</show>")
		delivered(t, out)
		delivered(t, shown)
	})
	row(t, "S51 of two streams that the peer opened the other is used when one ends", nil, func(t *testing.T, l *lab) {
		first, second := l.shared(), l.shared()
		second.send("</stream:stream>")
		second.end()
		out := l.send(im.Message{Body: "x"})
		first.expect("<body>x</body>")
		delivered(t, out)
	})
	row(t, "what the peer's host never acknowledged is told to the sender", nil, func(t *testing.T, l *lab) {
		p := l.shared()
		p.conn.(*testConn).cut()
		delivered(t, l.send(im.Message{ID: "1", Body: "x"}))
		m := <-l.inbox.ch
		if m.Failure == nil || m.ID != "1" || m.To.Local != "anna" {
			t.Errorf("got %+v", m)
		}
		out := l.send(im.Message{Body: "y"})
		l.accepted().expect("<body>y</body>")
		delivered(t, out)
	})
	row(t, "a stream of ours stays while the peer uses it, and is closed when neither does", nil, func(t *testing.T, l *lab) {
		out := l.send(im.Message{Body: "x"})
		p := l.sharing()
		p.expect("</message>")
		delivered(t, out)
		for range 5 {
			time.Sleep(9 * time.Minute)
			p.send(message("gmail.com", "y"))
			<-l.inbox.ch
		}
		began := time.Now()
		said := ""
		for said = p.expect(">"); said != "</stream:stream>" && time.Since(began) < time.Hour; said = p.expect(">") {
			if strings.HasPrefix(said, "<iq ") { // an answer to a ping is no use of the stream
				p.send("<iq from='gmail.com' to='contoso.com' id='" + attrOf(t, said, "id") + "' type='result'/>")
			}
		}
		if took := time.Since(began); took < 9*time.Minute || took > 11*time.Minute {
			t.Errorf("after %v", took)
		}
		p.send("</stream:stream>")
		p.end()
	})
	row(t, "a stream of the peer's is the peer's to close, and used again later", nil, func(t *testing.T, l *lab) {
		p := l.shared()
		delivered(t, l.send(im.Message{Body: "one"}))
		p.expect("<body>one</body>")
		before := len(l.w.dialled())
		time.Sleep(40 * time.Minute)
		delivered(t, l.send(im.Message{Body: "two"}))
		got := p.expect("<body>two</body>")
		if n := strings.Count(got, "<ping "); n == 0 || n > 2 || strings.Contains(got, "</stream") {
			t.Errorf("got %s", got)
		}
		if d := l.w.dialled(); len(d) != before {
			t.Errorf("dialled %v", d[before:])
		}
	})
	row(t, "S17 stopping closes a stream of the peer's in order", nil, func(t *testing.T, l *lab) {
		p := l.shared()
		delivered(t, l.send(im.Message{Body: "x"}))
		l.stop()
		synctest.Wait()
		if got := p.expect("</stream:stream>"); !strings.Contains(got, "<body>x</body>") {
			t.Errorf("got %s", got)
		}
		p.send(message("gmail.com", "y") + "</stream:stream>")
		if m := <-l.inbox.ch; m.Body != "y" {
			t.Errorf("got %+v", m)
		}
		p.end()
	})
}
