package sipedge

import (
	"errors"
	"time"

	"fedlab/gateway/im"
	"fedlab/gateway/imdn"
	"fedlab/gateway/translate"

	"github.com/emiago/sipgo/sip"
)

// Bounds of what is remembered of delivery reports, each way. A report that comes for what was forgotten is dropped, which its
// reader must be ready for: no report says nothing (RFC 5438 §7.1.3; XEP-0184 §3).
const (
	maxReports  = 50_000
	reportsLast = 24 * time.Hour
)

// wish is what a SIP user wants to be told of a message of his: asked for in its envelope (RFC 5438 §7.1.1.3), or by being of the
// kind that sends reports itself, in an OCS session.
type wish struct {
	xmpp, sip         im.Address // who gets the message; who wrote it, with his device
	hop               *hop
	dialog            *dialog // that it came in; nil: outside sessions
	ocs               bool    // the report is OCS's, about the Message-Id of our 202
	delivered, failed bool    // what is wanted
	asked             imdn.Envelope

	settled  chan struct{} // closed when the message has its final response
	accepted bool          // it is a 2xx; read behind settled
}

// wishKey names the message that a wish is about, as the XMPP side does.
type wishKey struct {
	pair
	id string
}

// wishOf gives the wish that came with a message, nil if there is none. Reports that would have to go to somebody who is not behind
// the link are not granted: they could be aimed at anybody (RFC 5438 §14).
func (in *inbound) wishOf(m *im.Message, d *dialog, env imdn.Envelope) *wish {
	w := &wish{xmpp: m.To.Bare(), sip: m.From, dialog: d, asked: env, delivered: env.Delivered, failed: env.Failed, settled: make(chan struct{})}
	if d != nil {
		w.hop = d.conv.hop
		if env.MessageID == "" && d.conv.reportsSpoken() {
			w.ocs, w.delivered, w.failed = true, true, true
			w.asked.MessageID = token(16)
		}
	} else {
		w.hop = in.link.hopFor(m.From.Domain)
	}
	if w.asked.MessageID == "" || !w.delivered && !w.failed {
		return nil
	}
	if len(env.RecordRoutes) > 0 {
		if first, err := translate.ParseSIP(env.RecordRoutes[0]); err != nil || !w.hop.domains[first.Domain] {
			return nil
		}
	}
	return w
}

// settle notes the final response to the message.
func (w *wish) settle(accepted bool) {
	w.accepted = accepted
	close(w.settled)
}

// received: the XMPP user's client has confirmed a message. A message is reported on once.
func (e *Edge) received(m im.Message) {
	if w, ok := e.wishes.take(wishKey{pair{m.From.Bare(), m.To.Bare()}, m.Receipt}, nil); ok && w.delivered {
		e.report(w, nil, func(error) {})
	}
}

// undelivered tells a SIP user that a message he was told had been taken did not arrive after all: as he wished, and if he has not,
// or that cannot be done, by a notice in the conversation.
func (e *Edge) undelivered(xmpp, sip im.Address, id, body string, f *im.Failure) {
	notice := func(error) { e.converse(xmpp, sip, func(c *conversation) { c.undelivered(id, body, f) }) }
	if w, ok := e.wishes.take(wishKey{pair{xmpp.Bare(), sip.Bare()}, id}, nil); ok && w.failed {
		e.report(w, f, notice)
		return
	}
	notice(nil)
}

// report sends a report, once the message has its 2xx; after any other response there is none (RFC 5438 §12.1.3.1). otherwise is called
// if it cannot be sent, or is not taken.
func (e *Edge) report(w *wish, f *im.Failure, otherwise func(error)) {
	if !e.follow(func() {
		select {
		case <-w.settled:
		case <-e.work.Done():
			return
		}
		switch {
		case !w.accepted:
		case w.dialog == nil:
			e.page(w.hop, page{msg: im.Message{From: w.xmpp, To: w.sip}, letter: w.letter(f), uri: w.route()}, func(f *im.Failure) {
				if f != nil {
					otherwise(f)
				}
			})
		default:
			if err := w.dialog.conv.sendReport(w.dialog, w.letter(f)); err != nil {
				otherwise(err)
			}
		}
	}) {
		otherwise(stopping())
	}
}

// route is where the report goes first. RFC 5438 §7.2.1
func (w *wish) route() string {
	if len(w.asked.RecordRoutes) > 0 {
		return w.asked.RecordRoutes[0]
	}
	return translate.SIP(w.sip)
}

// letter is the report: f says why the message was not delivered, nil that it was.
func (w *wish) letter(f *im.Failure) *letter {
	if w.ocs {
		status, _ := translate.StatusFor(f, true)
		r := imdn.OCSReport{MessageID: w.asked.MessageID, Recipients: []imdn.OCSRecipient{{URI: translate.SIP(w.xmpp), Status: status}}}
		return &letter{[]field{{"Content-Type", imdn.OCSType}}, r.Bytes()}
	}
	ask, status := w.asked, "delivered"
	if f != nil {
		status = "failed"
	}
	from, to := ask.To, ask.From
	orElse(&from, translate.SIP(w.xmpp))
	orElse(&to, translate.SIP(w.sip))
	orElse(&ask.DateTime, time.Now().UTC().Format(time.RFC3339))
	r := imdn.Report{MessageID: ask.MessageID, DateTime: ask.DateTime, Recipient: from, Original: ask.OriginalTo, Category: imdn.Delivery, Status: status}
	env := imdn.Envelope{From: from, To: to, DateTime: time.Now().UTC().Format(time.RFC3339), MessageID: token(20), Routes: ask.RecordRoutes,
		Notification: true, ContentType: imdn.ReportType, Body: r.Bytes()}
	return &letter{[]field{{"Content-Type", imdn.EnvelopeType}}, env.Bytes()}
}

var errSessionOver = errors.New("sipedge: the session that the message came in is over")

// sendReport sends a report in the session that the message came in. It is worth no session of its own: a window would open.
func (c *conversation) sendReport(d *dialog, report *letter) error {
	c.mu.Lock()
	open := c.dialogs[d.id] == d && c.state.Dialog() == d.id
	c.mu.Unlock()
	if !open {
		return errSessionOver
	}
	l, err := c.linkFor(d)
	if err != nil {
		return noLink(err)
	}
	req := d.request(c.e, sip.MESSAGE, 0, report.fields...)
	req.SetBody(report.body)
	a, err := c.e.ask(l, c.hop, req)
	switch {
	case err != nil:
		return unanswered("MESSAGE", c.hop, err)
	case a.code >= 300:
		return refusal("MESSAGE", c.key.sip, a)
	}
	return nil
}
