package sipedge

import (
	"fmt"
	"slices"
	"time"

	"fedlab/gateway/im"
	"fedlab/gateway/imdn"
	"fedlab/gateway/translate"
)

// awaited is a message to a SIP user whose delivery will be reported on.
type awaited struct {
	xmpp, sip  im.Address // who wrote it, with his device; who gets it
	id, thread string     // the XMPP user's names for it and for the conversation
	wanted     bool       // he wants to know that it was delivered
}

func await(m im.Message) awaited {
	return awaited{xmpp: m.From, sip: m.To.Bare(), id: m.ID, thread: m.Thread, wanted: m.ReceiptWanted && m.ID != ""}
}

// came tells the XMPP user what became of his message: f says why it was not delivered, nil that it was. XEP-0184 §5
func (e *Edge) came(r awaited, f *im.Failure) {
	m := im.Message{From: r.sip, To: r.xmpp, Thread: r.thread}
	switch {
	case r.id == "" && r.xmpp.Resource == "": // a notice of our own
		return
	case f != nil:
		m.ID, m.Failure = r.id, f
	case r.wanted:
		m.Receipt = r.id
	default:
		return
	}
	e.sink.Send(m, func(*im.Failure) {})
}

// enveloped is a message in the envelope that asks for reports, and the name that these will call it by. RFC 5438 §7.1.1
func enveloped(m im.Message) (*letter, string) {
	plain := textLetter(m)
	id := token(20)
	env := imdn.Envelope{From: translate.SIP(m.From.Bare()), To: translate.SIP(m.To.Bare()), DateTime: time.Now().UTC().Format(time.RFC3339),
		MessageID: id, Delivered: true, Failed: true, ContentType: plain.fields[0].value, Body: plain.body}
	return &letter{append([]field{{"Content-Type", imdn.EnvelopeType}}, plain.fields[1:]...), env.Bytes()}, id
}

// heardReports takes a notification: reports on messages that the one it comes from got from the one it goes to. Others are of no
// concern to anybody (RFC 5438 §14.1). What a report does not say for certain leaves the message as it was.
func (e *Edge) heardReports(in *inbound, env imdn.Envelope) {
	reports, err := imdn.ReadReports(env.ContentType, env.Body)
	if err != nil {
		in.respond(400, "Bad Request: "+translate.HeaderText(err.Error(), 150))
		return
	}
	in.respond(200, "OK")
	from, to := in.people()
	theirs := func(r awaited) bool { return r.sip == from.Bare() && r.xmpp.Bare() == to.Bare() }
	for _, r := range reports {
		if !r.Delivered() && !r.Failed() {
			continue
		}
		of, ok := e.awaited.take(r.MessageID, theirs)
		switch {
		case !ok:
		case r.Failed():
			e.came(of, &im.Failure{Condition: im.RecipientUnavailable, Text: of.sip.String() + " did not get the message: so says a delivery report"})
		default:
			e.came(of, nil)
		}
	}
}

// Bounds of the reports of one session.
const (
	maxAwaited = 100
	maxEarly   = 20
)

// ocsReports is what a conversation knows of the reports of an OCS peer. It ends with the conversation, as they come in its sessions
// only. [MS-CONFIM] §3.3.2.5
type ocsReports struct {
	spoken  bool // the peer has named a message, or reported on one: it understands reports
	awaited []namedReport
	early   []namedReport // overtook the 2xx that names the message they are about
}

// namedReport is a message that will be reported on, or the report.
type namedReport struct {
	callID, id string
	of         awaited
	fate       *im.Failure
}

func (c *conversation) reportsSpoken() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.reports.spoken
}

// match takes the entry of that name out of a list.
func match(list *[]namedReport, callID, id string) (namedReport, bool) {
	i := slices.IndexFunc(*list, func(n namedReport) bool { return n.callID == callID && n.id == id })
	if i < 0 {
		return namedReport{}, false
	}
	found := (*list)[i]
	*list = slices.Delete(*list, i, i+1)
	return found, true
}

func keepLast(list *[]namedReport, n namedReport, most int) {
	if *list = append(*list, n); len(*list) > most {
		*list = slices.Delete(*list, 0, 1)
	}
}

// answeredText: a text has its 200. That is the receipt, as in a session it comes from the recipient's own client (RFC 3428 §7: delivered
// to the final destination), unless it names the message: then a report will say. A 202 is a relay's and says nothing of the kind.
func (c *conversation) answeredText(d *dialog, m im.Message, a *answer) {
	id := a.get("message-id")
	if !imdn.ValidID(id) {
		if a.code == 200 {
			c.e.came(await(m), nil)
		}
		return
	}
	c.mu.Lock()
	c.reports.spoken = true
	early, found := match(&c.reports.early, d.callID, id)
	if !found {
		keepLast(&c.reports.awaited, namedReport{callID: d.callID, id: id, of: await(m)}, maxAwaited)
	}
	c.mu.Unlock()
	if found {
		c.e.came(await(m), early.fate)
	}
}

// heardOCSReport takes an OCS peer's report.
func (c *conversation) heardOCSReport(in *inbound, d *dialog) {
	r, err := imdn.ReadOCS(in.body)
	if err != nil {
		in.respond(400, "Bad Request: "+translate.HeaderText(err.Error(), 150))
		return
	}
	in.respond(200, "OK")
	var fate *im.Failure
	if to, failed := r.Failed(); failed {
		fate = translate.FailureFor(to.Status, fmt.Sprintf("%s did not get the message: a delivery report says %d", c.key.sip, to.Status))
	} else if !r.Delivered() {
		return // under way
	}
	c.mu.Lock()
	c.reports.spoken = true
	known, found := match(&c.reports.awaited, d.callID, r.MessageID)
	if !found {
		keepLast(&c.reports.early, namedReport{callID: d.callID, id: r.MessageID, fate: fate}, maxEarly)
	}
	c.mu.Unlock()
	if found {
		c.e.came(known.of, fate)
	}
}
