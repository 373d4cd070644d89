package vnet

import "time"

// segment makes a segment with the connection's numbers in it.
func (c *tcb) segment(flags tcpFlags) *packet {
	p := c.net.newPacket()
	p.proto, p.src, p.dst = protoTCP, c.local, c.remote
	p.flags, p.seq = flags, c.nxt
	if flags&flagACK != 0 {
		p.ack = c.rcvNxt
		p.wnd = c.window()
		c.addSacks(p)
	}
	return p
}

// window is what we announce: it never shrinks, and opens only in steps worth sending. RFC 9293 §3.8.6.2.2
func (c *tcb) window() uint16 {
	room := uint32(max(receiveBuffer-c.queued, 0))
	edge := c.rcvNxt + room
	if int(int32(edge-c.announced)) < min(c.mss, receiveBuffer/2) {
		edge = c.announced
	}
	wnd := min((edge-c.rcvNxt)>>c.ourScale, 65535)
	if seen := c.rcvNxt + wnd<<c.ourScale; before(c.announced, seen) {
		c.announced = seen
	}
	return uint16(wnd)
}

func (c *tcb) transmit(p *packet) {
	if c.node.output(p) != 0 {
		c.net.release(p) // a way that is gone looks like loss; the retransmission timer decides
	}
}

// sendSyn sends our SYN, with an ACK if the peer's has come.
func (c *tcb) sendSyn() {
	flags := flagSYN
	if c.state == stateSynReceived {
		flags |= flagACK
	}
	c.nxt = c.iss
	p := c.segment(flags)
	p.sacks = 0
	if flags&flagACK == 0 || c.ourScale != 0 {
		p.wscale = windowScale
	}
	p.sackOK = flags&flagACK == 0 || c.sackOK
	p.mss = uint16(min(c.ourMSS(), 65535))
	p.wnd = uint16(min(receiveBuffer, 65535)) // never scaled in a SYN. RFC 7323 §2.2
	if edge := c.rcvNxt + uint32(p.wnd); before(c.announced, edge) {
		c.announced = edge
	}
	c.nxt = c.iss + 1
	if c.sent == c.iss {
		c.sent = c.nxt
		c.rttAt, c.rttSeq, c.timing = c.net.now, c.iss, true
	} else {
		c.timing = false
	}
	c.rtoTimer.set(c.rto)
	c.transmit(p)
}

func (c *tcb) sendAck() {
	c.ackDue = false
	p := c.segment(flagACK)
	p.seq = c.sent
	c.transmit(p)
}

// ackSoon acknowledges once, after everything that arrives at this instant.
func (c *tcb) ackSoon() {
	if !c.ackDue {
		c.ackDue = true
		c.ackTimer.set(0)
	}
}

func (c *tcb) sendDueAck() {
	if c.ackDue && c.state != stateClosed {
		c.sendAck()
	}
}

// output sends what the windows allow.
func (c *tcb) output() {
	if c.state <= stateSynReceived || c.state == stateTimeWait || c.finSent && c.una == c.sent {
		return
	}
	base := c.base()
	for {
		offset := int(c.nxt - base) // in the buffer
		if offset > c.buf.size {
			return // FIN is under way
		}
		flight := c.flight()
		room := min(int(c.wnd)-int(c.nxt-c.una), c.cwnd-flight)
		n := max(min(c.buf.size-offset, c.most(), room), 0)
		fin := c.fin && offset+n == c.buf.size
		if n == 0 && !fin {
			break
		}
		// Do not send a part of what could go as a whole when the window opens. RFC 9293 §3.8.6.2.1
		if n < c.most() && n < c.buf.size-offset && c.nxt != c.una {
			break
		}
		c.sendData(c.nxt, offset, n, fin)
		if fin {
			return
		}
	}
	if c.una == c.sent && c.buf.size > 0 && c.wnd == 0 && !c.probing {
		c.probing = true // RFC 9293 §3.8.6.1
		c.retries = 0
		c.rtoTimer.set(c.rto)
	}
}

// most is how many bytes a segment carries at most. Options take their room from the MSS, which is without them. RFC 6691 §2
func (c *tcb) most() int {
	if !c.sackOK || len(c.early) == 0 {
		return c.mss
	}
	return c.mss - 4 - 8*len(packet{}.sack)
}

// base is the sequence number of the first byte in the buffer.
func (c *tcb) base() uint32 {
	if c.una == c.iss {
		return c.iss + 1
	}
	return c.una
}

// sendData sends n bytes of the buffer from offset on, which has sequence number seq.
func (c *tcb) sendData(seq uint32, offset, n int, fin bool) {
	p := c.segment(flagACK)
	p.seq = seq
	if n > 0 {
		p.payload = c.buf.slice(offset, n)
		if offset+n == c.buf.size {
			p.flags |= flagPSH
		}
	}
	if fin {
		p.flags |= flagFIN
		c.finSent = true
	}
	c.ackDue = false
	end := seq + p.seqLen()
	if before(c.sent, end) {
		c.sent = end
		if !c.timing {
			c.timing, c.rttSeq, c.rttAt = true, seq, c.net.now
		}
	} else if c.timing && upTo(seq, c.rttSeq) {
		c.timing = false // Karn: never measure a retransmission. RFC 6298 §3
	}
	if before(c.nxt, end) {
		c.nxt = end
	}
	if !c.rtoTimer.active() || c.probing {
		c.probing = false
		c.rtoTimer.set(c.rto)
	}
	c.transmit(p)
}

// timeout is the retransmission timer. RFC 6298 §5
func (c *tcb) timeout() {
	limit := dataRetries
	switch {
	case c.state == stateSynSent:
		limit = synRetries
	case c.state == stateSynReceived:
		limit = ackRetries
	case c.closed:
		limit = lateRetries
	}
	if c.retries >= limit {
		c.giveUp()
		return
	}
	c.retries++
	c.rto = min(2*c.rto, maxRTO)
	switch {
	case c.state <= stateSynReceived:
		c.sendSyn()
	case c.probing:
		p := c.segment(flagACK) // what the peer has already, so that it answers with its window
		p.seq = c.una - 1
		c.rtoTimer.set(c.rto)
		c.transmit(p)
	default:
		c.lostAll()
		c.nxt = c.una
		c.rtoTimer.set(c.rto)
		c.output()
	}
}

// Keep-alive. RFC 9293 §3.8.4

func (c *tcb) setKeepAlive(idle, interval time.Duration, count int) {
	k := &c.keepAlive
	k.idle, k.interval, k.count, k.unanswered = idle, interval, count, 0
	c.armKeepAlive()
}

func (c *tcb) armKeepAlive() {
	c.keepAlive.timer.stop()
	if c.keepAlive.idle > 0 && c.state >= stateEstablished && c.state < stateTimeWait {
		c.keepAlive.timer.set(c.keepAlive.idle)
	}
}

// probeIdle is the keep-alive timer.
func (c *tcb) probeIdle() {
	k := &c.keepAlive
	if quiet := c.net.now - c.lastHeard; k.unanswered == 0 && quiet < k.idle {
		k.timer.set(k.idle - quiet)
		return
	}
	if c.una != c.sent { // retransmission watches over the connection
		k.timer.set(k.idle)
		return
	}
	if k.unanswered >= k.count {
		c.giveUp()
		return
	}
	k.unanswered++
	p := c.segment(flagACK)
	p.seq = c.sent - 1
	k.timer.set(k.interval)
	c.transmit(p)
}

// shrink takes a smaller MTU of the path into account. RFC 1191 §6
func (c *tcb) shrink(mtu int) {
	if mss := mssFor(mtu, c.local.Addr().Is4()); mss >= 88 && mss < c.mss {
		c.mss = mss
		c.nxt = c.una
		c.clearSacks()
		c.output()
	}
}
