package xmpps2s

import (
	"testing"

	"fedlab/gateway/im"
)

func TestOutgoingMessage(t *testing.T) {
	bubble(t, nil, func(t *testing.T, l *lab) {
		out := l.send(im.Message{ID: "m1", Body: "Hi <Bob> & co"})
		p := l.accepted()
		got := p.expect("</message>")
		if want := "<message from='anna@contoso.com' to='bob@gmail.com' id='m1' type='chat'><body>Hi &lt;Bob&gt; &amp; co</body></message>"; got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
		delivered(t, out)
	})
}

func TestIncomingMessage(t *testing.T) {
	bubble(t, nil, func(t *testing.T, l *lab) {
		p := l.verified()
		p.send("<message from='bob@gmail.com/Talk1' to='anna@contoso.com' id='a1' type='chat'><body>Hello &amp; goodbye</body>" +
			"<thread>t1</thread><active xmlns='http://jabber.org/protocol/chatstates'/></message>")
		m := <-l.inbox.ch
		want := im.Message{From: im.Address{Local: "bob", Domain: "gmail.com", Resource: "Talk1"}, To: im.Address{Local: "anna", Domain: "contoso.com"},
			ID: "a1", Body: "Hello & goodbye", Thread: "t1", State: im.Active}
		if m != want {
			t.Errorf("got  %+v\nwant %+v", m, want)
		}
		p.send("</stream:stream>")
		p.expect("</stream:stream>")
	})
}
