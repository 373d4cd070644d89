package sipedge

import (
	"cmp"
	"errors"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"fedlab/gateway/im"
	"fedlab/gateway/imdn"
	"fedlab/gateway/translate"
)

// onMessage takes a text, in a session or outside one. RFC 3428 §7: a gateway into another protocol answers 202.
func (e *Edge) onMessage(in *inbound) {
	if in.to.param("tag") != "" {
		e.inDialog(in, e.deliver)
		return
	}
	e.deliver(in, nil)
}

// deliver hands a text to the XMPP side and answers with what became of it.
func (e *Edge) deliver(in *inbound, d *dialog) {
	if len(in.body) == 0 {
		in.respond(200, "OK")
		return
	}
	kind := in.contentType()
	if d != nil && kind == translate.IsComposingType {
		in.respond(200, "OK")
		d.conv.heardTyping(d, in.body)
		return
	}
	if in.expired(time.Now()) {
		in.respond(480, "Temporarily Unavailable: the message had expired when it came")
		return
	}
	if d != nil && kind == imdn.OCSType {
		d.conv.heardOCSReport(in, d)
		return
	}
	content, env, ok := e.open(in)
	if !ok {
		return
	}
	if content.Text == "" {
		in.respond(200, "OK")
		return
	}
	from, to := in.people()
	m := im.Message{From: from, To: to, ID: in.messageID(), Body: content.Text, HTML: content.HTML,
		Normal: d == nil, Lang: translate.LanguageTag(in.get("content-language"))}
	if s := cmp.Or(in.get("subject", "s"), env.Subject); s != "" {
		m.Subject, _ = translate.SafeXMLText(s)
	}
	m.Thread = translate.Thread(in.callID)
	if d != nil {
		c := d.conv
		c.mu.Lock()
		c.stopTyping()
		m.From, m.To = c.key.sip, c.recipient()
		if c.thread != "" {
			m.Thread = c.thread
		}
		c.mu.Unlock()
		c.remember(m.ID, m.Body)
	}
	w := &waitingAnswer{e: e, in: in, wish: in.wishOf(&m, d, env)}
	if w.wish != nil {
		m.ReceiptWanted = w.wish.delivered
		e.wishes.put(w.key(m), w.wish)
	}
	w.m = m
	w.timer = time.AfterFunc(answerWithin, w.accept)
	e.sink.Send(m, w.outcome)
}

// open takes a text out of its envelope, if it has one, and reads it. It answers what it cannot read, and notifications: these are for
// nobody to read.
func (e *Edge) open(in *inbound) (content translate.Content, env imdn.Envelope, ok bool) {
	kind, body := in.get("content-type", "c"), in.body
	if in.contentType() == imdn.EnvelopeType {
		var err error
		env, err = imdn.ReadEnvelope(in.body)
		switch {
		case errors.Is(err, imdn.ErrRequired):
			in.respond(488, "Not Acceptable Here: "+translate.HeaderText(err.Error(), 150))
			return content, env, false
		case err != nil:
			in.respond(400, "Bad Request: "+translate.HeaderText(err.Error(), 150))
			return content, env, false
		case env.Notification:
			e.heardReports(in, env)
			return content, env, false
		}
		kind, body = env.ContentType, env.Body
	}
	content, err := translate.ReadBody(kind, body)
	if err != nil {
		in.respond(415, "Unsupported Media Type", field{"Accept", readable})
		return content, env, false
	}
	return content, env, true
}

// expired reports whether a message's own term is over. It counts from its Date; without one it begins now. RFC 3428 §7
func (in *inbound) expired(now time.Time) bool {
	term := seconds(in.get("expires"))
	sent, err := http.ParseTime(in.get("date"))
	return term >= 0 && err == nil && now.After(sent.Add(term))
}

// waitingAnswer is a MESSAGE whose answer waits for its outcome.
type waitingAnswer struct {
	e     *Edge
	in    *inbound
	m     im.Message
	wish  *wish // nil: no report is wanted
	timer *time.Timer
	told  atomic.Bool
}

func (w *waitingAnswer) key(m im.Message) wishKey {
	return wishKey{pair{m.To.Bare(), m.From.Bare()}, m.ID}
}

func (w *waitingAnswer) outcome(f *im.Failure) {
	if w.told.Swap(true) {
		return
	}
	w.timer.Stop()
	if f == nil {
		w.accept()
		return
	}
	code, reason := translate.StatusFor(f, w.m.To.Resource == "")
	if w.in.respond(code, reason, newPlace(f)...) {
		if w.wish != nil {
			w.e.wishes.take(w.key(w.m), nil)
			w.wish.settle(false)
		}
		return
	}
	w.e.undelivered(w.m.To, w.m.From, w.m.ID, w.m.Body, f) // 202 was said in the meantime
}

// accept answers 202: the message is ours now, also where its fate is still open, and a failure will be reported or shown.
func (w *waitingAnswer) accept() {
	var name []field
	if w.wish != nil && w.wish.ocs {
		name = []field{{"Message-Id", w.wish.asked.MessageID}}
	}
	if w.in.respond(202, "Accepted", name...) && w.wish != nil {
		w.wish.settle(true)
	}
}

func newPlace(f *im.Failure) []field {
	if f.NewPlace == "" || strings.ContainsAny(f.NewPlace, "<>\r\n") {
		return nil
	}
	return []field{{"Contact", "<" + f.NewPlace + ">"}}
}

// messageID is the XMPP id: the name of the transaction that brought the message (RFC 7572 §5).
func (in *inbound) messageID() string {
	v, _ := parseVia(in.vias[0])
	id, clean := translate.SafeXMLText(v.branch)
	if id == "" || !clean || len(id) > 128 {
		return token(16)
	}
	return id
}

// contentType is the type of the body, lower case and without parameters.
func (in *inbound) contentType() string {
	kind, _, _ := strings.Cut(in.get("content-type", "c"), ";")
	return strings.ToLower(strings.TrimSpace(kind))
}

// onInfo reads typing; other INFO bodies of an IM session (roster manager, subject, ink) are answered and left.
func (e *Edge) onInfo(in *inbound, d *dialog) {
	in.respond(200, "OK")
	if kind := in.contentType(); kind == translate.KeyboardActivityType || kind == translate.IsComposingType {
		d.conv.heardTyping(d, in.body)
	}
}

// keyboardLasts is for how long a KeyboardActivity holds that is not repeated. It names no time; senders repeat it every few
// seconds, the longest gap seen is not known.
const keyboardLasts = 30 * time.Second

// heardTyping tells the XMPP user that the SIP user types, or has stopped; also when no further word comes. RFC 3994 §3.3
func (c *conversation) heardTyping(d *dialog, body []byte) {
	typing, lasting, err := translate.ReadTyping(body)
	if err != nil {
		return
	}
	if lasting == 0 {
		lasting = keyboardLasts
	}
	c.mu.Lock()
	same := typing == c.typist
	c.stopTyping()
	if typing {
		c.typist = true
		c.typistTimer = time.AfterFunc(lasting, func() { c.typingLapsed(d) })
	}
	c.mu.Unlock()
	if !same {
		c.sayTyping(d, typing)
	}
}

// stopTyping forgets that the SIP user types; c.mu is held.
func (c *conversation) stopTyping() {
	c.typist = false
	if c.typistTimer != nil {
		c.typistTimer.Stop()
		c.typistTimer = nil
	}
}

func (c *conversation) typingLapsed(d *dialog) {
	c.mu.Lock()
	was := c.typist
	c.stopTyping()
	c.mu.Unlock()
	if was {
		c.sayTyping(d, false)
	}
}

func (c *conversation) sayTyping(d *dialog, typing bool) {
	c.mu.Lock()
	unwanted := c.stateless
	m := im.Message{From: c.key.sip, To: c.recipient(), Thread: c.thread, State: translate.ChatState(typing)}
	c.mu.Unlock()
	if unwanted {
		return
	}
	if m.Thread == "" {
		m.Thread = translate.Thread(d.callID)
	}
	c.e.sink.Send(m, func(*im.Failure) {})
}
