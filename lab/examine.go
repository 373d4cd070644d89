package lab

import (
	"context"
	"net/netip"
	"slices"
	"sync"

	"fedlab/doctor"
	"fedlab/gateway/config"
	"fedlab/lab/report"
)

// examine runs the doctor from one vantage point, or from all three at the same time, as two engineers on the telephone would.
func (w *world) examine(ctx context.Context, from string) []doctor.Finding {
	var examinations []func(context.Context) []doctor.Finding
	add := func(v doctor.Vantage, examine func(context.Context) []doctor.Finding) {
		if from == "" || from == string(v) {
			examinations = append(examinations, examine)
		}
	}
	for _, name := range w.hosts() {
		if w.topology.Hosts[name].Gateway == nil || w.dead[name] {
			continue
		}
		g := w.gateways[name]
		if g == nil { // stopped
			c, err := config.Parse(name+".yaml", gatewayFile(w.topology.Hosts[name]), w.papers.files(name))
			g = ended(c, err)
		}
		add(doctor.FromGateway, doctor.Gateway{Config: g.config, Problem: g.problem, Network: w.on(name, "doctor"), Status: g.status}.Examine)
	}
	for _, name := range w.hosts() {
		e := w.topology.Hosts[name].Edge
		if e == nil || e.ServedBy == "" && w.edges[name] == nil {
			continue
		}
		d := doctor.Edge{Network: w.on(name, "doctor"), Name: e.Name, Allow: e.Allow, Certificate: w.papers.certificate(name), Roots: w.papers.trusted(name), Revoked: w.papers.lists(name)}
		if w.edges[name] != nil {
			d.Log = w.edges[name].Log
		}
		add(doctor.FromEdge, d.Examine)
	}
	if _, ok := w.topology.Hosts["outside"]; ok && w.owns("outside") {
		for _, domain := range w.sipDomains() {
			add(doctor.FromOutside, doctor.Outside{Network: w.on("outside", "doctor"), Domain: domain, Addresses: w.publicAddresses(), Roots: w.papers.trusted("outside")}.Examine)
		}
	}
	results := make([][]doctor.Finding, len(examinations))
	var all sync.WaitGroup
	for i, examine := range examinations {
		all.Go(func() { results[i] = examine(ctx) })
	}
	all.Wait()
	return slices.Concat(results...)
}

// views are the socket tables of the gateways and Edges as they stand at the end.
func (w *world) views() []report.View {
	var views []report.View
	for _, name := range slices.Concat(sorted(w.gateways), sorted(w.edges)) {
		sockets, err := w.on(name, "").Sockets()
		text := socketTable(sockets)
		if err != nil {
			text = err.Error()
		}
		views = append(views, report.View{Title: "netstat -ano on " + name + " at the end", Text: text})
	}
	return views
}

// publicAddresses are the organisation's addresses on the network of the machine outside: its routers' and servers' own.
func (w *world) publicAddresses() []netip.Addr {
	var all []netip.Addr
	for segment := range w.topology.Hosts["outside"].Interfaces {
		for _, r := range w.topology.Routers {
			if a, here := r.Interfaces[segment]; here {
				all = append(append(all, a.Addr()), r.Addresses[segment]...)
			}
		}
		for _, h := range w.topology.Hosts {
			if a, here := h.Interfaces[segment]; here && (h.Gateway != nil || h.Edge != nil) {
				all = append(append(all, a.Addr()), h.Addresses[segment]...)
			}
		}
	}
	// Without translation the servers' own addresses are public, and the machine outside has a route to them.
	for to := range w.topology.Hosts["outside"].Routes {
		p, err := netip.ParsePrefix(to)
		for _, h := range w.topology.Hosts {
			for _, a := range h.Interfaces {
				if err == nil && p.Contains(a.Addr()) && (h.Gateway != nil || h.Edge != nil) {
					all = append(all, a.Addr())
				}
			}
		}
	}
	slices.SortFunc(all, netip.Addr.Compare)
	return all
}

func (w *world) sipDomains() []string {
	var domains []string
	for _, name := range sorted(w.topology.Hosts) {
		if g := w.topology.Hosts[name].Gateway; g != nil {
			domains = append(domains, sorted(g.SIP)...)
		}
	}
	slices.Sort(domains)
	return slices.Compact(domains)
}
