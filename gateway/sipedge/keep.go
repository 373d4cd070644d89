package sipedge

import (
	"context"
	"sync/atomic"
	"time"

	"fedlab/gateway/presence"
	"fedlab/gateway/store"
)

// After a restart, ours or the other side's, the subscriptions are made again, so many in each of so short a time.
const (
	restoreBatch = 100
	restorePause = 50 * time.Millisecond
)

// auths are the permissions of a pair, as they are kept.
type auths struct{ watch, feed presence.Auth }

// keep notes a change of a pair's permissions in the store. It does not wait for the disk: true says that saved, if not nil,
// will be called from another goroutine when the change is kept, or cannot be; false that this is so already.
func (e *Edge) keep(key pair, change func(*auths), saved func()) (later bool) {
	if e.store == nil {
		return false
	}
	var handed atomic.Bool // by whoever comes second: Put, or the writer that is done
	e.mu.Lock()
	defer e.mu.Unlock()
	a := e.kept[key]
	was := a
	change(&a)
	if a == (auths{}) {
		delete(e.kept, key)
	} else {
		e.kept[key] = a
	}
	if a == was {
		return false
	}
	// Under the lock, so that the order of two changes is kept; Put does not block.
	e.store.Put(store.Record{XMPP: key.xmpp, SIP: key.sip, Watch: a.watch, Feed: a.feed}, func(err error) {
		if err != nil {
			e.log.Error("a subscription is not kept", "xmpp", key.xmpp.String(), "sip", key.sip.String(), "error", err)
		}
		if handed.Swap(true) && saved != nil {
			saved()
		}
	})
	return !handed.Swap(true)
}

// load takes the permissions over from the store, before anything else happens. It gives those whose dialogs have to be made
// again.
func (e *Edge) load() ([]*watching, error) {
	if e.store == nil {
		return nil, nil
	}
	var lost []*watching
	err := e.store.All(func(r store.Record) bool {
		key := pair{r.XMPP.Bare(), r.SIP.Bare()}
		h := e.byDomain[key.sip.Domain]
		if h == nil || !e.foreign(key.xmpp.Domain) { // not served any more; it may be again
			return true
		}
		e.mu.Lock()
		defer e.mu.Unlock()
		e.kept[key] = auths{r.Watch, r.Feed}
		if r.Watch != presence.None {
			w := newWatching(e, key, h)
			w.state = presence.Restored(r.Watch).Seeded(e.seed(key))
			e.watches[key] = w
			lost = append(lost, w)
		}
		if r.Feed != presence.None {
			f := newFeeding(e, key, h)
			f.state = presence.RestoredFeed(r.Feed, time.Now())
			e.feeds[key] = f
		}
		return true
	})
	return lost, err
}

// refresh asks a next hop to which there is a link again about every subscription. Where it was restarted meanwhile it knows none, and
// else it says what it could not say while there was none.
func (e *Edge) refresh(ctx context.Context, h *hop) {
	var all []*watching
	e.mu.Lock()
	for _, w := range e.watches {
		if w.hop == h {
			all = append(all, w)
		}
	}
	e.mu.Unlock()
	e.resubscribe(ctx, all, presence.Relinked{})
}

// resubscribe makes dialogs again, or refreshes them, little by little.
func (e *Edge) resubscribe(ctx context.Context, lost []*watching, event presence.WatchEvent) {
	pause := time.NewTicker(restorePause)
	defer pause.Stop()
	for i, w := range lost {
		if i%restoreBatch == restoreBatch-1 {
			select {
			case <-pause.C:
			case <-ctx.Done():
				return
			}
		}
		w.step(nil, event)
	}
}
