package ocsedge

import (
	"container/heap"
	"time"
)

// timers are what the loop has to do later, in the order of their times and, within one time, of their making.
type timers struct {
	heap []*timer
	made int
}

type timer struct {
	owner *timers
	at    time.Time
	seq   int
	index int // in the heap; -1: not in it any more
	f     func()
}

// stop keeps a timer from firing. Stopping nil, or one that has fired, does nothing.
func (t *timer) stop() {
	if t != nil && t.index >= 0 {
		heap.Remove((*timerHeap)(t.owner), t.index)
	}
}

// after has the loop run f once d has passed.
func (e *Edge) after(d time.Duration, f func()) *timer {
	ts := &e.timers
	ts.made++
	t := &timer{owner: ts, at: time.Now().Add(d), seq: ts.made, f: f}
	heap.Push((*timerHeap)(ts), t)
	return t
}

// next is how long the loop may sleep.
func (ts *timers) next(now time.Time) time.Duration {
	if len(ts.heap) == 0 {
		return time.Hour
	}
	return max(0, ts.heap[0].at.Sub(now))
}

// due takes the next function off whose time has come, nil if there is none.
func (ts *timers) due(now time.Time) func() {
	if len(ts.heap) == 0 || ts.heap[0].at.After(now) {
		return nil
	}
	return heap.Pop((*timerHeap)(ts)).(*timer).f
}

// timerHeap is timers as package heap wants it.
type timerHeap timers

func (h *timerHeap) Len() int { return len(h.heap) }
func (h *timerHeap) Less(i, j int) bool {
	a, b := h.heap[i], h.heap[j]
	if a.at.Equal(b.at) {
		return a.seq < b.seq
	}
	return a.at.Before(b.at)
}
func (h *timerHeap) Swap(i, j int) {
	h.heap[i], h.heap[j] = h.heap[j], h.heap[i]
	h.heap[i].index, h.heap[j].index = i, j
}
func (h *timerHeap) Push(x any) {
	t := x.(*timer)
	t.index = len(h.heap)
	h.heap = append(h.heap, t)
}
func (h *timerHeap) Pop() any {
	last := len(h.heap) - 1
	t := h.heap[last]
	h.heap[last] = nil
	h.heap = h.heap[:last]
	t.index = -1
	return t
}
