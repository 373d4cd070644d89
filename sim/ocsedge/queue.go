package ocsedge

import "sync"

// queue is what a link's writer still has to write. It is short in all but storms, so it takes no more memory than it holds.
type queue struct {
	filled chan struct{} // holds one token when there may be something to take

	mu   sync.Mutex
	list [][]byte
}

func newQueue() *queue { return &queue{filled: make(chan struct{}, 1)} }

// put adds a message; false if there are too many.
func (q *queue) put(b []byte) bool {
	q.mu.Lock()
	full := len(q.list) >= queueLength
	if !full {
		q.list = append(q.list, b)
	}
	q.mu.Unlock()
	select {
	case q.filled <- struct{}{}:
	default:
	}
	return !full
}

// take empties the queue.
func (q *queue) take() [][]byte {
	q.mu.Lock()
	defer q.mu.Unlock()
	list := q.list
	q.list = nil
	return list
}
