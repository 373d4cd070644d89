package googletalk

import (
	"context"
	"fmt"

	"fedlab/sim/trace"
)

// TypingOptions is what a user's client says about the user's typing.
type TypingOptions struct {
	From, To string
	State    string // composing, paused, active, inactive or gone
	Via      string // as in SendOptions
}

// Typing sends a chat state on its own. XEP-0085 §5.5
func (f *Farm) Typing(ctx context.Context, o TypingOptions) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	switch o.State {
	case "composing", "paused", "active", "inactive", "gone":
	default:
		return fmt.Errorf("googletalk: %q is not a chat state", o.State)
	}
	a, from, to, err := f.parties(o.From, o.To)
	if err != nil {
		return err
	}
	b, err := f.carrier(a.address.bare(), o.Via)
	if err != nil {
		return err
	}
	f.accounts.show(b.name(), trace.Sent, from.bare(), to.bare(), trace.Item{Type: trace.Typing, State: o.State})
	from.resource = f.accounts.sender(a)
	f.dispatch(b, from, to, &outgoing{
		data:    f.message(from, to, f.hex(8), `<cha:`+o.State+` xmlns:cha="`+nsChatStates+`"/>`+b.marks()),
		summary: fmt.Sprintf("message %s > %s chat %s", from.bare(), to.bare(), o.State),
	})
	return nil
}

// PresenceOptions is what one of a user's clients says about the user.
type PresenceOptions struct {
	User   string
	Client string // which of the user's clients: "" the first; another name signs in one more, as "android"
	State  string // available, away, chat, dnd, xa, unavailable
	Status string // a line of text
	Via    string // as in SendOptions
}

// SetPresence changes a client's presence and tells all contacts who may see it. The first time a client is there, the
// contacts whom the user sees are asked for theirs, and messages kept for the user are shown.
func (f *Farm) SetPresence(ctx context.Context, o PresenceOptions) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	switch o.State {
	case "available", "away", "chat", "dnd", "xa", "unavailable":
	default:
		return fmt.Errorf("googletalk: %q is not a state of presence", o.State)
	}
	if !xmlText(o.Status) {
		return fmt.Errorf("googletalk: the status of %s holds characters that XML cannot carry", o.User)
	}
	a, from, _, err := f.parties(o.User, o.User)
	if err != nil {
		return err
	}
	b, err := f.carrier(a.address.bare(), o.Via)
	if err != nil {
		return err
	}
	as := f.accounts
	as.mu.Lock()
	c := a.client(o.Client)
	if c == nil {
		c = &client{label: o.Client, resource: f.resource(o.Client), quiet: true}
		a.clients = append(a.clients, c)
	}
	arrives := (c.quiet || c.state == "unavailable") && o.State != "unavailable"
	c.quiet, c.state, c.status = false, o.State, o.Status
	said := *c
	var audience, known []jid
	for _, k := range a.sorted() {
		if k.from || k.directed {
			audience = append(audience, k.address)
		}
		if k.to {
			known = append(known, k.address)
		}
	}
	var stored []storedMessage
	if arrives {
		stored, a.stored = a.stored, nil
	}
	as.mu.Unlock()

	as.show(b.name(), trace.Sent, from.bare(), "", trace.Item{Type: trace.Presence, State: o.State, Body: o.Status})
	for _, to := range audience {
		if !f.ours(to.domain) {
			as.sendPresence(b, a.address, to, said)
		}
	}
	for _, to := range known {
		if arrives && !f.ours(to.domain) {
			as.sendProbe(b, a.address, to)
		}
	}
	for _, m := range stored {
		as.show(b.name(), trace.Received, m.from, m.to, m.item)
	}
	return nil
}

// client is the client with this label, or nil. The caller holds as.mu.
func (a *account) client(label string) *client {
	for _, c := range a.clients {
		if c.label == label {
			return c
		}
	}
	return nil
}

// sendProbe asks for a contact's presence, from the bare address as RFC 6121 §4.3.1 has it.
func (as *accounts) sendProbe(b *boot, from, to jid) {
	from.resource, to.resource = "", ""
	as.farm.post(b, pair{from.domain, to.domain}, &outgoing{
		data:    tag("presence").attr("from", from.String()).attr("to", to.String()).attr("type", "probe").empty(),
		summary: fmt.Sprintf("presence %s > %s probe", from, to),
	})
}

// SubscriptionOptions names a user and the contact that the user deals with.
type SubscriptionOptions struct {
	User, Contact string
	Via           string // as in SendOptions
}

// Subscribe asks to see a contact: an invitation. From then on the contact may write to the user.
func (f *Farm) Subscribe(ctx context.Context, o SubscriptionOptions) error {
	return f.subscription(ctx, o, "subscribe", func(c *contact) { c.askedOut = !c.to })
}

// Approve lets a contact see the user, and shows the presence at once.
func (f *Farm) Approve(ctx context.Context, o SubscriptionOptions) error {
	return f.subscription(ctx, o, "subscribed", func(c *contact) { c.from, c.askedIn = true, false })
}

// Deny refuses a contact's request, or takes back that the contact may see the user.
func (f *Farm) Deny(ctx context.Context, o SubscriptionOptions) error {
	return f.subscription(ctx, o, "unsubscribed", func(c *contact) { c.from, c.askedIn = false, false })
}

// Unsubscribe ends that the user sees a contact.
func (f *Farm) Unsubscribe(ctx context.Context, o SubscriptionOptions) error {
	return f.subscription(ctx, o, "unsubscribe", func(c *contact) { c.to, c.askedOut = false, false })
}

// subscription does what the four have in common: change the roster, then send the stanza, with presence where it belongs to
// it. RFC 6121 §3.1.5, §3.2.2
func (f *Farm) subscription(ctx context.Context, o SubscriptionOptions, kind string, change func(*contact)) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	a, from, to, err := f.parties(o.User, o.Contact)
	if err != nil {
		return err
	}
	to.resource = ""
	if f.ours(to.domain) {
		return fmt.Errorf("googletalk: %s is a user of the farm: subscriptions inside it never reach the wire", o.Contact)
	}
	b, err := f.carrier(a.address.bare(), o.Via)
	if err != nil {
		return err
	}
	as := f.accounts
	as.mu.Lock()
	c := a.contact(to)
	saw := c.from
	change(c)
	clients := a.online()
	as.mu.Unlock()
	as.show(b.name(), trace.Sent, from.bare(), to.bare(), trace.Item{Type: trace.Subscription, State: kind})
	if kind == "unsubscribed" && saw {
		for _, cl := range clients {
			cl.state = "unavailable"
			as.sendPresence(b, from, to, cl)
		}
	}
	as.subscription(b, from, to, kind)
	if kind == "subscribed" {
		as.tell(b, a, c)
	}
	return nil
}

// Directed shows a user's presence to somebody who is not subscribed. RFC 6121 §4.6
func (f *Farm) Directed(ctx context.Context, o SubscriptionOptions) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	a, from, to, err := f.parties(o.User, o.Contact)
	if err != nil {
		return err
	}
	b, err := f.carrier(a.address.bare(), o.Via)
	if err != nil {
		return err
	}
	as := f.accounts
	as.mu.Lock()
	a.contact(to).directed = true
	clients := a.online()
	as.mu.Unlock()
	for _, cl := range clients {
		as.sendPresence(b, from, to, cl)
	}
	return nil
}
