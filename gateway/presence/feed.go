package presence

import (
	"slices"
	"time"

	"fedlab/gateway/im"
)

// Feed is a SIP user who watches an XMPP user, from as many dialogs as he has clients. The zero Feed is nobody's. A Feed is a
// value; [StepFeed] does not change the one it is given.
type Feed struct {
	auth    Auth
	denied  time.Time // when
	dialogs []viewer
	devices []im.Device // what the XMPP user shows
	last    im.Device   // the words he left with
	known   bool        // he has shown something
	untold  bool        // something that the XMPP user was told is lost, or may be
}

type viewer struct {
	id      ID
	expires time.Time
	sent    time.Time // the last notification
	dirty   bool      // something has changed since
}

// RestoredFeed is a Feed as it is after a restart.
// Whether a question reached the person is not known.
func RestoredFeed(a Auth, at time.Time) Feed { return Feed{auth: a, denied: at, untold: a == Asked} }

// Auth says how far the permission is.
func (f Feed) Auth() Auth { return f.auth }

// Online reports whether the XMPP user shows himself on any device, as far as is known.
func (f Feed) Online() bool { return !f.known || len(f.devices) > 0 }

// Done reports that nothing has to be remembered.
func (f Feed) Done() bool { return len(f.dialogs) == 0 && f.auth == None }

// Wake is when the next [FeedTick] is due, zero if none is.
func (f Feed) Wake() time.Time {
	var next time.Time
	for _, d := range f.dialogs {
		due := d.expires
		if t := d.sent.Add(throttle); d.dirty && t.Before(due) {
			due = t
		}
		if next.IsZero() || due.Before(next) {
			next = due
		}
	}
	return next
}

// FeedEvent is something that happened to a Feed.
type FeedEvent interface{ feedEvent() }

// The events.
type (
	// Watched: a SUBSCRIBE. Expires is negative where the request names none.
	Watched struct {
		ID      ID
		New     bool // it opens a dialog
		Expires time.Duration
	}
	// Approved and Refused: the XMPP user has decided (subscribed, unsubscribed).
	Approved struct{}
	Refused  struct{}
	// Shown: a device of the XMPP user is there, or gone. A Gone without a resource takes them all away.
	Shown struct {
		Device im.Device
		Gone   bool
	}
	// NotifyFailed: a NOTIFY was answered with a failure that ends the subscription, or not at all.
	NotifyFailed struct{ ID ID }
	// FeedStop: the gateway stops.
	FeedStop struct{}
	// FeedTick: time passed.
	FeedTick struct{}
)

func (Watched) feedEvent()      {}
func (Approved) feedEvent()     {}
func (Refused) feedEvent()      {}
func (Shown) feedEvent()        {}
func (NotifyFailed) feedEvent() {}
func (FeedStop) feedEvent()     {}
func (FeedTick) feedEvent()     {}

// StepFeed is the machine of a Feed.
func StepFeed(f Feed, e FeedEvent, at time.Time) (Feed, []Action) {
	m := feeder{Feed: f, at: at}
	m.dialogs, m.devices = slices.Clone(f.dialogs), slices.Clone(f.devices)
	switch e := e.(type) {
	case Watched:
		m.watched(e)
	case Approved:
		m.approved()
	case Refused:
		m.refuse()
	case Shown:
		m.shown(e)
	case NotifyFailed:
		m.drop(e.ID)
	case Lost:
		m.untold = true
	case Reached:
		m.reached()
	case FeedStop:
		for _, d := range m.dialogs { // RFC 6665 §4.1.3: come again later
			m.do(Notify{ID: d.id, State: "terminated", Reason: "probation"})
		}
		m.dialogs = nil
		m.lonely()
	case FeedTick:
		m.tick()
	}
	return m.Feed, m.actions
}

type feeder struct {
	Feed
	at      time.Time
	actions []Action
}

func (m *feeder) do(a Action) { m.actions = append(m.actions, a) }

func (m *feeder) watched(e Watched) {
	if e.Expires < 0 {
		e.Expires = defaultFor
	}
	e.Expires = min(e.Expires, longest)
	if e.Expires > 0 && e.Expires < shortest { // RFC 6665 §4.2.1.1
		m.do(Reject{e.ID, 423})
		return
	}
	if m.auth == Denied && m.at.Sub(m.denied) >= deniedFor {
		m.auth = None
	}
	if m.auth == Denied && e.Expires > 0 {
		m.do(Reject{e.ID, 403})
		return
	}
	m.do(Accept{e.ID, e.Expires})
	if e.Expires == 0 {
		m.lastLook(e)
		return
	}
	i := m.find(e.ID)
	if i < 0 {
		i = len(m.dialogs)
		m.dialogs = append(m.dialogs, viewer{id: e.ID})
	}
	m.dialogs[i].expires = m.at.Add(e.Expires)
	m.notify(i) // at once, whenever the last one was. RFC 6665 §4.2.1.2
	switch {
	case m.auth == None, m.auth == Asked && m.untold:
		m.auth, m.untold = Asked, false
		m.do(Tell{Kind: im.SignalSubscribe})
	case m.auth == Granted && !m.known && e.New:
		m.do(Tell{Kind: im.SignalProbe})
	}
}

// lastLook answers a SUBSCRIBE with Expires 0: the end of a dialog, or a fetch. RFC 8048 §5.3.3, §7.2
func (m *feeder) lastLook(e Watched) {
	i := m.find(e.ID)
	if i < 0 {
		n := Notify{ID: e.ID, State: "terminated", Reason: "timeout"}
		if m.auth == Granted && m.known {
			n.Body = m.presence()
		} else if m.auth == Granted {
			m.do(Tell{Kind: im.SignalProbe}) // for the next fetch: this one must not wait
		}
		m.do(n)
		return
	}
	m.dialogs = slices.Delete(m.dialogs, i, i+1)
	m.do(Notify{ID: e.ID, State: "terminated", Reason: "timeout", Body: &im.Presence{}})
	m.lonely()
}

// lonely tells the XMPP user that nobody of that name watches any more; the permission stays. RFC 8048 §5.3.3
func (m *feeder) lonely() {
	if len(m.dialogs) == 0 && m.auth == Granted {
		m.do(Tell{Kind: im.SignalUnavailable})
	}
}

// reached repeats what the XMPP user should know and does not.
func (m *feeder) reached() {
	if !m.untold {
		return
	}
	m.untold = false
	switch {
	case m.auth == Asked:
		m.do(Tell{Kind: im.SignalSubscribe})
	case m.auth == Granted && len(m.dialogs) == 0:
		m.lonely()
	case m.auth == Granted && !m.known:
		m.do(Tell{Kind: im.SignalProbe})
	}
}

func (m *feeder) approved() {
	if m.auth != Asked {
		return // RFC 6121 §3.1.6: what we did not ask for changes nothing
	}
	m.auth = Granted
	m.all()
}

func (m *feeder) refuse() {
	if m.auth == None {
		return
	}
	m.auth, m.denied = Denied, m.at
	for _, d := range m.dialogs {
		m.do(Notify{ID: d.id, State: "terminated", Reason: "rejected"})
	}
	m.dialogs, m.devices, m.known = nil, nil, false
}

func (m *feeder) shown(e Shown) {
	i := slices.IndexFunc(m.devices, func(d im.Device) bool { return d.Resource == e.Device.Resource })
	switch {
	case e.Gone && e.Device.Resource == "":
		m.devices = nil
	case e.Gone && i >= 0:
		m.devices = slices.Delete(m.devices, i, i+1)
	case e.Gone:
	case i >= 0 && m.devices[i] == e.Device:
		return
	case i >= 0:
		m.devices[i] = e.Device
	case len(m.devices) < 50:
		m.devices = append(m.devices, e.Device)
	}
	if e.Gone {
		m.last = e.Device
	}
	m.known = true
	if m.auth == Granted {
		m.all()
	}
}

func (m *feeder) drop(id ID) {
	if i := m.find(id); i >= 0 {
		m.dialogs = slices.Delete(m.dialogs, i, i+1)
		m.lonely()
	}
}

func (m *feeder) tick() {
	ended := false
	m.dialogs = slices.DeleteFunc(m.dialogs, func(d viewer) bool {
		if m.at.Before(d.expires) {
			return false
		}
		ended = true
		m.do(Notify{ID: d.id, State: "terminated", Reason: "timeout"}) // RFC 6665 §4.2.1.4
		return true
	})
	if ended {
		m.lonely()
	}
	m.due()
}

// all notifies every dialog of a change.
func (m *feeder) all() {
	for i := range m.dialogs {
		m.dialogs[i].dirty = true
	}
	m.due()
}

// due sends the changes that may be sent: in each dialog not before five seconds have passed since the last notification, whatever
// that was for, and then the last state. RFC 3856 §6.10
func (m *feeder) due() {
	for i, d := range m.dialogs {
		if d.dirty && m.at.Sub(d.sent) >= throttle {
			m.notify(i)
		}
	}
}

// notify tells one dialog how things are.
func (m *feeder) notify(i int) {
	d := &m.dialogs[i]
	d.sent, d.dirty = m.at, false
	n := Notify{ID: d.id, State: "pending", Expires: d.expires.Sub(m.at)}
	if m.auth == Granted {
		n.State = "active"
		if m.known {
			n.Body = m.presence()
		}
	}
	m.do(n)
}

func (m *feeder) presence() *im.Presence {
	return &im.Presence{Devices: slices.Clone(m.devices), Status: m.last.Status, Lang: m.last.Lang}
}

func (m *feeder) find(id ID) int {
	return slices.IndexFunc(m.dialogs, func(d viewer) bool { return d.id == id })
}
