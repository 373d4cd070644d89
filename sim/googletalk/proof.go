package googletalk

import (
	"context"
	"time"
)

// proof is what became of our key for one pair on one stream.
type proof struct {
	known chan struct{} // closed once it is known
	bad   *fault        // nil: valid. Not to be read before
}

// question is a db:verify under way.
type question struct {
	pair   pair // sender is the domain whose key it is
	answer chan verdict
}

func newProof() *proof { return &proof{known: make(chan struct{})} }

// await reads until the answer to our key has come.
func (l *link) await(s *stream) (valid bool, refusal *fault, retry bool) {
	for {
		e, err := s.next()
		if err != nil {
			s.leave(err)
			return false, nil, true
		}
		switch {
		case e.is(nsDialback, "verify"):
			l.verified(s, e)
		case e.is(nsDialback, "result"):
			// Gmail refuses an answer with from and to the wrong way round. (prosody commit ccb65fee1)
			got, ok := pairOf(e)
			if !ok || got != (pair{l.pair.target, l.pair.sender}) {
				s.unexpected(e.raw, "db:result answer is not for %v", l.pair)
				continue
			}
			if bad, ok := s.keyAnswer(e, l.pair); ok {
				return bad == nil, bad, false
			}
		case e.is(nsStream, "error"):
			return false, timedOut("%s: %s", l.pair.target, summarize(e)), retriable(summarize(e))
		case e.is(nsStream, "features"):
			s.unexpected(e.raw, "features on a stream without version")
		default:
			s.unexpected(e.raw, "%s before the answer to our key", e.local)
		}
	}
}

// keyAnswer reads the answer to our key; false if it is none.
func (s *stream) keyAnswer(e *element, p pair) (*fault, bool) {
	switch kind := e.get("type"); kind {
	case "valid":
		return nil, true
	case "invalid":
		// XEP-0220 §2.1.1
		return &fault{"internal-server-error", p.target + " says that our key is invalid"}, true
	case "error":
		why := "no condition"
		if k := e.child(nsServer, "error"); k != nil && condition(k) != "" {
			why = condition(k)
		} else {
			s.unexpected(e.raw, "db:result error without a condition")
		}
		return timedOut("%s could not verify us: %s", p.target, why), true
	default:
		s.unexpected(e.raw, "db:result answer of type %q", kind)
		return nil, false
	}
}

// retriable reports whether a stream error speaks of one server and not of the domain.
func retriable(summary string) bool {
	switch summary {
	case "stream:error system-shutdown", "stream:error resource-constraint", "stream:error internal-server-error",
		"stream:error remote-connection-failed", "stream:error conflict", "stream:error reset":
		return true
	}
	return false
}

// prove makes sure that the stream carries p: the pair it was opened for, or one whose key has been answered. It is false if
// the stream ended meanwhile. XEP-0220 §2.6.1
func (l *link) prove(s *stream, p pair, ended <-chan struct{}) (*fault, bool) {
	l.mu.Lock()
	proof, id := l.proofs[p], l.id
	if proof == nil {
		proof = newProof()
		l.proofs[p] = proof
		s.send(l.boot.machine.style.dialback("result", p.sender, p.target, "", "", l.boot.key(p, id)))
	}
	l.mu.Unlock()
	timer := time.NewTimer(l.boot.farm.cfg.Timeouts.Setup)
	defer timer.Stop()
	select {
	case <-proof.known:
		return proof.bad, true
	case <-ended:
		return nil, false
	case <-timer.C:
		return timedOut("%s did not answer our key", p.target), true
	}
}

// proved takes the answer to the key of a further pair.
func (l *link) proved(s *stream, e *element) {
	got, ok := pairOf(e)
	p := pair{got.target, got.sender}
	l.mu.Lock()
	proof := l.proofs[p]
	l.mu.Unlock()
	if !ok || proof == nil {
		s.unexpected(e.raw, "an answer to a key that was not sent")
		return
	}
	select {
	case <-proof.known:
		s.unexpected(e.raw, "a second answer to the key of %v", p)
		return
	default:
	}
	if bad, ok := s.keyAnswer(e, p); ok {
		proof.bad = bad
		close(proof.known)
	}
}

// verify asks on the link's stream whether a key for p is right. It is false if there is no stream or it ended.
// XEP-0220 §2.1.2
func (l *link) verify(ctx context.Context, p pair, id, key string) (verdict, bool) {
	q := &question{p, make(chan verdict, 1)}
	l.mu.Lock()
	s := l.live
	if s != nil {
		l.asked[id] = q
	}
	l.mu.Unlock()
	if s == nil {
		return verdict{}, false
	}
	s.send(l.boot.machine.style.dialback("verify", p.target, p.sender, id, "", escape(key)))
	select {
	case v, ok := <-q.answer:
		return v, ok
	case <-ctx.Done():
		return verdict{}, false
	}
}

// verified takes the answer to a question asked on the link's stream.
func (l *link) verified(s *stream, e *element) {
	id := e.get("id")
	l.mu.Lock()
	q, ok := l.asked[id]
	l.mu.Unlock()
	if !ok {
		s.unexpected(e.raw, "an answer to a db:verify that was not asked")
		return
	}
	if v, good := s.verifyAnswer(e, q.pair, id); good {
		l.mu.Lock()
		delete(l.asked, id)
		l.mu.Unlock()
		q.answer <- v
	}
}
