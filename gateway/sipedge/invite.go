package sipedge

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"fedlab/gateway/im"
	"fedlab/gateway/session"
	"fedlab/gateway/translate"

	"github.com/emiago/sipgo/sip"
)

// invite prepares our INVITE and gives what sends it.
func (c *conversation) invite(id session.Dialog) func() {
	d := &dialog{
		id: id, conv: c, ours: true, callID: token(26), localTag: token(10),
		cancel: make(chan struct{}), acked: make(chan struct{}), target: translate.SIP(c.key.sip),
	}
	if callID, ok := translate.CallID(c.thread); ok && id == 1 { // RFC 7573 §4; no Call-ID is used twice
		d.callID = callID
	}
	d.local = "<" + translate.SIP(c.key.xmpp) + ">;tag=" + d.localTag
	d.remote = "<" + d.target + ">"
	c.dialogs[id] = d
	return func() {
		if !c.e.follow(func() { c.runInvite(d) }) {
			c.step(session.Refused{Dialog: id, Failure: stopping()})
		}
	}
}

// runInvite sends the INVITE and follows it to its end. An INVITE carries no text, so it may be sent again: on another link
// when the first one died without an answer, and later when the peer is busy and says when it will be back.
func (c *conversation) runInvite(d *dialog) {
	ctx, stop := context.WithCancel(c.e.work)
	defer stop()
	untie := make(chan struct{})
	c.e.linkGroup.Go(func() {
		select {
		case <-d.cancel:
		case <-untie:
		}
		stop()
	})
	defer close(untie)
	var failure *im.Failure
	for attempt := 0; attempt < 2; attempt++ {
		l, err := c.hop.acquire(ctx)
		if err != nil {
			failure = noLink(err)
			break
		}
		again, f := c.tryInvite(d, l)
		if failure = f; !again {
			break
		}
	}
	if failure != nil {
		c.mu.Lock()
		delete(c.dialogs, d.id)
		c.mu.Unlock()
		c.step(session.Refused{Dialog: d.id, Failure: failure})
	}
}

// tryInvite sends the INVITE on l. again says that l died before the peer said anything, or that the peer is busy and soon back.
func (c *conversation) tryInvite(d *dialog, l *link) (again bool, failure *im.Failure) {
	extra := []field{
		{"Contact", c.e.contact()}, {"Allow", allow}, {"User-Agent", userAgent}, {"Content-Type", "application/sdp"},
	}
	req := d.request(c.e, sip.INVITE, 0, extra...)
	req.SetBody(sdpOffer(c.e.hostname, ""))
	tx, err := c.e.stack.start(c.e.work, l, req)
	if err != nil {
		return true, noLink(err)
	}
	defer tx.Terminate()

	began, heard, taken := time.Now(), false, d.cancel
	var giveUp <-chan time.Time
	for {
		select {
		case res := <-tx.Responses():
			heard = true
			a := readAnswer(res)
			switch {
			case a.code < 200:
				if taken == nil && giveUp == nil {
					giveUp = c.takeBack(d, l, req)
				}
			case a.code < 300:
				c.opened(d, l, req, a, tx)
				return false, nil
			default:
				return c.hop.heed(a), refusal("INVITE", c.key.sip, a)
			}
		case <-taken:
			taken = nil // RFC 3261 §9.1: CANCEL waits for a provisional response
			if heard {
				giveUp = c.takeBack(d, l, req)
			}
		case <-giveUp:
			return false, translate.FailureFor(487, "the invitation was taken back")
		case <-l.done:
			return !heard, noLink(c.e.stack.whyDone(l, errNoLink))
		case <-tx.Done():
			if errors.Is(tx.Err(), sip.ErrTransactionTimeout) {
				l.suspect(began)
				return false, translate.FailureFor(408, c.hop.address+" did not answer the INVITE in 32 seconds")
			}
			return !heard, noLink(c.e.stack.whyDone(l, tx.Err()))
		case <-c.e.work.Done():
			return false, stopping()
		}
	}
}

// takeBack sends CANCEL: the INVITE's own Via, Request-URI, From, To and Call-ID. It gives how long to wait for the 487.
// RFC 3261 §9.1
func (c *conversation) takeBack(d *dialog, l *link, invite *sip.Request) <-chan time.Time {
	req := sip.NewRequest(sip.CANCEL, *invite.Recipient.Clone())
	req.AppendHeader(sip.HeaderClone(invite.Via()))
	for _, name := range []string{"Max-Forwards", "Route", "From", "To", "Call-ID"} {
		sip.CopyHeaders(name, invite, req)
	}
	req.AppendHeader(&sip.CSeqHeader{SeqNo: invite.CSeq().SeqNo, MethodName: sip.CANCEL})
	req.SetBody(nil)
	c.e.group.Go(func() { _, _ = c.e.stack.do(c.e.work, l, req) }) // also while we stop: our caller is one of the group
	return time.After(32 * time.Second)
}

// opened acknowledges the 2xx and makes the dialog known. The transaction ends before: a 2xx that comes again belongs to nobody then, and
// is acknowledged again (strayAnswer). RFC 3261 §17.1.1.2
func (c *conversation) opened(d *dialog, l *link, invite *sip.Request, a *answer, tx *sip.ClientTx) {
	d.establish(a, l)
	c.e.addDialog(d)
	tx.Terminate()
	c.e.ack(d, l, invite.CSeq().SeqNo)
	c.step(session.Answered{Dialog: d.id})
}

// ack sends the ACK to a 2xx. RFC 3261 §13.2.2.4
func (e *Edge) ack(d *dialog, l *link, cseq uint32) {
	req := d.request(e, sip.ACK, cseq)
	req.SetBody(nil)
	_ = e.stack.write(l, req) // if the link is gone the peer repeats its 200 on another
}

// strayAnswer is a response no transaction waits for: a repeated 2xx is acknowledged again, and a 2xx of another fork is
// acknowledged and ended. RFC 3261 §13.2.2.4
func (e *Edge) strayAnswer(l *link, a *answer) {
	if a.method != string(sip.INVITE) || a.code < 200 || a.code > 299 || a.malformed() != "" {
		return
	}
	d := e.dialog(a.callID, a.from.param("tag"))
	if d == nil || !d.ours {
		return
	}
	d.mu.Lock()
	same := parseNameAddr(d.remote).param("tag") == a.to.param("tag")
	d.mu.Unlock()
	if same {
		e.ack(d, l, a.cseq)
		return
	}
	fork := &dialog{conv: d.conv, callID: d.callID, localTag: d.localTag, ours: true, local: d.local, target: d.target, cseq: a.cseq}
	fork.establish(a, l)
	e.ack(fork, l, a.cseq)
	e.follow(func() { e.sendBye(fork) })
}

// sendMessage sends one message in its dialog and reports its fate.
func (c *conversation) sendMessage(d *dialog, item session.Item, o *outgoing) {
	report := session.Sent{Item: item}
	if d == nil {
		report.Failure, report.Again = translate.FailureFor(481, "the session was over"), true
		c.step(report)
		return
	}
	report.Dialog = d.id
	c.mu.Lock()
	told := c.told
	c.mu.Unlock()
	c.await(told)
	l, err := c.linkFor(d)
	if err != nil {
		report.Failure = noLink(err)
		c.step(report)
		return
	}
	text := func() (*answer, error) {
		words := textLetter(o.msg)
		req := d.request(c.e, sip.MESSAGE, 0, words.fields...)
		req.SetBody(words.body)
		return c.e.ask(l, c.hop, req)
	}
	a, err := text()
	if err == nil && a.again && c.hop.calm(c.e.work) == nil { // nobody has seen the text yet
		a, err = text()
	}
	switch {
	case err != nil:
		report.Failure = unanswered("MESSAGE", c.hop, err)
		report.Over = errors.Is(err, sip.ErrTransactionTimeout)
	case a.code >= 300:
		report.Failure = refusal("MESSAGE", c.key.sip, a)
		report.Over, report.Again = endsDialog(a.code), a.code == 481
	}
	c.step(report)
	if report.Failure == nil {
		c.answeredText(d, o.msg, a)
	}
}

// linkFor keeps a dialog's requests on the link that the last one used, while it lives: so their order is kept.
func (c *conversation) linkFor(d *dialog) (*link, error) {
	d.mu.Lock()
	l := d.link
	d.mu.Unlock()
	if l != nil && l.reason() == nil {
		return l, nil
	}
	l, err := c.hop.acquire(c.e.work)
	if err != nil {
		return nil, err
	}
	d.mu.Lock()
	d.link = l
	d.mu.Unlock()
	return l, nil
}

// sendBye ends a dialog; the answer changes nothing.
func (e *Edge) sendBye(d *dialog) {
	ctx, cancel := context.WithTimeout(e.work, 10*time.Second)
	defer cancel()
	d.mu.Lock()
	l := d.link
	d.mu.Unlock()
	if l == nil || l.reason() != nil {
		var err error
		if l, err = d.conv.hop.acquire(ctx); err != nil {
			return
		}
	}
	req := d.request(e, sip.BYE, 0)
	req.SetBody(nil)
	_, _ = e.stack.do(ctx, l, req)
}

// endsDialog reports whether a failure of a request in a dialog ends the session it belongs to. RFC 5057 §5.1
func endsDialog(code int) bool {
	switch code {
	case 404, 405, 408, 410, 416, 480, 481, 482, 483, 484, 485, 489, 501, 502, 604:
		return true
	}
	return false
}

// refusal is a final response as a failure.
func refusal(method string, to im.Address, a *answer) *im.Failure {
	f := translate.FailureFor(a.code, fmt.Sprintf("%s to %s was answered %d %s", method, to, a.code, translate.HeaderText(a.reason, 100)))
	if a.code == 301 || a.code == 302 {
		f.NewPlace = contactURI(a.message)
	}
	return f
}

// unanswered is a request without a final response.
func unanswered(method string, h *hop, err error) *im.Failure {
	if errors.Is(err, sip.ErrTransactionTimeout) {
		return translate.FailureFor(408, h.address+" did not answer the "+method+" in 32 seconds")
	}
	if errors.Is(err, context.Canceled) {
		return stopping()
	}
	return noLink(err)
}

// noLink is a request that could not be sent, or whose link died. The text is for the person who wrote; the peer's names and
// certificates are in the log and in Status.
func noLink(err error) *im.Failure {
	return &im.Failure{Condition: im.RemoteServerTimeout, Text: "no connection to the recipient's server: " + strings.TrimPrefix(err.Error(), "sipedge: ")}
}
