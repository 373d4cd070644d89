package ocsedge

import "time"

// negotiate asks the peer for compression, as the first thing on a connection, if the quirk says so. Max-Forwards is 0 and the
// Via has no branch (MS-SIPCOMP, example). Everything but a grant lets the connection go on as it is.
func (e *Edge) negotiate(l *link) {
	if !e.quirks.Negotiate {
		return
	}
	m := newRequest("NEGOTIATE", "sip:"+l.remote)
	m.add("CSeq", "1 NEGOTIATE")
	m.add("Call-ID", e.hex(32))
	m.add("From", "<sip:"+l.local+">;tag="+e.hex(32))
	m.add("To", "<sip:"+l.remote+">")
	m.add("Compression", "LZ77-8K")
	m.add("Max-Forwards", "0")
	e.calls.made++
	t := &clientTransaction{e: e, made: e.calls.made, request: m, began: time.Now(), patience: transactionTime, done: func(m *message, _ error) {
		if m != nil && m.status < 300 && m.lists("Compression", "LZ77-8K") {
			e.unexpected(l, m.bytes(), "the peer grants compression")
			e.lost(l, syntaxError("compression was granted, and cannot be done"))
		}
	}}
	t.timer = e.after(transactionTime, func() { e.timedOut(t) })
	e.launch(t, l)
}

// probe asks the next hop for a sign of life from time to time, if the quirk says so (trace of Lync: to Options_User).
func (e *Edge) probe(h *hop) {
	if e.quirks.Probe <= 0 {
		return
	}
	h.probe.stop()
	h.probe = e.after(e.quirks.Probe, func() {
		if h.link == nil {
			return
		}
		l := h.link
		to := "sip:Options_User@" + l.names[0]
		m := newRequest("OPTIONS", to)
		m.add("From", "<sip:"+e.cfg.Name+">;tag="+e.hex(10)+";epid="+e.hex(10))
		m.add("To", "<"+to+">")
		m.add("Call-ID", e.hex(32))
		m.add("CSeq", "1 OPTIONS")
		m.add("Contact", "<sip:"+e.cfg.Name+";transport=Tls>")
		m.add("User-Agent", "RTCC/3.5.0.0")
		e.calls.made++
		t := &clientTransaction{e: e, made: e.calls.made, request: m, branch: e.branch(), began: time.Now(), patience: transactionTime, done: func(m *message, err error) {
			if m == nil {
				e.log(reason{1007, "10060", "WSAETIMEDOUT", "no answer to OPTIONS"}, "next hop %s", h.target)
				e.lost(l, syntaxError("the peer is silent"))
			}
		}}
		t.timer = e.after(transactionTime, func() { e.timedOut(t) })
		e.launch(t, l)
		e.probe(h)
	})
}
