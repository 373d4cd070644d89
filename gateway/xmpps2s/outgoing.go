package xmpps2s

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"mellium.im/xmpp"
	mstream "mellium.im/xmpp/stream"

	"fedlab/gateway/im"
	"fedlab/gateway/translate"
)

// initiate negotiates an outgoing stream up to the point where the peer awaits proof of who we are.
func (s *Server) initiate(ctx context.Context, st *stream, p pair, e errand) error {
	return st.negotiate(ctx, xmpp.S2S, func(ctx context.Context, st *stream) (bool, error) {
		st.ours = header{from: translate.DisplayDomain(p.from), to: translate.DisplayDomain(p.to), version: mstream.DefaultVersion}
		if err := st.write(st.ours.append(nil)); err != nil {
			return false, err
		}
		h, err := st.readHeader(deadlineIn(ctx, s.cfg.HeaderTimeout))
		if err != nil {
			return false, noHeader(err)
		}
		st.peers = h
		if !h.modern() {
			// No features are due (RFC 6120 §4.7.5); who waits for them waits for ever.
			return true, s.mayAsk(st, p)
		}
		if err := s.features(ctx, st, p, e); err != nil {
			return false, err
		}
		return s.proceed(ctx, st, p, e)
	})
}

// noHeader names the commonest trouble with middleboxes: a connection that nobody answers on.
func noHeader(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("connected, but the peer closed without a stream header: %w", err)
	}
	if isTimeout(err) {
		return fmt.Errorf("connected, but no stream header came: %w", err)
	}
	return err
}

// offers are the stream features that matter to us.
type offers struct {
	tls, tlsRequired bool
	external         bool
	dialback, errors bool // XEP-0220 §2.4.2
	bidi             bool // XEP-0288 §2.1
	only             bool // no proof was offered beside TLS
}

func parseFeatures(e *element) offers {
	var o offers
	count := 0
	for _, k := range e.Kids {
		if k.Name.Local == "" {
			continue
		}
		count++
		switch {
		case k.is(nsTLS, "starttls"):
			o.tls, o.tlsRequired = true, k.child(nsTLS, "required") != nil
		case k.is(nsSASL, "mechanisms"):
			for _, m := range k.Kids {
				o.external = o.external || strings.TrimSpace(m.text()) == "EXTERNAL"
			}
		case k.is("urn:xmpp:features:dialback", "dialback"):
			o.dialback, o.errors = true, k.child("urn:xmpp:features:dialback", "errors") != nil
		case k.is(nsBidiFeature, "bidi"):
			o.bidi = true
			count-- // it is no way to go on without TLS
		}
	}
	o.only = count == 1
	return o
}

// features reads what a peer of version 1.0 offers.
func (s *Server) features(ctx context.Context, st *stream, p pair, do errand) error {
	// A peer that announces version 1.0 and sends no features is asked nevertheless: seen in the field.
	st.guard.late = func() bool {
		st.guard.late = nil
		st.guard.until = deadlineIn(ctx, s.cfg.DialbackTimeout)
		if st.proven || s.mayAsk(st, p) != nil {
			return false
		}
		st.asked = true
		return do.ask(st) == nil
	}
	e, err := st.next(deadlineIn(ctx, s.cfg.FeaturesTimeout))
	st.guard.late = nil
	switch {
	case err != nil:
		return err
	case e.is(mstream.NS, "features"):
		if !st.asked {
			st.offers = parseFeatures(e)
		}
		return nil
	case st.asked:
		st.unread = e
		return nil
	}
	return &fault{mstream.BadFormat, "features were due"}
}

// proceed takes the next step that the peer's features and our policy towards the domain allow: TLS, SASL EXTERNAL, or
// dialback, for which the stream is ready.
func (s *Server) proceed(ctx context.Context, st *stream, p pair, do errand) (ready bool, err error) {
	m := s.methods[p.to]
	switch {
	case st.proven || st.asked:
		return true, nil
	case st.offers.tls && m.tls() && !st.secure:
		return false, s.startTLS(ctx, st, p)
	case st.offers.tls && (st.offers.tlsRequired || st.offers.only) && !st.secure:
		// RFC 6120 §5.3.1: a lone STARTTLS feature is mandatory too.
		return false, &verdict{policy: true, failure: &im.Failure{Condition: im.RemoteServerTimeout,
			Text: p.to + " demands TLS, and the configuration forbids it towards that domain"}}
	}
	if st.offers.bidi && do.stanzas && !st.bidi {
		st.bidi = true // before either proof, and behind TLS if there is any (XEP-0288 §2.2)
		if err := st.write([]byte("<bidi xmlns='" + nsBidi + "'/>")); err != nil {
			return false, err
		}
	}
	if st.secure && st.offers.external && m.external && do.stanzas && !st.refused && s.encrypts() {
		err := s.external(ctx, st, p)
		if errors.Is(err, errSASL) {
			st.refused = true
			if !m.dialback(true) {
				return false, &verdict{policy: true, failure: &im.Failure{Condition: im.RemoteServerTimeout, Text: p.to + ": " + err.Error()}}
			}
			s.log.Warn("SASL EXTERNAL failed, dialback is tried", "pair", p, "reason", err)
			return true, nil
		}
		return false, err
	}
	return true, s.mayAsk(st, p)
}

// mayAsk reports why dialback is against the policy on this stream.
func (s *Server) mayAsk(st *stream, p pair) error {
	m := s.methods[p.to]
	text := ""
	switch {
	case m.dialback(st.secure):
		return nil
	case st.secure:
		text = "%s accepts no certificate of ours as proof, and the configuration forbids dialback"
	case m.tls():
		text = "%s offers no TLS, and the configuration requires it"
	default:
		text = "the configuration forbids every proof that %s would take"
	}
	return &verdict{policy: true, failure: &im.Failure{Condition: im.RemoteServerTimeout, Text: fmt.Sprintf(text, p.to)}}
}

// dialback is the errand of proving to the peer that we are p.from: the initiating server's role (XEP-0220 §2.1.1). Until
// the peer says that the key is valid nothing else is sent.
func (s *Server) dialback(p pair) errand {
	return errand{
		stanzas: true,
		ask: func(st *stream) error {
			if err := st.canDialback(); err != nil {
				return err
			}
			if st.peers.id == "" {
				return errors.New("the peer's header has no id, so that no dialback is possible")
			}
			key := dialbackKey(s.cfg.Secret, p.to, p.from, st.peers.id)
			return st.write(keyXML("result", translate.DisplayDomain(p.from), translate.DisplayDomain(p.to), "", key))
		},
		await: func(ctx context.Context, st *stream) error { return s.awaitResult(ctx, st, p) },
	}
}

// canDialback reports why dialback is impossible with this peer.
func (st *stream) canDialback() error {
	if !st.peers.dialback {
		return &verdict{policy: true, failure: &im.Failure{Condition: im.RemoteServerTimeout,
			Text: "the peer's header does not declare dialback, and nothing else was agreed"}}
	}
	return nil
}

func (s *Server) awaitResult(ctx context.Context, st *stream, p pair) error {
	until := deadlineIn(ctx, s.cfg.DialbackTimeout)
	for {
		e, err := st.next(until)
		switch {
		case errors.Is(err, io.EOF):
			return fmt.Errorf("the peer closed the stream while it checked our dialback key: %w", err)
		case isTimeout(err):
			return fmt.Errorf("the peer did not answer our dialback key: %w", err)
		case err != nil:
			return err
		}
		answer, ok := dialbackPair(e)
		if !e.is(nsDialback, "result") || !ok || answer != p.reversed() || e.attr("type") == "" {
			// XEP-0220 §2.1.1: an answer that matches no request of this stream is no answer.
			s.log.Warn("ignored on an outgoing stream", "pair", p, "element", e.Name.Local, "from", e.attr("from"), "to", e.attr("to"))
			continue
		}
		switch typ := e.attr("type"); typ {
		case "valid":
			return nil
		case "invalid":
			return &verdict{failure: &im.Failure{Condition: im.InternalServerError, Text: p.to + " found our dialback key invalid"}}
		default:
			return &verdict{keep: true, policy: policyErrors[dialbackCondition(e)], failure: &im.Failure{Condition: im.RemoteServerTimeout,
				Text: fmt.Sprintf("%s could not verify us by dialback: %s %s", p.to, typ, dialbackCondition(e))}}
		}
	}
}
