package vnet

import (
	"io"
	"net"
	"os"
	"syscall"
	"time"
)

// TCPConn is a TCP connection of a host. It has the methods of *net.TCPConn that make sense here, with the same meaning and
// the same errors, and is safe for concurrent use.
type TCPConn struct{ c *tcb }

var (
	_ net.Conn                        = (*TCPConn)(nil)
	_ interface{ CloseWrite() error } = (*TCPConn)(nil)
)

func tcpAddr(c *tcb, local bool) *net.TCPAddr {
	if local {
		return net.TCPAddrFromAddrPort(c.local)
	}
	return net.TCPAddrFromAddrPort(c.remote)
}

// LocalAddr returns a *net.TCPAddr.
func (t *TCPConn) LocalAddr() net.Addr { return tcpAddr(t.c, true) }

// RemoteAddr returns a *net.TCPAddr.
func (t *TCPConn) RemoteAddr() net.Addr { return tcpAddr(t.c, false) }

func (t *TCPConn) error(op string, err error) error {
	return opError(op, "tcp", t.LocalAddr(), t.RemoteAddr(), err)
}

// Read reads what has arrived. It returns io.EOF when the peer has closed its side.
func (t *TCPConn) Read(p []byte) (int, error) {
	n, err := t.c.readInto(p)
	if err != nil && err != io.EOF {
		err = t.error("read", err)
	}
	return n, err
}

func (c *tcb) readInto(p []byte) (int, error) {
	c.net.lock()
	defer c.net.unlock()
	for {
		switch {
		case c.closed || c.net.closed:
			return 0, net.ErrClosed
		case c.read.expired:
			return 0, os.ErrDeadlineExceeded
		case len(p) == 0:
			return 0, nil
		case c.queued > 0:
			return c.consume(p), nil
		case c.finSeen || c.readShut:
			return 0, io.EOF // as Linux has it, this goes before a reset that came later
		case c.err != nil:
			return 0, c.takeError()
		case c.state == stateClosed:
			return 0, io.EOF
		}
		c.net.wait(&c.cond)
	}
}

// takeError tells the program once what ended the connection; after that there is just nothing more, as Linux has it.
func (c *tcb) takeError() error {
	err := c.err
	c.err = nil
	return err
}

// consume moves received bytes to p and tells the peer when there is room again.
func (c *tcb) consume(p []byte) int {
	n := 0
	for n < len(p) && len(c.queue) > 0 {
		k := copy(p[n:], c.queue[0])
		n += k
		if k < len(c.queue[0]) {
			c.queue[0] = c.queue[0][k:]
			break
		}
		c.queue[0] = nil
		c.queue = c.queue[1:]
	}
	c.queued -= n
	if c.queued == 0 {
		c.queue = nil
	}
	if c.state >= stateEstablished && c.state <= stateFinWait2 {
		opens := int(int32(c.rcvNxt + uint32(max(receiveBuffer-c.queued, 0)) - c.announced))
		if opens >= receiveBuffer/2 || c.announced == c.rcvNxt && opens >= c.mss {
			c.sendAck()
		}
	}
	return n
}

// Write hands bytes to the connection. It returns when they are in the send buffer, and blocks while that is full.
func (t *TCPConn) Write(p []byte) (int, error) {
	n, err := t.c.writeFrom(p)
	if err != nil {
		err = t.error("write", err)
	}
	return n, err
}

func (c *tcb) writeFrom(p []byte) (int, error) {
	c.net.lock()
	defer c.net.unlock()
	n := 0
	for {
		switch {
		case c.closed || c.net.closed:
			return n, net.ErrClosed
		case c.write.expired:
			return n, os.ErrDeadlineExceeded
		case c.err != nil:
			return n, c.takeError()
		case c.fin || c.state != stateEstablished && c.state != stateCloseWait:
			return n, syscall.EPIPE
		}
		if room := sendBuffer - c.buf.size; room > 0 {
			k := min(room, len(p)-n)
			c.buf.write(p[n : n+k])
			n += k
			c.output()
		}
		if n == len(p) {
			return n, nil
		}
		c.net.wait(&c.cond)
	}
}

// Close closes both directions. What was written is still delivered in the background; if something was received and not
// read, the peer gets a reset instead.
func (t *TCPConn) Close() error {
	c := t.c
	c.net.lock()
	defer c.net.unlock()
	if c.closed {
		return t.error("close", net.ErrClosed)
	}
	c.shut()
	return nil
}

// shut is the program's close.
func (c *tcb) shut() {
	c.closed = true
	c.read.timer.stop()
	c.write.timer.stop()
	c.cond.Broadcast()
	switch {
	case c.state == stateClosed || c.net.closed:
	case c.queued > 0 || c.linger == 0: // RFC 2525 §2.17
		c.reset()
	case c.state == stateFinWait2:
		c.closeWait.set(finWait)
	default:
		c.finish()
	}
	c.queue, c.queued = nil, 0
}

// finish sends FIN after what is in the buffer.
func (c *tcb) finish() {
	switch c.state {
	case stateEstablished:
		c.state = stateFinWait1
	case stateCloseWait:
		c.state = stateLastAck
	case stateSynSent, stateSynReceived:
		c.drop()
		return
	default:
		return
	}
	c.fin = true
	c.output()
}

// CloseWrite sends FIN after what was written; reading goes on.
func (t *TCPConn) CloseWrite() error {
	c := t.c
	c.net.lock()
	defer c.net.unlock()
	switch {
	case c.closed || c.net.closed:
		return t.error("close", net.ErrClosed)
	case c.state == stateClosed:
		return t.error("close", os.NewSyscallError("shutdown", syscall.ENOTCONN))
	}
	c.finish()
	c.cond.Broadcast()
	return nil
}

// CloseRead makes reads return io.EOF from now on; what arrives is discarded.
func (t *TCPConn) CloseRead() error {
	c := t.c
	c.net.lock()
	defer c.net.unlock()
	switch {
	case c.closed || c.net.closed:
		return t.error("close", net.ErrClosed)
	case c.state == stateClosed:
		return t.error("close", os.NewSyscallError("shutdown", syscall.ENOTCONN))
	}
	c.readShut = true
	c.cond.Broadcast()
	return nil
}

// SetDeadline sets both deadlines; the zero time means none.
func (t *TCPConn) SetDeadline(at time.Time) error { return t.setDeadlines(at, &t.c.read, &t.c.write) }

// SetReadDeadline sets when reads fail with os.ErrDeadlineExceeded.
func (t *TCPConn) SetReadDeadline(at time.Time) error { return t.setDeadlines(at, &t.c.read) }

// SetWriteDeadline sets when writes fail with os.ErrDeadlineExceeded.
func (t *TCPConn) SetWriteDeadline(at time.Time) error { return t.setDeadlines(at, &t.c.write) }

func (t *TCPConn) setDeadlines(at time.Time, which ...*deadline) error {
	c := t.c
	c.net.lock()
	defer c.net.unlock()
	if c.closed || c.net.closed {
		return t.error("set", net.ErrClosed)
	}
	for _, d := range which {
		d.set(c.net, at)
	}
	c.cond.Broadcast()
	return nil
}

func (d *deadline) set(n *Net, at time.Time) {
	d.expired = false
	d.timer.stop()
	if at.IsZero() {
		return
	}
	if left := at.Sub(n.start) - n.now; left <= 0 {
		d.expired = true
	} else {
		d.timer.set(left)
	}
}

// SetLinger says what Close does with what is not yet delivered: a negative value delivers it in the background, 0 throws it
// away and sends a reset. A positive value is treated as a negative one: Close never blocks.
func (t *TCPConn) SetLinger(sec int) error {
	return t.option(func(c *tcb) { c.linger = min(sec, 1) })
}

// SetNoDelay does nothing: segments are never held back to be joined.
func (t *TCPConn) SetNoDelay(bool) error { return t.option(func(*tcb) {}) }

// SetKeepAlive turns keep-alive probes on, with the default times, or off.
func (t *TCPConn) SetKeepAlive(on bool) error {
	return t.SetKeepAliveConfig(net.KeepAliveConfig{Enable: on})
}

// SetKeepAlivePeriod sets the idle time after which probing begins, and the time between probes.
func (t *TCPConn) SetKeepAlivePeriod(d time.Duration) error {
	return t.SetKeepAliveConfig(net.KeepAliveConfig{Enable: true, Idle: d, Interval: d, Count: -1})
}

// SetKeepAliveConfig sets up keep-alive probes as *net.TCPConn does: zero values mean 15 s, 15 s and 9 probes, negative ones
// leave a value as it is.
func (t *TCPConn) SetKeepAliveConfig(k net.KeepAliveConfig) error {
	return t.option(func(c *tcb) {
		if !k.Enable {
			c.setKeepAlive(0, c.keepAlive.interval, c.keepAlive.count)
			return
		}
		pick := func(wanted, fallback, current time.Duration) time.Duration {
			switch {
			case wanted == 0 || wanted < 0 && current == 0:
				return fallback
			case wanted < 0:
				return current
			default:
				return wanted
			}
		}
		count := int(pick(time.Duration(k.Count), keepAliveMax, time.Duration(c.keepAlive.count)))
		c.setKeepAlive(pick(k.Idle, keepAliveTime, c.keepAlive.idle), pick(k.Interval, keepAliveTime, c.keepAlive.interval), count)
	})
}

func (t *TCPConn) option(set func(*tcb)) error {
	t.c.net.lock()
	defer t.c.net.unlock()
	if t.c.closed || t.c.net.closed {
		return t.error("set", net.ErrClosed)
	}
	set(t.c)
	return nil
}
