package googletalk

import (
	"fmt"
	"strconv"
	"strings"

	"fedlab/sim/trace"
)

// presence acts on presence and subscription stanzas from outside, by the tables of RFC 3921 §9 (RFC 6121 appendix A).
func (as *accounts) presence(s *stream, e *element, from, to jid) {
	kind := e.get("type")
	as.judgePresence(s, e, kind)
	a := as.find(to)
	if a == nil {
		// Nobody is told who exists. RFC 6121 §8.5.1
		return
	}
	switch kind {
	case "subscribe":
		as.subscribe(s, a, from, to)
	case "subscribed", "unsubscribed":
		as.answered(s, a, from, to, kind)
	case "unsubscribe":
		as.unsubscribe(s, a, from, to)
	case "probe":
		as.probe(s, e, a, from, to)
	case "", "unavailable":
		as.seen(s, e, a, from, to, kind)
	}
}

// judgePresence holds presence to RFC 6121 §4.7.
func (as *accounts) judgePresence(s *stream, e *element, kind string) {
	switch kind {
	case "", "error", "probe":
	case "subscribe", "subscribed", "unsubscribe", "unsubscribed":
		if strings.Contains(e.get("from"), "/") {
			// RFC 6121 §3.1.2
			s.unexpected(e.raw, "%s from a full address", kind)
		}
	case "unavailable":
		if e.child(nsServer, "show") != nil || e.child(nsServer, "priority") != nil {
			// RFC 6121 §4.5.1
			s.unexpected(e.raw, "unavailable with show or priority")
		}
	default:
		s.unexpected(e.raw, "presence of the unknown type %q", kind)
	}
	if show := e.child(nsServer, "show"); show != nil {
		switch strings.TrimSpace(show.text) {
		case "away", "chat", "dnd", "xa":
		default:
			s.unexpected(e.raw, "presence with show %q", show.text)
		}
	}
	if priority := e.child(nsServer, "priority"); priority != nil {
		if n, err := strconv.Atoi(strings.TrimSpace(priority.text)); err != nil || n < -128 || n > 127 {
			s.unexpected(e.raw, "presence with priority %q", priority.text)
		}
	}
}

// subscribe is a request to see the user. Who is let in already gets the answer at once, and the presence with it.
// RFC 6121 §3.1.3
func (as *accounts) subscribe(s *stream, a *account, from, to jid) {
	if s.boot.machine.quirks.DropSubscribe {
		return
	}
	as.mu.Lock()
	c := a.contact(from)
	approved, asked := c.from, c.askedIn
	if !approved {
		c.askedIn = true
	}
	as.mu.Unlock()
	switch {
	case approved:
		as.subscription(s.boot, to, from, "subscribed")
		as.tell(s.boot, a, c)
	case !asked:
		as.show(s.boot.name(), trace.Received, from.bare(), to.bare(), trace.Item{Type: trace.Subscription, State: "subscribe"})
	}
}

// answered is the contact's answer to a request of the user's. Without a request it changes nothing.
func (as *accounts) answered(s *stream, a *account, from, to jid, kind string) {
	as.mu.Lock()
	c := a.contact(from)
	matters := c.askedOut || kind == "unsubscribed" && c.to
	c.to = kind == "subscribed" && (c.to || c.askedOut)
	c.askedOut = false
	as.mu.Unlock()
	if matters {
		as.show(s.boot.name(), trace.Received, from.bare(), to.bare(), trace.Item{Type: trace.Subscription, State: kind})
	}
}

// unsubscribe: the contact does not want to see the user any more. RFC 6121 §3.3.3
func (as *accounts) unsubscribe(s *stream, a *account, from, to jid) {
	as.mu.Lock()
	c := a.contact(from)
	matters := c.from || c.askedIn
	var clients []client
	if c.from {
		clients = a.online()
	}
	c.from, c.askedIn = false, false
	as.mu.Unlock()
	if !matters {
		return
	}
	for _, cl := range clients {
		cl.state = "unavailable"
		as.sendPresence(s.boot, to, from, cl)
	}
	as.subscription(s.boot, to, from, "unsubscribed")
	as.show(s.boot.name(), trace.Received, from.bare(), to.bare(), trace.Item{Type: trace.Subscription, State: "unsubscribe"})
}

// probe asks for the user's presence on behalf of a contact. RFC 3921 §5.1.3, RFC 6121 §4.3.2
func (as *accounts) probe(s *stream, e *element, a *account, from, to jid) {
	as.mu.Lock()
	c := a.contacts[accountKey(from)]
	allowed := c != nil && c.from
	pending := c != nil && c.askedIn
	as.mu.Unlock()
	if allowed {
		as.tell(s.boot, a, c)
		return
	}
	switch s.boot.machine.quirks.Probe {
	case "silence":
	case "unsubscribed":
		as.subscription(s.boot, to, from, "unsubscribed")
	default:
		condition := "forbidden"
		if pending {
			condition = "not-authorized"
		}
		to.resource = ""
		as.returnError(s, "presence", e.get("id"), to, from, "", condition)
	}
}

// seen is a contact's presence.
func (as *accounts) seen(s *stream, e *element, a *account, from, to jid, kind string) {
	as.mu.Lock()
	c := a.contacts[accountKey(from)]
	visible := c != nil && c.to
	as.mu.Unlock()
	if c == nil {
		s.unexpected(e.raw, "presence of %s for %s, who has nothing to do with them", from.bare(), to.bare())
	}
	if !visible {
		return
	}
	item := trace.Item{Type: trace.Presence, State: "available"}
	if show := e.child(nsServer, "show"); show != nil {
		item.State = strings.TrimSpace(show.text)
	}
	if kind != "" {
		item.State = kind
	}
	if status := e.child(nsServer, "status"); status != nil {
		item.Body = status.text
	}
	as.show(s.boot.name(), trace.Received, from.bare(), to.bare(), item)
}

// online is the clients whose presence others may see. The caller holds as.mu.
func (a *account) online() []client {
	var list []client
	for _, c := range a.clients {
		if c.state != "unavailable" {
			list = append(list, *c)
		}
	}
	return list
}

// tell sends a contact the presence of each of the user's clients, or that there is none.
func (as *accounts) tell(b *boot, a *account, c *contact) {
	as.mu.Lock()
	clients, from, to := a.online(), a.address, c.address
	as.mu.Unlock()
	if len(clients) == 0 {
		as.sendPresence(b, from, to, client{state: "unavailable"})
	}
	for _, cl := range clients {
		as.sendPresence(b, from, to, cl)
	}
}

// subscription sends one of the four subscription stanzas, from bare address to bare address.
func (as *accounts) subscription(b *boot, from, to jid, kind string) {
	from.resource, to.resource = "", ""
	as.farm.post(b, pair{from.domain, to.domain}, &outgoing{
		data:    tag("presence").attr("from", from.String()).attr("to", to.String()).attr("type", kind).empty(),
		summary: fmt.Sprintf("presence %s > %s %s", from, to, kind),
	})
}

// sendPresence sends the presence of one client in Google's form. A client without resource stands for the account.
func (as *accounts) sendPresence(b *boot, from, to jid, c client) {
	from.resource, to.resource = c.resource, ""
	w := tag("presence").attr("from", from.String()).attr("to", to.String())
	summary := fmt.Sprintf("presence %s > %s", from.bare(), to.bare())
	var data string
	if c.state == "unavailable" {
		data = w.attr("type", "unavailable").empty()
		summary += " unavailable"
	} else {
		data = w.wrap(presenceContent(c, b.machine.quirks.Plain))
		if c.state != "available" {
			summary += " " + c.state
		}
	}
	repeat := 1
	if b.machine.quirks.RepeatPresence {
		repeat = 2
	}
	for range repeat {
		as.farm.post(b, pair{from.domain, to.domain}, &outgoing{data: data, summary: summary})
	}
}

// presenceContent is what stands in available presence. Priority 24 is that of an active client, 0 of an idle one; caps and
// photo are Gmail's of 2009 and 2010. (public logs of those years)
func presenceContent(c client, plain bool) string {
	var b strings.Builder
	priority := "24"
	if c.state != "available" {
		b.WriteString("<show>" + c.state + "</show>")
		if c.state == "away" || c.state == "xa" {
			priority = "0"
		}
	}
	b.WriteString("<priority>" + priority + "</priority>")
	if !plain {
		b.WriteString(`<caps:c node="http://mail.google.com/xmpp/client/caps" ver="1.1" ext="pmuc-v1 sms-v1 vavinvite-v1" ` +
			`xmlns:caps="http://jabber.org/protocol/caps"/>`)
	}
	if c.status != "" {
		b.WriteString("<status>" + escape(c.status) + "</status>")
	}
	if !plain {
		b.WriteString(`<x xmlns="vcard-temp:x:update"><photo/></x>`)
	}
	return b.String()
}
