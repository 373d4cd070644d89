package xmpps2s

import (
	"testing"

	"fedlab/gateway/im"
)

// A fault in the handling of one stream ends that stream, and no other.
func TestAPanicEndsOneStream(t *testing.T) {
	bubble(t, nil, func(t *testing.T, l *lab) {
		l.s.sink = faulty{l.s.sink}
		neighbour, p := l.verified(), l.connect()
		p.old()
		l.prove(p, "googlemail.com", "contoso.com", "valid")
		p.send("<message from='carol@googlemail.com' to='anna@contoso.com'><body>the one that breaks it</body></message>")
		p.expect("internal-server-error")
		p.expect("</stream:stream>")

		neighbour.send("<message from='bob@gmail.com' to='anna@contoso.com' id='1'><body>Hi</body></message>")
		if m := <-l.inbox.ch; m.Body != "Hi" {
			t.Errorf("delivered %+v", m)
		}
	})
}

// faulty panics at the message of one sender.
type faulty struct{ im.Sink }

func (f faulty) Send(m im.Message, outcome im.Outcome) {
	if m.From.Local == "carol" {
		panic("a fault of ours")
	}
	f.Sink.Send(m, outcome)
}
