package sipedge

import (
	"fmt"
	"hash/fnv"
	"strconv"
	"strings"
	"sync"
	"time"

	"fedlab/gateway/pidf"
	"fedlab/gateway/presence"
	"fedlab/gateway/translate"

	"github.com/emiago/sipgo/sip"
)

// watching is an XMPP user who watches a SIP user: the SUBSCRIBE dialog that we hold for him. Package presence decides.
type watching struct {
	e   *Edge
	key pair
	hop *hop

	mu     sync.Mutex
	state  presence.Watch
	forgot bool
	dialog *dialog // of the subscription; nil if there is none
	alarm  alarm

	// What the XMPP user is told waits here, in order, while a change of his permission is on its way to the disk: who was told
	// that he may watch still may after a crash.
	tells   []presence.Tell
	saving  int
	telling bool // somebody takes them out
}

// watch feeds the machine of a pair; make says whether there may be a new one. It says false if there is none.
func (e *Edge) watch(key pair, make bool, event presence.WatchEvent) bool {
	h := e.byDomain[key.sip.Domain]
	if h == nil {
		return false
	}
	for {
		e.mu.Lock()
		w := e.watches[key]
		if w == nil {
			if !make || !e.running || len(e.watches) >= e.maxSubs {
				e.mu.Unlock()
				return false
			}
			w = newWatching(e, key, h)
			e.watches[key] = w
		}
		e.mu.Unlock()
		if w.step(nil, event) {
			return true
		}
	}
}

func newWatching(e *Edge, key pair, h *hop) *watching {
	w := &watching{e: e, key: key, hop: h, state: presence.Watch{}.Seeded(e.seed(key))}
	w.alarm.owner = w
	return w
}

func (w *watching) wake() { w.step(nil, presence.WatchTick{}) }

// seed makes the pauses of a pair differ from those of others, and at this gateway from those at one beside it.
func (e *Edge) seed(key pair) uint64 {
	h := fnv.New64a()
	fmt.Fprint(h, e.hostname, key.xmpp, key.sip)
	return h.Sum64()
}

// step feeds the machine and carries out what it says. With a dialog, the event counts only if that is still the one. It says
// false if the watching has been forgotten in the meantime.
func (w *watching) step(of *dialog, event presence.WatchEvent) bool {
	w.mu.Lock()
	if w.forgot {
		w.mu.Unlock()
		return false
	}
	if of != nil && of != w.dialog {
		w.mu.Unlock()
		return true
	}
	var actions []presence.Action
	before := w.state.Auth()
	w.state, actions = presence.StepWatch(w.state, event, time.Now())
	if now := w.state.Auth(); now != before {
		if w.e.keep(w.key, func(a *auths) { a.watch = now }, w.saved) {
			w.saving++
		}
	}
	var after []func()
	for _, a := range actions {
		after = append(after, w.perform(a))
	}
	if w.state.Done() {
		w.forgot = true
		w.e.alarms.set(&w.alarm, time.Time{})
		w.e.mu.Lock()
		delete(w.e.watches, w.key)
		w.e.mu.Unlock()
	} else {
		w.e.alarms.set(&w.alarm, w.state.Wake())
	}
	w.mu.Unlock()
	for _, f := range after {
		f()
	}
	return true
}

func (w *watching) perform(a presence.Action) func() {
	switch a := a.(type) {
	case presence.Subscribe:
		if a.New {
			w.dialog = w.newDialog()
		}
		if d := w.dialog; d != nil {
			return func() {
				if !w.e.inLine(w.hop, func() { w.subscribe(d, a) }) {
					w.step(d, presence.Answer{})
				}
			}
		}
	case presence.Forget:
		if d := w.dialog; d != nil {
			w.dialog = nil
			w.e.mu.Lock()
			delete(w.e.subscriptions, dialogKey(d.callID, d.localTag))
			w.e.mu.Unlock()
		}
	case presence.Tell:
		w.tells = append(w.tells, a)
		return w.tell
	}
	return func() {}
}

// saved notes that a change is on the disk.
func (w *watching) saved() {
	w.mu.Lock()
	w.saving--
	w.mu.Unlock()
	w.tell()
}

// tell tells the XMPP user what waits, unless somebody does already.
func (w *watching) tell() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.telling {
		return
	}
	w.telling = true
	for len(w.tells) > 0 && w.saving == 0 {
		waiting := w.tells
		w.tells = nil
		w.mu.Unlock()
		for _, t := range waiting {
			w.e.tellWatcher(w.key, t)
		}
		w.mu.Lock()
	}
	w.telling = false
}

// newDialog begins a subscription: a Call-ID and tag of its own each time. RFC 6665 §4.1.2.2
func (w *watching) newDialog() *dialog {
	d := &dialog{ours: true, callID: token(26), localTag: token(10), target: translate.SIP(w.key.sip)}
	d.local = "<" + translate.SIP(w.key.xmpp) + ">;tag=" + d.localTag
	d.remote = "<" + d.target + ">"
	w.e.mu.Lock()
	w.e.subscriptions[dialogKey(d.callID, d.localTag)] = subscription{w, d}
	w.e.mu.Unlock()
	return d
}

// subscription is how a NOTIFY finds its way.
type subscription struct {
	w *watching
	d *dialog
}

// subscribe sends one SUBSCRIBE and reports its answer. Accept names PIDF alone: an OCS pool sends the first of its own formats
// that it finds there, and PIDF is the one whose meaning is settled. [MS-PRES] §1.3.3
func (w *watching) subscribe(d *dialog, a presence.Subscribe) {
	report := presence.Answer{}
	defer func() { w.step(d, report) }()
	l, err := w.linkFor(d)
	if err != nil {
		w.e.log.Debug("no subscription", "to", w.key.sip.String(), "error", err)
		return
	}
	w.mu.Lock()
	stale := w.dialog != d
	w.mu.Unlock()
	if stale && a.Expires > 0 { // given up while it waited for a link: a refresh would keep what nobody wants
		return
	}
	req := d.request(w.e, sip.SUBSCRIBE, 0, field{"Contact", w.e.contact()}, field{"Event", "presence"}, field{"Accept", pidf.Type},
		field{"Expires", strconv.Itoa(int(a.Expires / time.Second))})
	req.SetBody(nil)
	res, err := w.e.ask(l, w.hop, req)
	if err != nil {
		return
	}
	report.Status = res.code
	report.Expires = seconds(res.get("expires"))
	report.MinExpires, report.RetryAfter = seconds(res.get("min-expires")), seconds(res.get("retry-after"))
	if res.code < 300 {
		if report.Expires <= 0 || report.Expires > a.Expires && a.Expires > 0 {
			report.Expires = a.Expires
		}
		d.subscribed(res, l)
	}
}

// subscribed takes over the dialog's state from a 2xx to SUBSCRIBE. Where a NOTIFY has overtaken the first 2xx the dialog is its
// own already, but a notifier that counts on the 2xx records no route in it: then the 2xx's counts.
func (d *dialog) subscribed(res *answer, l *link) {
	d.mu.Lock()
	tag, routes := parseNameAddr(d.remote).param("tag"), len(d.routes)
	d.mu.Unlock()
	switch {
	case tag == "" || tag == res.to.param("tag") && routes == 0:
		d.establish(res, l)
	default:
		d.refresh(res.message)
	}
}

func (w *watching) linkFor(d *dialog) (*link, error) {
	d.mu.Lock()
	l := d.link
	d.mu.Unlock()
	if l != nil && l.reason() == nil {
		return l, nil
	}
	l, err := w.hop.acquire(w.e.work)
	if err == nil {
		d.mu.Lock()
		d.link = l
		d.mu.Unlock()
	}
	return l, err
}

// onNotify takes a NOTIFY, or a BENOTIFY, which is never answered. [MS-SIP] §3.5
func (e *Edge) onNotify(in *inbound) {
	if kind, _, _ := strings.Cut(in.get("event", "o"), ";"); !strings.EqualFold(strings.TrimSpace(kind), "presence") {
		in.respond(489, "Bad Event", field{"Allow-Events", "presence"})
		return
	}
	e.mu.Lock()
	s := e.subscriptions[dialogKey(in.callID, in.to.param("tag"))]
	e.mu.Unlock()
	if s.w == nil || !in.link.speaksFor(s.w.key.sip.Domain) || eventID(in.get("event", "o")) != "" || !s.d.fromNotifier(in) { // our SUBSCRIBE has no id
		in.respond(481, "Subscription Does Not Exist") // RFC 6665 §4.1.3; a second dialog: RFC 3856 §6.9
		return
	}
	state, params, _ := strings.Cut(in.get("subscription-state"), ";")
	state = strings.ToLower(strings.TrimSpace(state))
	if state == "" {
		in.respond(400, "Bad Request: no Subscription-State")
		return
	}
	if !s.d.inOrder(in.cseq) {
		in.respond(500, "Server Internal Error: CSeq out of order")
		return
	}
	in.respond(200, "OK")
	n := presence.Notified{State: state}
	n.Reason, _ = param(params, "reason")
	n.Reason = strings.ToLower(n.Reason)
	v, _ := param(params, "expires")
	n.Expires = max(seconds(v), 0)
	v, _ = param(params, "retry-after")
	n.RetryAfter = max(seconds(v), 0)
	if len(in.body) > 0 {
		if p, err := pidf.Decode(in.get("content-type", "c"), in.get("content-language"), in.body); err == nil {
			n.Presence = &p
		} else {
			e.log.Debug("a presence document could not be read", "from", s.w.key.sip.String(), "error", err)
		}
	}
	s.w.step(s.d, n)
}

// fromNotifier reports whether a NOTIFY belongs to this subscription's dialog. The first one makes the dialog: it may come
// before the 2xx to the SUBSCRIBE. RFC 6665 §4.4.1
func (d *dialog) fromNotifier(in *inbound) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	tag := parseNameAddr(d.remote).param("tag")
	if tag == "" {
		d.remote, d.routes, d.link = in.from.raw, recordRoutes(in.message), in.link
	} else if tag != in.from.param("tag") {
		return false
	}
	if t := contactURI(in.message); t != "" {
		d.target = t
	}
	return true
}

// seconds reads a delta-seconds; -1 s if there is none.
func seconds(s string) time.Duration {
	s, _, _ = strings.Cut(s, ";")
	s, _, _ = strings.Cut(s, "(")
	n, err := strconv.ParseUint(strings.TrimSpace(s), 10, 32)
	if err != nil {
		return -time.Second
	}
	return time.Duration(n) * time.Second
}
