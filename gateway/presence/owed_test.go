package presence_test

import (
	"fmt"
	"testing"
	"time"

	"fedlab/gateway/im"
	"fedlab/gateway/presence"
)

func lost(kind im.SignalKind, resource string) presence.Lost {
	return presence.Lost{Tell: presence.Tell{Kind: kind, Device: im.Device{Resource: resource}}}
}

// What was lost on its way to the XMPP user is made good by how things are when he can be reached, and by nothing else.
func TestTellAgain(t *testing.T) {
	for name, tell := range map[string]func(*testing.T){
		"nothing is lost": func(t *testing.T) { granted(t).on(presence.Reached{}, "") },
		"who has gone meanwhile": func(t *testing.T) {
			s := granted(t)
			s.on(presence.Notified{State: "active", Presence: open()}, "unavailable/a")
			s.on(lost(im.SignalUnavailable, "a"), "")
			s.on(presence.Reached{}, "unavailable/a")
			s.on(presence.Reached{}, "")
		},
		"who has come, and changed since": func(t *testing.T) {
			s := granted(t)
			s.on(presence.Notified{State: "active", Presence: open("a", "b")}, "available/b")
			s.on(lost(im.SignalAvailable, "b"), "")
			s.on(presence.Notified{State: "active", Presence: &im.Presence{Devices: []im.Device{{Resource: "a"}, {Resource: "b", Show: im.DND}}}}, "available/bdnd")
			s.on(lost(im.SignalAvailable, "b"), "")
			s.on(presence.Reached{}, "available/bdnd")
		},
		"an approval": func(t *testing.T) {
			s := granted(t)
			s.on(lost(im.SignalSubscribed, ""), "")
			s.on(lost(im.SignalAvailable, "a"), "")
			s.on(presence.Reached{}, "subscribed, available/a")
		},
		"an approval that was taken back": func(t *testing.T) {
			s := granted(t)
			s.on(lost(im.SignalSubscribed, ""), "")
			s.on(presence.Notified{State: "terminated", Reason: "rejected"}, "forget, unavailable/a, unsubscribed")
			s.on(lost(im.SignalUnavailable, "a"), "")
			s.on(lost(im.SignalUnsubscribed, ""), "")
			if s.w.Done() {
				t.Error("forgotten, and he does not know it yet")
			}
			s.on(presence.Reached{}, "unavailable/a, unsubscribed")
			if !s.w.Done() {
				t.Error("not over")
			}
		},
		"a refusal, and he has asked again": func(t *testing.T) {
			s := watch(t)
			s.on(lost(im.SignalUnsubscribed, ""), "") // of a Watch that was forgotten
			s.on(presence.Ask{}, "subscribe")
			s.on(presence.Reached{}, "")
		},
		"there is no such person": func(t *testing.T) {
			s := watch(t)
			s.on(presence.Lost{Tell: presence.Tell{Kind: im.SignalError, Failure: &im.Failure{Condition: im.ItemNotFound}}}, "")
			s.on(presence.Reached{}, "error")
		},
		"unavailable of everything": func(t *testing.T) {
			s := granted(t)
			s.on(lost(im.SignalUnavailable, ""), "")
			s.on(presence.Reached{}, "unavailable, available/a")
		},
		"more devices than are told apart": func(t *testing.T) {
			s := granted(t)
			for n := range 60 {
				s.on(lost(im.SignalAvailable, fmt.Sprint(n)), "")
			}
			s.on(presence.Reached{}, "unavailable, available/a")
		},
		"a question": func(t *testing.T) {
			s := feed(t)
			s.on(presence.Watched{ID: 1, New: true, Expires: time.Hour}, "accept1 1h0m0s, notify1 pending; empty, subscribe")
			s.on(lost(im.SignalSubscribe, ""), "")
			s.on(presence.Reached{}, "subscribe")
			s.on(presence.Reached{}, "")
			s.later(time.Minute).on(presence.Approved{}, "notify1 active; empty")
		},
		"a probe": func(t *testing.T) {
			s := &feedStory{t: t, f: presence.RestoredFeed(presence.Granted, start), at: start}
			s.on(presence.Watched{ID: 1, New: true, Expires: time.Hour}, "accept1 1h0m0s, notify1 active; empty, probe")
			s.on(lost(im.SignalProbe, ""), "")
			s.on(presence.Reached{}, "probe")
			s.on(lost(im.SignalProbe, ""), "")
			s.later(time.Minute).on(presence.Shown{Device: im.Device{Resource: "home"}}, "notify1 active; open1")
			s.on(presence.Reached{}, "")
		},
		"that nobody watches any more": func(t *testing.T) {
			s := approved(t)
			s.on(presence.Watched{ID: 1, Expires: 0}, "accept1 0s, notify1 terminated;timeout closed, unavailable")
			s.on(lost(im.SignalUnavailable, ""), "")
			s.on(presence.Reached{}, "unavailable")
		},
		"a question of which a restart has left open whether it was asked": func(t *testing.T) {
			s := &feedStory{t: t, f: presence.RestoredFeed(presence.Asked, start), at: start}
			s.on(presence.Watched{ID: 1, New: true, Expires: time.Hour}, "accept1 1h0m0s, notify1 pending; empty, subscribe")
			s.on(presence.Watched{ID: 2, New: true, Expires: time.Hour}, "accept2 1h0m0s, notify2 pending; empty")
		},
	} {
		t.Run(name, tell)
	}
}
