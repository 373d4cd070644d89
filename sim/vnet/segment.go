package vnet

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"time"

	"fedlab/sim/trace"
)

// arpTimeout is after what time a sender gives up on a neighbour that does not answer: three requests, a second apart.
const arpTimeout = 3 * time.Second

// Segment is a running segment. It is safe for concurrent use.
type Segment struct {
	net        *Net
	name       string
	prefixes   []netip.Prefix
	config     LinkConfig
	mtu        int
	cut        bool
	internet   bool // stands for a whole Internet: packets to nobody vanish
	neighbours map[netip.Addr]*iface
	rules      []*rule
	rng        *rand.Rand
}

// Name is the segment's name in the topology.
func (s *Segment) Name() string { return s.name }

// Cut unplugs the segment: nothing passes, and nobody is told. What is under way still arrives.
func (s *Segment) Cut() {
	s.net.lock()
	defer s.net.unlock()
	s.cut = true
}

// Restore undoes Cut.
func (s *Segment) Restore() {
	s.net.lock()
	defer s.net.unlock()
	s.cut = false
}

// SetLink replaces how the segment carries packets from now on.
func (s *Segment) SetLink(c LinkConfig) error {
	if err := c.validate(); err != nil {
		return err
	}
	s.net.lock()
	defer s.net.unlock()
	s.setLink(c)
	return nil
}

// SetRules makes the segment itself act on packets from now on, with no router to blame: faults of a wire, of a switch, or of a
// firewall that nobody knows of. All rules judge every packet; From and To name the machines that hand the packet over. What no
// rule matches passes. No rules end it.
func (s *Segment) SetRules(rules []Rule) error {
	rules = slices.Clone(rules)
	for i := range rules {
		rules[i].Stateless = true
	}
	if err := validateRules(rules, nil); err != nil {
		return fmt.Errorf("vnet: segment %s: %w", s.name, err)
	}
	s.net.lock()
	defer s.net.unlock()
	s.rules = install(rules, s.net.now)
	return nil
}

// Hits returns how many packets each rule of SetRules has acted on since then, by name.
func (s *Segment) Hits() map[string]int {
	s.net.lock()
	defer s.net.unlock()
	return hits(s.rules)
}

// SetLink replaces how the host's own attachment to a segment carries packets, from now on.
func (h *Host) SetLink(segment string, l AttachmentLink) error {
	if err := l.validate(); err != nil {
		return fmt.Errorf("vnet: link of %s to %s: %w", h.node.name, segment, err)
	}
	h.node.net.lock()
	defer h.node.net.unlock()
	for _, i := range h.node.ifaces {
		if i.seg.name == segment {
			i.own = l
			return nil
		}
	}
	return fmt.Errorf("vnet: %s has no interface on %q", h.node.name, segment)
}

func (s *Segment) setLink(c LinkConfig) {
	if c.Latency == 0 {
		c.Latency = time.Millisecond
	}
	s.config = c
	s.mtu = c.MTU
	if s.mtu == 0 {
		s.mtu = 1500
	}
}

// iface is a node's attachment to a segment; the loopback interface has no segment.
type iface struct {
	node    *node
	index   int // of all interfaces; 0 for loopback
	seg     *Segment
	prefix  netip.Prefix
	addrs   []netip.Addr // the first of a family is the one to send from
	own     AttachmentLink
	shared  link // this sender's direction of the segment
	out, in link // the attachment's own
}

func (i *iface) mtu() int {
	if i.seg == nil {
		return 65535
	}
	return i.seg.mtu
}

// segmentName names the segment, or the loopback interface, in traces and captures.
func (i *iface) segmentName() string {
	if i.seg == nil {
		return "lo." + i.node.name
	}
	return i.seg.name
}

// transmit puts p on the segment, towards the neighbour that has address hop.
func (i *iface) transmit(hop netip.Addr, p *packet) {
	n, s := i.node.net, i.seg
	if s == nil {
		n.sent(i, i, p)
		n.push(event{at: n.now + loopbackLatency, pkt: p, to: i})
		return
	}
	to := s.neighbours[hop]
	n.sent(i, to, p)
	if s.cut {
		n.lost(i, p, "segment cut")
		return
	}
	var hold time.Duration
	if len(s.rules) > 0 {
		var ok bool
		if hold, ok = i.judge(to, p); !ok {
			return
		}
	}
	if to == nil {
		if s.internet {
			n.lost(i, p, "nobody has "+hop.String())
			return
		}
		n.after(arpTimeout, func() { i.unanswered(p) })
		return
	}
	at, size := n.now+hold+n.skew(p), p.size()
	twice := false
	for k := range 3 { // the sender's attachment, the segment, the receiver's attachment
		l, c := &i.shared, &s.config
		switch k {
		case 0:
			l, c = &i.out, &i.own.Out
		case 2:
			l, c = &to.in, &to.own.In
		}
		f := l.pass(c, s.rng, at, size)
		if f.lost != "" {
			n.lost(i, p, f.lost)
			return
		}
		at, twice = f.arrives, twice || f.twice
	}
	n.push(event{at: at, pkt: p, to: to})
	if twice {
		n.push(event{at: at, pkt: n.clone(p), to: to})
	}
}

// judge asks the segment's rules about a packet: how much it is delayed, and whether it goes on at all.
func (i *iface) judge(to *iface, p *packet) (hold time.Duration, ok bool) {
	n, s := i.node.net, i.seg
	about := subject{from: i.node.name, proto: p.proto, src: p.src, dst: p.dst, flags: p.flags}
	if to != nil {
		about.to = to.node.name
	}
	r := judge(s.rules, &about, n.now)
	if r == nil || r.Verdict == Pass {
		return 0, true
	}
	if r.Verdict == Delay {
		n.remark(p, "delayed by "+s.name+", "+r.Name)
		return r.Delay, true
	}
	kind := trace.Dropped
	if r.Verdict != Drop {
		kind = trace.Rejected
	}
	if n.trace != nil {
		n.trace.Record(trace.Event{At: n.start.Add(n.now), Layer: trace.Router, Kind: kind, Host: s.name, From: endpoint(p.src),
			To: endpoint(p.dst), Conn: r.Name, Summary: r.Name + ": " + p.summary()})
	}
	if kind == trace.Rejected && p.flags&flagRST == 0 {
		s.refuse(i, to, p, r.Verdict == Reset)
	}
	n.lost(i, p, string(kind)+" by "+s.name+", "+r.Name)
	return 0, false
}

// refuse tells the sender of a packet, and with both the other end of a TCP connection too, as if the other had done it.
func (s *Segment) refuse(from, to *iface, p *packet, both bool) {
	n := s.net
	answer := n.newPacket()
	answer.src, answer.dst = p.dst, p.src
	if p.proto == protoTCP {
		answer.proto = protoTCP
		if p.flags&flagACK != 0 {
			answer.flags, answer.seq = flagRST, p.ack
		} else {
			answer.flags, answer.ack = flagRST|flagACK, p.seq+p.seqLen()
		}
	} else {
		answer.proto = protoICMP
		answer.src, answer.dst = netip.AddrPortFrom(p.dst.Addr(), 0), netip.AddrPortFrom(p.src.Addr(), 0)
		answer.icmp = &icmpError{kind: icmpPortUnreachable, about: *p}
	}
	n.push(event{at: n.now + max(s.config.Latency, 0), pkt: answer, to: from})
	if both && p.proto == protoTCP && p.flags&flagACK != 0 && to != nil {
		q := n.newPacket()
		q.proto, q.src, q.dst, q.flags, q.seq, q.ack = protoTCP, p.src, p.dst, flagRST|flagACK, p.seq, p.ack
		n.push(event{at: n.now + max(s.config.Latency, 0), pkt: q, to: to})
	}
}

// unanswered is what happens when a neighbour was looked for in vain: the sender of the packet is told.
func (i *iface) unanswered(p *packet) {
	nd := i.node
	if nd.owns(p.src.Addr()) {
		e := &icmpError{kind: icmpHostUnreachable, about: *p}
		nd.icmpInput(e)
	} else {
		nd.sendICMP(icmpHostUnreachable, 0, p)
	}
	nd.net.lost(i, p, "neighbour unreachable")
}

// sent tells the trace and the taps about a packet on its way from one interface to another (nil if nobody is there).
func (n *Net) sent(from, to *iface, p *packet) {
	n.serial++
	p.serial = n.serial
	if p.id == 0 { // it stays as the packet is forwarded
		n.id++
		p.id = n.id
	}
	if n.trace != nil && !n.quiet {
		n.trace.Record(trace.Event{At: n.start.Add(n.now), Layer: trace.Packet, Kind: trace.Sent, Host: from.segmentName(),
			From: endpoint(p.src), To: endpoint(p.dst), Summary: p.summary()})
	}
	for _, tap := range n.taps {
		tap.Frame(n.frame(from, to, p))
	}
}

// lost ends a packet that a link did not carry.
func (n *Net) lost(from *iface, p *packet, why string) {
	n.remark(p, why)
	n.release(p)
}

// endpoint writes an address and port, or the address alone where there are no ports.
func endpoint(a netip.AddrPort) string {
	if a.Port() == 0 {
		return a.Addr().String()
	}
	return a.String()
}

// skew is a constant, seeded delay of less than a microsecond for every flow and direction: packets of different flows that
// are sent at one instant arrive at different ones, in an order that the seed decides and not the scheduler.
func (n *Net) skew(p *packet) time.Duration {
	h := n.seed
	for _, a := range [...]netip.AddrPort{p.src, p.dst} {
		b := a.Addr().As16()
		for k := range 2 {
			var w uint64
			for _, x := range b[8*k : 8*k+8] {
				w = w<<8 | uint64(x)
			}
			h = (h ^ w) * 0x9E3779B97F4A7C15
			h ^= h >> 29
		}
		h = (h ^ uint64(a.Port())) * 0xBF58476D1CE4E5B9
		h ^= h >> 32
	}
	return time.Duration(h % 1000)
}
