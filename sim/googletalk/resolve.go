package googletalk

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"
)

// fault is why a domain could not be reached, in the words that a user's client is shown.
type fault struct {
	condition string
	text      string
}

func notFound(format string, args ...any) *fault {
	return &fault{"remote-server-not-found", fmt.Sprintf(format, args...)}
}

func timedOut(format string, args ...any) *fault {
	return &fault{"remote-server-timeout", fmt.Sprintf(format, args...)}
}

// targets is where the servers of domain are, in the order to try them. RFC 3920 §14.3, RFC 2782
func (b *boot) targets(ctx context.Context, domain string) ([]target, *fault) {
	_, records, err := b.machine.host.Network.LookupSRV(ctx, "xmpp-server", "tcp", domain)
	var dns *net.DNSError
	if err != nil && !(errors.As(err, &dns) && dns.IsNotFound) {
		return nil, timedOut("_xmpp-server._tcp.%s: %v", domain, err)
	}
	plain := len(records)
	if b.farm.cfg.Partner.direct() {
		// One set with the others; without an answer those do. XEP-0368 §3
		_, direct, err := b.machine.host.Network.LookupSRV(ctx, "xmpps-server", "tcp", domain)
		if err != nil {
			b.log("_xmpps-server._tcp.%s: %v", domain, err)
		}
		records = append(records, direct...)
	}
	switch {
	case len(records) == 0:
		// No record at all: the domain's own address. What does not listen there is no server.
		return []target{{host: domain, port: 5269, fallback: true}}, nil
	case len(records) == 1 && (records[0].Target == "." || records[0].Target == ""):
		return nil, notFound("%s declines XMPP: the target of _xmpp-server._tcp is the root", domain)
	}
	var list []target
	var foreign []string
	for i, r := range records {
		host := foldDomain(r.Target)
		if !b.machine.quirks.AcceptForeignTarget && host != domain && !strings.HasSuffix(host, "."+domain) {
			foreign = append(foreign, host)
			continue
		}
		list = append(list, target{host: host, port: r.Port, priority: r.Priority, direct: i >= plain})
	}
	slices.SortStableFunc(list, func(a, b target) int { return cmp.Compare(a.priority, b.priority) })
	if len(list) == 0 && len(foreign) > 0 {
		return nil, notFound("_xmpp-server._tcp.%s points at %s, outside of %s", domain, strings.Join(foreign, ", "), domain)
	}
	if len(list) == 0 {
		return []target{{host: domain, port: 5269, fallback: true}}, nil
	}
	return list, nil
}

// target is one server to try.
type target struct {
	host     string
	port     uint16
	priority uint16
	fallback bool // not from an SRV record
	direct   bool // TLS comes first
}

// reach tries the servers of domain, one after another, until use says that it is done with one. use gets a stream on which
// both headers have been exchanged, and owns its reading; it need not end it. The fault says why no server was reached, and
// is nil if one was.
func (b *boot) reach(ctx context.Context, our, domain string, use func(*stream, header) bool) *fault {
	targets, bad := b.targets(ctx, domain)
	if bad != nil {
		b.log("%s: %s", domain, bad.text)
		return bad
	}
	type place struct {
		netip.AddrPort
		direct bool
	}
	tried := map[place]bool{}
	last := notFound("%s has no server with an address", domain)
	for _, t := range targets {
		addrs, err := b.machine.host.Network.LookupNetIP(ctx, "ip", t.host)
		if err != nil {
			var dns *net.DNSError
			if !errors.As(err, &dns) || !dns.IsNotFound {
				last = timedOut("%s: %v", t.host, err)
			}
			b.log("%s: no address for %s: %v", domain, t.host, err)
			continue
		}
		for _, a := range addrs {
			addr := netip.AddrPortFrom(a.Unmap(), t.port)
			if tried[place{addr, t.direct}] {
				continue
			}
			tried[place{addr, t.direct}] = true
			done, err := b.try(ctx, addr, t.direct, our, domain, use)
			if done {
				return nil
			}
			b.log("%s at %s: %v", t.host, addr, err)
			switch {
			case ctx.Err() != nil:
				return timedOut("%s: %v", domain, err)
			case t.fallback && errors.Is(err, errNoConnection):
				last = notFound("%s: no SRV record, and at its own address %v", domain, err)
			default:
				last = timedOut("%s at %s: %v", t.host, addr, err)
			}
		}
	}
	return last
}

var (
	errNoConnection = errors.New("no connection")
	errNoStream     = errors.New("connected, but no stream")
	errRefused      = errors.New("the stream was ended")
)

// try connects to one address, exchanges headers and lets use have the stream.
func (b *boot) try(ctx context.Context, addr netip.AddrPort, direct bool, our, domain string, use func(*stream, header) bool) (bool, error) {
	dial, cancel := context.WithTimeout(ctx, b.farm.cfg.Timeouts.Connect)
	conn, err := b.machine.host.Network.DialContext(dial, "tcp", net.JoinHostPort(addr.Addr().String(), strconv.Itoa(int(addr.Port()))))
	cancel()
	if err != nil {
		return false, fmt.Errorf("%w: %w", errNoConnection, err)
	}
	if b.ctx.Err() != nil {
		conn.Close()
		return false, b.ctx.Err()
	}
	s := b.newStream(conn, "out")
	defer s.end()
	if direct {
		if err := s.beginTLS(true, our, domain); err != nil {
			return false, fmt.Errorf("%w: TLS: %w", errNoStream, err)
		}
	}
	h, err := s.negotiate(ctx, our, domain)
	if err != nil {
		return false, err
	}
	if !use(s, h) {
		return false, errRefused
	}
	return true, nil
}

// greet sends our header and reads the answer.
func (s *stream) greet(ctx context.Context, our, domain, version string) (header, error) {
	s.writeHeader(our, domain, "", version)
	h, e, err := s.readHeader(remaining(ctx, s.boot.farm.cfg.Timeouts.Header))
	if err != nil {
		s.leave(err)
		return h, fmt.Errorf("%w: %w", errNoStream, err)
	}
	s.checkResponse(h, e, our, domain, version)
	if h.id == "" {
		s.fail("invalid-id", "")
		s.drain()
		return h, fmt.Errorf("%w: its header has no id", errNoStream)
	}
	return h, nil
}

// checkResponse judges the header of the server we called. RFC 6120 §4.7
func (s *stream) checkResponse(h header, e *element, our, domain, version string) {
	bare := s.boot.machine.bare
	if h.version != "" && version == "" {
		s.unexpected(e.raw, "version %q in answer to a header without version", h.version)
	}
	if h.id == "" {
		s.unexpected(e.raw, "a response header without id")
	}
	if !bare && h.from != domain {
		s.unexpected(e.raw, "a response header from %q to a stream for %s", h.from, domain)
	}
	if !bare && h.to != our {
		s.unexpected(e.raw, "a response header to %q of a stream from %s", h.to, our)
	}
}

// remaining is limit, or what ctx leaves of it.
func remaining(ctx context.Context, limit time.Duration) time.Duration {
	if deadline, ok := ctx.Deadline(); ok {
		return min(limit, time.Until(deadline))
	}
	return limit
}
