package googletalk

import (
	"context"
	"fmt"
	"strings"

	"fedlab/sim/trace"
)

// SendOptions is a message as a user's client sends it.
type SendOptions struct {
	From string // the user
	To   string // bare or full
	Body string
	ID   string // default one in Google's style; must not repeat for the user
	Via  string // the farm host that carries it, by any of its names; default one that depends on the user and the seed

	Receipt bool // asks to be told of delivery (XEP-0184)
}

// Send sends a message as a user's client and returns when the farm has taken it. If it turns out that it cannot be
// delivered, the user is shown an error: a trace event of layer Client and kind Received with an item of type Error.
func (f *Farm) Send(ctx context.Context, o SendOptions) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	a, from, to, err := f.parties(o.From, o.To)
	if err != nil {
		return err
	}
	if !xmlText(o.Body) {
		return fmt.Errorf("googletalk: the message of %s holds characters that XML cannot carry", o.From)
	}
	b, err := f.carrier(a.address.bare(), o.Via)
	if err != nil {
		return err
	}
	if o.ID == "" {
		o.ID = f.hex(8)
	}
	m := &sentMessage{host: b.name(), from: from.bare(), to: to.bare(), id: o.ID, body: o.Body, receipt: o.Receipt}
	if !f.accounts.remember(a, m) {
		return fmt.Errorf("googletalk: %s has sent a message with the id %q before", o.From, o.ID)
	}
	f.accounts.show(b.name(), trace.Sent, m.from, m.to, trace.Item{Type: trace.Message, ID: o.ID, Body: o.Body})
	from.resource = f.accounts.sender(a)
	content := bodyElement(o.Body)
	if o.Receipt {
		content += tag("request").attr("xmlns", nsReceipts).empty()
	}
	f.dispatch(b, from, to, &outgoing{
		data:    f.message(from, to, o.ID, content+b.decorations()),
		summary: fmt.Sprintf("message %s > %s chat %q", m.from, m.to, short(o.Body)),
		message: m,
	})
	return nil
}

// parties resolves a user of ours and the address that the user turns to.
func (f *Farm) parties(user, other string) (*account, jid, jid, error) {
	from, ok := parseJID(user)
	if !ok || from.local == "" {
		return nil, jid{}, jid{}, fmt.Errorf("googletalk: %q is not a user's address", user)
	}
	a := f.accounts.find(from)
	if a == nil {
		return nil, jid{}, jid{}, fmt.Errorf("googletalk: no user %s in the farm", user)
	}
	to, ok := parseJID(other)
	if !ok {
		return nil, jid{}, jid{}, fmt.Errorf("googletalk: %q is not an address that %s could write to", other, user)
	}
	from.resource = ""
	return a, from, to, nil
}

// dispatch sends a stanza on its way: out of the farm, or to one of its own users.
func (f *Farm) dispatch(b *boot, from, to jid, o *outgoing) {
	if !f.ours(to.domain) {
		f.post(b, pair{from.domain, to.domain}, o)
		return
	}
	f.accounts.local(b, from, to, o)
}

// message is a chat message in the farm's style. (gist conorh/305568: type, id, to, from)
func (f *Farm) message(from, to jid, id, content string) string {
	return tag("message").attr("type", "chat").attr("id", id).attr("to", to.String()).attr("from", from.String()).wrap(content)
}

func bodyElement(text string) string { return "<body>" + escape(text) + "</body>" }

// decorations is what stands behind the body in nearly every message of a Google client. (gist conorh/305568)
func (b *boot) decorations() string {
	if b.machine.quirks.Plain {
		return ""
	}
	return `<met:google-mail-signature xmlns:met="google:metadata">` + strings.ToLower(b.farm.hex(8)) + `</met:google-mail-signature>` +
		`<cha:active xmlns:cha="http://jabber.org/protocol/chatstates"/>` + offRecord
}

// offRecord says that the conversation is archived; it also stands in errors.
const offRecord = `<nos:x value="disabled" xmlns:nos="google:nosave"/>` +
	`<arc:record otr="false" xmlns:arc="http://jabber.org/protocol/archive"/>`
