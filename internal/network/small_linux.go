package network

import (
	"context"
	"net"
	"net/netip"
	"syscall"

	"golang.org/x/sys/unix"
)

// DialSmall connects with the Dialer's settings, but for what those do to the socket itself.
func (o OS) DialSmall(ctx context.Context, to netip.AddrPort, mss int) (net.Conn, error) {
	d := o.Dialer
	d.Control, d.ControlContext = nil, func(_ context.Context, _, _ string, raw syscall.RawConn) error {
		var set error
		err := raw.Control(func(fd uintptr) { set = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_MAXSEG, mss) })
		if err != nil {
			return err
		}
		return set
	}
	return d.DialContext(ctx, "tcp", to.String())
}
