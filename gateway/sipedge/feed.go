package sipedge

import (
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"fedlab/gateway/im"
	"fedlab/gateway/pidf"
	"fedlab/gateway/presence"

	"github.com/emiago/sipgo/sip"
)

// viewersPerPair bounds how many dialogs one SIP user may watch one XMPP user from.
const viewersPerPair = 20

// feeding is a SIP user who watches an XMPP user. Package presence decides.
type feeding struct {
	e   *Edge
	key pair
	hop *hop

	mu      sync.Mutex
	state   presence.Feed
	forgot  bool
	viewers map[presence.ID]*viewer
	next    presence.ID
	alarm   alarm
	stamp   time.Time // of the last document: no two in a row have the same. RFC 3863 §4.1.7

	// What the machine says is done in order, and waits here while a change of the permission is on its way to the disk: what people
	// were answered, asked and shown by it still holds after a crash.
	todo   []func()
	saving int
	acting bool // somebody takes them out
}

// viewer is one dialog that the SIP user watches from.
type viewer struct {
	f       *feeding
	id      presence.ID
	d       *dialog
	event   string   // the Event of the SUBSCRIBE, id parameter and all. RFC 6665 §8.2.1
	pending *inbound // the SUBSCRIBE that waits for its answer

	queue []presence.Notify // at most one that is not the last
	busy  bool
}

// onSubscribe takes a SUBSCRIBE for an XMPP user's presence. It is answered without waiting for anybody. RFC 6665 §4.2.1.1
func (e *Edge) onSubscribe(in *inbound) {
	if kind, _, _ := strings.Cut(in.get("event", "o"), ";"); e.presence == nil || !strings.EqualFold(strings.TrimSpace(kind), "presence") {
		in.respond(489, "Bad Event", field{"Allow-Events", "presence"})
		return
	}
	if !acceptsPIDF(in.list("accept")) {
		in.respond(406, "Not Acceptable: presence is told in "+pidf.Type)
		return
	}
	from, to := in.people()
	if from.Local == "" || to.Local == "" {
		in.respond(404, "Not Found")
		return
	}
	expires := time.Duration(-1)
	if v := in.get("expires"); v != "" {
		if expires = seconds(v); expires < 0 {
			in.respond(400, "Bad Request: bad Expires")
			return
		}
	}
	if in.to.param("tag") != "" {
		e.mu.Lock()
		v := e.viewers[dialogKey(in.callID, in.to.param("tag"))]
		e.mu.Unlock()
		if v == nil || !in.link.speaksFor(v.f.key.sip.Domain) || v.tagOfPeer() != in.from.param("tag") || eventID(v.event) != eventID(in.get("event", "o")) {
			in.respond(481, "Subscription Does Not Exist")
			return
		}
		if !v.d.inOrder(in.cseq) {
			in.respond(500, "Server Internal Error: CSeq out of order")
			return
		}
		v.d.refresh(in.message)
		if !v.f.step(presence.Watched{ID: v.id, Expires: expires}, func() { v.pending = in }) {
			in.respond(481, "Subscription Does Not Exist")
		}
		return
	}
	e.newViewer(in, pair{to.Bare(), from.Bare()}, expires)
}

// eventID is the parameter that tells apart subscriptions of one dialog. RFC 6665 §8.2.1
func eventID(event string) string {
	_, params, _ := strings.Cut(event, ";")
	id, _ := param(params, "id")
	return id
}

func (v *viewer) tagOfPeer() string {
	v.d.mu.Lock()
	defer v.d.mu.Unlock()
	return parseNameAddr(v.d.remote).param("tag")
}

// acceptsPIDF: PIDF is the default where nothing is said. RFC 3856 §6.7
func acceptsPIDF(accept []string) bool {
	if len(accept) == 0 {
		return true
	}
	for _, a := range accept {
		kind, _, _ := strings.Cut(a, ";")
		switch strings.ToLower(strings.TrimSpace(kind)) {
		case pidf.Type, "application/*", "*/*":
			return true
		}
	}
	return false
}

func (e *Edge) newViewer(in *inbound, key pair, expires time.Duration) {
	h := in.link.hopFor(key.sip.Domain)
	for {
		f := e.feed(key, h, true)
		if f == nil {
			in.respond(500, "Server Internal Error: too many subscriptions")
			return
		}
		f.mu.Lock()
		if f.forgot {
			f.mu.Unlock()
			continue
		}
		if len(f.viewers) >= viewersPerPair {
			f.mu.Unlock()
			in.respond(403, "Forbidden: too many subscriptions to one person")
			return
		}
		f.next++
		v := &viewer{f: f, id: f.next, event: in.get("event", "o"), pending: in}
		v.d = &dialog{
			callID: in.callID, localTag: in.ourTag(), local: in.to.raw + ";tag=" + in.ourTag(), remote: in.from.raw,
			target: contactURI(in.message), routes: recordRoutes(in.message), peerCSeq: in.cseq, link: in.link,
		}
		if v.d.target == "" {
			v.d.target = in.from.uri
		}
		f.viewers[v.id] = v
		e.mu.Lock()
		e.viewers[dialogKey(v.d.callID, v.d.localTag)] = v
		e.mu.Unlock()
		f.stepLocked(presence.Watched{ID: v.id, New: true, Expires: expires})
		f.mu.Unlock()
		f.act()
		return
	}
}

// feed finds or makes the feeding of a pair.
func (e *Edge) feed(key pair, h *hop, make bool) *feeding {
	e.mu.Lock()
	defer e.mu.Unlock()
	f := e.feeds[key]
	if f == nil && make && e.running && len(e.feeds) < e.maxSubs {
		f = newFeeding(e, key, h)
		e.feeds[key] = f
	}
	return f
}

func newFeeding(e *Edge, key pair, h *hop) *feeding {
	f := &feeding{e: e, key: key, hop: h, viewers: make(map[presence.ID]*viewer)}
	f.alarm.owner = f
	return f
}

func (f *feeding) wake() { f.step(presence.FeedTick{}, nil) }

// step feeds the machine; first runs before, under the lock. It says false if the feeding has been forgotten.
func (f *feeding) step(event presence.FeedEvent, first func()) bool {
	f.mu.Lock()
	if f.forgot {
		f.mu.Unlock()
		return false
	}
	if first != nil {
		first()
	}
	f.stepLocked(event)
	f.mu.Unlock()
	f.act()
	return true
}

// saved notes that a change is on the disk.
func (f *feeding) saved() {
	f.mu.Lock()
	f.saving--
	f.mu.Unlock()
	f.act()
}

// act does what is to be done, unless somebody does already.
func (f *feeding) act() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.acting {
		return
	}
	f.acting = true
	for len(f.todo) > 0 && f.saving == 0 {
		now := f.todo
		f.todo = nil
		f.mu.Unlock()
		for _, do := range now {
			do()
		}
		f.mu.Lock()
	}
	f.acting = false
}

// stepLocked feeds the machine; what it says waits for act.
func (f *feeding) stepLocked(event presence.FeedEvent) {
	var actions []presence.Action
	before := f.state.Auth()
	f.state, actions = presence.StepFeed(f.state, event, time.Now())
	if now := f.state.Auth(); now != before {
		if f.e.keep(f.key, func(a *auths) { a.feed = now }, f.saved) {
			f.saving++
		}
	}
	for _, a := range actions {
		f.todo = append(f.todo, f.perform(a))
	}
	if f.state.Done() && len(f.viewers) == 0 {
		f.forgot = true
		f.e.alarms.set(&f.alarm, time.Time{})
		f.e.mu.Lock()
		delete(f.e.feeds, f.key)
		f.e.mu.Unlock()
	} else {
		f.e.alarms.set(&f.alarm, f.state.Wake())
	}
}

func (f *feeding) perform(a presence.Action) func() {
	switch a := a.(type) {
	case presence.Accept:
		v := f.viewers[a.ID]
		in := v.pending
		v.pending = nil
		return func() {
			in.respond(200, "OK", field{"Contact", f.e.contact()}, field{"Expires", strconv.Itoa(int(a.Expires / time.Second))},
				field{"Allow-Events", "presence"})
		}
	case presence.Reject:
		v := f.viewers[a.ID]
		in := v.pending
		v.pending = nil
		if in.to.param("tag") == "" {
			f.removeViewer(v)
		}
		return func() {
			if a.Status == 423 {
				in.respond(423, "Interval Too Brief", field{"Min-Expires", strconv.Itoa(int(presence.MinExpires / time.Second))})
			} else {
				in.respond(a.Status, "Forbidden")
			}
		}
	case presence.Notify:
		return func() { f.notify(a) }
	case presence.Tell:
		return func() {
			if a.Kind == im.SignalUnavailable && f.e.shows(f.key) {
				return // he still sees the SIP user, through a subscription of his own: this would make him think otherwise
			}
			f.e.tellWatched(f.key, a)
		}
	}
	return func() {}
}

// notify has a NOTIFY sent, after those of the same dialog that are on their way.
func (f *feeding) notify(n presence.Notify) {
	f.mu.Lock()
	defer f.mu.Unlock()
	v := f.viewers[n.ID]
	if v == nil {
		return
	}
	if last := len(v.queue) - 1; last >= 0 && v.queue[last].State != "terminated" {
		v.queue[last] = n // the last state wins
	} else {
		v.queue = append(v.queue, n)
	}
	if !v.busy {
		v.busy = f.e.inLine(f.hop, v.send)
	}
}

// shows reports whether the XMPP user of a pair sees the SIP user on line.
func (e *Edge) shows(key pair) bool {
	e.mu.Lock()
	w := e.watches[key]
	e.mu.Unlock()
	if w == nil {
		return false
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.state.Shows()
}

func (f *feeding) removeViewer(v *viewer) {
	delete(f.viewers, v.id)
	f.e.mu.Lock()
	delete(f.e.viewers, dialogKey(v.d.callID, v.d.localTag))
	f.e.mu.Unlock()
}

// send sends what is queued, one NOTIFY at a time. The last one of a dialog ends it.
func (v *viewer) send() {
	f := v.f
	for {
		f.mu.Lock()
		if len(v.queue) == 0 {
			v.busy = false
			f.mu.Unlock()
			return
		}
		n := v.queue[0]
		v.queue = v.queue[1:]
		now := time.Now()
		if !now.After(f.stamp) {
			now = f.stamp.Add(time.Millisecond)
		}
		f.stamp = now
		f.mu.Unlock()
		failed := v.notify(n, now)
		if n.State == "terminated" || failed {
			f.mu.Lock()
			f.removeViewer(v)
			f.stepLocked(presence.NotifyFailed{ID: v.id}) // no harm where the machine knows
			f.mu.Unlock()
			f.act()
			return
		}
	}
}

// notify sends one NOTIFY; true if the answer ends the subscription. RFC 6665 §4.2.2
func (v *viewer) notify(n presence.Notify, at time.Time) (over bool) {
	e := v.f.e
	state := n.State
	switch {
	case n.State != "terminated":
		state += fmt.Sprintf(";expires=%d", max(int(n.Expires/time.Second), 0))
	case n.Reason == "probation":
		state += ";reason=probation;retry-after=30"
	default:
		state += ";reason=" + n.Reason
	}
	fields := []field{{"Contact", e.contact()}, {"Event", v.event}, {"Subscription-State", state}}
	var body []byte
	if n.Body != nil {
		fields = append(fields, field{"Content-Type", pidf.Type})
		body = pidf.Encode(v.f.key.xmpp, *n.Body, at)
	}
	v.d.mu.Lock()
	l := v.d.link
	v.d.mu.Unlock()
	if l == nil || l.reason() != nil {
		var err error
		if l, err = v.f.hop.acquire(e.work); err != nil {
			return true
		}
		v.d.mu.Lock()
		v.d.link = l
		v.d.mu.Unlock()
	}
	req := v.d.request(e, sip.NOTIFY, 0, fields...)
	req.SetBody(body)
	a, err := e.ask(l, v.f.hop, req)
	if err != nil {
		return true
	}
	switch a.code {
	case 404, 405, 410, 416, 480, 481, 482, 483, 484, 485, 489, 501, 604:
		return true
	}
	return false
}
