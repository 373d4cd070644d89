// Package reach finds a way to a service that has more than one: it puts SRV records into the order in which they are to be tried
// ([Order], RFC 2782), a host's addresses so that the families take turns ([Addresses], RFC 8305 §4), and connects to the first
// address that answers ([Race], RFC 8305 §5). Both sides of the gateway use it; what is said on the connection is theirs.
package reach

import (
	"context"
	"net"
	"net/netip"
	"time"

	"fedlab/internal/network"
)

// attemptDelay is the time between the starts of two connection attempts (RFC 8305 §8).
const attemptDelay = 250 * time.Millisecond

// Addresses is where port may be connected to on host, which is a name or an address. The families take turns, so that one that
// does not work delays little (RFC 8305 §4). The error is the network's.
func Addresses(ctx context.Context, n network.Network, host string, port uint16) ([]netip.AddrPort, error) {
	found := []netip.Addr{}
	if literal, err := netip.ParseAddr(host); err == nil {
		found = append(found, literal)
	} else if found, err = n.LookupNetIP(ctx, "ip", host); err != nil {
		return nil, err
	}
	var first, second []netip.AddrPort
	for _, a := range found {
		a = a.Unmap()
		if a.Is4() == found[0].Unmap().Is4() {
			first = append(first, netip.AddrPortFrom(a, port))
		} else {
			second = append(second, netip.AddrPortFrom(a, port))
		}
	}
	var mixed []netip.AddrPort
	for i := range max(len(first), len(second)) {
		if i < len(first) {
			mixed = append(mixed, first[i])
		}
		if i < len(second) {
			mixed = append(mixed, second[i])
		}
	}
	return mixed, nil
}

// Failed is an address that could not be connected to.
type Failed struct {
	Address netip.AddrPort
	Err     error
}

// Race connects to the first address that answers: they are tried in order, a new one as soon as one failed or has kept us
// waiting for a moment (RFC 8305 §5), each for as long as patience. It returns the connection, if any, and what failed before it;
// who lost the race has not failed. All attempts have ended when it returns.
func Race(ctx context.Context, n network.Network, addresses []netip.AddrPort, patience time.Duration) (conn net.Conn, at netip.AddrPort, failed []Failed) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	type result struct {
		net.Conn
		Failed
	}
	results := make(chan result)
	start := func(a netip.AddrPort) {
		go func() {
			ctx, cancel := context.WithTimeout(ctx, patience)
			defer cancel()
			c, err := n.DialContext(ctx, "tcp", a.String())
			results <- result{c, Failed{a, err}}
		}()
	}
	delay := time.NewTimer(0)
	defer delay.Stop()
	running := 0
	for len(addresses) > 0 || running > 0 {
		next := delay.C
		if len(addresses) == 0 {
			next = nil
		}
		select {
		case <-next:
			start(addresses[0])
			addresses = addresses[1:]
			running++
			delay.Reset(attemptDelay)
		case r := <-results:
			running--
			switch {
			case r.Err == nil && conn == nil:
				conn, at, addresses = r.Conn, r.Address, nil
				cancel()
			case r.Err == nil:
				r.Conn.Close()
			case conn == nil:
				failed = append(failed, r.Failed)
				delay.Reset(0)
			}
		}
	}
	return conn, at, failed
}
