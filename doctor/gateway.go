package doctor

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"fedlab/gateway/config"
	"fedlab/internal/network"
	"fedlab/internal/strictyaml"
)

// Gateway is the vantage point of the gateway's own machine: its configuration, and the network as it sees it.
type Gateway struct {
	Config  *config.Config
	Problem error           // what config.Parse said about it: why a certificate file is of no use
	Network network.Network // with network.SocketLister, the socket table is watched as well

	// Status gives the running gateway's status as its admin listener does (GET /status), in JSON; nil: it is not asked.
	Status func(context.Context) ([]byte, error)
}

// hop is a host of a next hop and what was seen of it.
type hop struct {
	target  string // host:port
	host    string
	names   []string // its certificate has to carry one of them
	domains []string // SIP domains behind it
	minTLS  uint16
	pin     string
	lacking string  // the finding where the host has no address
	peers   *[]*hop // all hosts of the same next hop, in their order: they stand in for each other

	lookup  *lookup
	dials   []*dialed
	shaken  *handshake
	answers []answer
	why     fault // why no handshake came about or no answer, where that was found out
}

// Examine looks at everything that the gateway's machine shows. It takes as long as [Watch] and at most a minute and a half.
func (g Gateway) Examine(ctx context.Context) []Finding {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	x := newExam(FromGateway, g.Network)
	watched := make(chan struct{})
	deserted := false
	go func() {
		defer close(watched)
		deserted = x.watch(ctx, placeOf(g.Config.SIP.Listen, sipPort), placeOf(g.Config.XMPP.Listen, xmppPort))
	}()
	domains := make(chan struct{})
	var silent error
	go func() {
		defer close(domains)
		g.judgeProof(x)
		silent = g.judgeStatus(ctx, x, g.examineDomains(ctx, x))
	}()
	hops := each(g.hosts(ctx, x), func(h *hop) *hop {
		g.visit(ctx, x, h)
		return h
	})
	g.judge(ctx, x, hops)
	<-domains
	<-watched
	if deserted && silent != nil {
		g.judgeAbsence(x, silent)
	}
	return x.result()
}

// judgeAbsence makes the finding for a gateway that does not run. With a certificate that cannot be used it does not start, which is said elsewhere.
func (g Gateway) judgeAbsence(x *exam, silent error) {
	sip, xmpp := g.Config.SIP, g.Config.XMPP
	if !sip.Certificate.Usable() || xmpp.Certificate.Cert != "" && !xmpp.Certificate.Usable() {
		return
	}
	evidence := []string{fmt.Sprintf("nobody on this machine has listened for %v for SIP on %s or for XMPP on %s", Watch, sip.Listen, xmpp.Listen), "its status: " + silent.Error()}
	for _, p := range g.problems() {
		evidence = append(evidence, "it does not start with this: "+firstLine(p))
	}
	x.find("gateway.not-running", g.Config.Hostname, evidence...)
}

func portOf(address string, otherwise uint16) uint16 {
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		return otherwise
	}
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil {
		return otherwise
	}
	return uint16(n)
}

// maxQuestions bounds how many OPTIONS are sent on one connection.
const maxQuestions = 50

// visit does with a next hop what the gateway does, up to one OPTIONS for each XMPP domain, and judges nothing.
func (g Gateway) visit(ctx context.Context, x *exam, h *hop) {
	if h.lookup = x.addresses(ctx, h.host); h.lookup.err != nil {
		return
	}
	h.dials = x.reach(ctx, h.lookup.addrs, portOf(h.target, 5061))
	d := best(h.dials)
	if d.outcome != connected {
		return
	}
	raw, err := x.dial(ctx, d.to)
	if err != nil {
		h.shaken = &handshake{err: err}
		return
	}
	o := offer{name: h.names[0], oldest: h.minTLS}
	if g.Config.SIP.Certificate.Usable() {
		o.pair = g.Config.SIP.Certificate.Pair
	}
	h.shaken = shake(ctx, raw, o)
	if h.shaken.err != nil && !h.shaken.rejects(h.shaken.err) {
		h.why = x.whyNot(ctx, h.shaken, d, o)
	}
	if h.shaken.err != nil {
		return
	}
	defer h.shaken.close()
	var questions []question
	for _, from := range slices.Sorted(maps.Keys(g.Config.XMPP.Expanded())) {
		if len(questions) < maxQuestions {
			questions = append(questions, question{from: from, to: h.domains[0], host: g.Config.Hostname})
		}
	}
	h.answers = ask(ctx, h.shaken.conn, questions)
	h.why = x.longQuestion(ctx, h.shaken, d, o, h.answers)
}

// judge turns what was seen of the SIP side into findings.
func (g Gateway) judge(ctx context.Context, x *exam, hops []*hop) {
	var others []*x509.Certificate // what next hops presented: issuing certificates of ours may be among them
	accepted := false              // an Edge takes our certificate for what the Allow list has
	for _, h := range hops {
		if h.shaken != nil {
			others = append(others, h.shaken.chain...)
		}
		for _, a := range h.answers {
			accepted = accepted || a.err == nil && !a.refused() && !a.unavailable()
		}
	}
	own := g.judgeOwn(x, others, accepted)
	for _, h := range hops {
		if g.judgeWay(ctx, x, h) {
			g.judgeTLS(x, h, own)
			g.judgeAnswers(x, h, own)
		}
	}
}

// judgeOwn looks at our own certificate. It reports whether something is wrong with it, which explains why others refuse it.
//
// If the certificate does not carry the configured host name, one of the two is wrong. An Edge that accepts the certificate has
// its name on the Allow list, so then the host name is.
func (g Gateway) judgeOwn(x *exam, others []*x509.Certificate, accepted bool) (wrong bool) {
	c := g.Config.SIP.Certificate
	hostname := g.Config.Hostname
	chain := parse(c.Pair.Certificate)
	if !c.Usable() {
		g.unusable(x, c, hostname)
		wrong = true
	}
	if len(chain) == 0 {
		return wrong
	}
	for _, f := range (papers{chain: chain, want: []string{hostname}, roots: c.Roots, lists: c.Lists, known: others, now: time.Now()}).faults() {
		switch f.code {
		case "tls.untrusted":
			// Whether it is trusted is for the other side to say: what is installed here is for verifying others.
			if chain[0].Subject.String() != chain[0].Issuer.String() {
				continue
			}
		case "tls.name-mismatch":
			if accepted {
				x.find("gateway.hostname", hostname, "configured host name: "+hostname, "names in the certificate: "+nameList(namesOf(chain[0])),
					"the Edge accepts the certificate, so its Allow list has the certificate's name")
				continue
			}
		}
		x.find(f.code, hostname, append([]string{"the gateway's own certificate"}, f.evidence...)...)
		wrong = wrong || f.code != expiresSoon
	}
	return wrong
}

// unusable makes the finding for a certificate that cannot be presented: the gateway does not start with it.
func (g Gateway) unusable(x *exam, c config.Certificate, subject string) {
	code, evidence := "tls.no-key", []string{"certificate file " + c.Cert + ", key file " + c.Key}
	all := g.problems()
	for _, p := range all {
		line := firstLine(p)
		if len(all) > 1 && !strings.Contains(line, c.Cert) && !strings.Contains(line, c.Key) {
			continue // the other side's certificate
		}
		if errors.Is(p, config.ErrKeyMismatch) {
			code = "tls.key-mismatch"
		}
		evidence = append(evidence, line)
	}
	x.find(code, subject, evidence...)
}

// problems are the mistakes of the configuration, one by one.
func (g Gateway) problems() []error {
	var all *strictyaml.Errors
	switch {
	case errors.As(g.Problem, &all):
		return all.Unwrap()
	case g.Problem != nil:
		return []error{g.Problem}
	}
	return nil
}

// firstLine is a mistake of the configuration without the excerpt that follows.
func firstLine(mistake error) string {
	line, _, _ := strings.Cut(mistake.Error(), "\n")
	return line
}

// judgeWay judges how the next hop is reached. It reports whether it was.
//
// A next hop with a public address, seen from a machine with a private one, is on the other side of our own firewall: the
// traffic has to leave and come back in (step 4). If that works it is only the least desirable way; if it does not, the name
// and the firewall are both wrong, and putting either right is enough.
func (g Gateway) judgeWay(ctx context.Context, x *exam, h *hop) bool {
	if h.lookup.err != nil {
		x.nameless(ctx, h.lookup, h.lacking, "next hop "+h.target)
		return false
	}
	d := best(h.dials)
	outside := loops(d.local, h.lookup.addrs)
	served := slices.ContainsFunc(*h.peers, (*hop).reached)
	switch {
	case d.outcome == connected && outside:
		x.find("nat.hairpin-used", h.host, h.lookup.String(), d.String())
	case served:
		if down := down(h.dials); len(down) > 0 {
			x.find("edge.address-down", h.target, append([]string{h.lookup.String()}, down...)...)
		}
	case outside:
		x.find("dns.split-view", h.host, h.lookup.String(), "this machine is "+d.local.String())
		x.find("nat.hairpin", h.host, append([]string{h.lookup.String()}, inWords(h.dials)...)...)
	default:
		x.find(d.code(), h.target, slices.Concat([]string{h.lookup.String()}, inWords(h.dials), x.slip(ctx, h.dials))...)
	}
	return d.outcome == connected
}

// loops reports whether traffic to all of addrs has to leave the network that local is in for the Internet.
func loops(local netip.Addr, addrs []netip.Addr) bool {
	return local.IsValid() && isPrivate(local) && !slices.ContainsFunc(addrs, isPrivate)
}

// judgeTLS judges the handshake and the certificate that the next hop presented.
func (g Gateway) judgeTLS(x *exam, h *hop, own bool) {
	s := h.shaken
	c := g.Config.SIP.Certificate
	if h.why.code != "" {
		x.find(h.why.code, h.target, h.why.evidence...)
	}
	if len(s.chain) > 0 {
		p := papers{chain: s.chain, want: h.names, pin: h.pin, roots: c.Roots, lists: c.Lists, known: parse(c.Pair.Certificate), now: time.Now()}
		for _, f := range p.faults() {
			if f.code == "tls.name-mismatch" && slices.ContainsFunc(h.answers, answer.internal) {
				continue // the internal interface has a name of its own: it is said below what it is
			}
			x.find(f.code, h.host, append([]string{"presented by " + h.target}, f.evidence...)...)
		}
	}
	rejection := s.err
	for _, a := range h.answers {
		if rejection == nil && a.err != nil && s.rejects(a.err) {
			rejection = a.err // in TLS 1.3 the server's opinion comes after the handshake
		}
	}
	if rejection != nil && s.rejects(rejection) && !own {
		x.rejected(h.target, rejection, parse(c.Pair.Certificate), c.Roots)
	}
	if s.err == nil && !s.asked {
		x.find("tls.no-client-certificate", h.target, h.target+" did not ask for a certificate: this is no mutual TLS")
	}
}

// judgeAnswers judges what the next hop said to OPTIONS.
//
// The Edge tells a peer that it does not trust nothing but a bare 504, and why only to its own log. That is all that can be
// seen from here, and it is no finding of its own where our certificate explains it.
func (g Gateway) judgeAnswers(x *exam, h *hop, own bool) {
	if own {
		return
	}
	for _, a := range h.answers {
		switch {
		case a.internal():
			x.find("edge.internal-interface", h.target, h.lookup.String(), a.String())
		case a.refused():
			x.find("edge.refused", a.from, "next hop "+h.target, a.String())
		case a.unavailable() && h.why.code == "" && !(a.err != nil && h.shaken.rejects(a.err) && gone(a.err)):
			x.find("edge.unavailable", h.target, a.String())
		}
	}
}
