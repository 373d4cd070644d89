package session_test

import (
	"fmt"
	"strings"
	"time"

	"fedlab/gateway/im"
	"fedlab/gateway/session"

	"pgregory.net/rapid"
)

var refused = &im.Failure{Condition: im.RecipientUnavailable, Status: 480}

// model is the world around the machine: it believes every action, and fails on one that makes no sense.
type model struct {
	t interface {
		Helper()
		Fatalf(string, ...any)
		Errorf(string, ...any)
	}
	state   session.State
	now     time.Time
	log     []string
	done    map[session.Item]int
	sent    map[session.Item]int
	last    session.Item // the latest first sent
	dialogs map[session.Dialog]string
	ours    map[session.Dialog]bool
	flight  []session.Message
}

// The life of a dialog, as the peer sees it.
const (
	invited   = "invited"
	accepted  = "accepted"
	open      = "open"
	cancelled = "cancelled"
	over      = "over"
)

func newModel(t interface {
	Helper()
	Fatalf(string, ...any)
	Errorf(string, ...any)
}) *model {
	return &model{
		t: t, state: session.New(limits), now: start, done: make(map[session.Item]int), sent: make(map[session.Item]int),
		dialogs: make(map[session.Dialog]string), ours: make(map[session.Dialog]bool),
	}
}

func (m *model) step(e session.Event) {
	before, wake := m.state, m.state.Wake()
	var actions []session.Action
	m.state, actions = session.Step(m.state, e, m.now)
	if before.Wake() != wake {
		m.t.Fatalf("Step changed the state it was given")
	}
	switch e := e.(type) {
	case session.Sent:
		if len(m.flight) > 0 && m.flight[0].Item == e.Item {
			m.flight = nil
		}
	case session.Answered:
		if m.dialogs[e.Dialog] != cancelled {
			m.dialogs[e.Dialog] = open
		}
	case session.Refused:
		if m.dialogs[e.Dialog] != "" {
			m.dialogs[e.Dialog] = over
		}
	case session.Confirmed:
		if m.dialogs[e.Dialog] == accepted {
			m.dialogs[e.Dialog] = open
		}
	case session.Ended:
		if m.dialogs[e.Dialog] != "" {
			m.dialogs[e.Dialog] = over
		}
	}
	for _, a := range actions {
		m.believe(a)
	}
}

func (m *model) believe(a session.Action) {
	m.t.Helper()
	must := func(d session.Dialog, states ...string) {
		m.t.Helper()
		for _, s := range states {
			if m.dialogs[d] == s {
				return
			}
		}
		m.t.Fatalf("%T of dialog %d, which is %q: %s", a, d, m.dialogs[d], m.log)
	}
	switch a := a.(type) {
	case session.Invite:
		must(a.Dialog, "")
		m.dialogs[a.Dialog], m.ours[a.Dialog] = invited, true
		m.note("Invite%d", a.Dialog)
	case session.Accept:
		must(a.Dialog, "")
		m.dialogs[a.Dialog] = accepted
		m.note("Accept%d", a.Dialog)
	case session.Cancel:
		must(a.Dialog, invited)
		m.dialogs[a.Dialog] = cancelled
		m.note("Cancel%d", a.Dialog)
	case session.Bye:
		must(a.Dialog, open, accepted, cancelled)
		m.dialogs[a.Dialog] = over
		m.note("Bye%d", a.Dialog)
	case session.Drop:
		must(a.Dialog, open, accepted)
		m.dialogs[a.Dialog] = over
		m.note("Drop%d", a.Dialog)
	case session.Message:
		must(a.Dialog, open)
		if len(m.flight) > 0 {
			m.t.Fatalf("a second message is sent while one is on its way: %s", m.log)
		}
		if m.sent[a.Item]++; m.sent[a.Item] > 2 {
			m.t.Fatalf("item %d is sent a third time: %s", a.Item, m.log)
		}
		if m.sent[a.Item] == 1 {
			if a.Item < m.last {
				m.t.Fatalf("item %d overtook %d: %s", m.last, a.Item, m.log)
			}
			m.last = a.Item
		}
		m.flight = append(m.flight, a)
		m.note("Message%d/%d", a.Dialog, a.Item)
	case session.Done:
		m.done[a.Item]++
		if a.Failure == nil {
			m.note("Done%d", a.Item)
		} else {
			m.note("Done%d!", a.Item)
		}
	case session.Left:
	}
}

func (m *model) note(format string, args ...any) {
	m.log = append(m.log, fmt.Sprintf(format, args...))
}

func (m *model) want(log string) {
	m.t.Helper()
	if got := strings.Join(m.log, " "); got != log {
		m.t.Errorf("got  %s\nwant %s", got, log)
	}
}

func (m *model) in(states ...string) []session.Dialog {
	var out []session.Dialog
	for d := session.Dialog(1); int(d) <= len(m.dialogs); d++ {
		for _, s := range states {
			if m.dialogs[d] == s {
				out = append(out, d)
			}
		}
	}
	return out
}

// peer does something in a dialog that it knows.
func (m *model) peer(t *rapid.T) {
	known := m.in(open, accepted)
	if len(known) == 0 {
		return
	}
	d := rapid.SampledFrom(known).Draw(t, "known")
	switch rapid.IntRange(0, 2).Draw(t, "deed") {
	case 0:
		m.step(session.Confirmed{Dialog: d})
	case 1:
		m.dialogs[d] = open
		m.step(session.Active{Dialog: d})
	case 2:
		m.step(session.Ended{Dialog: d})
	}
}

func (m *model) answerInvite(t *rapid.T) {
	waiting := m.in(invited, cancelled)
	var mine []session.Dialog
	for _, d := range waiting {
		if m.ours[d] {
			mine = append(mine, d)
		}
	}
	if len(mine) == 0 {
		return
	}
	d := rapid.SampledFrom(mine).Draw(t, "invite")
	if rapid.Bool().Draw(t, "accepted") {
		m.step(session.Answered{Dialog: d})
	} else {
		m.step(session.Refused{Dialog: d, Failure: refused})
	}
}

func (m *model) answerMessage(t *rapid.T) {
	if len(m.flight) == 0 {
		return
	}
	f := m.flight[0]
	e := session.Sent{Dialog: f.Dialog, Item: f.Item}
	switch rapid.IntRange(0, 3).Draw(t, "fate") {
	case 1:
		e.Failure = refused
	case 2:
		e.Failure, e.Over = refused, true
	case 3:
		e.Failure, e.Over, e.Again = refused, true, true
	}
	m.step(e)
}

// settle lets everything come to its end: invitations and messages are answered, and time passes.
func (m *model) settle(t *rapid.T) {
	for range 200 {
		switch wake := m.state.Wake(); {
		case len(m.flight) > 0:
			m.answerMessage(t)
		case len(m.in(cancelled)) > 0:
			m.answerInvite(t)
		case len(m.in(accepted)) > 0 && m.state.Dialog() != 0 && m.state.Phase() == session.Accepting:
			m.step(session.Confirmed{Dialog: m.state.Dialog()})
		case !wake.IsZero():
			if wake.After(m.now) {
				m.now = wake
			}
			m.step(session.Tick{})
		case len(m.in(invited)) > 0:
			m.answerInvite(t)
		default:
			return
		}
	}
	t.Fatalf("it never comes to an end: %s", m.log)
}
