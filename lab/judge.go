package lab

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"fedlab/doctor"
	"fedlab/lab/scenario"
	"fedlab/sim/trace"
)

// judgeFindings compares what the doctor found with what the scenario says, exactly: one missing or one too many fails.
func judgeFindings(file scenario.Pos, expected []scenario.Expected, found []doctor.Finding) []Failure {
	var failures []Failure
	explained := make([]bool, len(found))
	for _, e := range expected {
		seen := false
		for i, f := range found {
			if f.Code == e.Code && (e.From == "" || e.From == string(f.From)) && (e.About == "" || e.About == f.Subject) {
				explained[i], seen = true, true
			}
		}
		if !seen {
			failures = append(failures, Failure{e.Pos, fmt.Sprintf("expected the finding %s, and the doctor made %s", quoteExpected(e), codes(found))})
		}
	}
	for i, f := range found {
		if !explained[i] {
			pos := file
			if len(expected) > 0 {
				pos = expected[0].Pos
			}
			failures = append(failures, Failure{pos, fmt.Sprintf("unexpected finding %s from the %s's vantage point: %s\n    %s",
				f.Code, f.From, f.Subject, strings.Join(f.Evidence, "\n    "))})
		}
	}
	return failures
}

func quoteExpected(e scenario.Expected) string {
	s := e.Code
	if e.About != "" {
		s += " about " + e.About
	}
	if e.From != "" {
		s += " from the " + e.From + "'s vantage point"
	}
	return s
}

func codes(found []doctor.Finding) string {
	if len(found) == 0 {
		return "none"
	}
	var list []string
	for _, f := range found {
		list = append(list, f.Code+" ("+string(f.From)+")")
	}
	slices.Sort(list)
	return strings.Join(slices.Compact(list), ", ")
}

// judgeAlways holds what every run must hold, asked or not.
func judgeAlways(file scenario.Pos, events []trace.Event) []Failure {
	var failures []Failure
	fail := func(at trace.Event, format string, args ...any) {
		failures = append(failures, Failure{file, fmt.Sprintf(format, args...) + before(events, at.Seq)})
	}
	for _, e := range events {
		if e.Kind == trace.Unexpected {
			fail(e, "%s saw what it did not expect: %s", e.Host, e.Summary)
		}
	}
	var messages ledger
	for _, e := range events {
		messages.enter(e)
	}
	for _, e := range messages.stray {
		fail(e, "%s was shown %q from %s, who did not send it", e.To, e.Item.Body, e.From)
	}
	for _, c := range slices.SortedFunc(maps.Keys(messages.sent), byNames) {
		for _, f := range messages.sent[c].fates {
			switch {
			case f.open():
				failures = append(failures, Failure{file, fmt.Sprintf("lost silently: %q from %s to %s was neither delivered nor returned%s",
					f.sent.Item.Body, c.from, c.to, before(events, events[len(events)-1].Seq))})
			case f.delivered > 1:
				fail(f.sent, "doubled: %q from %s was shown %d times to %s", f.sent.Item.Body, c.from, f.delivered, c.to)
			case f.error > 1:
				fail(f.sent, "%s was told %d times that %q did not reach %s", c.from, f.error, f.sent.Item.Body, c.to)
			case f.delivered == 1 && f.error == 1:
				fail(f.sent, "%s was told that %q did not reach %s, who was shown it", c.from, f.sent.Item.Body, c.to)
			}
		}
	}
	failures = append(failures, judgeOrder(file, events)...)
	return failures
}

// judgeOrder holds that messages are shown in the order in which they were sent.
func judgeOrder(file scenario.Pos, events []trace.Event) []Failure {
	var failures []Failure
	order := map[conversation][]string{}
	shown := map[conversation][]string{}
	last := map[conversation]int{}
	for _, e := range events {
		if e.Layer != trace.Client || e.Item.Type != trace.Message || e.Kind == trace.Dropped {
			continue
		}
		c := conversation{e.From, e.To}
		if e.Kind == trace.Sent {
			order[c] = append(order[c], e.Item.Body)
			continue
		}
		shown[c] = append(shown[c], e.Item.Body)
		at := slices.Index(order[c][min(last[c], len(order[c])):], e.Item.Body)
		if at >= 0 {
			last[c] += at + 1
		} else if count(shown[c], e.Item.Body) <= count(order[c], e.Item.Body) { // more often is doubled, which is told elsewhere
			failures = append(failures, Failure{file, fmt.Sprintf("out of order: %s was shown %q from %s after a message that was sent later%s",
				e.To, e.Item.Body, e.From, before(events, e.Seq))})
		}
	}
	return failures
}

func count(all []string, one string) int {
	n := 0
	for _, s := range all {
		if s == one {
			n++
		}
	}
	return n
}

// before shows the last events up to seq that people read: no bare packets.
func before(events []trace.Event, seq int) string {
	const most = 8
	var lines []string
	at, found := slices.BinarySearchFunc(events, seq, func(e trace.Event, seq int) int { return e.Seq - seq })
	if found {
		at++
	}
	for _, e := range slices.Backward(events[:at]) {
		if e.Layer == trace.Packet || e.Layer == trace.Router && e.Kind != trace.Dropped && e.Kind != trace.Rejected {
			continue
		}
		lines = append(lines, fmt.Sprintf("    %s  %s", e.At.UTC().Format("15:04:05.000"), e))
		if len(lines) == most {
			break
		}
	}
	if len(lines) == 0 {
		return ""
	}
	slices.Reverse(lines)
	return "; the last events before:\n" + strings.Join(lines, "\n")
}
