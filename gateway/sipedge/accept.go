package sipedge

import (
	"time"

	"fedlab/gateway/session"
)

// accept answers the pending INVITE on the XMPP user's behalf (RFC 7573 §5). The text that OCS may put into the INVITE
// (Ms-Text-Format with ms-body) is not read, and "Supported: ms-text-format" not said: its sender then repeats it as MESSAGE,
// which is what OCS 2007 peers are used to.
func (c *conversation) accept(id session.Dialog) func() {
	in := c.pending
	c.pending = nil
	d := &dialog{
		id: id, conv: c, callID: in.callID, localTag: in.ourTag(),
		cancel: make(chan struct{}), acked: make(chan struct{}),
		local: in.to.raw + ";tag=" + in.ourTag(), remote: in.from.raw, target: contactURI(in.message),
		routes: recordRoutes(in.message), peerCSeq: in.cseq, heard: true, link: in.link,
	}
	if d.target == "" {
		d.target = in.from.uri
	}
	c.dialogs[id] = d
	c.e.addDialog(d)
	return func() {
		c.answerInvite(in)
		if !c.e.follow(func() { c.awaitAck(d, in) }) {
			in.tx.Terminate()
		}
	}
}

// answerInvite gives the 200 with our SDP, for an INVITE and a re-INVITE alike.
func (c *conversation) answerInvite(in *inbound) {
	in.respondBody(200, "OK", sdpOffer(c.e.hostname, in.to.uri),
		field{"Contact", c.e.contact()}, field{"Allow", allow}, field{"Content-Type", "application/sdp"})
}

// awaitAck repeats the 200 until the ACK comes, and ends the dialog if none does. RFC 3261 §13.3.1.4
func (c *conversation) awaitAck(d *dialog, in *inbound) {
	defer in.tx.Terminate()
	limit := time.NewTimer(32 * time.Second)
	defer limit.Stop()
	for pause := 500 * time.Millisecond; ; pause = min(2*pause, 4*time.Second) {
		again := time.NewTimer(pause)
		select {
		case <-d.acked:
			again.Stop()
			return
		case <-again.C:
			_ = in.tx.Respond(in.response(200, "OK", sdpOffer(c.e.hostname, in.to.uri),
				field{"Contact", c.e.contact()}, field{"Allow", allow}, field{"Content-Type", "application/sdp"}))
		case <-limit.C:
			c.step(session.Ended{Dialog: d.id})
			if c.forget(d) {
				c.e.sendBye(d)
			}
			return
		case <-in.link.done:
			again.Stop()
			return // the ACK may come on another link; the idle time ends what nobody uses
		case <-c.e.work.Done():
			again.Stop()
			return
		}
	}
}

// forget takes a dialog out of the conversation; false if it was not there any more.
func (c *conversation) forget(d *dialog) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.takeDialog(d.id) != nil
}

// ackArrived notes an ACK: the dialog it names may be used now.
func (e *Edge) ackArrived(_ *link, m *message) {
	if m.malformed() != "" {
		return
	}
	d := e.dialog(m.callID, m.to.param("tag"))
	if d == nil || d.ours {
		return
	}
	d.ackOnce.Do(func() { close(d.acked) })
	d.conv.step(session.Confirmed{Dialog: d.id})
}
