package xmpps2s

import (
	"testing"
	"time"

	"fedlab/gateway/im"
)

// teller tells presence again when it is asked to.
type teller struct {
	asked chan pair
	again func()
}

func (*teller) HandlePresence(Presence) {}

func (h *teller) TellAgain(local, remote string) {
	h.asked <- pair{local, remote}
	if h.again != nil {
		h.again()
	}
}

// show sends presence of anna@contoso.com to bob@gmail.com; its outcome comes out of the channel.
func (l *lab) show(p Presence) chan *im.Failure {
	p.From, p.To = im.Address{Local: "anna", Domain: "contoso.com", Resource: "ocs"}, im.Address{Local: "bob", Domain: "gmail.com"}
	out := make(chan *im.Failure, 1)
	l.s.SendPresence(p, func(f *im.Failure) { out <- f })
	return out
}

func TestArrears(t *testing.T) {
	var h *teller
	telling := func(c *Config) {
		h = &teller{asked: make(chan pair, 1000)}
		c.Presence = h
	}
	row(t, "what is acknowledged is told, and nothing is in arrears", telling, func(t *testing.T, l *lab) {
		out := l.show(Presence{Show: "dnd"})
		l.accepted().expect("</presence>")
		delivered(t, out)
		time.Sleep(time.Hour)
		if len(h.asked) > 0 {
			t.Error("asked to tell it again")
		}
	})
	row(t, "presence that expired is told again when the peer can be reached, without a word of anybody else", telling, func(t *testing.T, l *lab) {
		l.w.drop(gmailAddr, true)
		out := l.show(Presence{Show: "dnd"})
		want(t, out, im.RemoteServerTimeout)
		time.Sleep(time.Hour)
		if len(h.asked) > 0 {
			t.Fatal("asked to tell it again while nobody can be told")
		}
		l.w.drop(gmailAddr, false)
		began := time.Now()
		p := l.accepted()
		if got := <-h.asked; got != (pair{"contoso.com", "gmail.com"}) {
			t.Errorf("asked for %v", got)
		}
		if took := time.Since(began); took > maxBackoff+time.Minute {
			t.Errorf("after %v", took)
		}
		out = l.show(Presence{Type: "unavailable"})
		p.expect("type='unavailable'")
		delivered(t, out)
	})
	row(t, "presence that was written and never acknowledged is lost", telling, func(t *testing.T, l *lab) {
		out := l.show(Presence{})
		p := l.accepted()
		p.expect("</presence>")
		delivered(t, out)
		p.conn.(*testConn).cut()
		out = l.show(Presence{Type: "unavailable"})
		want(t, out, im.RemoteServerTimeout)
		l.accepted()
		<-h.asked
	})
	row(t, "presence that finds the queue full is told again when there is room", telling, func(t *testing.T, l *lab) {
		l.s.maxSignals = 3
		var outs []chan *im.Failure
		for range 4 {
			outs = append(outs, l.show(Presence{}))
		}
		want(t, outs[3], im.ResourceConstraint)
		p := l.accepted()
		for range 3 {
			p.expect("</presence>")
		}
		<-h.asked
		for _, out := range outs[:3] {
			delivered(t, out)
		}
	})
	row(t, "presence that ends every stream is told again less and less often", telling, func(t *testing.T, l *lab) {
		h.again = func() { l.show(Presence{}) }
		l.show(Presence{})
		var at []time.Time
		for range 20 {
			p := l.accept()
			p.answerHeader("")
			p.expect("</db:result>")
			p.conn.(*testConn).cut()
			p.send("<db:result from='gmail.com' to='contoso.com' type='valid'/>")
			at = append(at, time.Now())
			time.Sleep(time.Second)
			p.conn.Close()
		}
		if took := at[19].Sub(at[0]); took < 10*time.Minute {
			t.Errorf("20 times in %v", took)
		}
	})
}
