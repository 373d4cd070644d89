package vnet

import (
	"slices"
	"syscall"
)

// input takes a segment for this connection. RFC 9293 §3.10.7
func (c *tcb) input(p *packet) {
	c.lastHeard = c.net.now
	c.keepAlive.unanswered = 0
	switch {
	case c.state == stateSynSent:
		c.inputSynSent(p)
	case !c.acceptable(p):
		c.inputUnacceptable(p)
	case p.flags&flagRST != 0:
		c.inputReset(p)
	case p.flags&flagSYN != 0:
		c.sendAck() // RFC 5961 §4: whoever means it answers with a reset
	case p.flags&flagACK != 0 && c.inputAck(p):
		c.inputData(p)
	}
}

// inputSynSent takes an answer to our SYN. RFC 9293 §3.10.7.3
func (c *tcb) inputSynSent(p *packet) {
	acked := p.flags&flagACK != 0
	if acked && p.ack != c.nxt {
		if p.flags&flagRST == 0 {
			c.node.sendReset(p)
		}
		return
	}
	switch {
	case p.flags&flagRST != 0:
		if acked {
			c.fail(syscall.ECONNREFUSED)
		}
	case p.flags&flagSYN == 0:
	case acked:
		c.takeOptions(p)
		c.una = p.ack
		c.wnd, c.wl1, c.wl2 = uint32(p.wnd), p.seq, p.ack
		c.measured()
		c.establish()
		c.sendAck()
	default: // simultaneous open. RFC 9293 §3.5
		c.takeOptions(p)
		c.wnd, c.wl1, c.wl2 = uint32(p.wnd), p.seq, c.iss
		c.state = stateSynReceived
		c.retries = 0
		c.sendSyn()
	}
}

// takeOptions learns from the peer's SYN.
func (c *tcb) takeOptions(p *packet) {
	c.irs, c.rcvNxt = p.seq, p.seq+1
	c.announced = c.rcvNxt
	c.mss = min(536, c.ourMSS())
	if p.mss != 0 {
		c.mss = min(int(p.mss), c.ourMSS())
	}
	if p.wscale >= 0 {
		c.scale = min(uint8(p.wscale), 14) // RFC 7323 §2.3
	} else {
		c.scale, c.ourScale = 0, 0
	}
	c.sackOK = p.sackOK
	c.cwnd, c.ssthresh = initialWindow*c.mss, 1<<30
}

// establish opens the connection for the program.
func (c *tcb) establish() {
	c.state = stateEstablished
	c.rtoTimer.stop()
	c.armKeepAlive()
	c.cond.Broadcast()
}

// acceptable says whether a segment lies within the window. RFC 9293 §3.10.7.4
func (c *tcb) acceptable(p *packet) bool {
	length := p.seqLen()
	if before(c.announced, c.rcvNxt) {
		c.announced = c.rcvNxt
	}
	if c.announced == c.rcvNxt {
		return p.seq == c.rcvNxt && (length == 0 || p.flags&flagFIN != 0 && length == 1)
	}
	if length == 0 {
		return upTo(c.rcvNxt, p.seq) && before(p.seq, c.announced)
	}
	return before(p.seq, c.announced) && before(c.rcvNxt, p.seq+length)
}

// inputUnacceptable answers what lies outside the window: probes, and what has been received before.
func (c *tcb) inputUnacceptable(p *packet) {
	if p.flags&flagRST != 0 {
		return
	}
	if c.state == stateSynReceived && p.flags&flagSYN != 0 && p.seq == c.irs {
		if p.flags&flagACK == 0 {
			c.sendSyn() // our answer got lost
			return
		}
		// Simultaneous open: the peer's SYN ACK repeats the sequence number that its SYN had.
		c.inputAck(p)
	}
	if c.state == stateTimeWait && p.flags&flagFIN != 0 {
		c.closeWait.set(timeWait) // the acknowledgement of the peer's FIN got lost
	}
	if p.flags&flagACK != 0 && upTo(p.ack, c.sent) && before(c.una, p.ack) && c.state > stateSynReceived {
		c.inputAck(p) // the acknowledgement is good even where a full window keeps the data out
	}
	if c.state != stateClosed {
		c.sendAck()
	}
}

func (c *tcb) inputReset(p *packet) {
	if p.seq != c.rcvNxt {
		c.sendAck() // RFC 5961 §3: a blind reset is no reset
		return
	}
	switch c.state {
	case stateSynReceived:
		if c.listener != nil {
			c.drop()
		} else {
			c.fail(syscall.ECONNREFUSED)
		}
	case stateCloseWait:
		c.fail(syscall.EPIPE)
	case stateTimeWait, stateClosing, stateLastAck:
		c.drop()
	default:
		c.fail(syscall.ECONNRESET)
	}
}

// inputAck takes the acknowledgement and the window of a segment, and says whether to go on with its data.
func (c *tcb) inputAck(p *packet) bool {
	if c.state == stateSynReceived {
		if !before(c.una, p.ack) || before(c.sent, p.ack) {
			c.node.sendReset(p)
			return false
		}
		c.wnd, c.wl1, c.wl2 = uint32(p.wnd)<<c.scale, p.seq, p.ack
		c.una = c.iss + 1
		c.measured()
		c.establish()
		if c.listener != nil {
			c.listener.complete(c)
		}
	}
	if before(c.sent, p.ack) {
		c.sendAck()
		return false
	}
	c.soft = nil
	wnd := uint32(p.wnd)
	if p.flags&flagSYN == 0 {
		wnd <<= c.scale
	}
	duplicate := p.ack == c.una && c.una != c.sent && len(p.payload) == 0 && wnd == c.wnd && p.flags&flagFIN == 0
	c.takeSacks(p)
	if before(c.wl1, p.seq) || c.wl1 == p.seq && upTo(c.wl2, p.ack) {
		if c.wnd == 0 && wnd > 0 && c.probing {
			c.probing, c.retries = false, 0
			c.rtoTimer.stop()
		}
		c.wnd, c.wl1, c.wl2 = wnd, p.seq, p.ack
	}
	if c.probing {
		c.retries = 0 // the peer is alive, however long its window stays closed. RFC 9293 §3.8.6.1
	}
	switch {
	case before(c.una, p.ack):
		c.acknowledged(p.ack)
	case duplicate:
		c.duplicateAck()
	}
	if c.state == stateClosed {
		return false
	}
	c.output()
	return c.state != stateClosed
}

// acknowledged moves on to ack, which is new.
func (c *tcb) acknowledged(ack uint32) {
	data := min(int(ack-c.una), c.buf.size)
	c.buf.discard(data)
	c.una = ack
	if before(c.nxt, ack) {
		c.nxt = ack
	}
	c.progress(data)
	if data > 0 && c.buf.size <= sendBuffer*2/3 {
		c.cond.Broadcast()
	}
	if c.una == c.sent {
		c.rtoTimer.stop()
	} else {
		c.rtoTimer.set(c.rto)
	}
	if !c.finSent || c.una != c.sent {
		return
	}
	switch c.state { // our FIN is acknowledged
	case stateFinWait1:
		c.state = stateFinWait2
		if c.closed {
			c.closeWait.set(finWait)
		}
		c.cond.Broadcast()
	case stateClosing:
		c.enterTimeWait()
	case stateLastAck:
		c.drop()
	}
}

// inputData takes what the segment carries.
func (c *tcb) inputData(p *packet) {
	fin := p.flags&flagFIN != 0
	if len(p.payload) == 0 && !fin {
		return
	}
	switch c.state {
	case stateEstablished, stateFinWait1, stateFinWait2:
	case stateTimeWait:
		c.closeWait.set(timeWait)
		c.sendAck()
		return
	default:
		c.sendAck()
		return
	}
	if c.closed && len(p.payload) > 0 && before(c.rcvNxt, p.seq+uint32(len(p.payload))) {
		c.reset() // nobody is left to read it. RFC 2525 §2.17
		return
	}
	if p.seq != c.rcvNxt && before(c.rcvNxt, p.seq) {
		c.keepEarly(early{p.seq, p.payload, fin})
		c.sendAck()
		return
	}
	c.take(p.seq, p.payload, fin)
	gap := len(c.early) > 0
	for len(c.early) > 0 && upTo(c.early[0].seq, c.rcvNxt) {
		e := c.early[0]
		c.early = slices.Delete(c.early, 0, 1)
		c.take(e.seq, e.data, e.fin)
	}
	c.cond.Broadcast()
	if gap || fin {
		c.sendAck() // RFC 5681 §4.2: at once when a gap is filled
	} else {
		c.ackSoon()
	}
}

// take appends data to what the program reads, without what it has already; seq is not beyond rcvNxt.
func (c *tcb) take(seq uint32, data []byte, fin bool) {
	if c.finSeen {
		return
	}
	end := seq + uint32(len(data))
	if before(c.rcvNxt, end) {
		data = data[c.rcvNxt-seq:]
		if room := int(int32(c.announced - c.rcvNxt)); len(data) > room {
			data, fin = data[:max(room, 0)], false
		}
		c.rcvNxt += uint32(len(data))
		if !c.readShut {
			c.queue = append(c.queue, data)
			c.queued += len(data)
		}
	}
	if fin && c.rcvNxt == end {
		c.rcvNxt++
		c.finReceived()
	}
}

// keepEarly stores what came before its time.
func (c *tcb) keepEarly(e early) {
	i, found := slices.BinarySearchFunc(c.early, e.seq, func(e early, seq uint32) int { return int(int32(e.seq - seq)) })
	if found {
		if len(e.data) > len(c.early[i].data) || e.fin {
			c.early[i] = e
		}
		return
	}
	if len(c.early) < 1024 {
		c.early = slices.Insert(c.early, i, e)
	}
	c.newestEarly = e.seq
}

func (c *tcb) finReceived() {
	c.finSeen = true
	switch c.state {
	case stateEstablished:
		c.state = stateCloseWait
	case stateFinWait1:
		c.state = stateClosing
	case stateFinWait2:
		c.enterTimeWait()
	}
}

func (c *tcb) enterTimeWait() {
	c.state = stateTimeWait
	c.rtoTimer.stop()
	c.keepAlive.timer.stop()
	c.closeWait.set(timeWait)
	c.cond.Broadcast()
}
