package googletalk

import (
	"context"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"time"

	"fedlab/sim/trace"
)

// Name spaces of stream features.
const (
	nsTLS             = "urn:ietf:params:xml:ns:xmpp-tls"
	nsSASL            = "urn:ietf:params:xml:ns:xmpp-sasl"
	nsDialbackFeature = "urn:xmpp:features:dialback"
)

// features is what a stream's features offer.
type features struct {
	startTLS, required bool
	external           bool
	dialback           bool
}

// offer sends our features, if the stream has any; false means that the stream is ending. RFC 6120 §4.3.2, XEP-0238 §4
func (in *inbound) offer() bool {
	p := in.boot.farm.cfg.Partner
	in.offered = features{}
	if p == nil {
		return true
	}
	if in.header.version == "" {
		if p.TLS == TLSRequired {
			in.fail("policy-violation", "TLS is required")
			return false
		}
		return true
	}
	secured := in.tls.Load() != nil
	f := features{
		startTLS: p.usesTLS() && !secured,
		required: p.TLS == TLSRequired && !secured,
		external: p.External && secured && in.trusted && !in.proved,
		dialback: !p.NoDialback && !in.proved,
	}
	if in.proved {
		in.mu.Lock()
		in.pairs[pair{in.header.from, in.header.to}] = true
		in.mu.Unlock()
	}
	if f.required {
		f.dialback = false
	}
	if secured && !in.trusted && (p.Trusted || p.NoDialback) {
		in.fail("policy-violation", "a certificate that proves "+in.header.from+" is required")
		return false
	}
	in.offered = f
	in.send(f.frame())
	return true
}

func (f features) frame() frame {
	var content, summary string
	if f.startTLS {
		inner := ""
		summary = " starttls"
		if f.required {
			inner, summary = "<required/>", " starttls required"
		}
		content += tag("starttls").attr("xmlns", nsTLS).wrap(inner)
	}
	if f.external {
		content += tag("mechanisms").attr("xmlns", nsSASL).wrap("<mechanism>EXTERNAL</mechanism>")
		summary += " EXTERNAL"
	}
	if f.dialback {
		content += tag("dialback").attr("xmlns", nsDialbackFeature).wrap("<errors/>")
		summary += " dialback"
	}
	return frame{data: "<stream:features>" + content + "</stream:features>", summary: "stream:features" + summary}
}

// secure acts on what belongs to TLS and SASL. done means that it was such an element, again that a new stream begins.
func (in *inbound) secure(e *element) (again, done bool) {
	switch {
	case e.is(nsTLS, "starttls") && in.boot.farm.cfg.Partner != nil:
		if !in.offered.startTLS || in.asked {
			in.unexpected(e.raw, "starttls where it is not offered")
			in.finish(frame{data: tag("failure").attr("xmlns", nsTLS).empty(), summary: "failure"})
			return false, true
		}
		if in.in.buffered() > 0 {
			// What was sent in clear behind starttls would count as protected.
			in.unexpected(nil, "%d bytes in clear behind starttls", in.in.buffered())
			in.finish()
			return false, true
		}
		if err := in.startTLS(tag("proceed").attr("xmlns", nsTLS).empty(), "proceed", false, in.header.to, in.header.from); err != nil {
			in.boot.log("%s: TLS: %v", in.name, err)
			in.conn.Close()
			return false, true
		}
		return true, true
	case e.is(nsSASL, "auth") && in.boot.farm.cfg.Partner != nil:
		return in.auth(e), true
	}
	return false, false
}

// auth is SASL EXTERNAL; true means that a new stream begins. XEP-0178 §3
func (in *inbound) auth(e *element) bool {
	refuse := func(condition string) bool {
		in.send(frame{
			data:    tag("failure").attr("xmlns", nsSASL).wrap("<" + condition + "/>"),
			summary: "failure " + condition,
		})
		return false
	}
	if !in.offered.external || e.get("mechanism") != "EXTERNAL" {
		in.unexpected(e.raw, "SASL %s where it is not offered", e.get("mechanism"))
		return refuse("invalid-mechanism")
	}
	identity := in.header.from
	if text := strings.TrimSpace(e.text); text != "" && text != "=" {
		raw, err := base64.StdEncoding.DecodeString(text)
		if err != nil {
			in.unexpected(e.raw, "the identity is not base64")
			return refuse("incorrect-encoding")
		}
		identity = foldDomain(string(raw))
	}
	if identity != in.header.from {
		in.unexpected(e.raw, "SASL as %s on a stream from %s", identity, in.header.from)
		return refuse("invalid-authzid")
	}
	in.proved = true
	in.say(frame{data: tag("success").attr("xmlns", nsSASL).empty(), summary: "success"})
	in.in.restart(in.rw())
	return true
}

// mayDialback reports whether a key is taken at all on this stream; if not, it says so to the peer. XEP-0220 §2.5
func (in *inbound) mayDialback(p pair) bool {
	partner := in.boot.farm.cfg.Partner
	switch {
	case partner == nil:
		return true
	case partner.TLS == TLSRequired && in.tls.Load() == nil:
		in.fail("policy-violation", "TLS is required")
		return false
	case partner.NoDialback:
		in.send(in.boot.machine.style.dialback("result", p.target, p.sender, "", "error", dialbackError("not-authorized")))
		return false
	}
	return true
}

// say sends f and waits until it is with the network.
func (s *stream) say(f frame) {
	done := make(chan struct{})
	f.wrote = func(int64) { close(done) }
	s.send(f)
	select {
	case <-done:
	case <-s.written:
	}
}

// startTLS sends what announces TLS (a client reads the answer before), and does the handshake.
func (s *stream) startTLS(announce, summary string, client bool, our, peer string) error {
	s.held.Store(true)
	defer s.held.Store(false)
	if announce != "" {
		s.say(frame{data: announce, summary: summary})
	}
	if n := s.in.buffered(); n > 0 {
		s.unexpected(nil, "%d bytes in clear where TLS has to begin", n)
		return errors.New("bytes in clear where TLS has to begin")
	}
	return s.handshake(s.boot.farm.cfg.Partner.config(peer), client, our, peer)
}

// beginTLS makes the handshake that comes before the stream. Who calls has to say what for. XEP-0368 §3
func (s *stream) beginTLS(client bool, our, peer string) error {
	s.held.Store(true)
	defer s.held.Store(false)
	config := s.boot.farm.cfg.Partner.config(peer)
	config.NextProtos = []string{alpn}
	if err := s.handshake(config, client, our, peer); err != nil {
		return err
	}
	if state := s.tls.Load().ConnectionState(); !client && state.NegotiatedProtocol != alpn {
		s.unexpected(nil, "a connection to the port for TLS that does not ask for %s by ALPN", alpn)
	}
	return nil
}

// handshake is that of TLS. What the peer's certificate is worth is noted and decided later.
func (s *stream) handshake(config *tls.Config, client bool, our, peer string) error {
	t, side := tls.Server(s.conn, config), "server for "+our
	if client {
		t, side = tls.Client(s.conn, config), "client to "+peer
	}
	ctx, cancel := context.WithTimeout(s.boot.ctx, s.boot.farm.cfg.Timeouts.Header)
	defer cancel()
	s.conn.SetReadDeadline(time.Time{})
	s.conn.SetWriteDeadline(time.Time{})
	if err := t.HandshakeContext(ctx); err != nil {
		s.tlsEvent(trace.Failed, fmt.Sprintf("%s: %v", side, err))
		return err
	}
	verdict := ""
	if peer != "" {
		verdict = ", the peer's certificate proves " + peer
		if err := s.boot.farm.cfg.Partner.judge(t.ConnectionState(), peer); err != nil {
			verdict = ", the peer's certificate: " + err.Error()
		}
	}
	s.tlsEvent(trace.Passed, fmt.Sprintf("%s: %s%s", side, tls.VersionName(t.ConnectionState().Version), verdict))
	s.tls.Store(t)
	s.in.restart(t)
	return nil
}

func (s *stream) tlsEvent(kind, summary string) {
	s.boot.farm.cfg.Trace.Record(trace.Event{
		Layer: trace.TLS, Kind: kind, Host: s.boot.name(), From: s.conn.LocalAddr().String(), To: s.conn.RemoteAddr().String(),
		Conn: s.name, Summary: summary,
	})
}

var errPolicy = errors.New("the peer's offers do not meet our policy")

// negotiate opens our stream to domain: headers and, for a partner, features, TLS and SASL. The header returned is that of
// the last stream. RFC 6120 §4.3, §5, §6
func (s *stream) negotiate(ctx context.Context, our, domain string) (header, error) {
	p := s.boot.farm.cfg.Partner
	if p == nil {
		return s.greet(ctx, our, domain, "")
	}
	h, err := s.greet(ctx, our, domain, "1.0")
	if err != nil {
		return h, err
	}
	var f features
	if h.version != "" {
		if f, err = s.features(ctx); err != nil {
			return h, err
		}
	}
	if f.startTLS && p.usesTLS() {
		if err := s.upgrade(ctx, our, domain); err != nil {
			return h, err
		}
		if h, err = s.greet(ctx, our, domain, "1.0"); err != nil {
			return h, err
		}
		if f, err = s.features(ctx); err != nil {
			return h, err
		}
		if f.startTLS {
			// RFC 6120 §5.4.3.3
			s.unexpected(nil, "STARTTLS offered again after TLS")
		}
	}
	secured := s.tls.Load() != nil
	if p.TLS == TLSRequired && !secured {
		return h, s.refuse("TLS is required here and not offered there")
	}
	if secured && p.Trusted {
		if err := p.judge(s.tls.Load().ConnectionState(), domain); err != nil {
			return h, s.refuse(err.Error())
		}
	}
	if f.external && p.External && secured {
		proved, err := s.authenticate(ctx, our)
		if err != nil {
			return h, err
		}
		if proved {
			if h, err = s.greet(ctx, our, domain, "1.0"); err != nil {
				return h, err
			}
			if _, err = s.features(ctx); err != nil {
				return h, err
			}
			h.proved = true
		}
	}
	if p.NoDialback && !h.proved {
		return h, s.refuse("dialback is refused here and nothing else is offered there")
	}
	return h, nil
}

// refuse ends a stream for reasons of our policy.
func (s *stream) refuse(why string) error {
	s.fail("policy-violation", why)
	s.drain()
	return fmt.Errorf("%w: %s", errPolicy, why)
}

// features reads the peer's features.
func (s *stream) features(ctx context.Context) (features, error) {
	e, err := s.read(ctx)
	if err != nil {
		return features{}, err
	}
	if !e.is(nsStream, "features") {
		s.unexpected(e.raw, "%s where features are due", e.local)
		s.finish()
		s.drain()
		return features{}, fmt.Errorf("%w: no features", errNoStream)
	}
	var f features
	for _, k := range e.kids {
		switch {
		case k.is(nsTLS, "starttls"):
			f.startTLS, f.required = true, k.child(nsTLS, "required") != nil
		case k.is(nsSASL, "mechanisms"):
			for _, m := range k.kids {
				f.external = f.external || strings.TrimSpace(m.text) == "EXTERNAL"
			}
		case k.is(nsDialbackFeature, "dialback"):
			f.dialback = true
		}
	}
	return f, nil
}

// read reads one element during the negotiation; a stream error is an error.
func (s *stream) read(ctx context.Context) (*element, error) {
	s.conn.SetReadDeadline(time.Now().Add(remaining(ctx, s.boot.farm.cfg.Timeouts.Header)))
	e, err := s.next()
	s.conn.SetReadDeadline(time.Time{})
	if err != nil {
		s.leave(err)
		return nil, fmt.Errorf("%w: %w", errNoStream, err)
	}
	if e.is(nsStream, "error") {
		s.finish()
		s.drain()
		return nil, fmt.Errorf("%w: %s", errNoStream, summarize(e))
	}
	return e, nil
}

// upgrade asks for TLS and starts it.
func (s *stream) upgrade(ctx context.Context, our, domain string) error {
	s.held.Store(true)
	s.say(frame{data: tag("starttls").attr("xmlns", nsTLS).empty(), summary: "starttls"})
	e, err := s.read(ctx)
	if err != nil {
		return err
	}
	if !e.is(nsTLS, "proceed") {
		return fmt.Errorf("%w: %s in answer to starttls", errNoStream, e.local)
	}
	if err := s.startTLS("", "", true, our, domain); err != nil {
		return fmt.Errorf("%w: TLS: %w", errNoStream, err)
	}
	return nil
}

// authenticate tries SASL EXTERNAL; false means that the peer does not accept it and dialback is the next thing to try.
func (s *stream) authenticate(ctx context.Context, our string) (bool, error) {
	s.say(frame{
		data: tag("auth").attr("xmlns", nsSASL).attr("mechanism", "EXTERNAL").
			wrap(base64.StdEncoding.EncodeToString([]byte(our))),
		summary: "auth EXTERNAL",
	})
	e, err := s.read(ctx)
	if err != nil {
		return false, err
	}
	switch {
	case e.is(nsSASL, "success"):
		s.in.restart(s.rw())
		return true, nil
	case e.is(nsSASL, "failure"):
		return false, nil
	}
	s.unexpected(e.raw, "%s in answer to SASL", e.local)
	return false, s.refuse("no answer to SASL")
}
