package lab

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"time"

	"fedlab/lab/scenario"
	"fedlab/sim/ocsedge"
	"fedlab/sim/vnet"
)

// restart ends what runs on a host and starts it again after a while, one second if the scenario does not say.
func (w *world) restart(ctx context.Context, host string, after time.Duration) error {
	if err := w.stopHost(host); err != nil {
		return err
	}
	if err := pause(ctx, cmp.Or(after, time.Second)); err != nil {
		return err
	}
	return w.startHost(ctx, host)
}

// stopHost ends what runs on a host. What does not run stays so.
func (w *world) stopHost(host string) error {
	var err error
	switch h := w.topology.Hosts[host]; {
	case h.ServedBy() != "": // the server itself is a process of its own
		err = w.stopPeople(users(h))
	case h.Gateway != nil && w.gateways[host] != nil:
		err = w.stopGateway(host)
	case h.GoogleTalk != nil:
		err = w.farm.SetDown(host, true)
	case h.Partner != nil:
		err = w.partners[host].SetDown(host, true)
	case h.Edge != nil && w.edges[host] != nil:
		err = w.edges[host].Close()
		delete(w.edges, host)
	case h.DNS != nil && w.servers[host] != nil:
		err = w.servers[host].Close()
		delete(w.servers, host)
	}
	return err
}

// killHost takes the power from a host, and then ends what ran on it, which nobody can see any more. That its sockets went away under it
// is no fault of its own, so what it says about its end does not count.
func (w *world) killHost(host string) error {
	w.net.Host(host).PowerOff()
	w.dead[host] = true
	if err := w.stopHost(host); err != nil {
		w.log.Info("ended without power", "host", host, "error", err)
	}
	return nil
}

// startHost starts what stopHost or killHost ended. What runs stays as it is.
func (w *world) startHost(ctx context.Context, host string) error {
	if w.dead[host] {
		w.net.Host(host).Boot()
		delete(w.dead, host)
	}
	switch h := w.topology.Hosts[host]; {
	case h.ServedBy() != "":
		return w.startPeople(ctx, host)
	case h.Gateway != nil && w.gateways[host] == nil:
		return w.startGateway(ctx, host)
	case h.GoogleTalk != nil:
		return w.farm.SetDown(host, false)
	case h.Partner != nil:
		return w.partners[host].SetDown(host, false)
	case h.Edge != nil && w.edges[host] == nil:
		return w.startEdge(ctx, host)
	case h.DNS != nil && w.servers[host] == nil:
		return w.startServer(ctx, host)
	}
	return nil
}

// change turns the running world into the deployment t, which differs from the present one in what can change while it runs:
// see package scenario.
func (w *world) change(ctx context.Context, t *scenario.Topology) error {
	old := w.topology
	w.topology = t
	var errs []error
	if w.net != nil {
		errs = append(errs, w.changeNetwork(old, t))
	}
	for _, name := range sorted(w.servers) {
		d := t.Hosts[name].DNS
		errs = append(errs, w.servers[name].SetZones(zones(t.Zones[d.View])), w.servers[name].SetFaults(faults(d)))
	}
	for _, name := range w.hosts() {
		if !reflect.DeepEqual(old.Hosts[name], t.Hosts[name]) {
			errs = append(errs, w.changeHost(ctx, name, old.Hosts[name], t.Hosts[name]))
		}
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("the deployment cannot change so: %w", err)
	}
	return nil
}

func (w *world) changeNetwork(old, t *scenario.Topology) error {
	var errs []error
	for _, name := range sorted(t.Segments) {
		switch segment := w.net.Segment(name); {
		case segment == nil:
			errs = append(errs, fmt.Errorf("segment %s is not deployed", name))
		case old.Segments[name].Link != t.Segments[name].Link:
			errs = append(errs, segment.SetLink(link(t.Segments[name].Link)))
		}
	}
	for _, name := range sorted(t.Routers) {
		before, now, router := old.Routers[name], t.Routers[name], w.net.Router(name)
		if router == nil {
			errs = append(errs, fmt.Errorf("router %s is not deployed", name))
			continue
		}
		// A rule that acts on the first packets only counts from its installation, so what has not changed stays.
		if before.Policy != now.Policy || !reflect.DeepEqual(before.Rules, now.Rules) {
			errs = append(errs, router.SetRules(rules(now.Rules), vnet.Verdict(now.Policy)))
		}
		if !reflect.DeepEqual(before.Forwards, now.Forwards) {
			errs = append(errs, router.SetForwards(forwards(now.Forwards)))
		}
		router.SetHairpin(now.Hairpin)
		router.SetSilent(now.Silent)
		router.SetClampMSS(now.ClampMSS)
		router.SetState(memory(now.State))
	}
	return errors.Join(errs...)
}

func (w *world) changeHost(ctx context.Context, name string, old, now scenario.Host) error {
	var errs []error
	try := func(err error) { errs = append(errs, err) }
	if w.net != nil {
		w.net.Host(name).SetResolver(now.HostsFile, now.Resolver)
	}
	papers := renewed(old, now)
	if papers {
		try(w.papers.install(name, now, time.Now()))
	}
	switch {
	case w.gateways[name] != nil && (papers || !reflect.DeepEqual(old.Gateway, now.Gateway)):
		try(w.restart(ctx, name, 0))
	case now.GoogleTalk != nil && old.GoogleTalk.Down != now.GoogleTalk.Down:
		try(w.farm.SetDown(name, now.GoogleTalk.Down))
	case now.Partner != nil && old.Partner.Down != now.Partner.Down:
		try(w.partners[name].SetDown(name, now.Partner.Down))
	case now.Edge != nil && w.edges[name] != nil:
		edge := w.edges[name]
		if papers {
			try(edge.SetCertificate(ctx, w.papers.certificate(name), w.papers.trusted(name), w.papers.lists(name)))
		}
		if !maps.Equal(old.Edge.Allow, now.Edge.Allow) {
			try(edge.SetAllow(ctx, now.Edge.Allow))
		}
		var q ocsedge.Quirks
		try(quirks(now.Edge.Quirks, &q))
		try(edge.SetQuirks(ctx, q))
		for _, user := range sorted(now.Edge.Users) {
			if state := now.Edge.Users[user].State; state != old.Edge.Users[user].State {
				try(edge.SetState(ctx, user, ocsedge.State(state)))
			}
		}
	}
	return errors.Join(errs...)
}

// renewed reports whether a host's certificates, or what it trusts, have changed.
func renewed(old, now scenario.Host) bool {
	return !reflect.DeepEqual(old.Certificate, now.Certificate) || !reflect.DeepEqual(old.Authorities, now.Authorities) || !reflect.DeepEqual(old.IssuingKnown, now.IssuingKnown) || !reflect.DeepEqual(old.ListsKnown, now.ListsKnown) ||
		old.Gateway != nil && now.Gateway != nil && !(reflect.DeepEqual(old.Gateway.Certificate, now.Gateway.Certificate) && reflect.DeepEqual(old.Gateway.Authorities, now.Gateway.Authorities))
}
