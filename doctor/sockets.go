package doctor

import (
	"context"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"time"

	"fedlab/internal/network"
)

const (
	glance   = 250 * time.Millisecond // how often the socket table is looked at
	halfOpen = 3 * time.Second        // a connection that is not established after this long has lost its answer
)

// place is where a server listens.
type place struct {
	addr netip.Addr // none: on every address
	port uint16
}

// placeOf is the place of a configuration's address:port.
func placeOf(listen string, otherwise uint16) place {
	p := place{port: portOf(listen, otherwise)}
	if a, err := netip.ParseAddr(hostOf(listen)); err == nil && !a.IsUnspecified() {
		p.addr = a.Unmap()
	}
	return p
}

// has reports whether a server there has the socket.
func (p place) has(s network.Socket) bool {
	a := s.Local.Addr().Unmap()
	return s.State == "LISTENING" && s.Local.Port() == p.port && (!p.addr.IsValid() || a.IsUnspecified() || a == p.addr)
}

// watcher looks at a host's socket table for connections that begin and do not come about.
type watcher struct {
	first map[netip.AddrPort]time.Time // half-open sockets by remote end: when each was first seen
	stale map[netip.AddrPort]network.Socket
	good  map[netip.Addr]bool // peers that some connection came about with

	listens bool // somebody does, or did
}

// watch looks at the socket table until the examination has been watched for long enough, and finds return traffic that is lost:
// peers whose connections to a server's port were answered and never established (field notes, "return traffic filtered by accident").
// It reports whether it is certain that nobody ever listened at one of the servers' places meanwhile.
func (x *exam) watch(ctx context.Context, servers ...place) (deserted bool) {
	lister, ok := x.net.(network.SocketLister)
	if !ok {
		return false
	}
	w := watcher{first: map[netip.AddrPort]time.Time{}, stale: map[netip.AddrPort]network.Socket{}, good: map[netip.Addr]bool{}}
	tick := time.NewTicker(glance)
	defer tick.Stop()
	for time.Since(x.began) < Watch {
		sockets, err := lister.Sockets()
		if err != nil {
			return false // a table that cannot be read says nothing about the network
		}
		w.look(sockets, servers, time.Now())
		select {
		case <-tick.C:
		case <-ctx.Done():
			return false
		}
	}
	for _, remote := range slices.SortedFunc(maps.Keys(w.stale), netip.AddrPort.Compare) {
		if s := w.stale[remote]; !w.good[remote.Addr()] {
			x.find("net.return-path", fmt.Sprintf("port %d", s.Local.Port()),
				fmt.Sprintf("%s %s from %s: %s for more than %v: the SYN came in, it was answered, and the answer did not arrive",
					s.Protocol, s.Local, remote.Addr(), s.State, halfOpen))
		}
	}
	return !w.listens
}

func (w *watcher) look(sockets []network.Socket, servers []place, now time.Time) {
	for _, s := range sockets {
		w.listens = w.listens || slices.ContainsFunc(servers, func(p place) bool { return p.has(s) })
		if !s.Remote.IsValid() || !slices.ContainsFunc(servers, func(p place) bool { return p.port == s.Local.Port() }) {
			continue
		}
		switch s.State {
		case "SYN_RECEIVED":
			if _, seen := w.first[s.Remote]; !seen {
				w.first[s.Remote] = now
			}
			if now.Sub(w.first[s.Remote]) >= halfOpen {
				w.stale[s.Remote] = s
			}
		default:
			w.good[s.Remote.Addr()] = true
		}
	}
}
