package presence

import (
	"slices"
	"time"

	"fedlab/gateway/im"
)

// Watch is an XMPP user who watches a SIP user: we hold a SUBSCRIBE dialog for him. The zero Watch is nobody's. A Watch is a
// value; [StepWatch] does not change the one it is given.
type Watch struct {
	auth     Auth
	phase    phase
	known    bool          // something was shown to the XMPP user since
	shown    []im.Device   // what he sees now
	expires  time.Time     // of the dialog
	refresh  time.Time     // when to send the next SUBSCRIBE: a refresh, or a retry
	notifyBy time.Time     // when a NOTIFY has to be there (Timer N); zero if none is awaited
	stale    bool          // we were restarted: he may still see what was true then
	away     bool          // the XMPP user is off line: nothing is refreshed
	noticed  bool          // a NOTIFY has come since the last SUBSCRIBE was sent; when leaving, the last one
	failures int           // subscriptions in a row that did not come about or did not last
	began    time.Time     // the dialog; zero if there is none
	earliest time.Time     // no new dialog before: the peer wants it so, or has ended too many too soon
	seed     uint64        // of the jitter
	least    time.Duration // what 423 wanted, else 0
	owed     *owed         // nil: the XMPP user knows all that he was told
}

type phase uint8

const (
	idle     phase = iota
	trying         // SUBSCRIBE for a new dialog is out
	live           // the dialog stands
	renewing       // a refresh is out
	leaving        // SUBSCRIBE with Expires 0 is out, or answered and the last NOTIFY is awaited
)

// Auth says how far the permission is.
func (w Watch) Auth() Auth { return w.auth }

// Shows reports whether the XMPP user sees the SIP user on line.
func (w Watch) Shows() bool { return len(w.shown) > 0 }

// Restored is a Watch as it is after a restart: the permission is known, the dialog is lost, and what the XMPP user still sees
// is not known.
func Restored(a Auth) Watch { return Watch{auth: a, stale: a == Granted} }

// Seeded is the Watch with a seed of its own. The pauses between its attempts differ then from those of others, so that subscriptions
// that end at the same time are not all made again at the same time.
func (w Watch) Seeded(seed uint64) Watch {
	w.seed = seed
	return w
}

// Done reports that nothing has to be remembered.
func (w Watch) Done() bool { return w.auth == None && w.phase == idle && w.owed == nil }

// Wake is when the next [WatchTick] is due, zero if none is.
func (w Watch) Wake() time.Time {
	next := w.notifyBy
	for _, t := range []time.Time{w.refresh, w.expires} {
		if !t.IsZero() && (next.IsZero() || t.Before(next)) {
			next = t
		}
	}
	return next
}

// WatchEvent is something that happened to a Watch.
type WatchEvent interface{ watchEvent() }

// The events.
type (
	// Ask: the XMPP user asks for permission (subscribe).
	Ask struct{}
	// Cancel: he gives it up (unsubscribe).
	Cancel struct{}
	// Probe: his server asks for the present state; it does so when he comes on line.
	Probe struct{}
	// Online and Offline: he came, he went.
	Online  struct{}
	Offline struct{}
	// Answer: the final response to a SUBSCRIBE; Status 0 if there was none.
	Answer struct {
		Status     int
		Expires    time.Duration // of a 2xx
		MinExpires time.Duration // of a 423
		RetryAfter time.Duration
	}
	// Notified: a NOTIFY came in the dialog.
	Notified struct {
		State      string // active, pending, terminated
		Reason     string
		Expires    time.Duration
		RetryAfter time.Duration
		Presence   *im.Presence // nil: no body, or none that can be read
	}
	// Relinked: the way to the notifier is there again. It may have been restarted and know nothing of the dialog.
	Relinked struct{}
	// WatchStop: the gateway stops.
	WatchStop struct{}
	// WatchTick: time passed.
	WatchTick struct{}
)

func (Ask) watchEvent()       {}
func (Cancel) watchEvent()    {}
func (Probe) watchEvent()     {}
func (Online) watchEvent()    {}
func (Offline) watchEvent()   {}
func (Answer) watchEvent()    {}
func (Notified) watchEvent()  {}
func (Relinked) watchEvent()  {}
func (WatchStop) watchEvent() {}
func (WatchTick) watchEvent() {}

// StepWatch is the machine of a Watch.
func StepWatch(w Watch, e WatchEvent, at time.Time) (Watch, []Action) {
	m := watcher{Watch: w, at: at}
	switch e := e.(type) {
	case Ask:
		m.ask()
	case Cancel:
		m.cancel()
	case Probe:
		m.away = false
		m.probed()
	case Online:
		m.away = false
		m.begin()
	case Offline:
		m.away = true
		m.refresh = time.Time{}
	case Answer:
		m.answered(e)
	case Notified:
		m.notified(e)
	case Lost:
		m.owed = m.owed.with(e.Tell)
	case Reached:
		m.reached()
	case Relinked:
		if m.phase == live && !m.away {
			m.refreshed()
		}
	case WatchStop:
		m.hide()
		if m.phase == live || m.phase == renewing {
			m.do(Subscribe{Expires: 0})
		}
		m.over()
	case WatchTick:
		m.tick()
	}
	return m.Watch, m.actions
}

type watcher struct {
	Watch
	at      time.Time
	actions []Action
}

func (m *watcher) do(a Action)             { m.actions = append(m.actions, a) }
func (m *watcher) tell(kind im.SignalKind) { m.do(Tell{Kind: kind}) }

// begin subscribes if that is wanted and not done already.
func (m *watcher) begin() {
	if m.phase == leaving && !m.notifyBy.IsZero() && m.auth != None && !m.away {
		m.over() // what the old dialog may still say is of no interest
	}
	if m.phase != idle || m.auth == None || m.away {
		return
	}
	if m.at.Before(m.earliest) {
		m.refresh = m.earliest
		return
	}
	m.phase, m.refresh = trying, time.Time{}
	m.subscribe(true)
}

func (m *watcher) subscribe(first bool) {
	m.noticed = false
	m.do(Subscribe{New: first, Expires: max(subscribeFor, m.least)})
}

// refreshed asks for the dialog to go on. What it says is shown if it stands, and else it is made anew.
func (m *watcher) refreshed() {
	m.phase, m.refresh = renewing, time.Time{}
	m.subscribe(false)
}

// renew subscribes afresh, at once; what is shown stays meanwhile, if there is a meanwhile. After several dialogs that did not last
// it waits: a peer that ends every one as soon as it stands must not be asked as fast as it can answer.
func (m *watcher) renew() {
	if m.failures > 0 {
		m.hide()
		m.later(0)
		m.earliest = m.refresh
		return
	}
	m.failures++
	if m.begin(); m.phase == idle {
		m.hide()
	}
}

// ask: RFC 8048 §5.2.1; who may watch already is told so at once (RFC 6121 §3.1.3).
func (m *watcher) ask() {
	m.away = false
	if m.auth == Granted {
		m.tell(im.SignalSubscribed)
		m.again()
	} else {
		m.auth = Asked
	}
	m.begin()
}

// cancel: RFC 8048 §5.2.3; unavailable goes first (RFC 6121 §3.3.3).
func (m *watcher) cancel() {
	m.auth = None
	m.hide()
	switch m.phase {
	case live, renewing:
		m.leave()
	case leaving: // once is enough
	case trying: // its answer finds nobody interested
		m.tell(im.SignalUnsubscribed)
	default:
		m.refresh = time.Time{}
		m.tell(im.SignalUnsubscribed)
	}
}

// leave ends the dialog. It is kept until the NOTIFY that tells its end, which is to be answered 200. RFC 8048 §5.2.3
func (m *watcher) leave() {
	m.phase, m.refresh, m.expires, m.notifyBy, m.noticed = leaving, time.Time{}, time.Time{}, time.Time{}, false
	m.do(Subscribe{Expires: 0})
}

// probed answers from the live dialog, or opens one. Somebody whom we do not know may be known to the SIP side, which is the one
// that decides: we may have been restarted. RFC 8048 §7.1
func (m *watcher) probed() {
	switch {
	case m.known && (m.phase == live || m.phase == renewing):
		m.again()
	case m.auth == None:
		m.auth = Asked
	}
	m.begin()
}

func (m *watcher) answered(e Answer) {
	was := m.phase
	switch {
	case was == leaving && !m.notifyBy.IsZero(): // answered already
	case was == leaving:
		if m.auth == None && !m.noticed && e.Status >= 200 && e.Status < 300 {
			m.notifyBy = m.at.Add(notifyWithin)
		} else {
			m.over()
		}
		if m.auth == None {
			m.tell(im.SignalUnsubscribed)
		}
		m.begin() // he may have changed his mind
	case was == trying && m.auth == None: // cancelled meanwhile
		if e.Status >= 200 && e.Status < 300 {
			m.leave()
			return
		}
		m.over()
	case was != trying && was != renewing:
	case e.Status >= 200 && e.Status < 300: // 202 is as good. RFC 6665 §8.3.1
		if m.phase = live; was == trying {
			m.began = m.at
		} else if m.lasted() {
			m.failures = 0
		}
		m.lasts(e.Expires)
		if !m.noticed { // it may overtake the 2xx
			m.notifyBy = m.at.Add(notifyWithin) // on refresh as well. RFC 6665 §4.1.2.2
		}
	case e.Status == 403 || e.Status == 489 || e.Status == 603: // RFC 8048 §5.2.2
		m.over()
		m.refused()
	case e.Status == 404 || e.Status == 604:
		m.over()
		m.hide()
		m.auth = None
		m.do(Tell{Kind: im.SignalError, Failure: &im.Failure{Condition: im.ItemNotFound, Status: e.Status}})
	case e.Status == 423 && e.MinExpires > 2*m.least && e.MinExpires <= 7*24*time.Hour: // not a second more each time
		m.least = e.MinExpires
		m.subscribe(was == trying)
	case e.Status == 481 && was == renewing:
		m.over()
		m.renew()
	case was == renewing && !endsSubscription(e.Status): // valid until it expires. RFC 6665 §4.1.2.2
		m.phase = live
		m.failures++
		m.pause(e.RetryAfter)
	default:
		m.over()
		m.hide()
		m.later(e.RetryAfter)
	}
}

// endsSubscription: failures of a refresh that end the subscription. RFC 6665 §4.1.2.2
func endsSubscription(status int) bool {
	switch status {
	case 404, 405, 410, 416, 480, 481, 482, 483, 484, 485, 489, 501, 604:
		return true
	}
	return false
}

func (m *watcher) notified(e Notified) {
	if m.phase == idle {
		return
	}
	if m.phase == leaving {
		switch {
		case e.State != "terminated":
		case m.notifyBy.IsZero(): // it has overtaken the answer
			m.noticed = true
		default:
			m.over()
		}
		return
	}
	m.notifyBy, m.noticed = time.Time{}, true
	if m.auth == None {
		return
	}
	if e.State == "terminated" {
		m.terminated(e)
		return
	}
	if e.Expires > 0 && (m.expires.IsZero() || m.at.Add(e.Expires).Before(m.expires)) {
		m.lasts(e.Expires) // it may shorten. RFC 6665 §4.1.3
	}
	if e.State != "active" {
		return // pending: not a word to the XMPP user. RFC 8048 §5.2.1
	}
	if m.auth != Granted || m.stale { // after a crash it is not known whether he was told; who was takes no notice. RFC 6121 §3.1.6
		m.auth = Granted
		m.tell(im.SignalSubscribed)
	}
	switch {
	case e.Presence != nil:
		m.show(e.Presence.Devices, e.Presence.Status, e.Presence.Lang)
	case !m.known:
		m.show(nil, "", "") // no document yet: as good as off line
	}
}

// terminated: RFC 6665 §4.1.3.
func (m *watcher) terminated(e Notified) {
	m.over()
	switch e.Reason {
	case "rejected":
		m.refused()
		return
	case "deactivated", "timeout": // a retry-after has no meaning here
		m.renew()
		return
	}
	m.hide()
	m.later(e.RetryAfter) // probation, giveup, and what we do not know
	if e.Reason == "noresource" || e.Reason == "invariant" {
		m.earliest, m.refresh = m.refresh, time.Time{} // only when the XMPP user comes again
	}
}

func (m *watcher) refused() {
	m.hide()
	m.auth = None
	m.tell(im.SignalUnsubscribed)
}

// over forgets the dialog. One that has lasted makes good for those that did not.
func (m *watcher) over() {
	if m.lasted() {
		m.failures = 0
	}
	m.phase, m.began = idle, time.Time{}
	m.expires, m.refresh, m.notifyBy = time.Time{}, time.Time{}, time.Time{}
	m.do(Forget{})
}

func (m *watcher) lasted() bool { return !m.began.IsZero() && m.at.Sub(m.began) >= steadyAfter }

// later tries again after a pause.
func (m *watcher) later(atLeast time.Duration) {
	m.failures++
	m.pause(atLeast)
	if m.auth == None || m.away {
		m.refresh = time.Time{}
	}
}

// pause sets when to try again. What the peer asked for (Retry-After, retry-after) holds also for who comes and asks meanwhile, up to
// a day. RFC 6665 §4.1.3
func (m *watcher) pause(atLeast time.Duration) {
	atLeast = min(atLeast, 24*time.Hour)
	m.refresh = m.at.Add(max(jittered(retryAfter(m.failures), m.seed+uint64(m.failures)), atLeast))
	if atLeast > 0 {
		m.earliest = m.refresh
	}
}

// lasts notes how long the dialog lives, and when to refresh: two minutes before the end, as OCS does, or at two thirds. A dialog that
// is shorter than the pause after a failure ends by itself, and is made again as one that did not last.
func (m *watcher) lasts(d time.Duration) {
	if d <= 0 {
		d = subscribeFor
	}
	m.expires = m.at.Add(d)
	m.refresh = m.at.Add(max(d*2/3, d-2*time.Minute, firstRetry))
	if m.away {
		m.refresh = time.Time{}
	}
}

func (m *watcher) tick() {
	if due(m.expires, m.at) { // nobody stays available who may be gone
		m.over()
		m.hide()
		m.renew()
		return
	}
	if due(m.notifyBy, m.at) {
		left := m.phase == leaving
		m.over()
		if left {
			m.begin()
			return
		}
		m.hide()
		m.later(0)
		return
	}
	if due(m.refresh, m.at) {
		m.refresh = time.Time{}
		switch m.phase {
		case live:
			m.refreshed()
		case idle:
			m.begin()
		}
	}
}

func due(t, at time.Time) bool { return !t.IsZero() && !at.Before(t) }

// show tells the XMPP user what has changed: a stanza for each device that is new or different, one for each that is gone
// (RFC 3922 §6.3.1). Each leaves by the name it came by. Who was never there is off line from the bare address (§6.3.2).
func (m *watcher) show(devices []im.Device, status, lang string) {
	if m.stale && len(devices) > 0 {
		m.tell(im.SignalUnavailable) // of the devices that he was shown before the restart nothing is known
	}
	for _, old := range m.shown {
		if !slices.ContainsFunc(devices, func(d im.Device) bool { return d.Resource == old.Resource }) {
			m.do(Tell{Kind: im.SignalUnavailable, Device: im.Device{Resource: old.Resource, Status: status, Lang: lang}})
		}
	}
	for _, d := range devices {
		if !slices.Contains(m.shown, d) {
			m.do(Tell{Kind: im.SignalAvailable, Device: d})
		}
	}
	if len(devices) == 0 && !m.known {
		m.do(Tell{Kind: im.SignalUnavailable, Device: im.Device{Status: status, Lang: lang}})
	}
	m.known, m.stale, m.shown = true, false, slices.Clone(devices)
}

// again repeats what is shown, for a user who has come back.
func (m *watcher) again() {
	if !m.known {
		return
	}
	for _, d := range m.shown {
		m.do(Tell{Kind: im.SignalAvailable, Device: d})
	}
	if len(m.shown) == 0 {
		m.tell(im.SignalUnavailable)
	}
}

// hide makes the SIP user unavailable.
func (m *watcher) hide() {
	for _, d := range m.shown {
		m.do(Tell{Kind: im.SignalUnavailable, Device: im.Device{Resource: d.Resource}})
	}
	if m.stale {
		m.tell(im.SignalUnavailable)
	}
	m.shown, m.known, m.stale = nil, false, false
}
