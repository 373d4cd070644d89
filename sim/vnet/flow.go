package vnet

import (
	"net/netip"
	"time"
)

// StateTimeouts is after what silence a router forgets a connection. Zero values are Linux's.
type StateTimeouts struct {
	Opening     time.Duration // TCP, not yet answered; 0: 2 minutes
	Established time.Duration // TCP; 0: 5 days. RFC 5382 §5 asks for at least 2 hours and 4 minutes
	Closing     time.Duration // TCP, both ends closed, or a reset seen; 0: 2 minutes
	UDP         time.Duration // 0: 30 s, and 2 minutes once answered. RFC 4787 §4.3 asks for at least 2 minutes
	Reset       bool          // segments of a forgotten connection are answered with a reset; else they are dropped
	DataOnly    bool          // TCP segments without data do not break the silence: neither keep-alive probes nor acknowledgements
}

// tuple is what a connection is known by at a router, in one direction.
type tuple struct {
	proto    proto
	src, dst netip.AddrPort
}

// flow is a connection that a router lets through. orig is how its first packet came in, reply how answers come in; a packet
// that comes in by one leaves as the other's reverse, which is all there is to translation.
type flow struct {
	orig, reply tuple
	rule        string // which let it through
	mapping     *mapping
	lastSeen    time.Duration
	answered    bool
	fin         [2]bool // by direction
	reset       bool
}

// direction of a packet within its flow.
type direction int

const (
	original direction = iota
	replying
)

// flows is a router's memory of connections: a pure table, told the time by its callers.
type flows struct {
	timeouts StateTimeouts
	byTuple  map[tuple]*flow // by orig and by reply
	nat      natTable
}

func newFlows(timeouts StateTimeouts, nat NATBehaviour) *flows {
	return &flows{timeouts: timeouts, byTuple: map[tuple]*flow{}, nat: newNATTable(nat)}
}

// find returns the flow that a packet with this tuple belongs to. A flow that has been silent for too long is forgotten
// here and returned as expired.
func (t *flows) find(key tuple, at time.Duration) (f *flow, dir direction, expired *flow) {
	f = t.byTuple[key]
	if f == nil {
		return nil, 0, nil
	}
	if at-f.lastSeen > t.timeout(f) {
		t.forget(f)
		return nil, 0, f
	}
	if f.orig != key {
		return f, replying, nil
	}
	return f, original, nil
}

func (t *flows) timeout(f *flow) time.Duration {
	or := func(d, otherwise time.Duration) time.Duration {
		if d != 0 {
			return d
		}
		return otherwise
	}
	switch {
	case f.orig.proto != protoTCP && f.answered:
		return or(t.timeouts.UDP, 2*time.Minute)
	case f.orig.proto != protoTCP:
		return or(t.timeouts.UDP, 30*time.Second)
	case f.reset || f.fin[original] && f.fin[replying]:
		return or(t.timeouts.Closing, 2*time.Minute)
	case !f.answered:
		return or(t.timeouts.Opening, 2*time.Minute)
	default:
		return or(t.timeouts.Established, 5*24*time.Hour)
	}
}

// add remembers a flow whose first packet was let through. It makes room by dropping flows that are long silent.
func (t *flows) add(f *flow, at time.Duration) {
	if n := len(t.byTuple); n >= 4096 && n&(n-1) == 0 {
		for _, old := range t.byTuple {
			if at-old.lastSeen > t.timeout(old) {
				t.forget(old)
			}
		}
	}
	f.lastSeen = at
	t.byTuple[f.orig], t.byTuple[f.reply] = f, f
	if f.mapping != nil {
		f.mapping.flows++
	}
}

func (t *flows) forget(f *flow) {
	delete(t.byTuple, f.orig)
	delete(t.byTuple, f.reply)
	if m := f.mapping; m != nil {
		if m.flows--; m.flows == 0 {
			t.nat.remove(m)
		}
	}
}

// saw brings a flow up to date with a packet that passed.
func (t *flows) saw(f *flow, dir direction, p *packet, at time.Duration) {
	if !t.timeouts.DataOnly || p.proto != protoTCP || len(p.payload) > 0 || p.flags&(flagSYN|flagFIN|flagRST) != 0 || !f.answered {
		f.lastSeen = at
	}
	f.answered = f.answered || dir == replying
	f.fin[dir] = f.fin[dir] || p.flags&flagFIN != 0
	f.reset = f.reset || p.flags&flagRST != 0
}

// over says whether both ends are done with a TCP connection, so that a new one may have its tuple.
func (f *flow) over() bool { return f.reset || f.fin[original] || f.fin[replying] }

// leaves returns the addresses with which a packet that came in this direction goes out.
func (f *flow) leaves(dir direction) (src, dst netip.AddrPort) {
	if dir == original {
		return f.reply.dst, f.reply.src
	}
	return f.orig.dst, f.orig.src
}

// translated says whether anything is rewritten.
func (f *flow) translated() bool {
	return f.orig.src != f.reply.dst || f.orig.dst != f.reply.src
}
