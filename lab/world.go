package lab

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"time"

	"fedlab/gateway"
	"fedlab/gateway/config"
	"fedlab/internal/strictyaml"
	"fedlab/lab/scenario"
	"fedlab/sim/dns"
	"fedlab/sim/googletalk"
	"fedlab/sim/ocsedge"
	"fedlab/sim/trace"
	"fedlab/sim/vnet"
	"fedlab/sim/vnet/capture"
)

// world is a deployed topology, running: the virtual network and everything on its hosts.
type world struct {
	topology *scenario.Topology
	trace    *trace.Recorder
	log      *slog.Logger
	net      *vnet.Net                        // nil: the world is on the network of this machine
	on       func(host, owner string) machine // the network of a host; sockets opened through it belong to owner
	own      []string                         // the hosts that are this world's; nil: all
	papers   *papers

	servers    map[string]*dns.Server      // by host
	farm       *googletalk.Farm            // Google's; nil if there is none
	partners   map[string]*googletalk.Farm // by host
	edges      map[string]*ocsedge.Edge    // by host
	gateways   map[string]*running         // by host
	bystanders []*bystander
	seed       uint64
	capture    *capture.Capture  // nil: none
	dead       map[string]bool   // hosts without power
	begun      map[string]uint64 // how often an Edge has been started, by host
	people     map[string]person // by address: the users of servers that others wrote
}

// running is a gateway process, or one that did not start.
type running struct {
	gateway *gateway.Gateway // nil: it did not start
	config  *config.Config
	problem error                                 // why it did not start
	ask     func(context.Context) ([]byte, error) // gets its status, of one that is a process of its own
	cancel  context.CancelFunc
	done    chan error
}

// ended is a gateway that did not start, or was stopped.
func ended(c *config.Config, problem error) *running {
	r := &running{config: c, problem: problem, cancel: func() {}, done: make(chan error, 1)}
	r.done <- nil
	return r
}

// status is what the gateway's admin listener gives out.
func (r *running) status(ctx context.Context) ([]byte, error) {
	if r.ask != nil {
		return r.ask(ctx)
	}
	if r.gateway == nil {
		return nil, errors.New("the gateway does not run")
	}
	return json.Marshal(r.gateway.Status())
}

// build starts everything that t deploys: name servers first, then the fakes, then the gateway. What it returns has to be stopped.
func build(ctx context.Context, t *scenario.Topology, o Options, log *slog.Logger) (w *world, err error) {
	w = &world{topology: t, trace: trace.NewRecorder(), log: log, servers: map[string]*dns.Server{}, edges: map[string]*ocsedge.Edge{}, partners: map[string]*googletalk.Farm{}, gateways: map[string]*running{}, dead: map[string]bool{}, begun: map[string]uint64{}, seed: o.Seed}
	defer func() {
		if err != nil {
			err = errors.Join(err, w.stop())
		}
	}()
	if err := OnVirtualNetwork(t); err != nil {
		return w, err
	}
	if w.papers, err = mint(t, time.Now()); err != nil {
		return w, err
	}
	if w.net, err = vnet.New(virtualNetwork(t), vnet.Options{Seed: o.Seed, Trace: w.trace}); err != nil {
		return w, err
	}
	w.on = func(host, owner string) machine { return w.net.Host(host).As(owner) }
	if o.Pcap != "" {
		w.capture = capture.Start(w.net)
	}
	for _, start := range w.starts() {
		if err := start(ctx); err != nil {
			return w, err
		}
	}
	return w, nil
}

// starts are what starts everything, in the order in which it has to be done.
func (w *world) starts() []func(context.Context) error {
	return []func(context.Context) error{w.startDNS, w.startBystanders, w.startFarm, w.startPartners, w.startEdges, w.startGateways}
}

// secrets is where the fakes write what opens the TLS connections in a capture; nil if there is none.
func (w *world) secrets() io.Writer {
	if w.capture == nil {
		return nil
	}
	return w.capture.KeyLog()
}

func (w *world) startDNS(ctx context.Context) error {
	for _, name := range w.hosts() {
		if w.topology.Hosts[name].DNS == nil {
			continue
		}
		if err := w.startServer(ctx, name); err != nil {
			return fmt.Errorf("name server %s: %w", name, err)
		}
	}
	return nil
}

func (w *world) startServer(ctx context.Context, name string) error {
	d := w.topology.Hosts[name].DNS
	s, err := dns.Start(ctx, dns.Config{
		Network: w.on(name, "dns"), Host: name, Listen: w.listen(name, 53), Zones: zones(w.topology.Zones[d.View]), Forward: withPort(d.Forward, 53), Faults: faults(d), Trace: w.trace,
	})
	if err != nil {
		return err
	}
	w.servers[name] = s
	return nil
}

func (w *world) startFarm(ctx context.Context) error {
	c := googletalk.Config{Trace: w.trace, Seed: w.seed, Log: w.log}
	for _, name := range w.hosts() {
		g := w.topology.Hosts[name].GoogleTalk
		if g == nil {
			continue
		}
		h := googletalk.Host{Name: name, Names: g.Names, Listen: w.listen(name, 5269), Network: w.on(name, "googletalk"), Down: g.Down}
		if g.Quirks != nil {
			h.Quirks = new(googletalk.Quirks)
		}
		if err := errors.Join(quirks(g.Quirks, h.Quirks), quirks(g.FarmQuirks, &c.Quirks)); err != nil {
			return err
		}
		c.Hosts = append(c.Hosts, h)
		c.Domains = append(c.Domains, g.Domains...)
		c.Users = append(c.Users, farmUsers(g.Users)...)
	}
	if len(c.Hosts) == 0 {
		return nil
	}
	var err error
	w.farm, err = googletalk.Start(ctx, c)
	return err
}

func (w *world) startEdges(ctx context.Context) error {
	for _, name := range w.hosts() {
		if h := w.topology.Hosts[name]; h.Edge == nil || h.ServedBy() != "" {
			continue
		}
		if err := w.startEdge(ctx, name); err != nil {
			return fmt.Errorf("the Access Edge %s: %w", name, err)
		}
	}
	return nil
}

func (w *world) startEdge(ctx context.Context, name string) error {
	e := w.topology.Hosts[name].Edge
	seed := w.seed + w.begun[name]<<32 // what is restarted does not give out the same identifiers again
	w.begun[name]++
	c := ocsedge.Config{
		Network: w.on(name, "ocsedge"), Host: name, Name: e.Name, Certificate: w.papers.certificate(name), Roots: w.papers.trusted(name), Revoked: w.papers.lists(name),
		Domains: e.Domains, Allow: e.Allow, Trace: w.trace, Seed: seed, Log: w.log, KeyLog: w.secrets(),
	}
	if err := quirks(e.Quirks, &c.Quirks); err != nil {
		return err
	}
	if e.Federation.IsValid() {
		c.Federation = netip.AddrPortFrom(e.Federation, 5061).String()
	}
	if e.Second.IsValid() {
		c.Second = netip.AddrPortFrom(e.Second, 5061).String()
	}
	if e.Internal.IsValid() {
		c.Internal = netip.AddrPortFrom(e.Internal, 5061).String()
	}
	for _, address := range sorted(e.Users) {
		c.Users = append(c.Users, ocsedge.User{Address: address, Contacts: e.Users[address].Contacts, State: ocsedge.State(e.Users[address].State)})
	}
	edge, err := ocsedge.Start(ctx, c)
	if err != nil {
		return err
	}
	w.edges[name] = edge
	return nil
}

// Quirks are the structs that a topology's quirks are read into: see scenario.Library.
func Quirks() map[string]any {
	return map[string]any{"google_talk": googletalk.Quirks{}, "edge": ocsedge.Quirks{}}
}

// quirks reads the quirks of a fake, if there are any.
func quirks(n *strictyaml.Node, into any) error {
	if n == nil || n.Kind == strictyaml.Null {
		return nil
	}
	var l strictyaml.List
	strictyaml.Decode(n, into, &l)
	return l.Err()
}

func faults(d *scenario.DNS) dns.Faults {
	all := dns.Faults{}
	for name, fault := range d.Faults {
		all[name] = dns.Fault(fault)
	}
	return all
}

func (w *world) startGateways(ctx context.Context) error {
	for _, name := range w.hosts() {
		if w.topology.Hosts[name].Gateway == nil {
			continue
		}
		if err := w.startGateway(ctx, name); err != nil {
			return fmt.Errorf("gateway %s: %w", name, err)
		}
	}
	return nil
}

// startGateway starts the gateway of a host as its operator would: from a configuration file. With a certificate that cannot be
// used it does not start, as in the field, and the scenario goes on with a machine on which nothing listens.
func (w *world) startGateway(ctx context.Context, name string) error {
	c, err := config.Parse(name+".yaml", gatewayFile(w.topology.Hosts[name]), w.papers.files(name))
	if err != nil && c != nil && config.OnlyCertificates(err) {
		w.trace.Record(trace.Event{Layer: trace.Log, Kind: trace.Failed, Host: name, Summary: "the gateway does not start: " + err.Error()})
		w.gateways[name] = ended(c, err)
		return nil
	}
	if err != nil {
		return err
	}
	if w.net == nil {
		r := ended(c, nil) // not here, but in a process of its own
		r.ask = askAdmin
		w.gateways[name] = r
		return nil
	}
	g, err := gateway.New(gateway.Options{Config: c, Network: w.on(name, "fedgate"), Log: w.log, Seed: w.seed})
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	r := &running{gateway: g, config: c, cancel: cancel, done: make(chan error, 1)}
	go func() { r.done <- g.Run(ctx) }()
	w.gateways[name] = r
	select {
	case <-g.Ready():
		return nil
	case err := <-r.done:
		r.done <- err
		return fmt.Errorf("ended at once: %w", err)
	}
}

// edgeOf is the Edge of the organisation that a user belongs to, nil if none does.
func (w *world) edgeOf(user string) *ocsedge.Edge {
	for name, edge := range w.edges {
		if _, ok := w.topology.Hosts[name].Edge.Users[user]; ok {
			return edge
		}
	}
	return nil
}

// machine is a host as somebody who sits at it sees it.
func (w *world) machine(name string) (machine, error) {
	if _, ok := w.topology.Hosts[name]; ok && w.owns(name) {
		return w.on(name, ""), nil
	}
	return nil, fmt.Errorf("there is no host %q", name)
}

// hosts are the names of the topology's hosts that are this world's own.
func (w *world) hosts() []string {
	return slices.DeleteFunc(sorted(w.topology.Hosts), func(name string) bool { return !w.owns(name) })
}

func (w *world) owns(host string) bool { return w.own == nil || slices.Contains(w.own, host) }

// listen is where a fake listens.
func (w *world) listen(host string, port uint16) string {
	if w.net != nil {
		return fmt.Sprintf(":%d", port)
	}
	return netip.AddrPortFrom(firstAddress(w.topology.Hosts[host]), port).String()
}

// settleLimit bounds, in virtual time, how long a message may be under way: the gateway's own bound and the fakes' together.
const settleLimit = 5 * time.Minute

// settle waits until every message has been delivered or returned.
func settle(ctx context.Context, r *trace.Recorder) {
	ctx, cancel := context.WithTimeout(ctx, settleLimit)
	defer cancel()
	var messages ledger
	all := follower{trace: r, enter: func(e trace.Event) { messages.enter(e) }, forget: func() { messages = ledger{} }}
	for all.catchUp(); messages.open > 0; all.catchUp() {
		if !all.more(ctx) {
			return
		}
	}
}

// stop ends everything in the reverse order of its start and waits for it.
func (w *world) stop() error {
	var errs []error
	for _, name := range sorted(w.gateways) {
		errs = append(errs, w.stopGateway(name))
	}
	errs = append(errs, w.stopPeople(sorted(w.people)))
	for _, name := range sorted(w.edges) {
		errs = append(errs, w.edges[name].Close())
	}
	for _, name := range sorted(w.partners) {
		errs = append(errs, w.partners[name].Close())
	}
	if w.farm != nil {
		errs = append(errs, w.farm.Close())
	}
	for _, b := range w.bystanders {
		errs = append(errs, b.stop())
	}
	for _, name := range sorted(w.servers) {
		errs = append(errs, w.servers[name].Close())
	}
	if w.net != nil {
		w.net.Close()
	}
	return errors.Join(errs...)
}

func (w *world) stopGateway(name string) error {
	w.gateways[name].cancel()
	err := <-w.gateways[name].done
	delete(w.gateways, name)
	if err != nil && !errors.Is(err, context.Canceled) {
		return fmt.Errorf("gateway %s: %w", name, err)
	}
	return nil
}

func sorted[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.SortFunc(keys, strings.Compare)
	return keys
}

func withPort(addresses []netip.Addr, port uint16) []netip.AddrPort {
	var all []netip.AddrPort
	for _, a := range addresses {
		all = append(all, netip.AddrPortFrom(a, port))
	}
	return all
}

func zones(v scenario.View) map[string]map[string][]string {
	all := map[string]map[string][]string{}
	for name, z := range v {
		all[name] = map[string][]string{}
		for record, values := range z {
			all[name][record] = values
		}
	}
	return all
}
