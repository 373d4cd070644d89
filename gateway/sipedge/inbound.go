package sipedge

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"fedlab/gateway/im"
	"fedlab/gateway/session"
	"fedlab/gateway/translate"
)

// answerWithin is how long a MESSAGE may wait for its outcome. The peer's transaction ends after 32 seconds (RFC 3261 Timer F);
// what is not known by then is answered 202, and a failure that comes later is shown in the session.
const answerWithin = 28 * time.Second

// arrived handles a request of a peer, in the order of its link. It does not block.
func (e *Edge) arrived(in *inbound) {
	if in.version != "SIP/2.0" {
		in.respond(505, "Version Not Supported")
		return
	}
	if why := in.malformed(); why != "" {
		in.respond(400, "Bad Request: "+why)
		return
	}
	if !strings.EqualFold(in.message.method, in.method) {
		in.respond(400, "Bad Request: CSeq names another method")
		return
	}
	switch in.method {
	case "NEGOTIATE": // compression, hop by hop and with Max-Forwards 0: refused, which every peer survives. [MS-SIPCOMP]
		in.respond(405, "Method Not Allowed", field{"Allow", allow})
		return
	case "OPTIONS": // RFC 3261 §11.2: the answer says what an INVITE would have met
		if !in.understood() {
			return
		}
		if domain := uriHost(in.uri); !e.isUs(in.uri) && !e.foreign(domain) && !isAddress(domain) {
			in.respond(404, "Not Found: "+domain+" is not served here")
			return
		}
		in.respond(200, "OK", field{"Contact", e.contact()}, field{"Allow", allow}, field{"Accept", "application/sdp, " + readable})
		return
	}
	if !e.passable(in) {
		return
	}
	switch in.method {
	case "INVITE":
		e.onInvite(in)
	case "MESSAGE":
		e.onMessage(in)
	case "SUBSCRIBE":
		e.onSubscribe(in)
	case "NOTIFY", "BENOTIFY":
		e.onNotify(in)
	case "INFO":
		e.inDialog(in, e.onInfo)
	case "UPDATE":
		e.inDialog(in, func(in *inbound, d *dialog) {
			d.refresh(in.message)
			in.respond(200, "OK", field{"Contact", e.contact()}, field{"Allow", allow})
		})
	case "BYE":
		e.inDialog(in, func(in *inbound, d *dialog) {
			in.respond(200, "OK")
			d.ackOnce.Do(func() { close(d.acked) })
			d.conv.forget(d)
			d.conv.step(session.Ended{Dialog: d.id})
		})
	case "CANCEL":
		// INVITEs are answered at once, so it always comes too late for one. RFC 3261 §9.2
		if d := e.dialogOfInvite(in); d != nil {
			in.respond(200, "OK")
		} else {
			in.respond(481, "Call/Transaction Does Not Exist")
		}
	default:
		in.respond(405, "Method Not Allowed", field{"Allow", allow})
	}
}

// passable makes the checks that every request for a person has to pass; it answers those that do not.
func (e *Edge) passable(in *inbound) bool {
	if v := in.get("max-forwards"); v != "" {
		if n, err := strconv.Atoi(v); err != nil || n < 0 {
			in.respond(400, "Bad Request: bad Max-Forwards")
			return false
		} else if n == 0 {
			in.respond(483, "Too Many Hops")
			return false
		}
	}
	for _, raw := range in.vias {
		if v, ok := parseVia(raw); ok && v.host == e.hostname && (v.port == e.port() || v.port == 0) {
			in.respond(482, "Loop Detected") // RFC 3261 §16.3: it has been here before
			return false
		}
	}
	for i, route := range in.list("route") { // RFC 3261 §16.4: what names us has done its work; we are no proxy for the rest
		if i > 0 || !e.isUs(parseNameAddr(route).uri) {
			in.respond(403, "Forbidden: this is not a proxy")
			return false
		}
	}
	if !in.understood() {
		return false
	}
	from, err := translate.ParseSIP(in.from.uri)
	if err != nil {
		in.respond(badAddress("From", err))
		return false
	}
	if !in.link.speaksFor(from.Domain) {
		in.respond(403, "Forbidden: "+from.Domain+" is not behind this connection")
		return false
	}
	to, err := translate.ParseSIP(in.to.uri)
	if err != nil {
		in.respond(badAddress("To", err))
		return false
	}
	if !e.foreign(to.Domain) {
		in.respond(404, "Not Found: "+to.Domain+" is not served here")
		return false
	}
	return true
}

// understood refuses extensions that are required and not known, and Request-URIs of other schemes.
func (in *inbound) understood() bool {
	// An OCS client's SUBSCRIBE may require what its own server has done for it (adhoclist, categoryList): we tell what we have.
	if tags := in.list("require"); len(tags) > 0 && in.method != "SUBSCRIBE" {
		in.respond(420, "Bad Extension", field{"Unsupported", strings.Join(tags, ", ")})
		return false
	}
	if scheme, _, _ := strings.Cut(in.uri, ":"); !strings.EqualFold(scheme, "sip") { // sips: RFC 7247 §8
		in.respond(416, "Unsupported URI Scheme")
		return false
	}
	return true
}

func badAddress(header string, err error) (int, string) {
	if errors.Is(err, translate.ErrSecureOnly) {
		return 416, "Unsupported URI Scheme"
	}
	return 400, "Bad Request: the address in " + header + " cannot be used"
}

// uriHost is the host of a URI, without user, port and parameters, in lower case.
func uriHost(uri string) string {
	_, rest, _ := strings.Cut(strings.ToLower(uri), ":")
	rest, _, _ = strings.Cut(rest, ";")
	if _, host, found := strings.Cut(rest, "@"); found {
		rest = host
	}
	if host, _, err := net.SplitHostPort(rest); err == nil {
		return host
	}
	return strings.Trim(rest, "[]")
}

// isAddress reports whether a host is an address instead of a name.
func isAddress(host string) bool {
	_, err := netip.ParseAddr(host)
	return err == nil
}

// isUs reports whether a URI is our own.
func (e *Edge) isUs(uri string) bool {
	rest, ok := strings.CutPrefix(strings.ToLower(uri), "sip:")
	if !ok {
		return false
	}
	rest, _, _ = strings.Cut(rest, ";")
	_, host, found := strings.Cut(rest, "@")
	if !found {
		host = rest
	}
	return host == e.hostname || host == e.hostname+":"+strconv.Itoa(e.port())
}

// speaksFor reports whether requests of this domain's users may come on this link.
func (l *link) speaksFor(domain string) bool {
	for _, h := range l.hops {
		if h.domains[domain] {
			return true
		}
	}
	return false
}

// hopFor is the next hop of a domain among those of the link.
func (l *link) hopFor(domain string) *hop {
	for _, h := range l.hops {
		if h.domains[domain] {
			return h
		}
	}
	return nil
}

// inDialog handles a request that must belong to a dialog.
func (e *Edge) inDialog(in *inbound, handle func(*inbound, *dialog)) {
	d := e.dialogFor(in)
	if d == nil {
		in.respond(481, "Call/Transaction Does Not Exist")
		return
	}
	if !d.inOrder(in.cseq) {
		in.respond(500, "Server Internal Error: CSeq out of order") // RFC 3261 §12.2.2
		return
	}
	d.conv.step(session.Active{Dialog: d.id})
	handle(in, d)
}

// dialogFor finds the dialog a request belongs to, and makes sure that it comes from the dialog's peer.
func (e *Edge) dialogFor(in *inbound) *dialog {
	d := e.dialog(in.callID, in.to.param("tag"))
	if d == nil {
		return nil
	}
	d.mu.Lock()
	peer := parseNameAddr(d.remote).param("tag")
	d.mu.Unlock()
	if peer != in.from.param("tag") || !in.link.speaksFor(d.conv.key.sip.Domain) {
		return nil
	}
	return d
}

// dialogOfInvite finds the dialog whose INVITE has this request's Call-ID and From tag.
func (e *Edge) dialogOfInvite(in *inbound) *dialog {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, d := range e.byCall[in.callID] {
		if !d.ours && parseNameAddr(d.remote).param("tag") == in.from.param("tag") {
			return d
		}
	}
	return nil
}

// people are the two whom a request that passed is about.
func (in *inbound) people() (from, to im.Address) {
	from, _ = translate.ParseSIP(in.from.uri)
	to, _ = translate.ParseSIP(in.to.uri)
	return from, to
}

func (e *Edge) onInvite(in *inbound) {
	from, to := in.people()
	if from.Local == "" || to.Local == "" {
		in.respond(404, "Not Found")
		return
	}
	if in.to.param("tag") != "" {
		e.onReinvite(in)
		return
	}
	if multiParty(in.message) {
		in.respond(488, "Not Acceptable Here: one-to-one conversations only")
		return
	}
	if e.notAcceptable(in) {
		return
	}
	hop := in.link.hopFor(from.Domain)
	e.with(pair{to.Bare(), from.Bare()}, hop, func(c *conversation) []func() {
		c.pending = in
		return c.stepLocked(session.Invited{})
	}, func() { in.respond(500, "Server Internal Error: the gateway is full") })
}

// onReinvite answers a re-INVITE, which OCS and session timers use to refresh a session. One that adds media is refused and
// changes nothing.
func (e *Edge) onReinvite(in *inbound) {
	e.inDialog(in, func(in *inbound, d *dialog) {
		if e.notAcceptable(in) {
			return
		}
		d.refresh(in.message)
		d.conv.answerInvite(in)
	})
}

// badOffer says what is wrong with an INVITE's offer, and the code that says it in a Warning. None at all is right: ours goes into the
// 200. RFC 3261 §13.3.1.3, §20.43
func badOffer(in *inbound) (warn int, why string) {
	if len(in.body) == 0 {
		return 0, ""
	}
	if in.contentType() != "application/sdp" {
		return 399, "the offer is no SDP"
	}
	switch message, msrp, other := sdpMedia(in.body); {
	case !message && msrp:
		return 302, "messages are taken as SIP MESSAGE in the session, not by another transport"
	case !message:
		return 304, "no message session is offered"
	case other:
		return 304, "only a message session can be had"
	}
	return 0, ""
}

// notAcceptable refuses an INVITE for its offer; false if there is nothing wrong with it.
func (e *Edge) notAcceptable(in *inbound) bool {
	warn, why := badOffer(in)
	if why != "" {
		in.respond(488, "Not Acceptable Here: "+why, field{"Warning", fmt.Sprintf("%d %s %q", warn, e.hostname, why)})
	}
	return why != ""
}

// multiParty recognises conferences, which a one-to-one gateway must not join half. SIPE does the same
func multiParty(m *message) bool {
	return len(m.list("endpoints")) > 2 || strings.EqualFold(m.get("triggeredinvite"), "TRUE")
}
