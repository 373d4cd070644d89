package lab

import (
	"cmp"
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

// conversation is one direction between two users.
type conversation struct{ from, to string }

func byNames(a, b conversation) int {
	return cmp.Or(strings.Compare(a.from, b.from), strings.Compare(a.to, b.to))
}

// fate is what became of one message.
type fate struct {
	sent             trace.Event
	delivered, error int  // how often
	dropped          bool // by the peer's server, which a scenario made do so
}

// open reports whether nobody knows yet what became of the message.
func (f *fate) open() bool { return f.delivered+f.error == 0 && !f.dropped }

// fates follows every message that a user sent. What was shown to somebody without having been sent is returned as well, and what the gateway
// told SIP users: by the event's Seq, the text of the message that did not arrive.
func fates(events []trace.Event) (sent map[conversation][]*fate, stray []trace.Event, notices map[int]string) {
	sent, notices = map[conversation][]*fate{}, map[int]string{}
	for _, e := range events {
		if e.Layer != trace.Client {
			continue
		}
		switch {
		case e.Kind == trace.Sent && e.Item.Type == trace.Message:
			c := conversation{e.From, e.To}
			sent[c] = append(sent[c], &fate{sent: e})
		case e.Kind == trace.Dropped && e.Item.Type == trace.Message:
			if f := pick(sent[conversation{e.From, e.To}], e.Item.Body, func(f *fate) int { return map[bool]int{true: 1}[f.dropped] }); f != nil {
				f.dropped = true
			}
		case e.Kind == trace.Received && e.Item.Type == trace.Message:
			f := pick(sent[conversation{e.From, e.To}], e.Item.Body, func(f *fate) int { return f.delivered })
			if f == nil || f.delivered > 0 { // nobody's message, or more than there were: the gateway's own words?
				if about := noticeOf(sent[conversation{e.To, e.From}], e.Item.Body); about != nil {
					about.error++
					notices[e.Seq] = about.sent.Item.Body
					continue
				}
			}
			if f != nil {
				f.delivered++
			} else {
				stray = append(stray, e)
			}
		case e.Kind == trace.Received && e.Item.Type == trace.Error: // it comes from the address that the message was sent to
			if f := pick(sent[conversation{e.To, e.From}], e.Item.Body, func(f *fate) int { return f.error }); f != nil {
				f.error++
			} else {
				stray = append(stray, e)
			}
		}
	}
	return sent, stray, notices
}

// pick finds the message with this body, the one that has had the fewest of the same fate if there are several.
func pick(all []*fate, body string, had func(*fate) int) *fate {
	var best *fate
	for _, f := range all {
		if f.sent.Item.Body == body && (best == nil || had(f) < had(best)) {
			best = f
		}
	}
	return best
}

// noticeOf finds the message that a notice is about, nil if the text is none. By a notice the gateway tells a SIP user in the conversation's window
// of a failure that became known after the message had been accepted: SIP has nothing else that a window would show. Nothing marks it on the wire
// either, so it is known by what it is: a text that the other one's client did not send, and that quotes one of the user's own.
func noticeOf(sent []*fate, text string) *fate {
	var best *fate
	for _, f := range sent {
		if strings.HasPrefix(text, "“"+quoted(f.sent.Item.Body)+"” could not be delivered: ") && (best == nil || f.error < best.error) {
			best = f
		}
	}
	return best
}

// quoted is as much of a message as a notice quotes.
func quoted(body string) string {
	const most = 100
	if runes := []rune(body); len(runes) > most {
		return string(runes[:most]) + "…"
	}
	return body
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
	sent, stray, _ := fates(events)
	for _, e := range stray {
		fail(e, "%s was shown %q from %s, who did not send it", e.To, e.Item.Body, e.From)
	}
	for _, c := range slices.SortedFunc(maps.Keys(sent), byNames) {
		for _, f := range sent[c] {
			switch {
			case f.open():
				failures = append(failures, Failure{file, fmt.Sprintf("lost silently: %q from %s to %s was neither delivered nor returned%s",
					f.sent.Item.Body, c.from, c.to, before(events, len(events)))})
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

// pending counts the messages whose fate is open.
func pending(events []trace.Event) int {
	sent, _, _ := fates(events)
	n := 0
	for _, all := range sent {
		for _, f := range all {
			if f.open() {
				n++
			}
		}
	}
	return n
}

// before shows the last events up to seq that people read: no bare packets.
func before(events []trace.Event, seq int) string {
	const most = 8
	var lines []string
	for _, e := range slices.Backward(events[:min(seq, len(events))]) {
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
