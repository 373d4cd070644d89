package ocsedge

import (
	"encoding/base64"
	"mime"
	"strconv"
	"strings"
	"time"

	"fedlab/sim/trace"
)

// text is something a user wrote.
type text struct {
	id, body, kind string
	asks           bool // for a report
}

// session is an IM session of a user with a peer: a dialog made by INVITE (MS-SIP; the 2007 clients send nothing outside of one).
type session struct {
	*dialog
	outgoing    bool
	established bool
	ended       bool
	acked       bool
	queue       []text // waits for the session to be established
	invite      *clientTransaction
	asked       *ask   // the peer's INVITE while it is not answered
	branch      string // of that INVITE, in calls.invites
	offer       string // our SDP
	timer       *timer // of the answer, then of the ACK
	idle        *timer
	names       int             // given to texts of the peer
	reported    map[string]text // those of the user that the peer has named
}

// acceptTypes is what Communicator takes. The list really ends in a space (trace).
const acceptTypes = "a=accept-types:text/plain multipart/alternative image/gif text/rtf text/html application/x-ms-ink application/ms-imdn+xml text/x-msmsgsinvite \r\n"

// description describes an IM session. The port means nothing (trace).
func description(format string) string {
	return "v=0\r\no=- 0 0 IN IP4 10.10.20.7\r\ns=session\r\nc=IN IP4 10.10.20.7\r\nt=0 0\r\nm=message 5060 sip " + format + "\r\n" + acceptTypes
}

// invite opens a session towards peer with a first text.
func (e *Edge) invite(u *user, peer string, first text) {
	s := &session{dialog: e.newDialog(u, peer), outgoing: true, queue: []text{first}, offer: description("null")}
	s.inside = s.requested
	u.sessions = append(u.sessions, s)
	next, ok := e.nextHop(peer)
	if !ok {
		e.log(reason{1005, "0xC3E93C5E", "SIPPROXY_E_ROUTING", "cannot route to the destination domain: it is not on the Allow list and partner discovery is off"}, "INVITE to %s", peer)
		s.fail(504)
		return
	}
	m := s.compose("INVITE")
	s.routes = e.recordRoutes()
	m.add("Supported", "ms-dialog-route-set-update, ms-delayed-accept, timer, histinfo, ms-safe-transfer, ms-sender, ms-early-media")
	m.add("Supported", "com.microsoft.rtc-multiparty")
	m.add("Roster-Manager", "sip:"+u.Address)
	m.add("EndPoints", "<sip:"+u.Address+">, <sip:"+peer+">")
	m.add("Ms-Conversation-ID", "Acr"+e.token(17))
	if e.quirks.AssertsIdentity {
		m.add("P-Asserted-Identity", u.display()+"<sip:"+u.Address+">,<tel:+15550100>")
	}
	if !e.quirks.KeepsFirstText && first.kind == "" {
		m.add("Ms-Text-Format", textType()+";ms-body="+base64.StdEncoding.EncodeToString([]byte(first.body)))
	}
	m.add("Allow", allowed)
	m.add("ms-keep-alive", "UAC;hop-hop=yes")
	m.add("Content-Type", "application/sdp")
	m.body = []byte(s.offer)
	s.invite = s.ask(next, m, transactionTime, s.answered)
}

// srvPrefix marks a next hop that is looked up in DNS when a connection is needed.
const srvPrefix = "srv:"

// nextHop is the next hop for the domain of an address: host:port from the Allow list, or srvPrefix and the domain.
func (e *Edge) nextHop(peer string) (string, bool) {
	_, domain, _ := strings.Cut(peer, "@")
	next, ok := e.allow[domain]
	switch {
	case e.partnerOf(domain) != nil:
		return srvPrefix + domain, true
	case !ok:
		return "", false
	}
	if next == nameOf(next) {
		next += ":5061"
	}
	return next, true
}

// answered takes the final response to our INVITE.
func (s *session) answered(m *message, err error) {
	if m == nil || m.status >= 300 {
		s.fail(s.e.statusOf(m, err, "INVITE to "+s.peer))
		return
	}
	e := s.e
	l := s.invite.link
	s.remote = m.get("To")
	raw := m.bytes()
	s.aim(e.judgeContact(l, m, raw))
	judgeAnswer(e, l, m, raw)
	s.established = true
	ack := s.compose("ACK")
	s.sendAndForget(ack)
	e.calls.acks[s.callID+" "+m.get("CSeq")] = ack
	if s.ended { // the user left meanwhile
		s.request(s.compose("BYE"), transactionTime, func(*message, error) {})
		return
	}
	queue := s.queue
	s.queue = nil
	if len(queue) > 0 && !e.quirks.KeepsFirstText && queue[0].kind == "" && m.lists("Supported", "ms-text-format") {
		queue = queue[1:] // the peer has it
	}
	if e.quirks.TypesFirst && len(queue) > 0 {
		s.typing("type")
	}
	for _, t := range queue {
		s.say(t)
	}
	s.touch()
}

// judgeAnswer looks at a session description of the peer: an IM session and nothing else.
func judgeAnswer(e *Edge, l *link, m *message, raw []byte) bool {
	if t, _, _ := mime.ParseMediaType(m.get("Content-Type")); t != "application/sdp" {
		e.unexpected(l, raw, "%s with Content-Type %q instead of a session description", m.summary(), m.get("Content-Type"))
		return false
	}
	for line := range strings.Lines(string(m.body)) {
		f := strings.Fields(line)
		if len(f) >= 4 && f[0] == "m=message" && f[2] == "sip" {
			return true
		}
	}
	e.unexpected(l, raw, "%s without m=message in its session description", m.summary())
	return false
}

// statusOf is what the pool shows its user for a failure, and a line in the log with the reason (MS-OCER).
func (e *Edge) statusOf(m *message, err error, what string) int {
	if m != nil {
		e.log(reason{1034, "0", "previous hop", "the federated peer answered " + strconv.Itoa(m.status) + " " + m.reason}, "%s", what)
		return m.status
	}
	r, ok := err.(reason)
	if !ok {
		r = reason{1007, "0xC3E93C5E", "SIPPROXY_E_ROUTING", err.Error()}
	}
	e.log(r, "%s: the user is shown 504", what)
	return 504
}

// say sends a text in an established session.
func (s *session) say(t text) {
	e := s.e
	m := s.compose("MESSAGE")
	m.add("Content-Type", or(t.kind, textType()))
	m.body = []byte(t.body)
	s.request(m, or(e.quirks.MessageTimeout, answerTime), func(m *message, err error) {
		if m != nil && m.status < 300 {
			if id := m.get("Message-Id"); id != "" {
				if s.reported == nil {
					s.reported = map[string]text{}
				}
				s.reported[id] = t
			}
			return
		}
		status := e.statusOf(m, err, "MESSAGE to "+s.peer)
		s.u.showError(s.peer, t, status)
		switch status {
		case 408, 480, 481, 504:
			s.end() // the session is considered gone; the next text opens a new one (code)
		}
	})
	s.touch()
}

// typing tells the peer that the user types or has stopped (trace).
func (s *session) typing(status string) {
	m := s.compose("INFO")
	m.add("Content-Type", "application/xml")
	m.body = []byte(`<?xml version="1.0"?><KeyboardActivity><status status="` + status + `"/></KeyboardActivity>`)
	s.request(m, transactionTime, func(*message, error) {})
	s.touch()
}

// fail ends a session that never came to be; whoever wrote something is told.
func (s *session) fail(status int) {
	queue := s.queue
	s.queue = nil
	s.end()
	for _, t := range queue {
		s.u.showError(s.peer, t, status)
	}
}

// end forgets the session.
func (s *session) end() {
	if s.ended {
		return
	}
	s.ended = true
	s.timer.stop()
	s.idle.stop()
	if s.asked != nil {
		s.e.answer(s.asked, 480)
	}
	delete(s.e.calls.invites, s.branch)
	s.e.removeDialog(s.dialog)
	delete(s.e.calls.acks, s.callID+" 1 INVITE")
	s.u.forget(s)
}

// bye ends an established session and tells the peer.
func (s *session) bye() {
	s.request(s.compose("BYE"), transactionTime, func(*message, error) {})
	s.end()
}

// touch restarts the idle clock, if there is one.
func (s *session) touch() {
	if d := s.e.quirks.SessionIdle; d > 0 && !s.ended {
		s.idle.stop()
		s.idle = s.e.after(d, s.bye)
	}
}

// invited takes an INVITE of the peer.
func (e *Edge) invited(a *ask) {
	u := e.recipient(a)
	if u == nil {
		return
	}
	if !judgeAnswer(e, a.l, a.m, a.raw) {
		e.answer(a, 488)
		return
	}
	switch u.State {
	case Busy:
		e.answer(a, 486)
		return
	case Declines:
		e.answer(a, 603)
		return
	}
	s := &session{dialog: e.accepted(a, u), asked: a, offer: description("sip:" + u.Address)}
	s.inside = s.requested
	s.branch = ackKey(a.m)
	e.calls.invites[s.branch] = s
	u.sessions = append(u.sessions, s)
	e.answer(a, 100)
	e.answer(a, 101, s.mirror()...) // a provisional of the pool's own (trace)
	e.answer(a, 180, append(s.mirror(), field{"Contact", "<" + s.contact + ">"})...)
	if u.State == Silent {
		s.timer = e.after(answerTime, func() {
			e.answer(a, 408)
			s.over()
		})
		return
	}
	if e.quirks.AnswerDelay > 0 {
		s.timer = e.after(e.quirks.AnswerDelay, s.accept)
		return
	}
	s.accept()
}

// accept answers the peer's INVITE with 200.
func (s *session) accept() {
	e, a := s.e, s.asked
	s.asked = nil
	delete(e.calls.invites, s.branch)
	fields := append(s.mirror(),
		field{"Contact", "<" + s.contact + ">"},
		field{"Allow", allowed},
		field{"Supported", "ms-dialog-route-set-update, timer, histinfo"})
	if e.quirks.TakesFirstText {
		if body, ok := firstText(a.m); ok {
			fields = append(fields, field{"Supported", "ms-text-format"})
			s.u.showMessage(s.peer, body)
		}
	}
	fields = append(fields, field{"Content-Type", "application/sdp"})
	e.answerBody(a, 200, []byte(s.offer), fields...)
	s.established = true
	// RFC 3261 §13.3.1.4: without an ACK the session ends.
	answered := time.Now()
	s.timer = e.after(transactionTime+e.quirks.ResponseDelay, func() {
		if !s.acked && !s.ended {
			e.missed(a, answered, "no ACK for the accepted %s")
			s.bye()
		}
	})
	for _, t := range s.queue {
		s.say(t)
	}
	s.queue = nil
	s.touch()
}

// requested takes what the peer sends inside the session.
func (s *session) requested(a *ask) {
	e := s.e
	if a.m.method != "ACK" && !s.outgoing && !s.acked {
		e.unexpected(a.l, a.raw, "%s before the ACK", a.m.method)
	}
	s.touch()
	switch a.m.method {
	case "ACK":
		s.acked = true
		s.timer.stop()
	case "BYE":
		e.answer(a, 200)
		if s.asked != nil { // a BYE in place of a CANCEL
			e.answer(s.asked, 487)
		}
		s.over()
	case "MESSAGE":
		s.heard(a)
	case "INFO":
		s.informed(a)
	case "INVITE":
		s.aim(e.judgeContact(a.l, a.m, a.raw))
		s.inviteSeq, s.acked = s.remoteSeq, false
		e.answerBody(a, 200, []byte(s.offer), append(s.mirror(), field{"Contact", "<" + s.contact + ">"}, field{"Content-Type", "application/sdp"})...)
	case "UPDATE", "OPTIONS":
		e.answer(a, 200, field{"Contact", "<" + s.contact + ">"}, field{"Allow", allowed})
	default:
		e.unexpected(a.l, a.raw, "%s inside an IM session", a.m.method)
		e.answer(a, 405, field{"Allow", allowed})
	}
}

// over ends the session because the peer left it, or was not answered. What waited for it goes into a new one.
func (s *session) over() {
	queue := s.queue
	s.queue = nil
	s.end()
	for _, t := range queue {
		s.u.say(s.peer, t)
	}
}

// cancelled takes a CANCEL (RFC 3261 §9.2).
func (e *Edge) cancelled(a *ask) {
	s := e.calls.invites[ackKey(a.m)]
	if s == nil {
		e.answer(a, 481)
		return
	}
	a.tag = s.localTag
	e.answer(a, 200)
	e.answer(s.asked, 487)
	s.over()
}

// heard takes a text.
func (s *session) heard(a *ask) {
	if s.e.quirks.Reports != "" && a.m.get("Content-Type") == reportType {
		s.reportedOn(a)
		return
	}
	body, problem := plainText(a.m)
	if problem != "" {
		s.e.unexpected(a.l, a.raw, "%s", problem)
		s.e.answer(a, 415)
		return
	}
	switch s.e.quirks.Reports {
	case "delivered":
		s.e.answer(a, 200, s.named(200))
	case "failed":
		s.e.answer(a, 200, s.named(480))
		return
	default:
		s.e.answer(a, 200)
	}
	s.u.showMessage(s.peer, body)
}

// informed takes an INFO: typing, or one of the other things that clients send and that are answered and ignored (code).
func (s *session) informed(a *ask) {
	e := s.e
	kind, _, _ := mime.ParseMediaType(a.m.get("Content-Type"))
	if kind != "application/xml" {
		e.unexpected(a.l, a.raw, "INFO of type %q", a.m.get("Content-Type"))
		e.answer(a, 415)
		return
	}
	state, err := keyboardActivity(a.m.body)
	if err != nil {
		e.unexpected(a.l, a.raw, "INFO: %v", err)
		e.answer(a, 400)
		return
	}
	e.answer(a, 200)
	s.u.show(s.peer, trace.Item{Type: trace.Typing, State: state})
}
