package sipedge

import (
	"sync"
	"testing"
	"testing/synctest"
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

// slowDisk is a store whose records are kept when the test says so.
type slowDisk struct {
	store.Store
	mu      sync.Mutex
	waiting []func()
}

func (s *slowDisk) Put(r store.Record, done func(error)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.waiting = append(s.waiting, func() { s.Store.Put(r, done) })
}

// write keeps what waits.
func (s *slowDisk) write() {
	s.mu.Lock()
	waiting := s.waiting
	s.waiting = nil
	s.mu.Unlock()
	for _, put := range waiting {
		put()
	}
}

// TestFeedAwaitsTheDisk: a SIP user is answered, the XMPP user asked, and what follows from his decision shown, only when a crash
// would not undo it.
func TestFeedAwaitsTheDisk(t *testing.T) {
	disk := &slowDisk{Store: store.Memory()}
	defer disk.Close()
	var s *signals
	inWorldWith(t, func(_ *world, c *Config) {
		s = &signals{told: make(chan im.Signal, 1000)}
		c.Presence, c.Store = s, disk
	}, func(w *world) {
		p := w.connected()
		defer p.close()
		nothing := func(before string) {
			t.Helper()
			if m, err := p.read(time.Second); err == nil {
				t.Errorf("before %s is on the disk came\n%s", before, m)
			}
			s.silent(t, time.Second)
			disk.write()
			synctest.Wait()
		}
		p.send(ocsSubscribe)
		nothing("the question")
		p.expect("SIP/2.0 200 OK")
		p.answer(p.expect("NOTIFY "), "200 OK")
		s.expect(t, "alice@contoso.com>bob@gmail.com subscribe")
		time.Sleep(10 * time.Second) // no two NOTIFYs in five seconds

		w.signal(im.SignalSubscribed, "")
		nothing("the approval")
		n := p.expect("NOTIFY ")
		if got := n.get("Subscription-State"); got != "active;expires=28788" {
			t.Errorf("state %q", got)
		}
		p.answer(n, "200 OK")

		w.signal(im.SignalUnsubscribed, "")
		nothing("the refusal")
		n = p.expect("NOTIFY ")
		if got := n.get("Subscription-State"); got != "terminated;reason=rejected" {
			t.Errorf("state %q", got)
		}
		p.answer(n, "200 OK")
	})
}
