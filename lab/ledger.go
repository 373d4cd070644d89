package lab

import (
	"cmp"
	"strings"

	"fedlab/sim/trace"
)

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

// ledger follows every message that a user sent. The zero value is one without messages.
type ledger struct {
	sent     map[conversation]*letters
	stray    []trace.Event  // what was shown to somebody without having been sent
	notices  map[int]string // what the gateway told SIP users: by the event's Seq, the text of the message that did not arrive
	open     int            // messages whose fate is open
	returned int            // messages that were returned
	most     int            // messages in all
}

// letters are the messages of a conversation.
type letters struct {
	fates  []*fate            // in the order in which they were sent
	byBody map[string][]*fate // the same
}

// enter notes an event.
func (l *ledger) enter(e trace.Event) {
	if e.Layer != trace.Client {
		return
	}
	switch {
	case e.Kind == trace.Sent && e.Item.Type == trace.Message:
		l.posted(e)
	case e.Kind == trace.Dropped && e.Item.Type == trace.Message:
		if f := l.pick(conversation{e.From, e.To}, e.Item.Body, func(f *fate) int { return map[bool]int{true: 1}[f.dropped] }); f != nil {
			l.change(f, func() { f.dropped = true })
		}
	case e.Kind == trace.Received && e.Item.Type == trace.Message:
		f := l.pick(conversation{e.From, e.To}, e.Item.Body, func(f *fate) int { return f.delivered })
		if f == nil || f.delivered > 0 { // nobody's message, or more than there were: the gateway's own words?
			if about := l.noticeOf(conversation{e.To, e.From}, e.Item.Body); about != nil {
				l.failed(about)
				l.notices[e.Seq] = about.sent.Item.Body
				return
			}
		}
		if f != nil {
			l.change(f, func() { f.delivered++ })
		} else {
			l.stray = append(l.stray, e)
		}
	case e.Kind == trace.Received && e.Item.Type == trace.Error: // it comes from the address that the message was sent to
		if f := l.pick(conversation{e.To, e.From}, e.Item.Body, func(f *fate) int { return f.error }); f != nil {
			l.failed(f)
		} else {
			l.stray = append(l.stray, e)
		}
	}
}

func (l *ledger) failed(f *fate) {
	l.change(f, func() { f.error++ })
	l.returned++
}

func (l *ledger) posted(e trace.Event) {
	if l.sent == nil {
		l.sent, l.notices = map[conversation]*letters{}, map[int]string{}
	}
	c := conversation{e.From, e.To}
	if l.sent[c] == nil {
		l.sent[c] = &letters{byBody: map[string][]*fate{}}
	}
	f := &fate{sent: e}
	l.sent[c].fates = append(l.sent[c].fates, f)
	l.sent[c].byBody[e.Item.Body] = append(l.sent[c].byBody[e.Item.Body], f)
	l.open++
	l.most++
}

// change keeps count of what is open.
func (l *ledger) change(f *fate, do func()) {
	was := f.open()
	if do(); was && !f.open() {
		l.open--
	}
}

// pick finds the message with this body, the one that has had the fewest of the same fate if there are several.
func (l *ledger) pick(c conversation, body string, had func(*fate) int) *fate {
	if l.sent[c] == nil {
		return nil
	}
	var best *fate
	for _, f := range l.sent[c].byBody[body] {
		if best == nil || had(f) < had(best) {
			best = f
		}
	}
	return best
}

// noticeOf finds the message that a notice is about, nil if the text is none. By a notice the gateway tells a SIP user in the conversation's window
// of a failure that became known after the message had been accepted: SIP has nothing else that a window would show. Nothing marks it on the wire
// either, so it is known by what it is: a text that the other one's client did not send, and that quotes one of the user's own.
func (l *ledger) noticeOf(c conversation, text string) *fate {
	if l.sent[c] == nil {
		return nil
	}
	var best *fate
	for _, f := range l.sent[c].fates {
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
