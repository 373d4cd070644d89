package xmpps2s

import (
	"context"
	"net"
	"net/netip"
	"time"
)

// attemptDelay is the time between the starts of two connection attempts (RFC 8305 §8).
const attemptDelay = 250 * time.Millisecond

// addresses is where a target may be connected to, the families taking turns, so that one that does not work delays little
// (RFC 8305 §4).
func (s *Server) addresses(ctx context.Context, t target) ([]netip.AddrPort, error) {
	found := []netip.Addr{}
	if literal, err := netip.ParseAddr(t.host); err == nil {
		found = append(found, literal)
	} else if found, err = s.cfg.Network.LookupNetIP(ctx, "ip", t.host); err != nil {
		return nil, err
	}
	var first, second []netip.AddrPort
	for _, a := range found {
		a = a.Unmap()
		if a.Is4() == found[0].Unmap().Is4() {
			first = append(first, netip.AddrPortFrom(a, t.port))
		} else {
			second = append(second, netip.AddrPortFrom(a, t.port))
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

// failedDial is an address that could not be connected to.
type failedDial struct {
	address netip.AddrPort
	err     error
}

// race connects to the first address that answers: they are tried in order, a new one as soon as one failed or has kept us
// waiting for a moment (RFC 8305 §5). It returns the connection, if any, and what failed before it; who lost the race has not
// failed. All attempts have ended when it returns.
func (s *Server) race(ctx context.Context, addresses []netip.AddrPort) (conn net.Conn, at netip.AddrPort, failed []failedDial) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	type result struct {
		net.Conn
		failedDial
	}
	results := make(chan result)
	start := func(a netip.AddrPort) {
		go func() {
			ctx, cancel := context.WithTimeout(ctx, s.cfg.ConnectTimeout)
			defer cancel()
			c, err := s.cfg.Network.DialContext(ctx, "tcp", a.String())
			results <- result{c, failedDial{a, err}}
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
			case r.err == nil && conn == nil:
				conn, at, addresses = r.Conn, r.address, nil
				cancel()
			case r.err == nil:
				r.Conn.Close()
			case conn == nil:
				failed = append(failed, r.failedDial)
				delay.Reset(0)
			}
		}
	}
	return conn, at, failed
}
