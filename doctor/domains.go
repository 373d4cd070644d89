package doctor

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"

	"fedlab/gateway/config"
)

// farm is an XMPP domain and what was seen of its servers from the gateway.
type farm struct {
	domain  string
	policy  config.XMPPDomain
	service service
	direct  service   // servers that begin with TLS (XEP-0368); not asked for where our policy forbids TLS
	targets []*target // by priority
	streams []string  // what did not become a stream, in words
	stream  *stream   // the first that did; nil: none

	unproven []string // why its certificate does not prove the domain, where only a certificate may
}

// target is one server of a domain.
type target struct {
	name   string
	port   uint16
	direct bool // TLS comes first
	lookup *lookup
	dials  []*dialed
	stream *stream // nil: not tried
}

func (t *target) up() bool { return len(t.dials) > 0 && best(t.dials).outcome == connected }

const (
	maxTargets = 16 // servers of one domain that are tried
	maxDomains = 64 // XMPP domains that are examined
)

// examineDomains looks at every XMPP domain of the configuration.
func (g Gateway) examineDomains(ctx context.Context, x *exam) []*farm {
	policies := g.Config.XMPP.Expanded()
	names := slices.Sorted(maps.Keys(policies))
	from := ""
	if ours := slices.Sorted(maps.Keys(g.Config.SIP.Domains)); len(ours) > 0 {
		from = ours[0]
	}
	farms := each(names[:min(len(names), maxDomains)], func(name string) *farm {
		f := &farm{domain: name, policy: policies[name], direct: service{err: errNotAsked}}
		x.explore(ctx, f, from)
		g.weigh(f)
		return f
	})
	x.longStreams(ctx, farms, from)
	anyUp := slices.ContainsFunc(farms, func(f *farm) bool { return slices.ContainsFunc(f.targets, (*target).up) })
	for _, f := range farms {
		x.judgeDomain(ctx, f, anyUp)
	}
	return farms
}

// errNotAsked stands for an answer to what was not asked.
var errNotAsked = errors.New("not asked")

// explore finds a domain's servers, tries the port of each, and opens a stream with the first that answers.
func (x *exam) explore(ctx context.Context, f *farm, from string) {
	f.service = x.service(ctx, "xmpp-server", f.domain)
	if f.policy.TLS != config.TLSNever {
		f.direct = x.service(ctx, "xmpps-server", f.domain)
	}
	if f.service.declined() || f.service.err != nil && !missing(f.service.err) {
		return
	}
	for i, s := range []service{f.service, f.direct} {
		for _, r := range s.records[:min(len(s.records), maxTargets)] {
			if name := strings.TrimSuffix(r.Target, "."); name != "" {
				f.targets = append(f.targets, &target{name: name, port: r.Port, direct: i == 1})
			}
		}
	}
	if len(f.targets) == 0 {
		f.targets = []*target{{name: f.domain, port: 5269}} // RFC 6120 §3.2.2
	}
	each(f.targets, func(t *target) *target {
		if t.lookup = x.addresses(ctx, t.name); t.lookup.err == nil {
			t.dials = x.reach(ctx, t.lookup.addrs, t.port)
		}
		return t
	})
	tried := map[netip.AddrPort]bool{}
	for _, t := range f.targets {
		if !t.up() || f.stream != nil || tried[best(t.dials).to] {
			continue
		}
		tried[best(t.dials).to] = true
		s := x.open(ctx, best(t.dials), opening{from: from, to: f.domain, tls: f.policy.TLS != config.TLSNever, direct: t.direct})
		t.stream = &s
		if s.err == nil {
			f.stream = &s
		} else {
			f.streams = append(f.streams, t.name+": "+s.String())
		}
	}
}

// judgeDomain turns what was seen of a domain into findings. Silence of every server of every domain is the doing of something
// near to us; silence of one domain's servers, while others answer, is theirs.
func (x *exam) judgeDomain(ctx context.Context, f *farm, anyUp bool) {
	asked := "SRV " + xmppSRV + f.domain + ": " + f.service.String()
	if f.service.err != nil && !missing(f.service.err) {
		x.find("dns.resolver-failing", xmppSRV+f.domain, asked)
		return
	}
	if f.service.declined() {
		x.find("dns.srv-declined", f.domain, asked)
		return
	}
	if f.service.err != nil && len(f.direct.records) == 0 && f.targets[0].lookup.err != nil {
		x.unpublished(ctx, "dns.srv-missing", "xmpp-server", f.domain, asked, f.targets[0].lookup.String())
		return
	}
	var named, up, down []*target
	for _, t := range f.targets {
		switch {
		case t.lookup.err != nil && missing(t.lookup.err):
			x.find("dns.srv-target-unresolvable", t.name, append([]string{asked, t.lookup.String()}, x.doubled(ctx, t.name)...)...)
		case t.lookup.err != nil:
			x.find("dns.resolver-failing", t.name, t.lookup.String())
		case t.up() && (t.stream == nil || t.stream.err == nil):
			named, up = append(named, t), append(up, t)
		default:
			named, down = append(named, t), append(down, t)
		}
	}
	if len(named) == 0 {
		return
	}
	if f.stream == nil && slices.ContainsFunc(named, (*target).up) {
		x.find("xmpp.no-stream", f.domain, f.streams...)
		return
	}
	evidence := []string{asked}
	for _, t := range down {
		if t.stream != nil {
			evidence = append(evidence, t.name+": "+t.stream.String())
			continue
		}
		for _, d := range t.dials {
			evidence = append(evidence, t.name+": "+d.String())
		}
	}
	switch {
	case len(up) == 0:
		x.find(allDown(down, anyUp), f.domain, evidence...)
		return
	case len(down) > 0:
		x.find("xmpp.target-down", f.domain, evidence...)
	}
	x.judgeStream(f)
}

// allDown is the finding where no server of a domain takes a connection.
func allDown(down []*target, anyUp bool) string {
	var outcomes []outcome
	for _, t := range down {
		outcomes = append(outcomes, best(t.dials).outcome)
	}
	all := func(o outcome) bool {
		return !slices.ContainsFunc(outcomes, func(have outcome) bool { return have != o })
	}
	switch {
	case !anyUp && all(silent):
		return "net.filtered"
	case all(unreachable):
		return "net.unreachable"
	}
	return "xmpp.all-targets-down"
}

// judgeStream compares what the other side's server offers with our policy.
func (x *exam) judgeStream(f *farm) {
	switch s := f.stream; {
	case s.fault != "":
		x.find("xmpp.negotiation", f.domain, fmt.Sprintf("a stream to %s: %s", f.domain, s))
	case f.disagrees():
		x.find("xmpp.tls-policy", f.domain, f.policies(), s.String())
	case s.why.code != "":
		x.find(s.why.code, f.domain, s.why.evidence...)
	case len(f.unproven) > 0:
		x.find("xmpp.peer-certificate", f.domain, append(f.unproven, f.policies())...)
	}
}

// disagrees reports whether one side demands encryption and the other forbids it or does not offer it.
func (f *farm) disagrees() bool {
	return f.policy.TLS == config.TLSNever && f.stream.required || f.policy.TLS == config.TLSRequired && !f.stream.starttls
}

// refuses reports whether opening a stream showed already that there can be none.
func (f *farm) refuses() bool {
	return f.stream.fault != "" || f.disagrees() || f.stream.why.code != "" || len(f.unproven) > 0
}

// policies is what our configuration says, in words.
func (f *farm) policies() string {
	return fmt.Sprintf("policy towards %s: tls %s, sasl %s, dialback %s", f.domain, cmp.Or(f.policy.TLS, config.TLSOptional),
		cmp.Or(f.policy.SASL, config.SASLOptional), cmp.Or(f.policy.Dialback, config.DialbackOptional))
}
