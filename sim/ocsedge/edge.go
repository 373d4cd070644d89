package ocsedge

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"math/rand/v2"
	"net"
	"slices"
	"strings"
	"sync"
	"time"

	"fedlab/internal/network"
	"fedlab/sim/trace"
)

// Config is everything an Edge is started with. Network, Name, Federation, Certificate and Domains are required.
type Config struct {
	Network network.Network // the Edge machine
	Host    string          // the machine's name in the trace; default Name
	Name    string          // federation name, which the certificate carries: sip.contoso.com

	Federation string // address of the federation listener: "10.11.12.33:5061"
	Second     string // that of a second Edge, which shares name, certificate and pool with this one; empty: none
	Internal   string // address of the internal interface: "10.10.10.50:5061"; empty: none

	Certificate         tls.Certificate        // of the federation listener and of the connections the Edge opens
	InternalCertificate tls.Certificate        // of the internal interface; default Certificate
	Roots               *x509.CertPool         // the authorities installed on the machine; nil: the system's
	Intermediates       []*x509.Certificate    // issuing certificates installed on the machine
	Revoked             []*x509.RevocationList // lists of revoked certificates installed on the machine

	Domains []string          // the organisation's SIP domains
	Allow   map[string]string // Allow list: federated domain to the host name of its next hop. Without a name its SRV record says so
	Block   []string          // blocked domains

	// Discovery lets in domains that are on no list, if their SRV record names the peer (partner discovery; off by default in the
	// product), within the limits of discovered partners: 20 messages a second, one when most of them fail, 1000 addresses.
	Discovery bool

	Users []User // the pool's users

	// Presence has the users' clients subscribe to their contacts when the Edge starts, as clients do when they sign in. Without
	// it nobody is subscribed to before Subscribe says so, and the Edge is silent until somebody writes.
	Presence bool

	Trace  *trace.Recorder // nil: none
	KeyLog io.Writer       // TLS secrets go here, for captures; nil: nowhere
	Seed   uint64          // of everything random in what the Edge sends, and of what the specifications leave open
	Log    *slog.Logger    // of the fake itself, not the Edge's log; nil: discard
	Quirks Quirks
}

// User is a person of the organisation with a client.
type User struct {
	Address  string   // alice@contoso.com
	Name     string   // display name; default made from the address
	Contacts []string // who is on the contact list from the beginning: see Config.Presence; as watchers they need no approval
	State    State    // default Online
}

// State is what a user's client does with what comes in.
type State string

// The states.
const (
	Online   State = ""         // takes everything
	Offline  State = "offline"  // no client is signed in: 480
	Busy     State = "busy"     // does not want to be disturbed: 486
	Declines State = "declines" // rejects every invitation: 603
	Silent   State = "silent"   // the client rings and nobody answers: 408 after a minute
	Left     State = "left"     // no longer enabled for SIP: 404, like a user who never was (ErrorId 4005)
	Internal State = "internal" // not enabled for federation: 403 (ErrorId 1002)
)

// ErrClosed is returned by everything that is asked of an Edge after Close.
var ErrClosed = errors.New("ocsedge: the Edge is closed")

// ErrNoUser is returned when somebody is to act who is not a user of the pool, or has no client.
var ErrNoUser = errors.New("ocsedge: no such user in the pool")

// settings are what a running Edge's administrator can change. A value does not change once it is in use.
type settings struct {
	certificate, internal tls.Certificate
	roots                 *x509.CertPool
	intermediates         []*x509.Certificate
	lists                 []*x509.RevocationList
	domains               []string
	allow                 map[string]string
	block                 []string
	quirks                Quirks
	keyLog                io.Writer
}

// Edge is a running fake. Its methods are safe for concurrent use.
type Edge struct {
	cfg    Config
	slog   *slog.Logger
	ctx    context.Context // ends when Close begins
	cancel context.CancelFunc
	wg     sync.WaitGroup
	events chan func()
	done   chan struct{} // closed when the loop has ended

	listeners []net.Listener

	// Everything below belongs to the loop.
	*settings
	rand   *rand.Rand
	timers timers
	links  map[*link]struct{}
	hops   map[string]*hop
	users  map[string]*user
	calls  calls

	reported map[string]sentText // texts sent outside of sessions, by the name that the report will have for them

	partners map[string]*partner
	number   int // of connections, for their names

	logMu sync.Mutex
	lines []string
}

// Start checks cfg and opens the listeners. ctx bounds the start only; Close ends the Edge.
func Start(ctx context.Context, cfg Config) (*Edge, error) {
	switch {
	case cfg.Network == nil:
		return nil, errors.New("ocsedge: Config.Network is missing")
	case cfg.Name == "" || cfg.Federation == "":
		return nil, errors.New("ocsedge: Config.Name and Config.Federation are needed: the federation name and where it listens")
	case len(cfg.Certificate.Certificate) == 0:
		return nil, errors.New("ocsedge: Config.Certificate is missing: an Edge without one cannot federate")
	case len(cfg.Domains) == 0:
		return nil, errors.New("ocsedge: Config.Domains is empty: the Edge has to know its organisation's SIP domains")
	}
	cfg.Host = cmp.Or(cfg.Host, cfg.Name)
	e := &Edge{
		cfg:    cfg,
		slog:   cfg.Log,
		events: make(chan func(), 64),
		done:   make(chan struct{}),
		settings: &settings{
			keyLog:        cfg.KeyLog,
			certificate:   cfg.Certificate,
			internal:      cfg.InternalCertificate,
			roots:         cfg.Roots,
			intermediates: cfg.Intermediates,
			lists:         cfg.Revoked,
			domains:       lower(cfg.Domains),
			allow:         lowerKeys(cfg.Allow),
			block:         lower(cfg.Block),
			quirks:        cfg.Quirks,
		},
		rand:     rand.New(rand.NewPCG(cfg.Seed, 0x0c5ed6e)),
		links:    map[*link]struct{}{},
		hops:     map[string]*hop{},
		users:    map[string]*user{},
		reported: map[string]sentText{},
		partners: map[string]*partner{},
		calls:    newCalls(),
	}
	if len(e.internal.Certificate) == 0 {
		e.internal = e.certificate
	}
	if e.slog == nil {
		e.slog = slog.New(slog.NewTextHandler(io.Discard, nil))
	}
	if err := cfg.Quirks.check(); err != nil {
		return nil, err
	}
	if err := e.setUsers(cfg.Users); err != nil {
		return nil, err
	}
	for _, address := range []string{cfg.Federation, cfg.Second, cfg.Internal} {
		if address == "" {
			continue
		}
		l, err := cfg.Network.Listen(ctx, "tcp", address)
		if err != nil {
			for _, l := range e.listeners {
				l.Close()
			}
			return nil, fmt.Errorf("ocsedge: %w", err)
		}
		e.listeners = append(e.listeners, l)
	}
	e.ctx, e.cancel = context.WithCancel(context.Background())
	e.wg.Go(e.loop)
	for i, l := range e.listeners {
		e.wg.Go(func() { e.accept(l, cfg.Internal != "" && i == len(e.listeners)-1) })
	}
	e.post(e.begin)
	return e, nil
}

// Close ends the Edge as a crash does: connections are closed, nobody is told. It returns when everything has ended.
func (e *Edge) Close() error {
	e.cancel()
	for _, l := range e.listeners {
		l.Close()
	}
	e.wg.Wait()
	return nil
}

// Restart drops every connection, session and subscription, as when the Edge and the pool behind it are started again: nobody is
// told, and what the peer still sends in a dialog gets 481. Users are shown an error for what was not answered yet; their clients
// sign in again and subscribe afresh. What users decided and published is kept. The listeners stay open.
func (e *Edge) Restart(ctx context.Context) error {
	return e.do(ctx, func() error {
		e.log(reason{}, "the service is started again")
		for _, l := range slices.SortedFunc(maps.Keys(e.links), func(a, b *link) int { return cmp.Compare(a.number, b.number) }) {
			e.lost(l, errRestart)
		}
		for _, address := range slices.Sorted(maps.Keys(e.users)) {
			u := e.users[address]
			for _, s := range slices.Clone(u.sessions) {
				s.fail(504)
			}
			for _, w := range slices.Clone(u.watchers) {
				w.end()
			}
			for _, w := range slices.Clone(u.watches) {
				w.again(0)
			}
		}
		clear(e.calls.dialogs)
		clear(e.partners)
		return nil
	})
}

const errRestart = syntaxError("the service is started again")

// Addr is the address of the federation listener.
func (e *Edge) Addr() net.Addr { return e.listeners[0].Addr() }

// loop owns all state. It never blocks: connections have a queue each, and what takes time runs in goroutines of its own that
// post their result.
func (e *Edge) loop() {
	defer close(e.done)
	clock := time.NewTimer(time.Hour)
	defer clock.Stop()
	for {
		clock.Reset(e.timers.next(time.Now()))
		select {
		case f := <-e.events:
			f()
		case <-clock.C:
			for f := e.timers.due(time.Now()); f != nil; f = e.timers.due(time.Now()) {
				f()
			}
		case <-e.ctx.Done():
			for l := range e.links {
				l.drop()
			}
			return
		}
	}
}

// post hands f to the loop. It returns false if the Edge has ended.
func (e *Edge) post(f func()) bool {
	select {
	case e.events <- f:
		return true
	case <-e.done:
		return false
	case <-e.ctx.Done():
		return false
	}
}

// do has the loop run f and waits for it.
func (e *Edge) do(ctx context.Context, f func() error) error {
	result := make(chan error, 1)
	select {
	case e.events <- func() { result <- f() }:
	case <-e.ctx.Done():
		return ErrClosed
	case <-ctx.Done():
		return ctx.Err()
	}
	select {
	case err := <-result:
		return err
	case <-e.done:
		return ErrClosed
	case <-ctx.Done():
		return ctx.Err()
	}
}

// change replaces the settings by a changed copy.
func (e *Edge) change(ctx context.Context, f func(*settings)) error {
	return e.do(ctx, func() error {
		s := *e.settings
		f(&s)
		e.settings = &s
		return nil
	})
}

// SetAllow replaces the Allow list. Connections and sessions that stand are not touched; their next request is judged by it.
func (e *Edge) SetAllow(ctx context.Context, allow map[string]string) error {
	return e.change(ctx, func(s *settings) { s.allow = lowerKeys(allow) })
}

// SetQuirks replaces the quirks.
func (e *Edge) SetQuirks(ctx context.Context, q Quirks) error {
	if err := q.check(); err != nil {
		return err
	}
	return e.change(ctx, func(s *settings) { s.quirks = q })
}

// SetCertificate replaces the certificate of the federation listener and of the connections the Edge opens, from the next
// connection on, the lists of revoked certificates, and the trusted authorities if roots is not nil.
func (e *Edge) SetCertificate(ctx context.Context, c tls.Certificate, roots *x509.CertPool, revoked []*x509.RevocationList) error {
	return e.change(ctx, func(s *settings) {
		s.certificate, s.lists = c, revoked
		if roots != nil {
			s.roots = roots
		}
	})
}

// logLength is how many lines the Edge's own log keeps: strangers can make it write.
const logLength = 20000

// Log is the Edge's own log so far: what went wrong and why, which only who can read this machine sees.
func (e *Edge) Log() []string {
	e.logMu.Lock()
	defer e.logMu.Unlock()
	return slices.Clone(e.lines)
}

// log writes a line of the Edge's own log.
func (e *Edge) log(r reason, format string, args ...any) {
	line := fmt.Sprintf(format, args...)
	if r.code != "" {
		line = r.String() + "; " + line
	}
	e.logMu.Lock()
	if len(e.lines) >= logLength {
		e.lines = slices.Delete(e.lines, 0, logLength/10)
	}
	e.lines = append(e.lines, time.Now().UTC().Format("2006-01-02T15:04:05.000Z ")+line)
	e.logMu.Unlock()
	e.cfg.Trace.Record(trace.Event{Layer: trace.Log, Kind: "line", Host: e.cfg.Host, Summary: line})
	e.slog.Debug("edge log", "line", line)
}

func lower(in []string) []string {
	out := make([]string, len(in))
	for i, s := range in {
		out[i] = strings.ToLower(s)
	}
	return out
}

func lowerKeys(in map[string]string) map[string]string {
	out := make(map[string]string, len(in))
	for _, k := range slices.Sorted(maps.Keys(in)) {
		out[strings.ToLower(k)] = in[k]
	}
	return out
}
