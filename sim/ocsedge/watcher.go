package ocsedge

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"fedlab/sim/trace"
)

// watcher is a peer's subscription to a user's presence.
type watcher struct {
	*dialog
	kind     string // content type
	benotify bool
	expiry   *timer
	until    time.Time
	ended    bool
}

// subscribed takes a SUBSCRIBE of the peer that begins a subscription.
func (e *Edge) subscribed(a *ask) {
	u := e.users[a.to.uri.aor()]
	switch {
	case u == nil || u.State == Left:
		e.answer(a, 404)
		return
	case u.State == Internal:
		e.answer(a, 403)
		return
	}
	if !strings.EqualFold(a.m.get("Event"), "presence") {
		e.unexpected(a.l, a.raw, "SUBSCRIBE for Event %q", a.m.get("Event"))
		e.answer(a, 489)
		return
	}
	kind := chooseType(a.m)
	if kind == "" {
		e.unexpected(a.l, a.raw, "SUBSCRIBE whose Accept has none of the server's types: %q", a.m.get("Accept"))
		e.answer(a, 406)
		return
	}
	peer := a.from.uri.aor()
	if e.quirks.RejectsBlocked && u.consents[peer] == blocked {
		e.answer(a, 403)
		return
	}
	a.tag = e.upper(8)
	d := e.accepted(a, u)
	d.contact = "sip:pool01." + e.domains[0] + ":5061;transport=tls" // without a user part (MS-PRES §4.11)
	w := &watcher{dialog: d, kind: kind, benotify: a.m.lists("Supported", "ms-benotify")}
	w.inside = w.requested
	u.watchers = append(u.watchers, w)
	if _, known := u.consents[peer]; !known {
		u.consents[peer] = undecided
		if slices.Contains(lower(u.Contacts), peer) {
			u.consents[peer] = granted
		} else {
			u.show(peer, trace.Item{Type: trace.Subscription, State: "subscribe"}) // "added you to his contact list"
		}
	}
	w.grant(a)
}

// chooseType picks the document: the first of the server's own order that stands in Accept (MS-PRES §1.3.3).
func chooseType(m *message) string {
	for _, kind := range []string{typeCategories, typeMSRTC, typePIDF} {
		if m.lists("Accept", kind) {
			return kind
		}
	}
	if len(m.values("Accept")) == 0 {
		return typePIDF // RFC 3856 §6.7
	}
	return ""
}

// grant answers a SUBSCRIBE, the first or a refresh, and sends the document.
func (w *watcher) grant(a *ask) {
	e := w.e
	seconds := subscriptionTime + e.rand.IntN(600) // a little over 8 h (MS-PRES §4.11)
	if v := a.m.get("Expires"); v != "" {
		n, err := strconv.ParseUint(v, 10, 31)
		if err != nil {
			e.unexpected(a.l, a.raw, "Expires %q", v)
			e.answer(a, 400)
			return
		}
		seconds = min(seconds, int(n))
	}
	w.until = time.Now().Add(time.Duration(seconds) * time.Second)
	w.expiry.stop()
	fields := append(w.mirror(), field{"Contact", "<" + w.contact + ">"}, field{"Expires", strconv.Itoa(seconds)}, field{"Event", "presence"})
	if w.benotify {
		fields = append(fields, field{"Supported", "ms-benotify"})
	}
	piggyback := a.m.lists("Supported", "ms-piggyback-first-notify") && seconds > 0
	if piggyback {
		fields = append(fields, field{"Supported", "ms-piggyback-first-notify"}, field{"ms-piggyback-cseq", "1"},
			field{"subscription-state", w.active()}, field{"Content-Type", w.kind})
		e.answerBody(a, 200, w.u.document(w.kind, w.seen(), time.Now()), fields...)
	} else {
		e.answer(a, 200, fields...)
	}
	if seconds == 0 {
		w.notify("terminated;reason=timeout") // RFC 3265 §3.1.4.3
		w.end()
		return
	}
	w.expiry = e.after(time.Duration(seconds)*time.Second, func() {
		w.notify("terminated;reason=timeout")
		w.end()
	})
	if !piggyback {
		w.notify(w.active())
	}
}

// active is the Subscription-State at present.
func (w *watcher) active() string {
	state := "active"
	if w.e.quirks.AsksFirst && w.u.consents[w.peer] == undecided {
		state = "pending"
	}
	return fmt.Sprintf("%s;expires=%d", state, int(max(0, time.Until(w.until)).Round(time.Second)/time.Second))
}

// seen is what this watcher may see: availability without a note, as container 100 shows it, or nothing at all.
func (w *watcher) seen() status {
	u := w.u
	s := u.published
	if !w.e.quirks.ShowsNotes {
		s.note = ""
	}
	if u.State == Offline || u.State == Left || u.consents[w.peer] == blocked || (w.e.quirks.AsksFirst && u.consents[w.peer] == undecided) {
		s = status{availability: 18500}
	}
	return s
}

// notify sends a NOTIFY, or a BENOTIFY if the watcher asked for that.
func (w *watcher) notify(state string) {
	if w.ended {
		return
	}
	e, method := w.e, "NOTIFY"
	if w.benotify {
		method = "BENOTIFY"
	}
	m := w.compose(method)
	m.add("Event", "presence")
	m.add("Subscription-State", state)
	if !strings.HasPrefix(state, "terminated") {
		m.add("Content-Type", w.kind)
		m.body = w.u.document(w.kind, w.seen(), time.Now())
	}
	if w.benotify {
		w.sendAndForget(m)
		return
	}
	w.request(m, transactionTime, func(m *message, err error) {
		if m != nil && m.status < 300 {
			return
		}
		e.statusOf(m, err, "NOTIFY to "+w.peer)
		if m == nil || m.status == 481 || m.get("Retry-After") == "" { // RFC 3265 §3.2.2
			w.end()
		}
	})
}

func (w *watcher) end() {
	if w.ended {
		return
	}
	w.ended = true
	w.expiry.stop()
	w.u.watchers = slices.DeleteFunc(w.u.watchers, func(o *watcher) bool { return o == w })
	w.e.removeDialog(w.dialog)
}

// requested takes what the peer sends inside the subscription: refreshes and the end.
func (w *watcher) requested(a *ask) {
	if a.m.method != "SUBSCRIBE" {
		w.e.unexpected(a.l, a.raw, "%s inside a subscription", a.m.method)
		w.e.answer(a, 405, field{"Allow", allowed})
		return
	}
	if kind := chooseType(a.m); kind != w.kind {
		w.e.unexpected(a.l, a.raw, "a refresh whose Accept is another: %q", a.m.get("Accept")) // MS-PRES §1.3.3
	}
	w.aim(w.e.judgeContact(a.l, a.m, a.raw))
	w.grant(a)
}
