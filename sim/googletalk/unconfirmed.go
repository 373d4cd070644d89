package googletalk

import (
	"time"

	"fedlab/internal/network"
)

// written is a stanza that is with the network and ends so many bytes into its stream.
type written struct {
	o   *outgoing
	end int64
	at  time.Time
}

// How long a link waits before it looks what has been acknowledged, while anything is not: a little after it wrote, then ever
// longer.
const (
	firstLook = 50 * time.Millisecond
	lastLook  = time.Second
)

// watch begins to follow a stream. Under TLS, where bytes of the stream are not bytes of the connection, nothing is followed.
func (l *link) watch(s *stream) {
	_, known := network.Unacknowledged(s.conn)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.watched = known && s.tls.Load() == nil && !l.boot.machine.quirks.LoseOnBreak
}

// confirm forgets what the other host has, and reports whether anything is left.
func (l *link) confirm(s *stream) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.unconfirmed) == 0 {
		return false
	}
	total := s.total.Load()
	n, known := network.Unacknowledged(s.conn)
	if !known {
		return true
	}
	i := 0
	for i < len(l.unconfirmed) && l.unconfirmed[i].end <= total-int64(n) {
		i++
	}
	l.sent += i
	clear(l.unconfirmed[:i])
	l.unconfirmed = l.unconfirmed[i:]
	return len(l.unconfirmed) > 0
}

// overdue reports whether what was written has not been acknowledged for longer than the machine waits.
func (l *link) overdue() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	limit := l.boot.machine.quirks.GiveUp
	return limit > 0 && len(l.unconfirmed) > 0 && time.Since(l.unconfirmed[0].at) >= limit
}

// unwatch ends it: what a broken connection has not delivered is the first to go over the next one.
func (l *link) unwatch(broken bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if broken {
		again := make([]*outgoing, 0, len(l.unconfirmed)+len(l.queue))
		for _, w := range l.unconfirmed {
			again = append(again, w.o)
		}
		l.queue = append(again, l.queue...)
	}
	l.watched, l.unconfirmed = false, nil
}
