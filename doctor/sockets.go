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

// watcher looks at a host's socket table for connections that begin and do not come about.
type watcher struct {
	first map[netip.AddrPort]time.Time // half-open sockets by remote end: when each was first seen
	stale map[netip.AddrPort]network.Socket
	good  map[netip.Addr]bool // peers that some connection came about with
}

// watch looks at the socket table until the examination has been watched for long enough, and finds return traffic that is lost:
// peers whose connections to one of ports were answered and never established (field notes, "return traffic filtered by accident").
func (x *exam) watch(ctx context.Context, ports []uint16) {
	lister, ok := x.net.(network.SocketLister)
	if !ok {
		return
	}
	w := watcher{first: map[netip.AddrPort]time.Time{}, stale: map[netip.AddrPort]network.Socket{}, good: map[netip.Addr]bool{}}
	tick := time.NewTicker(glance)
	defer tick.Stop()
	for time.Since(x.began) < Watch {
		sockets, err := lister.Sockets()
		if err != nil {
			return // a table that cannot be read says nothing about the network
		}
		w.look(sockets, ports, time.Now())
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
	for _, remote := range slices.SortedFunc(maps.Keys(w.stale), netip.AddrPort.Compare) {
		if s := w.stale[remote]; !w.good[remote.Addr()] {
			x.find("net.return-path", fmt.Sprintf("port %d", s.Local.Port()),
				fmt.Sprintf("%s %s from %s: %s for more than %v: the SYN came in, it was answered, and the answer did not arrive",
					s.Protocol, s.Local, remote.Addr(), s.State, halfOpen))
		}
	}
}

func (w *watcher) look(sockets []network.Socket, ports []uint16, now time.Time) {
	for _, s := range sockets {
		if !slices.Contains(ports, s.Local.Port()) || !s.Remote.IsValid() {
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
