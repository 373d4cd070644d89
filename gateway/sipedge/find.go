package sipedge

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"fedlab/gateway/config"
	"fedlab/gateway/reach"
)

// How the hosts of a next hop are found and tried.
const (
	lookupTimeout = 5 * time.Second  // for one question to DNS
	lookupRest    = 30 * time.Second // a certificate that we do not know has the SRV record asked for anew no more often
	makeRoom      = 4 * time.Second  // a host that is silent for so long makes room for the next one; it has had two retransmissions
	firstRest     = 30 * time.Second // a place that failed stands behind the others so long, then twice as long
	longestRest   = 10 * time.Minute
	maxTargets    = 16 // of an SRV record
	maxPlaces     = 64 // that are remembered
)

// target is a host of a next hop.
type target struct {
	host  string
	port  uint16
	names []string // its certificate has to carry one of them
}

func (t target) String() string { return net.JoinHostPort(t.host, strconv.Itoa(int(t.port))) }

func inOrder(targets []target) string {
	var all []string
	for _, t := range targets {
		all = append(all, t.String())
	}
	return strings.Join(all, ", ")
}

// configured are the targets that a configuration names; none where the SRV record does.
func configured(next config.NextHop) ([]target, error) {
	if next.SRV() {
		return nil, nil
	}
	var all []target
	for _, text := range next {
		address := text
		if _, _, err := net.SplitHostPort(address); err != nil {
			address = net.JoinHostPort(address, "5061")
		}
		host, port, err := net.SplitHostPort(address)
		n, portErr := strconv.ParseUint(port, 10, 16)
		if err != nil || portErr != nil || host == "" {
			return nil, fmt.Errorf("next hop %q is no host:port", text)
		}
		all = append(all, target{normalName(host), uint16(n), []string{normalName(host)}})
	}
	if len(all) == 0 {
		return nil, errors.New("no next hop")
	}
	return all, nil
}

// place is one address of a target; the address is zero where the host has none.
type place struct {
	target  string
	address netip.AddrPort
}

// experience is what became of the last attempts to use a place.
type experience struct {
	at       time.Time
	err      error // nil: it worked
	failures int   // in a row
	rests    time.Time
}

// learn remembers what became of an attempt. What failed rests: it is tried after everything else.
func (h *hop) learn(p place, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	x := h.places[p]
	if x == nil {
		if len(h.places) == maxPlaces {
			clear(h.places) // so many have been seen only where DNS answers differently every time
		}
		x = new(experience)
		h.places[p] = x
	}
	x.at, x.err = time.Now(), err
	if err == nil {
		x.failures, x.rests = 0, time.Time{}
		return
	}
	x.failures++
	x.rests = x.at.Add(min(firstRest<<min(x.failures-1, 10), longestRest))
}

// fresh reports whether a place does not rest.
func (h *hop) fresh(p place) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	x := h.places[p]
	return x == nil || !time.Now().Before(x.rests)
}

// names are those that a certificate of this next hop may carry.
func (h *hop) names() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	var all []string
	if h.discovered != "" {
		all = append(all, h.discovered)
	}
	for _, t := range h.targets {
		all = append(all, t.names...)
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// find gives the targets in the order in which they are to be tried. An SRV record is asked for each time; while DNS is out of
// order its last answer holds. Who offers no service by it, or has no record, is not looked for elsewhere: that would lead to a
// machine that nobody named. RFC 2782, RFC 3263 §4.2
func (h *hop) find(ctx context.Context, e *Edge) ([]target, error) {
	if h.discovered == "" {
		return h.targets, nil
	}
	h.mu.Lock()
	h.asked = time.Now()
	h.draws++
	draw := h.draws
	h.mu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, lookupTimeout)
	defer cancel()
	_, records, err := e.network.LookupSRV(ctx, "sipfederationtls", "tcp", h.discovered)
	missing, isDNS := errors.AsType[*net.DNSError](err)
	var found []target
	switch {
	case err == nil:
		seed := fnv.New64a() // as with pauses: gateways side by side draw differently, and a run can be repeated
		fmt.Fprint(seed, e.hostname, h.address)
		ordered := reach.Order(records, rand.New(rand.NewPCG(seed.Sum64(), draw)))
		for _, r := range ordered[:min(len(ordered), maxTargets)] {
			if host := normalName(r.Target); host != "" {
				found = append(found, target{host, r.Port, trusted(host, h.discovered)})
			}
		}
		if len(found) == 0 {
			err = fmt.Errorf("the record %s says that the domain does not federate", h.address)
		}
	case isDNS && missing.IsNotFound:
		err = fmt.Errorf("there is no SRV record %s: publish it, or name the host of the Access Edge in place of srv (%w)", h.address, err)
	default:
		h.mu.Lock()
		defer h.mu.Unlock()
		if len(h.targets) > 0 {
			return h.targets, nil
		}
		return nil, fmt.Errorf("looking up the SRV record %s: %w", h.address, err)
	}
	h.mu.Lock()
	h.targets = found
	h.mu.Unlock()
	return found, err
}

// trusted are the names that the certificate of a host may carry whom an SRV record names. DNS is not to be trusted, so the domain's
// own name always does (RFC 5922 §7.3), and the host's only where it is directly in the domain, as OCS has it for partners that are
// found by DNS: whoever forges the record would need a certificate for a name of the domain.
func trusted(host, domain string) []string {
	if _, parent, _ := strings.Cut(host, "."); parent == domain {
		return []string{host, domain}
	}
	return []string{domain}
}

// connect makes a link with the first place that gives one: the targets in their order, the addresses of each raced, and what
// failed lately only when nothing else is left. The error is that of a place where waiting may help, if there is one.
func (h *hop) connect(ctx context.Context, e *Edge) (*link, error) {
	targets, err := h.find(ctx, e)
	if err != nil {
		return nil, &LinkError{h.address, "resolve", err}
	}
	patience := connectTimeout
	if len(targets) > 1 {
		patience = makeRoom
	}
	var failed error
	fail := func(err error) {
		if _, hopeless := errors.AsType[*PeerError](err); failed == nil || !hopeless {
			failed = err
		}
	}
	resting := make([][]netip.AddrPort, len(targets))
	for i, t := range targets {
		lookup, cancel := context.WithTimeout(ctx, connectTimeout)
		addresses, err := reach.Addresses(lookup, e.network, t.host, t.port)
		cancel()
		if err != nil {
			err = &LinkError{t.String(), "resolve", err}
			h.learn(place{target: t.String()}, err)
			fail(err)
			continue
		}
		rest := slices.DeleteFunc(slices.Clone(addresses), func(a netip.AddrPort) bool { return h.fresh(place{t.String(), a}) })
		resting[i] = rest
		l, err := h.try(ctx, e, t, slices.DeleteFunc(addresses, func(a netip.AddrPort) bool { return slices.Contains(rest, a) }), patience)
		if l != nil {
			return l, nil
		}
		if err != nil {
			fail(err)
		}
	}
	for i, t := range targets {
		l, err := h.try(ctx, e, t, resting[i], patience)
		if l != nil {
			return l, nil
		}
		if err != nil {
			fail(err)
		}
	}
	return nil, failed
}

// try makes a link with one of the addresses of a target. Without addresses it gives neither link nor error.
func (h *hop) try(ctx context.Context, e *Edge, t target, addresses []netip.AddrPort, patience time.Duration) (*link, error) {
	var last error
	for len(addresses) > 0 {
		conn, at, failed := reach.Race(ctx, e.network, addresses, patience)
		tried := []netip.AddrPort{at}
		for _, f := range failed {
			last = &LinkError{t.String(), "connect", f.Err}
			h.learn(place{t.String(), f.Address}, last)
			tried = append(tried, f.Address)
		}
		if conn == nil {
			break
		}
		l, err := h.begin(ctx, e, t, conn, place{t.String(), at})
		h.learn(place{t.String(), at}, err)
		if err == nil {
			return l, nil
		}
		last = err
		addresses = slices.DeleteFunc(addresses, func(a netip.AddrPort) bool { return slices.Contains(tried, a) })
	}
	return nil, last
}

// begin verifies whom we are connected to and starts a link.
func (h *hop) begin(ctx context.Context, e *Edge, t target, raw net.Conn, at place) (*link, error) {
	conn := tls.Client(raw, e.clientTLS(h, t))
	if err := handshake(ctx, conn); err != nil {
		return nil, &LinkError{t.String(), "tls", err}
	}
	l := newLink(conn, e.stack.nextLink(), true, []*hop{h})
	l.place = at
	if !e.serve(l) {
		return nil, &LinkError{t.String(), "link", net.ErrClosed}
	}
	return l, nil
}
