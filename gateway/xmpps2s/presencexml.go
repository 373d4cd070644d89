package xmpps2s

import (
	"strconv"
	"strings"

	"fedlab/gateway/im"
	"fedlab/gateway/translate"
)

// parsePresence reads a presence stanza. The failure answers one of an unknown type (RFC 6121 §4.7.1).
func parsePresence(z stanza) (Presence, *im.Failure) {
	e := z.el
	p := Presence{From: z.from, To: z.to, ID: e.attr("id"), Type: e.attr("type"), Lang: e.attr("xml:lang")}
	switch p.Type {
	case "", "unavailable", "probe":
	case "subscribe", "subscribed", "unsubscribe", "unsubscribed":
		p.From, p.To = p.From.Bare(), p.To.Bare() // a full JID counts as the bare one (RFC 6121 §3.1.3)
	case "error":
		p.Failure = parseFailure(e)
	default:
		return p, &im.Failure{Condition: im.BadRequest, Text: "unknown type of presence"}
	}
	p.Status = pick(e, "status", p.Lang).text()
	if p.Type == "" {
		switch show := strings.TrimSpace(e.child(nsServer, "show").text()); show {
		case "away", "chat", "dnd", "xa":
			p.Show = show
		}
		if n, err := strconv.ParseInt(strings.TrimSpace(e.child(nsServer, "priority").text()), 10, 8); err == nil {
			p.Priority = int(n)
		}
	}
	return p, nil
}

func presenceXML(p Presence) []byte {
	w := &writer{}
	w.raw("<presence").attr("from", translate.JID(p.From)).attr("to", translate.JID(p.To)).attr("id", p.ID)
	w.attr("type", p.Type).attr("xml:lang", p.Lang).raw(">")
	if p.Type == "" && p.Show != "" {
		w.leaf("show", p.Show)
	}
	if p.Status != "" {
		w.leaf("status", p.Status)
	}
	if p.Type == "" && p.Priority != 0 {
		w.leaf("priority", strconv.Itoa(p.Priority))
	}
	if p.Failure != nil {
		w.failure(p.Failure)
	}
	return w.raw("</presence>").b
}
