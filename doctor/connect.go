package doctor

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"syscall"
	"time"
)

// outcome is what became of an attempt to connect.
type outcome int

const (
	connected   outcome = iota
	refused             // somebody said no
	unreachable         // a router said that there is no way
	silent              // nobody said anything
	broken              // anything else
)

// dialed is a TCP probe of one address.
type dialed struct {
	done    chan struct{}
	to      netip.AddrPort
	outcome outcome
	err     error
	local   netip.Addr // where it came from, as far as is known
}

// String is the probe in words.
func (d *dialed) String() string {
	from := ""
	if d.local.IsValid() {
		from = " from " + d.local.String()
	}
	switch d.outcome {
	case connected:
		return fmt.Sprintf("TCP %s%s: connected", d.to, from)
	case silent:
		return fmt.Sprintf("TCP %s%s: no answer within %v (%v)", d.to, from, Patience, d.err)
	}
	return fmt.Sprintf("TCP %s%s: %v", d.to, from, d.err)
}

// code is the finding for a probe that did not connect.
func (d *dialed) code() string {
	switch d.outcome {
	case refused:
		return "net.refused"
	case unreachable:
		return "net.unreachable"
	}
	return "net.filtered"
}

// attempts is when a connection is tried, counted from the first time. A single attempt may fail on a bad line although the
// network retransmits; three that all end in silence are no accident.
var attempts = []time.Duration{0, 2500 * time.Millisecond, 5 * time.Second}

// connect tries a TCP connection to an address, once in an examination, and closes it at once.
func (x *exam) connect(ctx context.Context, to netip.AddrPort) *dialed {
	x.mu.Lock()
	d, known := x.dials[to.String()]
	if !known {
		d = &dialed{done: make(chan struct{}), to: to}
		x.dials[to.String()] = d
	}
	x.mu.Unlock()
	if known {
		<-d.done
		return d
	}
	defer close(d.done)
	conn, err := x.dial(ctx, to)
	if err != nil {
		d.err, d.outcome = err, outcomeOf(err)
		d.local = x.localTowards(ctx, to)
		return d
	}
	d.local = localAddr(conn)
	_ = conn.Close()
	return d
}

// dial connects to an address, with the patience and the repetitions of a probe.
func (x *exam) dial(ctx context.Context, to netip.AddrPort) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, Patience)
	type result struct {
		conn net.Conn
		err  error
	}
	results := make(chan result)
	for _, after := range attempts {
		go func() {
			t := time.NewTimer(after)
			defer t.Stop()
			select {
			case <-ctx.Done():
				results <- result{err: ctx.Err()}
				return
			case <-t.C:
			}
			conn, err := x.net.DialContext(ctx, "tcp", to.String())
			results <- result{conn, err}
		}()
	}
	var won net.Conn
	var failed error
	for range attempts {
		r := <-results
		switch {
		case r.conn != nil && won == nil:
			won = r.conn
			cancel()
		case r.conn != nil:
			_ = r.conn.Close()
		case failed == nil || outcomeOf(failed) == silent && outcomeOf(r.err) != silent:
			failed = r.err
		}
		if failed != nil && outcomeOf(failed) != silent {
			cancel() // a no is an answer; there is no use in asking again
		}
	}
	cancel()
	if won != nil {
		return won, nil
	}
	return nil, failed
}

// localTowards is the address of this host that packets to another one leave with. Connecting a UDP socket sends nothing.
func (x *exam) localTowards(ctx context.Context, to netip.AddrPort) netip.Addr {
	conn, err := x.net.DialContext(ctx, "udp", to.String())
	if err != nil {
		return netip.Addr{}
	}
	defer conn.Close()
	return localAddr(conn)
}

func localAddr(c net.Conn) netip.Addr {
	a, err := netip.ParseAddrPort(c.LocalAddr().String())
	if err != nil {
		return netip.Addr{}
	}
	return a.Addr().Unmap()
}

func outcomeOf(err error) outcome {
	var n net.Error
	switch {
	case err == nil:
		return connected
	case errors.Is(err, syscall.ECONNREFUSED), errors.Is(err, syscall.ECONNRESET):
		return refused
	case errors.Is(err, syscall.EHOSTUNREACH), errors.Is(err, syscall.ENETUNREACH), errors.Is(err, syscall.EADDRNOTAVAIL):
		return unreachable
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled), errors.Is(err, os.ErrDeadlineExceeded),
		errors.Is(err, syscall.ETIMEDOUT), errors.As(err, &n) && n.Timeout():
		return silent
	}
	return broken
}

// gone reports whether an error means that the peer closed or broke the connection.
func gone(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
}

// reach tries all addresses of a name at the same time.
func (x *exam) reach(ctx context.Context, addrs []netip.Addr, port uint16) []*dialed {
	return each(addrs, func(a netip.Addr) *dialed { return x.connect(ctx, netip.AddrPortFrom(a, port)) })
}

// best is the probe that got furthest: one that connected, else the one that says most about why not.
func best(all []*dialed) *dialed {
	var found *dialed
	for _, d := range all {
		if found == nil || d.rank() < found.rank() {
			found = d
		}
	}
	return found
}

func (d *dialed) rank() int {
	if !d.heard() {
		return int(broken) + 1
	}
	return int(d.outcome)
}

// heard reports whether the probe says anything about the other side: not that of an address that this machine itself has no way to. Most machines
// without IPv6 are told about IPv6 addresses all the same.
func (d *dialed) heard() bool { return d.outcome != unreachable || d.local.IsValid() }

// down is the probes that did not connect, in words, as far as they say anything about the other side.
func down(all []*dialed) []string {
	return inWords(slices.DeleteFunc(slices.Clone(all), func(d *dialed) bool { return !d.heard() }))
}

// inWords is the probes that did not connect.
func inWords(all []*dialed) []string {
	var words []string
	for _, d := range all {
		if d.outcome != connected {
			words = append(words, d.String())
		}
	}
	return words
}

// quote shows bytes of a stranger: printable, and not too many.
func quote(b []byte) string {
	const most = 160
	cut := ""
	if len(b) > most {
		b, cut = b[:most], " …"
	}
	return fmt.Sprintf("%q%s", strings.TrimRight(string(b), "\r\n"), cut)
}
