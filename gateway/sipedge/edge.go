package sipedge

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"fedlab/gateway/config"
	"fedlab/gateway/im"
	"fedlab/gateway/presence"
	"fedlab/gateway/session"
	"fedlab/gateway/store"
	"fedlab/internal/network"
)

const userAgent = "fedgate"

// stopGrace is how long BYEs and open transactions have when the gateway stops.
const stopGrace = 2 * time.Second

// Config is what an Edge needs. Network, Hostname, Certificate, Domains and Foreign are required.
type Config struct {
	Network     network.Network
	Hostname    string                 // our fully qualified name, handed out in SIP; the certificate must carry it
	Listen      string                 // address:port; default ":5061"
	Certificate tls.Certificate        // presented in both directions
	Roots       *x509.CertPool         // nil: the system's
	Revoked     []*x509.RevocationList // certificates that are refused
	Domains     map[string]config.SIPDomain
	Foreign     func(domain string) bool // which XMPP domains we speak for

	// Presence takes what SIP users show, ask and answer about presence; nil: there is none, and SUBSCRIBE is answered 489.
	Presence im.SignalSink

	// Store remembers who may see whom over a restart; nil: nothing is remembered. The Edge does not close it.
	Store store.Store

	MessageBytes  int           // largest SIP message; default 65536
	Queue         int           // messages that wait in one conversation; default 1000
	Sessions      int           // conversations at a time; default 100,000
	Subscriptions int           // presence subscriptions at a time, each way; default 2,000,000
	SessionIdle   time.Duration // default 10m
	Outcome       time.Duration // a message waits no longer than this to be sent; default 60s

	Log *slog.Logger // nil: discarded
}

// Edge is the SIP side of the gateway. Make one with [New], start it with [Edge.Run]. It is safe for concurrent use.
type Edge struct {
	network     network.Network
	hostname    string
	listen      string
	papers      atomic.Pointer[papers]
	hops        []*hop
	byDomain    map[string]*hop
	foreign     func(string) bool
	limits      session.Limits
	maxSessions int
	maxMessage  int
	log         *slog.Logger
	sink        im.Sink
	presence    im.SignalSink
	store       store.Store
	maxSubs     int

	stack      *stack
	alarms     *alarms
	listenPort atomic.Int32
	pageCSeq   atomic.Uint32
	ready      chan struct{}
	work       context.Context // of all transactions; ends when the grace of a stop is over
	group      sync.WaitGroup  // what follow and spawn started
	linkGroup  sync.WaitGroup  // what ends with the links

	mu      sync.Mutex
	running bool
	stopped bool
	talks   map[pair]*conversation
	pagers  map[im.Address]*pager
	dialogs map[string]*dialog
	byCall  map[string][]*dialog
	watches map[pair]*watching
	feeds   map[pair]*feeding
	kept    map[pair]auths
	untold  map[pair]struct{} // whose XMPP user does not know all that he was told (untold.go)

	wishes  *memory[wishKey, *wish]       // of SIP users, about messages that XMPP users got
	awaited *memory[string, awaited]      // by the name that we gave the message in its envelope
	plain   *memory[im.Address, struct{}] // SIP users whose client takes no envelope

	subscriptions map[string]subscription // ours, by dialog
	viewers       map[string]*viewer      // theirs
	lastRefusal   *Refusal
}

// New checks the configuration. Messages from SIP users go to sink.
func New(c Config, sink im.Sink) (*Edge, error) {
	e := &Edge{
		network: c.Network, hostname: normalName(c.Hostname), listen: c.Listen, foreign: c.Foreign,
		maxMessage: c.MessageBytes, maxSessions: c.Sessions, log: c.Log, sink: sink,
		presence: c.Presence, maxSubs: c.Subscriptions, store: c.Store, kept: make(map[pair]auths), untold: make(map[pair]struct{}),
		watches: make(map[pair]*watching), feeds: make(map[pair]*feeding),
		subscriptions: make(map[string]subscription), viewers: make(map[string]*viewer),
		limits:   session.Limits{Queue: c.Queue, Patience: c.Outcome, Idle: c.SessionIdle},
		ready:    make(chan struct{}),
		alarms:   newAlarms(),
		byDomain: make(map[string]*hop), talks: make(map[pair]*conversation), pagers: make(map[im.Address]*pager),
		dialogs: make(map[string]*dialog), byCall: make(map[string][]*dialog),
		wishes: newMemory[wishKey, *wish](maxReports, reportsLast), awaited: newMemory[string, awaited](maxReports, reportsLast),
		plain: newMemory[im.Address, struct{}](maxReports, plainLasts),
	}
	switch {
	case c.Network == nil || c.Foreign == nil || sink == nil:
		return nil, errors.New("sipedge: Network, Foreign and the sink are required")
	case !strings.Contains(e.hostname, "."):
		return nil, fmt.Errorf("sipedge: hostname %q is not fully qualified: an Edge could not find us by it", c.Hostname)
	case len(c.Certificate.Certificate) == 0 || c.Certificate.PrivateKey == nil:
		return nil, errors.New("sipedge: a certificate with its private key is required")
	case len(c.Domains) == 0:
		return nil, errors.New("sipedge: no SIP domain is configured")
	}
	e.Renew(c.Certificate, c.Roots, c.Revoked)
	orElse(&e.listen, ":5061")
	orElse(&e.maxMessage, 65536)
	orElse(&e.maxSessions, 100_000)
	orElse(&e.maxSubs, 2_000_000)
	orElse(&e.limits.Queue, 1000)
	orElse(&e.limits.Patience, 60*time.Second)
	orElse(&e.limits.Idle, 10*time.Minute)
	if e.log == nil {
		e.log = slog.New(slog.DiscardHandler)
	}
	if err := e.route(c.Domains); err != nil {
		return nil, err
	}
	return e, nil
}

func orElse[T comparable](v *T, otherwise T) {
	var zero T
	if *v == zero {
		*v = otherwise
	}
}

// route makes the next hops: domains with the same next hop share one.
func (e *Edge) route(domains map[string]config.SIPDomain) error {
	byAddress := make(map[string]*hop)
	for _, name := range slices.Sorted(maps.Keys(domains)) {
		d, domain := domains[name], normalName(name)
		minTLS, err := parseVersion(d.MinTLS)
		if err != nil {
			return fmt.Errorf("sipedge: domain %s: min_tls: %w", name, err)
		}
		pin := ""
		if d.Pin != "" {
			if pin, err = parsePin(d.Pin); err != nil {
				return fmt.Errorf("sipedge: domain %s: pin: %w", name, err)
			}
		}
		targets, err := configured(d.NextHop)
		if err != nil {
			return fmt.Errorf("sipedge: domain %s: %w", name, err)
		}
		address := inOrder(targets)
		if d.NextHop.SRV() {
			address = d.NextHop.Show(domain)
		}
		h := byAddress[address]
		if h == nil {
			h = &hop{
				address: address, targets: targets, domains: make(map[string]bool), minTLS: minTLS, pin: pin, pages: d.Mode == config.ModePage,
				places: make(map[place]*experience), changed: make(chan struct{}), kick: make(chan struct{}, 1),
			}
			if d.NextHop.SRV() {
				h.discovered = domain
			}
			byAddress[address] = h
			e.hops = append(e.hops, h)
		}
		if h.minTLS != minTLS || h.pin != pin || h.pages != (d.Mode == config.ModePage) {
			return fmt.Errorf("sipedge: domain %s: mode, min_tls or pin differ from another domain's with the same next hop %s", name, address)
		}
		h.domains[domain] = true
		e.byDomain[domain] = h
	}
	return nil
}

// Ready is closed when the Edge listens.
func (e *Edge) Ready() <-chan struct{} { return e.ready }

// Run listens and keeps the links until ctx ends; then sessions are ended, what is open is answered, and Run returns when all
// has stopped. The error is nil after a stop, else why the Edge could not listen. Run may be called once.
func (e *Edge) Run(ctx context.Context) error {
	listener, err := e.network.Listen(ctx, "tcp", e.listen)
	if err != nil {
		return fmt.Errorf("sipedge: cannot listen on %s: %w", e.listen, err)
	}
	lost, err := e.load()
	if err != nil {
		_ = listener.Close()
		return fmt.Errorf("sipedge: cannot read the kept subscriptions: %w", err)
	}
	_, port, _ := net.SplitHostPort(listener.Addr().String())
	var n int32
	_, _ = fmt.Sscan(port, &n)
	e.listenPort.Store(n)

	work, endWork := context.WithCancel(context.WithoutCancel(ctx))
	defer endWork()
	e.work = work
	e.stack = newStack(e.maxMessage, e.log)
	e.stack.onRequest, e.stack.onAck, e.stack.onStray = e.arrived, e.ackArrived, e.strayAnswer
	var front sync.WaitGroup // what stops first: listening and dialling
	e.linkGroup.Go(func() { _ = e.stack.transport.ServeTLS(e.stack.feed) })
	e.linkGroup.Go(func() { e.alarms.run(work) })
	front.Go(func() { e.accept(ctx, listener) })
	for _, h := range e.hops {
		front.Go(func() { h.keep(ctx, e) })
	}
	e.mu.Lock()
	e.running = true
	e.mu.Unlock()
	if len(lost) > 0 {
		e.log.Info("subscriptions are made again", "count", len(lost))
		front.Go(func() { e.resubscribe(ctx, lost, presence.Online{}) })
	}
	close(e.ready)

	<-ctx.Done()
	_ = listener.Close()
	front.Wait()
	e.stop(endWork)
	return nil
}

// stop ends everything in order: sessions, transactions, links, sipgo.
func (e *Edge) stop(endWork context.CancelFunc) {
	e.mu.Lock()
	e.running = false
	var talks []*conversation
	for _, c := range e.talks {
		talks = append(talks, c)
	}
	var watches []*watching
	for _, w := range e.watches {
		watches = append(watches, w)
	}
	var feeds []*feeding
	for _, f := range e.feeds {
		feeds = append(feeds, f)
	}
	e.mu.Unlock()
	for _, c := range talks {
		c.step(session.Stop{})
	}
	for _, w := range watches {
		w.step(nil, presence.WatchStop{})
	}
	for _, f := range feeds {
		f.step(presence.FeedStop{}, nil)
	}
	e.mu.Lock()
	e.stopped = true
	e.mu.Unlock()
	grace := time.AfterFunc(stopGrace, endWork)
	e.group.Wait()
	grace.Stop()
	endWork()
	var links sync.WaitGroup
	for _, l := range e.stack.all() {
		links.Go(func() { l.drain(stopGrace, net.ErrClosed) })
	}
	links.Wait()
	e.stack.close()
	e.linkGroup.Wait()
}

func (e *Edge) serving() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.running
}

// spawn starts a goroutine that Run waits for; false if Run is ending.
func (e *Edge) spawn(f func()) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.stopped {
		return false
	}
	e.group.Go(f)
	return true
}

// follow starts a goroutine that follows a transaction.
func (e *Edge) follow(f func()) bool { return e.spawn(f) }

// Send takes a message for a SIP user: the im.Sink of the SIP side.
func (e *Edge) Send(m im.Message, outcome im.Outcome) {
	hop := e.byDomain[m.To.Domain]
	switch {
	case hop == nil:
		outcome(&im.Failure{Condition: im.RemoteServerNotFound, Text: m.To.Domain + " is not a domain behind this gateway"})
		return
	case m.To.Local == "" || m.From.Local == "":
		outcome(&im.Failure{Condition: im.ItemNotFound, Text: "messages go from person to person"})
		return
	}
	if !e.serving() {
		outcome(stopping())
		return
	}
	hop.mu.Lock()
	hop.lastFrom, hop.lastTo = m.From.Domain, m.To.Domain
	hop.mu.Unlock()
	if m.Receipt != "" {
		e.received(m)
	}
	switch {
	case m.Failure != nil:
		e.undelivered(m.From, m.To, m.ID, m.Body, m.Failure)
		outcome(nil)
	case m.Body != "" && hop.pages:
		e.page(hop, page{msg: m}, outcome)
	case m.Body != "":
		full := false
		e.with(pair{m.From.Bare(), m.To.Bare()}, hop, func(c *conversation) []func() {
			return c.sendLocked(m, outcome)
		}, func() { full = true })
		if full {
			outcome(&im.Failure{Condition: im.ResourceConstraint, Text: "too many conversations"})
		}
	default:
		e.state(m)
		outcome(nil)
	}
}

// state passes on what an XMPP user is doing, if there is a session that can show it.
func (e *Edge) state(m im.Message) {
	e.mu.Lock()
	c := e.talks[pair{m.From.Bare(), m.To.Bare()}]
	e.mu.Unlock()
	if c == nil {
		return
	}
	switch m.State {
	case im.Gone:
		c.step(session.Leave{})
	case im.Composing, im.Active, im.Paused, im.Inactive:
		c.typing(m.State)
	}
}
