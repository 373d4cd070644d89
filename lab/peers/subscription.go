package peers

import (
	"slices"
	"strings"

	"github.com/emiago/sipgo/sip"

	"fedlab/sim/trace"
)

// watch is a subscription to somebody's presence.
type watch struct {
	peer   string
	first  *sip.Request // what the dialog began with
	routes []sip.Uri    // from the phone on (RFC 3261 §12.1.2)
	target sip.Uri
	remote *sip.ToHeader
	active bool
	state  string // last shown
}

// watchTime is for how long a phone subscribes: longer than any scenario lasts in real time.
const watchTime = "3600"

// Subscription begins or ends watching somebody. A phone does not answer who wants to watch its user: the presence server decides.
func (p *Phone) Subscription(to, kind string) error {
	switch kind {
	case "subscribe":
		p.record(trace.Sent, p.Address, to, "", trace.Item{Type: trace.Subscription, State: kind})
		p.running.Go(func() { p.watch(to) })
		return nil
	case "unsubscribe":
		p.record(trace.Sent, p.Address, to, "", trace.Item{Type: trace.Subscription, State: kind})
		p.mu.Lock()
		w := p.watches[to]
		delete(p.watches, to)
		p.mu.Unlock()
		if w != nil {
			p.running.Go(func() { p.ask(p.ctx, p.inside(w)) })
		}
		return nil
	}
	return ErrCannot
}

func (p *Phone) watch(peer string) {
	r := p.request(sip.SUBSCRIBE, peer)
	r.AppendHeader(sip.NewHeader("Event", "presence"))
	r.AppendHeader(sip.NewHeader("Accept", typePIDF))
	r.AppendHeader(sip.NewHeader("Expires", watchTime))
	w := &watch{peer: peer, first: r}
	p.mu.Lock()
	p.watches[peer] = w // a NOTIFY may overtake the answer
	p.mu.Unlock()
	answer, status := p.ask(p.ctx, r)
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.watches[peer] != w: // taken back meanwhile
	case status >= 300:
		delete(p.watches, peer)
		if p.ctx.Err() == nil {
			p.record(trace.Received, peer, p.Address, "", trace.Item{Type: trace.Subscription, State: "unsubscribed", Code: status})
		}
	default:
		w.remote = answer.To()
		if contact := answer.Contact(); contact != nil {
			w.target = contact.Address
		}
		for _, h := range answer.GetHeaders("Record-Route") {
			if route, ok := h.(*sip.RecordRouteHeader); ok {
				w.routes = append(w.routes, route.Address)
			}
		}
		slices.Reverse(w.routes)
	}
}

// inside is the SUBSCRIBE that ends a subscription.
func (p *Phone) inside(w *watch) *sip.Request {
	r := p.request(sip.SUBSCRIBE, w.peer)
	r.Recipient = w.target
	r.ReplaceHeader(w.first.From())
	r.ReplaceHeader(w.remote)
	r.ReplaceHeader(w.first.CallID())
	r.ReplaceHeader(&sip.CSeqHeader{SeqNo: 2, MethodName: sip.SUBSCRIBE})
	for _, route := range w.routes {
		r.AppendHeader(&sip.RouteHeader{Address: route})
	}
	r.AppendHeader(sip.NewHeader("Event", "presence"))
	r.AppendHeader(sip.NewHeader("Expires", "0"))
	return r
}

// notify shows what a subscription brings.
func (p *Phone) notify(r *sip.Request, tx *sip.ServerTx) {
	p.mu.Lock()
	defer p.mu.Unlock()
	var w *watch
	for _, one := range p.watches {
		if one.first.CallID().Value() == r.CallID().Value() {
			w = one
		}
	}
	if w == nil {
		p.answer(r, tx, sip.StatusCallTransactionDoesNotExists, "Subscription Does Not Exist")
		return
	}
	p.answer(r, tx, sip.StatusOK, "OK")
	header := r.GetHeader("Subscription-State")
	if header == nil {
		p.record(trace.Unexpected, w.peer, p.Address, "NOTIFY without Subscription-State (RFC 6665 §8.2.3)", trace.Item{})
		return
	}
	phase, params, _ := strings.Cut(header.Value(), ";")
	if phase = strings.ToLower(strings.TrimSpace(phase)); phase == "active" && !w.active {
		w.active = true
		p.record(trace.Received, w.peer, p.Address, "", trace.Item{Type: trace.Subscription, State: "subscribed"})
	}
	if len(r.Body()) > 0 {
		state, note, err := readDocument(r.Body())
		if err != nil {
			p.record(trace.Unexpected, w.peer, p.Address, "presence: "+err.Error(), trace.Item{})
			return
		}
		shown := state + "\x00" + note
		if shown != w.state && (w.state != "" || w.active || state != "unavailable") { // nothing was known, and nothing is
			w.state = shown
			p.record(trace.Received, w.peer, p.Address, "", trace.Item{Type: trace.Presence, State: state, Body: note})
		}
	}
	if phase == "terminated" {
		delete(p.watches, w.peer)
		if strings.Contains(params, "rejected") || w.active {
			p.record(trace.Received, w.peer, p.Address, "", trace.Item{Type: trace.Subscription, State: "unsubscribed"})
		}
	}
}
