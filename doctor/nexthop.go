package doctor

import (
	"context"
	"maps"
	"net"
	"slices"
	"strconv"
	"strings"

	"fedlab/gateway/config"
)

// nextHop is a next hop as the configuration has it, with the SIP domains behind it.
type nextHop struct {
	hosts   []string // host:port; none where the SRV record names them
	domains []string
	minTLS  uint16
	pin     string
}

// nextHops are the distinct next hops of the configuration, in order of their names.
func (g Gateway) nextHops() []*nextHop {
	byName := map[string]*nextHop{}
	for _, domain := range slices.Sorted(maps.Keys(g.Config.SIP.Domains)) {
		d := g.Config.SIP.Domains[domain]
		n := byName[d.NextHop.Show(domain)]
		if n == nil {
			n = &nextHop{minTLS: parseVersion(d.MinTLS), pin: d.Pin}
			if !d.NextHop.SRV() {
				n.hosts = d.NextHop
			}
			byName[d.NextHop.Show(domain)] = n
		}
		n.domains = append(n.domains, domain)
	}
	var all []*nextHop
	for _, name := range slices.Sorted(maps.Keys(byName)) {
		all = append(all, byName[name])
	}
	return all
}

// hosts are the hosts of all next hops, those that an SRV record names among them. What is wrong with a record is found here.
func (g Gateway) hosts(ctx context.Context, x *exam) []*hop {
	found := each(g.nextHops(), func(n *nextHop) []*hop {
		peers := new([]*hop)
		add := func(target, lacking string, names ...string) {
			*peers = append(*peers, &hop{target: target, host: hostOf(target), names: names, domains: n.domains, minTLS: n.minTLS, pin: n.pin, lacking: lacking, peers: peers})
		}
		for _, target := range n.hosts {
			add(target, "dns.next-hop", hostOf(target))
		}
		if n.hosts == nil {
			domain := n.domains[0]
			for _, r := range x.federation(ctx, domain) {
				host := strings.TrimSuffix(strings.ToLower(r.Target), ".")
				names := []string{domain}
				if _, parent, _ := strings.Cut(host, "."); parent == domain {
					names = []string{host, domain}
				}
				add(net.JoinHostPort(host, strconv.Itoa(int(r.Port))), "dns.srv-target-unresolvable", names...)
			}
		}
		return *peers
	})
	return slices.Concat(found...)
}

// federation is the records of a SIP domain's Access Edges. Where there is none, that is a finding.
func (x *exam) federation(ctx context.Context, domain string) []*net.SRV {
	s := x.service(ctx, "sipfederationtls", domain)
	name := config.SRVName(domain)
	switch {
	case missing(s.err):
		x.unpublished(ctx, "dns.federation-srv", "sipfederationtls", domain, name+": "+s.String())
	case s.err != nil:
		x.find("dns.resolver-failing", name, s.String())
	case s.declined():
		x.find("dns.federation-srv", domain, name+": "+s.String(), "a target of . says that the domain does not federate")
	default:
		return s.records[:min(len(s.records), maxAddresses)]
	}
	return nil
}

// reached reports whether a host takes connections.
func (h *hop) reached() bool { return len(h.dials) > 0 && best(h.dials).outcome == connected }
