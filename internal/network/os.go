package network

import (
	"cmp"
	"context"
	"errors"
	"net"
	"net/netip"
	"slices"
	"strings"
)

// OS is the network of the machine that the program runs on. The zero value is ready for use.
type OS struct {
	Dialer       net.Dialer       // how to connect: local address, keep-alive. Its Resolver is not used
	ListenConfig net.ListenConfig // how to listen
	DNS          []string         // DNS servers to ask, "address:port", in order; none: the system's resolver
}

var (
	_ PacketNetwork = OS{}
	_ SocketLister  = OS{}
)

// DialContext connects with the Dialer.
func (o OS) DialContext(ctx context.Context, network, address string) (conn net.Conn, err error) {
	host, _, _ := net.SplitHostPort(address)
	err = o.ask(host, func(r *net.Resolver, _ string) error {
		d := o.Dialer
		d.Resolver = r
		conn, err = d.DialContext(ctx, network, address)
		return err
	})
	return conn, err
}

// Listen listens with the ListenConfig.
func (o OS) Listen(ctx context.Context, network, address string) (net.Listener, error) {
	return o.ListenConfig.Listen(ctx, network, address)
}

// ListenPacket listens with the ListenConfig.
func (o OS) ListenPacket(ctx context.Context, network, address string) (net.PacketConn, error) {
	return o.ListenConfig.ListenPacket(ctx, network, address)
}

// LookupNetIP asks the DNS servers in turn. IPv4 addresses come as such, not as IPv6 addresses that stand for them.
func (o OS) LookupNetIP(ctx context.Context, network, host string) (addrs []netip.Addr, err error) {
	err = o.ask(host, func(r *net.Resolver, host string) error {
		addrs, err = r.LookupNetIP(ctx, network, host)
		return err
	})
	for i := range addrs {
		addrs[i] = addrs[i].Unmap()
	}
	return addrs, err
}

// LookupSRV asks the DNS servers in turn.
func (o OS) LookupSRV(ctx context.Context, service, proto, name string) (cname string, records []*net.SRV, err error) {
	err = o.ask(name, func(r *net.Resolver, name string) error {
		cname, records, err = r.LookupSRV(ctx, service, proto, name)
		return err
	})
	slices.SortStableFunc(records, func(a, b *net.SRV) int { return cmp.Compare(a.Priority, b.Priority) })
	return cname, records, err
}

// ask calls f with the resolver of one DNS server after the other until one of them knows, or knows that there is nothing.
// Names are made absolute for f, so that no search list of the machine is applied to them.
func (o OS) ask(name string, f func(r *net.Resolver, name string) error) error {
	if len(o.DNS) == 0 {
		return f(net.DefaultResolver, name)
	}
	absolute := name
	if _, err := netip.ParseAddr(name); err != nil && name != "" && !strings.HasSuffix(name, ".") {
		absolute += "."
	}
	var err error
	for _, server := range o.DNS {
		err = f(&net.Resolver{PreferGo: true, Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
			var d net.Dialer
			return d.DialContext(ctx, network, server)
		}}, absolute)
		var de *net.DNSError
		if !errors.As(err, &de) {
			return err
		}
		de.Server = server // not the one in the system's configuration
		if absolute != name {
			de.Name = strings.TrimSuffix(de.Name, ".")
		}
		if de.IsNotFound {
			return err
		}
	}
	return err
}
