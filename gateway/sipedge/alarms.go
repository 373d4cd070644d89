package sipedge

import (
	"container/heap"
	"context"
	"sync"
	"time"
)

// alarms wake whoever waits for a time: watchings, feedings and conversations, a million of them. With a timer of Go's for each, a
// gateway that holds many would be slow at everything: when a timer that was set anew comes due, which happens a hundred times a second
// on a busy link, the runtime looks at every timer that the processor has.
type alarms struct {
	mu     sync.Mutex
	queue  alarmQueue
	sooner chan struct{} // holds one token when there is a new first one
}

// alarm wakes one of them. Its owner sets it; the zero value is not set.
type alarm struct {
	at    time.Time
	owner sleeper
	place int // in the queue, from 1; 0: it is not set
}

// sleeper is who is woken. It must not block.
type sleeper interface{ wake() }

// longestSleep is how long alarms sleep where nothing is set.
const longestSleep = time.Hour

func newAlarms() *alarms { return &alarms{sooner: make(chan struct{}, 1)} }

// set makes an alarm go off at a time, and at no other; the zero time is never. One that is going off at this moment still wakes
// its owner, who looks at the clock.
func (as *alarms) set(a *alarm, at time.Time) {
	as.mu.Lock()
	defer as.mu.Unlock()
	switch {
	case at.IsZero():
		if a.place > 0 {
			heap.Remove(&as.queue, a.place-1)
		}
		return
	case a.place == 0:
		a.at = at
		heap.Push(&as.queue, a)
	default:
		a.at = at
		heap.Fix(&as.queue, a.place-1)
	}
	if a.place == 1 {
		select {
		case as.sooner <- struct{}{}:
		default:
		}
	}
}

// run wakes them until ctx ends.
func (as *alarms) run(ctx context.Context) {
	timer := time.NewTimer(longestSleep)
	defer timer.Stop()
	for {
		timer.Reset(as.ring())
		select {
		case <-timer.C:
		case <-as.sooner:
		case <-ctx.Done():
			return
		}
	}
}

// ring wakes all whose time has come, and says how long it is until the next.
func (as *alarms) ring() time.Duration {
	as.mu.Lock()
	defer as.mu.Unlock()
	for len(as.queue) > 0 {
		first := as.queue[0]
		if left := time.Until(first.at); left > 0 {
			return left
		}
		heap.Pop(&as.queue)
		as.mu.Unlock()
		first.owner.wake()
		as.mu.Lock()
	}
	return longestSleep
}

// alarmQueue is a heap, the first in front.
type alarmQueue []*alarm

func (q alarmQueue) Len() int           { return len(q) }
func (q alarmQueue) Less(i, j int) bool { return q[i].at.Before(q[j].at) }
func (q alarmQueue) Swap(i, j int) {
	q[i], q[j] = q[j], q[i]
	q[i].place, q[j].place = i+1, j+1
}

// Push is for package heap.
func (q *alarmQueue) Push(x any) {
	a := x.(*alarm)
	*q = append(*q, a)
	a.place = len(*q)
}

// Pop is for package heap.
func (q *alarmQueue) Pop() any {
	last := len(*q) - 1
	a := (*q)[last]
	(*q)[last] = nil
	*q = (*q)[:last]
	a.place = 0
	return a
}
