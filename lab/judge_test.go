package lab

import (
	"strings"
	"testing"
	"time"

	"fedlab/doctor"
	"fedlab/lab/scenario"
	"fedlab/sim/trace"
)

const bob, alice = "bob@gmail.com", "alice@contoso.com"

func sends(from, to, body string) trace.Event {
	return trace.Event{Layer: trace.Client, Kind: trace.Sent, From: from, To: to, Item: trace.Item{Type: trace.Message, Body: body}}
}

func isShown(from, to, body string) trace.Event {
	return trace.Event{Layer: trace.Client, Kind: trace.Received, From: from, To: to, Item: trace.Item{Type: trace.Message, Body: body}}
}

func isDropped(from, to, body string) trace.Event {
	e := isShown(from, to, body)
	e.Kind = trace.Dropped
	return e
}

func isTold(to, of, body string) trace.Event {
	return trace.Event{Layer: trace.Client, Kind: trace.Received, From: of, To: to, Item: trace.Item{Type: trace.Error, Body: body, Condition: "remote-server-timeout"}}
}

// notice is what the gateway shows a SIP user whose message did not arrive.
func notice(body string) string {
	return "“" + body + "” could not be delivered: service-unavailable"
}

var long = strings.Repeat("0123456789", 12)

func recorded(events ...trace.Event) []trace.Event {
	for i := range events {
		events[i].Seq, events[i].At = i+1, time.Unix(int64(i), 0)
	}
	return events
}

func TestWhatEveryRunMustHold(t *testing.T) {
	for _, c := range []struct {
		name   string
		events []trace.Event
		want   string // the beginning of the only failure; empty: none
	}{
		{"delivered", recorded(sends(bob, alice, "1"), isShown(bob, alice, "1")), ""},
		{"returned", recorded(sends(bob, alice, "1"), isTold(bob, alice, "1")), ""},
		{"returned with a notice in the window", recorded(sends(alice, bob, "hi"), isShown(bob, alice, notice("hi"))), ""},
		{"a notice about a long message", recorded(sends(alice, bob, long), isShown(bob, alice, notice(long[:100]+"…"))), ""},
		{"a notice each", recorded(sends(alice, bob, "hi"), sends(alice, bob, "hi"), isShown(bob, alice, notice("hi")), isShown(bob, alice, notice("hi"))), ""},
		{"a notice about nothing", recorded(isShown(bob, alice, notice("hi"))), "alice@contoso.com was shown"},
		{"a notice about what arrived", recorded(sends(alice, bob, "hi"), isShown(alice, bob, "hi"), isShown(bob, alice, notice("hi"))), "alice@contoso.com was told that"},
		{"a user who writes like a notice", recorded(sends(bob, alice, "My parcel could not be delivered: nobody in"), isShown(bob, alice, "My parcel could not be delivered: nobody in")), ""},
		{"such a message that is lost", recorded(sends(alice, bob, "hi"), isShown(alice, bob, "hi"), sends(bob, alice, notice("hi"))), "lost silently"},
		{"a user who writes a notice word by word", recorded(sends(alice, bob, "hi"), isShown(alice, bob, "hi"), sends(bob, alice, notice("hi")), isShown(bob, alice, notice("hi"))), ""},
		{"and then there is one", recorded(sends(alice, bob, "hi"), sends(bob, alice, notice("hi")), isShown(bob, alice, notice("hi")), isShown(bob, alice, notice("hi"))), ""},
		{"lost", recorded(sends(bob, alice, "1")), "lost silently"},
		{"dropped by the other side's server", recorded(sends(alice, bob, "1"), isDropped(alice, bob, "1")), ""},
		{"dropped once, sent twice", recorded(sends(alice, bob, "1"), sends(alice, bob, "1"), isDropped(alice, bob, "1")), "lost silently"},
		{"lost while its twin arrived", recorded(sends(bob, alice, "1"), sends(bob, alice, "1"), isShown(bob, alice, "1")), "lost silently"},
		{"twins", recorded(sends(bob, alice, "1"), sends(bob, alice, "1"), isShown(bob, alice, "1"), isShown(bob, alice, "1")), ""},
		{"doubled", recorded(sends(bob, alice, "1"), isShown(bob, alice, "1"), isShown(bob, alice, "1")), "doubled"},
		{"delivered and returned", recorded(sends(bob, alice, "1"), isShown(bob, alice, "1"), isTold(bob, alice, "1")), "bob@gmail.com was told that"},
		{"returned twice", recorded(sends(bob, alice, "1"), isTold(bob, alice, "1"), isTold(bob, alice, "1")), "bob@gmail.com was told 2 times"},
		{"from nowhere", recorded(isShown(bob, alice, "1")), "alice@contoso.com was shown"},
		{"error for nothing", recorded(isTold(bob, alice, "1")), "bob@gmail.com was shown"},
		{"out of order", recorded(sends(bob, alice, "1"), sends(bob, alice, "2"), isShown(bob, alice, "2"), isShown(bob, alice, "1")), "out of order"},
		{"order of two conversations is free", recorded(sends(bob, alice, "1"), sends(alice, bob, "2"), isShown(alice, bob, "2"), isShown(bob, alice, "1")), ""},
		{"a gap is no disorder", recorded(sends(bob, alice, "1"), sends(bob, alice, "2"), isTold(bob, alice, "1"), isShown(bob, alice, "2")), ""},
		{"a fake is surprised", recorded(trace.Event{Layer: trace.XMPP, Kind: trace.Unexpected, Host: "talk0", Summary: "stanza before verification"}), "talk0 saw what it did not expect"},
	} {
		t.Run(c.name, func(t *testing.T) {
			failures := judgeAlways(scenario.Pos{File: "f.yaml", Line: 1}, c.events)
			switch {
			case c.want == "" && len(failures) != 0:
				t.Errorf("failed with %v", failures)
			case c.want != "" && (len(failures) != 1 || !strings.HasPrefix(failures[0].Message, c.want)):
				t.Errorf("want one failure %q, got %v", c.want, failures)
			}
		})
	}
}

func TestFindingsAreExact(t *testing.T) {
	filtered := doctor.Finding{Code: "net.filtered", From: doctor.FromOutside}
	refused := doctor.Finding{Code: "net.refused", From: doctor.FromEdge}
	for _, c := range []struct {
		name     string
		expected []scenario.Expected
		found    []doctor.Finding
		failures int
	}{
		{"health", nil, nil, 0},
		{"one too many", nil, []doctor.Finding{filtered}, 1},
		{"one missing", []scenario.Expected{{Code: "net.filtered"}}, nil, 1},
		{"as expected", []scenario.Expected{{Code: "net.filtered"}}, []doctor.Finding{filtered}, 0},
		{"twice the same", []scenario.Expected{{Code: "net.filtered"}}, []doctor.Finding{filtered, filtered}, 0},
		{"from another vantage point", []scenario.Expected{{Code: "net.filtered", From: "edge"}}, []doctor.Finding{filtered}, 2},
		{"another finding", []scenario.Expected{{Code: "net.filtered"}}, []doctor.Finding{refused}, 2},
		{"two", []scenario.Expected{{Code: "net.filtered", From: "outside"}, {Code: "net.refused", From: "edge"}}, []doctor.Finding{refused, filtered}, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := judgeFindings(scenario.Pos{}, c.expected, c.found); len(got) != c.failures {
				t.Errorf("want %d failures, got %v", c.failures, got)
			}
		})
	}
}

func TestCanonicalTraceForgetsWhatDiffers(t *testing.T) {
	at := func(port, id string) []trace.Event {
		return recorded(
			trace.Event{Layer: trace.XMPP, Kind: trace.Sent, Host: "talk0", From: "74.125.45.125:" + port, To: "12.34.56.78:5269", Summary: "message", Data: []byte(id)},
			sends(bob, alice, "1"))
	}
	a, b := canonical(at("40000", "x")), canonical(at("40001", "y"))
	if a != b {
		t.Errorf("differs:\n%s", firstDifference(a, b))
	}
	if c := canonical(at("40000", "x")[:1]); c == a {
		t.Error("a missing message makes no difference")
	}
}
