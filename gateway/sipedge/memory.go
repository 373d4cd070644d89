package sipedge

import (
	"container/list"
	"sync"
	"time"
)

// memory keeps values for a time, and no more of them than most: the oldest goes first.
type memory[K comparable, V any] struct {
	most  int
	lasts time.Duration

	mu    sync.Mutex
	kept  map[K]*list.Element
	order list.List // of kept[K, V], the oldest in front
}

type kept[K comparable, V any] struct {
	key   K
	value V
	until time.Time
}

func newMemory[K comparable, V any](most int, lasts time.Duration) *memory[K, V] {
	return &memory[K, V]{most: most, lasts: lasts, kept: make(map[K]*list.Element)}
}

// put keeps v, in place of what was kept under the same key.
func (m *memory[K, V]) put(k K, v V) {
	now := time.Now()
	m.mu.Lock()
	defer m.mu.Unlock()
	m.remove(k)
	for e := m.order.Front(); e != nil; e = m.order.Front() {
		if oldest := e.Value.(kept[K, V]); len(m.kept) < m.most && now.Before(oldest.until) {
			break
		} else {
			m.remove(oldest.key)
		}
	}
	m.kept[k] = m.order.PushBack(kept[K, V]{k, v, now.Add(m.lasts)})
}

// take gives what is kept under k and forgets it; if, where there is one, says whether it may.
func (m *memory[K, V]) take(k K, may func(V) bool) (v V, ok bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	e := m.kept[k]
	if e == nil {
		return v, false
	}
	found := e.Value.(kept[K, V])
	if may != nil && !may(found.value) {
		return v, false
	}
	m.remove(k)
	return found.value, time.Now().Before(found.until)
}

// has reports whether something is kept under k.
func (m *memory[K, V]) has(k K) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	e := m.kept[k]
	return e != nil && time.Now().Before(e.Value.(kept[K, V]).until)
}

// remove forgets; m.mu is held.
func (m *memory[K, V]) remove(k K) {
	if e := m.kept[k]; e != nil {
		m.order.Remove(e)
		delete(m.kept, k)
	}
}
