package xmpps2s

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"syscall"
	"time"

	mstream "mellium.im/xmpp/stream"

	"fedlab/gateway/im"
	"fedlab/gateway/reach"
)

// verdict is an answer of the peer's domain, and not of one of its hosts: no other host is asked.
type verdict struct {
	failure *im.Failure
	keep    bool // the stream stays usable, and is returned beside the failure
	policy  bool // it follows from what the two sides demand and forbid
}

func (v *verdict) Error() string { return v.failure.Error() }

// errand is what an outgoing stream is opened for: a question by dialback, and the wait for its answer.
type errand struct {
	stanzas bool // are to follow: a certificate does as well as the question (SASL EXTERNAL), and the peer may use the stream too
	ask     func(*stream) error
	await   func(context.Context, *stream) error
}

// open finds a server of p.to, which is the peer's domain, and returns a stream to it from p.from on which the errand is
// done. Every address of every target is tried in order until one gives a stream or the domain's verdict. All of it
// ends with ctx.
func (s *Server) open(ctx context.Context, p pair, e errand) (*stream, *im.Failure) {
	targets, failure := s.resolve(ctx, p.to)
	if failure != nil {
		s.note(p, Attempt{Target: p.to, Err: failure.Text})
		return nil, failure
	}
	h := &hunt{s: s, pair: p, errand: e, tried: make(map[place]bool), refused: true}
	fallback := len(targets) == 1 && targets[0].host == p.to
	for hops := 0; len(targets) > 0; {
		t := targets[0]
		targets = targets[1:]
		st, err := h.target(ctx, t)
		if err == nil {
			return st, nil
		}
		var v *verdict
		if errors.As(err, &v) {
			if !v.keep {
				return nil, v.failure
			}
			return st, v.failure
		}
		var r *redirect
		if errors.As(err, &r) {
			// RFC 6120 §4.9.3.19: the same to, the same policy and the same identities, at another place; not for ever.
			if hops++; hops > maxRedirects {
				h.fail(t, "", errors.New("redirected too often"))
				continue
			}
			more, failure := s.resolveRedirect(ctx, r)
			if failure != nil {
				h.fail(t, "", failure)
			}
			targets = append(more, targets...)
		}
	}
	// RFC 6120 §8.3.3.16 and §10.4.3: nothing to connect to, or a server that could not be spoken to.
	condition := im.RemoteServerTimeout
	if !h.reached || fallback && h.refused {
		condition = im.RemoteServerNotFound
	}
	return nil, &im.Failure{Condition: condition, Text: "no server of " + p.to + " could be reached: " + strings.Join(h.reasons, "; ")}
}

// place is where a stream was tried. With TLS first and without are two: a record for TLS may have the port that is meant for the other.
type place struct {
	netip.AddrPort
	direct bool
}

// hunt is one search for a server that does an errand.
type hunt struct {
	s *Server
	pair
	errand
	tried            map[place]bool
	reasons          []string
	reached, refused bool // an address was found; nothing listens on any
}

func (h *hunt) fail(t target, address string, err error) {
	var v *verdict
	h.s.note(h.pair, Attempt{Target: t.String(), Address: address, Err: err.Error(), Policy: errors.As(err, &v) && v.policy})
	where := t.String()
	if address != "" {
		where += " (" + address + ")"
	}
	h.reasons = append(h.reasons, where+": "+err.Error())
}

// errNoStream is the reason why the next target is tried; the ones behind it are in the hunt.
var errNoStream = errors.New("no stream")

// target tries the addresses of one target. The error is a verdict, a redirect, or errNoStream.
func (h *hunt) target(ctx context.Context, t target) (*stream, error) {
	addresses, err := reach.Addresses(ctx, h.s.cfg.Network, t.host, t.port)
	if err != nil {
		var dnsErr *net.DNSError
		if !errors.As(err, &dnsErr) || !dnsErr.IsNotFound {
			h.reached, h.refused = true, false // it may have addresses
		}
		h.fail(t, "", err)
		return nil, errNoStream
	}
	tried := func(a netip.AddrPort) bool { return h.tried[place{a, t.direct}] }
	addresses = slices.DeleteFunc(addresses, tried)
	for len(addresses) > 0 && len(h.tried) < maxAddresses {
		h.reached = true
		if ctx.Err() != nil {
			h.refused = false
			h.fail(t, addresses[0].String(), errors.New("no time left to try it"))
			return nil, errNoStream
		}
		conn, at, failed := reach.Race(ctx, h.s.cfg.Network, addresses, h.s.cfg.ConnectTimeout)
		for _, f := range failed {
			h.tried[place{f.Address, t.direct}] = true
			h.refused = h.refused && isRefused(f.Err)
			h.fail(t, f.Address.String(), f.Err)
		}
		if conn != nil {
			h.tried[place{at, t.direct}], h.refused = true, false
			st, err := h.s.dial(ctx, conn, h.pair, t, h.errand)
			if err == nil {
				h.s.note(h.pair, Attempt{Target: t.String(), Address: at.String()})
				return st, nil
			}
			h.fail(t, at.String(), err)
			var v *verdict
			var r *redirect
			if errors.As(err, &v) || errors.As(err, &r) {
				return st, err
			}
		}
		addresses = slices.DeleteFunc(addresses, tried)
	}
	return nil, errNoStream
}

// dial brings up a stream on a connection and does the errand there. The stream is returned if it is of use: without an
// error, or with a verdict that keeps it.
func (s *Server) dial(ctx context.Context, conn net.Conn, p pair, t target, e errand) (*stream, error) {
	st := newStream(&s.cfg, &counted{Conn: conn})
	return st, s.attempt(ctx, st, func() error {
		if t.direct {
			if err := s.dialTLS(ctx, st, p, directTLS); err != nil {
				return err
			}
			st.direct = true
		}
		if err := s.initiate(ctx, st, p, e); err != nil {
			return err
		}
		return s.run(ctx, st, e)
	})
}

// run does an errand on a stream that is ready for it.
func (s *Server) run(ctx context.Context, st *stream, e errand) error {
	if st.proven {
		return nil
	}
	if !st.asked {
		st.asked = true
		if err := e.ask(st); err != nil {
			return err
		}
	}
	return e.await(ctx, st)
}

// attempt does f on st, cut short when ctx ends, and closes st unless it remains of use.
func (s *Server) attempt(ctx context.Context, st *stream, f func() error) error {
	conn := st.ends.conn
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	err := f()
	var v *verdict
	kept := err == nil || errors.As(err, &v) && v.keep
	if stop() && kept {
		return err
	}
	if kept {
		err = ctx.Err()
	}
	return s.abandon(ctx, st, err)
}

// abandon ends an outgoing stream that did not come up, and returns the reason in words that fit err.
func (s *Server) abandon(ctx context.Context, st *stream, err error) error {
	var f *fault
	if errors.As(err, &f) {
		st.write(f.xml()) // the connection ends in either case
	}
	st.conn.Close()
	var e mstream.Error
	switch {
	case errors.As(err, &e):
		return peerError(e)
	case ctx.Err() != nil:
		return fmt.Errorf("no stream in time: %w", context.Cause(ctx))
	case isTimeout(err):
		return fmt.Errorf("connected, but no answer in time: %w", err)
	}
	return err
}

// domainErrors are the stream errors by which a host speaks for its domain, so that no other host is asked. All others are
// that host's own trouble (an unknown one counts as undefined-condition, RFC 6120 §4.9.2).
var domainErrors = map[string]bool{
	"host-unknown": true, "host-gone": true, "policy-violation": true, "not-authorized": true, "invalid-from": true,
	"improper-addressing": true, "unsupported-version": true, "unsupported-feature": true, "invalid-namespace": true,
}

// policyErrors are the errors of streams and of dialback by which a peer says that it will not have us as we are.
var policyErrors = map[string]bool{"policy-violation": true, "not-authorized": true, "not-acceptable": true}

// peerError is a stream error that the peer sent.
func peerError(e mstream.Error) error {
	if e.Err == mstream.SeeOtherHost.Err && strings.TrimSpace(e.Content) != "" {
		return &redirect{strings.TrimSpace(e.Content)}
	}
	text := "the peer closed the stream with " + e.Err
	for _, t := range e.Text {
		text += ": " + t.Value
		break
	}
	if !domainErrors[e.Err] {
		return errors.New(text)
	}
	return &verdict{policy: policyErrors[e.Err], failure: &im.Failure{Condition: im.RemoteServerTimeout, Text: text}}
}

// deadlineIn is the deadline of a phase of d within ctx.
func deadlineIn(ctx context.Context, d time.Duration) time.Time {
	at := time.Now().Add(d)
	if end, ok := ctx.Deadline(); ok {
		at = earlier(at, end)
	}
	return at
}

// isRefused reports whether nothing listened there.
func isRefused(err error) bool { return errors.Is(err, syscall.ECONNREFUSED) }
