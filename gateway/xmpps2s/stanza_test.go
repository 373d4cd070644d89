package xmpps2s

import (
	"strings"
	"testing"
	"time"

	"fedlab/gateway/im"
)

func TestIQ(t *testing.T) {
	ask := func(l *lab, p *peer, stanza string) string {
		p.send(stanza)
		back := l.accepted()
		return back.expect("</iq>")
	}
	const open = "<iq from='contoso.com' to='gmail.com' id='q1' type='result'>"
	for _, c := range []struct{ name, ask, answer string }{
		{"S47 ping", "<iq from='gmail.com' to='contoso.com' id='q1' type='get'><ping xmlns='urn:xmpp:ping'/></iq>", open + "</iq>"},
		{"S47 disco#items of the domain", "<iq from='gmail.com' to='contoso.com' id='q1' type='get'><query xmlns='http://jabber.org/protocol/disco#items'/></iq>",
			open + "<query xmlns='http://jabber.org/protocol/disco#items'/></iq>"},
		{"S47 disco#info of the domain", "<iq from='gmail.com' to='contoso.com' id='q1' type='get'><query xmlns='http://jabber.org/protocol/disco#info'/></iq>",
			open + discoInfo + "</iq>"},
		{"S47 disco#info of a user", "<iq from='gmail.com' to='anna@contoso.com' id='q1' type='get'><query xmlns='http://jabber.org/protocol/disco#info'/></iq>",
			iqError("anna@contoso.com", "gmail.com", "cancel", "service-unavailable", "")},
		{"S47 disco#items of a user", "<iq from='gmail.com' to='anna@contoso.com' id='q1' type='get'><query xmlns='http://jabber.org/protocol/disco#items'/></iq>",
			"<iq from='anna@contoso.com' to='gmail.com' id='q1' type='result'><query xmlns='http://jabber.org/protocol/disco#items'/></iq>"},
		{"S45 version", "<iq from='bob@gmail.com/x' to='contoso.com' id='q1' type='get'><query xmlns='jabber:iq:version'/></iq>",
			"<iq from='contoso.com' to='bob@gmail.com/x' id='q1' type='result'><query xmlns='jabber:iq:version'><name>fedgate</name><version>1.0</version></query></iq>"},
		{"S45 unknown payload", "<iq from='bob@gmail.com/x' to='anna@contoso.com/y' id='q1' type='get'><vCard xmlns='vcard-temp'/></iq>",
			iqError("anna@contoso.com/y", "bob@gmail.com/x", "cancel", "service-unavailable", "")},
		{"S45 unknown set", "<iq from='gmail.com' to='contoso.com' id='q1' type='set'><ping xmlns='urn:xmpp:ping'/></iq>",
			iqError("contoso.com", "gmail.com", "cancel", "service-unavailable", "")},
		{"S45 no child", "<iq from='gmail.com' to='contoso.com' id='q1' type='get'/>",
			iqError("contoso.com", "gmail.com", "modify", "bad-request", "an iq has an id and, as a request, exactly one child")},
		{"S45 two children", "<iq from='gmail.com' to='contoso.com' id='q1' type='get'><ping xmlns='urn:xmpp:ping'/><ping xmlns='urn:xmpp:ping'/></iq>",
			iqError("contoso.com", "gmail.com", "modify", "bad-request", "an iq has an id and, as a request, exactly one child")},
		{"S45 unknown type", "<iq from='gmail.com' to='contoso.com' id='q1' type='ask'><ping xmlns='urn:xmpp:ping'/></iq>",
			iqError("contoso.com", "gmail.com", "modify", "bad-request", "an iq is of type get, set, result or error")},
	} {
		row(t, c.name, nil, func(t *testing.T, l *lab) {
			if got := ask(l, l.verified(), c.ask); got != c.answer {
				t.Errorf("got  %s\nwant %s", got, c.answer)
			}
		})
	}
	row(t, "S45 results and errors are never answered", nil, func(t *testing.T, l *lab) {
		p := l.verified()
		p.send("<iq from='gmail.com' to='contoso.com' id='1' type='result'/>")
		p.send("<iq from='gmail.com' to='contoso.com' id='2' type='error'><x xmlns='urn:x'/></iq>")
		got := ask(l, p, "<iq from='gmail.com' to='contoso.com' id='q1' type='get'><ping xmlns='urn:xmpp:ping'/></iq>")
		if got != open+"</iq>" {
			t.Errorf("got %s", got)
		}
	})
	row(t, "S45 entity time", nil, func(t *testing.T, l *lab) {
		got := ask(l, l.verified(), "<iq from='gmail.com' to='contoso.com' id='q1' type='get'><time xmlns='urn:xmpp:time'/></iq>")
		if want := "<time xmlns='urn:xmpp:time'><tzo>+00:00</tzo><utc>2000-01-01T00:00:0"; !strings.Contains(got, want) {
			t.Errorf("got %s", got)
		}
	})
}

func iqError(from, to, typ, condition, text string) string {
	if text != "" {
		text = "<text xmlns='urn:ietf:params:xml:ns:xmpp-stanzas' xml:lang='en'>" + text + "</text>"
	}
	return "<iq from='" + from + "' to='" + to + "' id='q1' type='error'><error type='" + typ + "'><" + condition +
		" xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/>" + text + "</error></iq>"
}

func TestMessageErrors(t *testing.T) {
	for _, c := range []struct {
		failure im.Failure
		error   string
	}{
		{im.Failure{Condition: im.RecipientUnavailable}, "<error type='wait'><recipient-unavailable xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error>"},
		{im.Failure{Condition: im.ItemNotFound, Text: "no <such> user"}, "<error type='cancel'><item-not-found xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/>" +
			"<text xmlns='urn:ietf:params:xml:ns:xmpp-stanzas' xml:lang='en'>no &lt;such&gt; user</text></error>"},
		{im.Failure{Condition: im.GoneAway, NewPlace: "xmpp:new@contoso.com"}, "<error type='cancel'><gone xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'>xmpp:new@contoso.com</gone></error>"},
		{im.Failure{Condition: "no-such-condition"}, "<error type='cancel'><undefined-condition xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error>"},
	} {
		row(t, "S46 "+string(c.failure.Condition), nil, func(t *testing.T, l *lab) {
			l.inbox.answer = &c.failure
			p := l.verified()
			p.send("<message from='bob@gmail.com/Talk1' to='Anna@contoso.com/ocs' id='m&amp;7' type='chat'><body>hello</body></message>")
			got := l.accepted().expect("</message>")
			want := "<message from='Anna@contoso.com/ocs' to='bob@gmail.com/Talk1' id='m&amp;7' type='error'><body>hello</body>" + c.error + "</message>"
			if got != want {
				t.Errorf("got  %s\nwant %s", got, want)
			}
		})
	}
	row(t, "S46 an error is not answered with an error", nil, func(t *testing.T, l *lab) {
		l.inbox.answer = &im.Failure{Condition: im.ItemNotFound}
		p := l.verified()
		p.send("<message from='bob@gmail.com' to='anna@contoso.com' id='1' type='error'><body>x</body><error type='wait'>" +
			"<recipient-unavailable xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/><text xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'>gone home</text></error></message>")
		m := <-l.inbox.ch
		if m.ID != "1" || m.Failure == nil || *m.Failure != (im.Failure{Condition: im.RecipientUnavailable, Text: "gone home"}) {
			t.Errorf("got %+v %+v", m, m.Failure)
		}
		p.send("<presence from='bob@gmail.com' to='anna@contoso.com' type='error'/>")
		time.Sleep(time.Minute)
		if d := l.w.dialled(); len(d) != 2 {
			t.Errorf("dialled %v: something was sent", d)
		}
	})
	for code, want := range map[string]im.Condition{"503": im.ServiceUnavailable, "404": im.ItemNotFound, "999": im.UndefinedCondition, "": im.UndefinedCondition} {
		row(t, "S46 an error with nothing but the code "+code, nil, func(t *testing.T, l *lab) {
			p := l.verified()
			p.send("<message from='bob@gmail.com' to='anna@contoso.com' id='1' type='error'><error code='" + code + "'>Not good</error></message>")
			if m := <-l.inbox.ch; m.Failure.Condition != want || m.Failure.Text != "Not good" {
				t.Errorf("got %+v", m.Failure)
			}
		})
	}
	for _, typ := range []string{"groupchat"} {
		row(t, "S46 "+typ+" is refused politely", nil, func(t *testing.T, l *lab) {
			p := l.verified()
			p.send("<message from='room@gmail.com/nick' to='anna@contoso.com' id='1' type='" + typ + "'><body>x</body></message>")
			if got := l.accepted().expect("</message>"); !strings.Contains(got, "type='error'") || !strings.Contains(got, "<service-unavailable ") {
				t.Errorf("got %s", got)
			}
			l.inbox.none(t)
		})
	}
	row(t, "S46 a message to the gateway's own domain", nil, func(t *testing.T, l *lab) {
		p := l.verified()
		p.send("<message from='bob@gmail.com' to='contoso.com' id='1'><body>x</body></message>")
		l.accepted().expect("<service-unavailable ")
		l.inbox.none(t)
	})
}

func TestMessageContent(t *testing.T) {
	bob := im.Address{Local: "bob", Domain: "gmail.com"}
	anna := im.Address{Local: "anna", Domain: "contoso.com"}
	for _, c := range []struct {
		name, xml string
		want      im.Message
	}{
		{"chat state alone", "<message from='bob@gmail.com' to='anna@contoso.com' type='chat'><composing xmlns='http://jabber.org/protocol/chatstates'/></message>",
			im.Message{State: im.Composing}},
		{"message event alone", "<message from='bob@gmail.com' to='anna@contoso.com' type='chat'><x xmlns='jabber:x:event'><composing/><id>1</id></x></message>",
			im.Message{State: im.Composing}},
		{"end of a message event", "<message from='bob@gmail.com' to='anna@contoso.com' type='chat'><x xmlns='jabber:x:event'><id>1</id></x></message>",
			im.Message{State: im.Active}},
		{"request of message events in a message", "<message from='bob@gmail.com' to='anna@contoso.com' type='chat'><body>x</body><x xmlns='jabber:x:event'><composing/></x></message>",
			im.Message{Body: "x"}},
		{"receipt wanted", "<message from='bob@gmail.com' to='anna@contoso.com' id='7' type='chat'><body>x</body><request xmlns='urn:xmpp:receipts'/></message>",
			im.Message{ID: "7", Body: "x", ReceiptWanted: true}},
		{"receipt wanted without id", "<message from='bob@gmail.com' to='anna@contoso.com' type='chat'><body>x</body><request xmlns='urn:xmpp:receipts'/></message>",
			im.Message{Body: "x"}},
		{"receipt", "<message from='bob@gmail.com' to='anna@contoso.com' id='8' type='chat'><received xmlns='urn:xmpp:receipts' id='7'/></message>",
			im.Message{ID: "8", Receipt: "7"}},
		{"M23 delay", "<message from='bob@gmail.com' to='anna@contoso.com' type='chat'><body>x</body><delay xmlns='urn:xmpp:delay' stamp='2010-05-17T12:00:00Z'/></message>",
			im.Message{Body: "x", Sent: time.Date(2010, 5, 17, 12, 0, 0, 0, time.UTC)}},
		{"M23 old delay", "<message from='bob@gmail.com' to='anna@contoso.com' type='chat'><body>x</body><x xmlns='jabber:x:delay' stamp='20100517T12:00:00'/></message>",
			im.Message{Body: "x", Sent: time.Date(2010, 5, 17, 12, 0, 0, 0, time.UTC)}},
		{"single message with subject", "<message from='bob@gmail.com' to='anna@contoso.com'><subject>s</subject><body>x</body></message>",
			im.Message{Subject: "s", Body: "x", Normal: true}},
		{"M23 unknown type", "<message from='bob@gmail.com' to='anna@contoso.com' type='telegram'><body>x</body></message>",
			im.Message{Body: "x", Normal: true}},
		{"two languages", "<message from='bob@gmail.com' to='anna@contoso.com' type='chat' xml:lang='de'><body xml:lang='en'>Hi</body><body>Hallo</body></message>",
			im.Message{Body: "Hallo", Lang: "de"}},
		{"another language only", "<message from='bob@gmail.com' to='anna@contoso.com' type='chat' xml:lang='de'><body xml:lang='en'>Hi</body></message>",
			im.Message{Body: "Hi", Lang: "en"}},
		{"Google's decorations", "<message from='bob@gmail.com' to='anna@contoso.com' type='chat' id='9'><cli:body xmlns:cli='jabber:server'>x</cli:body>" +
			"<nos:x value='disabled' xmlns:nos='google:nosave'/><arc:record otr='false' xmlns:arc='http://jabber.org/protocol/archive'/></message>",
			im.Message{ID: "9", Body: "x"}},
	} {
		row(t, "in: "+c.name, nil, func(t *testing.T, l *lab) {
			p := l.verified()
			p.send(c.xml)
			c.want.From, c.want.To = bob, anna
			if m := <-l.inbox.ch; m != c.want {
				t.Errorf("got  %+v\nwant %+v", m, c.want)
			}
		})
	}
	row(t, "in: headline is dropped", nil, func(t *testing.T, l *lab) {
		p := l.verified()
		p.send("<message from='bob@gmail.com' to='anna@contoso.com' type='headline'><body>x</body></message>")
		l.inbox.none(t)
	})
	for _, c := range []struct {
		name string
		m    im.Message
		want string
	}{
		{"single message", im.Message{ID: "1", Body: "x", Subject: "s", Normal: true, Lang: "de"},
			"<message from='anna@contoso.com' to='bob@gmail.com' id='1' xml:lang='de'><subject>s</subject><body>x</body></message>"},
		{"thread, state, receipt wanted", im.Message{ID: "1", Body: "x", Thread: "t", State: im.Active, ReceiptWanted: true},
			"<message from='anna@contoso.com' to='bob@gmail.com' id='1' type='chat'><body>x</body><thread>t</thread>" +
				"<active xmlns='http://jabber.org/protocol/chatstates'/><request xmlns='urn:xmpp:receipts'/></message>"},
		{"state alone", im.Message{State: im.Paused}, "<message from='anna@contoso.com' to='bob@gmail.com' type='chat'><paused xmlns='http://jabber.org/protocol/chatstates'/></message>"},
		{"receipt", im.Message{Receipt: "7"}, "<message from='anna@contoso.com' to='bob@gmail.com' type='chat'><received xmlns='urn:xmpp:receipts' id='7'/></message>"},
		{"delay", im.Message{Body: "x", Sent: time.Date(2010, 5, 17, 12, 0, 0, 0, time.UTC)},
			"<message from='anna@contoso.com' to='bob@gmail.com' type='chat'><body>x</body><delay xmlns='urn:xmpp:delay' from='contoso.com' stamp='2010-05-17T12:00:00Z'/></message>"},
		{"failure", im.Message{ID: "1", Body: "x", Failure: &im.Failure{Condition: im.ItemNotFound}},
			"<message from='anna@contoso.com' to='bob@gmail.com' id='1' type='error'><body>x</body><error type='cancel'>" +
				"<item-not-found xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></message>"},
		{"characters that XML cannot carry", im.Message{Body: "a\x00b\x1fc\uFFFEd\xffe\r\n"},
			"<message from='anna@contoso.com' to='bob@gmail.com' type='chat'><body>a\uFFFDb\uFFFDc\uFFFDd\uFFFDe&#xD;\n</body></message>"},
		{"addresses that need escaping", im.Message{Body: "x", From: im.Address{Local: "o'malley & co", Domain: "contoso.com", Resource: "<a>"}},
			"<message from='o\\27malley\\20\\26\\20co@contoso.com/&lt;a&gt;' to='bob@gmail.com' type='chat'><body>x</body></message>"},
	} {
		row(t, "out: "+c.name, nil, func(t *testing.T, l *lab) {
			out := l.send(c.m)
			if got := l.accepted().expect("</message>"); got != c.want {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
			delivered(t, out)
		})
	}
}

func TestPresence(t *testing.T) {
	row(t, "without a handler a request is denied and the rest is dropped", nil, func(t *testing.T, l *lab) {
		p := l.verified()
		p.send("<presence from='bob@gmail.com/x' to='anna@contoso.com'/><presence from='bob@gmail.com' to='anna@contoso.com/y' type='subscribe'/>")
		if got, want := l.accepted().expect("</presence>"), "<presence from='anna@contoso.com' to='bob@gmail.com' type='unsubscribed'></presence>"; got != want {
			t.Errorf("got %s", got)
		}
	})
	row(t, "an unknown type is a bad request", nil, func(t *testing.T, l *lab) {
		p := l.verified()
		p.send("<presence from='bob@gmail.com/x' to='anna@contoso.com' id='1' type='invisible'/>")
		if got := l.accepted().expect("</presence>"); !strings.Contains(got, "id='1' type='error'><error type='modify'><bad-request ") {
			t.Errorf("got %s", got)
		}
	})
	heard := make(chan Presence, 10)
	row(t, "a handler gets presence of every type", func(c *Config) {
		heard = make(chan Presence, 10)
		c.Presence = presenceFunc(func(p Presence) { heard <- p })
	},
		func(t *testing.T, l *lab) {
			p := l.verified()
			p.send("<presence from='bob@gmail.com/x' to='anna@contoso.com' xml:lang='en'><show>dnd</show><status>busy</status><priority>-5</priority></presence>")
			bob, anna := im.Address{Local: "bob", Domain: "gmail.com"}, im.Address{Local: "anna", Domain: "contoso.com"}
			full := bob
			full.Resource = "x"
			if got, want := <-heard, (Presence{From: full, To: anna, Show: "dnd", Status: "busy", Lang: "en", Priority: -5}); got != want {
				t.Errorf("got  %+v\nwant %+v", got, want)
			}
			for _, typ := range []string{"subscribe", "subscribed", "unsubscribe", "unsubscribed"} {
				p.send("<presence from='bob@gmail.com/x' to='anna@contoso.com/y' type='" + typ + "'/>")
				if got, want := <-heard, (Presence{From: bob, To: anna, Type: typ}); got != want {
					t.Errorf("got  %+v\nwant %+v", got, want)
				}
			}
			p.send("<presence from='bob@gmail.com/x' to='anna@contoso.com' type='unavailable'><show>away</show><status>bye</status></presence>")
			if got, want := <-heard, (Presence{From: full, To: anna, Type: "unavailable", Status: "bye"}); got != want {
				t.Errorf("got  %+v\nwant %+v", got, want)
			}
			l.s.SendPresence(Presence{From: anna, To: full, Show: "away", Status: "out", Priority: 3}, nil)
			if got, want := l.accepted().expect("</presence>"), "<presence from='anna@contoso.com' to='bob@gmail.com/x'><show>away</show><status>out</status><priority>3</priority></presence>"; got != want {
				t.Errorf("got  %s\nwant %s", got, want)
			}
		})
}

type presenceFunc func(Presence)

func (f presenceFunc) HandlePresence(p Presence) { f(p) }

func (presenceFunc) TellAgain(string, string) {}

func TestQueue(t *testing.T) {
	row(t, "S29 messages between two people leave over one stream in order", nil, func(t *testing.T, l *lab) {
		const n = 500
		var outs []chan *im.Failure
		for i := range n {
			to := im.Address{Local: "bob", Domain: "gmail.com"}
			if i%2 == 1 {
				to.Resource = "Talk1"
			}
			outs = append(outs, l.send(im.Message{ID: itoa(i), Body: "x", To: to}))
		}
		p := l.accepted()
		for i := range n {
			if got := attrOf(t, p.expect("</message>"), "id"); got != itoa(i) {
				t.Fatalf("message %s at place %d", got, i)
			}
			delivered(t, outs[i])
		}
		if d := l.w.dialled(); len(d) != 1 {
			t.Errorf("dialled %v", d)
		}
	})
	row(t, "the queue is bounded", func(c *Config) { c.Limits.Queue = 10 }, func(t *testing.T, l *lab) {
		l.w.dropped[gmailAddr] = true
		for range 10 {
			l.send(im.Message{Body: "x"})
		}
		want(t, l.send(im.Message{Body: "x"}), im.ResourceConstraint)
	})
	row(t, "presence is no message: a whole crowd's waits for the stream", func(c *Config) { c.Limits.Queue = 10 }, func(t *testing.T, l *lab) {
		const crowd = 5000
		for i := range crowd {
			l.s.SendPresence(Presence{From: im.Address{Local: "alice", Domain: "contoso.com"}, To: im.Address{Local: "user" + itoa(i), Domain: "gmail.com"}, Type: "subscribed"}, nil)
		}
		out := l.send(im.Message{Body: "there is room for it"})
		p := l.accepted()
		for i := range crowd {
			if got := attrOf(t, p.expect("</presence>"), "to"); got != "user"+itoa(i)+"@gmail.com" {
				t.Fatalf("presence to %s at place %d", got, i)
			}
		}
		p.expect("</message>")
		delivered(t, out)
	})
	row(t, "what waits when the server stops is returned", nil, func(t *testing.T, l *lab) {
		l.w.dropped[gmailAddr] = true
		a, b := l.send(im.Message{Body: "x"}), l.send(im.Message{Body: "y", To: im.Address{Local: "x", Domain: "googlemail.com"}})
		l.stop()
		want(t, a, im.RemoteServerTimeout)
		want(t, b, im.RemoteServerTimeout)
		want(t, l.send(im.Message{Body: "x"}), im.RemoteServerTimeout)
	})
	row(t, "only configured domains", nil, func(t *testing.T, l *lab) {
		want(t, l.send(im.Message{Body: "x", To: im.Address{Local: "x", Domain: "example.net"}}), im.RemoteServerNotFound)
		want(t, l.send(im.Message{Body: "x", From: im.Address{Local: "x", Domain: "example.net"}}), im.NotAllowed)
	})
	row(t, "a message larger than a stanza may be", nil, func(t *testing.T, l *lab) {
		want(t, l.send(im.Message{Body: strings.Repeat("&", 20000)}), im.PolicyViolation)
	})
	row(t, "a peer that stops reading does not stop others, and its messages are returned", nil, func(t *testing.T, l *lab) {
		first := l.send(im.Message{Body: "x"})
		p := l.accepted()
		p.expect("</message>")
		delivered(t, first)
		var outs []chan *im.Failure
		for range 30 {
			outs = append(outs, l.send(im.Message{Body: strings.Repeat("x", 30000)}))
		}
		other := l.send(im.Message{Body: "x", To: im.Address{Local: "x", Domain: "googlemail.com"}})
		q := l.accept()
		q.expect("?>")
		q.send(oldHeader + " from='googlemail.com' to='contoso.com' id='1'>")
		q.expect("</db:result>")
		q.send("<db:result from='googlemail.com' to='contoso.com' type='valid'/>")
		q.expect("</message>")
		delivered(t, other)
		returned := 0
		for _, out := range outs {
			if f := <-out; f != nil {
				returned++
			}
		}
		if returned < len(outs)-3 { // the first ones fit into the connection's buffer
			t.Errorf("%d of %d returned", returned, len(outs))
		}
	})
	row(t, "a stream that the peer closed is opened again", nil, func(t *testing.T, l *lab) {
		for range 3 {
			out := l.send(im.Message{Body: "x"})
			p := l.accepted()
			p.expect("</message>")
			delivered(t, out)
			p.send("</stream:stream>")
			p.expect("</stream:stream>")
			p.end()
		}
	})
}
