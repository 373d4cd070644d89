package googletalk

import (
	"fmt"
	"strings"

	"fedlab/sim/trace"
)

// Name spaces of what may stand in a stanza.
const (
	nsChatStates = "http://jabber.org/protocol/chatstates"
	nsReceipts   = "urn:xmpp:receipts"
	nsPing       = "urn:xmpp:ping"
	nsDiscoInfo  = "http://jabber.org/protocol/disco#info"
	nsDiscoItems = "http://jabber.org/protocol/disco#items"
	nsXHTML      = "http://jabber.org/protocol/xhtml-im"
)

// known holds the name spaces of extensions that a peer may use in a message or presence.
func known(space string) bool {
	switch space {
	case nsServer, nsChatStates, nsReceipts, nsXHTML, "urn:xmpp:delay", "jabber:x:delay", "jabber:x:event", "urn:xmpp:hints",
		"http://jabber.org/protocol/caps", "vcard-temp:x:update", "http://jabber.org/protocol/nick",
		"http://jabber.org/protocol/archive":
		return true
	}
	return strings.HasPrefix(space, "google:")
}

// deliver acts on a stanza of a verified pair.
func (as *accounts) deliver(s *stream, e *element, from, to jid) {
	as.judge(s, e)
	switch e.local {
	case "message":
		as.message(s, e, from, to)
	case "presence":
		as.presence(s, e, from, to)
	default:
		as.iq(s, e, from, to)
	}
}

// judge records what a correct peer would not have put into a stanza.
func (as *accounts) judge(s *stream, e *element) {
	count := map[string]int{}
	states := 0
	for _, k := range e.kids {
		if e.local != "iq" && !known(k.space) {
			s.unexpected(e.raw, "%s in a %s has the unknown name space %q", k.local, e.local, k.space)
		}
		if k.space == nsServer {
			if k.prefix != "" {
				s.unexpected(e.raw, "<%s> with the prefix %q", k.local, k.prefix)
			}
			lang := ""
			for _, a := range k.attrs {
				if a.space == nsXML && a.local == "lang" {
					lang = a.value
				}
			}
			name := k.local + "/" + lang
			if count[name]++; count[name] == 2 {
				s.unexpected(e.raw, "two <%s> in one %s", k.local, e.local)
			}
		}
		if k.space == nsChatStates {
			if states++; states == 2 {
				// XEP-0085 §5.6
				s.unexpected(e.raw, "two chat states in one message")
			}
		}
	}
	if e.child(nsXHTML, "html") != nil && e.child(nsServer, "body") == nil {
		// XEP-0071 §8
		s.unexpected(e.raw, "XHTML without a plain body")
	}
	if e.get("type") == "error" && e.child(nsServer, "error") == nil {
		s.unexpected(e.raw, "a %s of type error without an error", e.local)
	}
}

func (as *accounts) message(s *stream, e *element, from, to jid) {
	switch kind := e.get("type"); kind {
	case "error":
		as.failed(s, e, from, to)
		return
	case "", "chat", "normal", "headline":
	case "groupchat":
		s.unexpected(e.raw, "a groupchat message: there are no rooms here")
		as.refuse(s, e, from, to)
		return
	default:
		s.unexpected(e.raw, "a message of the unknown type %q", kind)
	}
	a := as.find(to)
	if a == nil || !as.mayWrite(a, from) {
		// The roster is a whitelist. (jdev list, January 2006)
		as.refuse(s, e, from, to)
		return
	}
	if s.boot.machine.quirks.DropMessages {
		if body := e.child(nsServer, "body"); body != nil {
			as.show(s.boot.name(), trace.Dropped, from.bare(), to.bare(), trace.Item{Type: trace.Message, ID: e.get("id"), Body: body.text})
		}
		return
	}
	if a.refuse != "" {
		as.refuseWith(s, e, from, to, a.refuse)
		return
	}
	as.shown(s, e, from, to, a)
}

// shown is what a message makes the user's client show.
func (as *accounts) shown(s *stream, e *element, from, to jid, a *account) {
	host, sender, user := s.boot.name(), from.bare(), to.bare()
	id := e.get("id")
	body := e.child(nsServer, "body")
	if body != nil {
		item := trace.Item{Type: trace.Message, ID: id, Body: body.text}
		if as.store(a, storedMessage{sender, user, item}) {
			return
		}
		as.show(host, trace.Received, sender, user, item)
	}
	for _, k := range e.kids {
		switch {
		case k.space == nsChatStates:
			as.chatState(s, e, k, from, to, body != nil)
		case k.is(nsReceipts, "request"):
			if id == "" {
				// XEP-0184 §5
				s.unexpected(e.raw, "a receipt is asked for a message without id")
			} else if a.receipts {
				as.confirm(s.boot, a, to, from, id)
			}
		case k.is(nsReceipts, "received"):
			as.receipt(s, e, k, a, from, to)
		}
	}
}

// chatState shows that the other one is typing, or is not any more.
func (as *accounts) chatState(s *stream, e, state *element, from, to jid, withBody bool) {
	switch state.local {
	case "active", "composing", "paused", "inactive", "gone":
	default:
		s.unexpected(e.raw, "the unknown chat state %s", state.local)
		return
	}
	if withBody {
		if state.local != "active" {
			// XEP-0085 §5.3
			s.unexpected(e.raw, "the chat state %s beside a body", state.local)
		}
		return
	}
	as.show(s.boot.name(), trace.Received, from.bare(), to.bare(), trace.Item{Type: trace.Typing, State: state.local})
}

// receipt shows that a message of the user has arrived.
func (as *accounts) receipt(s *stream, e, received *element, a *account, from, to jid) {
	id := received.get("id")
	as.mu.Lock()
	m := a.sent[id]
	as.mu.Unlock()
	if m == nil || !m.receipt {
		s.unexpected(e.raw, "a receipt for a message for which %s has not asked for one", to.bare())
		return
	}
	as.show(s.boot.name(), trace.Received, from.bare(), to.bare(), trace.Item{Type: trace.Receipt, ID: id, Body: m.body})
}

// confirm is what a client with receipts sends back. XEP-0184 §5.4
func (as *accounts) confirm(b *boot, a *account, from, to jid, id string) {
	from.resource = as.sender(a)
	as.farm.post(b, pair{from.domain, to.domain}, &outgoing{
		data:    as.farm.message(from, to, as.farm.hex(8), tag("received").attr("xmlns", nsReceipts).attr("id", id).empty()),
		summary: fmt.Sprintf("message %s > %s chat receipt", from.bare(), to.bare()),
	})
}

// store keeps a message for later if none of the user's clients is there. (XEP-0160)
func (as *accounts) store(a *account, m storedMessage) bool {
	as.mu.Lock()
	defer as.mu.Unlock()
	for _, c := range a.clients {
		if c.state != "unavailable" {
			return false
		}
	}
	if len(a.stored) < maxRemembered {
		a.stored = append(a.stored, m)
	}
	return true
}

// sender is the resource that the user sends from.
func (as *accounts) sender(a *account) string {
	as.mu.Lock()
	defer as.mu.Unlock()
	return a.clients[0].resource
}

// failed is an error that came back for a message of one of our users.
func (as *accounts) failed(s *stream, e *element, from, to jid) {
	a := as.find(to)
	if a == nil {
		s.unexpected(e.raw, "an error for %s, who does not exist", to.bare())
		return
	}
	as.mu.Lock()
	m := a.sent[e.get("id")]
	as.mu.Unlock()
	switch {
	case m == nil:
		s.unexpected(e.raw, "an error for a message that %s has not sent", to.bare())
		return
	case m.to != from.bare():
		s.unexpected(e.raw, "an error from %s for a message to %s", from.bare(), m.to)
		return
	}
	body := m.body
	if k := e.child(nsServer, "body"); k != nil && k.text != body {
		s.unexpected(e.raw, "the error returns the body %q of the message %q", short(k.text), short(body))
	}
	errElement := e.child(nsServer, "error")
	if errElement == nil {
		return
	}
	as.judgeError(s, e, errElement)
	if !as.showError(m, condition(errElement), body) {
		s.unexpected(e.raw, "a second error for one message")
	}
}

// judgeError holds an error to RFC 6120 §8.3.2: one type, exactly one defined condition.
func (as *accounts) judgeError(s *stream, e, errElement *element) {
	switch t := errElement.get("type"); t {
	case "auth", "cancel", "continue", "modify", "wait":
	default:
		s.unexpected(e.raw, "an error of type %q", t)
	}
	conditions := 0
	for _, k := range errElement.kids {
		if k.space == nsStanzas && k.local != "text" {
			conditions++
			if _, ok := stanzaConditions[k.local]; !ok {
				s.unexpected(e.raw, "the unknown condition %s", k.local)
			}
		}
	}
	if conditions != 1 {
		s.unexpected(e.raw, "an error with %d conditions", conditions)
	}
}

// refuse returns a message to its sender: from the bare address, with everything it held. (gist conorh/305568)
func (as *accounts) refuse(s *stream, e *element, from, to jid) {
	as.refuseWith(s, e, from, to, "service-unavailable")
}

func (as *accounts) refuseWith(s *stream, e *element, from, to jid, condition string) {
	var kids strings.Builder
	for _, k := range e.kids {
		kids.Write(k.raw)
	}
	to.resource = ""
	as.returnError(s, "message", e.get("id"), to, from, kids.String()+s.boot.marks(), condition)
}

// returnError answers a stanza with an error, over the machine's own stream in the other direction.
func (as *accounts) returnError(s *stream, name, id string, from, to jid, content, condition string) {
	kind := stanzaConditions[condition]
	data := tag(name).attr("to", to.String()).attr("from", from.String()).attr("id", id).attr("type", "error").wrap(
		content + tag("error").attr("code", kind.code).attr("type", kind.kind).wrap(tag(condition).attr("xmlns", nsStanzas).empty()))
	as.farm.post(s.boot, pair{from.domain, to.domain}, &outgoing{
		data: data, summary: fmt.Sprintf("%s %s > %s error %s", name, from.bare(), to.bare(), condition),
	})
}

// marks is what the farm puts into an error beside what the message held.
func (b *boot) marks() string {
	if b.machine.quirks.Plain {
		return ""
	}
	return offRecord
}

// local passes a message between two users of the farm.
func (as *accounts) local(b *boot, from, to jid, o *outgoing) {
	a := as.find(to)
	if o.message == nil {
		return
	}
	if a == nil || !as.mayWrite(a, from) {
		as.showError(o.message, "service-unavailable", o.message.body)
		return
	}
	as.show(b.name(), trace.Received, from.bare(), to.bare(), trace.Item{Type: trace.Message, ID: o.message.id, Body: o.message.body})
}

// iq answers requests: the farm has nothing to offer to other servers. RFC 6120 §8.2.3
func (as *accounts) iq(s *stream, e *element, from, to jid) {
	id, kind := e.get("id"), e.get("type")
	switch {
	case id == "":
		s.unexpected(e.raw, "an iq without id")
		return
	case kind == "result", kind == "error":
		s.unexpected(e.raw, "an iq %s to which there was no request", kind)
		return
	case kind != "get" && kind != "set":
		s.unexpected(e.raw, "an iq of type %q", kind)
		return
	case len(e.kids) != 1:
		s.unexpected(e.raw, "an iq %s with %d children", kind, len(e.kids))
	}
	as.returnError(s, "iq", id, to, from, "", "service-unavailable")
}

// stanzaConditions are the defined conditions with the type and the numeric code that go with them. RFC 3920 §9.3.3,
// RFC 6120 §8.3.3; XEP-0086 for the codes
var stanzaConditions = map[string]struct{ kind, code string }{
	"bad-request":             {"modify", "400"},
	"conflict":                {"cancel", "409"},
	"feature-not-implemented": {"cancel", "501"},
	"forbidden":               {"auth", "403"},
	"gone":                    {"modify", "302"},
	"internal-server-error":   {"wait", "500"},
	"item-not-found":          {"cancel", "404"},
	"jid-malformed":           {"modify", "400"},
	"not-acceptable":          {"modify", "406"},
	"not-allowed":             {"cancel", "405"},
	"not-authorized":          {"auth", "401"},
	"payment-required":        {"auth", "402"},
	"policy-violation":        {"modify", ""},
	"recipient-unavailable":   {"wait", "404"},
	"redirect":                {"modify", "302"},
	"registration-required":   {"auth", "407"},
	"remote-server-not-found": {"cancel", "404"},
	"remote-server-timeout":   {"wait", "504"},
	"resource-constraint":     {"wait", "500"},
	"service-unavailable":     {"cancel", "503"},
	"subscription-required":   {"auth", "407"},
	"undefined-condition":     {"cancel", "500"},
	"unexpected-request":      {"wait", "400"},
}
