package vnet

import (
	"fmt"
	"net/netip"
	"syscall"
)

// icmpKind is what an ICMP error says; the numbers of both versions stand in wire.go.
type icmpKind uint8

const (
	icmpNetUnreachable icmpKind = iota
	icmpHostUnreachable
	icmpPortUnreachable
	icmpProhibited
	icmpTooBig // fragmentation needed, packet too big
	icmpTimeExceeded
)

func (k icmpKind) String() string {
	return [...]string{"net unreachable", "host unreachable", "port unreachable", "administratively prohibited",
		"fragmentation needed", "time exceeded"}[k]
}

// errno is what a socket's owner gets to see. Linux icmp_err_convert
func (k icmpKind) errno() syscall.Errno {
	switch k {
	case icmpNetUnreachable:
		return syscall.ENETUNREACH
	case icmpPortUnreachable:
		return syscall.ECONNREFUSED
	case icmpTooBig:
		return syscall.EMSGSIZE
	default:
		return syscall.EHOSTUNREACH
	}
}

// icmpError is an error message about a packet, of which it quotes the beginning.
type icmpError struct {
	kind  icmpKind
	mtu   int    // of icmpTooBig
	about packet // headers as they were where the error arose
}

func (e *icmpError) String() string {
	s := fmt.Sprintf("%v (%v %v > %v)", e.kind, e.about.proto, e.about.src, e.about.dst)
	if e.kind == icmpTooBig {
		s += fmt.Sprintf(", next hop's MTU %d", e.mtu)
	}
	return s
}

// quoteLen is how much of the packet is quoted: its IP header and eight bytes. RFC 792
func (e *icmpError) quoteLen() int {
	if e.about.is4() {
		return 28
	}
	return 48
}

// sendICMP reports an error about p to its sender. There are no errors about errors. RFC 1122 §3.2.2
func (nd *node) sendICMP(kind icmpKind, mtu int, about *packet) {
	if nd.silent || about.proto == protoICMP || about.src.Addr().IsUnspecified() {
		return
	}
	from, ok := nd.source(about.src.Addr())
	if !ok {
		return
	}
	p := nd.net.newPacket()
	p.proto = protoICMP
	p.src, p.dst = netip.AddrPortFrom(from, 0), netip.AddrPortFrom(about.src.Addr(), 0)
	p.icmp = &icmpError{kind: kind, mtu: mtu, about: *about}
	if nd.output(p) != 0 {
		nd.net.release(p)
	}
}

// icmpInput hands an error to the socket that it is about.
func (nd *node) icmpInput(e *icmpError) {
	switch e.about.proto {
	case protoTCP:
		if c := nd.conns[endpoints{e.about.src, e.about.dst}]; c != nil {
			c.icmpInput(e)
		}
	case protoUDP:
		if s := nd.udpSocket(e.about.src, e.about.dst); s != nil {
			s.icmpInput(e)
		}
	}
}
