package lab

import (
	"time"

	"fedlab/lab/scenario"
	"fedlab/sim/vnet"
)

// virtualNetwork is the part of a topology that the virtual network is built from.
func virtualNetwork(t *scenario.Topology) vnet.Topology {
	n := vnet.Topology{Segments: map[string]vnet.SegmentConfig{}, Routers: map[string]vnet.RouterConfig{}, Hosts: map[string]vnet.HostConfig{}}
	for name, s := range t.Segments {
		n.Segments[name] = vnet.SegmentConfig{Prefixes: s.Prefixes, Link: link(s.Link)}
	}
	for name, h := range t.Hosts {
		n.Hosts[name] = vnet.HostConfig{
			Interfaces: h.Interfaces, Addresses: h.Addresses, Routes: h.Routes, HostsFile: h.HostsFile, Resolver: h.Resolver, Links: attachments(h.Links),
		}
	}
	for name, r := range t.Routers {
		n.Routers[name] = vnet.RouterConfig{
			Interfaces: r.Interfaces, Addresses: r.Addresses, Routes: r.Routes, Policy: vnet.Verdict(r.Policy),
			Rules: rules(r.Rules), Masquerade: r.Masquerade, Forwards: forwards(r.Forwards), Hairpin: r.Hairpin, NAT: translation(r.NAT), State: memory(r.State),
			Silent: r.Silent, ClampMSS: r.ClampMSS,
		}
	}
	return n
}

func link(l scenario.Link) vnet.LinkConfig {
	return vnet.LinkConfig{
		Latency: time.Duration(l.Latency), Jitter: time.Duration(l.Jitter), Loss: l.Loss, Duplicate: l.Duplicate, Reorder: l.Reorder,
		Bandwidth: l.Bandwidth, Queue: l.Queue, MTU: l.MTU, Down: l.Down,
	}
}

func attachments(links map[string]scenario.Attachment) map[string]vnet.AttachmentLink {
	all := map[string]vnet.AttachmentLink{}
	for segment, a := range links {
		all[segment] = vnet.AttachmentLink{Out: link(a.Out), In: link(a.In)}
	}
	return all
}

func translation(n scenario.NAT) vnet.NATBehaviour {
	words := map[string]vnet.EndpointBehaviour{
		"": vnet.AddressAndPortDependent, "address-and-port-dependent": vnet.AddressAndPortDependent,
		"address-dependent": vnet.AddressDependent, "endpoint-independent": vnet.EndpointIndependent,
	}
	return vnet.NATBehaviour{Mapping: words[n.Mapping], Filtering: words[n.Filtering], Scramble: n.Scramble}
}

func memory(s scenario.State) vnet.StateTimeouts {
	return vnet.StateTimeouts{
		Opening: time.Duration(s.Opening), Established: time.Duration(s.Established), Closing: time.Duration(s.Closing),
		UDP: time.Duration(s.UDP), Reset: s.Reset, DataOnly: s.DataOnly,
	}
}

func rules(o scenario.Ordered[scenario.Rule]) []vnet.Rule {
	var all []vnet.Rule
	for _, name := range o.Keys {
		r := o.Values[name]
		all = append(all, vnet.Rule{
			Name: name, From: r.From, To: r.To, Protocol: r.Protocol, Source: r.Source, Target: r.Target, Port: r.Port,
			SourcePort: r.SourcePort, Stateless: r.Stateless, SYNACK: r.SYNACK, Flags: r.Flags,
			Verdict: vnet.Verdict(r.Verdict), Delay: time.Duration(r.Delay), Nth: r.Nth, First: r.First, Every: r.Every, For: time.Duration(r.For),
		})
	}
	return all
}

func forwards(o scenario.Ordered[scenario.Forward]) []vnet.Forward {
	var all []vnet.Forward
	for _, name := range o.Keys {
		f := o.Values[name]
		all = append(all, vnet.Forward{Name: name, Address: f.Address, Protocol: f.Protocol, Port: f.Port, To: f.To, Hairpin: f.Hairpin})
	}
	return all
}
