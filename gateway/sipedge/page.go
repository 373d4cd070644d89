package sipedge

import (
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
	outcome  im.Outcome
	deadline time.Time
}

// page queues a message.
func (e *Edge) page(h *hop, m im.Message, outcome im.Outcome) {
	to := m.To.Bare()
	e.mu.Lock()
	p := e.pagers[to]
	if p == nil {
		p = &pager{}
		e.pagers[to] = p
	}
	full := len(p.waiting) >= e.limits.Queue || len(e.pagers) > e.maxSessions
	start := false
	if !full {
		p.waiting = append(p.waiting, page{m, outcome, time.Now().Add(e.limits.Patience)})
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
			next.outcome(e.sendPage(h, next.msg))
		}
	}
}

func (e *Edge) sendPage(h *hop, m im.Message) *im.Failure {
	callID, ok := translate.CallID(m.Thread) // RFC 7572 §4
	if !ok {
		callID = token(26)
	}
	uri := translate.SIP(m.To)
	// The sender's device travels as gr here (RFC 7572 §4); in OCS sessions it does not, as OCS compares whole addresses.
	from := "<" + translate.SIP(m.From) + ">;tag=" + token(10)
	for attempt := 1; ; attempt++ {
		req := e.newRequest(sip.MESSAGE, uri, callID, from, "<"+uri+">", e.pageCSeq.Add(1))
		for _, f := range textFields(m) {
			req.AppendHeader(sip.NewHeader(f.name, f.value))
		}
		req.SetBody([]byte(m.Body))
		if n := len(req.String()); n > pageBytes {
			return &im.Failure{Condition: im.PolicyViolation, Text: fmt.Sprintf("the message is too long for this recipient: %d bytes with its headers, %d can be sent", n, pageBytes)}
		}
		l, err := h.acquire(e.work)
		if err != nil {
			return noLink(err)
		}
		a, err := e.ask(l, h, req)
		switch {
		case err != nil:
			return unanswered("MESSAGE", h, err)
		case a.again && attempt == 1: // nobody has seen it yet
		case a.code >= 300:
			return refusal("MESSAGE", m.To, a)
		default:
			return nil
		}
	}
}

// textFields are the header fields of a message with a text.
func textFields(m im.Message) []field {
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
	return fields
}
