package sipedge

import (
	"cmp"
	"fmt"
	"net/http"
	"time"

	"fedlab/gateway/im"
	"fedlab/gateway/translate"

	"github.com/emiago/sipgo/sip"
)

// pageBytes is the largest MESSAGE outside a session, headers included. RFC 3428 §8
const pageBytes = 1300

// pager sends messages outside sessions (page mode, RFC 3428), for SIP/SIMPLE peers that have none: one at a time to each
// person, so that order is kept and no pile-up arises.
type pager struct {
	waiting []page
	busy    bool
}

type page struct {
	msg      im.Message
	letter   *letter // what goes out, nil: msg
	uri      string  // where it goes, empty: to msg.To
	outcome  im.Outcome
	deadline time.Time
}

// letter is the body of a MESSAGE with the header fields that describe it, Content-Type first.
type letter struct {
	fields []field
	body   []byte
}

// page queues a message.
func (e *Edge) page(h *hop, next page, outcome im.Outcome) {
	to := next.msg.To.Bare()
	e.mu.Lock()
	p := e.pagers[to]
	if p == nil {
		p = &pager{}
		e.pagers[to] = p
	}
	full := len(p.waiting) >= e.limits.Queue || len(e.pagers) > e.maxSessions
	start := false
	if !full {
		next.outcome, next.deadline = outcome, time.Now().Add(e.limits.Patience)
		p.waiting = append(p.waiting, next)
		start, p.busy = !p.busy, true
	}
	e.mu.Unlock()
	switch {
	case full:
		outcome(&im.Failure{Condition: im.ResourceConstraint, Text: "too many messages wait for " + to.String()})
	case start && !e.follow(func() { e.runPager(h, to, p) }):
		outcome(stopping())
	}
}

// runPager sends what waits for one person, then ends.
func (e *Edge) runPager(h *hop, to im.Address, p *pager) {
	for {
		e.mu.Lock()
		if len(p.waiting) == 0 {
			p.busy = false
			delete(e.pagers, to)
			e.mu.Unlock()
			return
		}
		next := p.waiting[0]
		p.waiting = p.waiting[1:]
		e.mu.Unlock()
		switch {
		case e.work.Err() != nil:
			next.outcome(stopping())
		case time.Now().After(next.deadline):
			next.outcome(&im.Failure{Condition: im.RemoteServerTimeout, Text: "earlier messages were not answered in time"})
		default:
			next.outcome(e.sendPage(h, next))
		}
	}
}

// plainLasts is for how long a client that took no envelope is sent none: people get new ones.
const plainLasts = time.Hour

// sendPage sends a page: in the envelope that asks for a report if its sender wants to know, the message still fits, and the client
// at the other end is not known to refuse it. A client that does (415) gets the text as it is: it matters more than the report.
func (e *Edge) sendPage(h *hop, p page) *im.Failure {
	words := p.letter
	if words == nil {
		words = textLetter(p.msg)
	}
	if p.letter == nil && p.msg.ReceiptWanted && p.msg.ID != "" && !e.plain.has(p.msg.To.Bare()) {
		asking, id := enveloped(p.msg)
		e.awaited.put(id, await(p.msg)) // the report may come before the response
		code, f := e.trySendPage(h, p, asking)
		if f == nil {
			return nil
		}
		e.awaited.take(id, nil)
		switch code {
		case tooLong:
		case 415:
			e.plain.put(p.msg.To.Bare(), struct{}{})
		default:
			return f
		}
	}
	_, f := e.trySendPage(h, p, words)
	return f
}

// tooLong stands for a status where a page was not sent for its length.
const tooLong = -1

// trySendPage gives the final status, 0 if there was none.
func (e *Edge) trySendPage(h *hop, p page, words *letter) (int, *im.Failure) {
	m := p.msg
	callID, ok := translate.CallID(m.Thread) // RFC 7572 §4
	if !ok {
		callID = token(26)
	}
	to := translate.SIP(m.To)
	// The sender's device travels as gr here (RFC 7572 §4); in OCS sessions it does not, as OCS compares whole addresses.
	from := "<" + translate.SIP(m.From) + ">;tag=" + token(10)
	for attempt := 1; ; attempt++ {
		req := e.newRequest(sip.MESSAGE, cmp.Or(p.uri, to), callID, from, "<"+to+">", e.pageCSeq.Add(1))
		for _, f := range words.fields {
			req.AppendHeader(sip.NewHeader(f.name, f.value))
		}
		req.SetBody(words.body)
		if n := len(req.String()); n > pageBytes {
			return tooLong, &im.Failure{Condition: im.PolicyViolation, Text: fmt.Sprintf("the message is too long for this recipient: %d bytes with its headers, %d can be sent", n, pageBytes)}
		}
		l, err := h.acquire(e.work)
		if err != nil {
			return 0, noLink(err)
		}
		a, err := e.ask(l, h, req)
		switch {
		case err != nil:
			return 0, unanswered("MESSAGE", h, err)
		case a.again && attempt == 1: // nobody has seen it yet
		case a.code >= 300:
			return a.code, refusal("MESSAGE", m.To, a)
		default:
			return a.code, nil
		}
	}
}

// textLetter is a message with a text.
func textLetter(m im.Message) *letter {
	fields := []field{{"Content-Type", "text/plain; charset=UTF-8"}}
	if s := translate.HeaderText(m.Subject, 200); s != "" {
		fields = append(fields, field{"Subject", s})
	}
	if lang := translate.LanguageTag(m.Lang); lang != "" {
		fields = append(fields, field{"Content-Language", lang})
	}
	if !m.Sent.IsZero() { // it was delayed on its way. RFC 3261 §20.17
		fields = append(fields, field{"Date", m.Sent.UTC().Format(http.TimeFormat)})
	}
	return &letter{fields, []byte(m.Body)}
}
