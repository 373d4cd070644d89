package doctor

import (
	"context"
	"crypto/x509"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"time"

	"fedlab/internal/network"
)

// Outside is the vantage point of somebody on the Internet who wants to reach the organisation, as a Google Talk host does.
type Outside struct {
	Network   network.Network
	Domain    string         // the SIP domain: contoso.com
	Addresses []netip.Addr   // the organisation's public addresses, as far as they are known; none: only private ones are wrong
	Roots     *x509.CertPool // authorities that XMPP servers trust; nil: the system's
}

const xmppPort = 5269

// Examine looks up the public records, tries the port and opens a stream. It takes at most a minute and a half.
func (o Outside) Examine(ctx context.Context) []Finding {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	x := newExam(FromOutside, o.Network)
	s := x.service(ctx, "xmpp-server", o.Domain)
	asked := "SRV " + xmppSRV + o.Domain + ": " + s.String()
	switch {
	case s.declined():
		x.find("dns.srv-declined", o.Domain, asked)
	case s.err != nil && missing(s.err):
		x.unpublished(ctx, "dns.srv-missing", "xmpp-server", o.Domain, asked)
	case s.err != nil:
		x.find("dns.resolver-failing", xmppSRV+o.Domain, asked)
	default:
		targets := each(s.records[:min(len(s.records), maxTargets)], func(r *net.SRV) *target { return o.follow(ctx, x, r, asked) })
		o.judgeTargets(ctx, x, slices.DeleteFunc(targets, func(t *target) bool { return t == nil }), asked)
	}
	o.examineDirect(ctx, x)
	return x.result()
}

// examineDirect goes where the records point to that promise TLS from the first byte (XEP-0368). Who finds nobody there takes the other records.
func (o Outside) examineDirect(ctx context.Context, x *exam) {
	s := x.service(ctx, "xmpps-server", o.Domain)
	if s.err != nil || s.declined() {
		return
	}
	asked := "SRV " + xmppsSRV + o.Domain + ": " + s.String()
	each(s.records[:min(len(s.records), maxTargets)], func(r *net.SRV) bool {
		name := strings.TrimSuffix(strings.ToLower(r.Target), ".")
		target := net.JoinHostPort(name, fmt.Sprint(r.Port))
		l := x.addresses(ctx, name)
		if l.err != nil {
			x.find("xmpp.direct-tls", target, asked, l.String())
			return false
		}
		dials := x.reach(ctx, o.judgeAddresses(x, l), r.Port)
		d := best(dials)
		if d == nil {
			return false
		}
		if d.outcome != connected {
			x.find("xmpp.direct-tls", target, append([]string{asked, l.String()}, inWords(dials)...)...)
			return false
		}
		x.judgeDown(target, l, dials)
		answer := x.open(ctx, d, opening{to: o.Domain, direct: true})
		if answer.err != nil {
			x.find("xmpp.direct-tls", target, append([]string{asked, l.String(), answer.String()}, answer.why.evidence...)...)
			return false
		}
		o.judgeProof(x, answer, target)
		return true
	})
}

// judgeProof judges the certificate that was seen, if the domain's name is in it. One that names the host alone is none that was made for XMPP servers:
// it encrypts, and dialback proves.
func (o Outside) judgeProof(x *exam, s stream, target string) {
	if s.shaken == nil || len(s.shaken.chain) == 0 || !proves(s.shaken.chain[0], o.Domain) {
		return
	}
	x.judgeOurProof(papers{chain: s.shaken.chain, roots: o.Roots, now: time.Now(), xmpp: true}, o.Domain, "presented by "+target)
}

// follow goes where one record points to. It is nil if that has no address.
func (o Outside) follow(ctx context.Context, x *exam, r *net.SRV, asked string) *target {
	name := strings.TrimSuffix(strings.ToLower(r.Target), ".")
	domain := strings.ToLower(o.Domain)
	if name != domain && !strings.HasSuffix(name, "."+domain) {
		x.find("dns.srv-target-foreign", name, asked)
	}
	l := x.addresses(ctx, name)
	if l.err != nil {
		x.nameless(ctx, l, "dns.srv-target-unresolvable", asked)
		return nil
	}
	if alias := x.alias(ctx, name); alias != "" {
		x.find("dns.srv-cname", name, asked, name+" is an alias of "+alias)
	}
	t := &target{name: name, port: r.Port, lookup: l}
	t.dials = x.reach(ctx, o.judgeAddresses(x, l), r.Port)
	if !t.up() {
		return t
	}
	begin := opening{to: o.Domain, tls: true}
	answer := x.open(ctx, best(t.dials), begin)
	subject := net.JoinHostPort(name, fmt.Sprint(r.Port))
	if evidence := x.longStream(ctx, best(t.dials).to, begin, answer); evidence != nil {
		x.find("net.mtu", subject, evidence...)
		answer.why = fault{}
	}
	switch {
	case answer.foreign():
		x.find("nat.forward", subject, l.String(), answer.String())
	case answer.err != nil:
		x.find("xmpp.no-stream", subject, l.String(), answer.String())
	case answer.fault == "host-unknown":
		x.find("gateway.domain-not-served", o.Domain, subject+": "+answer.String())
	case answer.why.code != "":
		x.find("tls.handshake", subject, append([]string{l.String(), answer.String()}, answer.why.evidence...)...)
	default:
		o.judgeProof(x, answer, subject)
	}
	return t
}
