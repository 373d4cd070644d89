package googletalk

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"net"
	"strings"
	"sync"
	"sync/atomic"
)

// Farm is a running farm. Its methods are safe for concurrent use.
type Farm struct {
	cfg    Config
	secret string // of the dialback keys; shared by all machines. XEP-0185 §2

	random struct {
		sync.Mutex
		*rand.Rand
	}
	accounts *accounts
	machines []*machine
	closing  atomic.Bool
}

// machine is one host of the farm: what is configured, and what runs at the moment.
type machine struct {
	farm   *Farm
	host   Host
	quirks Quirks
	style  style
	bare   bool // headers without from and to

	mu      sync.Mutex // guards now; not held while anything blocks
	now     *boot      // nil while down
	changes sync.Mutex // serialises SetDown, Restart and Close
}

// boot is one run of a machine, from start to stop.
type boot struct {
	farm    *Farm
	machine *machine
	ctx     context.Context
	cancel  context.CancelFunc
	lns     []net.Listener
	wg      sync.WaitGroup

	mu      sync.Mutex
	stopped bool
	streams map[*stream]bool
	names   map[string]int // how many streams of each direction there have been
	links   map[pair]*link
}

// maxStreams bounds the connections that one machine serves at a time.
const maxStreams = 2000

// Start starts a farm: when it returns, every host that is not down listens. ctx bounds the start only; [Farm.Close] stops
// the farm. The error lists everything that is wrong with the configuration, or says which host cannot listen.
func Start(ctx context.Context, cfg Config) (*Farm, error) {
	cfg, err := cfg.check()
	if err != nil {
		return nil, err
	}
	f := &Farm{cfg: cfg}
	f.random.Rand = rand.New(rand.NewPCG(cfg.Seed, 0x676f6f676c65))
	f.secret = f.hex(16)
	f.accounts = newAccounts(f)
	for _, h := range cfg.Hosts {
		m := &machine{farm: f, host: h, quirks: *h.Quirks, style: styleOf(cfg.Seed, h.Name), bare: cfg.Partner == nil && h.Quirks.bareHeaders(h)}
		f.machines = append(f.machines, m)
		if h.Down {
			continue
		}
		if err := m.start(ctx); err != nil {
			f.Close()
			return nil, err
		}
	}
	return f, nil
}

// Close stops the farm: streams get a closing tag, connections end, and every goroutine has returned when Close does. It may
// be called more than once.
func (f *Farm) Close() error {
	f.closing.Store(true)
	var wg sync.WaitGroup
	for _, m := range f.machines {
		wg.Go(func() {
			m.changes.Lock()
			defer m.changes.Unlock()
			m.halt(true)
		})
	}
	wg.Wait()
	return nil
}

// SetDown takes a host off the network, or back. Going down ends its connections without a word, and whatever its links
// have not sent leaves from another host.
func (f *Farm) SetDown(host string, down bool) error {
	m, err := f.machine(host)
	if err != nil {
		return err
	}
	m.changes.Lock()
	defer m.changes.Unlock()
	if down {
		m.halt(false)
		return nil
	}
	if m.running() != nil {
		return nil
	}
	return m.start(context.Background())
}

// Restart ends everything on a host properly and starts it again.
func (f *Farm) Restart(host string) error {
	m, err := f.machine(host)
	if err != nil {
		return err
	}
	m.changes.Lock()
	defer m.changes.Unlock()
	m.halt(true)
	return m.start(context.Background())
}

// machine finds a host by its name or one of the names DNS gives it.
func (f *Farm) machine(name string) (*machine, error) {
	var known []string
	for _, m := range f.machines {
		for _, n := range append([]string{m.host.Name}, m.host.Names...) {
			if strings.EqualFold(n, name) {
				return m, nil
			}
			known = append(known, n)
		}
	}
	return nil, fmt.Errorf("googletalk: no host %q in the farm; there are %s", name, strings.Join(known, ", "))
}

// ErrDown is returned when something is to be sent, and neither the host that was asked for nor, if none was, any other runs.
var ErrDown = errors.New("googletalk: no host of the farm is up")

// carrier is the running host that carries what user sends: the one asked for, else always the same one while it is up, so
// that a conversation stays in order.
func (f *Farm) carrier(user, via string) (*boot, error) {
	if via != "" {
		m, err := f.machine(via)
		if err != nil {
			return nil, err
		}
		if b := m.running(); b != nil {
			return b, nil
		}
		return nil, fmt.Errorf("%w: nothing can be sent via %q", ErrDown, via)
	}
	h := fnv.New64a()
	fmt.Fprintf(h, "%d %s", f.cfg.Seed, user)
	first := int(h.Sum64() % uint64(len(f.machines)))
	for i := range f.machines {
		if b := f.machines[(first+i)%len(f.machines)].running(); b != nil {
			return b, nil
		}
	}
	return nil, ErrDown
}

// hex is n random bytes in upper-case hexadecimal digits, the form of Google's identifiers.
func (f *Farm) hex(n int) string {
	f.random.Lock()
	defer f.random.Unlock()
	var s strings.Builder
	for range n {
		fmt.Fprintf(&s, "%02X", f.random.IntN(256))
	}
	return s.String()
}

// ours reports whether the farm serves domain.
func (f *Farm) ours(domain string) bool { return contains(f.cfg.Domains, domain) }

func (m *machine) running() *boot {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.now
}

// start makes the machine listen. The caller holds m.changes.
func (m *machine) start(ctx context.Context) error {
	ln, err := m.listen(ctx, m.host.Listen)
	if err != nil {
		return err
	}
	b := &boot{
		farm: m.farm, machine: m, lns: []net.Listener{ln},
		streams: map[*stream]bool{}, names: map[string]int{}, links: map[pair]*link{},
	}
	if p := m.farm.cfg.Partner; p.direct() {
		direct, err := m.listen(ctx, p.Direct)
		if err != nil {
			ln.Close()
			return err
		}
		b.lns = append(b.lns, direct)
	}
	b.ctx, b.cancel = context.WithCancel(context.Background())
	for i, ln := range b.lns {
		b.goes(func() { b.accept(ln, i > 0) })
	}
	m.mu.Lock()
	m.now = b
	m.mu.Unlock()
	return nil
}

func (m *machine) listen(ctx context.Context, at string) (net.Listener, error) {
	ln, err := m.host.Network.Listen(ctx, "tcp", at)
	if err != nil {
		return nil, fmt.Errorf("googletalk: host %s cannot listen on %s: %w", m.host.Name, at, err)
	}
	return ln, nil
}

// halt stops what runs on the machine, with closing tags or without, and hands on what was not sent. The caller holds
// m.changes.
func (m *machine) halt(politely bool) {
	m.mu.Lock()
	b := m.now
	m.now = nil
	m.mu.Unlock()
	if b != nil {
		b.close(politely)
	}
}

func (b *boot) name() string { return b.machine.host.Name }

// log writes a line of the machine's own log.
func (b *boot) log(format string, args ...any) {
	b.farm.cfg.Log.Info(fmt.Sprintf(format, args...), "host", b.name())
}

// goes runs f in a goroutine that close waits for. After close has begun, it does nothing.
func (b *boot) goes(f func()) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.stopped {
		return false
	}
	b.wg.Go(f)
	return true
}

// accept serves what comes in at a listener. direct means that TLS comes first there.
func (b *boot) accept(ln net.Listener, direct bool) {
	for {
		conn, err := ln.Accept()
		if err != nil {
			return
		}
		b.mu.Lock()
		full := len(b.streams) >= maxStreams
		b.mu.Unlock()
		if full || !b.goes(func() { b.serve(conn, direct) }) {
			conn.Close()
		}
	}
}

// track notes a new stream and names it.
func (b *boot) track(s *stream, direction string) string {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.streams[s] = true
	b.names[direction]++
	return fmt.Sprintf("%s-%d", direction, b.names[direction])
}

func (b *boot) untrack(s *stream) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.streams, s)
}

// close stops the machine and returns when all its goroutines have.
func (b *boot) close(politely bool) {
	b.mu.Lock()
	b.stopped = true
	var open []*stream
	for s := range b.streams {
		open = append(open, s)
	}
	b.mu.Unlock()
	for _, ln := range b.lns {
		ln.Close()
	}
	if politely {
		for _, s := range open {
			s.finish()
		}
		// A peer that does not read gets no closing tag; the others have it at once.
		ctx, cancel := context.WithTimeout(context.Background(), b.farm.cfg.Timeouts.Close)
		for _, s := range open {
			select {
			case <-s.written:
			case <-ctx.Done():
			}
		}
		cancel()
	}
	b.cancel()
	for _, s := range open {
		s.conn.Close()
	}
	b.wg.Wait()
	b.handOn()
}
