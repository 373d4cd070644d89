package ocsedge

import (
	"cmp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// How long an answer may take. RFC 3261 §17.1: Timers B and F are 64*T1; OCS's own values are not known.
const (
	transactionTime = 32 * time.Second
	answerTime      = 60 * time.Second // of an invitation that rings, and of a MESSAGE (code)
)

// clientTransaction is a request on its way to the peer.
type clientTransaction struct {
	e           *Edge
	made        int
	request     *message
	branch      string
	link        *link // nil until there is a connection
	vias        []string
	timer       *timer
	provisional func(*message)        // nil: nobody cares
	done        func(*message, error) // called once: the final response, or a reason
	ended       bool
	began       time.Time
	patience    time.Duration // since began, once a provisional response has come
	cancelled   bool
}

func (t *clientTransaction) key() string { return t.branch + " " + t.request.method }

// request sends m towards target ("host:port") and calls done once with its final response, or with the reason why there is
// none. It may call done before it returns. Via lines are put before all other headers.
func (e *Edge) request(target string, m *message, timeout time.Duration, done func(*message, error)) *clientTransaction {
	e.calls.made++
	t := &clientTransaction{e: e, made: e.calls.made, request: m, branch: e.branch(), done: done, began: time.Now(), patience: max(timeout, answerTime)}
	t.timer = e.after(timeout, func() { e.timedOut(t) })
	e.connect(target, func(l *link, err error) {
		if err != nil {
			e.finish(t, nil, err)
			return
		}
		e.launch(t, l)
	})
	return t
}

// launch sends a transaction's request on a link.
func (e *Edge) launch(t *clientTransaction, l *link) {
	if t.ended {
		return
	}
	t.link = l
	m := t.request
	t.vias = e.vias(l, t.branch, m.method)
	head := []field{{"Via", t.vias[0]}}
	if len(t.vias) > 1 {
		// Lines of one name do not stand together in what an Edge sends (trace): Max-Forwards goes in between.
		head = append(head, field{"Via", t.vias[1]}, field{"Max-Forwards", "68"}, field{"Via", t.vias[2]})
		if e.rand.IntN(2) == 0 {
			head[1], head[2] = head[2], head[1]
		}
	} else {
		head = append(head, field{"Max-Forwards", or(m.get("Max-Forwards"), "70")})
		m.fields = slices.DeleteFunc(m.fields, func(f field) bool { return f.name == "Max-Forwards" })
	}
	m.fields = append(head, m.fields...)
	m.finishBody()
	l.waiting[t.key()] = t
	e.send(l, m)
}

// vias are the Via values of a request: the Edge's with quoted ms-internal-info, the pool's, and the client's without a branch
// (traces; MS-SIPRE). What the Edge itself asks (OPTIONS, NEGOTIATE) has only its own.
func (e *Edge) vias(l *link, branch, method string) []string {
	own := "SIP/2.0/TLS " + l.local
	switch method {
	case "NEGOTIATE":
		return []string{own} // no branch either (MS-SIPCOMP, example)
	case "OPTIONS":
		return []string{own + ";branch=" + branch}
	}
	return []string{
		own + ";branch=" + branch + `;branched=FALSE;ms-internal-info="` + e.token(22) + `"`,
		"SIP/2.0/TLS 10.10.10.20:5061;branch=" + e.branch() + ";branched=FALSE;ms-received-port=5061;ms-received-cid=" + e.upper(4) + "/100/" + e.upper(6),
		"SIP/2.0/TLS 10.10.20.7:50211;ms-received-port=50211;ms-received-cid=" + e.upper(6),
	}
}

// finishBody adds Content-Length, for a message that has its body and its other headers.
func (m *message) finishBody() { m.add("Content-Length", strconv.Itoa(len(m.body))) }

// timedOut ends a transaction that got no final response.
func (e *Edge) timedOut(t *clientTransaction) {
	what := "the peer never answered " + t.request.method
	if t.link == nil {
		what = "no connection in time for " + t.request.method
	}
	e.finish(t, nil, reason{1007, "10060", "WSAETIMEDOUT", what})
}

// finish ends a transaction, once.
func (e *Edge) finish(t *clientTransaction, response *message, err error) {
	if t.ended {
		return
	}
	t.ended = true
	t.timer.stop()
	if t.link != nil {
		delete(t.link.waiting, t.key())
		e.calls.answered.add(t.key())
	}
	t.done(response, err)
}

// response takes what the peer answered.
func (e *Edge) response(l *link, m *message, raw []byte) {
	via := m.get("Via")
	branch, _ := param(via, "branch")
	_, method, _ := m.cseq()
	key := branch + " " + method
	t := l.waiting[key]
	if t == nil {
		switch again, ok := e.calls.acks[m.get("Call-ID")+" "+m.get("CSeq")]; {
		case ok && m.status >= 200 && m.status < 300:
			e.send(l, again) // RFC 3261 §13.2.2.4: the ACK was lost, or crossed
		case e.calls.answered.has(key):
			e.slog.Debug("late response", "summary", m.summary())
		default:
			e.unexpected(l, raw, "a response to nothing that was asked")
		}
		return
	}
	e.judgeResponse(l, t, m, raw)
	if m.status < 200 {
		// RFC 3261 §17.1.1.2: an invitation that rings has no transaction timer any more; the client's patience counts.
		t.timer.stop()
		t.timer = e.after(t.patience-time.Since(t.began), func() { e.impatient(t) })
		if t.provisional != nil {
			t.provisional(m)
		}
		return
	}
	if t.request.method == "INVITE" && m.status >= 300 {
		e.send(l, acknowledge(t, m)) // RFC 3261 §17.1.1.3
	}
	e.finish(t, m, nil)
}

// impatient gives up an invitation that rang for too long, or a request that was only provisionally answered.
func (e *Edge) impatient(t *clientTransaction) {
	if t.request.method == "INVITE" {
		e.cancelInvite(t)
	}
	e.timedOut(t)
}

// cancelInvite sends the CANCEL of RFC 3261 §9.1 for an invitation that got a provisional response.
func (e *Edge) cancelInvite(t *clientTransaction) {
	if t.cancelled || t.link == nil || t.link.dropped {
		return
	}
	t.cancelled = true
	c := newRequest("CANCEL", t.request.uri)
	n, _, _ := t.request.cseq()
	c.add("Via", t.vias[0])
	c.add("Max-Forwards", "70")
	for _, name := range []string{"From", "To", "Call-ID"} {
		c.add(name, t.request.get(name))
	}
	c.add("CSeq", strconv.FormatUint(uint64(n), 10)+" CANCEL")
	c.finishBody()
	e.calls.made++
	ct := &clientTransaction{e: e, made: e.calls.made, request: c, branch: t.branch, link: t.link, vias: t.vias[:1],
		began: time.Now(), patience: transactionTime, done: func(*message, error) {}}
	ct.timer = e.after(transactionTime, func() { e.timedOut(ct) })
	t.link.waiting[ct.key()] = ct
	e.send(t.link, c)
}

// acknowledge is the ACK of a final response that is none of success.
func acknowledge(t *clientTransaction, m *message) *message {
	ack := newRequest("ACK", t.request.uri)
	n, _, _ := t.request.cseq()
	ack.add("Via", t.vias[0])
	ack.add("Max-Forwards", "70")
	ack.add("From", t.request.get("From"))
	ack.add("To", m.get("To"))
	ack.add("Call-ID", t.request.get("Call-ID"))
	ack.add("CSeq", strconv.FormatUint(uint64(n), 10)+" ACK")
	ack.finishBody()
	return ack
}

func sortedTransactions(ts map[string]*clientTransaction) []*clientTransaction {
	var out []*clientTransaction
	for _, t := range ts {
		out = append(out, t)
	}
	slices.SortFunc(out, func(a, b *clientTransaction) int { return cmp.Compare(a.made, b.made) })
	return out
}

// recent remembers the last few thousand keys.
type recent struct {
	keys map[string]bool
	ring []string
	at   int
}

func (r *recent) has(key string) bool { return r.keys[key] }

func (r *recent) add(key string) {
	if r.keys == nil {
		r.keys, r.ring = map[string]bool{}, make([]string, 4096)
	}
	delete(r.keys, r.ring[r.at])
	r.ring[r.at], r.keys[key] = key, true
	r.at = (r.at + 1) % len(r.ring)
}

// Random text, in the shapes of the product. Only the loop draws it, so that a seed repeats it.

func (e *Edge) text(n int, alphabet string) string {
	var b strings.Builder
	for range n {
		b.WriteByte(alphabet[e.rand.IntN(len(alphabet))])
	}
	return b.String()
}

func (e *Edge) hex(n int) string   { return e.text(n, "0123456789abcdef") }
func (e *Edge) upper(n int) string { return e.text(n, "0123456789ABCDEF") }
func (e *Edge) token(n int) string {
	return e.text(n, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789")
}
func (e *Edge) branch() string { return "z9hG4bK" + e.upper(8) + "." + e.upper(16) }
