package xmpps2s

import (
	"slices"
	"strings"
	"time"
)

// Status is what the server's operator sees.
type Status struct {
	Incoming int          // streams that peers have open to us
	Links    []LinkStatus // by pair
	Refusals []Refusal    // the latest claims that were not believed, oldest first
}

// LinkStatus is the state of the way from one of our domains to a peer's.
type LinkStatus struct {
	From, To string
	Up       bool      // a verified stream stands
	Since    time.Time // when it came up or went down; zero if it was never up
	Proof    Proof     // of the stream that stands
	Queued   int
	Attempts []Attempt // the latest, oldest first; of verifications too
}

// Attempt is one try to reach a server of a domain.
type Attempt struct {
	At      time.Time
	Target  string // "host:port" of the SRV record, or the domain
	Address string // "address:port", or empty where it did not come to that
	Err     string // the reason why it failed; empty if it did not
	Policy  bool   // it failed because what one side demands, the other forbids or does not offer
}

// keptAttempts is how many attempts a pair's status remembers.
const keptAttempts = 16

// Status returns a snapshot.
func (s *Server) Status() Status {
	s.mu.Lock()
	defer s.mu.Unlock()
	st := Status{Incoming: len(s.incoming), Refusals: slices.Clone(s.refusals)}
	for p, l := range s.states {
		c := *l
		c.Attempts = slices.Clone(l.Attempts)
		if q := s.links[p]; q != nil {
			q.mu.Lock()
			c.Queued = len(q.queue)
			q.mu.Unlock()
		}
		st.Links = append(st.Links, c)
	}
	slices.SortFunc(st.Links, func(a, b LinkStatus) int {
		return strings.Compare(a.From+" "+a.To, b.From+" "+b.To)
	})
	return st
}

// state is the status of p; s.mu is held.
func (s *Server) state(p pair) *LinkStatus {
	l := s.states[p]
	if l == nil {
		l = &LinkStatus{From: p.from, To: p.to}
		s.states[p] = l
	}
	return l
}

func (s *Server) note(p pair, a Attempt) {
	a.At = time.Now()
	s.log.Info("attempt", "pair", p, "target", a.Target, "address", a.Address, "error", a.Err)
	s.mu.Lock()
	defer s.mu.Unlock()
	l := s.state(p)
	if len(l.Attempts) == keptAttempts {
		l.Attempts = slices.Delete(l.Attempts, 0, 1)
	}
	l.Attempts = append(l.Attempts, a)
}

func (s *Server) up(p pair, proof Proof) {
	s.log.Info("stream up", "pair", p, "proof", proof)
	s.mu.Lock()
	defer s.mu.Unlock()
	l := s.state(p)
	l.Up, l.Since, l.Proof = true, time.Now(), proof
}

func (s *Server) down(p pair) {
	s.mu.Lock()
	defer s.mu.Unlock()
	l := s.state(p)
	l.Up, l.Since, l.Proof = false, time.Now(), Proof{}
}
