package doctor

import (
	"crypto/tls"
	"crypto/x509"
	"maps"
	"slices"
	"time"

	"fedlab/gateway/config"
)

// Between XMPP servers a certificate is a proof of who is who, and mostly not the only one: where it is none, dialback may do. So what is wrong with
// one is judged by what hangs on it. A domain's own name has to stand in it, not that of a host (RFC 6120 §13.7.1).

// xmppPapers is the certificate that XMPP servers are shown, and what theirs are verified against: as the gateway has it, the SIP side's where the
// configuration has none for them.
func (g Gateway) xmppPapers() (tls.Certificate, *x509.CertPool, []*x509.RevocationList) {
	c := g.Config.XMPP.Certificate
	if !c.Usable() {
		return g.Config.SIP.Certificate.Pair, nil, nil
	}
	return c.Pair, c.Roots, c.Lists
}

// judgeProof looks at our own certificate for XMPP servers. It counts where the configuration has one for them, or lets nothing else prove who we are.
func (g Gateway) judgeProof(x *exam) {
	c := g.Config.XMPP.Certificate
	domains := slices.Sorted(maps.Keys(g.Config.SIP.Domains))
	if c.Cert != "" && !c.Usable() {
		g.unusable(x, c, domains[0])
		return
	}
	policies := slices.Collect(maps.Values(g.Config.XMPP.Expanded()))
	if !slices.ContainsFunc(policies, needsProof) && (c.Cert == "" || !slices.ContainsFunc(policies, takesProof)) {
		return
	}
	pair, roots, lists := g.xmppPapers()
	chain := parse(pair.Certificate)
	if len(chain) == 0 {
		return // the SIP side's, about which all is said
	}
	for _, domain := range domains {
		x.judgeOurProof(papers{chain: chain, want: []string{domain}, roots: roots, lists: lists, now: time.Now(), xmpp: true}, domain, "the gateway's own certificate for XMPP servers")
	}
}

// takesProof reports whether certificates may prove who is who.
func takesProof(p config.XMPPDomain) bool {
	return p.TLS != config.TLSNever && p.SASL != config.SASLNever
}

// needsProof reports whether nothing but certificates may.
func needsProof(p config.XMPPDomain) bool {
	return takesProof(p) && (p.Dialback == config.DialbackNever || p.TLS == config.TLSRequired && p.SASL == config.SASLRequired)
}

// judgeOurProof finds what keeps our own certificate from being a proof for XMPP servers.
func (x *exam) judgeOurProof(p papers, domain, whose string) {
	for _, f := range p.faults() {
		code := "xmpp.own-certificate"
		if f.code == expiresSoon {
			code = f.code
		}
		x.find(code, domain, append([]string{whose}, f.evidence...)...)
	}
}

// weigh notes what is wrong with the certificate of a domain's server where our policy lets nothing else prove the domain, or has it pinned.
func (g Gateway) weigh(f *farm) {
	if f.stream == nil || f.stream.shaken == nil || len(f.stream.shaken.chain) == 0 || !needsProof(f.policy) && f.policy.Pin == "" {
		return
	}
	_, roots, lists := g.xmppPapers()
	p := papers{chain: f.stream.shaken.chain, want: []string{f.domain}, pin: f.policy.Pin, roots: roots, lists: lists, now: time.Now(), xmpp: true}
	if p.pin != "" {
		p.want = nil // the fingerprint says all
	}
	for _, fault := range p.faults() {
		if fault.code != expiresSoon {
			f.unproven = append(f.unproven, fault.evidence...)
		}
	}
}
