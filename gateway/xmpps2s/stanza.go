package xmpps2s

import (
	mstream "mellium.im/xmpp/stream"

	"fedlab/gateway/im"
	"fedlab/gateway/translate"
)

// stanza is a stanza whose addresses have been checked.
type stanza struct {
	el       *element
	from, to im.Address
}

// unproven remembers the claim of a stanza that came before any proof. It is forgotten if the proof comes.
func (in *incoming) unproven(e *element, condition string) {
	from, ferr := translate.ParseJID(e.attr("from"))
	to, terr := translate.ParseJID(e.attr("to"))
	if ferr == nil && terr == nil && in.s.local[to.Domain] {
		in.s.refused(in.st.conn, pair{from.Domain, to.Domain}, NotProven, condition)
	}
}

// stanza checks who may say what and hands the stanza on (RFC 6120 §8.1, XEP-0220 §2.2.1).
func (in *incoming) stanza(e *element) error {
	none := !in.isProven()
	if none && !in.st.peers.modern() {
		// RFC 3920 §8.3: a peer of the first generation may send ahead of the answer; such stanzas are dropped.
		in.log.Warn("stanza before dialback dropped", "from", e.attr("from"), "to", e.attr("to"))
		in.unproven(e, "")
		return nil
	}
	if none {
		in.unproven(e, mstream.NotAuthorized.Err)
		return &fault{mstream.NotAuthorized, "a stanza before the stream was authenticated"}
	}
	from, ferr := translate.ParseJID(e.attr("from"))
	to, terr := translate.ParseJID(e.attr("to"))
	if ferr != nil || terr != nil {
		return &fault{mstream.ImproperAddressing, "a stanza between servers needs valid addresses in from and to"}
	}
	if !in.s.local[to.Domain] {
		return &fault{mstream.HostUnknown, "this server does not serve " + to.Domain}
	}
	if f := in.may(pair{from.Domain, to.Domain}); f != nil {
		in.log.Warn("stanza refused", "from", from, "to", to, "error", f.condition.Err)
		in.s.refused(in.st.conn, pair{from.Domain, to.Domain}, NotProven, f.condition.Err)
		return f
	}
	if _, ok := e.lookup("xml:lang"); !ok && in.st.peers.lang != "" {
		e.Attr = append(e.Attr, langAttr(in.st.peers.lang)) // RFC 6120 §8.1.5
	}
	in.hear(e)
	in.s.receive(stanza{e, from, to})
	return nil
}

// receive acts on a stanza from a verified origin.
func (s *Server) receive(z stanza) {
	switch z.el.Name.Local {
	case "message":
		s.receiveMessage(z)
	case "iq":
		s.receiveIQ(z)
	case "presence":
		s.receivePresence(z)
	}
}

// reply sends a stanza back to where z came from, over the link of the opposite pair. Nobody waits for its fate.
func (s *Server) reply(z stanza, xml []byte) {
	s.queue(pair{z.to.Domain, z.from.Domain}, item{xml: xml})
}

// bounce answers a stanza with an error of the same kind (RFC 6120 §8.3.1): addresses swapped, id mirrored, one condition. An
// error is never answered with an error.
func (s *Server) bounce(z stanza, f *im.Failure) {
	if t := z.el.attr("type"); t == "error" || t == "result" {
		return
	}
	w := &writer{}
	z.open(w, "error")
	if body := z.el.child(nsServer, "body"); body != nil && len(body.text()) <= maxEcho {
		w.leaf("body", body.text())
	}
	w.failure(f)
	s.reply(z, w.raw("</").raw(z.el.Name.Local).raw(">").b)
}

// maxEcho is the longest body, in bytes, that an error stanza repeats.
const maxEcho = 4096

// open begins the answer to z: the same kind of stanza, addresses swapped, id mirrored. Addresses are the peer's own
// spelling, so that it knows them again.
func (z stanza) open(w *writer, typ string) {
	w.raw("<").raw(z.el.Name.Local)
	w.attr("from", z.el.attr("to")).attr("to", z.el.attr("from")).attr("id", z.el.attr("id")).attr("type", typ).raw(">")
}

// failure writes the error element of a stanza error (RFC 6120 §8.3.2).
func (w *writer) failure(f *im.Failure) {
	condition := f.Condition
	if !knownConditions[condition] {
		condition = im.UndefinedCondition
	}
	w.raw("<error type='").raw(translate.ErrorType(condition)).raw("'><").raw(string(condition))
	w.raw(" xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'")
	if f.NewPlace != "" && (condition == im.GoneAway || condition == im.Redirect) {
		w.raw(">").text(f.NewPlace).raw("</").raw(string(condition)).raw(">")
	} else {
		w.raw("/>")
	}
	if f.Text != "" {
		w.raw("<text xmlns='urn:ietf:params:xml:ns:xmpp-stanzas' xml:lang='en'>").text(f.Text).raw("</text>")
	}
	w.raw("</error>")
}

// knownConditions are the conditions of RFC 6120 §8.3.3. Any other counts as undefined-condition.
var knownConditions = map[im.Condition]bool{
	im.BadRequest: true, im.Conflict: true, im.FeatureNotImplemented: true, im.Forbidden: true, im.GoneAway: true,
	im.InternalServerError: true, im.ItemNotFound: true, im.JIDMalformed: true, im.NotAcceptable: true, im.NotAllowed: true,
	im.NotAuthorized: true, im.PolicyViolation: true, im.RecipientUnavailable: true, im.Redirect: true,
	im.RegistrationRequired: true, im.RemoteServerNotFound: true, im.RemoteServerTimeout: true, im.ResourceConstraint: true,
	im.ServiceUnavailable: true, im.SubscriptionRequired: true, im.UndefinedCondition: true, im.UnexpectedRequest: true,
}

// parseFailure reads the error element of a stanza of type error. An unknown condition counts as undefined-condition; an error
// with nothing but a number, as servers before RFC 3920 send it, is read by that (XEP-0086).
func parseFailure(e *element) *im.Failure {
	f := &im.Failure{Condition: im.UndefinedCondition}
	err := e.child(nsServer, "error")
	if err == nil {
		err = e.child(nsClient, "error")
	}
	if err == nil {
		return f
	}
	if c, ok := legacyCodes[err.attr("code")]; ok {
		f.Condition = c
	}
	for _, k := range err.Kids {
		switch {
		case k.Name.Space != nsErrors:
		case k.Name.Local == "text":
			f.Text = k.text()
		case knownConditions[im.Condition(k.Name.Local)]:
			f.Condition = im.Condition(k.Name.Local)
			if f.Condition == im.GoneAway || f.Condition == im.Redirect {
				f.NewPlace = k.text()
			}
		}
	}
	if f.Text == "" {
		f.Text = err.text()
	}
	return f
}

var legacyCodes = map[string]im.Condition{
	"302": im.Redirect, "400": im.BadRequest, "401": im.NotAuthorized, "402": im.UndefinedCondition, "403": im.Forbidden,
	"404": im.ItemNotFound, "405": im.NotAllowed, "406": im.NotAcceptable, "407": im.RegistrationRequired,
	"408": im.RemoteServerTimeout, "409": im.Conflict, "500": im.InternalServerError, "501": im.FeatureNotImplemented,
	"502": im.ServiceUnavailable, "503": im.ServiceUnavailable, "504": im.RemoteServerTimeout, "510": im.ServiceUnavailable,
}
