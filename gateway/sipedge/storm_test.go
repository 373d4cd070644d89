package sipedge

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"fedlab/gateway/im"
)

// crowd is how many subscriptions a test asks for at once: more than a link may have waiting to be written.
const crowd = 10_000

func (w *world) probes(n int) {
	for i := range n {
		w.edge.Signal(im.Signal{From: bob, To: im.Address{Local: fmt.Sprintf("user%d", i), Domain: "contoso.com"}, Kind: im.SignalProbe})
	}
}

// TestCrowd: thousands come online at once, and the Edge takes its time. Their requests wait for it, and the link stands.
func TestCrowd(t *testing.T) {
	seeing(t, func(w *world, _ *signals) {
		p := w.connected()
		defer p.close()
		synctest.Wait()
		before := w.edge.Status().Links[0].Attempts // the gateway may have looked for the Edge before it was there
		w.probes(crowd)
		synctest.Wait()
		time.Sleep(5 * time.Second)
		for range crowd {
			p.answer(p.expect("SUBSCRIBE "), "480 Gone home")
		}
		if s := w.edge.Status().Links[0]; s.Attempts != before || !s.Dialled {
			t.Errorf("the link did not stand: %+v", s)
		}
	})
}

// TestEdgeThatIsSlow: thousands of requests are due and the Edge answers none yet. It is not asked everything at once, and a message does not
// wait for it.
func TestEdgeThatIsSlow(t *testing.T) {
	seeing(t, func(w *world, _ *signals) {
		p := w.connected()
		defer p.close()
		w.probes(crowd)
		synctest.Wait()
		w.edge.Send(im.Message{From: bob, To: alice, Body: "Hello"}, func(*im.Failure) {})
		var asked []wire
		for {
			req := p.next()
			if strings.HasPrefix(req.start, "INVITE ") {
				p.answer(req, "480 Gone home")
				p.expect("ACK ")
				break
			}
			asked = append(asked, req)
		}
		p.silent(5 * time.Second)
		if len(asked) != mostUnderWay {
			t.Errorf("%d requests are under way at a time, want %d", len(asked), mostUnderWay)
		}
		for _, req := range asked {
			p.answer(req, "480 Gone home")
		}
		for range crowd - len(asked) {
			p.answer(p.expect("SUBSCRIBE "), "480 Gone home")
		}
	})
}

// TestStopWithMany: a gateway that stops ends every subscription, where the Edge answers, and does not wait for one that does not.
func TestStopWithMany(t *testing.T) {
	const pairs, answered = 5 * mostUnderWay, 3*mostUnderWay + 1
	for _, silent := range []bool{false, true} {
		seeing(t, func(w *world, _ *signals) {
			p := w.connected()
			defer p.close()
			w.probes(pairs)
			for range pairs {
				p.answer(p.expect("SUBSCRIBE "), "200 OK", "Expires: 28800", "Contact: <sip:pool01.contoso.com:5061;transport=tls>")
			}
			synctest.Wait()
			began := time.Now()
			var stopping sync.WaitGroup
			stopping.Go(w.stop)
			ended := 0
			for {
				req, err := p.read(time.Minute)
				if err != nil {
					break
				}
				if req.get("Expires") != "0" {
					t.Errorf("at its stop the gateway sends\n%s", req)
				}
				if ended++; !silent || ended <= answered {
					p.answer(req, "200 OK", "Expires: 0")
				}
			}
			stopping.Wait()
			if want := min(pairs, answered+mostUnderWay); silent && ended != want || !silent && ended != pairs {
				t.Errorf("%d of %d subscriptions were ended (the Edge falls silent: %v)", ended, pairs, silent)
			}
			if took := time.Since(began); took > 3*stopGrace {
				t.Errorf("the stop took %v", took)
			}
		})
	}
}

// TestEdgeForgets: when a link is there again the Edge is asked about every subscription, at a rate that it can bear. Where it was
// restarted meanwhile they are made anew.
func TestEdgeForgets(t *testing.T) {
	seeing(t, func(w *world, _ *signals) {
		const pairs = 10 * restoreBatch
		p := w.connected()
		w.probes(pairs)
		for range pairs {
			p.answer(p.expect("SUBSCRIBE "), "200 OK", "Expires: 28800", "Contact: <sip:pool01.contoso.com:5061;transport=tls>")
		}
		synctest.Wait()
		p.close()
		p = w.connected()
		defer p.close()
		began := time.Now()
		refreshed, anew := 0, 0
		for range 2 * pairs {
			if req := p.expect("SUBSCRIBE "); strings.Contains(req.get("To"), "tag=") {
				refreshed++
				p.answer(req, "481 Subscription Does Not Exist")
			} else {
				anew++
				p.answer(req, "480 Gone home")
			}
		}
		if refreshed != pairs || anew != pairs {
			t.Errorf("%d subscriptions were refreshed and %d made anew, of %d", refreshed, anew, pairs)
		}
		if took, least := time.Since(began), (pairs/restoreBatch-1)*restorePause; took < least {
			t.Errorf("%d subscriptions in %v, less than %v", pairs, took, least)
		}
	})
}
