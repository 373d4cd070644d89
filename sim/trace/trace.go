// Package trace records what happened in a simulated world: in order, at which virtual time, and seen by whom.
//
// The virtual network and the fakes write it; the lab waits on it, judges by it and draws it. Nothing in it comes from the
// gateway: every event is what a tap saw on the wire or what a user's client showed. A [Recorder] is append-only and safe
// for concurrent use, and a nil *Recorder discards everything, so that a fake also runs without one.
package trace

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"
)

// Layer is the protocol layer an event belongs to.
type Layer string

// The layers, from the wire up to the people.
const (
	Packet Layer = "packet" // a TCP segment, datagram or ICMP error on a segment
	Router Layer = "router" // a router's verdict on a packet: passed, translated, dropped, rejected, expired
	DNS    Layer = "dns"    // a question or an answer, as a DNS server saw it
	TLS    Layer = "tls"    // a handshake that succeeded or failed, as one end saw it
	XMPP   Layer = "xmpp"   // a stream header, stanza or dialback element, as the fake farm sent or received it
	SIP    Layer = "sip"    // a SIP request or response, as the fake Edge sent or received it
	Log    Layer = "log"    // a line of a fake's own log, seen only by who can read that machine
	Client Layer = "client" // what a user did or what the user's client showed
	Step   Layer = "step"   // a step of the scenario: began, passed, failed
)

// Kinds of events that readers of a trace match on. Writers use further kinds where none of these fits.
const (
	Sent       = "sent"
	Received   = "received"
	Passed     = "passed"
	Translated = "translated"
	Dropped    = "dropped"
	Rejected   = "rejected"
	Expired    = "expired"
	Failed     = "failed"
	Unexpected = "unexpected" // a fake saw what it did not expect: the scenario fails
)

// Event is one thing that happened. From and To are endpoints: "address:port" on the layers of the wire, bare addresses of
// users ("bob@gmail.com") on layer Client.
type Event struct {
	Seq     int       // position in the trace, from 1; set by Record
	At      time.Time // set by Record when zero
	Layer   Layer
	Kind    string
	Host    string // the host, router or segment where it was seen
	From    string
	To      string
	Conn    string // names the connection or stream on Host, where there is one
	Summary string // one line for people: "MESSAGE sip:alice@contoso.com", "db:result", "SYN", the rule's name
	Data    []byte // the message as it was on the wire, decrypted; nil where there is none. Record keeps it: do not change it
	Item    Item   // on layer Client: what the user sent or was shown
}

// Item is what a user sends or is shown.
type Item struct {
	Type      ItemType
	ID        string // the client's own identifier of the message, if it has one
	Body      string
	Condition string // of an error: the XMPP condition the client was shown ("remote-server-timeout"); empty on the SIP side
	Code      int    // of an error: the SIP status the client was shown (504); 0 on the XMPP side
	State     string // of presence: available, away, chat, dnd, xa, unavailable; of typing: composing, paused
}

// ItemType is the sort of thing a user sends or is shown.
type ItemType string

// What users send and are shown.
const (
	Message      ItemType = "message"
	Error        ItemType = "error" // a message of the user could not be delivered
	Typing       ItemType = "typing"
	Presence     ItemType = "presence"
	Subscription ItemType = "subscription" // State: subscribe, subscribed, unsubscribe, unsubscribed
	Receipt      ItemType = "receipt"
)

// String is the event on one line, without its time.
func (e Event) String() string {
	s := fmt.Sprintf("%s %s %s", e.Host, e.Layer, e.Kind)
	if e.From != "" || e.To != "" {
		s += " " + e.From + " > " + e.To
	}
	if e.Summary != "" {
		s += ": " + e.Summary
	}
	return s
}

// Recorder is a trace being written.
type Recorder struct {
	mu      sync.Mutex
	thinned chunks        // the oldest events, without those of the wire, which are forgotten
	recent  chunks        // the events after them, all of them
	last    int           // Seq of the last one
	wire    int           // how many of recent are of the wire
	changed chan struct{} // closed by the next Record; nil while nobody waits
	tallies map[Tally]seconds
}

// chunks are events in the order of their Seq. None is moved when more come: a run may have millions.
type chunks [][]Event

// chunkLength is how many events a chunk has; the last one may have fewer, and none is empty.
const chunkLength = 512

func (c *chunks) add(e Event) {
	last := len(*c) - 1
	if last < 0 || len((*c)[last]) == chunkLength {
		*c = append(*c, make([]Event, 0, chunkLength))
		last++
	}
	(*c)[last] = append((*c)[last], e)
}

// after is the events behind a sequence number. Whoever reads them may go on while others are added.
func (c chunks) after(since int) chunks {
	i, _ := slices.BinarySearchFunc(c, since+1, func(chunk []Event, seq int) int { return chunk[len(chunk)-1].Seq - seq })
	if i == len(c) {
		return nil
	}
	rest := slices.Clone(c[i:])
	j, _ := slices.BinarySearchFunc(rest[0], since+1, func(e Event, seq int) int { return e.Seq - seq })
	rest[0] = rest[0][j:]
	return rest
}

// KeptOfTheWire is how many events of the wire a Recorder keeps at least, the newest ones. What people did and saw, what a fake did
// not expect and what it logged is never forgotten. So a run of millions of packets does not fill the memory.
const KeptOfTheWire = 100_000

// ofTheWire reports whether an event may be forgotten when many of its kind have come after it.
func (e *Event) ofTheWire() bool {
	switch e.Layer {
	case Packet, Router, DNS, XMPP, SIP:
		return e.Kind != Unexpected
	}
	return false
}

// NewRecorder returns an empty trace.
func NewRecorder() *Recorder {
	return &Recorder{tallies: map[Tally]seconds{}}
}

// Record appends e and wakes all who Await.
func (r *Recorder) Record(e Event) {
	if r == nil {
		return
	}
	if e.At.IsZero() {
		e.At = time.Now()
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.last++
	e.Seq = r.last
	r.recent.add(e)
	if e.ofTheWire() {
		r.count(e)
		if r.wire++; r.wire >= KeptOfTheWire+chunkLength {
			r.forget()
		}
	}
	if r.changed != nil {
		close(r.changed)
		r.changed = nil
	}
}

// forget leaves out the events of the wire of the oldest chunk. Whoever reads it may go on.
func (r *Recorder) forget() {
	for _, e := range r.recent[0] {
		if e.ofTheWire() {
			r.wire--
		} else {
			r.thinned.add(e)
		}
	}
	r.recent[0] = nil
	r.recent = r.recent[1:]
}

// Events returns a copy of the trace so far, without what was forgotten.
func (r *Recorder) Events() []Event { return r.Since(0) }

// Since returns a copy of what has come after sequence number since.
func (r *Recorder) Since(since int) []Event {
	if r == nil {
		return nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Concat(r.after(since)...)
}

// after is the events behind a sequence number. The caller holds r.mu.
func (r *Recorder) after(since int) chunks {
	recent := r.recent.after(since)
	if thinned := r.thinned.after(since); thinned != nil {
		return append(thinned, recent...)
	}
	return recent
}

// Len is the number of events so far, which is also the Seq of the last one.
func (r *Recorder) Len() int {
	if r == nil {
		return 0
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.last
}

// Await returns the first event after sequence number since for which match holds, waiting for it if it has not happened
// yet, or ctx's error. match is called with the trace unlocked, once per event.
func (r *Recorder) Await(ctx context.Context, since int, match func(Event) bool) (Event, error) {
	for {
		r.mu.Lock()
		if r.changed == nil {
			r.changed = make(chan struct{})
		}
		fresh, changed := r.after(since), r.changed
		since = r.last
		r.mu.Unlock()
		for _, chunk := range fresh {
			for _, e := range chunk {
				if match(e) {
					return e, nil
				}
			}
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return Event{}, ctx.Err()
		}
	}
}
