package vnet

import "time"

// congestion is what limits a sender besides the peer's window: Reno with selective acknowledgements. RFC 5681, RFC 6675
type congestion struct {
	cwnd, ssthresh int
	dupAcks        int
	recovering     bool
	recover        uint32 // where recovery ends
	sackOK         bool
	sacked         []span // beyond una, sorted, disjoint: what the peer has
	rexmit         uint32 // in recovery: what lies before it was sent again
	newestEarly    uint32 // receiver's side: the segment out of order that came last
}

// rtt measures round trips. RFC 6298
type rtt struct {
	srtt, rttvar, rto time.Duration
	timing            bool
	rttSeq            uint32
	rttAt             time.Duration
}

// measured takes what an acknowledgement says about the round trip, and forgets about earlier time-outs.
func (c *tcb) measured() {
	c.retries = 0
	if c.timing && before(c.rttSeq, c.una) {
		c.timing = false
		c.sample(c.net.now - c.rttAt)
	}
	if c.srtt > 0 {
		c.rto = min(max(c.srtt+max(4*c.rttvar, time.Millisecond), c.node.minRTO), maxRTO)
	}
}

func (c *rtt) sample(r time.Duration) {
	if c.srtt == 0 {
		c.srtt, c.rttvar = r, r/2
	} else {
		c.rttvar = (3*c.rttvar + (c.srtt - r).Abs()) / 4
		c.srtt = (7*c.srtt + r) / 8
	}
}

// flight is how many bytes are thought to be in the network. RFC 6675 §4, SetPipe
func (c *tcb) flight() int {
	n := int(c.nxt - c.una)
	for _, s := range c.sacked {
		n -= int(min(s.end-c.una, c.nxt-c.una) - min(s.start-c.una, c.nxt-c.una))
	}
	if c.recovering { // holes below the highest SACK are lost, unless sent again
		if k := len(c.sacked); k > 0 {
			from := c.una
			if before(from, c.rexmit) {
				from = c.rexmit
			}
			for _, s := range c.sacked {
				if before(from, s.start) {
					n -= int(s.start - from)
				}
				if before(from, s.end) {
					from = s.end
				}
			}
		}
	}
	return max(n, 0)
}

// progress is called with every new acknowledgement of n bytes.
func (c *tcb) progress(n int) {
	c.measured()
	c.dupAcks = 0
	for len(c.sacked) > 0 && upTo(c.sacked[0].end, c.una) {
		c.sacked = c.sacked[1:]
	}
	switch {
	case c.recovering && upTo(c.recover, c.una):
		c.recovering = false
		c.cwnd = max(c.ssthresh, 2*c.mss)
	case c.recovering:
		if before(c.rexmit, c.una) {
			c.rexmit = c.una
		}
		if c.sackOK {
			c.resend()
		} else { // RFC 6582 §3.2: a partial acknowledgement shows the next hole
			c.cwnd = max(c.cwnd-n+c.mss, c.mss)
			c.resendFirst()
		}
	case c.cwnd < c.ssthresh:
		c.cwnd += min(n, 2*c.mss)
	default:
		c.cwnd += max(c.mss*min(n, c.mss)/c.cwnd, 1)
	}
	c.cwnd = min(c.cwnd, 4*sendBuffer)
}

// duplicateAck is called when the peer acknowledges the same again: something is missing there.
func (c *tcb) duplicateAck() {
	c.dupAcks++
	switch {
	case c.recovering && c.sackOK:
		c.resend()
	case c.recovering:
		c.cwnd += c.mss
	case c.dupAcks >= 3 && upTo(c.recover, c.una):
		c.ssthresh = max(c.flight()/2, 2*c.mss)
		c.recovering, c.recover, c.rexmit = true, c.sent, c.una
		c.cwnd = c.ssthresh
		if !c.sackOK {
			c.cwnd += 3 * c.mss
		}
		c.resendFirst()
		if c.sackOK {
			c.resend()
		}
	}
}

// resendFirst sends the oldest segment again.
func (c *tcb) resendFirst() {
	n := min(c.buf.size, c.most())
	if len(c.sacked) > 0 {
		n = min(n, int(c.sacked[0].start-c.base()))
	}
	fin := c.finSent && n == c.buf.size
	if n == 0 && !fin {
		return
	}
	c.sendData(c.base(), 0, n, fin)
	if end := c.base() + uint32(n); before(c.rexmit, end) {
		c.rexmit = end
	}
	c.rtoTimer.set(c.rto)
}

// resend fills the holes below what the peer has, as far as the window allows. RFC 6675 §4, NextSeg
func (c *tcb) resend() {
	for c.flight() < c.cwnd {
		from := c.base()
		if before(from, c.rexmit) {
			from = c.rexmit
		}
		hole := false
		for _, s := range c.sacked {
			if before(from, s.start) {
				n := min(int(s.start-from), c.most())
				offset := int(from - c.base())
				if n = min(n, c.buf.size-offset); n <= 0 {
					return
				}
				c.sendData(from, offset, n, false)
				c.rexmit = from + uint32(n)
				hole = true
				break
			}
			if before(from, s.end) {
				from = s.end
			}
		}
		if !hole {
			return
		}
	}
}

// lostAll is what a time-out means: start again from the beginning, slowly.
func (c *tcb) lostAll() {
	c.ssthresh = max(c.flight()/2, 2*c.mss)
	c.cwnd = c.mss
	c.recovering = false
	c.recover = c.sent
	c.dupAcks = 0
	c.timing = false
	c.clearSacks() // RFC 2018 §8: the peer may have gone back on them
}

func (c *tcb) clearSacks() { c.sacked, c.rexmit = nil, c.una }

// takeSacks enters the peer's selective acknowledgements. RFC 2018
func (c *tcb) takeSacks(p *packet) {
	for _, s := range p.sack[:p.sacks] {
		if !before(s.start, s.end) || upTo(s.end, c.una) || before(c.sent, s.end) {
			continue
		}
		if before(s.start, c.una) {
			s.start = c.una
		}
		merged := c.sacked[:0:0]
		placed := false
		for _, o := range c.sacked {
			switch {
			case before(o.end, s.start):
				merged = append(merged, o)
			case before(s.end, o.start):
				if !placed {
					merged, placed = append(merged, s), true
				}
				merged = append(merged, o)
			default:
				if before(o.start, s.start) {
					s.start = o.start
				}
				if before(s.end, o.end) {
					s.end = o.end
				}
			}
		}
		if !placed {
			merged = append(merged, s)
		}
		c.sacked = merged
	}
}

// addSacks tells the peer what came out of order, the newest first.
func (c *tcb) addSacks(p *packet) {
	if !c.sackOK || len(c.early) == 0 {
		return
	}
	var spans []span
	for _, e := range c.early {
		end := e.seq + uint32(len(e.data))
		if k := len(spans); k > 0 && upTo(e.seq, spans[k-1].end) {
			if before(spans[k-1].end, end) {
				spans[k-1].end = end
			}
		} else if e.seq != end {
			spans = append(spans, span{e.seq, end})
		}
	}
	add := func(s span) {
		for _, have := range p.sack[:p.sacks] {
			if have == s {
				return
			}
		}
		if int(p.sacks) < len(p.sack) {
			p.sack[p.sacks] = s
			p.sacks++
		}
	}
	for _, s := range spans {
		if upTo(s.start, c.newestEarly) && before(c.newestEarly, s.end) {
			add(s)
		}
	}
	for i := len(spans) - 1; i >= 0; i-- {
		add(spans[i])
	}
}
