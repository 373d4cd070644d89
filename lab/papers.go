package lab

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"time"

	"fedlab/internal/pki"
	"fedlab/internal/revocation"
	"fedlab/lab/scenario"
)

// papers are the certificates of a deployment: who has which, and who trusts whom.
type papers struct {
	pairs map[string]*pki.Pair // by host; nil where a host has none
	trust map[string][]byte    // by host: the authorities it has installed, in PEM
	specs map[string]*scenario.Certificate
	other *pki.Pair // a certificate with a key that belongs to none of the others

	authorities map[string]*pki.Authority
	given       bool // minted elsewhere
}

// mint makes every certificate that t asks for, right or wrong. now is the start of the run.
func mint(t *scenario.Topology, now time.Time) (*papers, error) {
	p := &papers{pairs: map[string]*pki.Pair{}, trust: map[string][]byte{}, specs: map[string]*scenario.Certificate{}, authorities: map[string]*pki.Authority{}}
	for _, name := range sorted(t.Authorities) {
		a, err := pki.NewAuthority(name, pki.AuthorityOptions{Issuing: t.Authorities[name].Issuing, Now: now})
		if err != nil {
			return nil, fmt.Errorf("authority %s: %w", name, err)
		}
		p.authorities[name] = a
	}
	var err error
	if p.other, err = pki.SelfSigned(pki.Leaf{Subject: "another key"}); err != nil {
		return nil, err
	}
	for _, name := range sorted(t.Hosts) {
		if err := p.issueAll(name, t.Hosts[name], now); err != nil {
			return nil, err
		}
	}
	for _, name := range sorted(t.Hosts) { // the lists of revoked certificates name those of others
		if err := p.trustAll(name, t.Hosts[name]); err != nil {
			return nil, err
		}
	}
	return p, nil
}

// forXMPP is what a gateway's papers for its XMPP side stand under, behind the name of its host.
const forXMPP = " xmpp"

// install makes the certificates of one host, and what it trusts, in place of what it had. The times of validity are relative to now.
func (p *papers) install(name string, h scenario.Host, now time.Time) error {
	if p.given {
		return nil
	}
	return errors.Join(p.issueAll(name, h, now), p.trustAll(name, h))
}

func (p *papers) issueAll(name string, h scenario.Host, now time.Time) error {
	if h.Gateway != nil {
		if err := p.issue(name+forXMPP, h.Gateway.Certificate, now); err != nil {
			return err
		}
	}
	return p.issue(name, h.Certificate, now)
}

func (p *papers) trustAll(name string, h scenario.Host) error {
	if h.Gateway != nil {
		if err := p.trusts(name+forXMPP, h.Gateway.Authorities, nil, h.ListsKnown); err != nil {
			return err
		}
	}
	return p.trusts(name, h.Authorities, h.IssuingKnown, h.ListsKnown)
}

// trusts makes the file of what a host has installed of authorities: their certificates, and their lists of revoked certificates.
func (p *papers) trusts(name string, roots, issuing, lists []string) error {
	p.trust[name] = nil
	for _, a := range roots {
		p.trust[name] = append(p.trust[name], p.authorities[a].RootPEM()...)
	}
	for _, a := range issuing {
		p.trust[name] = append(p.trust[name], p.authorities[a].IssuingPEM()...)
	}
	for _, a := range lists {
		list, err := p.authorities[a].List(p.revoked(a)...)
		if err != nil {
			return err
		}
		p.trust[name] = append(p.trust[name], list...)
	}
	return nil
}

// reasons are the codes of RFC 5280 §5.3.1.
var reasons = map[string]int{"unspecified": 0, "key-compromise": 1, "affiliation-changed": 3, "superseded": 4, "cessation-of-operation": 5}

// revoked are the certificates that an authority has taken back.
func (p *papers) revoked(authority string) []pki.Revoked {
	var all []pki.Revoked
	for _, owner := range sorted(p.specs) {
		if c := p.specs[owner]; c != nil && c.Authority == authority && c.Revoked != "" {
			all = append(all, pki.Revoked{Pair: p.pairs[owner], Since: time.Now().Add(-time.Hour), Reason: reasons[c.Revoked]})
		}
	}
	return all
}

// issue makes one certificate, or takes it away if c is nil.
func (p *papers) issue(name string, c *scenario.Certificate, now time.Time) error {
	p.pairs[name], p.specs[name] = nil, nil
	if c == nil {
		return nil
	}
	leaf := pki.Leaf{Subject: c.Subject, Names: c.Names, NotBefore: now.Add(-24 * time.Hour), NotAfter: now.Add(365 * 24 * time.Hour)}
	if c.From != 0 {
		leaf.NotBefore = now.Add(time.Duration(c.From))
	}
	if c.Until != 0 {
		leaf.NotAfter = now.Add(time.Duration(c.Until))
	}
	for _, u := range c.Usage {
		leaf.Server = leaf.Server || u == "server"
		leaf.Client = leaf.Client || u == "client"
	}
	if len(c.Usage) == 0 {
		leaf.Server = true // what the Web Server template of the time gave
	}
	var pair *pki.Pair
	var err error
	if c.Authority == "" {
		pair, err = pki.SelfSigned(leaf)
	} else {
		pair, err = p.authorities[c.Authority].Issue(leaf)
	}
	if err != nil {
		return fmt.Errorf("certificate of %s: %w", name, err)
	}
	p.pairs[name], p.specs[name] = pair, c
	return nil
}

// certPEM is the certificate of a host as it is installed, with the issuing certificates unless they were forgotten.
func (p *papers) certPEM(host string) []byte {
	if send := p.specs[host].SendChain; send != nil && !*send {
		return p.pairs[host].LeafPEM
	}
	return p.pairs[host].CertPEM
}

// certificate is what a fake presents; empty when the host has none.
func (p *papers) certificate(host string) tls.Certificate {
	if p.pairs[host] == nil {
		return tls.Certificate{}
	}
	c, err := tls.X509KeyPair(p.certPEM(host), p.pairs[host].KeyPEM)
	if err != nil {
		panic(fmt.Sprintf("a certificate that was just made cannot be read: %v", err)) // a fault of package pki
	}
	switch p.specs[host].Key {
	case "missing":
		c.PrivateKey = nil
	case "other":
		c.PrivateKey = p.other.TLS().PrivateKey
	}
	return c
}

func (p *papers) trusted(host string) *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(p.trust[host])
	return pool
}

// lists are the lists of revoked certificates that a host has installed.
func (p *papers) lists(host string) []*x509.RevocationList {
	all, err := revocation.Parse(p.trust[host])
	if err != nil {
		panic(fmt.Sprintf("a list that was just made cannot be read: %v", err)) // a fault of package pki
	}
	return all
}

// files is the disk of a gateway's host: what its configuration file refers to.
func (p *papers) files(host string) func(string) ([]byte, error) {
	return func(name string) ([]byte, error) {
		owner, file := host, name
		if rest, ok := strings.CutPrefix(name, "xmpp-"); ok {
			owner, file = host+forXMPP, rest
		}
		if p.pairs[owner] != nil {
			switch {
			case file == "gateway.pem":
				return p.certPEM(owner), nil
			case file == "gateway.key" && p.specs[owner].Key == "":
				return p.pairs[owner].KeyPEM, nil
			case file == "gateway.key" && p.specs[owner].Key == "other":
				return p.other.KeyPEM, nil
			}
		}
		if file == "authorities.pem" {
			return p.trust[owner], nil
		}
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
	}
}

// gatewayFile writes the configuration file of a gateway. JSON is YAML, and needs no care with quoting.
func gatewayFile(h scenario.Host) []byte {
	type object = map[string]any
	g := h.Gateway
	sip, xmpp := object{}, object{}
	for name, d := range g.SIP {
		o := object{"next_hop": d.NextHop}
		if d.MinTLS != "" {
			o["min_tls"] = d.MinTLS
		}
		if d.Pin != "" {
			o["pin"] = d.Pin
		}
		if d.Mode != "" {
			o["mode"] = d.Mode
		}
		sip[name] = o
	}
	for name, d := range g.XMPP {
		o := object{}
		if len(d.Also) > 0 {
			o["also"] = d.Also
		}
		for key, value := range map[string]string{"tls": d.TLS, "sasl": d.SASL, "dialback": d.Dialback, "pin": d.Pin} {
			if value != "" {
				o[key] = value
			}
		}
		xmpp[name] = o
	}
	files := func(prefix string) object {
		o := object{"cert": prefix + "gateway.pem", "key": prefix + "gateway.key", "authorities": prefix + "authorities.pem"}
		if len(h.ListsKnown) > 0 {
			o["revoked"] = prefix + "authorities.pem" // the lists stand in the same file
		}
		return o
	}
	xmppSide := object{"domains": xmpp}
	if g.Certificate != nil {
		xmppSide["certificate"] = files("xmpp-")
	}
	if g.ListenTLS != 0 {
		xmppSide["listen_tls"] = fmt.Sprintf(":%d", g.ListenTLS)
	}
	if g.DialbackSecret != "" {
		xmppSide["dialback_secret"] = g.DialbackSecret
	}
	file, err := json.MarshalIndent(object{
		"hostname": g.Hostname,
		"sip":      object{"certificate": files(""), "domains": sip},
		"xmpp":     xmppSide,
	}, "", "  ")
	if err != nil {
		panic(err) // strings and maps of strings
	}
	return file
}
