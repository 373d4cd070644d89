package network

import "net"

// Unacknowledged reports how many of the bytes written to conn the other host's TCP has not acknowledged yet. A protocol
// without acknowledgements of its own learns from it what became of its last messages. known is false where it cannot be
// told: the connection has ended, or the system does not say.
func Unacknowledged(conn net.Conn) (n int, known bool) {
	switch c := conn.(type) {
	case interface{ Unacknowledged() (int, error) }:
		n, err := c.Unacknowledged()
		return n, err == nil
	case *net.TCPConn:
		return unacknowledged(c)
	}
	return 0, false
}
