package vnet

import (
	"cmp"
	"fmt"
	"net"
	"net/netip"
	"slices"

	"fedlab/internal/network"
)

// firstEphemeral is where port numbers for outgoing connections begin; they are handed out in order, so that a run can be
// repeated.
const firstEphemeral = 49152

// Host is a host of a running network, as one program on it sees it. It is safe for concurrent use.
type Host struct {
	node     *node
	resolver *resolver
	owner    string
}

var (
	_ network.PacketNetwork = (*Host)(nil)
	_ network.SocketLister  = (*Host)(nil)
)

func (n *Net) newHost(name string, c HostConfig) (*Host, error) {
	nd, err := n.newNode(name, c.Interfaces, c.Addresses, c.Routes)
	if err != nil {
		return nil, err
	}
	nd.keepAlive = c.KeepAlive
	if nd.keepAlive == 0 {
		nd.keepAlive = keepAliveTime
	}
	if nd.minRTO = c.MinRTO; nd.minRTO == 0 {
		nd.minRTO = minRTO
	}
	for _, i := range nd.ifaces {
		i.own = c.Links[i.seg.name]
	}
	h := &Host{node: nd, owner: name}
	h.resolver = newResolver(h.As("resolver"), c.HostsFile, c.Resolver)
	return h, nil
}

// Name is the host's name in the topology.
func (h *Host) Name() string { return h.node.name }

// As returns the same host as seen by another program: sockets opened through it carry this owner in Sockets. What is opened
// through the host itself is owned by the host's name.
func (h *Host) As(owner string) *Host {
	view := *h
	view.owner = owner
	return &view
}

// Sockets returns the host's socket table: listeners first, then by addresses.
func (h *Host) Sockets() ([]network.Socket, error) {
	nd := h.node
	nd.net.lock()
	defer nd.net.unlock()
	if nd.net.closed {
		return nil, fmt.Errorf("vnet: sockets of %s: %w", nd.name, net.ErrClosed)
	}
	family := func(proto string, a netip.AddrPort) string {
		if a.Addr().Is6() {
			return proto + "6"
		}
		return proto
	}
	var all []network.Socket
	for at, l := range nd.listeners {
		all = append(all, network.Socket{Protocol: family("tcp", at), Local: at, State: stateListen.String(), Owner: l.owner})
	}
	for _, c := range nd.conns {
		all = append(all, network.Socket{Protocol: family("tcp", c.local), Local: c.local, Remote: c.remote, State: c.state.String(), Owner: c.owner})
	}
	for _, sockets := range nd.udp {
		for _, s := range sockets {
			all = append(all, network.Socket{Protocol: family("udp", s.local), Local: s.local, Remote: s.remote, Owner: s.owner})
		}
	}
	slices.SortFunc(all, func(a, b network.Socket) int {
		return cmp.Or(cmp.Compare(a.Protocol, b.Protocol),
			cmp.Compare(boolInt(a.Remote.IsValid()), boolInt(b.Remote.IsValid())), a.Local.Compare(b.Local), a.Remote.Compare(b.Remote))
	})
	return all, nil
}

// sortedConns returns the connections in an order that does not change from run to run.
func (nd *node) sortedConns() []*tcb {
	var all []*tcb
	for _, c := range nd.conns {
		all = append(all, c)
	}
	slices.SortFunc(all, func(a, b *tcb) int { return cmp.Or(a.local.Compare(b.local), a.remote.Compare(b.remote)) })
	return all
}

// ephemeralPort returns the next port that is not taken.
func (nd *node) ephemeralPort(taken func(uint16) bool) (uint16, bool) {
	for range 65536 - firstEphemeral {
		port := nd.ephemeral
		if nd.ephemeral++; nd.ephemeral == 0 {
			nd.ephemeral = firstEphemeral
		}
		if !taken(port) {
			return port, true
		}
	}
	return 0, false
}

// hasIPv6 says whether the machine has an IPv6 address besides its loopback.
func (nd *node) hasIPv6() bool {
	return slices.ContainsFunc(nd.ifaces, func(i *iface) bool {
		return slices.ContainsFunc(i.addrs, netip.Addr.Is6)
	})
}

// abandon ends all sockets without a word to anyone: their programs find them closed.
func (nd *node) abandon() {
	for _, c := range nd.sortedConns() {
		c.fail(net.ErrClosed)
	}
	seen := map[*Listener]bool{}
	for _, l := range nd.listeners {
		seen[l] = true
	}
	for l := range seen {
		l.shut()
	}
	for _, sockets := range nd.udp {
		for _, s := range slices.Clone(sockets) {
			s.shut()
		}
	}
}
