package sipedge

import (
	"testing"
	"time"

	"fedlab/gateway/im"
	"fedlab/gateway/presence"
	"fedlab/gateway/store"
)

// TestRestart: after a crash the subscriptions of the store are made again; who cannot be found is shown as gone, not as he was;
// who was approved is shown without asking again; and changes are kept.
func TestRestart(t *testing.T) {
	kept := store.Memory()
	defer kept.Close()
	record := store.Record{XMPP: bob, SIP: alice, Watch: presence.Granted, Feed: presence.Granted}
	kept.Put(record, nil)
	var s *signals
	inWorldWith(t, func(_ *world, c *Config) {
		s = &signals{told: make(chan im.Signal, 1000)}
		c.Presence, c.Store = s, kept
	}, func(w *world) {
		p := w.connected()
		defer p.close()
		p.answer(p.expect("SUBSCRIBE sip:alice@contoso.com"), "480 Temporarily Unavailable")
		s.expect(t, "alice@contoso.com>bob@gmail.com unavailable")
		sub := p.expect("SUBSCRIBE sip:alice@contoso.com")
		p.answer(sub, "200 OK", "Expires: 28800")
		p.notify(sub, 1, "active;expires=28800", pidfOpen)
		s.expect(t, "alice@contoso.com/t1>bob@gmail.com at work")

		p.send(ocsSubscribe)
		p.expect("SIP/2.0 200 OK")
		n := p.expect("NOTIFY ")
		if state := n.get("Subscription-State"); state != "active;expires=28800" {
			t.Errorf("state %q", state)
		}
		p.answer(n, "200 OK")
		s.expect(t, "alice@contoso.com>bob@gmail.com probe")

		w.signal(im.SignalUnsubscribed, "")
		p.answer(p.expect("NOTIFY "), "200 OK")
		p.notify(sub, 2, "terminated;reason=rejected", "")
		s.expect(t, "alice@contoso.com/t1>bob@gmail.com unavailable")
		s.expect(t, "alice@contoso.com>bob@gmail.com unsubscribed")
		time.Sleep(time.Second)
		_ = kept.All(func(r store.Record) bool {
			if want := (store.Record{XMPP: bob, SIP: alice, Feed: presence.Denied}); r != want {
				t.Errorf("kept %+v, want %+v", r, want)
			}
			return true
		})
	})
}
