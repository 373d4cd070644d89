package vnet

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/netip"
	"slices"
	"strings"
	"time"

	"golang.org/x/net/dns/dnsmessage"
)

// The stub resolver's figures, which are those of resolv.conf(5).
const (
	resolverTimeout  = 5 * time.Second
	resolverAttempts = 2
	resolverUDPSize  = 1232 // EDNS0. DNS flag day 2020, as package net has it
)

// The errors that package net puts into *net.DNSError.
const (
	errNoSuchHost  = "no such host"
	errMisbehaving = "server misbehaving"
	errLame        = "lame referral"
	errBadResponse = "cannot unmarshal DNS message"
)

// resolver is a host's stub resolver: its hosts file, then its DNS servers. It reads nothing of the machine it runs on.
type resolver struct {
	host    *Host
	names   map[string][]netip.Addr // the hosts file
	servers []netip.Addr
}

func newResolver(h *Host, hostsFile map[string]netip.Addr, servers []netip.Addr) *resolver {
	r := &resolver{host: h, names: map[string][]netip.Addr{"localhost": {h.node.lo.addrs[0], h.node.lo.addrs[1]}}, servers: slices.Clone(servers)}
	for name, a := range hostsFile {
		name = strings.ToLower(strings.TrimSuffix(name, "."))
		r.names[name] = append(r.names[name], a)
	}
	if len(r.servers) == 0 {
		r.servers = []netip.Addr{h.node.lo.addrs[0]}
	}
	return r
}

// SetResolver replaces the host's hosts file and its DNS servers from now on.
func (h *Host) SetResolver(hostsFile map[string]netip.Addr, servers []netip.Addr) {
	fresh := newResolver(h.resolver.host, hostsFile, servers)
	h.node.net.lock()
	defer h.node.net.unlock()
	*h.resolver = *fresh
}

// settings returns the hosts file's addresses for name and the servers.
func (h *Host) settings(name string) ([]netip.Addr, []netip.Addr) {
	h.node.net.lock()
	defer h.node.net.unlock()
	return h.resolver.names[strings.ToLower(strings.TrimSuffix(name, "."))], h.resolver.servers
}

// LookupNetIP resolves host: an address stands for itself, then the hosts file, then DNS. network is "ip", "ip4" or "ip6".
func (h *Host) LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error) {
	family := 0
	switch network {
	case "ip":
	case "ip4":
		family = 4
	case "ip6":
		family = 6
	default:
		return nil, &net.DNSError{Err: net.UnknownNetworkError(network).Error(), Name: host}
	}
	if host == "" {
		return nil, &net.DNSError{Err: errNoSuchHost, Name: host, IsNotFound: true}
	}
	var addrs []netip.Addr
	if a, err := netip.ParseAddr(host); err == nil {
		addrs = []netip.Addr{a}
	} else {
		known, servers := h.settings(host)
		addrs = known
		if len(addrs) == 0 {
			if addrs, err = h.lookupAddrs(ctx, servers, host, family); err != nil {
				return nil, err
			}
		}
	}
	addrs = slices.DeleteFunc(slices.Clone(addrs), func(a netip.Addr) bool { return family != 0 && a.Is4() != (family == 4) })
	if len(addrs) == 0 {
		return nil, &net.AddrError{Err: "no suitable address found", Addr: host}
	}
	h.sortAddrs(addrs)
	return addrs, nil
}

// sortAddrs puts addresses that the host can reach first, and among these IPv6 before IPv4. RFC 6724, the part that matters
func (h *Host) sortAddrs(addrs []netip.Addr) {
	h.node.net.lock()
	defer h.node.net.unlock()
	rank := func(a netip.Addr) int {
		_, ok := h.node.source(a)
		switch {
		case !ok:
			return 2
		case a.Is4():
			return 1
		default:
			return 0
		}
	}
	slices.SortStableFunc(addrs, func(a, b netip.Addr) int { return rank(a) - rank(b) })
}

func (h *Host) lookupAddrs(ctx context.Context, servers []netip.Addr, host string, family int) ([]netip.Addr, error) {
	types := []dnsmessage.Type{dnsmessage.TypeA, dnsmessage.TypeAAAA}
	switch family {
	case 4:
		types = types[:1]
	case 6:
		types = types[1:]
	}
	answers, err := h.query(ctx, servers, host, types)
	var addrs []netip.Addr
	for _, answer := range answers {
		for _, rr := range answer {
			switch body := rr.Body.(type) {
			case *dnsmessage.AResource:
				addrs = append(addrs, netip.AddrFrom4(body.A))
			case *dnsmessage.AAAAResource:
				addrs = append(addrs, netip.AddrFrom16(body.AAAA))
			}
		}
	}
	if len(addrs) > 0 {
		return addrs, nil
	}
	if err == nil {
		err = &net.DNSError{Err: errNoSuchHost, Name: host, IsNotFound: true}
	}
	return nil, err
}

// LookupSRV looks up _service._proto.name, or name itself if service and proto are empty, and returns the records sorted by
// priority and then by weight, in a fixed order.
func (h *Host) LookupSRV(ctx context.Context, service, proto, name string) (string, []*net.SRV, error) {
	target := name
	if service != "" || proto != "" {
		target = "_" + service + "._" + proto + "." + name
	}
	_, servers := h.settings(name)
	answers, err := h.query(ctx, servers, target, []dnsmessage.Type{dnsmessage.TypeSRV})
	if err != nil {
		return "", nil, err
	}
	var cname string
	var records []*net.SRV
	for _, rr := range answers[0] {
		if body, ok := rr.Body.(*dnsmessage.SRVResource); ok {
			if cname == "" {
				cname = rr.Header.Name.String()
			}
			records = append(records, &net.SRV{Target: body.Target.String(), Port: body.Port, Priority: body.Priority, Weight: body.Weight})
		}
	}
	slices.SortStableFunc(records, func(a, b *net.SRV) int {
		if a.Priority != b.Priority {
			return int(a.Priority) - int(b.Priority)
		}
		return int(b.Weight) - int(a.Weight)
	})
	return cname, records, nil
}

// query asks for several types of one name at once and returns the answer sections that came, in the order of types. The
// error is that of the last type that got no answer; servers are asked in turn until one answers.
func (h *Host) query(ctx context.Context, servers []netip.Addr, host string, types []dnsmessage.Type) ([][]dnsmessage.Resource, error) {
	fqdn := host
	if !strings.HasSuffix(fqdn, ".") {
		fqdn += "."
	}
	name, err := dnsmessage.NewName(fqdn)
	if err != nil || !isDomainName(fqdn) {
		return nil, &net.DNSError{Err: errNoSuchHost, Name: host, IsNotFound: true}
	}
	answers := make([][]dnsmessage.Resource, len(types))
	done := make([]bool, len(types))
	errs := make([]*net.DNSError, len(types))
	for range resolverAttempts {
		for _, server := range servers {
			var open []int
			var questions []dnsmessage.Question
			for i, t := range types {
				if !done[i] {
					open = append(open, i)
					questions = append(questions, dnsmessage.Question{Name: name, Type: t, Class: dnsmessage.ClassINET})
				}
			}
			if len(open) == 0 || ctx.Err() != nil {
				break
			}
			at := netip.AddrPortFrom(server, 53)
			for k, r := range h.exchange(ctx, at, questions) {
				i := open[k]
				if r.err == nil {
					answers[i], r.err = judgeAnswer(r.msg, types[i])
				}
				errs[i] = dnsError(r.err, host, at)
				done[i] = r.err == nil || errs[i].IsNotFound
			}
		}
	}
	for i := range types {
		if errs[i] != nil && answers[i] == nil {
			err = errs[i]
			if !errs[i].IsNotFound { // package net reports what is worse than absence
				break
			}
		}
	}
	if ctx.Err() != nil && err == nil {
		err = dnsError(contextError(ctx.Err()), host, netip.AddrPort{})
	}
	return answers, err
}

// lookupError is an error of a DNS server rather than of the network on the way to it.
type lookupError struct {
	text                string
	notFound, temporary bool
}

func (e *lookupError) Error() string { return e.text }

// judgeAnswer returns the answer section, or why there is none. Package net, checkHeader and skipToAnswer
func judgeAnswer(m *dnsmessage.Message, t dnsmessage.Type) ([]dnsmessage.Resource, error) {
	switch {
	case m.RCode == dnsmessage.RCodeNameError:
		return nil, &lookupError{text: errNoSuchHost, notFound: true}
	case m.RCode == dnsmessage.RCodeServerFailure:
		return nil, &lookupError{text: errMisbehaving, temporary: true}
	case m.RCode != dnsmessage.RCodeSuccess:
		return nil, &lookupError{text: errMisbehaving}
	case len(m.Answers) == 0 && !m.Authoritative && !m.RecursionAvailable && len(m.Additionals) == 0:
		return nil, &lookupError{text: errLame}
	}
	for _, rr := range m.Answers {
		if rr.Header.Type == t {
			return m.Answers, nil
		}
	}
	return nil, &lookupError{text: errNoSuchHost, notFound: true}
}

// dnsError makes the *net.DNSError that package net would make; nil for nil.
func dnsError(err error, host string, server netip.AddrPort) *net.DNSError {
	if err == nil {
		return nil
	}
	e := &net.DNSError{Err: err.Error(), Name: host}
	if server.IsValid() {
		e.Server = server.String()
	}
	var le *lookupError
	var ne net.Error
	var oe *net.OpError
	switch {
	case errors.As(err, &le):
		e.IsNotFound, e.IsTemporary = le.notFound, le.temporary
	case errors.As(err, &ne):
		e.IsTimeout = ne.Timeout()
		e.IsTemporary = ne.Timeout() || errors.As(err, &oe)
	}
	var canceled dialCanceled
	if errors.As(err, &canceled) || errors.As(err, new(dialTimeout)) {
		e.UnwrapErr = err
	}
	return e
}

// reply is what came of one question.
type reply struct {
	msg *dnsmessage.Message
	err error
}

// exchange sends questions to one server from one socket and collects the answers; those that were cut short are asked for
// again over TCP.
func (h *Host) exchange(ctx context.Context, server netip.AddrPort, questions []dnsmessage.Question) []reply {
	replies := make([]reply, len(questions))
	deadline := time.Now().Add(resolverTimeout)
	if d, ok := ctx.Deadline(); ok && d.Before(deadline) {
		deadline = d
	}
	failAll := func(err error) []reply {
		for i := range replies {
			if replies[i].msg == nil {
				replies[i].err = err
			}
		}
		return replies
	}
	conn, err := h.resolver.host.DialContext(ctx, "udp", server.String())
	if err != nil {
		return failAll(err)
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	conn.SetDeadline(deadline)
	ids := make([]uint16, len(questions))
	for i, q := range questions {
		ids[i] = h.queryID(ids[:i])
		packed, err := packQuery(ids[i], q)
		if err == nil {
			_, err = conn.Write(packed)
		}
		if err != nil {
			return failAll(err)
		}
	}
	buf := make([]byte, 65535)
	for open := len(questions); open > 0; {
		n, err := conn.Read(buf)
		if err != nil {
			if ctx.Err() != nil {
				err = contextError(ctx.Err())
			}
			return failAll(err)
		}
		var m dnsmessage.Message
		if m.Unpack(buf[:n]) != nil {
			continue // like any answer to a question that was not asked
		}
		for i, q := range questions {
			if replies[i].msg == nil && replies[i].err == nil && answers(&m, ids[i], q) {
				open--
				replies[i].msg = &m
				if m.Truncated {
					replies[i].msg, replies[i].err = h.exchangeTCP(ctx, server, ids[i], q)
				}
			}
		}
	}
	return replies
}

// queryID draws an identifier that is not among those in use.
func (h *Host) queryID(used []uint16) uint16 {
	h.node.net.lock()
	defer h.node.net.unlock()
	for {
		if id := uint16(h.node.net.rng.Uint32()); !slices.Contains(used, id) {
			return id
		}
	}
}

func packQuery(id uint16, q dnsmessage.Question) ([]byte, error) {
	m := dnsmessage.Message{Header: dnsmessage.Header{ID: id, RecursionDesired: true}, Questions: []dnsmessage.Question{q}}
	var opt dnsmessage.ResourceHeader
	if err := opt.SetEDNS0(resolverUDPSize, dnsmessage.RCodeSuccess, false); err != nil {
		return nil, err
	}
	m.Additionals = []dnsmessage.Resource{{Header: opt, Body: &dnsmessage.OPTResource{}}}
	return m.Pack()
}

// answers says whether m is the response to the question.
func answers(m *dnsmessage.Message, id uint16, q dnsmessage.Question) bool {
	return m.Response && m.ID == id && len(m.Questions) == 1 && m.Questions[0].Type == q.Type && m.Questions[0].Class == q.Class &&
		strings.EqualFold(m.Questions[0].Name.String(), q.Name.String())
}

func (h *Host) exchangeTCP(ctx context.Context, server netip.AddrPort, id uint16, q dnsmessage.Question) (*dnsmessage.Message, error) {
	ctx, cancel := context.WithTimeout(ctx, resolverTimeout)
	defer cancel()
	conn, err := h.resolver.host.DialContext(ctx, "tcp", server.String())
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	deadline, _ := ctx.Deadline()
	conn.SetDeadline(deadline)
	stop := context.AfterFunc(ctx, func() { conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	packed, err := packQuery(id, q)
	if err != nil {
		return nil, err
	}
	if _, err := conn.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(packed))), packed...)); err != nil {
		return nil, err
	}
	var length [2]byte
	if _, err := io.ReadFull(conn, length[:]); err != nil {
		return nil, err
	}
	buf := make([]byte, binary.BigEndian.Uint16(length[:]))
	if _, err := io.ReadFull(conn, buf); err != nil {
		return nil, err
	}
	var m dnsmessage.Message
	if err := m.Unpack(buf); err != nil || !answers(&m, id, q) {
		return nil, errors.New(errBadResponse)
	}
	return &m, nil
}

// isDomainName is package net's test of what may be asked for at all.
func isDomainName(s string) bool {
	if s == "." {
		return true
	}
	if len(s) > 254 {
		return false
	}
	for _, label := range strings.Split(strings.TrimSuffix(s, "."), ".") {
		if label == "" || len(label) > 63 || strings.ContainsAny(label, " \t\r\n") {
			return false
		}
	}
	return true
}
