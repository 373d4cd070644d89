package vnet

import (
	"fmt"
	"net/netip"
	"slices"

	"fedlab/sim/trace"
)

// Router is a running router. It is safe for concurrent use.
type Router struct {
	node       *node
	config     RouterConfig
	rules      []*rule
	forwards   []Forward
	hairpin    bool
	masquerade map[*iface]bool
	flows      *flows
	tracks     bool // remembers connections
	strict     bool // a TCP segment in the middle of nowhere begins nothing
	clamps     bool // lowers the MSS in SYNs
}

// Name is the router's name in the topology.
func (r *Router) Name() string { return r.node.name }

// SetRules replaces the rules from now on. Connections that were let through stay so, as with any stateful filter; see Flush.
func (r *Router) SetRules(rules []Rule, policy Verdict) error {
	c := r.config
	c.Rules, c.Policy = rules, policy
	if err := c.validate(); err != nil {
		return fmt.Errorf("vnet: router %s: %w", r.node.name, err)
	}
	r.node.net.lock()
	defer r.node.net.unlock()
	r.config = c
	r.rules = install(rules, r.node.net.now)
	r.review()
	return nil
}

// SetForwards replaces the port forwarding from now on; known connections keep theirs.
func (r *Router) SetForwards(forwards []Forward) error {
	if err := r.config.validateForwards(forwards); err != nil {
		return fmt.Errorf("vnet: router %s: %w", r.node.name, err)
	}
	r.node.net.lock()
	defer r.node.net.unlock()
	r.forwards = slices.Clone(forwards)
	r.review()
	return nil
}

// SetHairpin says whether all forwards also work from the inside.
func (r *Router) SetHairpin(on bool) {
	r.node.net.lock()
	defer r.node.net.unlock()
	r.hairpin = on
}

// SetState replaces the time-outs of remembered connections, for those that are known as well.
func (r *Router) SetState(t StateTimeouts) {
	r.node.net.lock()
	defer r.node.net.unlock()
	r.flows.timeouts = t
}

// SetSilent says whether the router sends no ICMP errors.
func (r *Router) SetSilent(on bool) {
	r.node.net.lock()
	defer r.node.net.unlock()
	r.node.silent = on
}

// SetClampMSS says whether the router lowers the MSS in the SYNs that it passes on, for connections that begin from now on.
func (r *Router) SetClampMSS(on bool) {
	r.node.net.lock()
	defer r.node.net.unlock()
	r.clamps = on
}

// Flush forgets all connections and translations, as a reboot does.
func (r *Router) Flush() {
	r.node.net.lock()
	defer r.node.net.unlock()
	r.flows = newFlows(r.flows.timeouts, r.config.NAT)
}

// Hits returns how many packets each rule has acted on since it was installed, by name.
func (r *Router) Hits() map[string]int {
	r.node.net.lock()
	defer r.node.net.unlock()
	return hits(r.rules)
}

func (n *Net) newRouter(name string, c RouterConfig) (*Router, error) {
	nd, err := n.newNode(name, c.Interfaces, c.Addresses, c.Routes)
	if err != nil {
		return nil, err
	}
	r := &Router{node: nd, config: c, hairpin: c.Hairpin, clamps: c.ClampMSS, forwards: slices.Clone(c.Forwards), masquerade: map[*iface]bool{},
		flows: newFlows(c.State, c.NAT), rules: install(c.Rules, 0)}
	for _, i := range nd.ifaces {
		r.masquerade[i] = slices.Contains(c.Masquerade, i.seg.name)
	}
	r.review()
	nd.router, nd.silent = r, c.Silent
	return r, nil
}

// review decides anew whether the router has to remember connections. One that only forwards, or only has rules about every
// packet, does not care where a packet belongs.
func (r *Router) review() {
	nat := len(r.config.Masquerade) > 0 || len(r.forwards) > 0
	closed := r.config.Policy == Drop || r.config.Policy == Reject
	r.strict = nat || closed
	r.tracks = r.strict || slices.ContainsFunc(r.rules, func(rule *rule) bool { return !rule.Stateless })
}

// transit is a packet on its way through a router.
type transit struct {
	p        *packet
	in, out  *iface // out is nil for what is for the router itself
	hop      netip.Addr
	src, dst netip.AddrPort // what they become
	flow     *flow
	dir      direction
	forward  *Forward // which forward applied to the first packet
}

// input forwards a packet, or not.
func (r *Router) input(p *packet, in *iface) {
	n := r.node.net
	t := transit{p: p, in: in, src: p.src, dst: p.dst}
	if p.proto == protoICMP {
		r.inputICMP(&t)
		return
	}
	if r.tracks {
		var expired *flow
		key := tuple{p.proto, p.src, p.dst}
		t.flow, t.dir, expired = r.flows.find(key, n.now)
		if expired != nil {
			r.testify(&t, trace.Expired, "state", fmt.Sprintf("silent for %v", n.now-expired.lastSeen))
		}
		if t.flow != nil && t.dir == original && p.flags&(flagSYN|flagACK) == flagSYN && t.flow.over() {
			r.flows.forget(t.flow)
			t.flow = nil
		}
	}
	if t.flow != nil {
		t.src, t.dst = t.flow.leaves(t.dir)
	} else if r.tracks {
		r.redirect(&t)
	}
	if !r.node.owns(t.dst.Addr()) {
		var ok bool
		if t.out, t.hop, ok = r.node.route(t.dst.Addr()); !ok {
			r.testify(&t, trace.Rejected, "no route", "")
			r.node.sendICMP(icmpNetUnreachable, 0, p)
			n.release(p)
			return
		}
	}
	if t.flow == nil && r.strict && p.proto == protoTCP && p.flags&(flagSYN|flagACK|flagRST) != flagSYN {
		r.stateless(&t)
		return
	}
	r.judge(&t)
}

// redirect finds out where the first packet of a connection to one of the router's own addresses is meant to go.
func (r *Router) redirect(t *transit) {
	home := r.node.own[t.dst.Addr()]
	if home == nil {
		return
	}
	for i := range r.forwards {
		f := &r.forwards[i]
		if f.Address != t.dst.Addr() || f.Port != int(t.dst.Port()) || f.protocol() != t.p.proto {
			continue
		}
		if t.in != home && !r.hairpin && !f.Hairpin {
			r.testify(t, trace.Failed, "hairpin", fmt.Sprintf("forward %s does not work from %s: hairpin is off", f.Name, t.in.seg.name))
			return
		}
		t.forward, t.dst = f, f.To
		return
	}
	if t.in != home && !r.hairpin {
		return
	}
	if m := r.flows.nat.admit(t.p.proto, t.src, t.dst, r.spoken); m != nil {
		t.dst = m.inside
	}
}

func (f *Forward) protocol() proto {
	if f.Protocol == "udp" {
		return protoUDP
	}
	return protoTCP
}

// spoken says whether a live connection of the mapping goes to the remote address.
func (r *Router) spoken(m *mapping, remote netip.Addr) bool {
	for _, f := range r.flows.byTuple {
		if f.mapping == m && f.reply.src.Addr() == remote {
			return true
		}
	}
	return false
}

// stateless deals with a TCP segment in the middle of a connection that the router does not know.
func (r *Router) stateless(t *transit) {
	if r.flows.timeouts.Reset && t.p.flags&flagRST == 0 {
		r.testify(t, trace.Rejected, "state", "no such connection")
		r.node.sendReset(t.p)
	} else {
		r.testify(t, trace.Dropped, "state", "no such connection")
	}
	r.node.net.remark(t.p, "dropped by "+r.node.name+": no such connection")
	r.node.net.release(t.p)
}

// judge asks the rules, and does what they say.
func (r *Router) judge(t *transit) {
	n := r.node.net
	s := subject{from: t.in.seg.name, proto: t.p.proto, src: t.p.src, dst: t.dst, flags: t.p.flags, begins: t.flow == nil}
	if t.out != nil {
		s.to = t.out.seg.name
	}
	verdict, name := Pass, "policy"
	rule := judge(r.rules, &s, n.now)
	switch {
	case rule != nil:
		verdict, name = rule.Verdict, rule.Name
	case t.flow == nil && r.config.Policy != "":
		verdict = r.config.Policy
	}
	switch verdict {
	case Pass:
		r.pass(t, name, rule != nil && rule.Stateless)
	case Delay:
		r.testify(t, trace.Passed, name, fmt.Sprintf("delayed by %v", rule.Delay))
		later := *t
		n.after(rule.Delay, func() { r.pass(&later, name, false) })
	case Drop:
		r.testify(t, trace.Dropped, name, "")
		n.remark(t.p, "dropped by "+r.node.name+", "+name)
		n.release(t.p)
	default:
		r.testify(t, trace.Rejected, name, "")
		n.remark(t.p, "rejected by "+r.node.name+", "+name)
		r.reject(t, verdict == Reset)
		n.release(t.p)
	}
}

// pass sends a packet on, and remembers the connection if it is its first.
func (r *Router) pass(t *transit, name string, say bool) {
	n, p := r.node.net, t.p
	if t.out == nil {
		r.node.local(p)
		return
	}
	if p.ttl--; p.ttl == 0 {
		r.testify(t, trace.Dropped, "time to live", "")
		r.node.sendICMP(icmpTimeExceeded, 0, p)
		n.release(p)
		return
	}
	if p.proto == protoTCP && p.size() > t.out.mtu() {
		r.testify(t, trace.Rejected, "MTU", fmt.Sprintf("%d bytes, MTU %d", p.size(), t.out.mtu()))
		r.node.sendICMP(icmpTooBig, t.out.mtu(), p)
		n.release(p)
		return
	}
	if r.tracks && t.flow == nil {
		if !r.remember(t, name) {
			return
		}
	} else if say {
		r.testify(t, trace.Passed, name, "")
	}
	if t.flow != nil {
		r.flows.saw(t.flow, t.dir, p, n.now)
		if len(n.taps) > 0 && t.flow.translated() {
			n.remark(p, fmt.Sprintf("translated by %s to %s > %s", r.node.name, t.src, t.dst))
		}
	}
	p.src, p.dst = t.src, t.dst
	if most := mssFor(min(t.in.mtu(), t.out.mtu()), p.is4()); r.clamps && p.flags&flagSYN != 0 && int(p.mss) > most {
		p.mss = uint16(most)
	}
	t.out.transmit(t.hop, p)
}

// remember enters the first packet of a connection into the table, with its translation.
func (r *Router) remember(t *transit, name string) bool {
	p := t.p
	f := &flow{orig: tuple{p.proto, p.src, p.dst}, rule: name}
	outside, translate := r.outside(t)
	if translate {
		f.mapping = r.flows.nat.translate(p.proto, p.src, t.dst, outside, func(port uint16) bool {
			own := netip.AddrPortFrom(outside, port)
			return r.flows.byTuple[tuple{p.proto, t.dst, own}] == nil && !slices.ContainsFunc(r.forwards, func(f Forward) bool {
				return f.Address == outside && f.Port == int(port) && f.protocol() == p.proto
			})
		})
		if f.mapping == nil {
			r.testify(t, trace.Dropped, "NAT", "no port is left on "+outside.String())
			r.node.net.release(p)
			return false
		}
		t.src = f.mapping.outside
	}
	f.reply = tuple{p.proto, t.dst, t.src}
	t.flow = f
	r.flows.add(f, r.node.net.now)
	if f.translated() {
		r.testify(t, trace.Translated, name, fmt.Sprintf("%s > %s becomes %s > %s", p.src, p.dst, t.src, t.dst))
	} else {
		r.testify(t, trace.Passed, name, "")
	}
	return true
}

// outside returns the address that the source of a new connection is translated to, if it is.
func (r *Router) outside(t *transit) (netip.Addr, bool) {
	switch {
	case t.p.dst != t.dst && t.in == t.out:
		// Hairpin: answers have to come back through the router, so both ends see its outside address. RFC 4787 §6 REQ-9
		return t.p.dst.Addr(), true
	case r.masquerade[t.out]:
		return t.out.source(t.hop)
	default:
		return netip.Addr{}, false
	}
}

// reject tells the sender, and with both the other end of a TCP connection too.
func (r *Router) reject(t *transit, both bool) {
	p := t.p
	if p.proto != protoTCP {
		r.node.sendICMP(icmpPortUnreachable, 0, p)
		return
	}
	if p.flags&flagRST != 0 {
		return
	}
	r.node.sendReset(p)
	if both && t.flow != nil && t.out != nil {
		q := r.node.net.newPacket()
		q.proto, q.src, q.dst, q.flags, q.seq, q.ack = protoTCP, t.src, t.dst, flagRST|flagACK, p.seq, p.ack
		t.out.transmit(t.hop, q)
		t.flow.reset = true
	}
}

// inputICMP forwards an error along the connection that it is about.
func (r *Router) inputICMP(t *transit) {
	n, p := r.node.net, t.p
	about := &p.icmp.about
	if r.tracks {
		f, dir, _ := r.flows.find(tuple{about.proto, about.dst, about.src}, n.now)
		if f != nil {
			src, dst := f.leaves(dir)
			translated := *p.icmp
			translated.about.src, translated.about.dst = dst, src
			p.icmp = &translated
			t.dst = netip.AddrPortFrom(dst.Addr(), 0)
			t.flow, t.dir = f, dir
		} else if r.strict && !r.node.owns(p.dst.Addr()) {
			r.testify(t, trace.Dropped, "state", "an error about no known connection")
			n.release(p)
			return
		}
	}
	if r.node.owns(t.dst.Addr()) {
		r.node.local(p)
		return
	}
	var ok bool
	if t.out, t.hop, ok = r.node.route(t.dst.Addr()); !ok {
		n.release(p)
		return
	}
	s := subject{from: t.in.seg.name, to: t.out.seg.name, proto: protoICMP, src: p.src, dst: t.dst}
	if rule := judge(r.rules, &s, n.now); rule != nil && rule.Verdict != Pass && rule.Verdict != Delay {
		r.testify(t, trace.Dropped, rule.Name, "")
		n.release(p)
		return
	}
	if p.ttl--; p.ttl == 0 {
		n.release(p)
		return
	}
	p.dst = t.dst
	t.out.transmit(t.hop, p)
}

// testify records a verdict with the name of the rule.
func (r *Router) testify(t *transit, kind, name, detail string) {
	n := r.node.net
	if n.trace == nil {
		return
	}
	s := name
	if t.p.proto == protoTCP {
		s += ": " + t.p.summary()
	} else {
		s += ": " + t.p.proto.String()
	}
	s += " from " + t.in.seg.name
	if t.out != nil {
		s += " to " + t.out.seg.name
	}
	if detail != "" {
		s += ", " + detail
	}
	n.trace.Record(trace.Event{At: n.start.Add(n.now), Layer: trace.Router, Kind: kind, Host: r.node.name,
		From: endpoint(t.p.src), To: endpoint(t.p.dst), Conn: name, Summary: s})
}
