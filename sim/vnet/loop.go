package vnet

import (
	"sync"
	"time"
)

// event is one thing that is due: a packet that arrives at an interface, or a timer.
type event struct {
	at  time.Duration // since the start of the network
	seq uint64        // order of insertion, which decides among events of one instant
	pkt *packet
	to  *iface
	tm  *timer
}

func (e *event) before(f *event) bool { return e.at < f.at || e.at == f.at && e.seq < f.seq }

// loop is the network's clock and its queue of events, a binary heap. There is no goroutine behind it: events that are due
// run when the alarm rings or when someone who holds the lock lets go of it.
type loop struct {
	mu      sync.Mutex
	start   time.Time
	now     time.Duration // since start; read when the lock is taken
	events  []event
	seq     uint64
	alarm   *time.Timer
	armed   bool
	armedAt time.Duration
	stopped bool
	deliver func(*packet, *iface)
}

func (l *loop) init(deliver func(*packet, *iface)) {
	l.start = time.Now()
	l.deliver = deliver
	l.alarm = time.AfterFunc(time.Hour, l.ring)
	l.alarm.Stop()
}

func (l *loop) ring() {
	l.lock()
	defer l.unlock()
	l.armed = false
}

// lock takes the network's lock and reads the clock. It is never held while anything blocks.
func (l *loop) lock() {
	l.mu.Lock()
	l.now = time.Since(l.start)
}

// unlock does what is due and lets go.
func (l *loop) unlock() {
	l.settle()
	l.mu.Unlock()
}

// wait lets go of the lock until c is woken. It also returns when events were due, which may have been what the caller is
// waiting for.
func (l *loop) wait(c *sync.Cond) {
	if !l.settle() {
		c.Wait()
	}
	l.now = time.Since(l.start)
}

// settle runs all events that are due, if any, and sets the alarm for the next.
func (l *loop) settle() (any bool) {
	if l.stopped {
		return false
	}
	for len(l.events) > 0 && l.events[0].at <= l.now {
		any = true
		e := l.pop()
		if e.tm != nil {
			e.tm.fire(e.seq)
		} else {
			l.deliver(e.pkt, e.to)
		}
	}
	if len(l.events) == 0 {
		return any
	}
	if at := l.events[0].at; !l.armed || at < l.armedAt {
		l.armed, l.armedAt = true, at
		l.alarm.Reset(at - time.Since(l.start))
	}
	return any
}

func (l *loop) stop() {
	l.stopped = true
	l.alarm.Stop()
	l.events = nil
}

func (l *loop) push(e event) {
	if l.stopped {
		return
	}
	l.seq++
	e.seq = l.seq
	l.events = append(l.events, e)
	h := l.events
	i := len(h) - 1
	for i > 0 {
		parent := (i - 1) / 2
		if h[parent].at <= e.at { // e is the youngest: at one instant it stays behind
			break
		}
		h[i] = h[parent]
		i = parent
	}
	h[i] = e
}

func (l *loop) pop() event {
	h := l.events
	top := h[0]
	last := h[len(h)-1]
	h[len(h)-1] = event{}
	h = h[:len(h)-1]
	l.events = h
	if len(h) == 0 {
		return top
	}
	i := 0
	for {
		child := 2*i + 1
		if child >= len(h) {
			break
		}
		if right := child + 1; right < len(h) && h[right].before(&h[child]) {
			child = right
		}
		if !h[child].before(&last) {
			break
		}
		h[i] = h[child]
		i = child
	}
	h[i] = last
	return top
}

// timer is one alarm of a socket or a node. Setting it again is cheap: it then stays in the queue where it was, and moves on
// when it comes up too early.
type timer struct {
	loop   *loop
	due    time.Duration // 0: off
	queued time.Duration // where in the queue; valid if seq is not 0
	seq    uint64        // the event that counts; 0: none
	run    func()
}

func (t *timer) init(l *loop, run func()) { t.loop, t.run = l, run }

// set makes the timer go off after d; an earlier setting is forgotten.
func (t *timer) set(d time.Duration) {
	t.due = max(t.loop.now+d, 1)
	if t.seq == 0 || t.queued > t.due {
		t.enqueue()
	}
}

func (t *timer) enqueue() {
	t.loop.push(event{at: t.due, tm: t})
	t.queued, t.seq = t.due, t.loop.seq
}

func (t *timer) stop()        { t.due = 0 }
func (t *timer) active() bool { return t.due != 0 }

func (t *timer) fire(seq uint64) {
	if seq != t.seq {
		return // superseded by an earlier setting
	}
	t.seq = 0
	switch {
	case t.due == 0:
	case t.due > t.loop.now:
		t.enqueue()
	default:
		t.due = 0
		t.run()
	}
}

// after runs f after d, once.
func (l *loop) after(d time.Duration, f func()) {
	t := &timer{}
	t.init(l, f)
	t.set(d)
}
