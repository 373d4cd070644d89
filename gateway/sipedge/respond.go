package sipedge

import (
	"crypto/rand"
	"strings"

	"fedlab/gateway/imdn"
	"fedlab/gateway/translate"

	"github.com/emiago/sipgo/sip"
)

// Allowed methods, as they stand in Allow.
const allow = "INVITE, ACK, BYE, CANCEL, MESSAGE, INFO, OPTIONS, UPDATE, SUBSCRIBE, NOTIFY, BENOTIFY"

// accepted are the content types that we ask for. Others are read as well (readable), but a peer that may choose should send what
// needs no conversion.
const accepted = "text/plain " + imdn.OCSType

// readable are the body types of a MESSAGE that are read, as they stand in Accept.
const readable = translate.AcceptedTypes + ", " + imdn.EnvelopeType + ", " + imdn.ReportType + ", " + imdn.OCSType

// respond answers a request: everything the peer must get back is echoed as it stood. The first final answer counts; a later
// one is dropped, which is how an outcome and its time limit meet.
func (in *inbound) respond(code int, reason string, extra ...field) bool {
	return in.respondBody(code, reason, nil, extra...)
}

func (in *inbound) respondBody(code int, reason string, body []byte, extra ...field) bool {
	in.mu.Lock()
	if in.answered {
		in.mu.Unlock()
		return false
	}
	in.answered = code >= 200
	in.mu.Unlock()
	if in.method == "BENOTIFY" { // never answered. [MS-SIP] §3.5
		in.tx.Terminate()
	} else {
		_ = in.tx.Respond(in.response(code, reason, body, extra...)) // a lost link has told its own story
	}
	if code >= 200 {
		in.link.arrived.finished(in.key)
		in.link.answered()
	}
	if in.method == string(sip.CANCEL) {
		in.tx.Terminate() // sipgo writes responses to CANCEL past the transaction
	}
	return true
}

// response builds a response. RFC 3261 §8.2.6; received= is not added to the top Via, as responses go back on the connection
// that the request came on, and the peer gets its own line back unchanged.
func (in *inbound) response(code int, reason string, body []byte, extra ...field) *sip.Response {
	res := sip.NewResponse(code, reason)
	for _, f := range in.fields {
		switch {
		case isNamed(f.name, []string{"via", "v"}):
		case isNamed(f.name, []string{"record-route"}) && code > 100 && code < 300 && in.formsDialog():
		default:
			continue
		}
		res.AppendHeader(sip.NewHeader(f.name, f.value))
	}
	res.AppendHeader(sip.NewHeader("From", in.from.raw))
	to := in.to.raw
	if code > 100 && in.to.param("tag") == "" {
		to += ";tag=" + in.ourTag()
	}
	res.AppendHeader(sip.NewHeader("To", to))
	res.AppendHeader(sip.NewHeader("Call-ID", in.callID))
	res.AppendHeader(sip.NewHeader("CSeq", in.get("cseq")))
	for _, f := range extra {
		res.AppendHeader(sip.NewHeader(f.name, f.value))
	}
	res.SetBody(body)
	res.SetTransport("TLS")
	res.SetDestination(string(in.link.id))
	return res
}

func (in *inbound) formsDialog() bool {
	switch in.method {
	case "INVITE", "SUBSCRIBE", "NOTIFY":
		return true
	}
	return false
}

// ourTag is the tag that every response to this request carries.
func (in *inbound) ourTag() string {
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.toTag == "" {
		in.toTag = token(10)
	}
	return in.toTag
}

// token is n characters that nobody can guess, fit for tags, branches and Call-IDs.
func token(n int) string { return strings.ToLower(rand.Text())[:n] }
