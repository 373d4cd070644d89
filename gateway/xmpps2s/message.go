package xmpps2s

import (
	"encoding/xml"
	"strings"
	"time"

	"fedlab/gateway/im"
	"fedlab/gateway/translate"
)

// The namespaces of what messages carry.
const (
	nsStates   = "http://jabber.org/protocol/chatstates" // XEP-0085
	nsEvents   = "jabber:x:event"                        // XEP-0022, its predecessor
	nsReceipts = "urn:xmpp:receipts"                     // XEP-0184
	nsDelay    = "urn:xmpp:delay"                        // XEP-0203
	nsOldDelay = "jabber:x:delay"                        // XEP-0091
)

func langAttr(tag string) xml.Attr {
	return xml.Attr{Name: xml.Name{Space: nsXML, Local: "lang"}, Value: tag}
}

// receiveMessage gives a message to the sink, and an error to its sender if the sink could not deliver it.
func (s *Server) receiveMessage(z stanza) {
	switch z.el.attr("type") {
	case "groupchat":
		s.bounce(z, &im.Failure{Condition: im.ServiceUnavailable, Text: "this gateway carries no group chat"})
		return
	case "headline":
		// Nothing on the SIP side shows headlines, and none is owed an answer (RFC 6121 §5.2.2).
		return
	}
	if z.to.Local == "" {
		s.bounce(z, &im.Failure{Condition: im.ServiceUnavailable, Text: "a gateway has no inbox"})
		return
	}
	m, ok := parseMessage(z)
	if !ok {
		return
	}
	s.sink.Send(m, func(f *im.Failure) {
		if f != nil && m.Failure == nil && (m.Body != "" || m.ReceiptWanted) {
			s.bounce(z, f)
		}
	})
}

// parseMessage reads a message stanza. ok is false if it has nothing that could be passed on.
func parseMessage(z stanza) (m im.Message, ok bool) {
	e := z.el
	m = im.Message{From: z.from, To: z.to, ID: e.attr("id"), Lang: e.attr("xml:lang")}
	typ := e.attr("type")
	if typ == "error" {
		m.Failure = parseFailure(e)
	}
	m.Normal = typ != "chat" && typ != "error" // an unknown type counts as normal (RFC 6121 §5.2.2)
	if body := pick(e, "body", m.Lang); body != nil {
		m.Body = body.text()
		if tag := body.attr("xml:lang"); tag != "" {
			m.Lang = tag
		}
	}
	if m.Body != "" {
		m.HTML = parseXHTML(e)
	}
	m.Subject = pick(e, "subject", m.Lang).text()
	m.Thread = e.child(nsServer, "thread").text()
	for _, k := range e.Kids {
		switch k.Name.Space {
		case nsStates:
			switch state := im.ChatState(k.Name.Local); state {
			case im.Active, im.Composing, im.Paused, im.Inactive, im.Gone:
				m.State = state
			}
		case nsEvents:
			if m.State == "" && m.Body == "" && k.Name.Local == "x" {
				m.State = eventState(k)
			}
		case nsReceipts:
			switch k.Name.Local {
			case "request":
				m.ReceiptWanted = m.ID != "" // XEP-0184 §5.1: a request without id cannot be answered
			case "received":
				m.Receipt = k.attr("id")
			}
		case nsDelay, nsOldDelay:
			if at, known := parseStamp(k.attr("stamp")); known {
				m.Sent = at
			}
		}
	}
	return m, m.Body != "" || m.Subject != "" || m.State != "" || m.Receipt != "" || m.Failure != nil
}

// eventState reads a message event without a body: composing with an id begins, an id alone ends (XEP-0022).
func eventState(x *element) im.ChatState {
	if x.child(nsEvents, "composing") != nil {
		return im.Composing
	}
	if x.child(nsEvents, "id") != nil {
		return im.Active
	}
	return ""
}

// pick chooses among elements of one name in several languages: the stanza's own language, else the first.
func pick(e *element, name, lang string) *element {
	var first *element
	for _, k := range e.Kids {
		if !k.is(nsServer, name) {
			continue
		}
		if tag := k.attr("xml:lang"); tag == "" || strings.EqualFold(tag, lang) {
			return k
		}
		if first == nil {
			first = k
		}
	}
	return first
}

// parseStamp reads both forms of a delay's time, which is always UTC (XEP-0082, XEP-0091).
func parseStamp(s string) (time.Time, bool) {
	for _, layout := range []string{time.RFC3339Nano, "20060102T15:04:05"} {
		if t, err := time.Parse(layout, s); err == nil {
			return t.UTC(), true
		}
	}
	return time.Time{}, false
}

// messageXML renders a message stanza.
func messageXML(m im.Message) []byte {
	w := &writer{b: make([]byte, 0, 256+len(m.Body)+len(m.Body)/8)}
	w.raw("<message").attr("from", translate.JID(m.From)).attr("to", translate.JID(m.To)).attr("id", m.ID)
	switch {
	case m.Failure != nil:
		w.raw(" type='error'")
	case !m.Normal:
		w.raw(" type='chat'")
	}
	w.attr("xml:lang", m.Lang).raw(">")
	if m.Subject != "" {
		w.leaf("subject", m.Subject)
	}
	if m.Body != "" {
		w.leaf("body", m.Body)
		if m.HTML != "" && m.Failure == nil {
			w.xhtml(m.HTML)
		}
	}
	if m.Thread != "" {
		w.leaf("thread", m.Thread)
	}
	if m.Failure != nil {
		w.failure(m.Failure)
		return w.raw("</message>").b
	}
	if m.State != "" {
		w.raw("<").raw(string(m.State)).raw(" xmlns='").raw(nsStates).raw("'/>")
	}
	if m.ReceiptWanted && m.ID != "" {
		w.raw("<request xmlns='urn:xmpp:receipts'/>")
	}
	if m.Receipt != "" {
		w.raw("<received xmlns='urn:xmpp:receipts'").attrAlways("id", m.Receipt).raw("/>")
	}
	if !m.Sent.IsZero() {
		w.raw("<delay xmlns='urn:xmpp:delay'").attr("from", translate.DisplayDomain(m.From.Domain))
		w.attr("stamp", m.Sent.UTC().Format("2006-01-02T15:04:05Z")).raw("/>")
	}
	return w.raw("</message>").b
}
