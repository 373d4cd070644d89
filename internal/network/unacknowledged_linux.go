package network

import (
	"net"

	"golang.org/x/sys/unix"
)

func unacknowledged(c *net.TCPConn) (n int, known bool) {
	raw, err := c.SyscallConn()
	if err != nil {
		return 0, false
	}
	var ioctl error
	err = raw.Control(func(fd uintptr) { n, ioctl = unix.IoctlGetInt(int(fd), unix.TIOCOUTQ) })
	return n, err == nil && ioctl == nil
}
