// Package network is the seam between everything that speaks a protocol and the network it stands in.
//
// The gateway, the fakes and the doctor reach the outside only through a [Network]. The operating system implements it in
// the field ([OS]); a host of the virtual network implements it in the lab. Errors are those of package net (*net.OpError,
// *net.DNSError, the operating system's errnos, os.ErrDeadlineExceeded, net.ErrClosed), so that a caller cannot tell one
// from the other. The subpackage networktest holds the contract that both implementations are tested against.
package network

import (
	"context"
	"net"
	"net/netip"
)

// Network is one host's view of the network it stands in. It is safe for concurrent use.
type Network interface {
	// DialContext connects to address ("host:port", host a name or an IP address) on network ("tcp", "tcp4", "tcp6", "udp", …).
	DialContext(ctx context.Context, network, address string) (net.Conn, error)

	// Listen listens for TCP connections on address. An empty host means every address of this host.
	Listen(ctx context.Context, network, address string) (net.Listener, error)

	// LookupNetIP resolves host to its addresses; network is "ip", "ip4" or "ip6". The host's own hosts file goes first.
	LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error)

	// LookupSRV resolves _service._proto.name (RFC 2782) and returns the canonical name and the records sorted by priority.
	// Records of equal priority stand in no particular order: choosing among them by weight is the caller's job.
	LookupSRV(ctx context.Context, service, proto, name string) (cname string, records []*net.SRV, err error)
}

// PacketNetwork is a Network that also listens for datagrams. A DNS server needs it; the gateway does not.
type PacketNetwork interface {
	Network
	ListenPacket(ctx context.Context, network, address string) (net.PacketConn, error)
}

// Socket is one line of a host's socket table, as netstat shows it.
type Socket struct {
	Protocol string // "tcp", "tcp6", "udp", "udp6"
	Local    netip.AddrPort
	Remote   netip.AddrPort // zero for a listener or an unconnected UDP socket
	State    string         // the names netstat uses on Windows: LISTENING, SYN_SENT, SYN_RECEIVED, ESTABLISHED, FIN_WAIT_1, …; empty for UDP
	Owner    string         // who opened it, as far as is known
}

// SocketLister is a Network that can show its host's socket table.
type SocketLister interface {
	Sockets() ([]Socket, error)
}

// SmallDialer is a Network that can make a TCP connection on which neither side puts more than mss bytes into a segment, whatever the way
// between them carries: the limit is announced to the other side (RFC 9293 §3.7.1) and kept by this one.
type SmallDialer interface {
	DialSmall(ctx context.Context, to netip.AddrPort, mss int) (net.Conn, error)
}

// CanonicalNamer is a Network that can say which name an alias stands for. A name without alias stands for itself. Names are
// returned with a dot at the end, as package net does.
type CanonicalNamer interface {
	LookupCNAME(ctx context.Context, host string) (string, error)
}
