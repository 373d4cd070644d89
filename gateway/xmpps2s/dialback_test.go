package xmpps2s

import (
	"errors"
	"net"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"fedlab/gateway/im"
)

func TestDialbackKey(t *testing.T) {
	for _, c := range []struct{ secret, receiving, originating, id, key string }{
		{"s3cr3tf0rd14lb4ck", "xmpp.example.com", "example.org", "D60000229F", "37c69b1cf07a3f67c04a5ef5902fa5114f2c76fe4a2686482ba5b89323075643"},
		{"s3cr3tf0rd14lb4ck", "montague.example", "capulet.example", "D60000229F", "b4835385f37fe2895af6c196b59097b16862406db80559900d96bf6fa7d23df3"},
		{"d14lb4ck43v3r", "capulet.example", "montague.example", "417GAF25", "225cc5aa6a071133249d25fef42ae516fc7a86c523aa1c6980a7f73e784c972d"},
		{"dialback-lab-secret", "gmail.com", "contoso.com", "5F0A1C2B3D4E6F70", "3696e5c7c7ae26e5d676e14545136a45c2279a1dc777513796862bf0ca278af9"},
	} {
		t.Run("S42 key of "+c.originating, func(t *testing.T) {
			if got := dialbackKey(c.secret, c.receiving, c.originating, c.id); got != c.key {
				t.Errorf("got %s, want %s", got, c.key)
			}
		})
	}
	t.Run("S42 without a configured secret every start has its own", func(t *testing.T) {
		w := newWorld()
		a, _ := New(Config{Network: w.host("203.0.113.1")}, &inbox{})
		b, _ := New(Config{Network: w.host("203.0.113.1")}, &inbox{})
		if a.cfg.Secret == "" || a.cfg.Secret == b.cfg.Secret {
			t.Error("secrets are not random")
		}
	})
}

// The initiating role.
func TestInitiating(t *testing.T) {
	const key = "3696e5c7c7ae26e5d676e14545136a45c2279a1dc777513796862bf0ca278af9"
	row(t, "S31 db:result (1) has from, to and the key, and nothing goes before valid", nil, func(t *testing.T, l *lab) {
		out := l.send(im.Message{Body: "x"})
		p := l.accept()
		p.answerHeader("")
		if got, want := p.expect("</db:result>"), "<db:result from='contoso.com' to='gmail.com'>"+key+"</db:result>"; got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
		p.quiet(20 * time.Second)
		p.send("<db:result from='gmail.com' to='contoso.com' type='valid'/>")
		p.expect("<body>x</body></message>")
		delivered(t, out)
	})
	for _, c := range []struct{ name, answer string }{
		{"reversed", "<db:result from='contoso.com' to='gmail.com' type='valid'/>"},
		{"of another pair", "<db:result from='googlemail.com' to='contoso.com' type='valid'/>"},
		{"without type", "<db:result from='gmail.com' to='contoso.com'/>"},
		{"to a verification never asked", "<db:verify from='gmail.com' to='contoso.com' id='5F0A1C2B3D4E6F70' type='valid'/>"},
	} {
		row(t, "S34 an answer "+c.name+" is ignored", nil, func(t *testing.T, l *lab) {
			out := l.send(im.Message{Body: "x"})
			p := l.accept()
			p.answerHeader("")
			p.expect("</db:result>")
			p.send(c.answer)
			p.quiet(20 * time.Second)
			p.send("<db:result from='gmail.com' to='contoso.com' type='valid'>" + key + "</db:result>")
			p.expect("</message>")
			delivered(t, out)
		})
	}
	row(t, "S35 invalid returns the queue with internal-server-error and nothing more is sent", nil, func(t *testing.T, l *lab) {
		a, b := l.send(im.Message{Body: "1"}), l.send(im.Message{Body: "2"})
		p := l.accept()
		p.answerHeader("")
		p.expect("</db:result>")
		p.send("<db:result from='gmail.com' to='contoso.com' type='invalid'/>")
		want(t, a, im.InternalServerError)
		want(t, b, im.InternalServerError)
		if got := p.end(); got != "" {
			t.Errorf("got %s", got)
		}
	})
	for _, condition := range []string{"item-not-found", "remote-connection-failed", "remote-server-not-found", "remote-server-timeout",
		"policy-violation", "not-authorized", "forbidden", "not-acceptable", "resource-constraint"} {
		row(t, "S36 error "+condition+" returns the queue, the stream is kept and used again", nil, func(t *testing.T, l *lab) {
			out := l.send(im.Message{Body: "1"})
			p := l.accept()
			p.answerHeader(" version='1.0'")
			p.send(features)
			p.expect("</db:result>")
			p.send("<db:result from='gmail.com' to='contoso.com' type='error'><error type='cancel'><" + condition +
				" xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></db:result>")
			if f := want(t, out, im.RemoteServerTimeout); !strings.Contains(f.Text, condition) {
				t.Errorf("text %q", f.Text)
			}
			p.quiet(5 * time.Second)
			out = l.send(im.Message{Body: "2"})
			p.expect("</db:result>")
			p.send("<db:result from='gmail.com' to='contoso.com' type='valid'/>")
			p.expect("<body>2</body>")
			delivered(t, out)
		})
	}
	row(t, "S36 a stream kept and not needed is closed", nil, func(t *testing.T, l *lab) {
		out := l.send(im.Message{Body: "1"})
		p := l.accept()
		p.answerHeader("")
		p.expect("</db:result>")
		p.send("<db:result from='gmail.com' to='contoso.com' type='error'/>")
		want(t, out, im.RemoteServerTimeout)
		p.expect("</stream:stream>")
	})
	row(t, "S36 the stream is closed while we wait", nil, func(t *testing.T, l *lab) {
		out := l.send(im.Message{Body: "1"})
		p := l.accept()
		p.answerHeader("")
		p.expect("</db:result>")
		p.send("</stream:stream>")
		p.conn.Close()
		want(t, out, im.RemoteServerTimeout)
	})
	row(t, "S36 no answer in time", nil, func(t *testing.T, l *lab) {
		began := time.Now()
		out := l.send(im.Message{Body: "1"})
		p := l.accept()
		p.answerHeader("")
		p.expect("</db:result>")
		want(t, out, im.RemoteServerTimeout)
		if took := time.Since(began); took < 25*time.Second || took > 50*time.Second {
			t.Errorf("after %v", took)
		}
	})
}

// The receiving role.
func TestReceiving(t *testing.T) {
	row(t, "S32 db:verify (2) has from, to, the id of our header and the key as it came", nil, func(t *testing.T, l *lab) {
		p := l.connect()
		id := p.old()
		p.send("<db:result from='gmail.com' to='contoso.com'>\n  a-Key_of.any+form  \n</db:result>")
		v := l.accept()
		v.answerHeader("")
		if got, want := v.expect("</db:verify>"), "<db:verify from='contoso.com' to='gmail.com' id='"+id+"'>a-Key_of.any+form</db:verify>"; got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
		v.send("<db:verify from='gmail.com' to='contoso.com' id='" + id + "' type='valid'/>")
		if got, want := p.expect("/>"), "<db:result from='contoso.com' to='gmail.com' type='valid'/>"; got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	})
	for _, c := range []struct{ name, from, to, id string }{
		{"of another id", "gmail.com", "contoso.com", "1"},
		{"reversed", "contoso.com", "gmail.com", ""},
		{"of another domain", "googlemail.com", "contoso.com", ""},
	} {
		row(t, "S34 a verify answer "+c.name+" is ignored", nil, func(t *testing.T, l *lab) {
			p := l.connect()
			id := p.old()
			p.send("<db:result from='gmail.com' to='contoso.com'>k</db:result>")
			v := l.accept()
			v.answerHeader("")
			v.expect("</db:verify>")
			if c.id == "" {
				c.id = id
			}
			v.send("<db:verify from='" + c.from + "' to='" + c.to + "' id='" + c.id + "' type='valid'/>")
			p.quiet(20 * time.Second)
			v.send("<db:verify from='gmail.com' to='contoso.com' id='" + id + "' type='valid'/>")
			p.expect("type='valid'/>")
		})
	}
	for _, unsolicited := range []string{
		"<db:result from='gmail.com' to='contoso.com' type='valid'/>",
		"<db:verify from='gmail.com' to='contoso.com' id='ID' type='valid'/>",
	} {
		row(t, "S34 unsolicited on an incoming stream: "+unsolicited[4:10], nil, func(t *testing.T, l *lab) {
			p := l.connect()
			id := p.modern()
			p.send(strings.Replace(unsolicited, "ID", id, 1))
			p.send("<message from='bob@gmail.com' to='anna@contoso.com'><body>x</body></message>")
			if got := p.end(); !strings.HasPrefix(got, "<stream:error><not-authorized ") {
				t.Errorf("got %s", got)
			}
			l.inbox.none(t)
		})
	}
	row(t, "S37 invalid is told, and the stream is closed", nil, func(t *testing.T, l *lab) {
		p := l.connect()
		p.old()
		l.prove(p, "gmail.com", "contoso.com", "invalid")
		if got, want := p.end(), "<db:result from='contoso.com' to='gmail.com' type='invalid'/></stream:stream>"; got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	})
	row(t, "S37 invalid for one pair leaves the others alone", nil, func(t *testing.T, l *lab) {
		p := l.verified()
		l.prove(p, "googlemail.com", "contoso.com", "invalid")
		if got := p.expect("</db:result>"); !strings.Contains(got, "from='contoso.com' to='googlemail.com' type='error'><error type='auth'><forbidden ") {
			t.Errorf("got %s", got)
		}
		p.send("<message from='bob@gmail.com' to='anna@contoso.com'><body>x</body></message>")
		<-l.inbox.ch
		p.send("<message from='bob@googlemail.com' to='anna@contoso.com'><body>x</body></message>")
		p.expect("<invalid-from ")
	})
	row(t, "S38 db:result for a domain not ours", nil, func(t *testing.T, l *lab) {
		p := l.connect()
		p.old()
		p.send("<db:result from='gmail.com' to='example.net'>k</db:result>")
		if got := p.expect("</db:result>"); got != "<db:result from='example.net' to='gmail.com' type='error'><error type='cancel'>"+
			"<item-not-found xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></db:result>" {
			t.Errorf("got %s", got)
		}
		l.prove(p, "gmail.com", "contoso.com", "valid")
	})
	row(t, "a domain that is not on the list is refused, without asking its server", nil, func(t *testing.T, l *lab) {
		p := l.connect()
		p.old()
		p.send("<db:result from='example.net' to='contoso.com'>k</db:result>")
		if got := p.expect("</db:result>"); !strings.Contains(got, "type='error'><error type='modify'><policy-violation ") {
			t.Errorf("got %s", got)
		}
		if d := l.w.dialled(); len(d) != 1 {
			t.Errorf("dialled %v", d)
		}
	})
	row(t, "S39 an error in step 3 is remote-server-not-found in step 4", nil, func(t *testing.T, l *lab) {
		p := l.connect()
		p.old()
		l.prove(p, "gmail.com", "contoso.com", "error")
		if got := p.expect("</db:result>"); !strings.Contains(got, "type='error'><error type='cancel'><remote-server-not-found ") {
			t.Errorf("got %s", got)
		}
	})
	for name, answer := range map[string]string{
		"closes":                 "</stream:stream>",
		"closes with host error": "<stream:error><host-unknown xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error></stream:stream>",
		"closes with invalid-id": "<stream:error><invalid-id xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error></stream:stream>",
		"resets":                 "",
	} {
		row(t, "S39 S44 the authoritative server "+name, nil, func(t *testing.T, l *lab) {
			p := l.connect()
			p.old()
			p.send("<db:result from='gmail.com' to='contoso.com'>k</db:result>")
			v := l.accept()
			v.answerHeader("")
			v.expect("</db:verify>")
			if answer != "" {
				v.send(answer)
			}
			v.conn.Close()
			if got := p.expect("</db:result>"); !strings.Contains(got, "type='error'><error type='wait'><remote-server-timeout ") {
				t.Errorf("got %s", got)
			}
			l.prove(p, "gmail.com", "contoso.com", "valid")
		})
	}
	row(t, "S39 the authoritative server cannot be found", nil, func(t *testing.T, l *lab) {
		l.w.srv["_xmpp-server._tcp.gmail.com"] = []*net.SRV{{Target: "."}}
		p := l.connect()
		p.old()
		p.send("<db:result from='gmail.com' to='contoso.com'>k</db:result>")
		p.expect("<remote-server-not-found ")
	})
	row(t, "S40 the sender's server is looked up, whatever the peer's address", nil, func(t *testing.T, l *lab) {
		c, err := l.w.host("198.51.100.66").DialContext(t.Context(), "tcp", contosoAddr)
		if err != nil {
			t.Fatal(err)
		}
		p := &peer{t: t, conn: c, name: "impostor"}
		p.old()
		l.prove(p, "gmail.com", "contoso.com", "invalid")
		if got := p.end(); !strings.Contains(got, "type='invalid'") {
			t.Errorf("got %s", got)
		}
		if d := l.w.dialled(); len(d) != 2 || d[1] != gmailAddr {
			t.Errorf("dialled %v", d)
		}
	})
	row(t, "S40 an outgoing stream is not used to verify, and is not disturbed", nil, func(t *testing.T, l *lab) {
		out := l.send(im.Message{Body: "1"})
		ours := l.accepted()
		ours.expect("</message>")
		delivered(t, out)
		l.verified()
		ours.quiet(time.Second)
	})
	row(t, "S41 other pairs and elements are served while a verification is pending", nil, func(t *testing.T, l *lab) {
		p := l.verified()
		p.send("<db:result from='googlemail.com' to='contoso.com'>k2</db:result>")
		v := l.accept()
		v.answerHeader("")
		q := v.expect("</db:verify>")
		p.send("<message from='bob@gmail.com' to='anna@contoso.com'><body>x</body></message>")
		<-l.inbox.ch
		p.send("<db:verify from='gmail.com' to='contoso.com' id='5F0A1C2B3D4E6F70'>3696e5c7c7ae26e5d676e14545136a45c2279a1dc777513796862bf0ca278af9</db:verify>")
		p.expect("id='5F0A1C2B3D4E6F70' type='valid'/>")
		v.send("<db:verify from='googlemail.com' to='contoso.com' id='" + attrOf(t, q, "id") + "' type='valid'/>")
		p.expect("<db:result from='contoso.com' to='googlemail.com' type='valid'/>")
		p.send("<message from='bob@googlemail.com' to='anna@contoso.com'><body>x</body></message>")
		<-l.inbox.ch
	})
	row(t, "a peer that goes away while its key is verified", nil, func(t *testing.T, l *lab) {
		p := l.connect()
		p.old()
		p.send("<db:result from='gmail.com' to='contoso.com'>k</db:result>")
		v := l.accept()
		v.answerHeader("")
		v.expect("</db:verify>")
		p.send("</stream:stream>")
		p.conn.Close()
		synctest.Wait()
		v.end()
	})
	row(t, "too many pairs on one stream", nil, func(t *testing.T, l *lab) {
		l.w.dropped[gmailAddr] = true
		p := l.connect()
		p.old()
		for range 100 {
			p.send("<db:result from='gmail.com' to='contoso.com'>k</db:result><db:result from='googlemail.com' to='contoso.com'>k</db:result>")
		}
		synctest.Wait()
		if d := l.w.dialled(); len(d) != 3 {
			t.Errorf("dialled %d times", len(d)-1)
		}
	})
}

// The authoritative role.
func TestAuthoritative(t *testing.T) {
	const key = "3696e5c7c7ae26e5d676e14545136a45c2279a1dc777513796862bf0ca278af9"
	for _, c := range []struct{ name, ask, answer string }{
		{"valid", "<db:verify from='gmail.com' to='contoso.com' id='5F0A1C2B3D4E6F70'>" + key + "</db:verify>",
			"<db:verify from='contoso.com' to='gmail.com' id='5F0A1C2B3D4E6F70' type='valid'/>"},
		{"valid with white space", "<db:verify from='gmail.com' to='contoso.com' id='5F0A1C2B3D4E6F70'>\n " + key + "\n</db:verify>",
			"<db:verify from='contoso.com' to='gmail.com' id='5F0A1C2B3D4E6F70' type='valid'/>"},
		{"valid in capitals", "<db:verify from='GMAIL.com' to='Contoso.com' id='5F0A1C2B3D4E6F70'>" + key + "</db:verify>",
			"<db:verify from='Contoso.com' to='GMAIL.com' id='5F0A1C2B3D4E6F70' type='valid'/>"},
		{"another id", "<db:verify from='gmail.com' to='contoso.com' id='5F0A1C2B3D4E6F71'>" + key + "</db:verify>",
			"<db:verify from='contoso.com' to='gmail.com' id='5F0A1C2B3D4E6F71' type='invalid'/>"},
		{"another asker", "<db:verify from='example.net' to='contoso.com' id='5F0A1C2B3D4E6F70'>" + key + "</db:verify>",
			"<db:verify from='contoso.com' to='example.net' id='5F0A1C2B3D4E6F70' type='invalid'/>"},
		{"no key", "<db:verify from='gmail.com' to='contoso.com' id='5F0A1C2B3D4E6F70'/>",
			"<db:verify from='contoso.com' to='gmail.com' id='5F0A1C2B3D4E6F70' type='invalid'/>"},
	} {
		row(t, "S33 "+c.name, nil, func(t *testing.T, l *lab) {
			p := l.connect()
			p.old()
			p.send(c.ask)
			if got := p.expect("/>"); got != c.answer {
				t.Errorf("got  %s\nwant %s", got, c.answer)
			}
		})
	}
	row(t, "S33 on a stream of version 1.0, from a domain that is not on the list, before any authentication", nil, func(t *testing.T, l *lab) {
		p := l.connect()
		p.modern()
		p.send("<db:verify from='gmail.com' to='contoso.com' id='5F0A1C2B3D4E6F70'>" + key + "</db:verify>")
		p.expect("type='valid'/>")
	})
	row(t, "S38 db:verify for a domain not ours", nil, func(t *testing.T, l *lab) {
		p := l.connect()
		p.old()
		p.send("<db:verify from='gmail.com' to='example.net' id='1'>k</db:verify>")
		if got := p.expect("</db:verify>"); got != "<db:verify from='example.net' to='gmail.com' id='1' type='error'><error type='cancel'>"+
			"<item-not-found xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></db:verify>" {
			t.Errorf("got %s", got)
		}
		p.send("<db:verify from='gmail.com' to='contoso.com' id='5F0A1C2B3D4E6F70'>" + key + "</db:verify>")
		p.expect("type='valid'/>")
	})
	row(t, "S42 any member of a farm with the same secret verifies", func(c *Config) { c.Listen = "203.0.113.2:5269" }, func(t *testing.T, l *lab) {
		c, err := l.outside.DialContext(t.Context(), "tcp", "203.0.113.2:5269")
		if err != nil {
			t.Fatal(err)
		}
		p := &peer{t: t, conn: c, name: "gmail.com"}
		p.old()
		p.send("<db:verify from='gmail.com' to='contoso.com' id='5F0A1C2B3D4E6F70'>" + key + "</db:verify>")
		p.expect("type='valid'/>")
	})
	row(t, "S43 dialback errors are advertised, and the prefix is db", nil, func(t *testing.T, l *lab) {
		p := l.connect()
		p.send(oldHeader + " from='gmail.com' to='contoso.com' version='1.0'>")
		if got := p.expect("</stream:features>"); !strings.Contains(got, "<dialback xmlns='urn:xmpp:features:dialback'><errors/></dialback>") ||
			!strings.Contains(got, "xmlns:db='jabber:server:dialback'") {
			t.Errorf("got %s", got)
		}
	})
	row(t, "S43 every pair has a stream of its own", nil, func(t *testing.T, l *lab) {
		bob := l.send(im.Message{Body: "x"})
		p := l.accepted()
		p.expect("</message>")
		delivered(t, bob)
		l.send(im.Message{Body: "y", To: im.Address{Local: "bob", Domain: "googlemail.com"}})
		q := l.accept()
		q.expect("to='googlemail.com'")
		p.quiet(time.Second)
	})
}

// Looking a domain up.
func TestFinding(t *testing.T) {
	srv := func(l *lab, records ...*net.SRV) {
		l.w.srv["_xmpp-server._tcp.gmail.com"] = records
		for i, name := range []string{"h0", "h1", "h2", "h3", "h4"} {
			l.w.hosts[name+".google.com"] = []netip.Addr{netip.AddrFrom4([4]byte{192, 0, 2, byte(10 + i)})}
		}
	}
	rec := func(name string, priority, weight uint16) *net.SRV {
		return &net.SRV{Target: name + ".google.com.", Port: 5269, Priority: priority, Weight: weight}
	}
	row(t, "S25 every target is tried, the preferred one first, and each of its addresses", nil, func(t *testing.T, l *lab) {
		srv(l, rec("h1", 20, 0), rec("h0", 5, 0), rec("h2", 20, 0), rec("h3", 20, 0), rec("h4", 20, 0))
		l.w.hosts["h0.google.com"] = append(l.w.hosts["h0.google.com"], netip.MustParseAddr("2001:db8::5"))
		l.w.hosts["h3.google.com"] = l.w.hosts["h1.google.com"]
		want(t, l.send(im.Message{Body: "x"}), im.RemoteServerTimeout)
		d := l.w.dialled()
		if len(d) != 5 {
			t.Fatalf("dialled %v: an address that failed is not tried again under another name", d)
		}
		if d[0] != "192.0.2.10:5269" || d[1] != "[2001:db8::5]:5269" {
			t.Errorf("dialled %v", d)
		}
	})
	row(t, "S25 the next target takes over", nil, func(t *testing.T, l *lab) {
		srv(l, rec("h0", 5, 0), rec("h1", 20, 0))
		l.w.hosts["h1.google.com"] = []netip.Addr{netip.MustParseAddr("192.0.2.1")}
		l.w.dropped["192.0.2.10:5269"] = true
		began := time.Now()
		out := l.send(im.Message{Body: "x"})
		l.accepted().expect("</message>")
		delivered(t, out)
		if took := time.Since(began); took < 9*time.Second || took > 12*time.Second {
			t.Errorf("after %v", took)
		}
		a := l.s.Status().Links[0].Attempts
		if len(a) != 2 || a[0].Err == "" || a[0].Address != "192.0.2.10:5269" || a[1].Err != "" {
			t.Errorf("attempts %+v", a)
		}
	})
	for name, behave := range map[string]func(*peer){
		"accepts and is silent":  func(p *peer) { p.end() },
		"accepts and closes":     func(p *peer) { p.conn.Close() },
		"is shutting down":       func(p *peer) { p.answerHeader(""); p.send(streamError("system-shutdown")) },
		"is overloaded":          func(p *peer) { p.answerHeader(""); p.send(streamError("resource-constraint")) },
		"speaks no XMPP":         func(p *peer) { p.send("220 smtp.example.net ESMTP\r\n") },
		"sends a header and EOF": func(p *peer) { p.answerHeader(""); p.conn.Close() },
	} {
		row(t, "S25 a target that "+name+" is not the last", nil, func(t *testing.T, l *lab) {
			srv(l, rec("h0", 5, 0), rec("h1", 20, 0))
			bad, err := l.w.host("192.0.2.10").Listen(t.Context(), "tcp", ":5269")
			if err != nil {
				t.Fatal(err)
			}
			defer bad.Close()
			l.w.hosts["h1.google.com"] = []netip.Addr{netip.MustParseAddr("192.0.2.1")}
			out := l.send(im.Message{Body: "x"})
			c, err := bad.Accept()
			if err != nil {
				t.Fatal(err)
			}
			behave(&peer{t: t, conn: c, name: "bad"})
			l.accepted().expect("</message>")
			delivered(t, out)
		})
	}
	for _, condition := range []string{"host-unknown", "policy-violation", "not-authorized"} {
		row(t, "S25 "+condition+" is the domain's answer: no other host is asked", nil, func(t *testing.T, l *lab) {
			srv(l, rec("h0", 5, 0), rec("h1", 20, 0))
			l.w.hosts["h0.google.com"] = []netip.Addr{netip.MustParseAddr("192.0.2.1")}
			out := l.send(im.Message{Body: "x"})
			p := l.accept()
			p.answerHeader("")
			p.send(streamError(condition))
			want(t, out, im.RemoteServerTimeout)
			if d := l.w.dialled(); len(d) != 1 {
				t.Errorf("dialled %v", d)
			}
		})
	}
	row(t, "S26 a target of . means no service, and no address is looked up", nil, func(t *testing.T, l *lab) {
		srv(l, &net.SRV{Target: "."})
		want(t, l.send(im.Message{Body: "x"}), im.RemoteServerNotFound)
		if len(l.w.dialled()) != 0 || len(l.w.lookups) != 1 {
			t.Errorf("dialled %v, looked up %v", l.w.dialled(), l.w.lookups)
		}
	})
	row(t, "S26 records that all fail: the domain's own address is not used", nil, func(t *testing.T, l *lab) {
		srv(l, rec("h0", 5, 0))
		l.w.hosts["gmail.com"] = []netip.Addr{netip.MustParseAddr("192.0.2.1")}
		want(t, l.send(im.Message{Body: "x"}), im.RemoteServerTimeout)
		if d := l.w.dialled(); len(d) != 1 {
			t.Errorf("dialled %v", d)
		}
	})
	row(t, "S26 no records: the domain's own address, port 5269", nil, func(t *testing.T, l *lab) {
		srv(l)
		l.w.hosts["gmail.com"] = []netip.Addr{netip.MustParseAddr("192.0.2.1")}
		out := l.send(im.Message{Body: "x"})
		l.accepted().expect("</message>")
		delivered(t, out)
	})
	row(t, "S26 a failing DNS server is not an absent record", nil, func(t *testing.T, l *lab) {
		l.w.dnsErr["_xmpp-server._tcp.gmail.com"] = &net.DNSError{Err: "server misbehaving", Name: "x", IsTemporary: true}
		l.w.hosts["gmail.com"] = []netip.Addr{netip.MustParseAddr("192.0.2.1")}
		want(t, l.send(im.Message{Body: "x"}), im.RemoteServerTimeout)
		if d := l.w.dialled(); len(d) != 0 {
			t.Errorf("dialled %v", d)
		}
	})
	row(t, "S27 a domain that does not exist", nil, func(t *testing.T, l *lab) {
		srv(l)
		want(t, l.send(im.Message{Body: "x"}), im.RemoteServerNotFound)
	})
	row(t, "S27 targets without addresses", nil, func(t *testing.T, l *lab) {
		srv(l, &net.SRV{Target: "nowhere.google.com.", Port: 5269})
		want(t, l.send(im.Message{Body: "x"}), im.RemoteServerNotFound)
	})
	row(t, "S27 targets whose addresses cannot be looked up now", nil, func(t *testing.T, l *lab) {
		srv(l, rec("h0", 5, 0))
		l.w.dnsErr["h0.google.com"] = errors.New("server misbehaving")
		want(t, l.send(im.Message{Body: "x"}), im.RemoteServerTimeout)
	})
	row(t, "S27 nothing listens on the fallback port", nil, func(t *testing.T, l *lab) {
		srv(l)
		l.w.hosts["gmail.com"] = []netip.Addr{netip.MustParseAddr("192.0.2.77")}
		want(t, l.send(im.Message{Body: "x"}), im.RemoteServerNotFound)
	})
	row(t, "S27 all targets filtered: the sender hears of it in bounded time", nil, func(t *testing.T, l *lab) {
		srv(l, rec("h0", 5, 0), rec("h1", 20, 0), rec("h2", 20, 0), rec("h3", 20, 0), rec("h4", 20, 0))
		for _, a := range []string{"10", "11", "12", "13", "14"} {
			l.w.dropped["192.0.2."+a+":5269"] = true
		}
		began := time.Now()
		f := want(t, l.send(im.Message{Body: "x"}), im.RemoteServerTimeout)
		if took := time.Since(began); took > 46*time.Second {
			t.Errorf("after %v", took)
		}
		if !strings.Contains(f.Text, "192.0.2.10:5269") {
			t.Errorf("text %q", f.Text)
		}
	})
}

func streamError(condition string) string {
	return "<stream:error><" + condition + " xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error></stream:stream>"
}
