package vnet

import "net/netip"

// EndpointBehaviour is on how much of the remote endpoint a NAT's decision depends. RFC 4787 §4.1, §5
type EndpointBehaviour uint8

// The behaviours, as mapping: whether one inside endpoint keeps its outside port when it talks to another remote endpoint;
// as filtering: who may send to that port.
const (
	AddressAndPortDependent EndpointBehaviour = iota
	AddressDependent
	EndpointIndependent
)

// NATBehaviour is how source translation behaves. The zero value is what Linux does, a "symmetric" NAT that keeps port
// numbers where it can.
type NATBehaviour struct {
	Mapping   EndpointBehaviour
	Filtering EndpointBehaviour
	Scramble  bool // choose port numbers without regard to the inside port; else keep the inside port if it is free
}

// mask reduces a remote endpoint to what the behaviour looks at.
func (b EndpointBehaviour) mask(remote netip.AddrPort) netip.AddrPort {
	switch b {
	case EndpointIndependent:
		return netip.AddrPort{}
	case AddressDependent:
		return netip.AddrPortFrom(remote.Addr(), 0)
	default:
		return remote
	}
}

// mapping is an outside endpoint that stands for an inside one.
type mapping struct {
	proto           proto
	inside, outside netip.AddrPort
	remote          netip.AddrPort // masked by the mapping behaviour
	flows           int            // how many flows use it; it goes with the last
}

type insideKey struct {
	proto                   proto
	inside, outside, remote netip.AddrPort // outside without its port
}

type outsideKey struct {
	proto   proto
	outside netip.AddrPort
}

// natTable is the mappings of one router.
type natTable struct {
	behaviour NATBehaviour
	inside    map[insideKey]*mapping
	outside   map[outsideKey][]*mapping
	next      uint16 // the next port to try
}

func newNATTable(b NATBehaviour) natTable {
	return natTable{behaviour: b, inside: map[insideKey]*mapping{}, outside: map[outsideKey][]*mapping{}, next: 1024}
}

func (t *natTable) key(p proto, inside, remote netip.AddrPort, outside netip.Addr) insideKey {
	return insideKey{p, inside, netip.AddrPortFrom(outside, 0), t.behaviour.Mapping.mask(remote)}
}

// translate returns the mapping by which inside talks to remote through the outside address, made if need be. free says
// whether an outside port could be used for this connection. It returns nil when no port is left.
func (t *natTable) translate(p proto, inside, remote netip.AddrPort, outside netip.Addr, free func(port uint16) bool) *mapping {
	key := t.key(p, inside, remote, outside)
	if m := t.inside[key]; m != nil {
		return m
	}
	usable := func(port uint16) bool {
		// Endpoints may share an outside port only where the remote endpoint tells them apart.
		for _, m := range t.outside[outsideKey{p, netip.AddrPortFrom(outside, port)}] {
			if t.behaviour.Mapping != AddressAndPortDependent || t.behaviour.Filtering != AddressAndPortDependent || m.remote == remote {
				return false
			}
		}
		return port != 0 && free(port)
	}
	port := inside.Port()
	if t.behaviour.Scramble || !usable(port) {
		for tries := 0; ; tries++ {
			if tries > 65535-1024 {
				return nil
			}
			if t.next++; t.next < 1024 {
				t.next = 1024
			}
			if usable(t.next) {
				port = t.next
				break
			}
		}
	}
	m := &mapping{proto: p, inside: inside, outside: netip.AddrPortFrom(outside, port), remote: key.remote}
	t.inside[key] = m
	o := outsideKey{p, m.outside}
	t.outside[o] = append(t.outside[o], m)
	return m
}

// remove forgets a mapping that no flow uses any more.
func (t *natTable) remove(m *mapping) {
	delete(t.inside, insideKey{m.proto, m.inside, netip.AddrPortFrom(m.outside.Addr(), 0), m.remote})
	o := outsideKey{m.proto, m.outside}
	rest := t.outside[o][:0]
	for _, other := range t.outside[o] {
		if other != m {
			rest = append(rest, other)
		}
	}
	if len(rest) == 0 {
		delete(t.outside, o)
	} else {
		t.outside[o] = rest
	}
}

// admit returns the mapping by which a packet from remote to an outside endpoint may come in although no connection to
// exactly that remote endpoint is known. spoken says whether the inside endpoint has a connection to the remote address.
func (t *natTable) admit(p proto, remote, outside netip.AddrPort, spoken func(m *mapping, remote netip.Addr) bool) *mapping {
	for _, m := range t.outside[outsideKey{p, outside}] {
		switch t.behaviour.Filtering {
		case EndpointIndependent:
			return m
		case AddressDependent:
			if spoken(m, remote.Addr()) {
				return m
			}
		}
	}
	return nil
}
