package lab

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"fedlab/doctor"
	"fedlab/lab/report"
	"fedlab/lab/scenario"
	"fedlab/sim/trace"
)

// Plain is the result as the reports take it.
func (r *Result) Plain() report.Run {
	p := report.Run{Scenario: r.Scenario.Name, Selector: selector(r.Scenario), Title: r.Scenario.Title, Seed: r.Seed, Wall: r.Wall, Virtual: r.Virtual, Findings: r.Codes()}
	for _, f := range r.Failures {
		p.Failures = append(p.Failures, report.Failure{File: f.Pos.File, Line: f.Pos.Line, Message: f.Message})
	}
	return p
}

// selector names a scenario so that fedlab run finds it: by its file where that is not in a catalogue.
func selector(s *scenario.Scenario) string {
	parts := strings.Split(filepath.ToSlash(s.File), "/")
	if n := len(parts); n >= 3 && (parts[n-3] == "scenarios" || parts[n-3] == "(built in)") {
		return s.Name
	}
	return s.File
}

// Page is the result as a page of the report.
func (r *Result) Page() report.Page {
	p := report.Page{Run: r.Plain(), Story: r.Scenario.Story, Steps: r.Scenario.FieldStep, Views: r.Views}
	if source, err := os.ReadFile(r.Scenario.File); err == nil { // what is built into the program has no file
		p.Source = string(source)
	}
	m := mapOf(r.Scenario)
	p.Network = m.network(r.Trace)
	p.Ladder = m.ladder(r.Trace)
	for _, f := range r.Findings {
		e := f.Entry()
		p.Findings = append(p.Findings, report.Finding{
			Code: f.Code, Severity: string(e.Severity), From: string(f.From), Subject: f.Subject, Evidence: f.Evidence,
			Meaning: e.Meaning, Remedy: e.Remedy, Next: e.Next, Steps: e.Steps,
		})
	}
	return p
}

// siteMap says which machine an address belongs to.
type siteMap struct {
	scenario *scenario.Scenario
	owner    map[string]map[netip.Addr]string // segment: address: node
	gateway  string                           // the only gateway; empty if there are several
}

func mapOf(s *scenario.Scenario) *siteMap {
	m := &siteMap{scenario: s, owner: map[string]map[netip.Addr]string{}}
	own := func(segment, node string, a netip.Addr) {
		if m.owner[segment] == nil {
			m.owner[segment] = map[netip.Addr]string{}
		}
		m.owner[segment][a] = node
	}
	gateways := 0
	for name, h := range s.Deployed.Hosts {
		for segment, a := range h.Interfaces {
			own(segment, name, a.Addr())
		}
		if h.Gateway != nil {
			m.gateway = name
			gateways++
		}
	}
	if gateways != 1 {
		m.gateway = ""
	}
	for name, r := range s.Deployed.Routers {
		for segment, a := range r.Interfaces {
			own(segment, name, a.Addr())
			for _, further := range r.Addresses[segment] {
				own(segment, name, further)
			}
		}
	}
	return m
}

// node is who has an address anywhere.
func (m *siteMap) node(endpoint string) string {
	a := address(endpoint)
	for _, segment := range sorted(m.owner) {
		if node := m.owner[segment][a]; node != "" {
			return node
		}
	}
	return ""
}

// peer is who a fake talks to: behind the address of a router that translates stands the gateway.
func (m *siteMap) peer(endpoint string) string {
	node := m.node(endpoint)
	if _, router := m.scenario.Deployed.Routers[node]; router && m.gateway != "" {
		return m.gateway
	}
	return node
}

// neighbour is who put a packet on a segment, or takes it from there: the owner of the address, else the router towards it.
func (m *siteMap) neighbour(segment, endpoint string) string {
	a := address(endpoint)
	if node := m.owner[segment][a]; node != "" {
		return node
	}
	best, bits := "", -1
	for _, name := range sorted(m.scenario.Deployed.Routers) {
		r := m.scenario.Deployed.Routers[name]
		if _, here := r.Interfaces[segment]; !here {
			continue
		}
		for other := range r.Interfaces {
			for _, p := range m.scenario.Deployed.Segments[other].Prefixes {
				if other != segment && p.Contains(a) && p.Bits() > bits {
					best, bits = name, p.Bits()
				}
			}
		}
	}
	return best
}

func address(endpoint string) netip.Addr {
	ap, err := netip.ParseAddrPort(endpoint)
	if err != nil {
		return netip.Addr{}
	}
	return ap.Addr()
}

// network is the picture of what was deployed: what the scenario plants is marked, and where messages went.
func (m *siteMap) network(events []trace.Event) report.Network {
	t := m.scenario.Deployed
	var n report.Network
	for _, name := range sorted(t.Segments) {
		n.Segments = append(n.Segments, report.Segment{Name: name, Prefix: joined(t.Segments[name].Prefixes)})
	}
	// The Internet on top, what is behind two routers at the bottom: wide prefixes first, then those with more machines.
	slices.SortStableFunc(n.Segments, func(a, b report.Segment) int { return m.rank(a.Name) - m.rank(b.Name) })
	path, stopped := m.marks(events)
	for _, name := range sorted(t.Routers) {
		r := t.Routers[name]
		node := report.Node{Name: name, Role: "router", On: map[string]string{}}
		for segment, a := range r.Interfaces {
			node.On[segment] = a.Addr().String()
		}
		for _, f := range r.Forwards.Keys {
			forward := r.Forwards.Values[f]
			node.Lines = append(node.Lines, fmt.Sprintf("%s: %d to %s", f, forward.Port, forward.To.Addr()))
		}
		for _, rule := range r.Rules.Keys {
			node.Lines = append(node.Lines, fmt.Sprintf("%s %s", r.Rules.Values[rule].Verdict, rule))
		}
		n.Nodes = append(n.Nodes, m.marked(node, "routers", path, stopped))
	}
	for _, name := range sorted(t.Hosts) {
		h := t.Hosts[name]
		node := report.Node{Name: name, On: map[string]string{}}
		for segment, a := range h.Interfaces {
			node.On[segment] = a.Addr().String()
		}
		switch {
		case h.Gateway != nil:
			node.Role, node.Lines = "gateway", []string{h.Gateway.Hostname}
		case h.Edge != nil:
			node.Role, node.Lines = "Access Edge", []string{h.Edge.Name}
		case h.GoogleTalk != nil:
			node.Role, node.Lines = "Google Talk", h.GoogleTalk.Names
		case h.Partner != nil:
			node.Role, node.Lines = "XMPP server", h.Partner.Domains
		case h.DNS != nil:
			node.Role, node.Lines = "DNS", []string{"view " + h.DNS.View}
		}
		n.Nodes = append(n.Nodes, m.marked(node, "hosts", path, stopped))
	}
	return n
}

// rank orders segments from the outside to the inside.
func (m *siteMap) rank(segment string) int {
	for _, p := range m.scenario.Deployed.Segments[segment].Prefixes {
		if p.Bits() == 0 {
			return 0
		}
	}
	for _, h := range m.scenario.Deployed.Hosts {
		if _, here := h.Interfaces[segment]; here && h.Gateway != nil {
			return 1
		}
	}
	return 2
}

func (m *siteMap) marked(n report.Node, kind string, path, stopped map[string]bool) report.Node {
	n.Path, n.Stopped = path[n.Name], stopped[n.Name]
	n.Planted = m.scenario.Patch.Get(kind).Get(n.Name) != nil
	return n
}

// marks are the machines that messages passed, and those where something was stopped.
func (m *siteMap) marks(events []trace.Event) (path, stopped map[string]bool) {
	path, stopped = map[string]bool{}, map[string]bool{}
	for _, e := range events {
		switch {
		case e.Layer == trace.Router && (e.Kind == trace.Dropped || e.Kind == trace.Rejected):
			stopped[e.Host] = true
		case e.Layer == trace.Router && e.Kind == trace.Translated:
			path[e.Host] = true
		case e.Layer == trace.TLS && e.Kind == trace.Failed, e.Layer == trace.Log:
			stopped[e.Host] = true
		case (e.Layer == trace.XMPP || e.Layer == trace.SIP) && strings.Contains(strings.ToLower(e.Summary), "message"):
			path[e.Host], path[m.peer(other(e))] = true, true
		}
	}
	return path, stopped
}

// other is the endpoint at the far side of an event that a fake recorded.
func other(e trace.Event) string {
	if e.Kind == trace.Sent {
		return e.To
	}
	return e.From
}

func joined(prefixes []netip.Prefix) string {
	var all []string
	for _, p := range prefixes {
		all = append(all, p.String())
	}
	return strings.Join(all, ", ")
}

// ladder is the trace as a sequence diagram. Of TCP it shows how connections begin and end.
func (m *siteMap) ladder(events []trace.Event) report.Ladder {
	var l report.Ladder
	if len(events) == 0 {
		return l
	}
	lanes := map[string]int{}
	for _, name := range m.columns(events) {
		lanes[name] = len(l.Lanes)
		l.Lanes = append(l.Lanes, report.Lane{Name: name, Label: m.label(name)})
	}
	began := events[0].At
	for _, e := range events {
		from, to, layer := m.ends(e)
		if layer == "" {
			continue
		}
		a := report.Arrow{At: e.At.Sub(began).Round(time.Microsecond), From: lanes[from], To: lanes[to], Layer: layer, Label: e.Summary, Detail: laidOut(e),
			Bad: slices.Contains([]string{trace.Dropped, trace.Rejected, trace.Failed, trace.Expired, trace.Unexpected, finding}, e.Kind)}
		switch {
		case e.Layer == trace.Client:
			verb := map[string]string{trace.Sent: "sends", trace.Received: "is shown"}[e.Kind]
			who, whom := e.From, "to "+e.To
			if e.Kind == trace.Received {
				who, whom = e.To, "from "+e.From
			}
			a.Label = fmt.Sprintf("%s %s %s: %s", who, verb, e.Item.Type, describe(e.Item))
			a.Detail = fmt.Sprintf("%s %s the %s %q %s", who, verb, e.Item.Type, describe(e.Item), whom)
			a.Bad = e.Item.Type == trace.Error
		case a.Bad:
			a.Label = e.Kind + ": " + e.Summary
		}
		if a.Detail == "" {
			a.Detail = e.String()
		}
		l.Arrows = append(l.Arrows, a)
	}
	return l
}

// laidOut is a message as it was on the wire, for people: XML with an element a line, and the records of DNS, which are no
// text, as the name server's trace words them.
func laidOut(e trace.Event) string {
	switch e.Layer {
	case trace.XMPP:
		return strings.ReplaceAll(string(e.Data), "><", ">\n<")
	case trace.DNS:
		question, answers, _ := strings.Cut(e.Summary, ": ")
		return question + "\n" + strings.ReplaceAll(answers, ", ", "\n")
	}
	return string(e.Data)
}

// ends are the machines that an event goes from and to, and the layer it is shown on; no layer: it is not shown.
func (m *siteMap) ends(e trace.Event) (from, to, layer string) {
	switch e.Layer {
	case trace.Packet:
		if !strings.Contains(e.Summary, "SYN") && !strings.Contains(e.Summary, "FIN") && !strings.Contains(e.Summary, "RST") && !strings.Contains(e.Summary, "ICMP") {
			return "", "", ""
		}
		return m.neighbour(e.Host, e.From), m.neighbour(e.Host, e.To), "tcp"
	case trace.Router:
		if e.Kind == trace.Passed || e.Kind == trace.Translated && !strings.Contains(e.Summary, "SYN") {
			return "", "", ""
		}
		return e.Host, e.Host, "router"
	case trace.DNS, trace.XMPP, trace.SIP:
		far := m.peer(other(e))
		if e.Layer == trace.DNS {
			far = m.node(other(e))
		}
		if far == "" || e.Kind != trace.Sent && e.Kind != trace.Received {
			return e.Host, e.Host, string(e.Layer)
		}
		if e.Kind == trace.Sent {
			return e.Host, far, string(e.Layer)
		}
		return far, e.Host, string(e.Layer)
	}
	if e.Layer == trace.Step {
		at := m.vantage(e.Host)
		return at, at, string(e.Layer)
	}
	return e.Host, e.Host, string(e.Layer)
}

// vantage is the machine of a vantage point; steps, which belong to none, stand at the gateway.
func (m *siteMap) vantage(name string) string {
	for _, host := range sorted(m.scenario.Deployed.Hosts) {
		h := m.scenario.Deployed.Hosts[host]
		if name == string(doctor.FromEdge) && h.Edge != nil || name == string(doctor.FromOutside) && host == name || (name == string(doctor.FromGateway) || name == "") && h.Gateway != nil {
			return host
		}
	}
	return sorted(m.scenario.Deployed.Hosts)[0]
}

// columns are the machines of a ladder: the far side on the left, the Edge on the right, as people draw it.
func (m *siteMap) columns(events []trace.Event) []string {
	in := map[string]bool{}
	for _, e := range events {
		if from, to, layer := m.ends(e); layer != "" {
			in[from], in[to] = true, true
		}
	}
	order := func(name string) int {
		h, host := m.scenario.Deployed.Hosts[name]
		switch {
		case !host:
			if m.rankOfRouter(name) == 0 {
				return 3
			}
			return 6
		case h.GoogleTalk != nil, h.Partner != nil:
			return 0
		case h.DNS != nil && m.outside(h):
			return 1
		case h.Edge != nil:
			return 7
		case h.Gateway != nil:
			return 5
		case m.outside(h):
			return 2
		}
		return 4
	}
	names := sorted(in)
	slices.SortStableFunc(names, func(a, b string) int { return order(a) - order(b) })
	return names
}

func (m *siteMap) outside(h scenario.Host) bool {
	for segment := range h.Interfaces {
		if m.rank(segment) == 0 {
			return true
		}
	}
	return false
}

func (m *siteMap) rankOfRouter(name string) int {
	best := 9
	for segment := range m.scenario.Deployed.Routers[name].Interfaces {
		best = min(best, m.rank(segment))
	}
	return best
}

func (m *siteMap) label(name string) string {
	h, ok := m.scenario.Deployed.Hosts[name]
	switch {
	case !ok:
		return "router"
	case h.GoogleTalk != nil:
		return "Google Talk"
	case h.Partner != nil:
		return "XMPP server"
	case h.DNS != nil:
		return "DNS"
	case h.Edge != nil:
		return h.Edge.Name
	case h.Gateway != nil:
		return h.Gateway.Hostname
	}
	return ""
}
