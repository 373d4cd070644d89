// Package store keeps who may see whose presence, over restarts and crashes.
//
// A [Store] holds one [Record] a pair of people. There are two: [Memory], for gateways that need not remember, and [Open], a file.
// A record that its writer was told is kept survives a crash at any moment; a crash in the middle of writing leaves the file as
// it was before. Writes come in as fast as people's rosters change and are put to disk many at a time, in the background: who
// calls never waits for the disk.
//
// What cannot be kept is an error and not a guess: a full disk fails the write and leaves what was there, a damaged file is not
// opened.
package store

import (
	"errors"
	"sync"

	"fedlab/gateway/im"
	"fedlab/gateway/presence"
)

// Record is what is kept of one pair of people.
type Record struct {
	XMPP, SIP im.Address    // bare
	Watch     presence.Auth // the XMPP user's, to see the SIP user
	Feed      presence.Auth // the SIP user's, to see the XMPP user
}

// Empty reports that nothing has to be kept: such a record is taken out.
func (r Record) Empty() bool { return r.Watch == presence.None && r.Feed == presence.None }

// Store keeps records. It is safe for concurrent use.
type Store interface {
	// Put keeps r in place of what was kept of the same two people, or forgets them if r is empty. It does not wait: done, if not
	// nil, is called once, from another goroutine or this one, with nil as soon as r would survive a crash, or with the reason
	// why it is not kept. Of several records of a pair the last one put wins.
	Put(r Record, done func(error))

	// All gives every record that was put, in no particular order, until each returns false.
	All(each func(Record) bool) error

	// Close keeps what was put before and ends the store. Later calls fail with ErrClosed.
	Close() error
}

// Errors of this package. Open and Put say beside them which file and what to do.
var (
	// ErrClosed: the store was closed.
	ErrClosed = errors.New("store: closed")
	// ErrDamaged: the file is no store, or not whole any more.
	ErrDamaged = errors.New("store: the file is damaged")
	// ErrInUse: another process has the file open.
	ErrInUse = errors.New("store: another process uses the file")
	// ErrNewer: the file was written by a later version of this program.
	ErrNewer = errors.New("store: the file is of a later version")
)

type pair struct{ xmpp, sip im.Address }

func (r Record) pair() pair { return pair{r.XMPP.Bare(), r.SIP.Bare()} }

// Memory is a Store that forgets everything when the process ends.
func Memory() Store { return &memory{records: make(map[pair]Record)} }

type memory struct {
	mu      sync.Mutex
	records map[pair]Record
	closed  bool
}

func (m *memory) Put(r Record, done func(error)) {
	err := m.put(r)
	if done != nil {
		done(err)
	}
}

func (m *memory) put(r Record) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	switch {
	case m.closed:
		return ErrClosed
	case r.Empty():
		delete(m.records, r.pair())
	default:
		r.XMPP, r.SIP = r.XMPP.Bare(), r.SIP.Bare()
		m.records[r.pair()] = r
	}
	return nil
}

func (m *memory) All(each func(Record) bool) error {
	m.mu.Lock()
	if m.closed {
		m.mu.Unlock()
		return ErrClosed
	}
	all := make([]Record, 0, len(m.records))
	for _, r := range m.records {
		all = append(all, r)
	}
	m.mu.Unlock()
	for _, r := range all {
		if !each(r) {
			break
		}
	}
	return nil
}

func (m *memory) Close() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.closed = true
	return nil
}
