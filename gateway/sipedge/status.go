package sipedge

import (
	"cmp"
	"crypto/tls"
	"net"
	"net/netip"
	"slices"
	"time"
)

// LinkStatus is the state of the links with one next hop, for health and for the doctor.
type LinkStatus struct {
	NextHop  string // host:port, several of them, or the name of the SRV record
	Domains  []string
	Dialled  bool   // our own link is up
	Accepted int    // links that the peer made
	Attempts int    // to connect, that are over
	LastErr  error  // why the last attempt failed or the last link ended; see [LinkError], [PeerError]
	Version  string // of TLS on our own link
	Remote   net.Addr
	Places   []PlaceStatus // every address that was tried, sorted
}

// PlaceStatus is an address of a next hop, and what became of the last attempt to use it.
type PlaceStatus struct {
	Target  string         // host:port
	Address netip.AddrPort // zero: the host has none
	At      time.Time
	Err     error     // nil: it worked
	Rests   time.Time // it is tried after the others until then; zero: it is not
}

// Up reports whether requests can be sent.
func (s LinkStatus) Up() bool { return s.Dialled || s.Accepted > 0 }

// Refusal is a connection that was refused in the handshake.
type Refusal struct {
	From string // address:port
	At   time.Time
	Err  error // a [*PeerError], or what TLS found wrong

	LetIn time.Time // when the same machine first got a link after that; zero: not yet
}

// Status is the state of the SIP side.
type Status struct {
	Links       []LinkStatus // one a next hop
	Sessions    int
	LastRefusal *Refusal // nil if nobody was refused
}

// Status gives the state at this moment.
func (e *Edge) Status() Status {
	var s Status
	for _, h := range e.hops {
		s.Links = append(s.Links, h.status())
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	s.Sessions = len(e.dialogs)
	if e.lastRefusal != nil {
		last := *e.lastRefusal
		s.LastRefusal = &last
	}
	return s
}

func (h *hop) status() LinkStatus {
	h.mu.Lock()
	defer h.mu.Unlock()
	s := LinkStatus{NextHop: h.address, Attempts: h.attempts, LastErr: h.lastErr}
	for d := range h.domains {
		s.Domains = append(s.Domains, d)
	}
	for p, x := range h.places {
		s.Places = append(s.Places, PlaceStatus{p.target, p.address, x.at, x.err, x.rests})
	}
	slices.SortFunc(s.Places, func(a, b PlaceStatus) int {
		return cmp.Or(cmp.Compare(a.Target, b.Target), a.Address.Compare(b.Address))
	})
	for _, l := range h.links {
		switch {
		case l.reason() != nil:
		case l.dialled:
			s.Dialled, s.Version, s.Remote = true, tls.VersionName(l.conn.ConnectionState().Version), l.conn.RemoteAddr()
		default:
			s.Accepted++
		}
	}
	return s
}
