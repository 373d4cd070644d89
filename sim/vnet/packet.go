package vnet

import (
	"fmt"
	"net/netip"
	"strings"
)

// proto is the IP protocol number; ICMP stands for both of its versions and becomes 58 on an IPv6 wire.
type proto uint8

const (
	protoICMP proto = 1
	protoTCP  proto = 6
	protoUDP  proto = 17
)

func (p proto) String() string {
	switch p {
	case protoTCP:
		return "tcp"
	case protoUDP:
		return "udp"
	default:
		return "icmp"
	}
}

// tcpFlags are the control bits of a TCP segment. RFC 9293 §3.1
type tcpFlags uint8

const (
	flagFIN tcpFlags = 1 << iota
	flagSYN
	flagRST
	flagPSH
	flagACK
)

// The names of the control bits, as rules and summaries write them.
var flagNames = [...]string{"FIN", "SYN", "RST", "PSH", "ACK"}

func (f tcpFlags) String() string {
	var b strings.Builder
	for i, name := range flagNames {
		if f&(1<<i) != 0 {
			if b.Len() > 0 {
				b.WriteByte(' ')
			}
			b.WriteString(name)
		}
	}
	return b.String()
}

// packet is one IP packet. It belongs to whoever holds it: handing it on hands over the right to change it. The payload is
// shared with the sender's buffer and is never changed.
type packet struct {
	proto    proto
	src, dst netip.AddrPort // ports are 0 for ICMP
	ttl      uint8
	id       uint16 // IPv4 identification
	serial   uint64 // names the packet as it travels over one segment, for the remarks in captures

	seq, ack uint32
	flags    tcpFlags
	wnd      uint16
	mss      uint16 // option; 0: none
	wscale   int8   // option; -1: none
	sackOK   bool   // option of a SYN
	sacks    int8   // how many of sack are set
	sack     [3]span

	payload []byte
	icmp    *icmpError // for ICMP
}

// span is a range of sequence numbers, the end excluded.
type span struct{ start, end uint32 }

// seqLen is how much sequence space the segment takes.
func (p *packet) seqLen() uint32 {
	n := uint32(len(p.payload))
	if p.flags&flagSYN != 0 {
		n++
	}
	if p.flags&flagFIN != 0 {
		n++
	}
	return n
}

func (p *packet) is4() bool { return p.src.Addr().Is4() }

// size is the length of the packet on the wire, in bytes.
func (p *packet) size() int {
	n := 40
	if p.is4() {
		n = 20
	}
	switch p.proto {
	case protoTCP:
		return n + 20 + p.optionsLen() + len(p.payload)
	case protoUDP:
		return n + 8 + len(p.payload)
	default:
		return n + 8 + p.icmp.quoteLen()
	}
}

func (p *packet) optionsLen() int {
	n := 0
	if p.mss != 0 {
		n += 4
	}
	if p.sackOK {
		n += 4 // with two NOPs, or the padding of what follows
	}
	if p.wscale >= 0 {
		n += 4
	}
	if p.sacks > 0 {
		n += 4 + 8*int(p.sacks)
	}
	return n
}

// summary is the packet on one line, for the trace.
func (p *packet) summary() string {
	switch p.proto {
	case protoTCP:
		if len(p.payload) == 0 {
			switch p.flags { // the common ones, without building a string
			case flagACK:
				return "ACK"
			case flagSYN:
				return "SYN"
			case flagSYN | flagACK:
				return "SYN ACK"
			case flagFIN | flagACK:
				return "FIN ACK"
			}
			return p.flags.String()
		}
		return fmt.Sprintf("%v %d bytes", p.flags, len(p.payload))
	case protoUDP:
		return fmt.Sprintf("UDP %d bytes", len(p.payload))
	default:
		return "ICMP " + p.icmp.String()
	}
}

// newPacket takes a packet from the free list.
func (n *Net) newPacket() *packet {
	if k := len(n.free); k > 0 {
		p := n.free[k-1]
		n.free = n.free[:k-1]
		*p = packet{ttl: 64, wscale: -1}
		return p
	}
	return &packet{ttl: 64, wscale: -1}
}

// release ends a packet's life. Whatever it carried may still be held by others.
func (n *Net) release(p *packet) {
	if len(n.free) < 4096 {
		p.payload, p.icmp = nil, nil
		n.free = append(n.free, p)
	}
}

func (n *Net) clone(p *packet) *packet {
	q := n.newPacket()
	*q = *p
	return q
}
