package presence_test

import (
	"testing"
	"time"

	"fedlab/gateway/presence"
)

// Rows of the conformance table that take several events of either side: see docs/conformance.md.
func TestRows(t *testing.T) {
	for name, tell := range map[string]func(*testing.T){
		"P23: a probe of somebody who may not see": func(t *testing.T) {
			s := watch(t)
			s.on(presence.Probe{}, "subscribe") // the SIP side decides
			s.on(presence.Answer{Status: 403}, "forget, unsubscribed")
		},
		"P23: a probe for somebody who is off line": func(t *testing.T) {
			s := granted(t)
			s.on(presence.Notified{State: "active", Presence: open()}, "unavailable/a")
			s.on(presence.Probe{}, "unavailable")
		},
		"P28: a question outlives the dialog that asked it": func(t *testing.T) {
			s := feed(t)
			s.on(presence.Watched{ID: 1, New: true, Expires: time.Hour}, "accept1 1h0m0s, notify1 pending; empty, subscribe")
			s.later(time.Hour).on(presence.FeedTick{}, "notify1 terminated;timeout empty")
			s.on(presence.Watched{ID: 2, New: true, Expires: time.Hour}, "accept2 1h0m0s, notify2 pending; empty")
			s.later(time.Minute).on(presence.Approved{}, "notify2 active; empty")
		},
	} {
		t.Run(name, tell)
	}
}
