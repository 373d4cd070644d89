package xmpps2s

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"

	mstream "mellium.im/xmpp/stream"

	"fedlab/gateway/translate"
)

const nsSASL = "urn:ietf:params:xml:ns:xmpp-sasl"

// maxAuths is how often a peer may try (RFC 6120 §6.4.5).
const maxAuths = 3

// errSASL is the reason why a stream is not proven by a certificate.
var errSASL = errors.New("the peer does not accept our certificate as proof")

// external proves that we are p.from by the certificate that TLS showed (XEP-0178 §3). The stream is restarted after it.
func (s *Server) external(ctx context.Context, st *stream, p pair) error {
	// The identity is sent, although it is the one in the header: older receivers want it, others accept it.
	id := base64.StdEncoding.EncodeToString([]byte(translate.DisplayDomain(p.from)))
	if err := st.write([]byte("<auth xmlns='" + nsSASL + "' mechanism='EXTERNAL'>" + id + "</auth>")); err != nil {
		return err
	}
	e, err := st.next(deadlineIn(ctx, s.cfg.HeaderTimeout))
	switch {
	case err != nil:
		return err
	case e.is(nsSASL, "success"):
		st.use(st.conn)
		st.proven = true
		return nil
	case e.is(nsSASL, "failure"):
		condition := "not-authorized"
		for _, k := range e.Kids {
			if k.Name.Local != "" && k.Name.Local != "text" {
				condition = k.Name.Local
			}
		}
		return fmt.Errorf("%w: %s %s", errSASL, condition, e.child(nsSASL, "text").text())
	}
	return &fault{mstream.BadFormat, "an answer to auth was due"}
}

// authenticate answers a peer's auth. ok is true if the peer has proven the domain of its header.
func (in *incoming) authenticate(st *stream, e *element) (ok bool, err error) {
	refuse := func(condition string) (bool, error) {
		in.log.Warn("SASL EXTERNAL refused", "from", st.peers.from, "condition", condition)
		if in.auths++; in.auths >= maxAuths {
			return false, &fault{mstream.PolicyViolation, "too many attempts to authenticate"}
		}
		return false, st.write([]byte("<failure xmlns='" + nsSASL + "'><" + condition + "/></failure>"))
	}
	if e.attr("mechanism") != "EXTERNAL" {
		return refuse("invalid-mechanism")
	}
	if !in.offered {
		return refuse("not-authorized")
	}
	if text := e.text(); text != "" && text != "=" {
		id, err := base64.StdEncoding.DecodeString(text)
		if err != nil {
			return refuse("incorrect-encoding")
		}
		// Only the domain of the header may be claimed: the certificate was checked for that one.
		if d, err := translate.ParseDomain(string(id)); err != nil || d != in.sender {
			return refuse("invalid-authzid")
		}
	}
	if err := st.write([]byte("<success xmlns='" + nsSASL + "'/>")); err != nil {
		return false, err
	}
	st.use(st.conn)
	st.proven = true
	return true, nil
}
