package xmpps2s

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"fedlab/gateway/im"
)

// version is what the gateway says of itself (XEP-0092).
const version = "1.0"

func nowStamp() string { return time.Now().UTC().Format("2006-01-02T15:04:05Z") }

// Server is the XMPP side of a gateway. It is safe for concurrent use.
type Server struct {
	cfg   Config
	sink  im.Sink
	log   *slog.Logger
	local map[string]bool

	methods    map[string]methods // by the peers' domains
	maxSignals int
	ready      chan struct{}
	papers     atomic.Pointer[papers]

	randMu sync.Mutex
	rand   *rand.Rand

	mu       sync.Mutex
	ctx      context.Context // of Run; nil before
	work     sync.WaitGroup  // links and incoming streams
	stopped  bool
	links    map[pair]*link
	lent     map[pair][]*incoming // streams that peers opened and let us use, by what we may send on them
	states   map[pair]*LinkStatus
	refusals []Refusal
	incoming map[*incoming]bool
	perHost  map[netip.Addr]int
	domains  map[string]int // streams by the domains that have proven themselves on them
}

// New returns a server that gives the messages of its peers to sink. It does nothing until [Server.Run].
func New(cfg Config, sink im.Sink) (*Server, error) {
	if err := cfg.fill(); err != nil {
		return nil, err
	}
	if sink == nil {
		return nil, ErrNoSink
	}
	seed := cfg.Seed
	if seed == 0 {
		seed = rand.Uint64()
	}
	s := &Server{
		cfg: cfg, sink: sink, log: cfg.Log, ready: make(chan struct{}),
		local: make(map[string]bool), methods: make(map[string]methods), rand: rand.New(rand.NewPCG(seed, 0)),
		links: make(map[pair]*link), lent: make(map[pair][]*incoming), states: make(map[pair]*LinkStatus),
		maxSignals: maxSignals, incoming: make(map[*incoming]bool), perHost: make(map[netip.Addr]int), domains: make(map[string]int),
	}
	s.papers.Store(&papers{cfg.Certificate, cfg.Roots, cfg.Revoked})
	for _, d := range cfg.Local {
		s.local[d] = true
	}
	for name, d := range s.cfg.Domains {
		m, err := methodsOf(d)
		if err != nil {
			return nil, fmt.Errorf("xmpps2s: %s: %w", name, err)
		}
		s.methods[name] = m
	}
	return s, nil
}

// name is the domain that a header of ours names when the peer's named none of ours (RFC 6120 §4.9.1.3).
func (c *Config) name() string {
	if len(c.Local) == 0 {
		return ""
	}
	return c.Local[0]
}

// Ready is closed once the server listens.
func (s *Server) Ready() <-chan struct{} { return s.ready }

// Run listens and serves until ctx ends. Then it closes all streams in an orderly way, within the close timeout, and returns
// the queued messages to their senders. It returns when everything that it started has ended; nil unless listening failed.
// It must be called only once.
func (s *Server) Run(ctx context.Context) error {
	doors, err := s.listen(ctx)
	if err != nil {
		s.stop()
		return err
	}
	s.mu.Lock()
	s.ctx = ctx
	for _, l := range s.links {
		s.work.Go(func() { l.run(ctx) })
	}
	s.mu.Unlock()
	close(s.ready)
	unhook := context.AfterFunc(ctx, func() { closeAll(doors) })
	ends := make(chan error, len(doors))
	for _, d := range doors {
		go func() { ends <- s.accept(ctx, d) }()
	}
	err = <-ends
	unhook()
	closeAll(doors)
	for range doors[1:] {
		<-ends // why it ended is what happened to the first
	}
	s.stop()
	s.work.Wait()
	return err
}

// door is where connections come in.
type door struct {
	net.Listener
	direct bool // TLS comes before the stream (XEP-0368)
}

// listen opens all doors or none.
func (s *Server) listen(ctx context.Context) (doors []door, err error) {
	for _, at := range []struct {
		address string
		direct  bool
	}{{s.cfg.Listen, false}, {s.cfg.ListenTLS, true}} {
		if at.address == "" {
			continue
		}
		l, err := s.cfg.Network.Listen(ctx, "tcp", at.address)
		if err != nil {
			closeAll(doors)
			return nil, fmt.Errorf("xmpps2s: listening on %s failed: %w", at.address, err)
		}
		doors = append(doors, door{l, at.direct})
	}
	return doors, nil
}

func closeAll(doors []door) {
	for _, d := range doors {
		d.Close()
	}
}

// stop refuses everything new.
func (s *Server) stop() {
	s.mu.Lock()
	s.stopped = true
	links := s.links
	if s.ctx != nil {
		links = nil // their own goroutines empty them
	}
	s.mu.Unlock()
	for _, l := range links {
		l.mu.Lock()
		l.closed = true
		l.mu.Unlock()
		l.giveBack(errStopped())
	}
}

func (s *Server) accept(ctx context.Context, d door) error {
	for failures := 0; ; {
		conn, err := d.Accept()
		switch {
		case ctx.Err() != nil:
			if err == nil {
				conn.Close()
			}
			return nil
		case errors.Is(err, net.ErrClosed):
			return fmt.Errorf("xmpps2s: %w", err)
		case err != nil:
			// Out of file descriptors, or a peer that gave up before we looked: neither ends a server.
			failures++
			s.log.Error("accepting a connection failed", "reason", err)
			select {
			case <-time.After(min(time.Second, time.Duration(failures)*5*time.Millisecond)):
			case <-ctx.Done():
			}
			continue
		}
		failures = 0
		s.admit(ctx, conn, d.direct)
	}
}

// admit serves a connection, if its address has not too many already.
func (s *Server) admit(ctx context.Context, conn net.Conn, direct bool) {
	host := remoteAddr(conn)
	in := newIncoming(s, newStream(&s.cfg, &counted{Conn: conn}))
	in.direct = direct
	s.mu.Lock()
	if s.stopped || s.perHost[host] >= s.cfg.Limits.Streams || len(s.incoming) >= maxStreams {
		s.mu.Unlock()
		in.log.Warn("too many streams", "of this address", s.cfg.Limits.Streams, "altogether", maxStreams)
		conn.Close()
		return
	}
	s.perHost[host]++
	s.incoming[in] = true
	s.work.Go(func() {
		in.serve(ctx)
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.incoming, in)
		if s.perHost[host]--; s.perHost[host] == 0 {
			delete(s.perHost, host)
		}
	})
	s.mu.Unlock()
}

// count adds n to a domain's streams, unless it then had too many.
func (s *Server) count(domain string, n int) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if n > 0 && s.domains[domain]+n > s.cfg.Limits.Streams {
		return false
	}
	if s.domains[domain] += n; s.domains[domain] == 0 {
		delete(s.domains, domain)
	}
	return true
}

func remoteAddr(conn net.Conn) netip.Addr {
	a, err := netip.ParseAddrPort(conn.RemoteAddr().String())
	if err != nil {
		return netip.Addr{}
	}
	return a.Addr().Unmap()
}

// Send queues a message for its domain pair's stream, as [im.Sink] says.
func (s *Server) Send(m im.Message, outcome im.Outcome) {
	switch _, allowed := s.cfg.Domains[m.To.Domain]; {
	case !allowed:
		outcome(&im.Failure{Condition: im.RemoteServerNotFound, Text: m.To.Domain + " is none of the configured XMPP domains"})
	case !s.local[m.From.Domain]:
		outcome(&im.Failure{Condition: im.NotAllowed, Text: "this gateway does not speak for " + m.From.Domain})
	default:
		s.queue(pair{m.From.Domain, m.To.Domain}, item{xml: messageXML(m), outcome: outcome, message: &m})
	}
}

// queue gives a stanza to the link of its pair, which is made when it is first needed.
func (s *Server) queue(p pair, i item) {
	if len(i.xml) > s.cfg.Limits.StanzaBytes {
		i.tell(&im.Failure{Condition: im.PolicyViolation, Text: "the message is larger than " + itoa(s.cfg.Limits.StanzaBytes) + " bytes"})
		return
	}
	s.mu.Lock()
	l := s.links[p]
	if l == nil && !s.stopped {
		l = newLink(s, p)
		s.links[p] = l
		if ctx := s.ctx; ctx != nil {
			s.work.Go(func() { l.run(ctx) })
		}
	}
	s.mu.Unlock()
	if l == nil {
		i.tell(errStopped())
		return
	}
	l.put(i)
}
