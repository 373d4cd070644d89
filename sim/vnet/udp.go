package vnet

import (
	"net"
	"net/netip"
	"os"
	"slices"
	"sync"
	"syscall"
	"time"
)

const (
	udpQueue   = 1024  // datagrams that wait to be read; further ones are lost
	udpMaximum = 65507 // bytes in a datagram
)

// udpSocket is a UDP socket. The network's lock guards it.
type udpSocket struct {
	node    *node
	owner   string
	network string
	local   netip.AddrPort // the address may be unspecified
	remote  netip.AddrPort // zero if unconnected
	queue   []datagram
	err     error // from ICMP, told once
	closed  bool
	cond    sync.Cond
	read    deadline
	write   deadline
}

type datagram struct {
	from netip.AddrPort
	data []byte
}

// openUDP binds a socket. An unspecified IPv6 address takes datagrams of both families, as on Linux.
func (nd *node) openUDP(owner, network string, local, remote netip.AddrPort) (*udpSocket, syscall.Errno) {
	if local.Port() == 0 {
		port, ok := nd.ephemeralPort(func(port uint16) bool { return len(nd.udp[port]) > 0 })
		if !ok {
			return nil, syscall.EADDRINUSE
		}
		local = netip.AddrPortFrom(local.Addr(), port)
	} else {
		for _, s := range nd.udp[local.Port()] {
			if overlap(s.local.Addr(), local.Addr()) {
				return nil, syscall.EADDRINUSE
			}
		}
	}
	s := &udpSocket{node: nd, owner: owner, network: network, local: local, remote: remote}
	s.cond.L = &nd.net.mu
	for _, d := range []*deadline{&s.read, &s.write} {
		d.timer.init(&nd.net.loop, func() { d.expired = true; s.cond.Broadcast() })
	}
	nd.udp[local.Port()] = append(nd.udp[local.Port()], s)
	return s, 0
}

// overlap says whether two bound addresses exclude each other.
func overlap(a, b netip.Addr) bool {
	return a == b || a.IsUnspecified() && (a.Is6() || b.Is4()) || b.IsUnspecified() && (b.Is6() || a.Is4())
}

// udpSocket returns the socket for a datagram from remote to local: one connected to remote before others, and one bound to
// the very address before the wildcard.
func (nd *node) udpSocket(local, remote netip.AddrPort) *udpSocket {
	var best *udpSocket
	score := 0
	for _, s := range nd.udp[local.Port()] {
		k := 1
		switch {
		case s.remote.IsValid() && s.remote != remote, !overlap(s.local.Addr(), local.Addr()):
			continue
		case s.remote.IsValid():
			k = 3
		case s.local.Addr() == local.Addr():
			k = 2
		}
		if k > score {
			best, score = s, k
		}
	}
	return best
}

func (nd *node) udpInput(p *packet) {
	s := nd.udpSocket(p.dst, p.src)
	if s == nil {
		nd.sendICMP(icmpPortUnreachable, 0, p)
		return
	}
	if len(s.queue) < udpQueue {
		s.queue = append(s.queue, datagram{p.src, p.payload})
		s.cond.Broadcast()
	}
}

// icmpInput notes an error for a connected socket; others do not hear of it. RFC 1122 §4.1.3.3
func (s *udpSocket) icmpInput(e *icmpError) {
	if s.remote.IsValid() {
		s.err = e.kind.errno()
		s.cond.Broadcast()
	}
}

func (s *udpSocket) receive() (datagram, error) {
	n := s.node.net
	n.lock()
	defer n.unlock()
	for {
		switch {
		case s.closed || n.closed:
			return datagram{}, net.ErrClosed
		case s.read.expired:
			return datagram{}, os.ErrDeadlineExceeded
		case s.err != nil:
			err := s.err
			s.err = nil
			return datagram{}, err
		case len(s.queue) > 0:
			d := s.queue[0]
			s.queue = s.queue[1:]
			return d, nil
		}
		n.wait(&s.cond)
	}
}

func (s *udpSocket) send(data []byte, to netip.AddrPort) error {
	n := s.node.net
	n.lock()
	defer n.unlock()
	switch {
	case s.closed || n.closed:
		return net.ErrClosed
	case s.write.expired:
		return os.ErrDeadlineExceeded
	case s.err != nil:
		err := s.err
		s.err = nil
		return err
	case len(data) > udpMaximum:
		return syscall.EMSGSIZE
	}
	from := s.local.Addr()
	if from.IsUnspecified() {
		var ok bool
		if from, ok = s.node.source(to.Addr()); !ok {
			return syscall.ENETUNREACH
		}
	}
	p := n.newPacket()
	p.proto, p.src, p.dst, p.payload = protoUDP, netip.AddrPortFrom(from, s.local.Port()), to, slices.Clone(data)
	if errno := s.node.output(p); errno != 0 {
		n.release(p)
		return errno
	}
	return nil
}

func (s *udpSocket) shut() {
	s.closed = true
	port := s.local.Port()
	if rest := slices.DeleteFunc(s.node.udp[port], func(o *udpSocket) bool { return o == s }); len(rest) == 0 {
		delete(s.node.udp, port)
	} else {
		s.node.udp[port] = rest
	}
	s.read.timer.stop()
	s.write.timer.stop()
	s.cond.Broadcast()
}

// UDPConn is a UDP socket of a host, connected or not. It is a net.Conn and a net.PacketConn with the errors of *net.UDPConn.
type UDPConn struct{ s *udpSocket }

var (
	_ net.Conn       = (*UDPConn)(nil)
	_ net.PacketConn = (*UDPConn)(nil)
)

func (u *UDPConn) error(op string, err error) error {
	return opError(op, u.s.network, u.LocalAddr(), u.RemoteAddr(), err)
}

// LocalAddr returns a *net.UDPAddr.
func (u *UDPConn) LocalAddr() net.Addr { return net.UDPAddrFromAddrPort(u.s.local) }

// RemoteAddr returns a *net.UDPAddr, or nil if the socket is not connected.
func (u *UDPConn) RemoteAddr() net.Addr {
	if !u.s.remote.IsValid() {
		return nil
	}
	return net.UDPAddrFromAddrPort(u.s.remote)
}

// Read reads one datagram; what does not fit into p is lost.
func (u *UDPConn) Read(p []byte) (int, error) {
	d, err := u.s.receive()
	if err != nil {
		return 0, u.error("read", err)
	}
	return copy(p, d.data), nil
}

// ReadFrom reads one datagram and says where it came from, as a *net.UDPAddr.
func (u *UDPConn) ReadFrom(p []byte) (int, net.Addr, error) {
	d, err := u.s.receive()
	if err != nil {
		return 0, nil, u.error("read", err)
	}
	return copy(p, d.data), net.UDPAddrFromAddrPort(d.from), nil
}

// Write sends one datagram to where the socket is connected to.
func (u *UDPConn) Write(p []byte) (int, error) {
	err := error(syscall.EDESTADDRREQ)
	if u.s.remote.IsValid() {
		err = u.s.send(p, u.s.remote)
	}
	if err != nil {
		return 0, u.error("write", err)
	}
	return len(p), nil
}

// WriteTo sends one datagram to addr, a *net.UDPAddr, from a socket that is not connected.
func (u *UDPConn) WriteTo(p []byte, addr net.Addr) (int, error) {
	to, ok := addr.(*net.UDPAddr)
	if !ok {
		return 0, u.error("write", syscall.EINVAL)
	}
	if u.s.remote.IsValid() {
		return 0, u.error("write", net.ErrWriteToConnected)
	}
	if err := u.s.send(p, unmapped(to.AddrPort())); err != nil {
		return 0, opError("write", u.s.network, u.LocalAddr(), addr, err)
	}
	return len(p), nil
}

// Close closes the socket.
func (u *UDPConn) Close() error {
	n := u.s.node.net
	n.lock()
	defer n.unlock()
	if u.s.closed {
		return u.error("close", net.ErrClosed)
	}
	u.s.shut()
	return nil
}

// SetDeadline sets both deadlines; the zero time means none.
func (u *UDPConn) SetDeadline(at time.Time) error { return u.setDeadlines(at, &u.s.read, &u.s.write) }

// SetReadDeadline sets when reads fail with os.ErrDeadlineExceeded.
func (u *UDPConn) SetReadDeadline(at time.Time) error { return u.setDeadlines(at, &u.s.read) }

// SetWriteDeadline sets when writes fail with os.ErrDeadlineExceeded.
func (u *UDPConn) SetWriteDeadline(at time.Time) error { return u.setDeadlines(at, &u.s.write) }

func (u *UDPConn) setDeadlines(at time.Time, which ...*deadline) error {
	n := u.s.node.net
	n.lock()
	defer n.unlock()
	if u.s.closed || n.closed {
		return u.error("set", net.ErrClosed)
	}
	for _, d := range which {
		d.set(n, at)
	}
	u.s.cond.Broadcast()
	return nil
}

func unmapped(a netip.AddrPort) netip.AddrPort {
	return netip.AddrPortFrom(a.Addr().Unmap().WithZone(""), a.Port())
}
