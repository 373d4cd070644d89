package vnet

import "net"

// Unacknowledged is how many of the bytes written to the connection the other host has not acknowledged, what is still to be
// sent among them: Linux's SIOCOUTQ. A connection that has ended tells nothing.
func (t *TCPConn) Unacknowledged() (int, error) {
	t.c.net.lock()
	defer t.c.net.unlock()
	if t.c.closed || t.c.state == stateClosed {
		return 0, t.error("ioctl", net.ErrClosed)
	}
	return t.c.buf.size, nil
}
