package sipedge

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"fedlab/gateway/im"
)

// Presence that the XMPP user's domain did not take is told again, as it then is, when that domain can be reached: to those whose
// presence was lost, and to nobody else.
func TestUntold(t *testing.T) {
	seeing(t, func(w *world, s *signals) {
		p := w.connected()
		defer p.close()
		w.signal(im.SignalSubscribe, "")
		sub := p.expect("SUBSCRIBE ")
		p.answer(sub, "200 OK", "Expires: 28800")
		p.notify(sub, 1, "active;expires=28800", pidfOpen)
		s.expect(t, "alice@contoso.com>bob@gmail.com subscribed")
		s.expect(t, "alice@contoso.com/t1>bob@gmail.com at work")
		s.dead.Store(true)
		p.notify(sub, 2, "active;expires=28800", "")
		p.notify(sub, 3, "active;expires=28800", `<presence xmlns="urn:ietf:params:xml:ns:pidf" entity="sip:alice@contoso.com"/>`)
		synctest.Wait()
		s.dead.Store(false)
		w.edge.TellAgain("contoso.com", "jabber.org")
		w.edge.TellAgain("fabrikam.com", "gmail.com")
		s.silent(t, time.Minute)
		w.edge.TellAgain("contoso.com", "gmail.com")
		s.expect(t, "alice@contoso.com/t1>bob@gmail.com unavailable")
		w.edge.TellAgain("contoso.com", "gmail.com")
		s.silent(t, time.Minute)
	})
}

// An answer to somebody of whom nothing is remembered is not lost either.
func TestUntoldToStrangers(t *testing.T) {
	seeing(t, func(w *world, s *signals) {
		s.dead.Store(true)
		for n := range 3 * retellBatch {
			w.edge.Signal(im.Signal{From: im.Address{Local: fmt.Sprint("u", n), Domain: "gmail.com"}, To: alice, Kind: im.SignalUnsubscribe})
		}
		s.dead.Store(false)
		began := time.Now()
		w.edge.TellAgain("contoso.com", "gmail.com")
		told := map[im.Address]bool{}
		for range 3 * retellBatch {
			if x := <-s.told; x.Kind != im.SignalUnsubscribed || told[x.To] {
				t.Fatalf("%+v", x)
			} else {
				told[x.To] = true
			}
		}
		if took := time.Since(began); took < 2*retellPause || took > time.Second {
			t.Errorf("300 in %v", took)
		}
		synctest.Wait()
		w.edge.mu.Lock()
		defer w.edge.mu.Unlock()
		if len(w.edge.watches)+len(w.edge.untold) > 0 {
			t.Errorf("%d watches and %d arrears stay", len(w.edge.watches), len(w.edge.untold))
		}
	})
}

// A SIP user's question is asked when it can be.
func TestUnasked(t *testing.T) {
	seeing(t, func(w *world, s *signals) {
		p := w.connected()
		defer p.close()
		s.dead.Store(true)
		p.send(ocsSubscribe)
		p.expect("SIP/2.0 200 OK")
		p.answer(p.expect("NOTIFY "), "200 OK")
		synctest.Wait()
		s.dead.Store(false)
		w.edge.TellAgain("contoso.com", "gmail.com")
		s.expect(t, "alice@contoso.com>bob@gmail.com subscribe")
	})
}
