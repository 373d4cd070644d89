package googletalk

import (
	"strings"
	"testing"

	"fedlab/sim/trace"
)

// pairOfFarms is gmail.com and, as the peer, contoso.com; nobody knows anybody yet.
func (w *world) pairOfFarms(users ...User) (gmail, contoso *Farm) {
	gmail = w.farm(func(c *Config) {
		c.Users = []User{{Address: "bob@gmail.com"}, {Address: "full@gmail.com", Contacts: []string{"alice@contoso.com"}, Refuse: "resource-constraint"}}
	})
	w.records("contoso.com", "xmpp.contoso.com")
	if users == nil {
		users = []User{{Address: "alice@contoso.com"}}
	}
	contoso = w.start(Config{
		Hosts:   []Host{{Name: "xmpp", Names: []string{"xmpp.contoso.com"}, Network: w.machine("xmpp.contoso.com")}},
		Domains: []string{"contoso.com"},
		Users:   users,
		Trace:   w.trace,
	})
	return gmail, contoso
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// next waits for the first event after the last one it returned, so that order is tested as well.
type follower struct {
	*world
	since int
}

func (f *follower) next(what string, match func(trace.Event) bool) trace.Event {
	f.t.Helper()
	e := f.await(what, func(e trace.Event) bool { return e.Seq > f.since && match(e) })
	f.since = e.Seq
	return e
}

// The life of a subscription: asked, seen, approved, presence of several clients, away, gone, taken back.
func TestSubscription(t *testing.T) {
	w := newWorld(t)
	gmail, contoso := w.pairOfFarms()
	see := &follower{world: w}
	ctx := t.Context()
	const bob, alice = "bob@gmail.com", "alice@contoso.com"

	must(t, gmail.Subscribe(ctx, SubscriptionOptions{User: bob, Contact: alice}))
	see.next("the request", shows(alice, trace.Subscription, "subscribe"))
	must(t, contoso.Approve(ctx, SubscriptionOptions{User: alice, Contact: bob}))
	see.next("the approval", shows(bob, trace.Subscription, "subscribed"))
	see.next("alice's presence", shows(bob, trace.Presence, "available"))

	must(t, contoso.SetPresence(ctx, PresenceOptions{User: alice, State: "dnd", Status: "writing"}))
	if e := see.next("dnd", shows(bob, trace.Presence, "dnd")); e.Item.Body != "writing" || e.From != alice {
		t.Errorf("shown: %+v", e)
	}
	must(t, contoso.SetPresence(ctx, PresenceOptions{User: alice, Client: "android", State: "away"}))
	see.next("the second client", shows(bob, trace.Presence, "away"))

	// Bob comes online; the probe of his farm gets both clients' presence.
	must(t, gmail.SetPresence(ctx, PresenceOptions{User: bob, State: "unavailable"}))
	must(t, gmail.SetPresence(ctx, PresenceOptions{User: bob, State: "available"}))
	see.next("dnd again", shows(bob, trace.Presence, "dnd"))
	see.next("away again", shows(bob, trace.Presence, "away"))

	// Who is approved and asks again is answered by the server. RFC 6121 §3.1.3
	must(t, gmail.Subscribe(ctx, SubscriptionOptions{User: bob, Contact: alice}))
	see.next("dnd once more", shows(bob, trace.Presence, "dnd"))

	must(t, contoso.Deny(ctx, SubscriptionOptions{User: alice, Contact: bob}))
	see.next("first unavailable", shows(bob, trace.Presence, "unavailable"))
	see.next("then unsubscribed", shows(bob, trace.Subscription, "unsubscribed"))

	must(t, gmail.Subscribe(ctx, SubscriptionOptions{User: bob, Contact: alice}))
	must(t, contoso.Approve(ctx, SubscriptionOptions{User: alice, Contact: bob}))
	see.next("approved again", shows(bob, trace.Subscription, "subscribed"))
	must(t, gmail.Unsubscribe(ctx, SubscriptionOptions{User: bob, Contact: alice}))
	see.next("bob leaves", shows(alice, trace.Subscription, "unsubscribe"))
	w.noSurprises()
}

// Typing, receipts, a full mailbox, and messages kept until their reader is back.
func TestPeople(t *testing.T) {
	w := newWorld(t)
	const bob, alice = "bob@gmail.com", "alice@contoso.com"
	gmail, contoso := w.pairOfFarms(User{Address: alice, Contacts: []string{bob}, Receipts: true})
	see := &follower{world: w}
	ctx := t.Context()

	must(t, gmail.Typing(ctx, TypingOptions{From: bob, To: alice, State: "composing"}))
	see.next("typing", shows(alice, trace.Typing, "composing"))
	must(t, gmail.Send(ctx, SendOptions{From: bob, To: alice, Body: "did you get it?", ID: "m1", Receipt: true}))
	see.next("the message", shows(alice, trace.Message, "did you get it?"))
	must(t, gmail.Subscribe(ctx, SubscriptionOptions{User: bob, Contact: alice}))
	// Only a sender who is let in gets through, receipts included.
	must(t, gmail.Send(ctx, SendOptions{From: bob, To: alice, Body: "and this?", ID: "m2", Receipt: true}))
	e := see.next("the receipt", func(e trace.Event) bool { return e.Item.Type == trace.Receipt && e.Item.ID == "m2" })
	if e.To != bob || e.From != alice || e.Item.Body != "and this?" {
		t.Errorf("shown: %+v", e)
	}

	must(t, contoso.Send(ctx, SendOptions{From: alice, To: "full@gmail.com", Body: "more"}))
	see.next("mailbox full", shows(alice, trace.Error, "resource-constraint"))

	must(t, contoso.SetPresence(ctx, PresenceOptions{User: alice, State: "unavailable"}))
	must(t, gmail.Send(ctx, SendOptions{From: bob, To: alice, Body: "for later"}))
	see.next("it has arrived", func(e trace.Event) bool {
		return e.Layer == trace.XMPP && e.Kind == trace.Received && strings.Contains(e.Summary, "for later")
	})
	must(t, contoso.SetPresence(ctx, PresenceOptions{User: alice, State: "available"}))
	see.next("and is shown", shows(alice, trace.Message, "for later"))
	w.noSurprises()
}

// The answers to a probe from somebody who may not see the user.
func TestProbe(t *testing.T) {
	for quirk, want := range map[string]string{"": "error", "unsubscribed": "unsubscribed"} {
		t.Run("probe "+quirk, func(t *testing.T) {
			w := newWorld(t)
			p := w.peer()
			w.farm(func(c *Config) { c.Quirks.Probe = quirk })
			r := p.verified("xmpp-server.gmail.com")
			r.write("<presence type='probe' from='eve@contoso.com' to='bob@gmail.com'/>")
			q := p.called()
			if got := q.expect("presence"); got["type"] != want || got["from"] != "bob@gmail.com" || got["to"] != "eve@contoso.com" {
				t.Errorf("answer: %v", got)
			}
		})
	}
}

// What a peer may not put into presence.
func TestStrictPresence(t *testing.T) {
	for write, surprise := range map[string]string{
		"<presence type='subscribe' from='alice@contoso.com/x' to='bob@gmail.com'/>":                                  "full address",
		"<presence type='unavailable' from='alice@contoso.com/x' to='bob@gmail.com'><show>away</show></presence>":     "unavailable with show",
		"<presence from='alice@contoso.com/x' to='bob@gmail.com'><show>busy</show></presence>":                        `show "busy"`,
		"<presence from='alice@contoso.com/x' to='bob@gmail.com'><priority>128</priority></presence>":                 `priority "128"`,
		"<presence from='eve@contoso.com/x' to='bob@gmail.com'/>":                                                     "nothing to do with",
		"<message from='alice@contoso.com' to='bob@gmail.com'><received xmlns='urn:xmpp:receipts' id='q'/></message>": "a receipt for a message",
	} {
		t.Run(surprise, func(t *testing.T) {
			w := newWorld(t)
			p := w.peer()
			w.farm(nil)
			p.verified("xmpp-server.gmail.com").write("%s", write)
			w.surprise(surprise)
		})
	}
}
