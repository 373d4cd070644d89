package sipedge

import (
	"fmt"
	"strings"
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
