package googletalk

import (
	"strings"
	"testing"
)

// A peer that breaks a rule is noticed, and answered as the rule says.
func TestStrictInbound(t *testing.T) {
	const msg = "<message from='alice@contoso.com' to='bob@gmail.com'>%s</message>"
	body := func(s string) string { return strings.ReplaceAll(msg, "%s", s) }
	for _, c := range []struct {
		name, write, surprise, streamError string
		unverified                         bool
	}{
		{"message before the key", body("<body>x</body>"), "unverified pair", "invalid-from", true},
		{"message with another domain", "<message from='eve@example.com' to='bob@gmail.com'/>", "unverified pair", "invalid-from", false},
		{"message for another domain", "<message from='alice@contoso.com' to='bob@example.com'/>", "does not serve", "host-unknown", false},
		{"no to", "<message from='alice@contoso.com'/>", `to ""`, "improper-addressing", false},
		{"bad from", "<message from='@contoso.com' to='bob@gmail.com'/>", `from "@contoso.com"`, "improper-addressing", false},
		{"wrong name space", "<message xmlns='jabber:client' from='alice@contoso.com' to='bob@gmail.com'/>", "unknown element", "unsupported-stanza-type", false},
		{"unknown element", "<nonsense/>", "unknown element", "unsupported-stanza-type", false},
		{"features from the caller", "<stream:features/>", "features", "", false},
		{"comment", "<!-- x -->", "bad XML", "restricted-xml", false},
		{"document type", "<!DOCTYPE x>", "bad XML", "restricted-xml", false},
		{"entity", body("<body>&evil;</body>"), "bad XML", "not-well-formed", false},
		{"instruction", "<?php x?>", "bad XML", "restricted-xml", false},
		{"mismatched tags", "<message></massage>", "bad XML", "not-well-formed", false},
		{"prefix not declared", "<x:message/>", "bad XML", "not-well-formed", false},
		{"attribute twice", "<message to='a@b' to='a@b'/>", "bad XML", "not-well-formed", false},
		{"text between stanzas", "hello<message/>", "bad XML", "not-well-formed", false},
		{"too deep", strings.Repeat("<a>", 40), "nested", "policy-violation", false},
		{"too big", "<message><body>" + strings.Repeat("x", maxElement), "more than", "policy-violation", false},
		{"second key", "<db:result from='contoso.com' to='gmail.com'>k</db:result>", "a second db:result", "", false},
		{"answer to nothing", "<db:result from='contoso.com' to='gmail.com' type='valid'/>", "nobody asked", "", false},
		{"verification answer to nothing", "<db:verify from='contoso.com' to='gmail.com' id='x' type='valid'/>", "nobody asked", "", false},
		{"key for another domain", "<db:result from='contoso.com' to='example.com'>k</db:result>", "does not serve", "host-unknown", false},
		{"key from our own domain", "<db:result from='gmail.com' to='gmail.com'>k</db:result>", "own domain", "invalid-from", false},
		{"verify without id", "<db:verify from='contoso.com' to='gmail.com'>k</db:verify>", "without usable", "improper-addressing", false},
		{"prefix on a stanza", "<s:message xmlns:s='jabber:server' from='alice@contoso.com' to='bob@gmail.com'/>", "with the prefix", "", false},
		{"unknown extension", body("<x xmlns='urn:example:x'/>"), "unknown name space", "", false},
		{"two bodies", body("<body>a</body><body>b</body>"), "two <body>", "", false},
		{"two states", body("<active xmlns='http://jabber.org/protocol/chatstates'/><gone xmlns='http://jabber.org/protocol/chatstates'/>"), "two chat states", "", false},
		{"iq result", "<iq type='result' id='1' from='contoso.com' to='gmail.com'/>", "no request", "", false},
		{"iq without id", "<iq type='get' from='contoso.com' to='gmail.com'><ping xmlns='urn:xmpp:ping'/></iq>", "without id", "", false},
		{"unknown type", "<message type='shout' from='alice@contoso.com' to='bob@gmail.com'/>", "unknown type", "", false},
		{"unknown presence", "<presence type='shout' from='alice@contoso.com' to='bob@gmail.com'/>", "unknown type", "", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			p := w.peer()
			w.farm(nil)
			var r *raw
			if c.unverified {
				r, _ = p.dial("xmpp-server.gmail.com")
			} else {
				r = p.verified("xmpp-server.gmail.com")
			}
			w.noSurprises()
			r.write("%s", c.write)
			w.surprise(c.surprise)
			if c.streamError != "" {
				r.expect("error")
				r.expect(c.streamError)
			}
		})
	}
}

// The same for headers.
func TestStrictHeader(t *testing.T) {
	for _, c := range []struct{ name, header, surprise, streamError string }{
		{"unknown domain", strings.ReplaceAll(headerFmt, "%s", "from='contoso.com' to='example.com'"), "does not serve", "host-unknown"},
		{"wrong stream name space", "<stream:stream xmlns='jabber:server' xmlns:stream='urn:x'>", "name space", "invalid-namespace"},
		{"client name space", "<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>", "name space", "invalid-namespace"},
		{"no stream", "<message xmlns='jabber:server'/>", "begins with", "bad-format"},
		{"id from the caller", strings.ReplaceAll(headerFmt, "%s", "from='contoso.com' to='gmail.com' id='x'"), "an initial header with an id", ""},
		{"version without addresses", strings.ReplaceAll(headerFmt, "%s", "version='1.0'"), "lacks from or to", ""},
		{"no dialback", "<stream:stream xmlns='jabber:server' xmlns:stream='http://etherx.jabber.org/streams' from='contoso.com' to='gmail.com'>", "xmlns:db", ""},
		{"not XML", "GET / HTTP/1.1\r\n\r\n<", "bad XML", "not-well-formed"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			p := w.peer()
			w.farm(nil)
			conn, err := p.net.DialContext(t.Context(), "tcp", p.addrs["xmpp-server.gmail.com"].String()+":5269")
			if err != nil {
				t.Fatal(err)
			}
			r := newRaw(t, conn)
			r.write("%s", c.header)
			w.surprise(c.surprise)
			r.expect("stream")
			if c.streamError != "" {
				r.expect("error")
				r.expect(c.streamError)
			}
		})
	}
}

// And for what a server answers when the farm calls.
func TestStrictOutbound(t *testing.T) {
	for _, c := range []struct{ name, header, answer, surprise, shown string }{
		{"version", "from='contoso.com' to='gmail.com' id='x' version='1.0'", "", "version", ""},
		{"no from", "to='gmail.com' id='x'", "", "a response header from", ""},
		{"no to", "from='contoso.com' id='x'", "", "a response header to", ""},
		{"no id", "from='contoso.com' to='gmail.com'", "", "without id", "remote-server-timeout"},
		{"reversed answer", "from='contoso.com' to='gmail.com' id='x'", "<db:result from='gmail.com' to='contoso.com' type='valid'/></stream:stream>", "answer is not for", "remote-server-timeout"},
		{"features", "from='contoso.com' to='gmail.com' id='x'", "<stream:features/>", "features on a stream without version", ""},
		{"unknown answer", "from='contoso.com' to='gmail.com' id='x'", "<db:result from='contoso.com' to='gmail.com' type='maybe'/>", "type \"maybe\"", ""},
		{"unasked verification", "from='contoso.com' to='gmail.com' id='x'", "<db:verify from='contoso.com' to='gmail.com' id='x' type='valid'/>", "was not asked", ""},
		{"stanza the wrong way", "from='contoso.com' to='gmail.com' id='x'", "<db:result from='contoso.com' to='gmail.com' type='valid'/><message from='alice@contoso.com' to='bob@gmail.com'/>", "against the direction", ""},
		{"invalid", "from='contoso.com' to='gmail.com' id='x'", "<db:result from='contoso.com' to='gmail.com' type='invalid'/></stream:stream>", "", "internal-server-error"},
		{"error", "from='contoso.com' to='gmail.com' id='x'", "<db:result from='contoso.com' to='gmail.com' type='error'><error type='cancel'><item-not-found xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></db:result>", "", "remote-server-timeout"},
		{"host unknown", "from='contoso.com' to='gmail.com' id='x'", "<stream:error><host-unknown xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error></stream:stream>", "", "remote-server-timeout"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			p := w.peer()
			f := w.farm(nil)
			if err := f.Send(t.Context(), SendOptions{From: "bob@gmail.com", To: "alice@contoso.com", Body: "hello"}); err != nil {
				t.Fatal(err)
			}
			r := p.accept()
			r.expect("stream")
			r.write(headerFmt, c.header)
			if c.answer != "" {
				r.expect("result")
				r.write("%s", c.answer)
			}
			if c.surprise != "" {
				w.surprise(c.surprise)
			} else {
				defer w.noSurprises()
			}
			if c.shown != "" {
				w.await("the error", shows("bob@gmail.com", "error", c.shown))
			}
		})
	}
}
