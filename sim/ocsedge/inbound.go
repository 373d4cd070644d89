package ocsedge

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"fedlab/sim/trace"
)

// reasons are the reason phrases as an Edge writes them; "Server time-out" has a hyphen and a small t (trace).
var reasons = map[int]string{
	100: "Trying", 101: "Progress Report", 180: "Ringing", 200: "OK", 202: "Accepted", 400: "Bad request", 403: "Forbidden", 404: "Not Found",
	405: "Method Not Allowed", 406: "Not Acceptable", 408: "Request Timeout", 415: "Unsupported Media Type", 480: "Temporarily Unavailable",
	481: "Call Leg/Transaction Does Not Exist", 483: "Too Many Hops", 486: "Busy Here", 487: "Request Terminated", 488: "Not Acceptable Here",
	489: "Bad Event", 500: "Server Internal Error", 503: "Service Unavailable", 504: "Server time-out", 603: "Decline",
}

// ask is a request of the peer that has to be answered.
type ask struct {
	l       *link
	m       *message
	raw     []byte
	from    address
	to      address
	tag     string // of our side, in To
	epid    string
	done    bool
	partner *partner // whose it is, if its domain has no configured next hop
	junk    bool     // malformed: nothing that is sent about it can be expected to be understood
}

// received takes a message off a link.
func (e *Edge) received(l *link, m *message, raw []byte) {
	if l.dropped {
		return
	}
	l.heard = time.Now()
	e.cfg.Trace.Record(trace.Event{Layer: trace.SIP, Kind: trace.Received, Host: e.cfg.Host, From: l.remote, To: l.local, Conn: l.name,
		Summary: m.summary(), Data: raw})
	if m.method == "" {
		e.response(l, m, raw)
		return
	}
	a := &ask{l: l, m: m, raw: raw}
	a.from, _ = parseAddress(m.get("From"))
	if a.partner = e.partnerOf(a.from.uri.domain()); a.partner != nil {
		a.partner.admit(l, func() { e.judge(a) })
		return
	}
	e.judge(a)
}

// judge holds a request against what every request needs, and against who may send it.
func (e *Edge) judge(a *ask) {
	l, m := a.l, a.m
	if l.dropped {
		return
	}
	fault := e.judgeMessage(l, m, a.raw)
	a.to, _ = parseAddress(m.get("To"))
	a.tag = a.to.tag()
	if fault != "" {
		a.junk = true
		if answerable(m) {
			e.answer(a, 400)
		}
		return
	}
	if m.method == "ACK" && e.calls.acked(a) {
		return
	}
	if status := e.gate(a); status != 0 {
		if answerable(m) {
			e.answer(a, status, e.explained(l)...)
			if e.quirks.CloseOnRefusal {
				e.lost(l, errRefused)
			}
		}
		return
	}
	e.dispatch(a)
}

// answerable is false for what is never answered: ACK (RFC 3261 §17.1.1.3), BENOTIFY (MS-SIP §3.5).
func answerable(m *message) bool { return m.method != "ACK" && m.method != "BENOTIFY" }

const errRefused = syntaxError("refused")

// explained are the headers that tell a peer why it was refused: none at the federation boundary, which they never cross; an
// internal server is told (MS-OCER §8.2; that it is told this is inferred).
func (e *Edge) explained(l *link) []field {
	if !l.internal {
		return nil
	}
	return []field{{"ms-diagnostics", `1000;reason="Final handshake failed";source="` + e.cfg.Name + `"`}}
}

// gate is the Edge itself, before the pool: 0, or the status that refuses the request. The order is the product's: trust,
// routing, domains. The peer is told nothing but the status.
func (e *Edge) gate(a *ask) int {
	l, m := a.l, a.m
	domain := a.from.uri.domain()
	peer := fmt.Sprintf("%s From %s; the peer %s has a certificate for %q", m.summary(), domain, hostOf(l.raw.RemoteAddr()), strings.Join(l.names, ", "))
	if l.internal {
		// Field notes, step 5. The internal interface is for the organisation's own servers. That a stranger there gets the same
		// bare 504 as everybody who is not trusted is inferred.
		e.log(reason{1000, "0xC3E93D67", "SIPPROXY_E_ROUTING_MSG_CERT_MISMATCH", "not an internal server, on the internal interface"}, "%s", peer)
		return 504
	}
	if slices.Contains(e.block, domain) {
		e.log(reason{1017, "0xC3E93C5E", "SIPPROXY_E_ROUTING", "the domain is blocked"}, "%s", peer)
		return 403
	}
	next, listed := e.allow[domain]
	switch {
	case a.partner != nil && !slices.ContainsFunc(a.partner.targets, func(t string) bool { return hasName(l.names, t) }):
		e.log(reason{1009, "0xC3E93D6F", "SIPPROXY_E_EPROUTING_MSG_ALLOWED_DOMAIN_NO_SRV_MATCH", fmt.Sprintf("the SRV record of %s names %q", domain, a.partner.targets)}, "%s", peer)
		return 504
	case a.partner != nil:
		if status := a.partner.judge(a); status != 0 {
			return status
		}
	case !listed:
		e.log(reason{1005, "0xC3E93C5E", "SIPPROXY_E_ROUTING", "the domain " + domain + " is not on the Allow list and partner discovery is off"}, "%s", peer)
		return or(e.quirks.UnlistedStatus, 504)
	case !hasName(l.names, nameOf(next)):
		e.log(reason{1010, "0xC3E93D67", "SIPPROXY_E_ROUTING_MSG_CERT_MISMATCH", fmt.Sprintf("the Allow list has %q for %s", nameOf(next), domain)}, "%s", peer)
		return 504
	}
	if m.get("Max-Forwards") == "0" {
		return 483
	}
	if a.tag == "" && len(m.values("Route")) > 0 {
		e.unexpected(l, a.raw, "a Route set outside of a dialog: %q", m.values("Route"))
		e.log(reason{0, "0xC3E93C5E", "SIPPROXY_E_ROUTING", "a Route header from a source that is not trusted"}, "%s", peer)
		return 504
	}
	if !slices.Contains(e.domains, a.to.uri.domain()) {
		e.log(reason{1005, "0xC3E93C5E", "SIPPROXY_E_ROUTING", "the domain " + a.to.uri.domain() + " is not an internal one"}, "%s", peer)
		return or(e.quirks.ForeignStatus, 404)
	}
	if e.quirks.Unavailable && a.tag == "" {
		return 503
	}
	return 0
}

// nameOf is the host of a next hop that may carry a port.
func nameOf(next string) string {
	if i := strings.LastIndexByte(next, ':'); i > 0 {
		return next[:i]
	}
	return next
}

// dispatch hands a request that the Edge let in to who it is for.
func (e *Edge) dispatch(a *ask) {
	switch m := a.m; {
	case m.method == "CANCEL":
		e.cancelled(a)
	case a.tag != "":
		d := e.calls.dialogs[dialogKey(m.get("Call-ID"), a.tag)]
		if d == nil {
			if answerable(m) {
				e.answer(a, 481)
			}
			return
		}
		if status := e.judgeInside(a.l, d, m, a.raw); status != 0 {
			if answerable(m) {
				e.answer(a, status)
			}
			return
		}
		d.inside(a)
	case m.method == "OPTIONS":
		e.answer(a, 200, field{"Allow", allowed})
	case m.method == "INVITE":
		e.invited(a)
	case m.method == "MESSAGE":
		e.paged(a)
	case m.method == "SUBSCRIBE":
		e.subscribed(a)
	case m.method == "BYE" || m.method == "INFO" || m.method == "NOTIFY" || m.method == "BENOTIFY":
		e.unexpected(a.l, a.raw, "%s outside of a dialog", m.method)
		if m.method != "BENOTIFY" {
			e.answer(a, 481)
		}
	default:
		e.unexpected(a.l, a.raw, "%s is not for a federated peer to send", m.method)
		e.answer(a, 405, field{"Allow", allowed})
	}
}

const allowed = "INVITE, BYE, ACK, CANCEL, INFO, MESSAGE, UPDATE, REFER, NOTIFY, BENOTIFY"

// recipient finds the user a request is for, or answers as the pool does.
func (e *Edge) recipient(a *ask) *user {
	u := e.users[a.to.uri.aor()]
	status := 0
	switch {
	case u == nil || u.State == Left:
		status = 404
	case u.State == Offline:
		status = 480
	case u.State == Internal:
		status = 403
	}
	if status != 0 {
		e.answer(a, status)
		return nil
	}
	a.epid = u.epid
	if uri, err := parseURI(a.m.uri); err == nil && uri.aor() != u.Address {
		e.unexpected(a.l, a.raw, "Request-URI %q for To %q", a.m.uri, a.m.get("To"))
	}
	return u
}

// answer sends a response. A final one is sent once.
func (e *Edge) answer(a *ask, status int, fields ...field) { e.answerBody(a, status, nil, fields...) }

func (e *Edge) answerBody(a *ask, status int, body []byte, fields ...field) {
	if a.done {
		return
	}
	a.done = status >= 200
	if a.partner != nil && status >= 400 {
		a.partner.failed++
	}
	m := &message{status: status, reason: reasons[status], body: body}
	for i, v := range a.m.list("Via") {
		if i == 0 {
			// MS-SIPRE: where the request came from, noted in the top Via.
			host, port := hostOf(a.l.raw.RemoteAddr()), portOf(a.l.remote)
			v += ";received=" + host + ";ms-received-port=" + port + ";ms-received-cid=" + e.upper(6)
		}
		m.add("Via", v)
	}
	m.add("From", a.m.get("From"))
	to := a.m.get("To")
	if a.to.tag() == "" && status > 100 {
		if a.tag == "" {
			a.tag = e.upper(32)
		}
		to += ";tag=" + a.tag
		if a.epid != "" {
			to += ";epid=" + a.epid
		}
	}
	m.add("To", to)
	m.add("Call-ID", a.m.get("Call-ID"))
	m.add("CSeq", a.m.get("CSeq"))
	m.fields = append(m.fields, fields...)
	if status == 503 && e.quirks.UnavailableFor > 0 {
		m.add("Retry-After", strconv.Itoa(int(e.quirks.UnavailableFor.Seconds())))
	}
	m.add("Server", e.quirks.server())
	m.finishBody()
	if a.m.method == "INVITE" && status >= 300 && !a.junk {
		e.calls.expectACK(a)
	}
	if e.quirks.ResponseDelay > 0 {
		e.after(e.quirks.ResponseDelay, func() { e.send(a.l, m) })
		return
	}
	e.send(a.l, m)
}

func portOf(address string) string {
	return address[strings.LastIndexByte(address, ':')+1:]
}
