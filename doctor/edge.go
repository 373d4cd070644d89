package doctor

import (
	"context"
	"crypto"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"maps"
	"net"
	"slices"
	"strings"
	"time"

	"fedlab/internal/network"
)

// Edge is the vantage point of the Access Edge: its Allow list, its certificate, its own log.
type Edge struct {
	Network     network.Network
	Name        string                 // federation name: sip.contoso.com
	Allow       map[string]string      // Allow list: federated domain to the name of its next hop, with a port if it is not 5061
	Certificate tls.Certificate        // the Edge's own; without one no session is made, and of TLS the gateway's certificate is all that is seen
	Roots       *x509.CertPool         // authorities installed on the machine; nil: the system's
	Revoked     []*x509.RevocationList // lists of revoked certificates installed on the machine
	Log         func() []string        // lines of the Edge's own log so far; nil: there is none to read
}

const sipPort = 5061

// gatewaySeen is a next hop of the Allow list and what was seen of it.
type gatewaySeen struct {
	name    string   // as the Allow list has it
	port    uint16   //
	domains []string // federated domains that it is the next hop of

	lookup  *lookup
	dials   []*dialed
	shaken  *handshake
	why     fault
	answers []answer
}

// Examine looks at everything that the Edge's machine shows. It takes as long as [Watch] and at most a minute and a half.
func (e Edge) Examine(ctx context.Context) []Finding {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	x := newExam(FromEdge, e.Network)
	before := 0
	if e.Log != nil {
		before = len(e.Log())
	}
	watched := make(chan struct{})
	go func() {
		defer close(watched)
		x.watch(ctx, place{port: sipPort})
	}()
	hops := each(e.nextHops(), func(s *gatewaySeen) *gatewaySeen {
		e.visit(ctx, x, s)
		return s
	})
	own := e.judgeOwn(x, hops)
	for _, s := range hops {
		if e.judgeWay(ctx, x, s) {
			e.judgeTLS(ctx, x, s, own)
		}
	}
	<-watched
	if e.Log != nil {
		x.untilWatched(ctx)
		e.readLog(x, e.Log(), before)
	}
	return x.result()
}

// nextHops are the distinct next hops of the Allow list. A domain without one is found by DNS, which is not this road.
func (e Edge) nextHops() []*gatewaySeen {
	byTarget := map[string]*gatewaySeen{}
	for _, domain := range slices.Sorted(maps.Keys(e.Allow)) {
		target := e.Allow[domain]
		if target == "" {
			continue
		}
		s := byTarget[target]
		if s == nil {
			s = &gatewaySeen{name: hostOf(target), port: portOf(target, sipPort)}
			byTarget[target] = s
		}
		s.domains = append(s.domains, domain)
	}
	var all []*gatewaySeen
	for _, target := range slices.Sorted(maps.Keys(byTarget)) {
		all = append(all, byTarget[target])
	}
	return all
}

func hostOf(target string) string {
	if host, _, err := net.SplitHostPort(target); err == nil {
		return host
	}
	return target
}

// visit does with a next hop what the Edge does when it has something to send. TLS 1.2 is the newest on offer, as with a real
// Edge; it also makes the gateway's opinion of our certificate part of the handshake.
func (e Edge) visit(ctx context.Context, x *exam, s *gatewaySeen) {
	if s.lookup = x.addresses(ctx, s.name); s.lookup.err != nil {
		return
	}
	s.dials = x.reach(ctx, s.lookup.addrs, s.port)
	d := best(s.dials)
	if d.outcome != connected {
		return
	}
	raw, err := x.dial(ctx, d.to)
	if err != nil {
		s.shaken = &handshake{err: err}
		return
	}
	// Without the Edge's certificate no session comes about anyhow, and the gateway would remember a caller from the Edge's machine that has none.
	o := offer{name: s.name, oldest: tls.VersionTLS10, newest: tls.VersionTLS12, all: true, look: !e.given()}
	if e.ownKey() {
		o.pair = e.Certificate
	}
	s.shaken = shake(ctx, raw, o)
	if s.shaken.err != nil && strings.HasPrefix(alert(s.shaken.err), "protocol version") {
		if raw, err = x.dial(ctx, d.to); err == nil {
			o.newest = 0
			s.shaken = shake(ctx, raw, o)
		}
	}
	if s.shaken.err != nil && !s.shaken.rejects(s.shaken.err) {
		s.why = x.whyNot(ctx, s.shaken, d, o)
	}
	if s.shaken.conn == nil {
		return
	}
	defer s.shaken.close()
	var questions []question
	for _, to := range s.domains[:min(len(s.domains), maxQuestions)] {
		questions = append(questions, question{from: e.Name, to: to, host: e.Name})
	}
	s.answers = ask(ctx, s.shaken.conn, questions)
	s.why = x.longQuestion(ctx, s.shaken, d, o, s.answers)
}

// judgeOwn looks at the Edge's own certificate. It reports whether something is wrong with it. Where it was not given, nothing
// is said about it, nor about its being refused.
func (e Edge) judgeOwn(x *exam, hops []*gatewaySeen) (wrong bool) {
	chain := parse(e.Certificate.Certificate)
	if !e.given() {
		return true
	}
	if len(chain) == 0 || e.Certificate.PrivateKey == nil {
		x.find("tls.no-key", e.Name, fmt.Sprintf("the Edge has %d certificates and a private key: %v", len(chain), e.Certificate.PrivateKey != nil))
		return true
	}
	if !e.ownKey() {
		x.find("tls.key-mismatch", e.Name, "the Edge's private key is not the one that its certificate was made for", describe(chain[0]))
		wrong = true
	}
	var others []*x509.Certificate
	for _, s := range hops {
		if s.shaken != nil {
			others = append(others, s.shaken.chain...)
		}
	}
	for _, f := range (papers{chain: chain, want: []string{e.Name}, roots: e.Roots, lists: e.Revoked, known: others, now: time.Now()}).faults() {
		if f.code == "tls.untrusted" && chain[0].Subject.String() != chain[0].Issuer.String() {
			continue // whether it is trusted is for the other side to say
		}
		x.find(f.code, e.Name, append([]string{"the Edge's own certificate"}, f.evidence...)...)
		wrong = wrong || f.code != expiresSoon
	}
	return wrong
}

// given reports whether anything of the Edge's own certificate was given.
func (e Edge) given() bool {
	return len(e.Certificate.Certificate) > 0 || e.Certificate.PrivateKey != nil
}

// ownKey reports whether the Edge's private key is that of its certificate.
func (e Edge) ownKey() bool {
	chain := parse(e.Certificate.Certificate)
	key, signs := e.Certificate.PrivateKey.(crypto.Signer)
	if len(chain) == 0 || !signs {
		return false
	}
	public, ok := key.Public().(interface{ Equal(crypto.PublicKey) bool })
	return ok && public.Equal(chain[0].PublicKey)
}

// judgeWay judges how the next hop is reached. It reports whether it was.
//
// With a single public name for the gateway the traffic has to leave and come back in, and the firewall has to let 5061 in for
// it (step 6). That it does not is said beside the bare fact, for either may be what was not meant.
func (e Edge) judgeWay(ctx context.Context, x *exam, s *gatewaySeen) bool {
	if s.lookup.err != nil {
		x.nameless(ctx, s.lookup, "dns.next-hop", "next hop of "+strings.Join(s.domains, ", ")+" on the Allow list")
		return false
	}
	d := best(s.dials)
	outside := loops(d.local, s.lookup.addrs)
	switch {
	case d.outcome == connected && outside:
		x.find("nat.hairpin-used", s.name, s.lookup.String(), d.String())
	case d.outcome == connected:
		if down := down(s.dials); len(down) > 0 {
			x.find("gateway.address-down", fmt.Sprintf("%s:%d", s.name, s.port), append([]string{s.lookup.String()}, down...)...)
		}
	default:
		evidence := append([]string{s.lookup.String()}, inWords(s.dials)...)
		x.find(d.code(), fmt.Sprintf("%s:%d", s.name, s.port), append(evidence, x.slip(ctx, s.dials)...)...)
		if outside {
			x.find("nat.hairpin", s.name, evidence...)
		}
	}
	return d.outcome == connected
}

func (e Edge) judgeTLS(ctx context.Context, x *exam, s *gatewaySeen, own bool) {
	target := fmt.Sprintf("%s:%d", s.name, s.port)
	h := s.shaken
	if s.why.code != "" {
		x.find(s.why.code, target, s.why.evidence...)
	}
	if len(h.chain) > 0 {
		p := papers{chain: h.chain, want: []string{s.name}, roots: e.Roots, lists: e.Revoked, known: parse(e.Certificate.Certificate), now: time.Now()}
		for _, f := range p.faults() {
			if f.code != "tls.name-mismatch" {
				x.find(f.code, s.name, append([]string{"presented by " + target}, f.evidence...)...)
			}
		}
		e.judgeNames(ctx, x, s)
	}
	if h.err != nil && h.rejects(h.err) && !own {
		x.rejected(target, h.err, parse(e.Certificate.Certificate), e.Roots)
	}
	if h.conn != nil && !h.asked {
		x.find("tls.no-client-certificate", target, target+" did not ask for a certificate: this is no mutual TLS")
	}
	for _, a := range s.answers {
		switch {
		case a.status == 404 || a.status == 403:
			x.find("gateway.domain-not-served", a.to, "next hop "+target, a.String())
		case a.err != nil && h.rejects(a.err) && !own:
			x.rejected(target, a.err, parse(e.Certificate.Certificate), e.Roots)
		case a.unavailable() && s.why.code == "":
			x.find("gateway.unavailable", target, a.String())
		}
	}
}

// judgeNames compares the three names that have to be one (step 6): the Allow list's, the certificate's, and the one that the
// gateway hands out. Where two agree the third is wrong. If the gateway does not tell its name, a name of the certificate
// that leads to the same machine is taken for its real one. Of gateways that stand side by side each may hand out a name of its own,
// if its certificate has it beside the one that the Allow list has for all of them.
func (e Edge) judgeNames(ctx context.Context, x *exam, s *gatewaySeen) {
	leaf := s.shaken.chain[0]
	hostname := ""
	for _, a := range s.answers {
		if h := a.contactHost(); h != "" {
			hostname = h
		}
	}
	said := hostname
	if said == "" {
		said = "not known"
	}
	evidence := []string{"Allow list: " + s.name, "names in the certificate: " + nameList(namesOf(leaf)), "name that the gateway hands out: " + said, describe(leaf)}
	switch fits := carries(leaf, s.name); {
	case fits && carries(leaf, hostname) && e.sameMachine(ctx, x, s, []string{hostname}): // one of several behind the Allow list's name
	case fits && hostname != "" && !sameName(hostname, s.name):
		x.find("gateway.hostname", s.name, evidence...)
	case fits:
	case hostname == "" && e.sameMachine(ctx, x, s, namesOf(leaf)), hostname != "" && carries(leaf, hostname):
		x.find("edge.next-hop-name", s.name, evidence...)
	default:
		x.find("tls.name-mismatch", s.name, evidence...)
	}
}

// sameMachine reports whether one of names has an address of the next hop.
func (e Edge) sameMachine(ctx context.Context, x *exam, s *gatewaySeen, names []string) bool {
	for _, n := range names[:min(len(names), maxAddresses)] {
		for _, a := range x.addresses(ctx, n).addrs {
			if slices.Contains(s.lookup.addrs, a) {
				return true
			}
		}
	}
	return false
}
