package vnet

import (
	"encoding/binary"
	"net/netip"
)

// AppendTo appends the frame's bytes to b, as an Ethernet frame with correct lengths and checksums. Machines have made-up
// hardware addresses, so that a capture shows who handed a packet to whom.
func (f Frame) AppendTo(b []byte) []byte {
	b = append(b, f.toMAC[:]...)
	b = append(b, f.fromMAC[:]...)
	if f.packet.is4() {
		b = append(b, 0x08, 0x00)
	} else {
		b = append(b, 0x86, 0xDD)
	}
	return f.packet.appendTo(b)
}

// mac is an interface's made-up hardware address: locally administered. IEEE 802
func (i *iface) mac() [6]byte {
	if i == nil || i.seg == nil {
		return [6]byte{}
	}
	return [6]byte{0x02, 0, 0, 0, byte(i.index >> 8), byte(i.index)}
}

// appendTo appends the packet as it is on the wire. RFC 791, RFC 8200
func (p *packet) appendTo(b []byte) []byte {
	start := len(b)
	b = p.appendIPHeader(b, p.size())
	header := len(b)
	switch p.proto {
	case protoTCP:
		b = p.appendTCP(b)
		p.setChecksum(b[header:], 16)
	case protoUDP:
		b = p.appendUDP(b)
		p.setChecksum(b[header:], 6)
		if b[header+6] == 0 && b[header+7] == 0 { // RFC 768: 0 means none
			b[header+6], b[header+7] = 0xFF, 0xFF
		}
	default:
		b = p.icmp.appendTo(b, p.is4())
		p.setChecksum(b[header:], 2)
	}
	if p.is4() {
		binary.BigEndian.PutUint16(b[start+10:], ^fold(sum(0, b[start:header])))
	}
	return b
}

func (p *packet) wireProto() byte {
	if p.proto == protoICMP && !p.is4() {
		return 58
	}
	return byte(p.proto)
}

func (p *packet) appendIPHeader(b []byte, size int) []byte {
	src, dst := p.src.Addr(), p.dst.Addr()
	if !p.is4() {
		b = append(b, 0x60, 0, 0, 0)
		b = binary.BigEndian.AppendUint16(b, uint16(size-40))
		b = append(b, p.wireProto(), p.ttl)
		b = append(b, src.AsSlice()...)
		return append(b, dst.AsSlice()...)
	}
	b = append(b, 0x45, 0)
	b = binary.BigEndian.AppendUint16(b, uint16(size))
	b = binary.BigEndian.AppendUint16(b, p.id)
	if p.proto == protoTCP {
		b = append(b, 0x40, 0) // don't fragment: the path's MTU is to be found out. RFC 1191
	} else {
		b = append(b, 0, 0)
	}
	b = append(b, p.ttl, p.wireProto(), 0, 0)
	b = append(b, src.AsSlice()...)
	return append(b, dst.AsSlice()...)
}

// appendTCP appends the segment without its checksum. RFC 9293 §3.1; options: RFC 9293 §3.2, RFC 7323 §2.2, RFC 2018
func (p *packet) appendTCP(b []byte) []byte {
	b = binary.BigEndian.AppendUint16(b, p.src.Port())
	b = binary.BigEndian.AppendUint16(b, p.dst.Port())
	b = binary.BigEndian.AppendUint32(b, p.seq)
	b = binary.BigEndian.AppendUint32(b, p.ack)
	b = append(b, byte((20+p.optionsLen())/4)<<4, byte(p.flags))
	b = binary.BigEndian.AppendUint16(b, p.wnd)
	b = append(b, 0, 0, 0, 0)
	const nop = 1
	if p.mss != 0 {
		b = append(b, 2, 4, byte(p.mss>>8), byte(p.mss))
	}
	if p.sackOK {
		b = append(b, nop, nop, 4, 2)
	}
	if p.wscale >= 0 {
		b = append(b, nop, 3, 3, byte(p.wscale))
	}
	if p.sacks > 0 {
		b = append(b, nop, nop, 5, byte(2+8*p.sacks))
		for _, s := range p.sack[:p.sacks] {
			b = binary.BigEndian.AppendUint32(b, s.start)
			b = binary.BigEndian.AppendUint32(b, s.end)
		}
	}
	return append(b, p.payload...)
}

// appendUDP appends the datagram without its checksum. RFC 768
func (p *packet) appendUDP(b []byte) []byte {
	b = binary.BigEndian.AppendUint16(b, p.src.Port())
	b = binary.BigEndian.AppendUint16(b, p.dst.Port())
	b = binary.BigEndian.AppendUint16(b, uint16(8+len(p.payload)))
	b = append(b, 0, 0)
	return append(b, p.payload...)
}

// The types and codes of ICMP errors. RFC 792, RFC 1812 §5.2.7.1; RFC 4443 §3
var icmpTypes = [...]struct{ type4, code4, type6, code6 byte }{
	icmpNetUnreachable:  {3, 0, 1, 0},
	icmpHostUnreachable: {3, 1, 1, 3},
	icmpPortUnreachable: {3, 3, 1, 4},
	icmpProhibited:      {3, 13, 1, 1},
	icmpTooBig:          {3, 4, 2, 0},
	icmpTimeExceeded:    {11, 0, 3, 0},
}

// appendTo appends the message without its checksum.
func (e *icmpError) appendTo(b []byte, v4 bool) []byte {
	t := icmpTypes[e.kind]
	if v4 {
		b = append(b, t.type4, t.code4)
	} else {
		b = append(b, t.type6, t.code6)
	}
	b = append(b, 0, 0, 0, 0)
	b = binary.BigEndian.AppendUint16(b, uint16(e.mtu)) // the low half of the 32 bits that IPv6 has for it
	quoted := e.about.appendTo(nil)
	return append(b, quoted[:min(len(quoted), e.quoteLen())]...)
}

// setChecksum puts the checksum over the pseudo-header and b at b[at:]; ICMP for IPv4 has no pseudo-header. RFC 9293 §3.1,
// RFC 8200 §8.1
func (p *packet) setChecksum(b []byte, at int) {
	s := uint32(0)
	if p.proto != protoICMP || !p.is4() {
		for _, a := range [...]netip.Addr{p.src.Addr(), p.dst.Addr()} {
			s = sum(s, a.AsSlice())
		}
		s += uint32(p.wireProto()) + uint32(len(b))
	}
	binary.BigEndian.PutUint16(b[at:], ^fold(sum(s, b)))
}

// sum adds up 16-bit words. RFC 1071
func sum(s uint32, b []byte) uint32 {
	for len(b) >= 2 {
		s += uint32(b[0])<<8 | uint32(b[1])
		b = b[2:]
	}
	if len(b) > 0 {
		s += uint32(b[0]) << 8
	}
	return s
}

func fold(s uint32) uint16 {
	for s>>16 != 0 {
		s = s>>16 + s&0xFFFF
	}
	return uint16(s)
}
