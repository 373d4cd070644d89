package sipedge

import "sync"

// mostUnderWay is how many requests about presence may be under way with a next hop at a time.
const mostUnderWay = 1000

// line is where requests about presence wait for their turn with a next hop. When thousands of people come online at once, or the
// gateway stops, a hundred thousand are due at one moment. Each in a transaction of its own they would take gigabytes here, and more at an
// Edge that is asked more than it can answer. What waits in line takes a few words, and a NOTIFY says in the end how things are then.
// Messages do not stand in line, and so do not wait for presence.
type line struct {
	mu       sync.Mutex
	waiting  []func() // in the order of their coming
	underWay int
}

// inLine runs f, which follows a request about presence to its end, in a goroutine, as soon as it is its turn; false if Run is ending.
func (e *Edge) inLine(h *hop, f func()) bool {
	l := &h.presence
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.underWay == mostUnderWay {
		l.waiting = append(l.waiting, f)
		return true
	}
	if !e.follow(func() {
		for next := f; next != nil; next = l.next() {
			next()
		}
	}) {
		return false
	}
	l.underWay++
	return true
}

// next is what comes after a request that has ended; nil if nothing waits.
func (l *line) next() func() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.waiting) == 0 {
		l.underWay--
		l.waiting = nil
		return nil
	}
	f := l.waiting[0]
	l.waiting[0] = nil
	l.waiting = l.waiting[1:]
	return f
}
