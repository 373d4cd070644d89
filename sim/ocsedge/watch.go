package ocsedge

import (
	"mime"
	"slices"
	"strconv"
	"strings"
	"time"

	"fedlab/sim/trace"
)

// watch is a user's subscription to a peer's presence, as the pool sends it for a client.
type watch struct {
	*dialog
	refresh  *timer
	expiry   *timer
	active   bool   // "subscribed" was shown
	state    string // last shown
	benotify bool   // the peer granted BENOTIFY
	ended    bool
	farewell bool // the last SUBSCRIBE was sent
	expires  int  // as asked
}

// watch subscribes afresh.
func (e *Edge) watch(u *user, peer string) {
	w := &watch{dialog: e.newDialog(u, peer)}
	w.inside = w.requested
	u.watches = append(u.watches, w)
	w.routes = e.recordRoutes()
	w.subscribe(subscriptionTime)
}

// subscribe sends a SUBSCRIBE: the first, a refresh, or with 0 the last.
func (w *watch) subscribe(expires int) {
	e := w.e
	if expires == 0 {
		if w.farewell {
			return
		}
		w.farewell = true
	}
	first := w.target == ""
	target, ok := e.nextHop(w.peer)
	if !ok {
		e.log(reason{1005, "0xC3E93C5E", "SIPPROXY_E_ROUTING", "cannot route to the destination domain: it is not on the Allow list and partner discovery is off"}, "SUBSCRIBE to %s", w.peer)
		w.refused(504, 0)
		return
	}
	m := w.compose("SUBSCRIBE")
	m.add("Event", "presence")
	m.add("Accept", "application/msrtc-event-categories+xml, text/xml+msrtc.pidf, application/xpidf+xml, application/pidf+xml, application/rlmi+xml, multipart/related")
	m.add("Supported", "ms-piggyback-first-notify")
	m.add("Supported", "ms-benotify")
	m.add("Proxy-Require", "ms-benotify")
	if expires != subscriptionTime || !e.quirks.WithoutExpires {
		m.add("Expires", strconv.Itoa(expires))
	}
	if e.quirks.CategoryList {
		m.add("Require", "adhoclist, categoryList")
		m.add("Supported", "eventlist")
		m.add("Content-Type", "application/msrtc-adrl-categorylist+xml")
		m.body = []byte(`<batchSub xmlns="http://schemas.microsoft.com/2006/01/sip/batch-subscribe" uri="sip:` + escape(w.u.Address) + `" name=""><action name="subscribe" id="1"><adhocList><resource uri="sip:` + escape(w.peer) + `"/></adhocList><categoryList xmlns="http://schemas.microsoft.com/2006/09/sip/categorylist"><category name="calendarData"/><category name="contactCard"/><category name="note"/><category name="state"/></categoryList></action></batchSub>`)
	}
	w.expires = expires
	done := func(m *message, err error) { w.answered(m, err, expires) }
	if first {
		w.ask(target, m, transactionTime, done)
		return
	}
	w.request(m, transactionTime, done)
}

// answered takes the answer to a SUBSCRIBE.
func (w *watch) answered(m *message, err error, asked int) {
	e := w.e
	if m == nil || m.status >= 300 {
		status := e.statusOf(m, err, "SUBSCRIBE to "+w.peer)
		after := 0
		if m != nil {
			after = retryAfter(m.get("Retry-After"))
		}
		if !w.ended {
			w.refused(status, after)
		}
		return
	}
	if asked == 0 {
		return
	}
	l := e.linkTo(w.peer)
	raw := m.bytes()
	if w.target == "" || w.remote == "<sip:"+w.peer+">" {
		w.remote = m.get("To")
		if l != nil {
			w.aim(e.judgeContact(l, m, raw))
		} else {
			w.aim(e.judgeContactQuietly(m))
		}
	}
	expires, err := strconv.Atoi(m.get("Expires"))
	if l != nil && (err != nil || expires > asked || expires <= 0) {
		e.unexpected(l, raw, "Expires %q in the answer to a SUBSCRIBE for %d s", m.get("Expires"), asked) // RFC 3265 §3.1.1
	}
	if err != nil || expires <= 0 {
		expires = asked
	}
	w.benotify = w.benotify || m.lists("Supported", "ms-benotify")
	if len(m.body) > 0 && l != nil {
		if !m.lists("Supported", "ms-piggyback-first-notify") {
			e.unexpected(l, raw, "a document in the answer to a SUBSCRIBE, without Supported: ms-piggyback-first-notify")
		}
		w.show(l, m, raw)
	}
	if w.ended { // taken off the list meanwhile
		w.subscribe(0)
		return
	}
	w.live(expires)
}

// retryAfter reads the seconds of a Retry-After, which may be followed by a comment and parameters (RFC 3261 §20.33).
func retryAfter(v string) int {
	if i := strings.IndexFunc(v, func(r rune) bool { return r < '0' || r > '9' }); i >= 0 {
		v = v[:i]
	}
	n, _ := strconv.Atoi(v)
	return n
}

// live schedules the refresh: two minutes before the end of a long subscription (code).
func (w *watch) live(expires int) {
	d := time.Duration(expires) * time.Second
	w.refresh.stop()
	w.expiry.stop()
	before := d / 2
	if expires > 240 {
		before = 2 * time.Minute
	}
	w.refresh = w.e.after(d-before, func() { w.subscribe(subscriptionTime) })
	w.expiry = w.e.after(d+transactionTime, func() { w.lost() })
}

// lost: the subscription ran out without a refresh; nobody knows how the peer is.
func (w *watch) lost() {
	w.changed("unavailable", "")
	w.again(0)
}

// refused: a SUBSCRIBE failed.
func (w *watch) refused(status, after int) {
	switch {
	case status == 481 || status == 408 || status >= 500 && status < 600:
		// The dialog is gone or the way is: afresh, later. How long a pool waits is not known.
		wait := time.Duration(after) * time.Second
		if after == 0 && status != 481 {
			wait = 5 * time.Minute
		}
		w.changed("unavailable", "")
		w.again(wait)
	default:
		w.end()
		w.u.show(w.peer, trace.Item{Type: trace.Subscription, State: "unsubscribed", Code: status})
	}
}

// again subscribes afresh after a while.
func (w *watch) again(wait time.Duration) {
	if w.ended {
		return
	}
	w.end()
	w.e.after(wait, func() {
		if w.u.watching(w.peer) == nil && w.u.State != Left {
			w.e.watch(w.u, w.peer)
			if n := w.u.watching(w.peer); n != nil {
				n.active, n.state = w.active, w.state
			}
		}
	})
}

// end forgets the subscription, but for what is still to come in its dialog.
func (w *watch) end() {
	w.ended = true
	w.refresh.stop()
	w.expiry.stop()
	w.u.watches = slices.DeleteFunc(w.u.watches, func(o *watch) bool { return o == w })
	w.e.after(transactionTime, func() { w.e.removeDialog(w.dialog) })
}

// requested takes what the peer sends inside the subscription.
func (w *watch) requested(a *ask) {
	e, m := w.e, a.m
	best := m.method == "BENOTIFY"
	answer := func(status int) {
		if !best { // MS-SIP §3.5: a BENOTIFY is never answered
			e.answer(a, status)
		}
	}
	switch {
	case m.method != "NOTIFY" && !best:
		e.unexpected(a.l, a.raw, "%s inside a subscription", m.method)
		e.answer(a, 405, field{"Allow", allowed})
		return
	case best && !w.benotify:
		e.unexpected(a.l, a.raw, "BENOTIFY that was not granted in the answer to the SUBSCRIBE")
	}
	if !strings.EqualFold(m.get("Event"), "presence") {
		e.unexpected(a.l, a.raw, "NOTIFY with Event %q", m.get("Event")) // RFC 3265 §3.2.2
		answer(489)
		return
	}
	state, params, _ := strings.Cut(m.get("Subscription-State"), ";")
	state = strings.ToLower(strings.TrimSpace(state))
	switch state {
	case "active", "pending", "terminated":
	default:
		e.unexpected(a.l, a.raw, "NOTIFY with Subscription-State %q", m.get("Subscription-State")) // RFC 3265 §3.2.4
		answer(400)
		return
	}
	if w.target == "" { // it overtook the answer to the SUBSCRIBE (RFC 3265 §3.3.4)
		w.aim(e.judgeContact(a.l, m, a.raw))
		w.remote = m.get("From")
	}
	answer(200)
	if w.ended {
		return
	}
	if state == "active" && !w.active {
		w.active = true
		w.u.show(w.peer, trace.Item{Type: trace.Subscription, State: "subscribed"})
	}
	if len(m.body) > 0 {
		w.show(a.l, m, a.raw)
	}
	if state != "terminated" {
		if v, ok := param(params, "expires"); ok {
			if n, err := strconv.Atoi(v); err != nil || n < 0 || n > w.expires {
				e.unexpected(a.l, a.raw, "Subscription-State %q after asking for %d s", m.get("Subscription-State"), w.expires)
			} else {
				w.live(max(n, 1))
			}
		}
		return
	}
	why, _ := param(";"+params, "reason")
	switch strings.ToLower(why) {
	case "rejected", "noresource":
		w.end()
		w.u.show(w.peer, trace.Item{Type: trace.Subscription, State: "unsubscribed"})
	default: // RFC 3265 §3.2.4: deactivated and timeout mean at once, probation and giveup after retry-after
		after, _ := param(";"+params, "retry-after")
		n, _ := strconv.Atoi(after)
		if n == 0 && why != "deactivated" && why != "timeout" {
			n = 300
		}
		w.changed("unavailable", "")
		w.again(time.Duration(n) * time.Second)
	}
}

// show reads a document and shows what changed.
func (w *watch) show(l *link, m *message, raw []byte) {
	kind, _, _ := mime.ParseMediaType(m.get("Content-Type"))
	if kind != typePIDF {
		w.e.unexpected(l, raw, "presence of type %q", m.get("Content-Type"))
		return
	}
	entity, state, note, err := readPIDF(m.body)
	if err != nil {
		w.e.unexpected(l, raw, "presence: %v", err)
		return
	}
	if entity != w.peer {
		w.e.unexpected(l, raw, "presence of %q in a subscription to %q", entity, w.peer)
		return
	}
	w.changed(state, note)
}

func (w *watch) changed(state, note string) {
	if shown := state + "\x00" + note; shown != w.state {
		if w.state == "" && state == "unavailable" && !w.active {
			return // nothing was known, and nothing is
		}
		w.state = shown
		w.u.show(w.peer, trace.Item{Type: trace.Presence, State: state, Body: note})
	}
}

// linkTo is the connection on which requests for a peer's domain go at present, nil if there is none.
func (e *Edge) linkTo(peer string) *link {
	next, _ := e.nextHop(peer)
	if h := e.hops[next]; h != nil {
		return h.link
	}
	return nil
}
