package lab

import (
	"strings"
	"testing"

	"fedlab/lab/scenario"
	"fedlab/sim/trace"
)

const crowdHead = "title: T\ntopology: contoso\npatch:\n  hosts:\n" +
	"    edge: {edge: {crowd: {users: 4, contacts: 2}}}\n    talk0: {google_talk: {crowd: {users: 2, contacts: 4}}}\nsteps:\n"

func crowded(t *testing.T, steps string) *scenario.Scenario {
	t.Helper()
	all, err := library().Parse("crowd.yaml", []byte(crowdHead+steps))
	if err != nil {
		t.Fatal(err)
	}
	return all[0]
}

func says(user, state string) trace.Event {
	return trace.Event{Layer: trace.Client, Kind: trace.Sent, From: user, Item: trace.Item{Type: trace.Presence, State: state}}
}

func sees(user, contact, state string) trace.Event {
	return trace.Event{Layer: trace.Client, Kind: trace.Received, From: contact, To: user, Item: trace.Item{Type: trace.Presence, State: state}}
}

// What a crowd's clients show is compared with what each user has said last.
func TestCrowdIsCompared(t *testing.T) {
	s := crowded(t, "  - arrive: {}\n")
	r := trace.NewRecorder()
	c := newCrowd(s.Deployed, r)
	const one, two, g = "user1@contoso.com", "user2@contoso.com", "user1@gmail.com"
	if n := c.pairs(); n != 16 || len(c.of("contoso.com")) != 4 || c.of("gmail.com")[1] != "user2@gmail.com" || len(c.of("")) != 6 {
		t.Fatalf("%d pairs, %v", n, c.of(""))
	}
	for i, step := range []struct {
		e     trace.Event
		wrong int
	}{
		{says(one, "available"), 0},             // nobody else is there to see it
		{says(g, "available"), 2},               // neither sees the other
		{sees(g, one, "available"), 1},          // he does
		{sees(one, g, "away"), 1},               // he does not
		{sees(one, g, "available"), 0},          //
		{says(one, "dnd"), 1},                   // stale
		{sees(g, one, "dnd"), 0},                //
		{says(two, "away"), 2},                  //
		{sees(two, g, "available"), 1},          //
		{says(g, gone), 2},                      // who is gone sees nothing, and is still seen
		{sees(one, g, gone), 1},                 //
		{sees(two, g, gone), 0},                 //
		{sees("bob@gmail.com", one, "away"), 0}, // not of the crowd
		{says("alice@contoso.com", "away"), 0},  //
	} {
		r.Record(step.e)
		if c.catchUp(); len(c.wrong) != step.wrong {
			t.Fatalf("step %d: %d wrong, want %d: %v", i, len(c.wrong), step.wrong, c.wrong)
		}
	}
	r.Record(says(g, "available"))
	c.catchUp()
	c.down(s.Deployed, "edge")
	if len(c.wrong) != 0 || c.last[one] != "dnd" {
		t.Errorf("the pool is down, and %v is wrong", c.wrong)
	}
}

// A run of a crowd fails where what is shown is not true, messages come back or there are too many of them, and says so.
func TestCrowdFails(t *testing.T) {
	for steps, want := range map[string]string{
		"  - arrive: {}\n  - agree: {}\n  - cut: {segment: perimeter}\n  - leave: {domain: gmail.com}\n  - agree: {within: 20s}\n":                                           "8 of 16 times somebody is not seen as he is",
		"  - cut: {segment: perimeter}\n  - live: {for: 5m, sessions: 60, domain: gmail.com}\n  - agree: {about: messages}\n":                                                "expected that at most 0 messages are returned",
		"  - arrive: {}\n  - agree: {}\n  - peak: {at: edge, of: SUBSCRIBE, most: 3}\n":                                                                                      "expected at most 3 SUBSCRIBE a second at edge, and there were 8",
		"  - arrive: {}\n  - agree: {}\n  - peak: {at: edge, of: SUBSCRIBE, most: 100}\n  - peak: {at: edge, of: BYE, most: 100}\n":                                          "expected at least 1 BYE at edge, and there were 0",
		"  - arrive: {}\n  - agree: {}\n  - peak: {at: talk0, of: presence, total: 1000, most: 1000}\n":                                                                      "expected at least 1000 presence at talk0",
		"  - live: {for: 5m, sessions: 60, domain: gmail.com}\n  - cut: {segment: perimeter}\n  - live: {for: 5m, changes: 12}\n  - agree: {about: presence, within: 20s}\n": "times somebody is not seen as he is",
	} {
		r := Run(crowded(t, steps), Options{Clock: VirtualTime(t), Seed: 1})
		if r.Passed() || !strings.Contains(r.Failures[0].Message, want) {
			t.Errorf("%s%v, want %s", steps, r.Failures, want)
		}
	}
}

// The same seed gives the same life, another gives another.
func TestCrowdRepeats(t *testing.T) {
	s := crowded(t, "  - arrive: {}\n  - live: {for: 10m, sessions: 12, messages: 3, bytes: 100, changes: 12}\n  - agree: {}\n")
	run := func(seed uint64) *Result { return Run(s, Options{Clock: VirtualTime(t), Seed: seed}) }
	a, b, c := run(1), run(1), run(2)
	compareRuns(a, b)
	for _, r := range []*Result{a, b, c} {
		if !r.Passed() {
			t.Fatal(r.Failures)
		}
	}
	if a.Canonical() == c.Canonical() {
		t.Error("another seed changes nothing")
	}
	messages := 0
	for _, e := range a.Trace {
		if e.Layer == trace.Client && e.Kind == trace.Sent && e.Item.Type == trace.Message {
			if messages++; len(e.Item.Body) != 100 {
				t.Errorf("%d bytes: %q", len(e.Item.Body), e.Item.Body)
			}
		}
	}
	if messages != 6*2*3 {
		t.Errorf("%d messages", messages)
	}
}
