package vnet

import (
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"time"
)

// Topology is what a [Net] is built from: plain values, keyed by name. Names of segments, routers and hosts stand in the
// trace and in captures. No two nodes may have the same name.
type Topology struct {
	Segments map[string]SegmentConfig
	Routers  map[string]RouterConfig
	Hosts    map[string]HostConfig
}

// SegmentConfig is one network: everyone on it hears everyone directly. Its prefixes are on-link for all who stand on it.
// A segment with a prefix of length 0 stands for a whole Internet: what is sent there to an address that nobody has
// vanishes, while on any other segment the sender is told that the host is unreachable.
type SegmentConfig struct {
	Prefixes []netip.Prefix
	Link     LinkConfig
}

// HostConfig is a machine with sockets.
type HostConfig struct {
	Interfaces map[string]netip.Prefix   // segment: address/bits
	Addresses  map[string][]netip.Addr   // segment: further addresses, of either family
	Routes     map[string]netip.Addr     // prefix or "default": next hop
	HostsFile  map[string]netip.Addr     // name: address; goes before DNS
	Resolver   []netip.Addr              // DNS servers, asked in order; none: the host itself, as with an empty resolv.conf
	KeepAlive  time.Duration             // idle time and interval of TCP keep-alive probes; 0: 15 s, as package net has it; negative: none
	MinRTO     time.Duration             // least TCP retransmission time-out, like rto_min in ip-route(8); 0: 200 ms
	Links      map[string]AttachmentLink // segment: how this host's own attachment carries packets, on top of the segment's link
}

// RouterConfig is a machine that joins segments, filters and translates.
type RouterConfig struct {
	Interfaces map[string]netip.Prefix // segment: address/bits on it
	Addresses  map[string][]netip.Addr // segment: further addresses the router answers for, used in forwards
	Routes     map[string]netip.Addr   // prefix or "default": next hop
	Policy     Verdict                 // for what no rule matches and no known connection covers; empty: Pass
	Rules      []Rule                  // tried in order, the first that matches decides
	Masquerade []string                // segments towards which the source becomes the router's own address
	Forwards   []Forward               // port forwarding
	Hairpin    bool                    // whether forwards also work from the inside
	NAT        NATBehaviour            // how translation behaves; zero: like Linux
	State      StateTimeouts           // how long a connection is remembered; zero: like Linux
	Silent     bool                    // sends no ICMP errors, as with "no ip unreachables"
	ClampMSS   bool                    // lowers the MSS in SYNs that it passes on to what fits through both links
}

// Forward sends what arrives for an outside address and port to an inside host.
type Forward struct {
	Name     string
	Address  netip.Addr // outside address, one of the router's own
	Protocol string     // "tcp" or "udp"; empty: tcp
	Port     int
	To       netip.AddrPort
	Hairpin  bool // works from the inside even if the router's Hairpin is off
}

// validate returns every mistake at once, joined.
func (t Topology) validate() error {
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf("vnet: "+format, args...)) }
	for _, name := range slices.Sorted(maps.Keys(t.Segments)) {
		s := t.Segments[name]
		if len(s.Prefixes) == 0 {
			bad("segment %s has no prefix; give it at least one, such as 192.0.2.0/24", name)
		}
		for _, p := range s.Prefixes {
			if !p.IsValid() {
				bad("segment %s has an invalid prefix", name)
			}
		}
		if err := s.Link.validate(); err != nil {
			bad("segment %s: %v", name, err)
		}
	}
	taken := map[string]map[netip.Addr]string{} // segment → address → node
	attach := func(kind, name string, ifs map[string]netip.Prefix, more map[string][]netip.Addr, routes map[string]netip.Addr) {
		if len(ifs) == 0 {
			bad("%s %s has no interface", kind, name)
		}
		for _, seg := range slices.Sorted(maps.Keys(more)) {
			if _, ok := ifs[seg]; !ok {
				bad("%s %s has further addresses on segment %s but no interface there", kind, name, seg)
			}
		}
		for _, seg := range slices.Sorted(maps.Keys(ifs)) {
			s, ok := t.Segments[seg]
			if !ok {
				bad("%s %s has an interface on segment %q, which does not exist", kind, name, seg)
				continue
			}
			for _, a := range append([]netip.Addr{ifs[seg].Addr()}, more[seg]...) {
				switch {
				case !a.IsValid():
					bad("%s %s has an invalid address on segment %s", kind, name, seg)
				case a.Is4In6():
					bad("%s %s: write %s as plain IPv4", kind, name, a)
				case !slices.ContainsFunc(s.Prefixes, func(p netip.Prefix) bool { return p.Contains(a) }):
					bad("%s %s has address %s on segment %s, whose prefixes %v do not contain it", kind, name, a, seg, s.Prefixes)
				case taken[seg][a] != "":
					bad("%s %s has address %s on segment %s, but %s has it already", kind, name, a, seg, taken[seg][a])
				default:
					if taken[seg] == nil {
						taken[seg] = map[netip.Addr]string{}
					}
					taken[seg][a] = name
				}
			}
		}
		if _, err := parseRoutes(routes); err != nil {
			bad("%s %s: %v", kind, name, err)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(t.Hosts)) {
		h := t.Hosts[name]
		attach("host", name, h.Interfaces, h.Addresses, h.Routes)
		for _, seg := range slices.Sorted(maps.Keys(h.Links)) {
			if _, ok := h.Interfaces[seg]; !ok {
				bad("host %s has a link on segment %s but no interface there", name, seg)
			}
			if err := h.Links[seg].validate(); err != nil {
				bad("host %s, link to %s: %v", name, seg, err)
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(t.Routers)) {
		r := t.Routers[name]
		if _, ok := t.Hosts[name]; ok {
			bad("%s is both a host and a router", name)
		}
		attach("router", name, r.Interfaces, r.Addresses, r.Routes)
		if err := r.validate(); err != nil {
			bad("router %s: %v", name, err)
		}
	}
	return errors.Join(errs...)
}

func (r RouterConfig) validate() error {
	var errs []error
	for _, seg := range r.Masquerade {
		if _, ok := r.Interfaces[seg]; !ok {
			errs = append(errs, fmt.Errorf("masquerades towards %q, where it has no interface", seg))
		}
	}
	switch r.Policy {
	case "", Pass, Drop, Reject:
	default:
		errs = append(errs, fmt.Errorf("policy %q is none of pass, drop, reject", r.Policy))
	}
	errs = append(errs, validateRules(r.Rules, r.Interfaces), r.validateForwards(r.Forwards))
	return errors.Join(errs...)
}

func (r RouterConfig) validateForwards(forwards []Forward) error {
	var errs []error
	for _, f := range forwards {
		own := false
		for seg, p := range r.Interfaces {
			own = own || p.Addr() == f.Address || slices.Contains(r.Addresses[seg], f.Address)
		}
		switch {
		case !own:
			errs = append(errs, fmt.Errorf("forward %s is for address %s, which is not the router's; add it to its addresses", f.Name, f.Address))
		case f.Port < 1 || f.Port > 65535:
			errs = append(errs, fmt.Errorf("forward %s has port %d", f.Name, f.Port))
		case !f.To.IsValid() || f.To.Port() == 0:
			errs = append(errs, fmt.Errorf("forward %s has no target", f.Name))
		case f.Protocol != "" && f.Protocol != "tcp" && f.Protocol != "udp":
			errs = append(errs, fmt.Errorf("forward %s has protocol %q, which is none of tcp, udp", f.Name, f.Protocol))
		case f.To.Addr().Is4() != f.Address.Is4():
			errs = append(errs, fmt.Errorf("forward %s would turn %s into %s: families differ", f.Name, f.Address, f.To))
		}
	}
	return errors.Join(errs...)
}
