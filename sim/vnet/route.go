package vnet

import (
	"cmp"
	"fmt"
	"maps"
	"net/netip"
	"slices"
)

// route is one line of a routing table.
type route struct {
	prefix netip.Prefix
	via    netip.Addr // invalid: on-link
	out    *iface
}

// parseRoutes reads the keys of a topology's routes: a prefix, or "default" for everything of the next hop's family.
func parseRoutes(routes map[string]netip.Addr) ([]route, error) {
	var parsed []route
	for _, key := range slices.Sorted(maps.Keys(routes)) {
		via := routes[key]
		if !via.IsValid() {
			return nil, fmt.Errorf("route %s has no next hop", key)
		}
		p := netip.PrefixFrom(netip.IPv4Unspecified(), 0)
		if via.Is6() {
			p = netip.PrefixFrom(netip.IPv6Unspecified(), 0)
		}
		if key != "default" {
			var err error
			if p, err = netip.ParsePrefix(key); err != nil {
				return nil, fmt.Errorf("route %q is neither a prefix (10.0.0.0/8) nor \"default\"", key)
			}
		}
		if p.Addr().Is4() != via.Is4() {
			return nil, fmt.Errorf("route %s goes via %s: families differ", key, via)
		}
		parsed = append(parsed, route{prefix: p.Masked(), via: via})
	}
	return parsed, nil
}

// buildRoutes makes the routing table: what is on-link by the segments, and the configured routes.
func (nd *node) buildRoutes(configured []route) error {
	for _, i := range nd.ifaces {
		for _, p := range i.seg.prefixes {
			if slices.ContainsFunc(i.addrs, p.Contains) {
				nd.routes = append(nd.routes, route{prefix: p.Masked(), out: i})
			}
		}
		if own := i.prefix.Masked(); !slices.ContainsFunc(nd.routes, func(r route) bool { return r.prefix == own && r.out == i }) {
			nd.routes = append(nd.routes, route{prefix: own, out: i})
		}
	}
	onLink := slices.Clone(nd.routes)
	for _, r := range configured {
		best := -1
		for _, l := range onLink {
			if l.prefix.Contains(r.via) && l.prefix.Bits() > best {
				best, r.out = l.prefix.Bits(), l.out
			}
		}
		if r.out == nil {
			return fmt.Errorf("vnet: %s has a route to %s via %s, which is on none of its segments", nd.name, r.prefix, r.via)
		}
		nd.routes = append(nd.routes, r)
	}
	// The longest prefix first; among equals, what is configured goes before what is on-link.
	slices.SortStableFunc(nd.routes, func(a, b route) int {
		if c := cmp.Compare(b.prefix.Bits(), a.prefix.Bits()); c != 0 {
			return c
		}
		return cmp.Compare(boolInt(b.via.IsValid()), boolInt(a.via.IsValid()))
	})
	return nil
}

func boolInt(b bool) int {
	if b {
		return 1
	}
	return 0
}

// route returns the way to dst: the interface and the neighbour to hand the packet to.
func (nd *node) route(dst netip.Addr) (out *iface, hop netip.Addr, ok bool) {
	for i := range nd.routes {
		if r := &nd.routes[i]; r.prefix.Contains(dst) {
			if r.via.IsValid() {
				return r.out, r.via, true
			}
			return r.out, dst, true
		}
	}
	return nil, netip.Addr{}, false
}

// source returns the address from which the node sends to dst.
func (nd *node) source(dst netip.Addr) (netip.Addr, bool) {
	if nd.owns(dst) {
		return dst, true
	}
	out, hop, ok := nd.route(dst)
	if !ok {
		return netip.Addr{}, false
	}
	return out.source(hop)
}

// source returns the interface's first address of hop's family.
func (i *iface) source(hop netip.Addr) (netip.Addr, bool) {
	for _, a := range i.addrs {
		if a.Is4() == hop.Is4() {
			return a, true
		}
	}
	return netip.Addr{}, false
}

// unspecified is the wildcard address of a's family.
func unspecified(a netip.Addr) netip.Addr {
	if a.Is4() {
		return netip.IPv4Unspecified()
	}
	return netip.IPv6Unspecified()
}
