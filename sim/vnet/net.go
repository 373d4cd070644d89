package vnet

import (
	"hash/fnv"
	"maps"
	"math/rand/v2"
	"net/netip"
	"slices"
	"time"

	"fedlab/sim/trace"
)

// Options is what a network needs besides its topology. The zero value works.
type Options struct {
	Seed         uint64          // of all chances, port numbers aside; 0 is a seed like any other
	Trace        *trace.Recorder // where packets and routers' verdicts are recorded; nil: nowhere
	QuietPackets bool            // leave packets out of the trace (routers' verdicts stay): for heavy load
}

// Net is a running network. It is safe for concurrent use.
type Net struct {
	loop
	seed     uint64
	trace    *trace.Recorder
	quiet    bool
	segments map[string]*Segment
	routers  map[string]*Router
	hosts    map[string]*Host
	rng      *rand.Rand // initial sequence numbers, DNS query identifiers
	free     []*packet
	serial   uint64
	id       uint16
	taps     []Tap
	closed   bool

	interfaces int // how many there are
}

// New builds a network. The error lists every mistake in the topology. Inside a synctest bubble it has to be called in the
// bubble. The network runs until it is closed.
func New(t Topology, o Options) (*Net, error) {
	if err := t.validate(); err != nil {
		return nil, err
	}
	n := &Net{seed: o.Seed*0x9E3779B97F4A7C15 + 1, trace: o.Trace, quiet: o.QuietPackets, segments: map[string]*Segment{},
		routers: map[string]*Router{}, hosts: map[string]*Host{}, rng: rand.New(rand.NewPCG(o.Seed, 1))}
	n.loop.init(n.deliver)
	for _, name := range slices.Sorted(maps.Keys(t.Segments)) {
		c := t.Segments[name]
		h := fnv.New64a()
		h.Write([]byte(name))
		s := &Segment{net: n, name: name, prefixes: slices.Clone(c.Prefixes), neighbours: map[netip.Addr]*iface{},
			rng:      rand.New(rand.NewPCG(o.Seed, h.Sum64())),
			internet: slices.ContainsFunc(c.Prefixes, func(p netip.Prefix) bool { return p.Bits() == 0 })}
		s.setLink(c.Link)
		n.segments[name] = s
	}
	for _, name := range slices.Sorted(maps.Keys(t.Routers)) {
		r, err := n.newRouter(name, t.Routers[name])
		if err != nil {
			return nil, err
		}
		n.routers[name] = r
	}
	for _, name := range slices.Sorted(maps.Keys(t.Hosts)) {
		h, err := n.newHost(name, t.Hosts[name])
		if err != nil {
			return nil, err
		}
		n.hosts[name] = h
	}
	return n, nil
}

// Host returns the host of this name, or nil.
func (n *Net) Host(name string) *Host { return n.hosts[name] }

// Router returns the router of this name, or nil.
func (n *Net) Router(name string) *Router { return n.routers[name] }

// Segment returns the segment of this name, or nil.
func (n *Net) Segment(name string) *Segment { return n.segments[name] }

// Close stops all timers and fails every socket with net.ErrClosed. It may be called more than once.
func (n *Net) Close() {
	n.lock()
	defer n.unlock()
	if n.closed {
		return
	}
	n.closed = true
	n.stop()
	for _, h := range n.hosts {
		h.node.abandon()
	}
}

// Frame is a packet on a segment, for a tap. It is valid only during the call.
type Frame struct {
	At      time.Time
	Serial  uint64 // names the packet in later remarks
	Segment string // or "lo." and the host's name, for what a host sends to itself
	From    string // name of the host or router that sends it
	To      string // the one that receives it; empty if nobody is there
	packet  *packet

	fromMAC, toMAC [6]byte
}

// Tap sees every packet. Its methods are called with the network locked: they must return quickly and not call back.
type Tap interface {
	// Frame is called when a packet is put on a segment, before the segment does anything to it.
	Frame(Frame)
	// Remark is called when something befell a packet on its way: it was lost, or a router dropped, rejected or translated it.
	Remark(serial uint64, what string)
}

// Tap lets t see all packets from now on.
func (n *Net) Tap(t Tap) {
	n.lock()
	defer n.unlock()
	n.taps = append(n.taps, t)
}

func (n *Net) frame(from, to *iface, p *packet) Frame {
	f := Frame{At: n.start.Add(n.now), Serial: p.serial, Segment: from.segmentName(), From: from.node.name, packet: p, fromMAC: from.mac(), toMAC: to.mac()}
	if to != nil {
		f.To = to.node.name
	}
	return f
}

func (n *Net) remark(p *packet, what string) {
	for _, t := range n.taps {
		t.Remark(p.serial, what)
	}
}
