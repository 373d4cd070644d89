package sipedge

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"hash/fnv"
	"math"
	"net"
	"sync"
	"time"
)

// Times of a next hop.
const (
	connectTimeout   = 10 * time.Second // for one attempt to be connected
	handshakeTimeout = 10 * time.Second
	firstPause       = time.Second
	longestPause     = time.Minute
	steady           = 10 * time.Second // a link that held so long was a good one: the next pause is short again
	reconnectGrace   = 15 * time.Second // a request waits so long for a link that is being made anew
	linksPerHop      = 32               // accepted ones
	busyPatience     = 45 * time.Second // a request waits so long for a peer that said when it will be back
)

// LinkError says why there is no link to a next hop.
type LinkError struct {
	NextHop string
	Step    string // "resolve", "connect", "tls", "link" (it was up and ended), "busy" (503 with Retry-After)
	Err     error
}

// Error names the next hop, what was tried, and for a certificate that the peer refused, what to look at.
func (e *LinkError) Error() string {
	hint := ""
	if op, ok := errors.AsType[*net.OpError](e.Err); ok && op.Op == "remote error" { // a TLS alert, as crypto/tls gives it
		hint = " (the peer refused us: is our certificate's authority installed there, and does the certificate name our host?)"
	}
	return fmt.Sprintf("sipedge: next hop %s: %s: %v%s", e.NextHop, e.Step, e.Err, hint)
}

// Unwrap gives the cause.
func (e *LinkError) Unwrap() error { return e.Err }

// hop is one next hop: an Access Edge's federation listener, or several that stand in for each other, the SIP domains behind it, and
// the links with it.
type hop struct {
	address    string // host:port, several of them, or the name of the SRV record
	discovered string // the domain whose SRV record names the targets; empty: they are configured
	domains    map[string]bool
	minTLS     uint16
	pin        string
	pages      bool // messages go outside sessions
	presence   line

	mu       sync.Mutex
	targets  []target  // where it is, as far as is known
	asked    time.Time // when its SRV record was asked for last
	draws    uint64    // how often its targets were put into order
	places   map[place]*experience
	links    []*link
	attempts int // to connect, that are over
	lastErr  error
	lastTry  time.Time
	retryAt  time.Time // the peer wants no requests before
	lastFrom string    // the XMPP and the SIP domain of the last message
	lastTo   string
	changed  chan struct{} // closed and replaced whenever something above changes
	kick     chan struct{} // connect now
}

func (h *hop) change() {
	close(h.changed)
	h.changed = make(chan struct{})
}

// add takes a link in; false if there are too many.
func (h *hop) add(l *link) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	accepted := 0
	for _, o := range h.links {
		if !o.dialled {
			accepted++
		}
	}
	if !l.dialled && accepted >= linksPerHop {
		return false
	}
	h.links = append(h.links, l)
	h.change()
	return true
}

func (h *hop) remove(l *link) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for i, o := range h.links {
		if o == l {
			h.links = append(h.links[:i:i], h.links[i+1:]...)
			break
		}
	}
	if l.dialled {
		h.lastErr = &LinkError{h.address, "link", l.reason()}
	}
	h.change()
}

// best is the link to send on: the one we dialled, else the newest that the peer made. RFC 5923 §8
func (h *hop) best() *link {
	var found *link
	for _, l := range h.links {
		if l.reason() != nil {
			continue
		}
		if l.dialled {
			return l
		}
		found = l
	}
	return found
}

// acquire gives a link to send on. If there is none it has one made, and waits while that may help: a refused or silent peer
// is given some time to come back, a certificate that does not fit is not.
func (h *hop) acquire(ctx context.Context) (*link, error) {
	if err := h.calm(ctx); err != nil {
		return nil, err
	}
	grace := time.NewTimer(reconnectGrace)
	defer grace.Stop()
	over := false
	h.mu.Lock()
	asked := h.attempts
	h.mu.Unlock()
	for {
		h.mu.Lock()
		l, changed, attempts, err := h.best(), h.changed, h.attempts, h.lastErr
		h.mu.Unlock()
		if l != nil {
			return l, nil
		}
		if attempts > asked || over {
			_, hopeless := errors.AsType[*PeerError](err)
			if (over || hopeless) && err != nil {
				return nil, err
			}
		}
		select {
		case h.kick <- struct{}{}:
		default:
		}
		select {
		case <-changed:
		case <-grace.C:
			over = true
		case <-ctx.Done():
			if err == nil {
				err = &LinkError{h.address, "connect", ctx.Err()}
			}
			return nil, err
		}
	}
}

// keep holds one link to the next hop until ctx ends.
func (h *hop) keep(ctx context.Context, e *Edge) {
	for failures, brief, before := 0, 0, false; ctx.Err() == nil; {
		start := time.Now()
		h.mu.Lock()
		h.lastTry = start
		h.mu.Unlock()
		l, err := h.connect(ctx, e)
		if err == nil {
			e.log.Info("link up", "next_hop", h.address, "remote", l.conn.RemoteAddr().String(), "local", l.conn.LocalAddr().String(), "tls", tls.VersionName(l.conn.ConnectionState().Version))
			up, down := context.WithCancel(ctx)
			var refreshing sync.WaitGroup
			if before {
				refreshing.Go(func() { e.refresh(up, h) })
			}
			before = true
			select {
			case <-l.done:
			case <-ctx.Done():
			}
			down()
			refreshing.Wait()
			if ctx.Err() != nil {
				return
			}
			err = &LinkError{h.address, "link", l.reason()}
			h.learn(l.place, l.reason())
			e.log.Warn("link down", "next_hop", h.address, "error", err)
		} else if ctx.Err() == nil {
			e.log.Warn("no link", "next_hop", h.address, "error", err)
		}
		switch {
		case l == nil:
			failures++
		case time.Since(start) >= steady:
			failures, brief = 0, 0
		default: // let in and put out again: the peer may refuse us, but not be away
			failures, brief = 0, brief+1
		}
		h.mu.Lock()
		h.attempts++
		h.lastErr = err
		h.change()
		h.mu.Unlock()
		h.pause(ctx, e.hostname, failures+brief)
	}
}

// pause waits before the next attempt: a second, doubled up to a minute, a fifth more or less. A message that waits for the
// link cuts it to a second. The jitter comes from our name, so that gateways side by side do not come all at once, and a run
// can be repeated.
func (h *hop) pause(ctx context.Context, us string, failures int) {
	long := time.Duration(float64(firstPause) * math.Pow(2, float64(min(max(failures-1, 0), 10))))
	hash := fnv.New32a()
	fmt.Fprintf(hash, "%s %s %d", us, h.address, failures)
	long = time.Duration(float64(min(long, longestPause)) * (0.8 + 0.4*float64(hash.Sum32()%1000)/1000))
	whole, short := time.NewTimer(long), time.NewTimer(min(long, firstPause))
	defer whole.Stop()
	defer short.Stop()
	select {
	case <-short.C:
	case <-ctx.Done():
		return
	}
	select {
	case <-whole.C:
	case <-h.kick:
	case <-ctx.Done():
	}
}

// handshake runs the TLS handshake within its time; on failure the connection is closed.
func handshake(ctx context.Context, conn *tls.Conn) error {
	limit := time.Now().Add(handshakeTimeout)
	_ = conn.NetConn().SetDeadline(limit)
	stop := context.AfterFunc(ctx, func() { _ = conn.NetConn().Close() })
	err := conn.Handshake()
	stop()
	if err != nil {
		_ = conn.NetConn().Close()
		return err
	}
	return conn.NetConn().SetDeadline(time.Time{})
}
