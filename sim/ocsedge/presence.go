package ocsedge

import (
	"context"
	"slices"
	"strings"

	"fedlab/sim/trace"
)

const subscriptionTime = 28800 // seconds: 8 h (MS-PRES, examples)

// consent is what a user decided about a peer who watches.
type consent int

const (
	undecided consent = iota // container 100 meanwhile: what outsiders see (OCS 2007 R2)
	granted
	blocked // container 32000: looks off line
)

// Subscribe has a user put a peer on the contact list and follow its presence. What comes of it is in the trace.
func (e *Edge) Subscribe(ctx context.Context, from, to string) error {
	return e.act(ctx, from, func(u *user) error {
		peer := strings.ToLower(to)
		e.record(trace.Sent, u.Address, peer, trace.Item{Type: trace.Subscription, State: "subscribe"})
		if u.watching(peer) == nil {
			e.watch(u, peer)
		}
		return nil
	})
}

// Unsubscribe has a user take a peer off the contact list.
func (e *Edge) Unsubscribe(ctx context.Context, from, to string) error {
	return e.act(ctx, from, func(u *user) error {
		peer := strings.ToLower(to)
		e.record(trace.Sent, u.Address, peer, trace.Item{Type: trace.Subscription, State: "unsubscribe"})
		w := u.watching(peer)
		if w == nil {
			return nil
		}
		w.end()
		if w.target != "" { // else when the answer comes
			w.subscribe(0)
		}
		return nil
	})
}

// Approve has a user allow a peer to see his presence (granted, container 100), or block it. A blocked watcher is not told: to
// him the user is off line (container 32000).
func (e *Edge) Approve(ctx context.Context, address, peer string, allow bool) error {
	return e.act(ctx, address, func(u *user) error {
		peer, decision, state := strings.ToLower(peer), granted, "subscribed"
		if !allow {
			decision, state = blocked, "unsubscribed"
		}
		e.record(trace.Sent, u.Address, peer, trace.Item{Type: trace.Subscription, State: state})
		u.consents[peer] = decision
		for _, w := range slices.Clone(u.watchers) {
			if w.peer == peer {
				if decision == blocked && e.quirks.RejectsBlocked {
					w.notify("terminated;reason=rejected")
					w.end()
					continue
				}
				w.notify(w.active())
			}
		}
		return nil
	})
}

// SetPresence has a user's client publish a state (available, away, dnd, xa, unavailable, or an availability number) and a note.
func (e *Edge) SetPresence(ctx context.Context, address, state, note string) error {
	n, err := availability(state)
	if err != nil {
		return err
	}
	return e.act(ctx, address, func(u *user) error {
		e.record(trace.Sent, u.Address, "", trace.Item{Type: trace.Presence, State: state, Body: note})
		u.published = status{n, note}
		u.publish()
		return nil
	})
}

// publish tells all watchers.
func (u *user) publish() {
	for _, w := range slices.Clone(u.watchers) {
		w.notify(w.active())
	}
}

func (u *user) watching(peer string) *watch {
	for _, w := range u.watches {
		if w.peer == peer && !w.ended {
			return w
		}
	}
	return nil
}
