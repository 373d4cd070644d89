package xmpps2s

import (
	"context"
	"errors"
	"io"

	"fedlab/gateway/im"
	"fedlab/gateway/translate"
)

// verify asks the authoritative server of p.from, as the receiving server, whether key is that domain's key for our stream
// id (XEP-0220 §2.1.2). It opens a connection of its own to the server that DNS names: the connection that carried the key
// proves nothing. The result is a type for the answer to the peer, and a condition if that is "error".
func (s *Server) verify(ctx context.Context, p pair, id, key string) (typ, condition string) {
	ctx, cancel := context.WithTimeout(ctx, s.cfg.StreamTimeout)
	defer cancel()
	var answer *element
	st, failure := s.open(ctx, p.reversed(), errand{
		ask: func(st *stream) error {
			if err := st.canDialback(); err != nil {
				return err
			}
			return st.write(keyXML("verify", translate.DisplayDomain(p.to), translate.DisplayDomain(p.from), id, key))
		},
		await: func(ctx context.Context, st *stream) (err error) {
			answer, err = s.awaitVerify(ctx, st, p, id)
			return err
		},
	})
	if failure != nil {
		s.log.Warn("a dialback key could not be verified", "pair", p, "reason", failure.Text)
		if failure.Condition == im.RemoteServerNotFound {
			return "error", "remote-server-not-found"
		}
		return "error", "remote-server-timeout"
	}
	// The peer may have closed first, and mostly has (RFC 3920 §8.3, step 9). It is not waited for here.
	s.work.Go(func() {
		st.write(closeTag)
		st.drain()
	})
	switch answer.attr("type") {
	case "valid":
		return "valid", ""
	case "error":
		// XEP-0220 §2.1.2: an error in step 3 is reported as remote-server-not-found.
		s.log.Warn("a dialback key could not be verified", "pair", p, "reason", dialbackCondition(answer))
		return "error", "remote-server-not-found"
	}
	return "invalid", ""
}

// awaitVerify waits for the answer to db:verify on the same stream. Anything else is ignored and logged.
func (s *Server) awaitVerify(ctx context.Context, st *stream, p pair, id string) (*element, error) {
	until := deadlineIn(ctx, s.cfg.DialbackTimeout)
	for {
		e, err := st.next(until)
		if errors.Is(err, io.EOF) {
			return nil, errors.New("the authoritative server closed the stream without an answer")
		}
		if err != nil {
			return nil, err
		}
		answer, ok := dialbackPair(e)
		if e.is(nsDialback, "verify") && ok && answer == p && e.attr("id") == id && e.attr("type") != "" {
			return e, nil
		}
		s.log.Warn("ignored on a verifying stream", "pair", p, "element", e.Name.Local, "from", e.attr("from"), "to", e.attr("to"))
	}
}
