package xmpps2s

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"fedlab/gateway/im"
)

// item is one stanza on its way to a peer.
type item struct {
	xml     []byte
	expires time.Time
	outcome im.Outcome  // nil for stanzas whose fate nobody waits for
	message *im.Message // what the stanza says, if it is a message
	shows   bool        // it is presence: if it is lost, it is in arrears (arrears.go)
}

func (i item) tell(f *im.Failure) {
	if i.outcome != nil {
		i.outcome(f)
	}
}

// link is the way from one of our domains to a peer's: the queue of one domain pair, and the one goroutine that has a
// stream for it. One queue and one stream keep the order (RFC 6120 §10.1).
type link struct {
	s *Server
	pair

	mu      sync.Mutex
	queue   []item // in the order in which they expire
	signals int    // of the queue: presence
	closed  bool   // nothing can be queued any more
	owed    arrears
	wake    chan struct{}
	pong    chan string // identifiers of answered pings

	// The goroutine's own.
	spare    *stream   // on which dialback ended with an error (XEP-0220 §2.1.1)
	failures int       // attempts in a row that gave no stream
	retry    time.Time // no attempt before
	reason   *im.Failure
	pings    bool // the peer has answered a ping
}

func newLink(s *Server, p pair) *link {
	return &link{s: s, pair: p, wake: make(chan struct{}, 1), pong: make(chan string, 1)}
}

// put queues a stanza, or refuses it at once.
func (l *link) put(i item) {
	l.mu.Lock()
	switch {
	case l.closed:
		l.mu.Unlock()
		i.tell(errStopped())
	case i.shows && l.signals >= l.s.maxSignals, !i.shows && len(l.queue)-l.signals >= l.s.cfg.Limits.Queue:
		l.mu.Unlock()
		l.fail(i, &im.Failure{Condition: im.ResourceConstraint, Text: "too many messages wait for " + l.to})
	default:
		i.expires = time.Now().Add(l.s.cfg.Limits.Outcome)
		l.queue = append(l.queue, i)
		if i.shows {
			l.signals++
		}
		l.mu.Unlock()
		l.rouse()
	}
}

// rouse makes the link's goroutine look at what there is to do.
func (l *link) rouse() {
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// putBack returns to the head of the queue what was taken and not written.
func (l *link) putBack(items []item) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.queue = slices.Concat(items, l.queue)
	for _, i := range items {
		if i.shows {
			l.signals++
		}
	}
}

func errStopped() *im.Failure {
	return &im.Failure{Condition: im.RemoteServerTimeout, Text: "the gateway is stopping"}
}

// take removes the first stanzas of the queue: as many as max says and no more bytes than one write should have, but at
// least one. Those whose time has passed are returned to their senders.
func (l *link) take(max, bytes int) []item {
	now := time.Now()
	var taken, late []item
	l.mu.Lock()
	n, size := 0, 0
	for _, i := range l.queue {
		if n == max || n > 0 && size+len(i.xml) > bytes {
			break
		}
		n, size = n+1, size+len(i.xml)
		if i.shows {
			l.signals--
		}
		if now.Before(i.expires) {
			taken = append(taken, i)
		} else {
			late = append(late, i)
		}
	}
	clear(l.queue[:n])
	l.queue = l.queue[n:]
	l.mu.Unlock()
	for _, i := range late {
		l.fail(i, &im.Failure{Condition: im.RemoteServerTimeout, Text: "no stream to " + l.to + " came up in time"})
	}
	return taken
}

// giveBack returns the whole queue.
func (l *link) giveBack(f *im.Failure) {
	for _, i := range l.take(-1, 1<<62) {
		l.fail(i, f)
	}
}

// giveUp returns what has no time left at the given moment, with the reason why it had to wait, and reports whether anything
// is left.
func (l *link) giveUp(at time.Time, f *im.Failure) bool {
	l.mu.Lock()
	n := 0
	for n < len(l.queue) && !at.Before(l.queue[n].expires) {
		if l.queue[n].shows {
			l.signals--
		}
		n++
	}
	late := slices.Clone(l.queue[:n])
	clear(l.queue[:n])
	l.queue = l.queue[n:]
	left := len(l.queue) > 0
	l.mu.Unlock()
	for _, i := range late {
		l.fail(i, f)
	}
	return left
}

// patience is the time that the first waiting stanza has left.
func (l *link) patience() time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.queue) == 0 {
		return l.s.cfg.StreamTimeout
	}
	return time.Until(l.queue[0].expires)
}

func (l *link) waiting() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.queue) > 0
}

// run carries stanzas until ctx ends; what is queued then is returned.
func (l *link) run(ctx context.Context) {
	defer func() {
		l.discard()
		l.mu.Lock()
		l.closed = true
		l.mu.Unlock()
		l.giveBack(errStopped())
	}()
	for l.await(ctx) {
		st, failure := l.connect(ctx)
		switch {
		case failure != nil && ctx.Err() != nil:
			return
		case failure != nil:
			l.s.log.Warn("no stream", "pair", l.pair, "reason", failure.Text)
			l.backOff(failure)
			l.giveBack(failure)
			continue
		}
		l.s.up(l.pair, st.proofFor(l.pair))
		wrote := l.carry(ctx, st)
		l.s.down(l.pair)
		if wrote {
			l.failures = 0
		} else {
			l.backOff(&im.Failure{Condition: im.RemoteServerTimeout, Text: l.to + " closes its streams as soon as they are up"})
		}
	}
}

// await waits until something is queued or in arrears, and an attempt may be made. It reports false when ctx has ended.
func (l *link) await(ctx context.Context) bool {
	for {
		var later <-chan time.Time
		waiting, due, now := l.waiting(), l.due(), time.Now()
		may := !now.Before(l.retry) || l.s.lender(l.pair) != nil
		switch {
		case ctx.Err() != nil:
			return false
		case may && (waiting || !due.IsZero() && !now.Before(due)):
			return true
		case waiting && !l.giveUp(l.retry, l.reason):
			continue
		case waiting:
			later = time.After(l.retry.Sub(now))
		case !due.IsZero():
			later = time.After(max(l.retry.Sub(now), due.Sub(now)))
		case l.spare != nil:
			later = time.After(l.s.cfg.StreamTimeout)
		}
		select {
		case <-l.wake:
		case <-later:
			if !waiting && due.IsZero() {
				l.discard()
			}
		case <-ctx.Done():
		}
	}
}

// backOff sets the time before the next attempt: random, so that what failed together does not come back together, and
// growing (RFC 6120 §3.3).
func (l *link) backOff(reason *im.Failure) {
	l.reason = reason
	l.retry = time.Now().Add(l.s.backOff(l.failures))
	l.failures++
}

// backOff is a pause after so many failures before the last one.
func (s *Server) backOff(failures int) time.Duration {
	limit := min(s.cfg.Backoff<<min(failures, 16), maxBackoff)
	s.randMu.Lock()
	defer s.randMu.Unlock()
	return time.Duration(s.rand.Int64N(int64(limit)))
}

// connect finds a stream for the pair: one that the peer opened and lets us use, or one on which dialback failed, if the
// peer still has it open, or a new one.
func (l *link) connect(ctx context.Context) (*stream, *im.Failure) {
	if st := l.borrow(); st != nil {
		l.discard()
		return st, nil
	}
	st, failure := l.dial(ctx)
	if failure != nil {
		if st := l.borrow(); st != nil {
			return st, nil // the peer was faster
		}
		return nil, failure
	}
	if st.bidi {
		l.s.both(ctx, st, l.pair)
	}
	return st, nil
}

// borrow is a stream that the peer opened and that may carry the pair, or nil.
func (l *link) borrow() *stream {
	if in := l.s.lender(l.pair); in != nil && in.borrow() {
		return in.st
	}
	return nil
}

// dial brings up a stream of ours: the spare one, or a new one.
func (l *link) dial(ctx context.Context) (*stream, *im.Failure) {
	ctx, cancel := context.WithTimeout(ctx, min(l.s.cfg.StreamTimeout, l.patience()))
	defer cancel()
	do := l.s.dialback(l.pair)
	if st := l.spare; st != nil {
		l.spare, st.asked = nil, false
		err := l.s.attempt(ctx, st, func() error { return l.s.run(ctx, st, do) })
		if err == nil {
			return st, nil
		}
		var v *verdict
		if errors.As(err, &v) {
			if v.keep {
				l.spare = st
			}
			return nil, v.failure
		}
	}
	st, failure := l.s.open(ctx, l.pair, do)
	if failure != nil {
		l.spare = st
		return nil, failure
	}
	return st, nil
}

// discard closes the stream that is left from a failed dialback.
func (l *link) discard() {
	if st := l.spare; st != nil {
		l.spare = nil
		st.write(closeTag)
		st.conn.Close()
	}
}
