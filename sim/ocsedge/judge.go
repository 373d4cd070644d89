package ocsedge

import (
	"fmt"
	"slices"
	"strings"

	"github.com/emiago/sipgo/sip"

	"fedlab/sim/trace"
)

// unexpected writes down what the peer did wrong. The scenario fails on it.
func (e *Edge) unexpected(l *link, raw []byte, format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	e.cfg.Trace.Record(trace.Event{Layer: trace.SIP, Kind: trace.Unexpected, Host: e.cfg.Host, From: l.remote, To: l.local, Conn: l.name,
		Summary: text, Data: raw})
	e.slog.Warn("unexpected", "what", text, "bytes", string(raw))
}

// judgeMessage holds a message against what every message needs (RFC 3261 §8.1.1, §8.2.6, §20). It returns what the answer 400
// says, "" if the message can be worked with.
func (e *Edge) judgeMessage(l *link, m *message, raw []byte) string {
	// A second opinion: what the gateway writes has to be read by others as well.
	if _, err := sip.ParseMessage(raw); err != nil {
		e.unexpected(l, raw, "another parser cannot read it: %v", err)
	}
	for _, name := range []string{"From", "To", "Call-ID", "CSeq"} {
		if n := len(m.values(name)); n != 1 {
			e.unexpected(l, raw, "%d lines of %s", n, name)
			return "Missing or repeated " + name
		}
	}
	if len(m.values("Via")) == 0 {
		e.unexpected(l, raw, "no Via")
		return "Missing Via"
	}
	_, method, ok := m.cseq()
	if !ok || (m.method != "" && method != m.method) {
		e.unexpected(l, raw, "CSeq %q", m.get("CSeq"))
		return "Bad CSeq"
	}
	from, err := parseAddress(m.get("From"))
	if err != nil || from.tag() == "" {
		e.unexpected(l, raw, "From %q: %v", m.get("From"), or[any](err, "no tag"))
		return "Bad From"
	}
	to, err := parseAddress(m.get("To"))
	if err != nil {
		e.unexpected(l, raw, "To %q: %v", m.get("To"), err)
		return "Bad To"
	}
	if m.status > 100 && to.tag() == "" {
		e.unexpected(l, raw, "a response without a tag in To") // RFC 3261 §8.2.6.2
	}
	if m.method == "" {
		return ""
	}
	if v := m.values("Max-Forwards"); len(v) != 1 {
		e.unexpected(l, raw, "%d lines of Max-Forwards", len(v)) // RFC 3261 §8.1.1.6
	}
	via := m.list("Via")[0]
	if !strings.HasPrefix(via, "SIP/2.0/TLS ") {
		e.unexpected(l, raw, "Via %q on a TLS connection", via)
	}
	if b, _ := param(via, "branch"); !strings.HasPrefix(b, "z9hG4bK") || len(b) == len("z9hG4bK") {
		e.unexpected(l, raw, "Via %q has no branch", via) // RFC 3261 §8.1.1.7
	} else if key := b + " " + m.method; l.seen.has(key) {
		e.unexpected(l, raw, "the same transaction again, over a reliable transport") // RFC 3261 §17.1.1.2
	} else {
		l.seen.add(key)
	}
	if _, err := parseURI(m.uri); err != nil {
		e.unexpected(l, raw, "Request-URI: %v", err)
		return "Bad Request-URI"
	}
	for _, rr := range m.list("Record-Route") {
		if a, err := parseAddress(rr); err != nil || a.uri.numeric() {
			e.unexpected(l, raw, "Record-Route %q is not a name", rr) // trace: a Lync server ignores it and sends nothing in the dialog
		}
	}
	if formsDialog(m.method) {
		e.judgeContact(l, m, raw)
	}
	return ""
}

func formsDialog(method string) bool { return method == "INVITE" || method == "SUBSCRIBE" }

// judgeContact looks at the address at which the peer wants to be reached inside the dialog. It returns its URI, and whether
// an Edge would use it: a name, not an address (trace of a Lync server).
func (e *Edge) judgeContact(l *link, m *message, raw []byte) (string, bool) {
	contacts := m.list("Contact")
	if len(contacts) != 1 {
		e.unexpected(l, raw, "%d contacts in %s", len(contacts), m.summary())
		return "", false
	}
	a, err := parseAddress(contacts[0])
	if err != nil {
		e.unexpected(l, raw, "Contact %q: %v", contacts[0], err)
		return "", false
	}
	if a.uri.numeric() || !strings.Contains(a.uri.host, ".") {
		e.unexpected(l, raw, "Contact %q is not a fully qualified name", contacts[0])
		return a.whole, false
	}
	return a.whole, true
}

// judgeResponse holds a response against its request (RFC 3261 §8.2.6.2): Via, From, Call-ID and CSeq unchanged, To with no more
// than a tag added, Record-Route mirrored where a dialog is made.
func (e *Edge) judgeResponse(l *link, t *clientTransaction, m *message, raw []byte) {
	if e.judgeMessage(l, m, raw) != "" {
		return
	}
	vias := m.list("Via")
	same := slices.Equal(vias, t.vias)
	if !same && len(vias) == len(t.vias) && slices.Equal(vias[1:], t.vias[1:]) {
		// RFC 3261 §18.2.1: a server may have noted where the request came from.
		same = vias[0] == t.vias[0]+";received="+hostOf(l.raw.LocalAddr())
	}
	if !same {
		e.unexpected(l, raw, "Via is not echoed as it was: %q for %q", vias, t.vias)
	}
	for _, name := range []string{"From", "Call-ID", "CSeq"} {
		if m.get(name) != t.request.get(name) {
			e.unexpected(l, raw, "%s is not echoed as it was: %q for %q", name, m.get(name), t.request.get(name))
		}
	}
	asked, got := t.request.get("To"), m.get("To")
	if rest, ok := strings.CutPrefix(got, asked); !ok || (rest != "" && (!strings.HasPrefix(rest, ";") || strings.Contains(asked, ";tag="))) {
		e.unexpected(l, raw, "To is not echoed as it was: %q for %q", got, asked)
	}
	if formsDialog(t.request.method) && m.status > 100 && m.status < 300 {
		want := t.request.list("Record-Route")
		if got := m.list("Record-Route"); !slices.Equal(got, want) && (m.status >= 200 || len(got) > 0) {
			e.unexpected(l, raw, "Record-Route is not mirrored as it was: %q for %q", got, want) // RFC 3261 §12.1.1
		}
	}
}

// judgeInside holds a request against the dialog it belongs to (RFC 3261 §12.2). It returns 0, or the status to refuse it with.
func (e *Edge) judgeInside(l *link, d *dialog, m *message, raw []byte) int {
	status := 0
	if routes := m.list("Route"); !slices.Equal(routes, d.routes) {
		e.unexpected(l, raw, "the Route set is not the recorded one: %q for %q", routes, d.routes)
		e.log(reason{1004, "0xC3E93C5E", "SIPPROXY_E_ROUTING", "the route set is no longer valid"}, "%s from %s", m.method, hostOf(l.raw.RemoteAddr()))
		status = or(e.quirks.ChangedRouteStatus, 504)
	}
	if m.uri != d.contact {
		e.unexpected(l, raw, "the Request-URI is not the whole contact: %q for %q", m.uri, d.contact)
		status = or(status, 404)
	}
	from, _ := parseAddress(m.get("From"))
	to, _ := parseAddress(m.get("To"))
	if remote, err := parseAddress(d.remote); err == nil && ((remote.tag() != "" && from.tag() != remote.tag()) || from.uri.aor() != remote.uri.aor()) {
		e.unexpected(l, raw, "From %q in a dialog with %q", m.get("From"), d.remote)
		status = or(status, 481)
	}
	if local, err := parseAddress(d.local); err == nil {
		want, _ := param(local.params, "epid")
		if got, _ := param(to.params, "epid"); got != want {
			e.unexpected(l, raw, "To %q without the epid of %q", m.get("To"), d.local)
		}
	}
	n, _, _ := m.cseq()
	switch {
	case m.method == "ACK" || m.method == "CANCEL":
		if n != d.inviteSeq {
			e.unexpected(l, raw, "%s with CSeq %d for the INVITE %d", m.method, n, d.inviteSeq)
		}
	case n <= d.remoteSeq && d.remoteSeq != 0:
		e.unexpected(l, raw, "CSeq %d after %d", n, d.remoteSeq) // RFC 3261 §12.2.2
		status = or(status, 500)
	default:
		d.remoteSeq = n
	}
	return status
}
