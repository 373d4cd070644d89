package vnet

import (
	"context"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// fallbackDelay is how long addresses of the other family wait for those of the first. RFC 8305; package net's figure
const fallbackDelay = 300 * time.Millisecond

// DialContext connects to address over "tcp", "tcp4", "tcp6", "udp", "udp4" or "udp6". A name is resolved as LookupNetIP does
// it and its addresses are tried in turn, as package net does. Errors are *net.OpError.
func (h *Host) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	fail := func(err error) (net.Conn, error) {
		return nil, &net.OpError{Op: "dial", Net: network, Err: err}
	}
	transport, _, err := splitNetwork(network)
	if err != nil {
		return fail(err)
	}
	targets, err := h.resolveAddress(ctx, network, address, false)
	if err != nil {
		return fail(err)
	}
	one := func(ctx context.Context, to netip.AddrPort) (net.Conn, error) {
		if err := ctx.Err(); err != nil {
			return nil, opError("dial", network, nil, addrOf(transport, to), contextError(err))
		}
		if transport == "udp" {
			return h.dialUDP(network, to)
		}
		return h.dialTCP(ctx, network, to)
	}
	var first, second []netip.AddrPort
	for _, t := range targets {
		if t.Addr().Is4() == targets[0].Addr().Is4() {
			first = append(first, t)
		} else {
			second = append(second, t)
		}
	}
	if transport == "udp" || len(second) == 0 {
		return dialSerial(ctx, targets, one)
	}
	return dialParallel(ctx, first, second, one)
}

type dialFunc func(context.Context, netip.AddrPort) (net.Conn, error)

// dialSerial tries addresses in turn, each with its share of the time that is left, and returns the first error of all.
func dialSerial(ctx context.Context, targets []netip.AddrPort, dial dialFunc) (net.Conn, error) {
	var first error
	for i, to := range targets {
		each, cancel := ctx, context.CancelFunc(func() {})
		if deadline, ok := ctx.Deadline(); ok && i < len(targets)-1 {
			left := time.Until(deadline)
			share := left / time.Duration(len(targets)-i)
			each, cancel = context.WithTimeout(ctx, max(share, min(left, 2*time.Second)))
		}
		conn, err := dial(each, to)
		cancel()
		if err == nil {
			return conn, nil
		}
		if first == nil {
			first = err
		}
		if ctx.Err() != nil {
			break
		}
	}
	return nil, first
}

// dialParallel gives the first family a head start. RFC 8305 §5
func dialParallel(ctx context.Context, first, second []netip.AddrPort, dial dialFunc) (net.Conn, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	type result struct {
		conn    net.Conn
		err     error
		primary bool
	}
	results := make(chan result, 2)
	race := func(targets []netip.AddrPort, primary bool) {
		go func() {
			conn, err := dialSerial(ctx, targets, dial)
			results <- result{conn, err, primary}
		}()
	}
	race(first, true)
	running := 1
	head := time.NewTimer(fallbackDelay)
	defer head.Stop()
	started := false
	fallback := func() {
		if !started {
			started = true
			running++
			race(second, false)
		}
	}
	var won net.Conn
	var primaryErr, err error
	for running > 0 {
		select {
		case <-head.C:
			if won == nil {
				fallback()
			}
		case r := <-results:
			running--
			switch {
			case r.err == nil && won == nil:
				won = r.conn
				cancel()
			case r.err == nil:
				r.conn.Close()
			case r.primary:
				primaryErr = r.err
				if won == nil {
					fallback()
				}
			default:
				err = r.err
			}
		}
	}
	switch {
	case won != nil:
		return won, nil
	case primaryErr != nil:
		return nil, primaryErr
	default:
		return nil, err
	}
}

func (h *Host) dialTCP(ctx context.Context, network string, to netip.AddrPort) (net.Conn, error) {
	c, err := h.node.connect(ctx, h.owner, to, 0)
	if err != nil {
		return nil, opError("dial", network, nil, addrOf("tcp", to), err)
	}
	return &TCPConn{c}, nil
}

// DialSmall is network.SmallDialer's.
func (h *Host) DialSmall(ctx context.Context, to netip.AddrPort, mss int) (net.Conn, error) {
	c, err := h.node.connect(ctx, h.owner, to, mss)
	if err != nil {
		return nil, opError("dial", "tcp", nil, addrOf("tcp", to), err)
	}
	return &TCPConn{c}, nil
}

// connect opens a connection, or returns an errno or what package net makes of a context's error. mss is the program's limit; 0: none.
func (nd *node) connect(ctx context.Context, owner string, to netip.AddrPort, mss int) (*tcb, error) {
	n := nd.net
	n.lock()
	defer n.unlock()
	if n.closed {
		return nil, net.ErrClosed
	}
	if nd.power == powerOff {
		return nil, syscall.ENETDOWN
	}
	from, ok := nd.source(to.Addr())
	if !ok {
		return nil, syscall.ENETUNREACH
	}
	port, ok := nd.ephemeralPort(func(port uint16) bool {
		local := netip.AddrPortFrom(from, port)
		return nd.conns[endpoints{local, to}] != nil || nd.listening(local) != nil
	})
	if !ok {
		return nil, syscall.EADDRNOTAVAIL
	}
	c := nd.newTCB(owner, netip.AddrPortFrom(from, port), to)
	c.state = stateSynSent
	c.limit = mss
	c.mss = c.ourMSS()
	c.sendSyn()
	stop := context.AfterFunc(ctx, func() {
		n.lock()
		defer n.unlock()
		c.cond.Broadcast()
	})
	defer stop()
	for {
		switch {
		case c.state >= stateEstablished:
			return c, nil
		case c.state == stateClosed:
			return nil, c.takeError()
		case ctx.Err() != nil:
			c.drop()
			return nil, contextError(ctx.Err())
		}
		n.wait(&c.cond)
	}
}

func (h *Host) dialUDP(network string, to netip.AddrPort) (net.Conn, error) {
	nd := h.node
	nd.net.lock()
	defer nd.net.unlock()
	fail := func(err error) (net.Conn, error) {
		return nil, opError("dial", network, nil, addrOf("udp", to), err)
	}
	if nd.net.closed {
		return fail(net.ErrClosed)
	}
	if nd.power == powerOff {
		return fail(syscall.ENETDOWN)
	}
	from, ok := nd.source(to.Addr())
	if !ok {
		return fail(syscall.ENETUNREACH)
	}
	s, errno := nd.openUDP(h.owner, network, netip.AddrPortFrom(from, 0), to)
	if errno != 0 {
		return fail(errno)
	}
	return &UDPConn{s}, nil
}

// Listen listens for TCP connections. An empty host, or an unspecified address, means every address of this host.
func (h *Host) Listen(ctx context.Context, network, address string) (net.Listener, error) {
	local, both, err := h.bindAddress(ctx, network, address, "tcp")
	if err != nil {
		return nil, err
	}
	nd := h.node
	nd.net.lock()
	defer nd.net.unlock()
	fail := func(err error) (net.Listener, error) {
		return nil, opError("listen", network, nil, net.TCPAddrFromAddrPort(local), err)
	}
	if nd.net.closed {
		return fail(net.ErrClosed)
	}
	if nd.power == powerOff {
		return fail(syscall.ENETDOWN)
	}
	if local.Port() == 0 {
		port, ok := nd.ephemeralPort(nd.portInUse)
		if !ok {
			return fail(syscall.EADDRINUSE)
		}
		local = netip.AddrPortFrom(local.Addr(), port)
	}
	l := &Listener{node: nd, owner: h.owner, network: network, bound: []netip.AddrPort{local}, announce: net.TCPAddrFromAddrPort(local)}
	if both {
		l.bound = append(l.bound, netip.AddrPortFrom(netip.IPv4Unspecified(), local.Port()))
	}
	for at := range nd.listeners {
		for _, mine := range l.bound {
			if at.Port() == mine.Port() && at.Addr().Is4() == mine.Addr().Is4() && overlap(at.Addr(), mine.Addr()) {
				return fail(syscall.EADDRINUSE)
			}
		}
	}
	l.cond.L = &nd.net.mu
	l.accept.timer.init(&nd.net.loop, func() { l.accept.expired = true; l.cond.Broadcast() })
	for _, at := range l.bound {
		nd.listeners[at] = l
	}
	return l, nil
}

// ListenPacket opens a UDP socket that is not connected. An empty host, or an unspecified address, means every address.
func (h *Host) ListenPacket(ctx context.Context, network, address string) (net.PacketConn, error) {
	local, _, err := h.bindAddress(ctx, network, address, "udp")
	if err != nil {
		return nil, err
	}
	nd := h.node
	nd.net.lock()
	defer nd.net.unlock()
	fail := func(err error) (net.PacketConn, error) {
		return nil, opError("listen", network, nil, net.UDPAddrFromAddrPort(local), err)
	}
	if nd.net.closed {
		return fail(net.ErrClosed)
	}
	if nd.power == powerOff {
		return fail(syscall.ENETDOWN)
	}
	s, errno := nd.openUDP(h.owner, network, local, netip.AddrPort{})
	if errno != 0 {
		return fail(errno)
	}
	return &UDPConn{s}, nil
}

// listening returns the listener for connections to local.
func (nd *node) listening(local netip.AddrPort) *Listener {
	if l := nd.listeners[local]; l != nil {
		return l
	}
	return nd.listeners[netip.AddrPortFrom(unspecified(local.Addr()), local.Port())]
}

func (nd *node) portInUse(port uint16) bool {
	for at := range nd.listeners {
		if at.Port() == port {
			return true
		}
	}
	for c := range nd.conns {
		if c.local.Port() == port {
			return true
		}
	}
	return false
}

// bindAddress finds out what to bind to. both means that an unspecified IPv6 address stands for IPv4 as well.
func (h *Host) bindAddress(ctx context.Context, network, address, transport string) (local netip.AddrPort, both bool, err error) {
	got, family, err := splitNetwork(network)
	if err == nil && got != transport {
		err = &net.AddrError{Err: "unexpected address type", Addr: address}
	}
	var candidates []netip.AddrPort
	if err == nil {
		candidates, err = h.resolveAddress(ctx, network, address, true)
	}
	if err != nil {
		return netip.AddrPort{}, false, &net.OpError{Op: "listen", Net: network, Err: err}
	}
	local = candidates[0]
	for _, c := range candidates { // package net prefers IPv4 here
		if c.Addr().Is4() {
			local = c
			break
		}
	}
	if local.Addr().IsUnspecified() {
		v6 := family == 6 || family == 0 && h.node.hasIPv6() && (local.Addr().Is6() || !strings.HasPrefix(address, "0.0.0.0"))
		if v6 {
			return netip.AddrPortFrom(netip.IPv6Unspecified(), local.Port()), family == 0, nil
		}
		return netip.AddrPortFrom(netip.IPv4Unspecified(), local.Port()), false, nil
	}
	if !h.node.owns(local.Addr()) {
		return local, false, opError("listen", network, nil, addrOf(transport, local), syscall.EADDRNOTAVAIL)
	}
	return local, false, nil
}

// resolveAddress turns "host:port" into endpoints of the network's family; there is at least one if there is no error.
func (h *Host) resolveAddress(ctx context.Context, network, address string, listen bool) ([]netip.AddrPort, error) {
	host, service, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	port := 0
	if service != "" {
		if port, err = strconv.Atoi(service); err != nil || port < 0 || port > 65535 {
			return nil, &net.AddrError{Err: "invalid port", Addr: service}
		}
	}
	_, family, _ := splitNetwork(network)
	if host == "" {
		a := netip.IPv4Unspecified()
		switch {
		case listen && family == 6, listen && family == 0 && h.node.hasIPv6():
			a = netip.IPv6Unspecified()
		case !listen && family == 6:
			a = netip.IPv6Loopback()
		case !listen:
			a = h.node.lo.addrs[0]
		}
		return []netip.AddrPort{netip.AddrPortFrom(a, uint16(port))}, nil
	}
	var addrs []netip.Addr
	if a, err := netip.ParseAddr(host); err == nil {
		addrs = []netip.Addr{a.Unmap().WithZone("")}
	} else if addrs, err = h.LookupNetIP(ctx, "ip", host); err != nil {
		return nil, err
	}
	var fitting []netip.AddrPort
	for _, a := range addrs {
		if family == 0 || a.Is4() == (family == 4) {
			fitting = append(fitting, netip.AddrPortFrom(a, uint16(port)))
		}
	}
	if len(fitting) == 0 {
		return nil, &net.AddrError{Err: "no suitable address found", Addr: host}
	}
	return fitting, nil
}

// splitNetwork splits "tcp4" into its transport and its family, 0 if it has none.
func splitNetwork(network string) (transport string, family int, err error) {
	switch network {
	case "tcp", "udp":
		return network, 0, nil
	case "tcp4", "udp4":
		return network[:3], 4, nil
	case "tcp6", "udp6":
		return network[:3], 6, nil
	default:
		return "", 0, net.UnknownNetworkError(network)
	}
}

func addrOf(transport string, a netip.AddrPort) net.Addr {
	if transport == "udp" {
		return net.UDPAddrFromAddrPort(a)
	}
	return net.TCPAddrFromAddrPort(a)
}
