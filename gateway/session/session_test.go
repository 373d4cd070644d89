package session_test

import (
	"testing"
	"time"

	"fedlab/gateway/im"
	"fedlab/gateway/session"

	"pgregory.net/rapid"
)

var (
	start  = time.Date(2010, 5, 1, 12, 0, 0, 0, time.UTC)
	limits = session.Limits{Queue: 3, Patience: time.Minute, Idle: 10 * time.Minute}
)

// TestGlare: both sides invite at once. Theirs is taken and ours taken back; what waited goes into theirs; ours, should it be
// accepted all the same, is ended.
func TestGlare(t *testing.T) {
	m := newModel(t)
	m.step(session.Send{Item: 1})        // Invite 1
	m.step(session.Invited{})            // Cancel 1, Accept 2
	m.step(session.Confirmed{Dialog: 2}) // Message
	m.step(session.Answered{Dialog: 1})  // Bye 1
	m.step(session.Sent{Dialog: 2, Item: 1})
	m.want("Invite1 Cancel1 Accept2 Message2/1 Bye1 Done1")
}

// TestLostDialog: the peer has forgotten the session (481). The message goes into a new one, once.
func TestLostDialog(t *testing.T) {
	gone := &im.Failure{Condition: im.ItemNotFound, Status: 481}
	m := newModel(t)
	m.step(session.Send{Item: 1})
	m.step(session.Answered{Dialog: 1})
	m.step(session.Sent{Dialog: 1, Item: 1, Failure: gone, Over: true, Again: true})
	m.step(session.Answered{Dialog: 2})
	m.step(session.Sent{Dialog: 2, Item: 1, Failure: gone, Over: true, Again: true})
	m.want("Invite1 Message1/1 Drop1 Invite2 Message2/1 Drop2 Done1!")
}

// TestGone: the XMPP user leaves; what he wrote before goes first. M17
func TestGone(t *testing.T) {
	m := newModel(t)
	m.step(session.Send{Item: 1})
	m.step(session.Leave{})
	m.step(session.Answered{Dialog: 1})
	m.step(session.Sent{Dialog: 1, Item: 1})
	m.want("Invite1 Message1/1 Done1 Bye1")
}

// TestNobodyAnswers: the recipient never clicks. The senders are told, and the invitation is taken back.
func TestNobodyAnswers(t *testing.T) {
	m := newModel(t)
	m.step(session.Send{Item: 1})
	m.now = m.now.Add(30 * time.Second)
	m.step(session.Send{Item: 2})
	for range 2 {
		m.now = m.state.Wake()
		m.step(session.Tick{})
	}
	m.want("Invite1 Done1! Done2! Cancel1")
	if got := m.now.Sub(start); got != 90*time.Second {
		t.Errorf("told after %v", got)
	}
}

// TestIdle: M17, a session in which nothing is said ends.
func TestIdle(t *testing.T) {
	m := newModel(t)
	m.step(session.Invited{})
	m.step(session.Confirmed{Dialog: 1})
	m.now = m.now.Add(4 * time.Minute)
	m.step(session.Active{Dialog: 1})
	m.now = m.state.Wake()
	m.step(session.Tick{})
	m.want("Accept1 Bye1")
	if got := m.now.Sub(start); got != 14*time.Minute {
		t.Errorf("ended after %v", got)
	}
}

func TestFullQueue(t *testing.T) {
	m := newModel(t)
	for i := range session.Item(4) {
		m.step(session.Send{Item: i + 1})
	}
	m.want("Invite1 Done4!")
}

// TestAnySequence: whatever happens in whatever order, no message is lost, doubled or overtaken, and no dialog is left over.
func TestAnySequence(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := newModel(t)
		var items session.Item
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			m.now = m.now.Add(time.Duration(rapid.IntRange(0, 90).Draw(t, "seconds")) * time.Second)
			switch rapid.IntRange(0, 9).Draw(t, "event") {
			case 0, 1, 2:
				items++
				m.step(session.Send{Item: items})
			case 3:
				m.step(session.Invited{})
			case 4:
				m.peer(t)
			case 5:
				m.answerInvite(t)
			case 6:
				m.answerMessage(t)
			case 7:
				m.step(session.Leave{})
			case 8:
				m.step(session.Tick{})
			case 9: // stale and invented
				d := session.Dialog(rapid.IntRange(0, 5).Draw(t, "dialog"))
				m.step(rapid.SampledFrom([]session.Event{
					session.Active{Dialog: 100 + d}, session.Ended{Dialog: 100 + d}, session.Confirmed{Dialog: 100 + d},
					session.Refused{Dialog: 100 + d, Failure: refused}, session.Sent{Dialog: d, Item: 1000, Over: true, Again: true},
				}).Draw(t, "stale"))
			}
		}
		stop := rapid.Bool().Draw(t, "stop")
		if stop {
			m.step(session.Stop{})
		}
		m.settle(t)
		for i := range items {
			if m.done[i+1] != 1 {
				t.Fatalf("item %d ended %d times: %s", i+1, m.done[i+1], m.log)
			}
		}
		for d, state := range m.dialogs {
			if state != over {
				t.Fatalf("dialog %d is left over (%s): %s", d, state, m.log)
			}
		}
		if !m.state.Done() {
			t.Fatalf("not done: phase %s: %s", m.state.Phase(), m.log)
		}
	})
}
