package vnet

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"syscall"
	"time"
)

// loopbackLatency is how long a packet takes from a machine to itself.
const loopbackLatency = 10 * time.Microsecond

// endpoints is what a connection is found by on one machine.
type endpoints struct{ local, remote netip.AddrPort }

// node is what hosts and routers share: interfaces, routes and a protocol stack.
type node struct {
	net    *Net
	name   string
	ifaces []*iface // in order of their segments' names
	lo     *iface
	own    map[netip.Addr]*iface
	routes []route
	router *Router // nil on a host
	silent bool    // sends no ICMP errors

	// Sockets.
	conns     map[endpoints]*tcb
	listeners map[netip.AddrPort]*Listener
	udp       map[uint16][]*udpSocket // by port
	ephemeral uint16                  // the next port to try

	power     power
	held      []held // while paused
	keepAlive time.Duration
	minRTO    time.Duration
}

func (n *Net) newNode(name string, ifs map[string]netip.Prefix, more map[string][]netip.Addr, routes map[string]netip.Addr) (*node, error) {
	nd := &node{net: n, name: name, own: map[netip.Addr]*iface{}, conns: map[endpoints]*tcb{},
		listeners: map[netip.AddrPort]*Listener{}, udp: map[uint16][]*udpSocket{}, ephemeral: firstEphemeral}
	nd.lo = &iface{node: nd, addrs: []netip.Addr{netip.AddrFrom4([4]byte{127, 0, 0, 1}), netip.IPv6Loopback()}}
	for _, a := range nd.lo.addrs {
		nd.own[a] = nd.lo
	}
	for _, seg := range slices.Sorted(maps.Keys(ifs)) {
		n.interfaces++
		i := &iface{node: nd, index: n.interfaces, seg: n.segments[seg], prefix: ifs[seg]}
		i.addrs = append([]netip.Addr{ifs[seg].Addr()}, more[seg]...)
		for _, a := range i.addrs {
			nd.own[a] = i
			i.seg.neighbours[a] = i
		}
		nd.ifaces = append(nd.ifaces, i)
	}
	configured, err := parseRoutes(routes)
	if err != nil {
		return nil, fmt.Errorf("vnet: %s: %w", name, err)
	}
	return nd, nd.buildRoutes(configured)
}

// owns says whether a is an address of this machine.
func (nd *node) owns(a netip.Addr) bool { return nd.own[a] != nil || a.Is4() && a.As4()[0] == 127 }

// output sends a packet of the node's own. On an error the packet still belongs to the caller.
func (nd *node) output(p *packet) syscall.Errno {
	dst := p.dst.Addr()
	switch {
	case nd.power == powerOff:
		nd.net.release(p)
		return 0
	case nd.power == powerPaused:
		nd.hold(held{p: p, out: true})
		return 0
	case nd.owns(dst):
		nd.lo.transmit(dst, p)
		return 0
	}
	out, hop, ok := nd.route(dst)
	if !ok || p.src.Addr().IsLoopback() {
		return syscall.ENETUNREACH
	}
	out.transmit(hop, p)
	return 0
}

// deliver is where a packet ends that travelled over a segment.
func (n *Net) deliver(p *packet, to *iface) {
	nd := to.node
	switch {
	case nd.power == powerOff:
		n.lost(to, p, nd.name+" is off")
	case nd.power == powerPaused:
		nd.hold(held{p: p, in: to})
	case nd.router != nil && to != nd.lo:
		nd.router.input(p, to)
	default:
		nd.local(p)
	}
}

// local takes a packet that is for this machine; a host does not forward what is not.
func (nd *node) local(p *packet) {
	if nd.owns(p.dst.Addr()) {
		switch p.proto {
		case protoTCP:
			nd.tcpInput(p)
		case protoUDP:
			nd.udpInput(p)
		case protoICMP:
			nd.icmpInput(p.icmp)
		}
	}
	nd.net.release(p)
}
