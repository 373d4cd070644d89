package session

import (
	"time"

	"fedlab/gateway/im"
)

// Step is the machine: what happened, at a time, to the next state and what is to be done about it.
func Step(s State, e Event, at time.Time) (State, []Action) {
	m := machine{State: s, at: at}
	switch e := e.(type) {
	case Send:
		m.send(e)
	case Leave:
		m.leaving = m.phase != Quiet
	case Invited:
		m.invited()
	case Confirmed:
		m.confirmed(e.Dialog)
	case Active:
		m.confirmed(e.Dialog)
	case Answered:
		m.answered(e)
	case Refused:
		m.refused(e)
	case Sent:
		m.sent(e)
	case Ended:
		m.ended(e)
	case Tick:
		m.tick()
	case Stop:
		m.stop()
		return m.State, m.actions
	}
	m.pump()
	return m.State, m.actions
}

type machine struct {
	State
	at      time.Time
	actions []Action
}

func (m *machine) do(a Action) { m.actions = append(m.actions, a) }

func (m *machine) send(e Send) {
	if len(m.queue) >= m.limits.Queue {
		m.do(Done{e.Item, &im.Failure{Condition: im.ResourceConstraint, Text: "too many messages wait for this conversation"}})
		return
	}
	m.leaving = false
	m.push(waiting{item: e.Item, deadline: m.at.Add(m.limits.Patience)})
}

// invited takes the peer's dialog. Where both sides invite at once theirs is taken and ours taken back: both users see one
// conversation, and none waits for a click that will never come.
func (m *machine) invited() {
	switch m.phase {
	case Inviting:
		m.do(Cancel{m.dialog})
	case Accepting, Open:
		m.do(Bye{m.dialog}) // the peer begins anew: it has lost the old one, or shows it in a window that is gone
	}
	m.serial++
	m.dialog, m.phase, m.last, m.leaving = m.serial, Accepting, m.at, false
	m.do(Accept{m.dialog})
}

func (m *machine) confirmed(d Dialog) {
	if d != m.dialog || m.phase != Accepting && m.phase != Open {
		return
	}
	m.phase, m.last = Open, m.at
}

func (m *machine) answered(e Answered) {
	if e.Dialog == m.dialog && m.phase == Inviting {
		m.phase, m.last = Open, m.at
		return
	}
	if e.Dialog != m.dialog || m.phase == Quiet {
		m.do(Bye(e)) // our CANCEL came too late. RFC 3261 §9.1
	}
}

func (m *machine) refused(e Refused) {
	if e.Dialog != m.dialog || m.phase != Inviting {
		return
	}
	m.phase = Quiet
	m.failAll(e.Failure)
}

func (m *machine) sent(e Sent) {
	if !m.flying || m.flight.item != e.Item {
		return
	}
	m.flying = false
	over := e.Over && e.Dialog == m.dialog && (m.phase == Open || m.phase == Accepting)
	if over {
		m.do(Drop{m.dialog})
		m.phase = Quiet
	}
	switch {
	case e.Failure == nil:
		m.last = m.at
		m.do(Done{e.Item, nil})
	case e.Again && !m.flight.again && m.at.Before(m.flight.deadline):
		again := m.flight
		again.again = true
		m.pushFront(again)
	default:
		m.do(Done{e.Item, e.Failure})
	}
}

func (m *machine) ended(e Ended) {
	if e.Dialog != m.dialog || m.phase == Quiet || m.phase == Inviting {
		return
	}
	m.phase, m.leaving = Quiet, false
	m.do(Left{})
}

func (m *machine) tick() {
	for len(m.queue) > 0 && !m.at.Before(m.queue[0].deadline) {
		late := m.queue[0]
		m.queue = m.queue[1:]
		m.do(Done{late.item, &im.Failure{Condition: im.RemoteServerTimeout, Text: m.excuse()}})
	}
	if len(m.queue) > 0 || m.flying {
		return
	}
	switch m.phase {
	case Inviting:
		m.do(Cancel{m.dialog}) // nobody waits for it any more
		m.phase = Quiet
	case Accepting, Open:
		if !m.at.Before(m.last.Add(m.limits.Idle)) {
			m.do(Bye{m.dialog})
			m.phase = Quiet
		}
	}
}

func (m *machine) excuse() string {
	if m.phase == Inviting {
		return "the invitation to a conversation was not answered in time"
	}
	return "earlier messages of the conversation were not answered in time"
}

func (m *machine) stop() {
	m.failAll(&im.Failure{Condition: im.RecipientUnavailable, Text: "the gateway is being shut down"})
	switch m.phase {
	case Inviting:
		m.do(Cancel{m.dialog})
	case Accepting, Open:
		m.do(Bye{m.dialog})
	}
	m.phase = Quiet
}

func (m *machine) failAll(f *im.Failure) {
	for _, w := range m.queue {
		m.do(Done{w.item, f})
	}
	m.queue = nil
}

// pump moves the queue on as far as the phase allows.
func (m *machine) pump() {
	switch {
	case m.phase == Quiet && len(m.queue) > 0 && !m.flying:
		m.serial++
		m.dialog, m.phase, m.leaving = m.serial, Inviting, false
		m.do(Invite{m.dialog})
	case m.phase == Open && len(m.queue) > 0 && !m.flying:
		m.flight, m.flying = m.queue[0], true // RFC 3428 §8: one at a time, so that order is kept
		m.queue = m.queue[1:]
		m.do(Message{m.dialog, m.flight.item})
	case m.leaving && !m.flying && len(m.queue) == 0:
		m.leaving = false
		if m.phase == Open || m.phase == Accepting {
			m.do(Bye{m.dialog})
			m.phase = Quiet
		}
	}
}
