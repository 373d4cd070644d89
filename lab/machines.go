package lab

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"fedlab/doctor"
	"fedlab/internal/network"
	"fedlab/internal/pki"
	"fedlab/lab/report"
	"fedlab/lab/scenario"
	"fedlab/sim/dns"
	"fedlab/sim/googletalk"
	"fedlab/sim/ocsedge"
	"fedlab/sim/trace"
)

// A world of real machines is driven from one place. On each machine runs [ServeMachines], which does there what the virtual world
// does in one process: it starts the machine's fakes, makes its users act, uses the field's tools and examines. It is told by
// lines of [Order] and tells in lines of [Told].
type (
	// Order is one thing to do. Do says what; the other fields are what it needs.
	Order struct {
		ID       int                `json:"id"`
		Do       Deed               `json:"do"`
		Own      []string           `json:"own,omitempty"`      // deploy: the topology's hosts that this machine is
		Topology *scenario.Topology `json:"topology,omitempty"` // deploy, change
		Papers   map[string]Paper   `json:"papers,omitempty"`   // deploy, change
		Seed     uint64             `json:"seed,omitempty"`     // deploy
		Send     *scenario.Send     `json:"send,omitempty"`
		Body     string             `json:"body,omitempty"` // send
		Step     *scenario.Step     `json:"step,omitempty"` // people, look
		Stranger *scenario.Stranger `json:"stranger,omitempty"`
		Host     string             `json:"host,omitempty"` // stop, start
		From     string             `json:"from,omitempty"` // examine: the vantage point
	}

	// Deed is what an order is about.
	Deed string

	// Told is a line of a machine: something that happened, or the answer to an order.
	Told struct {
		Event  *trace.Event `json:"event,omitempty"`
		Answer *Answer      `json:"answer,omitempty"`
	}

	// Answer is what came of an order.
	Answer struct {
		ID       int                `json:"id"`
		Error    string             `json:"error,omitempty"`
		Views    []report.View      `json:"views,omitempty"`
		Findings []doctor.Finding   `json:"findings,omitempty"`
		Outcome  googletalk.Outcome `json:"outcome,omitzero"`
	}

	// Paper is a certificate with its key, and what its holder trusts, all in PEM.
	Paper struct {
		Chain []byte `json:"chain,omitempty"`
		Leaf  []byte `json:"leaf,omitempty"`
		Key   []byte `json:"key,omitempty"`
		Trust []byte `json:"trust,omitempty"`
	}
)

// What a machine can be told to do.
const (
	DoDeploy   Deed = "deploy" // the first order, once
	DoSend     Deed = "send"
	DoPeople   Deed = "people"
	DoLook     Deed = "look"
	DoStranger Deed = "stranger"
	DoExamine  Deed = "examine"
	DoStop     Deed = "stop"
	DoStart    Deed = "start"
	DoChange   Deed = "change"
	DoViews    Deed = "views"
	DoClose    Deed = "close" // the last order: ends what was started, and the program
)

// ServeMachines is the machine's side. It obeys the lines of in, several orders at a time if it is told so, and returns after
// [DoClose], at the end of in, or when ctx ends.
func ServeMachines(ctx context.Context, in io.Reader, out io.Writer, log *slog.Logger) error {
	ctx, cancel := context.WithCancel(ctx)
	m := &site{out: json.NewEncoder(out), log: log}
	var all sync.WaitGroup
	defer all.Wait()
	defer cancel()
	lines := make(chan Order)
	broken := make(chan error, 1)
	go func() { // ends with the standard input, that is at the latest with the program
		defer close(lines)
		for d := json.NewDecoder(bufio.NewReader(in)); ; {
			var o Order
			if err := d.Decode(&o); err != nil {
				if !errors.Is(err, io.EOF) {
					broken <- fmt.Errorf("an order cannot be read: %w", err)
				}
				return
			}
			select {
			case lines <- o:
			case <-ctx.Done():
				return
			}
		}
	}()
	for {
		select {
		case o, open := <-lines:
			if !open {
				select {
				case err := <-broken:
					return errors.Join(err, m.close())
				default:
					return m.close()
				}
			}
			switch o.Do {
			case DoDeploy, DoClose: // nothing else at the same time
				all.Wait()
				m.obey(ctx, o)
				if o.Do == DoClose {
					return nil
				}
			default:
				all.Go(func() { m.obey(ctx, o) })
			}
		case <-ctx.Done():
			return m.close()
		}
	}
}

// site is what runs on this machine.
type site struct {
	log   *slog.Logger
	world *world

	mu  sync.Mutex // guards out, which is written whole lines at a time, and closed
	out *json.Encoder
	end sync.Once

	telling sync.WaitGroup
	told    context.CancelFunc // ends the telling of the trace, when everything is told; nil before there is a trace
}

func (m *site) tell(t Told) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.out.Encode(t); err != nil {
		m.log.Error("nobody listens", "error", err)
	}
}

// tellTrace tells every event until ctx ends, and then what there still is.
func (m *site) tellTrace(ctx context.Context, r *trace.Recorder) {
	for seen := 0; ; {
		event, err := r.Await(ctx, seen, func(trace.Event) bool { return true })
		if err != nil {
			for _, event := range r.Since(seen) {
				m.tell(Told{Event: &event})
			}
			return
		}
		m.tell(Told{Event: &event})
		seen = event.Seq
	}
}

func (m *site) close() (err error) {
	m.end.Do(func() {
		if m.world != nil {
			err = m.world.stop()
		}
		if m.told != nil {
			m.told()
			m.telling.Wait()
		}
	})
	return err
}

func (m *site) obey(ctx context.Context, o Order) {
	a := &Answer{ID: o.ID}
	if err := m.do(ctx, o, a); err != nil {
		a.Error = err.Error()
	}
	m.tell(Told{Answer: a})
}

func (m *site) do(ctx context.Context, o Order, a *Answer) (err error) {
	if o.Do == DoDeploy {
		if m.world != nil {
			return errors.New("something is deployed already")
		}
		r := trace.NewRecorder()
		telling, told := context.WithCancel(context.Background())
		m.told = told
		m.telling.Go(func() { m.tellTrace(telling, r) })
		m.world, err = buildHere(ctx, o, r, m.log)
		return err
	}
	if o.Do == DoClose {
		return m.close()
	}
	if m.world == nil {
		return errors.New("nothing is deployed yet")
	}
	l := local{m.world}
	switch o.Do {
	case DoSend:
		return l.Send(ctx, o.Send, o.Body)
	case DoPeople:
		return l.People(ctx, o.Step)
	case DoLook:
		a.Views, err = l.Look(ctx, o.Step)
		return err
	case DoStranger:
		a.Outcome, err = l.Stranger(ctx, o.Stranger)
		return err
	case DoExamine:
		a.Findings = l.Examine(ctx, o.From)
		return nil
	case DoStop:
		return l.StopHost(ctx, o.Host)
	case DoStart:
		return l.StartHost(ctx, o.Host)
	case DoChange:
		*m.world.papers = *given(o.Topology, o.Papers)
		return l.Change(ctx, o.Topology)
	case DoViews:
		a.Views = l.Views(ctx)
		return nil
	}
	return fmt.Errorf("an order to do %q, which nobody here knows", o.Do)
}

// buildHere is build for the hosts of a topology that this machine is. The gateway is a process of its own beside it.
func buildHere(ctx context.Context, o Order, r *trace.Recorder, log *slog.Logger) (*world, error) {
	w := &world{
		topology: o.Topology, trace: r, log: log, seed: o.Seed, own: o.Own, papers: given(o.Topology, o.Papers),
		servers: map[string]*dns.Server{}, edges: map[string]*ocsedge.Edge{}, gateways: map[string]*running{}, partners: map[string]*googletalk.Farm{},
		dead: map[string]bool{}, begun: map[string]uint64{},
		people: map[string]person{},
	}
	w.on = func(host, owner string) machine {
		var n network.OS
		if len(o.Own) > 1 { // several of the topology's hosts on one machine: each calls from its own address
			n.Dialer.LocalAddr = net.TCPAddrFromAddrPort(netip.AddrPortFrom(firstAddress(o.Topology.Hosts[host]), 0))
		}
		return n
	}
	for _, start := range w.starts() {
		if err := start(ctx); err != nil {
			return nil, errors.Join(err, w.stop())
		}
	}
	return w, nil
}

// firstAddress is a host's address, one of them if it has several.
func firstAddress(h scenario.Host) netip.Addr {
	for _, segment := range sorted(h.Interfaces) {
		return h.Interfaces[segment].Addr()
	}
	return netip.Addr{}
}

// AdminListen is where a gateway in a world of real machines answers questions about itself.
const AdminListen = "127.0.0.1:9469"

// askAdmin gets a gateway's status as its operator would.
func askAdmin(ctx context.Context) ([]byte, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+AdminListen+"/status", nil)
	if err != nil {
		return nil, err
	}
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	response, err := client.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	const most = 4 << 20
	return io.ReadAll(io.LimitReader(response.Body, most))
}

// otherKey is what the certificate with a key that belongs to none of the others stands under.
const otherKey = " other"

// given makes papers of what another process has minted. They are what they are: installing changes nothing.
func given(t *scenario.Topology, all map[string]Paper) *papers {
	p := &papers{pairs: map[string]*pki.Pair{}, trust: map[string][]byte{}, specs: map[string]*scenario.Certificate{}, given: true}
	for name, paper := range all {
		p.trust[name] = paper.Trust
		if len(paper.Chain) > 0 {
			p.pairs[name] = &pki.Pair{CertPEM: paper.Chain, LeafPEM: paper.Leaf, KeyPEM: paper.Key}
		}
		host, xmpp := strings.CutSuffix(name, forXMPP)
		p.specs[name] = t.Hosts[host].Certificate
		if g := t.Hosts[host].Gateway; xmpp && g != nil {
			p.specs[name] = g.Certificate
		}
	}
	p.other = p.pairs[otherKey]
	return p
}

// Papers are the certificates of a deployment whose machines are elsewhere.
type Papers struct{ minted *papers }

// NewPapers makes every certificate that t asks for, right or wrong.
func NewPapers(t *scenario.Topology) (*Papers, error) {
	p, err := mint(t, time.Now())
	return &Papers{p}, err
}

// Install makes a host's certificates anew, as they have to be now.
func (p *Papers) Install(name string, now scenario.Host) error {
	return p.minted.install(name, now, time.Now())
}

// All is every paper, for orders.
func (p *Papers) All() map[string]Paper {
	all := map[string]Paper{otherKey: paper(p.minted.other, nil)}
	for name, pair := range p.minted.pairs {
		all[name] = paper(pair, p.minted.trust[name])
	}
	for name, trust := range p.minted.trust {
		if _, ok := all[name]; !ok {
			all[name] = Paper{Trust: trust}
		}
	}
	return all
}

func paper(pair *pki.Pair, trust []byte) Paper {
	if pair == nil {
		return Paper{Trust: trust}
	}
	return Paper{Chain: pair.CertPEM, Leaf: pair.LeafPEM, Key: pair.KeyPEM, Trust: trust}
}

// Disk is what stands on the disk of a gateway's machine: its configuration fedgate.yaml, and every file that it names and that
// is there.
func (p *Papers) Disk(name string, h scenario.Host) (map[string][]byte, error) {
	var file map[string]any
	if err := json.Unmarshal(gatewayFile(h), &file); err != nil {
		return nil, err
	}
	file["admin"] = map[string]any{"listen": AdminListen}
	text, err := json.MarshalIndent(file, "", "  ")
	if err != nil {
		return nil, err
	}
	disk := map[string][]byte{"fedgate.yaml": text}
	for _, prefix := range []string{"", "xmpp-"} {
		for _, f := range []string{"gateway.pem", "gateway.key", "authorities.pem"} {
			if data, err := p.minted.files(name)(prefix + f); err == nil && len(data) > 0 {
				disk[prefix+f] = data
			}
		}
	}
	return disk, nil
}

// Renewed are the hosts whose certificates or trust differ between two deployments.
func Renewed(old, now *scenario.Topology) []string {
	return slices.DeleteFunc(sorted(now.Hosts), func(name string) bool { return !renewed(old.Hosts[name], now.Hosts[name]) })
}
