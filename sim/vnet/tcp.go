package vnet

import (
	"net/netip"
	"sync"
	"syscall"
	"time"
)

// The figures of TCP, which are Linux's where the RFCs leave a choice.
const (
	initialRTO  = time.Second            // RFC 6298 §2.1
	minRTO      = 200 * time.Millisecond // RFC 6298 §2.4 says 1 s; Linux and everyone else go lower
	maxRTO      = 120 * time.Second
	synRetries  = 6  // gives up after 127 s
	ackRetries  = 5  // of a SYN ACK
	dataRetries = 15 // gives up after about 15 minutes
	lateRetries = 8  // of what a closed socket still has to say

	timeWait      = 60 * time.Second // 2 MSL
	finWait       = 60 * time.Second // in FIN_WAIT_2 once nobody can read any more
	keepAliveTime = 15 * time.Second // as package net sets it, for idle time and interval
	keepAliveMax  = 9                // probes without an answer

	sendBuffer    = 256 << 10
	receiveBuffer = 256 << 10
	windowScale   = 3
	initialWindow = 10 // segments. RFC 6928
)

// state is a connection's state, by RFC 9293 §3.3.2.
type state uint8

const (
	stateClosed state = iota
	stateListen
	stateSynSent
	stateSynReceived
	stateEstablished
	stateFinWait1
	stateFinWait2
	stateCloseWait
	stateClosing
	stateLastAck
	stateTimeWait
)

// String is the state as netstat writes it on Windows.
func (s state) String() string {
	return [...]string{"CLOSED", "LISTENING", "SYN_SENT", "SYN_RECEIVED", "ESTABLISHED", "FIN_WAIT_1", "FIN_WAIT_2", "CLOSE_WAIT",
		"CLOSING", "LAST_ACK", "TIME_WAIT"}[s]
}

// tcb is one TCP connection: what RFC 9293 calls a transmission control block, and its socket. The network's lock guards it.
type tcb struct {
	net           *Net
	node          *node
	owner         string
	local, remote netip.AddrPort
	state         state
	listener      *Listener // that it came in through, until it is accepted
	err           error     // the one that ended the connection, until somebody was told
	soft          error     // what ICMP said meanwhile; told if the connection is given up

	// Sending. Sequence numbers from una to nxt are under way; buf begins with the first byte that is not acknowledged.
	iss, una, nxt uint32
	sent          uint32 // highest that was ever sent; nxt falls back behind it after a time-out
	buf           sendQueue
	fin           bool // nothing will be added to buf: FIN follows it
	finSent       bool
	wnd           uint32
	wl1, wl2      uint32
	scale         uint8 // of the windows that the peer announces
	mss           int
	limit         int // of what a segment carries, set by the program; 0: none
	congestion
	rtt
	retries   int
	rtoTimer  timer // retransmission, or probing a window of zero
	probing   bool  // the latter
	closeWait timer // TIME_WAIT, or FIN_WAIT_2 without a reader

	// Receiving.
	irs, rcvNxt uint32
	announced   uint32 // right edge of the window that the peer knows
	ourScale    uint8
	queue       [][]byte // in order, not yet read
	queued      int
	early       []early // out of order, sorted
	finSeen     bool    // the peer will send nothing more
	lastHeard   time.Duration
	ackDue      bool
	ackTimer    timer

	// The program's side.
	closed    bool // by the program
	readShut  bool
	linger    int // -1: default
	keepAlive keepAlive
	cond      sync.Cond // anything changed
	read      deadline
	write     deadline
}

// early is data that came before what precedes it.
type early struct {
	seq  uint32
	data []byte
	fin  bool
}

// keepAlive is the probing of an idle connection.
type keepAlive struct {
	idle, interval time.Duration // idle 0: off
	count          int
	unanswered     int
	timer          timer
}

// deadline is a read or write deadline.
type deadline struct {
	expired bool
	timer   timer
}

func (d *deadline) init(c *tcb) {
	d.timer.init(&c.net.loop, func() { d.expired = true; c.cond.Broadcast() })
}

// Comparison of sequence numbers, modulo 2^32. RFC 9293 §3.4
func before(a, b uint32) bool { return int32(a-b) < 0 }
func upTo(a, b uint32) bool   { return int32(a-b) <= 0 }

func (nd *node) newTCB(owner string, local, remote netip.AddrPort) *tcb {
	n := nd.net
	c := &tcb{net: n, node: nd, owner: owner, local: local, remote: remote, linger: -1}
	c.cond.L = &n.mu
	c.iss = n.rng.Uint32()
	c.una, c.nxt, c.sent = c.iss, c.iss, c.iss
	c.mss = 536 // RFC 9293 §3.7.1
	c.rto = initialRTO
	c.ourScale = windowScale
	c.rtoTimer.init(&n.loop, c.timeout)
	c.closeWait.init(&n.loop, c.drop)
	c.keepAlive.timer.init(&n.loop, c.probeIdle)
	c.ackTimer.init(&n.loop, c.sendDueAck)
	c.read.init(c)
	c.write.init(c)
	c.setKeepAlive(nd.keepAlive, nd.keepAlive, keepAliveMax)
	nd.conns[endpoints{local, remote}] = c
	return c
}

// ourMSS is what we tell the peer to send at most, from the MTU of the interface.
func (c *tcb) ourMSS() int {
	mtu := 1500
	if c.node.owns(c.remote.Addr()) {
		mtu = c.node.lo.mtu()
	} else if out, _, ok := c.node.route(c.remote.Addr()); ok {
		mtu = out.mtu()
	}
	mss := mssFor(mtu, c.local.Addr().Is4())
	if c.limit > 0 {
		mss = min(mss, c.limit)
	}
	return mss
}

// mssFor is the largest segment, without headers, that fits into packets of a size. RFC 6691
func mssFor(mtu int, is4 bool) int {
	if is4 {
		return mtu - 40
	}
	return mtu - 60
}

// drop removes the connection without a word.
func (c *tcb) drop() {
	if c.node.conns[endpoints{c.local, c.remote}] == c {
		delete(c.node.conns, endpoints{c.local, c.remote})
	}
	c.state = stateClosed
	for _, t := range []*timer{&c.rtoTimer, &c.closeWait, &c.ackTimer, &c.keepAlive.timer} {
		t.stop()
	}
	if l := c.listener; l != nil {
		l.lose(c)
	}
	c.buf.reset()
	c.early = nil
	c.cond.Broadcast()
}

// fail ends the connection with an error for the program.
func (c *tcb) fail(err error) {
	c.err = err
	c.drop()
}

// reset ends the connection with a reset for the peer.
func (c *tcb) reset() {
	if c.state != stateSynSent && c.state != stateClosed && c.state != stateTimeWait {
		p := c.segment(flagRST | flagACK)
		p.seq = c.sent
		c.transmit(p)
	}
	c.drop()
}

// giveUp ends the connection because the peer has been silent for too long.
func (c *tcb) giveUp() {
	if c.soft != nil {
		c.fail(c.soft)
	} else {
		c.fail(syscall.ETIMEDOUT)
	}
}

// tcpInput finds the connection or listener that a segment is for.
func (nd *node) tcpInput(p *packet) {
	if c := nd.conns[endpoints{p.dst, p.src}]; c != nil {
		if c.state == stateTimeWait && p.flags&(flagSYN|flagACK|flagRST) == flagSYN && before(c.rcvNxt, p.seq) {
			c.drop() // RFC 9293 §3.6.1: a new connection may begin beyond the old one's sequence numbers
		} else {
			c.input(p)
			return
		}
	}
	if l := nd.listening(p.dst); l != nil && p.flags&(flagRST|flagACK|flagSYN) == flagSYN {
		l.input(p)
		return
	}
	if p.flags&flagRST == 0 {
		nd.sendReset(p)
	}
}

// sendReset answers a segment that belongs to no connection. RFC 9293 §3.10.7.1
func (nd *node) sendReset(about *packet) {
	p := nd.net.newPacket()
	p.proto, p.src, p.dst = protoTCP, about.dst, about.src
	if about.flags&flagACK != 0 {
		p.flags, p.seq = flagRST, about.ack
	} else {
		p.flags, p.ack = flagRST|flagACK, about.seq+about.seqLen()
	}
	if nd.output(p) != 0 {
		nd.net.release(p)
	}
}

// icmpInput takes an error about one of the connection's segments.
func (c *tcb) icmpInput(e *icmpError) {
	if before(e.about.seq, c.una) || before(c.sent, e.about.seq) {
		return // RFC 5927 §4.1: not about anything under way
	}
	switch {
	case e.kind == icmpTooBig:
		c.shrink(e.mtu)
	case e.kind == icmpTimeExceeded && c.state > stateSynReceived:
	case c.state == stateSynSent || c.state == stateSynReceived:
		c.fail(e.kind.errno())
	default:
		c.soft = e.kind.errno() // RFC 1122 §4.2.3.9: a hint, not a verdict
	}
}
