package xmpps2s

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"
)

// The namespaces of XEP-0288: of the request, and of the feature that offers to take it.
const (
	nsBidi        = "urn:xmpp:bidi"
	nsBidiFeature = "urn:xmpp:features:bidi"
)

// A stream that both sides use (XEP-0288) is an incoming in either case, whoever opened it: one goroutine reads it, one writes
// its answers, and it knows the pairs that are proven. A pair that is proven there is proven in both directions, so the link
// of the opposite pair borrows the stream and writes its stanzas between the answers.

// mayShare reports whether both sides may use a stream with this domain. What goes out must not go to somebody who would not
// have been believed if we had dialled: a pinned certificate has to be shown here too.
func (in *incoming) mayShare(domain string) bool {
	policy, allowed := in.s.cfg.Domains[domain]
	return allowed && (policy.Pin == "" || in.offered && domain == in.sender)
}

// share lends the stream to the link that goes the other way than p, which is proven. What proves it must have been written.
func (in *incoming) share(p pair) {
	if !in.st.bidi || !in.mayShare(p.from) {
		return
	}
	s, back := in.s, p.reversed()
	s.mu.Lock()
	s.lent[back] = append(s.lent[back], in)
	l := s.links[back]
	s.mu.Unlock()
	in.log.Info("both sides use the stream", "pair", back)
	if l != nil {
		l.rouse()
	}
}

// reclaim ends what share began.
func (s *Server) reclaim(in *incoming) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for p, lent := range s.lent {
		if lent = slices.DeleteFunc(lent, func(i *incoming) bool { return i == in }); len(lent) == 0 {
			delete(s.lent, p)
		} else {
			s.lent[p] = lent
		}
	}
}

// lender is a stream of the peer's that stands and may carry p, or nil.
func (s *Server) lender(p pair) *incoming {
	s.mu.Lock()
	lent := slices.Clone(s.lent[p])
	s.mu.Unlock()
	for _, in := range slices.Backward(lent) {
		in.mu.Lock()
		ending := in.ending
		in.mu.Unlock()
		if !ending {
			return in
		}
	}
	return nil
}

// borrow keeps the connection open for a link until it calls borrowers.Done, and reports whether there is anything to borrow.
func (in *incoming) borrow() bool {
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.ending {
		return false
	}
	in.borrowers.Add(1)
	return true
}

// both begins to read a stream of ours which p is proven on and which the peer may use too. It ends with ctx, and is the
// caller's to give back as a borrowed one.
func (s *Server) both(ctx context.Context, st *stream, p pair) {
	in := newIncoming(s, st)
	in.opener, in.pairs[p.reversed()] = p, true
	in.borrowers.Add(1)
	s.work.Go(func() {
		defer in.release()
		in.converse(ctx)
	})
}

// hear remembers that the peer has use for the stream. Answers are none: our pings would keep it open for ever.
func (in *incoming) hear(e *element) {
	if t := e.attr("type"); e.Name.Local == "iq" && (t == "result" || t == "error") {
		return
	}
	in.mu.Lock()
	defer in.mu.Unlock()
	in.heard = time.Now()
}

// lastHeard is when the peer last had use for the stream.
func (in *incoming) lastHeard() time.Time {
	in.mu.Lock()
	defer in.mu.Unlock()
	return in.heard
}

// ending is the end of a stream's reading, which several wait for.
type ending struct {
	done   chan struct{}
	reason error // once done is closed
}

func newEnding() *ending { return &ending{done: make(chan struct{})} }

func (e *ending) set(reason error) {
	e.reason = reason
	close(e.done)
}

// endOf says what an error of reading means.
func endOf(err error) error {
	if errors.Is(err, io.EOF) {
		return errors.New("closed by the peer")
	}
	return fmt.Errorf("broken: %w", err)
}
