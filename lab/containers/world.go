package containers

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/mount"

	"fedlab/doctor"
	"fedlab/lab"
	"fedlab/lab/report"
	"fedlab/lab/scenario"
	"fedlab/sim/googletalk"
	"fedlab/sim/trace"
)

// world is a deployed topology in containers. It implements lab.World.
type world struct {
	engine   *Engine
	log      *slog.Logger
	trace    *trace.Recorder
	papers   *lab.Papers
	topology *scenario.Topology
	disks    string // a folder of this machine with the gateways' files

	toSwitch *made
	routers  map[string]*made
	agents   []*agent
	gateways map[string]*gatewayBox
	servers  map[string]*serverBox // that others wrote
	hearing  sync.WaitGroup
	captures bool
}

// gatewayBox is a gateway's container.
type gatewayBox struct{ *made }

var _ lab.Builder = (*Engine)(nil).Build

// Build is a lab.Builder.
func (e *Engine) Build(ctx context.Context, t *scenario.Topology, o lab.Options, log *slog.Logger) (lab.World, error) {
	if err := support(t); err != nil {
		return nil, err
	}
	w := &world{engine: e, log: log, trace: trace.NewRecorder(), topology: t, routers: map[string]*made{}, gateways: map[string]*gatewayBox{}, servers: map[string]*serverBox{}, captures: o.Pcap != ""}
	if err := w.build(ctx, o.Seed); err != nil {
		return nil, errors.Join(err, w.tearDown())
	}
	return w, nil
}

func (w *world) build(ctx context.Context, seed uint64) (err error) {
	if w.papers, err = lab.NewPapers(w.topology); err != nil {
		return err
	}
	if w.disks, err = os.MkdirTemp(w.engine.dir, ""); err != nil {
		return err
	}
	machines, err := w.startMachines(ctx)
	if err != nil {
		return err
	}
	if _, err := w.toSwitch.sh(ctx, wiring(w.topology.Segments, machines)); err != nil {
		return fmt.Errorf("the cables cannot be laid: %w", err)
	}
	if w.captures {
		if err := w.startCaptures(ctx); err != nil {
			return err
		}
	}
	if err := w.setRules(ctx, w.topology); err != nil {
		return err
	}
	order := lab.Order{Do: lab.DoDeploy, Topology: w.topology, Papers: w.papers.All(), Seed: seed}
	serves := func(a *agent) bool { return w.topology.Hosts[a.own[0]].DNS != nil }
	for _, names := range []bool{true, false} { // name servers first
		err := w.each(func(a *agent) error {
			if serves(a) != names {
				return nil
			}
			o := order
			o.Own = a.own
			_, err := a.order(ctx, o)
			return err
		})
		if err != nil {
			return err
		}
	}
	if err := w.startServers(ctx); err != nil {
		return err
	}
	for _, name := range sorted(w.topology.Hosts) {
		if w.topology.Hosts[name].Gateway != nil {
			if err := w.startGateway(ctx, name); err != nil {
				return err
			}
		}
	}
	return nil
}

// each does something with every machine at the same time.
func (w *world) each(do func(*agent) error) error {
	errs := make([]error, len(w.agents))
	var all sync.WaitGroup
	for i, a := range w.agents {
		all.Go(func() { errs[i] = do(a) })
	}
	all.Wait()
	return errors.Join(errs...)
}

// startMachines starts the switch, the routers and the hosts, without any cable between them.
func (w *world) startMachines(ctx context.Context) ([]cabled, error) {
	type machine struct {
		cabled
		box  box
		keep func(*made)
	}
	// The answer to a question may come on another way than the question went, as on the Edge with its two interfaces.
	sysctls := map[string]string{"net.ipv4.conf.all.rp_filter": "0", "net.ipv4.conf.default.rp_filter": "0"}
	with := func(key, value string) map[string]string {
		all := maps.Clone(sysctls)
		all[key] = value
		return all
	}
	var all []machine
	var mu sync.Mutex
	all = append(all, machine{
		box: box{image: peersImage, cmd: []string{"cat"}, network: "none", stdin: true, adjust: func(h *container.HostConfig) {
			// It puts an end of each cable into another container.
			h.PidMode, h.CapAdd = "host", []string{"NET_ADMIN", "SYS_ADMIN", "SYS_PTRACE"}
		}},
		keep: func(m *made) { w.toSwitch = m },
	})
	for _, name := range sorted(w.topology.Routers) {
		all = append(all, machine{
			cabled: router(name, w.topology.Routers[name]),
			box: box{image: peersImage, cmd: []string{"cat"}, network: "none", stdin: true, adjust: func(h *container.HostConfig) {
				h.CapAdd = []string{"NET_ADMIN"}
				h.Sysctls = with("net.ipv4.ip_forward", "1")
			}},
			keep: func(m *made) { w.routers[name] = m },
		})
	}
	for _, own := range w.byMachine() {
		c := host(own[0], w.topology.Hosts[own[0]])
		for _, other := range own[1:] {
			for segment, more := range host(other, w.topology.Hosts[other]).addresses {
				c.addresses[segment] = append(c.addresses[segment], more...)
			}
		}
		if err := w.writeNames(own[0], w.topology.Hosts[own[0]]); err != nil {
			return nil, err
		}
		all = append(all, machine{
			cabled: c,
			box: box{image: labImage, cmd: []string{"serve", "machines"}, network: "none", stdin: true, adjust: func(h *container.HostConfig) {
				h.CapDrop, h.SecurityOpt, h.ReadonlyRootfs = []string{"ALL"}, []string{"no-new-privileges"}, true
				h.Sysctls = with("net.ipv4.ip_unprivileged_port_start", "0")
				h.Mounts = w.names(own[0])
			}},
			keep: func(m *made) {
				a := &agent{name: own[0], own: own, box: m, waiting: map[int]chan lab.Answer{}, ended: make(chan struct{})}
				w.agents = append(w.agents, a)
				w.hearing.Go(func() { a.hear(w.trace) })
			},
		})
	}
	errs := make([]error, len(all))
	var starting sync.WaitGroup
	for i := range all {
		starting.Go(func() {
			m, err := w.engine.start(ctx, all[i].box)
			if err == nil {
				mu.Lock()
				all[i].keep(m)
				mu.Unlock()
				all[i].pid, err = m.pid(ctx)
			}
			errs[i] = err
		})
	}
	starting.Wait()
	slices.SortFunc(w.agents, func(a, b *agent) int { return cmp.Compare(a.name, b.name) })
	var machines []cabled
	for _, m := range all[1:] {
		machines = append(machines, m.cabled)
	}
	return machines, errors.Join(errs...)
}

// byMachine are the topology's hosts, those of the farm together: they know of one another.
func (w *world) byMachine() [][]string {
	var all [][]string
	var farm []string
	for _, name := range sorted(w.topology.Hosts) {
		if w.topology.Hosts[name].GoogleTalk != nil {
			farm = append(farm, name)
		} else {
			all = append(all, []string{name})
		}
	}
	if len(farm) > 0 {
		all = append(all, farm)
	}
	return all
}

// writeNames writes the files by which a machine knows names. They are changed in place: containers have them open by themselves.
func (w *world) writeNames(name string, h scenario.Host) error {
	return errors.Join(
		os.WriteFile(filepath.Join(w.disks, name+".hosts"), hostsText(h.HostsFile), 0o644),
		os.WriteFile(filepath.Join(w.disks, name+".resolv.conf"), resolverText(h.Resolver), 0o644),
	)
}

// names are those files as a container of the machine sees them.
func (w *world) names(name string) []mount.Mount {
	return []mount.Mount{
		{Type: mount.TypeBind, Source: filepath.Join(w.disks, name+".hosts"), Target: "/etc/hosts", ReadOnly: true},
		{Type: mount.TypeBind, Source: filepath.Join(w.disks, name+".resolv.conf"), Target: "/etc/resolv.conf", ReadOnly: true},
	}
}

// setRules loads every router's rules.
func (w *world) setRules(ctx context.Context, t *scenario.Topology) error {
	for _, name := range sorted(t.Routers) {
		if _, err := w.routers[name].sh(ctx, "nft -f - <<'EOF'\n"+ruleset(t.Routers[name])+"EOF\n"); err != nil {
			return fmt.Errorf("the rules of router %s are not taken: %w", name, err)
		}
	}
	return nil
}

// gatewayPatience is how long a gateway may take until it serves.
const gatewayPatience = 20 * time.Second

// startGateway starts the gateway of a host as its operator would, or not, if its certificate cannot be used.
func (w *world) startGateway(ctx context.Context, name string) error {
	disk := filepath.Join(w.disks, name)
	files, err := w.papers.Disk(name, w.topology.Hosts[name])
	if err != nil {
		return err
	}
	if err := os.RemoveAll(disk); err != nil {
		return err
	}
	if err := os.Mkdir(disk, 0o755); err != nil {
		return err
	}
	for file, data := range files {
		// Another user reads them, in a folder that nobody else can enter.
		if err := os.WriteFile(filepath.Join(disk, file), data, 0o644); err != nil {
			return err
		}
	}
	m, err := w.engine.start(ctx, box{
		image: gatewayImage, network: container.NetworkMode("container:" + w.agent(name).box.GetContainerID()),
		adjust: func(h *container.HostConfig) {
			h.CapDrop, h.SecurityOpt, h.ReadonlyRootfs = []string{"ALL"}, []string{"no-new-privileges"}, true
			h.Mounts = append(w.names(name), mount.Mount{Type: mount.TypeBind, Source: disk, Target: "/etc/fedgate", ReadOnly: true})
		},
	})
	if err != nil {
		return err
	}
	w.gateways[name] = &gatewayBox{made: m}
	patience, cancel := context.WithTimeout(ctx, gatewayPatience)
	defer cancel()
	for {
		code, _, err := m.Exec(patience, []string{"/fedgate", "health", "-c", "/etc/fedgate/fedgate.yaml"})
		if err == nil && code == 0 {
			return nil
		}
		exit, ended, inspected := m.ended(ctx)
		switch {
		case inspected != nil:
			return inspected
		case ended && exit == 2: // what it was given cannot be used
			w.trace.Record(trace.Event{Layer: trace.Log, Kind: trace.Failed, Host: name, Summary: "the gateway does not start: " + m.lastWords(ctx)})
			return nil
		case ended:
			return fmt.Errorf("the gateway of %s has ended with exit code %d: %s", name, exit, m.lastWords(ctx))
		}
		select {
		case <-time.After(100 * time.Millisecond):
		case <-patience.Done():
			return fmt.Errorf("the gateway of %s does not serve after %v: %s", name, gatewayPatience, m.lastWords(ctx))
		}
	}
}

// stopGateway ends a gateway as its operator would, and says if it did not end as it should.
func (w *world) stopGateway(ctx context.Context, name string) error {
	g := w.gateways[name]
	if g == nil {
		return nil
	}
	delete(w.gateways, name)
	_, before, err := g.ended(ctx)
	if err != nil {
		return err
	}
	patience := time.Minute
	if err := g.Stop(ctx, &patience); err != nil {
		return fmt.Errorf("the gateway of %s does not stop: %w", name, err)
	}
	code, _, err := g.ended(ctx)
	if err == nil && code != 0 && !before {
		err = fmt.Errorf("the gateway of %s has ended with exit code %d: %s", name, code, g.lastWords(ctx))
	}
	w.log.Info("a gateway has ended", "host", name, "said", g.lastWords(ctx))
	return errors.Join(err, g.remove(ctx))
}

// agent is the machine that a host of the topology is.
func (w *world) agent(host string) *agent {
	i := slices.IndexFunc(w.agents, func(a *agent) bool { return slices.Contains(a.own, host) })
	return w.agents[i] // the parser lets no host pass that is not there
}

// agentOf is the machine that serves a user: an Edge, a partner's server, or the farm.
func (w *world) agentOf(user string) (*agent, error) {
	farm := ""
	for _, name := range sorted(w.topology.Hosts) {
		h := w.topology.Hosts[name]
		if h.Edge != nil {
			if _, ok := h.Edge.Users[user]; ok {
				return w.agent(name), nil
			}
		}
		if h.Partner != nil {
			if _, ok := h.Partner.Users[user]; ok {
				return w.agent(name), nil
			}
		}
		if h.GoogleTalk != nil {
			farm = name
		}
	}
	if farm == "" {
		return nil, fmt.Errorf("%s: no machine serves this user", user)
	}
	return w.agent(farm), nil
}

// Trace implements lab.World, as do the methods that follow.
func (w *world) Trace() *trace.Recorder { return w.trace }

func (w *world) Send(ctx context.Context, s *scenario.Send, body string) error {
	a, err := w.agentOf(s.From)
	if err != nil {
		return err
	}
	_, err = a.order(ctx, lab.Order{Do: lab.DoSend, Send: s, Body: body})
	return err
}

func (w *world) People(ctx context.Context, s *scenario.Step) error {
	user := ""
	switch {
	case s.Typing != nil:
		user = s.Typing.From
	case s.Close != nil:
		user = s.Close.From
	case s.Presence != nil:
		user = s.Presence.User
	default:
		user = cmp.Or(s.Subscribe, s.Unsubscribe, s.Approve, s.Deny).From
	}
	a, err := w.agentOf(user)
	if err != nil {
		return err
	}
	_, err = a.order(ctx, lab.Order{Do: lab.DoPeople, Step: s})
	return err
}

func (w *world) Look(ctx context.Context, s *scenario.Step) ([]report.View, error) {
	on := ""
	switch {
	case s.Nslookup != nil:
		on = s.Nslookup.On
	case s.Telnet != nil:
		on = s.Telnet.From
	case s.Netstat != nil:
		on = s.Netstat.On
	}
	answer, err := w.agent(on).order(ctx, lab.Order{Do: lab.DoLook, Step: s})
	return answer.Views, err
}

func (w *world) Stranger(ctx context.Context, s *scenario.Stranger) (googletalk.Outcome, error) {
	answer, err := w.agent(s.From).order(ctx, lab.Order{Do: lab.DoStranger, Stranger: s})
	return answer.Outcome, err
}

func (w *world) Examine(ctx context.Context, from string) []doctor.Finding {
	results := make([][]doctor.Finding, len(w.agents))
	var all sync.WaitGroup
	for i, a := range w.agents {
		all.Go(func() {
			answer, err := a.order(ctx, lab.Order{Do: lab.DoExamine, From: from})
			if err != nil {
				w.trace.Record(trace.Event{Layer: trace.Step, Kind: trace.Unexpected, Host: a.name, Summary: "the doctor could not examine: " + err.Error()})
			}
			results[i] = answer.Findings
		})
	}
	all.Wait()
	findings := slices.Concat(results...)
	rank := func(f doctor.Finding) int {
		return slices.Index([]doctor.Vantage{doctor.FromGateway, doctor.FromEdge, doctor.FromOutside}, f.From)
	}
	slices.SortStableFunc(findings, func(a, b doctor.Finding) int { return cmp.Compare(rank(a), rank(b)) })
	return findings
}

func (w *world) bridge(segment string) string {
	return fmt.Sprintf("s%d", slices.Index(sorted(w.topology.Segments), segment))
}

func (w *world) Cut(ctx context.Context, segment string) error {
	_, err := w.toSwitch.sh(ctx, cut(w.bridge(segment)))
	return err
}

func (w *world) Restore(ctx context.Context, segment string) error {
	_, err := w.toSwitch.sh(ctx, restore(w.bridge(segment)))
	return err
}

func (w *world) StopHost(ctx context.Context, host string) error {
	err := errors.Join(w.stopGateway(ctx, host), w.stopServer(ctx, host))
	_, ordered := w.agent(host).order(ctx, lab.Order{Do: lab.DoStop, Host: host})
	return errors.Join(err, ordered)
}

func (w *world) KillHost(context.Context, string) error {
	return fmt.Errorf("%w: taking the power from a host", ErrUnsupported)
}

func (w *world) StartHost(ctx context.Context, host string) error {
	var err error
	if w.topology.Hosts[host].Gateway != nil && w.gateways[host] == nil {
		err = w.startGateway(ctx, host)
	}
	if w.topology.Hosts[host].ServedBy() != "" {
		return w.startServer(ctx, host)
	}
	_, ordered := w.agent(host).order(ctx, lab.Order{Do: lab.DoStart, Host: host})
	return errors.Join(err, ordered)
}

// namesAreKnown is how long a machine goes by what it has read of its hosts file and its list of name servers.
const namesAreKnown = 6 * time.Second

func (w *world) Change(ctx context.Context, t *scenario.Topology) error {
	if err := support(t); err != nil {
		return err
	}
	old := w.topology
	w.topology = t
	var errs []error
	try := func(err error) { errs = append(errs, err) }
	try(w.setRules(ctx, t))
	for _, name := range sorted(t.Segments) {
		switch was, is := old.Segments[name].Link.Down, t.Segments[name].Link.Down; {
		case is && !was:
			try(w.Cut(ctx, name))
		case was && !is:
			try(w.Restore(ctx, name))
		}
	}
	renewed := lab.Renewed(old, t)
	var script strings.Builder
	for _, name := range sorted(t.Routers) {
		if old.Routers[name].State != t.Routers[name].State {
			pid, err := w.routers[name].pid(ctx)
			try(err)
			c := router(name, t.Routers[name])
			c.pid = pid
			script.WriteString(memory(c))
		}
	}
	names := false // of hosts, or the servers that know them
	for _, a := range w.agents {
		was, is := old.Hosts[a.name], t.Hosts[a.name]
		if maps.Equal(was.HostsFile, is.HostsFile) && slices.Equal(was.Resolver, is.Resolver) {
			continue
		}
		try(w.writeNames(a.name, is))
		names = true
	}
	if script.Len() > 0 {
		_, err := w.toSwitch.sh(ctx, "set -e\n"+script.String())
		try(err)
	}
	for _, name := range renewed {
		try(w.papers.Install(name, t.Hosts[name]))
	}
	order := lab.Order{Do: lab.DoChange, Topology: t, Papers: w.papers.All()}
	try(w.each(func(a *agent) error {
		_, err := a.order(ctx, order)
		return err
	}))
	for _, name := range sorted(w.gateways) {
		if slices.Contains(renewed, name) || !reflect.DeepEqual(old.Hosts[name].Gateway, t.Hosts[name].Gateway) {
			try(w.stopGateway(ctx, name))
			try(w.startGateway(ctx, name))
		}
	}
	for _, name := range sorted(w.servers) {
		if slices.Contains(renewed, name) || !reflect.DeepEqual(old.Hosts[name].Partner, t.Hosts[name].Partner) || !reflect.DeepEqual(old.Hosts[name].Edge, t.Hosts[name].Edge) {
			try(w.StopHost(ctx, name))
			try(w.startServer(ctx, name))
		}
	}
	if names {
		select {
		case <-time.After(namesAreKnown):
		case <-ctx.Done():
		}
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("the deployment cannot change so: %w", err)
	}
	return nil
}

func (w *world) Views(ctx context.Context) []report.View {
	var views []report.View
	for _, a := range w.agents {
		answer, err := a.order(ctx, lab.Order{Do: lab.DoViews})
		if err != nil {
			answer.Views = []report.View{{Title: "netstat on " + a.name, Text: err.Error()}}
		}
		views = append(views, answer.Views...)
	}
	return views
}

// closing bounds how long everything may take to end.
const closing = 2 * time.Minute

func (w *world) Close() error {
	ctx, cancel := context.WithTimeout(context.Background(), closing)
	defer cancel()
	var errs []error
	for _, name := range sorted(w.gateways) {
		errs = append(errs, w.stopGateway(ctx, name))
	}
	errs = append(errs, w.each(func(a *agent) error {
		_, err := a.order(ctx, lab.Order{Do: lab.DoClose})
		return err
	}))
	if w.captures {
		errs = append(errs, w.fetchCaptures(ctx))
	}
	return errors.Join(append(errs, w.tearDown())...)
}

// tearDown removes every container, whatever its state.
func (w *world) tearDown() error {
	ctx, cancel := context.WithTimeout(context.Background(), closing)
	defer cancel()
	var all []*made
	for _, g := range w.gateways {
		all = append(all, g.made)
	}
	for _, s := range w.servers {
		all = append(all, s.made)
	}
	for _, a := range w.agents {
		all = append(all, a.box)
	}
	for _, r := range w.routers {
		all = append(all, r)
	}
	if w.toSwitch != nil {
		all = append(all, w.toSwitch)
	}
	errs := make([]error, len(all))
	var removing sync.WaitGroup
	for i, m := range all {
		removing.Go(func() { errs[i] = m.remove(ctx) })
	}
	removing.Wait()
	w.hearing.Wait()
	if !w.captures && w.disks != "" {
		errs = append(errs, os.RemoveAll(w.disks))
	}
	return errors.Join(errs...)
}
