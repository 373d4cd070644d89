package xmpps2s

import (
	"strings"
	"testing"
	"time"

	"fedlab/gateway/im"
)

func TestOutgoingHeader(t *testing.T) {
	row(t, "S01 the initial header has to, from, version, xml:lang, the dialback namespace and no id", nil, func(t *testing.T, l *lab) {
		l.send(im.Message{Body: "x"})
		h := l.accept().answerHeader("")
		want := "<?xml version='1.0'?><stream:stream xmlns='jabber:server' xmlns:db='jabber:server:dialback' " +
			"xmlns:stream='http://etherx.jabber.org/streams' from='contoso.com' to='gmail.com' version='1.0' xml:lang='en'>"
		if h != want {
			t.Errorf("got  %s\nwant %s", h, want)
		}
	})
	row(t, "S05 a response header without version leads to db:result at once", nil, func(t *testing.T, l *lab) {
		l.send(im.Message{Body: "x"})
		p := l.accept()
		p.answerHeader("")
		began := time.Now()
		p.expect("<db:result ")
		if time.Since(began) > 0 {
			t.Errorf("db:result came after %v", time.Since(began))
		}
	})
	row(t, "S05 a peer of version 1.0 that sends no features gets db:result after a while", nil, func(t *testing.T, l *lab) {
		out := l.send(im.Message{Body: "x"})
		p := l.accept()
		p.answerHeader(" version='1.0'")
		p.expect("</db:result>")
		p.send("<stream:features/><db:result from='gmail.com' to='contoso.com' type='valid'/>")
		p.expect("</message>")
		delivered(t, out)
	})
	row(t, "S04 features from a peer without version are ignored", nil, func(t *testing.T, l *lab) {
		out := l.send(im.Message{Body: "x"})
		p := l.accept()
		p.answerHeader("")
		p.send("<stream:features><starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'><required/></starttls></stream:features>")
		p.expect("</db:result>")
		p.send("<db:result from='gmail.com' to='contoso.com' type='valid'/>")
		p.expect("</message>")
		delivered(t, out)
	})
}

func TestIncomingHeader(t *testing.T) {
	open := func(attrs string) func(*testing.T, *lab) string {
		return func(t *testing.T, l *lab) string {
			p := l.connect()
			p.send(oldHeader + attrs + ">")
			return p.expect("?>") + p.expect(">")
		}
	}
	row(t, "S02 the response header has from, to, xml:lang and a fresh id", nil, func(t *testing.T, l *lab) {
		a := open(" from='gmail.com' to='contoso.com'")(t, l)
		b := open(" from='gmail.com' to='contoso.com'")(t, l)
		for name, want := range map[string]string{"from": "contoso.com", "to": "gmail.com", "xml:lang": "en"} {
			if got := attrOf(t, a, name); got != want {
				t.Errorf("%s=%q, want %q", name, got, want)
			}
		}
		if ids := [2]string{attrOf(t, a, "id"), attrOf(t, b, "id")}; len(ids[0]) < 16 || ids[0] == ids[1] {
			t.Errorf("ids %q", ids)
		}
	})
	for _, c := range []struct{ version, want string }{
		{"", ""}, {" version='0.9'", ""}, {" version='1.0'", " version='1.0'"}, {" version='1.1'", " version='1.0'"},
		{" version='2.0'", " version='1.0'"}, {" version='10.0'", " version='1.0'"}, {" version='01.00'", " version='1.0'"},
	} {
		row(t, "S03 the response to"+c.version+" has the lower version", nil, func(t *testing.T, l *lab) {
			h := open(" from='gmail.com' to='contoso.com'"+c.version)(t, l)
			if _, h, _ = strings.Cut(h, "?>"); strings.Contains(h, " version=") != (c.want != "") || !strings.Contains(h, c.want) {
				t.Errorf("got %s", h)
			}
		})
	}
	row(t, "S04 features follow the header of a version 1.0 stream at once", nil, func(t *testing.T, l *lab) {
		p := l.connect()
		p.send(oldHeader + " from='gmail.com' to='contoso.com' version='1.0'>")
		p.expect("xml:lang='en'>")
		if got := p.expect("</stream:features>"); got != offer(dialback, bidi) {
			t.Errorf("got %s", got)
		}
	})
	row(t, "S04 a peer without version gets no features", nil, func(t *testing.T, l *lab) {
		p := l.connect()
		p.old()
		p.quiet(time.Second)
	})
	row(t, "S06 a header without from and to is accepted from a peer without version", nil, func(t *testing.T, l *lab) {
		p := l.connect()
		p.send(oldHeader + ">")
		h := p.expect("?>") + p.expect(">")
		if from := attrOf(t, h, "from"); from != "contoso.com" {
			t.Errorf("from %q", from)
		}
		l.prove(p, "gmail.com", "contoso.com", "valid")
	})
	for _, to := range []string{" to='example.net'", " to='not a domain'", ""} {
		row(t, "S07 to unknown or missing:"+to, nil, func(t *testing.T, l *lab) {
			p := l.connect()
			p.send(oldHeader + " from='gmail.com'" + to + " version='1.0'>")
			h := p.expect("?>") + p.expect(">")
			if from := attrOf(t, h, "from"); from != "contoso.com" || attrOf(t, h, "id") == "" || !strings.Contains(h, "version='1.0'>"[:13]) {
				t.Errorf("header %s", h)
			}
			rest := p.end()
			if !strings.HasPrefix(rest, "<stream:error><host-unknown xmlns='urn:ietf:params:xml:ns:xmpp-streams'/>") ||
				!strings.HasSuffix(rest, "</stream:error></stream:stream>") {
				t.Errorf("got %s", rest)
			}
		})
	}
	for name, header := range map[string]string{
		"stream namespace":   "<stream:stream xmlns='jabber:server' xmlns:stream='http://example.net/' to='contoso.com' version='1.0'>",
		"content namespace":  "<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' to='contoso.com' version='1.0'>",
		"dialback namespace": "<stream:stream xmlns='jabber:server' xmlns:db='jabber:dialback' xmlns:stream='http://etherx.jabber.org/streams' to='contoso.com'>",
	} {
		row(t, "S08 wrong "+name, nil, func(t *testing.T, l *lab) {
			p := l.connect()
			p.send(header)
			if got := p.end(); !strings.Contains(got, "<stream:error><invalid-namespace ") || !strings.HasSuffix(got, "</stream:stream>") {
				t.Errorf("got %s", got)
			}
		})
	}
}

func TestForeignPrefixes(t *testing.T) {
	row(t, "S09 inbound prefixes do not matter, ours has none", nil, func(t *testing.T, l *lab) {
		p := l.connect()
		p.send("<s:stream xmlns:s='http://etherx.jabber.org/streams' xmlns:srv='jabber:server' xmlns:d='jabber:server:dialback' from='gmail.com' to='contoso.com'>")
		p.expect("xml:lang='en'>")
		p.send("<d:result from='gmail.com' to='contoso.com'>k</d:result>")
		v := l.accept()
		v.answerHeader("")
		q := v.expect("</db:verify>")
		v.send("<db:verify from='gmail.com' to='contoso.com' id='" + attrOf(t, q, "id") + "' type='valid'/>")
		p.expect("type='valid'/>")
		p.send("<srv:message from='bob@gmail.com' to='anna@contoso.com' id='1' type='chat'><srv:body>x</srv:body>" +
			"<cha:composing xmlns:cha='http://jabber.org/protocol/chatstates'/></srv:message>")
		if m := <-l.inbox.ch; m.Body != "x" || m.State != im.Composing {
			t.Errorf("got %+v", m)
		}
		p.send("<srv:iq from='gmail.com' to='contoso.com' id='p' type='get'><ping xmlns='urn:xmpp:ping'/></srv:iq>")
		back := l.accepted()
		if got := back.expect(">"); got != "<iq from='contoso.com' to='gmail.com' id='p' type='result'>" {
			t.Errorf("got %s", got)
		}
	})
	row(t, "S09 the stream namespace as default namespace", nil, func(t *testing.T, l *lab) {
		p := l.connect()
		p.send("<stream xmlns='http://etherx.jabber.org/streams' xmlns:db='jabber:server:dialback' from='gmail.com' to='contoso.com'>")
		p.expect("xml:lang='en'>")
		l.prove(p, "gmail.com", "contoso.com", "valid")
		p.send("<message xmlns='jabber:server' from='bob@gmail.com' to='anna@contoso.com'><body>x</body></message>")
		if m := <-l.inbox.ch; m.Body != "x" || !m.Normal {
			t.Errorf("got %+v", m)
		}
	})
}

func TestRestrictedXML(t *testing.T) {
	for _, c := range []struct{ name, xml, condition string }{
		{"comment", "<message><!-- x --></message>", "restricted-xml"},
		{"comment between stanzas", "<!-- x -->", "restricted-xml"},
		{"processing instruction", "<?php x ?>", "restricted-xml"},
		{"second declaration", "<?xml version='1.0'?>", "restricted-xml"},
		{"document type", "<!DOCTYPE x [<!ENTITY a 'b'>]>", "restricted-xml"},
		{"foreign entity", "<message><body>&a;</body></message>", "restricted-xml"},
		{"foreign entity in an attribute", "<message id='&a;'/>", "restricted-xml"},
		{"mismatched tags", "<message></presence>", "not-well-formed"},
		{"bare ampersand", "<message><body>a & b</body></message>", "not-well-formed"},
		{"attribute twice", "<message id='a' id='b'/>", "not-well-formed"},
		{"attribute without quotes", "<message id=a/>", "not-well-formed"},
		{"undeclared prefix", "<foo:message/>", "not-well-formed"},
		{"undeclared prefix inside", "<message><body><foo:a/></body></message>", "not-well-formed"},
		{"undeclared attribute prefix", "<message foo:id='1'/>", "not-well-formed"},
		{"prefix out of scope", "<message><x xmlns:foo='urn:foo'/><foo:y/></message>", "not-well-formed"},
		{"invalid UTF-8", "<message><body>\xff\xfe</body></message>", "not-well-formed"},
		{"control character", "<message><body>\x01</body></message>", "not-well-formed"},
		{"character reference to a control character", "<message><body>&#1;</body></message>", "not-well-formed"},
		{"text between stanzas", "hello", "bad-format"},
	} {
		row(t, "S10 "+c.name, nil, func(t *testing.T, l *lab) {
			p := l.verified()
			p.send(c.xml)
			got := p.end()
			if !strings.HasPrefix(got, "<stream:error><"+c.condition+" ") || !strings.HasSuffix(got, "</stream:error></stream:stream>") {
				t.Errorf("got %s", got)
			}
			l.inbox.none(t)
		})
	}
	for _, c := range []struct{ name, bytes, condition string }{
		{"UTF-16", "\xfe\xff\x00<", "unsupported-encoding"},
		{"declared encoding", "<?xml version='1.0' encoding='ISO-8859-1'?>", "unsupported-encoding"},
		{"HTTP", "GET / HTTP/1.1\r\n\r\n", "not-well-formed"},
		{"TLS", "\x16\x03\x01\x02\x00", "not-well-formed"},
	} {
		row(t, "S10 first bytes: "+c.name, nil, func(t *testing.T, l *lab) {
			p := l.connect()
			p.send(c.bytes)
			if got := p.end(); !strings.Contains(got, "<stream:stream ") || !strings.Contains(got, "<stream:error><"+c.condition+" ") {
				t.Errorf("got %s", got)
			}
		})
	}
	row(t, "S10 the allowed: CDATA, character references, the five entities, a declaration with UTF-8", nil, func(t *testing.T, l *lab) {
		p := l.connect()
		p.send("<?xml version=\"1.0\" encoding=\"utf-8\" ?>\n" + strings.TrimPrefix(oldHeader, "<?xml version='1.0'?>") + " to='contoso.com'>")
		p.expect("xml:lang='en'>")
		l.prove(p, "gmail.com", "contoso.com", "valid")
		p.send("<message from='bob@gmail.com' to='anna@contoso.com'><body><![CDATA[<a>&b]]]]>&#x41;&lt;&gt;&amp;&apos;&quot;</body></message>")
		if m := <-l.inbox.ch; m.Body != `<a>&b]]A<>&'"` {
			t.Errorf("got %q", m.Body)
		}
	})
}

func TestStanzaLimits(t *testing.T) {
	message := func(n int) string {
		const frame = "<message from='bob@gmail.com' to='anna@contoso.com'><body></body></message>"
		return strings.Replace(frame, "></body>", ">"+strings.Repeat("x", n-len(frame))+"</body>", 1)
	}
	small := func(c *Config) { c.Limits.StanzaBytes = 1 }
	row(t, "S11 a stanza of 10,000 bytes is accepted whatever the limit", small, func(t *testing.T, l *lab) {
		p := l.verified()
		p.send(message(10000) + message(10000))
		<-l.inbox.ch
		<-l.inbox.ch
	})
	row(t, "S11 a larger stanza than the limit", small, func(t *testing.T, l *lab) {
		p := l.verified()
		p.send(message(10001))
		if got := p.end(); !strings.HasPrefix(got, "<stream:error><policy-violation ") {
			t.Errorf("got %s", got)
		}
		l.inbox.none(t)
	})
	for _, c := range []struct{ name, xml string }{
		{"an endless tag name", "<" + strings.Repeat("x", 70000)},
		{"endless depth", strings.Repeat("<a>", 10000)},
		{"endless attributes", "<message " + strings.Repeat("a='' ", 10000)},
		{"an endless attribute", "<message a='" + strings.Repeat("a", 70000)},
		{"endless CDATA", "<message><![CDATA[" + strings.Repeat("a", 70000)},
	} {
		row(t, "S11 "+c.name, nil, func(t *testing.T, l *lab) {
			p := l.verified()
			go p.conn.Write([]byte(c.xml))
			if got := p.end(); !strings.HasPrefix(got, "<stream:error><policy-violation ") {
				t.Errorf("got %s", got)
			}
		})
	}
	row(t, "S11 white space between stanzas is free", nil, func(t *testing.T, l *lab) {
		p := l.verified()
		for range 10 {
			p.send(strings.Repeat(" \n\t", 10000))
		}
		p.send(message(1000))
		<-l.inbox.ch
	})
	row(t, "S11 a header without end", nil, func(t *testing.T, l *lab) {
		p := l.connect()
		go p.conn.Write([]byte("<stream:stream a='" + strings.Repeat("x", 70000)))
		if got := p.end(); !strings.Contains(got, "<stream:error><policy-violation ") {
			t.Errorf("got %s", got)
		}
	})
	row(t, "S11 a stanza that drips in too slowly", nil, func(t *testing.T, l *lab) {
		p := l.verified()
		stop := make(chan struct{})
		go func() {
			defer close(stop)
			for _, c := range message(1000) {
				if _, err := p.conn.Write([]byte(string(c))); err != nil {
					return
				}
				time.Sleep(time.Second)
			}
		}()
		began := time.Now()
		if got := p.end(); !strings.HasPrefix(got, "<stream:error><policy-violation ") {
			t.Errorf("got %s", got)
		}
		if took := time.Since(began); took > 70*time.Second {
			t.Errorf("it took %v", took)
		}
		p.conn.Close()
		<-stop
		l.inbox.none(t)
	})
	row(t, "S11 a header that never comes", nil, func(t *testing.T, l *lab) {
		p := l.connect()
		began := time.Now()
		p.end()
		if took := time.Since(began); took > 11*time.Second {
			t.Errorf("it took %v", took)
		}
	})
}

func TestOrigins(t *testing.T) {
	for _, c := range []struct{ id, name, stanza, condition string }{
		{"S13", "no from", "<message to='anna@contoso.com'><body>x</body></message>", "improper-addressing"},
		{"S13", "no to", "<message from='bob@gmail.com'><body>x</body></message>", "improper-addressing"},
		{"S13", "empty to", "<presence from='bob@gmail.com' to=''/>", "improper-addressing"},
		{"S13", "malformed from", "<message from='@gmail.com' to='anna@contoso.com'><body>x</body></message>", "improper-addressing"},
		{"S14", "a domain that was never verified", "<message from='bob@example.net' to='anna@contoso.com'><body>x</body></message>", "invalid-from"},
		{"S14", "another domain of ours", "<message from='anna@fabrikam.com' to='anna@contoso.com'><body>x</body></message>", "invalid-from"},
		{"S14", "an allowed domain verified elsewhere", "<message from='bob@googlemail.com' to='anna@contoso.com'><body>x</body></message>", "invalid-from"},
		{"S14", "a lookalike", "<message from='bob@gmaiI.com' to='anna@contoso.com'><body>x</body></message>", "invalid-from"},
		{"S14", "a subdomain", "<message from='bob@a.gmail.com' to='anna@contoso.com'><body>x</body></message>", "invalid-from"},
		{"S15", "not ours", "<message from='bob@gmail.com' to='x@example.net'><body>x</body></message>", "host-unknown"},
		{"S15", "the peer's own", "<message from='bob@gmail.com' to='x@gmail.com'><body>x</body></message>", "host-unknown"},
		{"S15", "ours, but not verified for it", "<message from='bob@gmail.com' to='anna@fabrikam.com'><body>x</body></message>", "host-unknown"},
	} {
		row(t, c.id+" "+c.name, nil, func(t *testing.T, l *lab) {
			p := l.verified()
			p.send(c.stanza)
			if got := p.end(); !strings.HasPrefix(got, "<stream:error><"+c.condition+" ") || !strings.HasSuffix(got, "</stream:stream>") {
				t.Errorf("got %s", got)
			}
			l.inbox.none(t)
		})
	}
	row(t, "S12 a stanza before dialback ends a version 1.0 stream", nil, func(t *testing.T, l *lab) {
		p := l.connect()
		p.modern()
		p.send("<message from='bob@gmail.com' to='anna@contoso.com'><body>x</body></message>")
		if got := p.end(); !strings.HasPrefix(got, "<stream:error><not-authorized ") {
			t.Errorf("got %s", got)
		}
		l.inbox.none(t)
	})
	row(t, "S12 a stanza between key and answer is not processed", nil, func(t *testing.T, l *lab) {
		p := l.connect()
		p.old()
		p.send("<db:result from='gmail.com' to='contoso.com'>k</db:result><message from='bob@gmail.com' to='anna@contoso.com'><body>x</body></message>")
		v := l.accept()
		v.answerHeader("")
		q := v.expect("</db:verify>")
		v.send("<db:verify from='gmail.com' to='contoso.com' id='" + attrOf(t, q, "id") + "' type='valid'/>")
		p.expect("type='valid'/>")
		l.inbox.none(t)
	})
	row(t, "S14 domains are compared as domains", nil, func(t *testing.T, l *lab) {
		p := l.verified()
		p.send("<message from='BOB@GMail.Com' to='Anna@CONTOSO.com'><body>x</body></message>")
		if m := <-l.inbox.ch; m.From.String() != "bob@gmail.com" || m.To.String() != "anna@contoso.com" {
			t.Errorf("got %+v", m)
		}
	})
}

func TestClosing(t *testing.T) {
	row(t, "S16 a stream error is answered with the closing tag", nil, func(t *testing.T, l *lab) {
		p := l.verified()
		p.send("<stream:error><system-shutdown xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error></stream:stream>")
		if got := p.end(); got != "</stream:stream>" {
			t.Errorf("got %s", got)
		}
	})
	row(t, "S16 a stream error on an outgoing stream ends it, and the next message gets a new one", nil, func(t *testing.T, l *lab) {
		out := l.send(im.Message{Body: "1"})
		p := l.accepted()
		p.expect("</message>")
		delivered(t, out)
		p.send("<stream:error><system-shutdown xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error></stream:stream>")
		if got := p.end(); got != "</stream:stream>" {
			t.Errorf("got %s", got)
		}
		out = l.send(im.Message{Body: "2"})
		l.accepted().expect("<body>2</body>")
		delivered(t, out)
	})
	row(t, "S17 stopping closes both directions, and input is processed until the peer's tag", nil, func(t *testing.T, l *lab) {
		out := l.send(im.Message{Body: "1"})
		theirs := l.accepted()
		delivered(t, out)
		theirs.expect("</message>")
		p := l.verified()
		l.stop()
		p.expect("</stream:stream>")
		theirs.expect("</stream:stream>")
		p.send("<message from='bob@gmail.com' to='anna@contoso.com'><body>late</body></message>")
		if m := <-l.inbox.ch; m.Body != "late" {
			t.Errorf("got %+v", m)
		}
		p.send("</stream:stream>")
		theirs.send("</stream:stream>")
		if rest := p.end() + theirs.end(); rest != "" {
			t.Errorf("after the closing tag: %s", rest)
		}
	})
	row(t, "S17 a peer that never closes is not waited for", nil, func(t *testing.T, l *lab) {
		p := l.verified()
		l.stop()
		began := time.Now()
		p.expect("</stream:stream>")
		p.end()
		if took := time.Since(began); took > 6*time.Second {
			t.Errorf("it took %v", took)
		}
	})
	for _, condition := range []string{"xml-not-well-formed", "invalid-id", "there-is-no-such-condition"} {
		row(t, "S18 "+condition, nil, func(t *testing.T, l *lab) {
			out := l.send(im.Message{Body: "1"})
			p := l.accept()
			p.answerHeader("")
			p.expect("</db:result>")
			p.send("<stream:error><" + condition + " xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error></stream:stream>")
			if f := want(t, out, im.RemoteServerTimeout); !strings.Contains(f.Text, condition) {
				t.Errorf("text %q", f.Text)
			}
		})
	}
}
