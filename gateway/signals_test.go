package gateway

import (
	"reflect"
	"testing"

	"fedlab/gateway/im"
	"fedlab/gateway/xmpps2s"
)

// Presence crosses to the person it is for; what is for nobody is dropped without a word. P30, P31
func TestSignalsCross(t *testing.T) {
	g, _, _ := assembled(t, testConfig())
	var toSIP, toXMPP []im.Signal
	g.shownByXMPP.to = func(s im.Signal, _ im.Outcome) { toSIP = append(toSIP, s) }
	g.shownBySIP.to = func(s im.Signal, outcome im.Outcome) { toXMPP = append(toXMPP, s); outcome(nil) }
	for _, p := range []xmpps2s.Presence{
		{From: bob, To: alice, Type: "subscribe"},
		{From: bob, To: alice, Show: "away", Priority: 5, Status: "at lunch", Lang: "en"},
		{From: bob, To: alice, Type: "unavailable", Show: "away", Priority: 5, Status: "bye"},
		{From: bob, To: im.Address{Local: "x", Domain: "yahoo.com"}, Type: "subscribe"},
		{From: im.Address{Local: "x", Domain: "yahoo.com"}, To: alice, Type: "subscribe"},
		{From: alice, To: alice, Type: "subscribe"},
		{From: im.Address{Domain: "gmail.com"}, To: alice, Type: "probe"},
	} {
		g.shownByXMPP.HandlePresence(p)
	}
	if want := []im.Signal{
		{From: bob, To: alice, Kind: im.SignalSubscribe},
		{From: bob, To: alice, Device: im.Device{Show: im.Away, Priority: 5, Status: "at lunch", Lang: "en"}},
		{From: bob, To: alice, Kind: im.SignalUnavailable, Device: im.Device{Status: "bye"}},
	}; !reflect.DeepEqual(toSIP, want) {
		t.Errorf("to SIP: %+v", toSIP)
	}
	outcomes := 0
	for _, to := range []im.Address{bob, alice} {
		g.shownBySIP.Signal(im.Signal{From: alice, To: to, Kind: im.SignalSubscribed}, func(f *im.Failure) {
			if outcomes++; f != nil {
				t.Errorf("to %v: %v", to, f)
			}
		})
	}
	if len(toXMPP) != 1 || outcomes != 2 {
		t.Errorf("to XMPP: %+v, %d outcomes", toXMPP, outcomes)
	}
}
