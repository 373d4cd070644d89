package googletalk

import (
	"context"
	"errors"
	"sync"
	"time"
)

// link is one machine's way to one foreign domain: a queue, and at most one stream. There is one for each of our domains, as
// the farm does not put two pairs on one stream (guess; RFC 3920 §8.3 peers close a stream when one of its pairs fails), or
// with [Quirks].OneStream one for all.
type link struct {
	boot *boot
	wake chan struct{} // holds one token when the queue has grown
	pair pair          // what the stream is opened for; only run changes it

	mu      sync.Mutex
	queue   []*outgoing // in order; what is being written stays at its head until it is
	taken   int         // how many of queue are with the stream's writer
	running bool        // a goroutine serves the link
	sent    int         // how many stanzas have gone out, and arrived where that is known
	live    *stream     // once headers are exchanged

	watched     bool      // the network says what the other host has acknowledged
	unconfirmed []written // with the network, but not known to have arrived; oldest first

	asked  map[string]*question
	id     string          // of the live stream, as the peer's header has it
	proofs map[pair]*proof // of the live stream
}

// outgoing is a stanza on its way out.
type outgoing struct {
	pair          pair
	data, summary string
	message       *sentMessage // whose sender is told if it fails; nil if nobody is
}

// maxQueue bounds what waits for one domain.
const maxQueue = 400_000

// maxBarren is how many streams in a row may end before they carried anything.
const maxBarren = 3

// post queues o for the pair. It is false when the machine is stopping.
func (b *boot) post(p pair, o *outgoing) bool {
	b.mu.Lock()
	if b.stopped {
		b.mu.Unlock()
		return false
	}
	o.pair = p
	l := b.links[b.linkKey(p)]
	if l == nil {
		l = &link{boot: b, wake: make(chan struct{}, 1), asked: map[string]*question{}}
		b.links[b.linkKey(p)] = l
	}
	l.mu.Lock()
	full := len(l.queue) >= maxQueue
	start := !full && !l.running
	if !full {
		l.queue = append(l.queue, o)
		l.running = true
	}
	l.mu.Unlock()
	if start {
		b.wg.Go(l.run)
	}
	b.mu.Unlock()
	if full {
		b.farm.accounts.bounce([]*outgoing{o}, &fault{"resource-constraint", "too much is waiting for " + p.target})
	}
	select {
	case l.wake <- struct{}{}:
	default:
	}
	return true
}

func (b *boot) linkFor(p pair) *link {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.links[b.linkKey(p)]
}

// linkKey is what the link for p goes by.
func (b *boot) linkKey(p pair) pair {
	if b.machine.quirks.OneStream {
		p.sender = ""
	}
	return p
}

// post queues o on b, or on another machine if b has stopped.
func (f *Farm) post(b *boot, p pair, o *outgoing) {
	for !b.post(p, o) {
		if f.closing.Load() {
			return
		}
		other, err := f.carrier(p.sender, "")
		if err != nil {
			f.accounts.bounce([]*outgoing{o}, timedOut("%v", err))
			return
		}
		b = other
	}
}

// handOn gives what a stopped machine has not sent to another one.
func (b *boot) handOn() {
	for _, l := range b.links {
		for _, o := range l.queue {
			b.farm.post(b, o.pair, o)
		}
	}
}

// run serves the link until there is nothing left to send and no stream.
func (l *link) run() {
	for barren := 0; ; {
		ctx, cancel := context.WithTimeout(l.boot.ctx, l.boot.farm.cfg.Timeouts.Setup)
		before := l.carried()
		l.mu.Lock()
		l.pair = l.queue[0].pair
		l.mu.Unlock()
		var refusal *fault
		bad := l.boot.reach(ctx, l.pair.sender, l.pair.target, func(s *stream, h header) (done bool) {
			done, refusal = l.use(ctx, s, h)
			return done
		})
		cancel()
		if barren++; l.carried() > before {
			barren = 0
		}
		if refusal != nil && bad != nil {
			bad = refusal
		}
		if bad == nil && barren >= maxBarren {
			bad = timedOut("%s ended %d streams in a row", l.pair.target, barren)
		}
		l.mu.Lock()
		if l.boot.ctx.Err() != nil || len(l.queue) == 0 {
			l.running = false
			l.mu.Unlock()
			return
		}
		var lost []*outgoing
		if bad != nil {
			lost, l.queue = l.queue, nil
			l.running = false
		}
		l.mu.Unlock()
		if bad != nil {
			l.boot.farm.accounts.bounce(lost, bad)
			return
		}
	}
}

// use proves our domain on a fresh stream and then sends the queue over it until the stream ends. done is false if another
// server of the domain may do better; a refusal is the domain's own answer, and final.
func (l *link) use(ctx context.Context, s *stream, h header) (done bool, refusal *fault) {
	first := newProof()
	close(first.known)
	l.mu.Lock()
	l.live, l.id, l.proofs = s, h.id, map[pair]*proof{l.pair: first}
	l.mu.Unlock()
	defer l.leave()
	valid, retry := h.proved, false
	if !valid {
		s.send(l.boot.machine.style.dialback("result", l.pair.sender, l.pair.target, "", "", l.boot.key(l.pair, h.id)))
		deadline, _ := ctx.Deadline()
		s.conn.SetReadDeadline(deadline)
		valid, refusal, retry = l.await(s)
	}
	if !valid {
		if refusal != nil && !retry {
			// The senders need not wait for the stream's end.
			l.boot.farm.accounts.bounce(l.take(), refusal)
		}
		if !s.closing.Load() {
			s.finish()
			s.drain()
		}
		return !retry, refusal
	}
	s.conn.SetReadDeadline(time.Time{})

	ended := make(chan struct{})
	broken := false
	go func() {
		defer close(ended)
		broken = l.read(s)
	}()
	l.watch(s)
	l.write(s, ended)
	<-ended
	l.confirm(s)
	// The writer says what it wrote; end makes sure that it is through before the rest is counted as unsent.
	s.end()
	// What stopped us is no break: what we had written before still goes out.
	l.unwatch(broken && l.boot.ctx.Err() == nil)
	return true, nil
}

// take empties the queue.
func (l *link) take() []*outgoing {
	l.mu.Lock()
	defer l.mu.Unlock()
	lost := l.queue
	l.queue = nil
	return lost
}

// carried is how many stanzas have gone out on the link.
func (l *link) carried() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.sent
}

// leave puts what was not written back and tells those who wait for a verification.
func (l *link) leave() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.live, l.taken = nil, 0
	for id, q := range l.asked {
		close(q.answer)
		delete(l.asked, id)
	}
}

// read is the reading side of a stream on which we send: only stream-level things may come. It reports whether the connection
// broke, as opposed to having been ended by either side.
func (l *link) read(s *stream) (broken bool) {
	for {
		e, err := s.next()
		switch {
		case err != nil:
			s.leave(err)
			return !errors.Is(err, errStreamClosed) && !s.closing.Load()
		case s.closing.Load() && !e.is(nsDialback, "verify"):
		case e.is(nsStream, "error"):
			s.finish()
		case e.is(nsDialback, "verify"):
			l.verified(s, e)
		case e.is(nsDialback, "result"):
			l.proved(s, e)
		case e.space == nsServer:
			// RFC 6120 §4.5: stanzas flow from the side that opened the stream.
			s.unexpected(e.raw, "a %s against the direction of the stream", e.local)
		default:
			s.unexpected(e.raw, "%s on a stream that is set up", e.local)
		}
	}
}

// write sends the queue until the stream ends.
func (l *link) write(s *stream, ended <-chan struct{}) {
	pause := firstLook
	for {
		l.mu.Lock()
		fresh := append([]*outgoing(nil), l.queue[l.taken:]...)
		l.taken = len(l.queue)
		l.mu.Unlock()
		for _, o := range fresh {
			f := frame{data: o.data, summary: o.summary, wrote: l.wrote}
			bad, ok := l.prove(s, o.pair, ended)
			if !ok {
				return
			}
			if bad != nil {
				// It leaves the queue in its turn, but not for the network.
				f = frame{wrote: func(int64) {
					l.dropHead()
					l.boot.farm.accounts.bounce([]*outgoing{o}, bad)
				}}
			}
			select {
			case s.out <- f:
			case <-s.written:
				return
			}
		}
		var look <-chan time.Time
		if l.confirm(s) {
			if l.overdue() {
				if c, ok := s.conn.(interface{ SetLinger(sec int) error }); ok {
					_ = c.SetLinger(0) // what was not acknowledged is not tried any longer
				}
				s.conn.Close()
			}
			look = time.After(pause)
		}
		select {
		case <-l.wake:
			pause = firstLook
		case <-look:
			pause = min(2*pause, lastLook)
		case <-ended:
			return
		}
	}
}

// wrote takes the head off the queue: it is with the network now.
func (l *link) wrote(end int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.watched {
		l.unconfirmed = append(l.unconfirmed, written{l.queue[0], end, time.Now()})
		select {
		case l.wake <- struct{}{}: // the link has to look what becomes of it
		default:
		}
	} else {
		l.sent++
	}
	l.queue = l.queue[1:]
	l.taken--
}

// dropHead takes the head off the queue without its having been sent.
func (l *link) dropHead() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.queue = l.queue[1:]
	l.taken--
}
