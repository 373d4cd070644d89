// Package session is the life of one conversation's SIP session, as a pure machine.
//
// XMPP people just write; OCS people write inside an INVITE dialog. For each pair of people (one on either side) there is one
// [State]. [Step] takes what happened and says what to do: open a dialog for the first message, hold the following ones until
// it stands, send them one after the other, take the peer's dialog where both opened one at the same time, end it when nobody
// writes any more. It does nothing itself: no packets, no clock, no locks. Package sipedge feeds it and carries out its actions.
//
// What it promises, whatever the order of events: a message given to it ends in exactly one [Done]; it is handed out for
// sending a second time only if the peer said that it did not take it (481); messages are sent in the order they were given;
// every dialog that was opened is ended by [Bye], [Cancel] or [Drop], or by the peer. RFC 7573 §4 and §5 tell the story for
// MSRP; OCS speaks the same one with MESSAGE in the dialog.
package session

import (
	"slices"
	"time"

	"fedlab/gateway/im"
)

// Dialog names one INVITE dialog, or the attempt at one, within a conversation. The machine counts them from 1.
type Dialog uint64

// Item is the caller's name for one message on its way to the SIP user.
type Item uint64

// Limits bound a conversation. All must be positive.
type Limits struct {
	Queue    int           // messages that may wait
	Patience time.Duration // a message waits no longer than this before it is sent
	Idle     time.Duration // a session without traffic is ended after this
}

// Phase is how far the session is.
type Phase uint8

// The phases.
const (
	Quiet     Phase = iota // no session
	Inviting               // our INVITE is out
	Accepting              // we accepted the peer's INVITE and wait for its ACK
	Open                   // messages can pass
)

func (p Phase) String() string { return [...]string{"quiet", "inviting", "accepting", "open"}[p] }

// State is one conversation. Make one with [New]; a State is a value, and Step never changes the one it is given.
type State struct {
	limits  Limits
	phase   Phase
	dialog  Dialog // the current one, unless quiet
	serial  Dialog // the last one named
	queue   []waiting
	flight  waiting // sent and not yet answered
	flying  bool
	leaving bool      // the XMPP user has left: end the session once the queue is empty
	last    time.Time // of the last traffic
}

type waiting struct {
	item     Item
	deadline time.Time
	again    bool // it was sent once and refused with 481
}

// New is a conversation in which nothing has been said.
func New(l Limits) State { return State{limits: l} }

// Phase says how far the session is.
func (s State) Phase() Phase { return s.phase }

// Dialog is the current dialog, 0 if there is none.
func (s State) Dialog() Dialog {
	if s.phase == Quiet {
		return 0
	}
	return s.dialog
}

// Done reports that nothing is left to do: no session, no message. The caller may forget the conversation.
func (s State) Done() bool { return s.phase == Quiet && len(s.queue) == 0 && !s.flying }

// Wake is when the next [Tick] is due, zero if none is.
func (s State) Wake() time.Time {
	if len(s.queue) > 0 {
		return s.queue[0].deadline
	}
	if (s.phase == Open || s.phase == Accepting) && !s.flying {
		return s.last.Add(s.limits.Idle)
	}
	return time.Time{}
}

// Event is something that happened.
type Event interface{ event() }

// The events. An event that names a dialog other than the current one, or an item that is not in flight, is stale and does no
// harm.
type (
	// Send: the XMPP user wrote a message.
	Send struct{ Item Item }
	// Leave: the XMPP user left the conversation (XEP-0085 gone).
	Leave struct{}
	// Invited: the SIP user opened a dialog that can be accepted.
	Invited struct{}
	// Confirmed: the dialog that was accepted is acknowledged.
	Confirmed struct{ Dialog Dialog }
	// Active: the SIP user sent something in this dialog.
	Active struct{ Dialog Dialog }
	// Answered: our INVITE was accepted.
	Answered struct{ Dialog Dialog }
	// Refused: our INVITE failed for good.
	Refused struct {
		Dialog  Dialog
		Failure *im.Failure
	}
	// Sent: the message in flight was answered, or will not be any more.
	Sent struct {
		Dialog  Dialog
		Item    Item
		Failure *im.Failure // nil: taken
		Over    bool        // the dialog is no more (RFC 5057 §5.1)
		Again   bool        // the peer certainly did not take it for want of the dialog: it may go into a new one
	}
	// Ended: the SIP user ended the dialog.
	Ended struct{ Dialog Dialog }
	// Tick: time passed.
	Tick struct{}
	// Stop: the gateway stops.
	Stop struct{}
)

func (Send) event()      {}
func (Leave) event()     {}
func (Invited) event()   {}
func (Confirmed) event() {}
func (Active) event()    {}
func (Answered) event()  {}
func (Refused) event()   {}
func (Sent) event()      {}
func (Ended) event()     {}
func (Tick) event()      {}
func (Stop) event()      {}

// Action is something to do.
type Action interface{ action() }

// The actions, to be carried out in order.
type (
	// Invite: open this dialog; report Answered or Refused.
	Invite struct{ Dialog Dialog }
	// Accept: accept the INVITE that was reported by Invited as this dialog.
	Accept struct{ Dialog Dialog }
	// Cancel: take back the INVITE of this dialog. If it is answered all the same, report Answered.
	Cancel struct{ Dialog Dialog }
	// Bye: end this dialog.
	Bye struct{ Dialog Dialog }
	// Drop: forget this dialog; the peer has done so already.
	Drop struct{ Dialog Dialog }
	// Message: send this item in this dialog; report Sent.
	Message struct {
		Dialog Dialog
		Item   Item
	}
	// Done: the item's fate, nil for taken by the peer.
	Done struct {
		Item    Item
		Failure *im.Failure
	}
	// Left: tell the XMPP user that the SIP user has left the conversation.
	Left struct{}
)

func (Invite) action()  {}
func (Accept) action()  {}
func (Cancel) action()  {}
func (Bye) action()     {}
func (Drop) action()    {}
func (Message) action() {}
func (Done) action()    {}
func (Left) action()    {}

// push appends to the queue without touching the array that older States share.
func (s *State) push(w waiting) { s.queue = append(slices.Clip(s.queue), w) }

func (s *State) pushFront(w waiting) {
	s.queue = append([]waiting{w}, s.queue...)
}
