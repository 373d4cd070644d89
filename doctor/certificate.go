package doctor

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/asn1"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"fedlab/internal/revocation"
	"fedlab/internal/xmppcert"
)

// fault is something wrong with a certificate: the code of a finding and its evidence.
type fault struct {
	code     string
	evidence []string
}

// papers is what a certificate is judged by.
type papers struct {
	chain []*x509.Certificate    // the certificate and what was sent along with it
	want  []string               // names of which it has to carry one; none: any will do
	pin   string                 // fingerprint that takes the place of chain and dates; empty: none
	roots *x509.CertPool         // nil: the system's
	lists []*x509.RevocationList // of revoked certificates
	known []*x509.Certificate    // further certificates that we know of: if one completes the chain, it should have been sent
	now   time.Time
	xmpp  bool // a name is an XMPP domain: wildcards and the names that XMPP adds count, and the usage does not (RFC 6120 §13.7)
}

// subjectAltName is the extension whose presence rules the CN out (RFC 6125 §6.4.4).
var subjectAltName = asn1.ObjectIdentifier{2, 5, 29, 17}

// namesOf are the names that a certificate stands for: those of the subjectAltName or, without one, the CN.
func namesOf(c *x509.Certificate) []string {
	for _, e := range c.Extensions {
		if e.Id.Equal(subjectAltName) {
			return c.DNSNames
		}
	}
	if c.Subject.CommonName == "" {
		return nil
	}
	return []string{c.Subject.CommonName}
}

// carries reports whether a certificate stands for a name. Names are compared whole: an Edge knows no wildcards, and neither
// does the gateway (RFC 5922 §7.2).
func carries(c *x509.Certificate, name string) bool {
	return slices.ContainsFunc(namesOf(c), func(n string) bool { return sameName(n, name) })
}

// proves reports whether a certificate stands for an XMPP domain. A wildcard stands for the whole left-most label (RFC 6120 §13.7.1.2).
func proves(c *x509.Certificate, domain string) bool {
	_, parent, _ := strings.Cut(domain, ".")
	return slices.ContainsFunc(xmppcert.Names(c), func(n string) bool {
		rest, wild := strings.CutPrefix(n, "*.")
		return sameName(n, domain) || wild && strings.Contains(parent, ".") && sameName(rest, parent)
	})
}

func sameName(a, b string) bool {
	return strings.EqualFold(strings.TrimSuffix(a, "."), strings.TrimSuffix(b, "."))
}

// describe shows a certificate on one line.
func describe(c *x509.Certificate) string {
	names := "no subjectAltName"
	if len(c.DNSNames) > 0 {
		names = "names " + strings.Join(c.DNSNames, ", ")
	}
	return fmt.Sprintf("certificate: subject %q, %s, issuer %q, valid %s to %s, SHA-256 %s",
		c.Subject, names, c.Issuer, day(c.NotBefore), day(c.NotAfter), fingerprint(c))
}

func day(t time.Time) string { return t.UTC().Format("2006-01-02 15:04 MST") }

func fingerprint(c *x509.Certificate) string {
	sum := sha256.Sum256(c.Raw)
	return hex.EncodeToString(sum[:])
}

// faults are all that is wrong with a certificate.
func (p papers) faults() []fault {
	if len(p.chain) == 0 {
		return []fault{{"tls.no-client-certificate", []string{"no certificate was presented"}}}
	}
	leaf := p.chain[0]
	var all []fault
	add := func(code, format string, args ...any) {
		all = append(all, fault{code, []string{fmt.Sprintf(format, args...), describe(leaf)}})
	}
	if p.pin != "" {
		if want := strings.ToLower(strings.ReplaceAll(p.pin, ":", "")); want != fingerprint(leaf) {
			add("tls.pin", "the pinned fingerprint is %s, the certificate's is %s", want, fingerprint(leaf))
		}
	} else {
		if all = p.dates(); len(all) == 0 {
			all = p.ending()
		}
		all = append(all, p.trust()...)
	}
	if !p.xmpp && !forServers(leaf) {
		add("tls.usage", "its extended key usage is %s, without server authentication", usages(leaf))
	}
	names, has := namesOf(leaf), carries
	if p.xmpp {
		names, has = xmppcert.Names(leaf), proves
	}
	if len(p.want) > 0 && !slices.ContainsFunc(p.want, func(n string) bool { return has(leaf, n) }) {
		add("tls.name-mismatch", "expected the name %s, the certificate has %s", strings.Join(p.want, " or "), nameList(names))
	}
	return all
}

func nameList(names []string) string {
	if len(names) == 0 {
		return "none"
	}
	return strings.Join(names, ", ")
}

// dates checks every certificate that was presented: one that ran out anywhere breaks the chain.
func (p papers) dates() []fault {
	for _, c := range p.chain {
		switch {
		case p.now.After(c.NotAfter):
			return []fault{{"tls.expired", []string{fmt.Sprintf("%q was valid until %s; it is %s now", c.Subject, day(c.NotAfter), day(p.now)), describe(p.chain[0])}}}
		case p.now.Before(c.NotBefore):
			return []fault{{"tls.not-yet-valid", []string{fmt.Sprintf("%q is valid from %s; it is %s now", c.Subject, day(c.NotBefore), day(p.now)), describe(p.chain[0])}}}
		}
	}
	return nil
}

// expiresSoon is the one finding about a certificate with which everything works still.
const expiresSoon = "tls.expires-soon"

// soon is how long before its end a certificate should have been renewed. What lives for less than three months has a sixth of its life: programs that
// renew such certificates do it with a third of it left.
const soon = 14 * 24 * time.Hour

// ending finds what is valid and not for much longer.
func (p papers) ending() []fault {
	for _, c := range p.chain {
		if left := c.NotAfter.Sub(p.now); left < min(soon, c.NotAfter.Sub(c.NotBefore)/6) {
			return []fault{{expiresSoon, []string{fmt.Sprintf("%q is valid until %s, for %v from now", c.Subject, day(c.NotAfter), left.Round(time.Hour)), describe(p.chain[0])}}}
		}
	}
	return nil
}

// verify follows the chain to an installed authority, with the clock inside the validity so that dates do not count twice.
func (p papers) verify(between []*x509.Certificate) (ways [][]*x509.Certificate, err error) {
	pool := x509.NewCertPool()
	for _, c := range between {
		pool.AddCert(c)
	}
	return p.chain[0].Verify(x509.VerifyOptions{
		Roots: p.roots, Intermediates: pool, CurrentTime: commonTime(p.chain, p.now), KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny},
	})
}

// trust says what keeps the chain from an installed authority.
func (p papers) trust() []fault {
	leaf := p.chain[0]
	ways, err := p.verify(p.chain[1:])
	if err == nil {
		return p.revoked(ways)
	}
	if outOfDate(err) {
		if len(p.dates()) > 0 {
			return nil // already said; with wrong dates in it nothing more can be known about the chain
		}
		return []fault{{"tls.expired", []string{err.Error(), describe(leaf)}}} // an installed authority
	}
	last := p.chain[len(p.chain)-1]
	sent := fmt.Sprintf("%d certificates were presented; the last is %q, issued by %q", len(p.chain), last.Subject, last.Issuer)
	if len(p.chain) == 1 {
		sent = fmt.Sprintf("the certificate came alone, without that of its issuer %q", leaf.Issuer)
	}
	if leaf.Subject.String() == leaf.Issuer.String() && leaf.CheckSignature(leaf.SignatureAlgorithm, leaf.RawTBSCertificate, leaf.Signature) == nil {
		return []fault{{"tls.untrusted", []string{"the certificate is self-signed: it vouches for itself", describe(leaf)}}}
	}
	for _, c := range p.known {
		if _, err := p.verify(append(slices.Clone(p.chain[1:]), c)); err == nil || outOfDate(err) {
			return []fault{{"tls.chain-incomplete", []string{sent, fmt.Sprintf("with %q added it can be verified", c.Subject), describe(leaf)}}}
		}
	}
	return []fault{{"tls.untrusted", []string{err.Error(), sent, describe(leaf)}}}
}

// revoked says whether the way to the authority leads over a certificate that has been taken back.
func (p papers) revoked(ways [][]*x509.Certificate) []fault {
	if entry := revocation.Find(ways[0], p.lists); entry != nil {
		return []fault{{"tls.revoked", []string{entry.Error(), describe(p.chain[0])}}}
	}
	return nil
}

// outOfDate reports whether a chain leads to an authority and fails only by its dates.
func outOfDate(err error) bool {
	var invalid x509.CertificateInvalidError
	return errors.As(err, &invalid) && invalid.Reason == x509.Expired
}

// commonTime is a moment at which all certificates of a chain are valid: now, if it is one.
func commonTime(chain []*x509.Certificate, now time.Time) time.Time {
	for _, c := range chain {
		if now.After(c.NotAfter) {
			now = c.NotAfter
		}
	}
	for _, c := range chain {
		if now.Before(c.NotBefore) {
			now = c.NotBefore
		}
	}
	return now
}

// forServers reports whether a certificate may be used by a TLS server. In this federation each certificate is a server's and a
// client's, and Web Server certificates do for both (field notes, step 6).
func forServers(c *x509.Certificate) bool {
	if len(c.ExtKeyUsage) == 0 && len(c.UnknownExtKeyUsage) == 0 {
		return true
	}
	return slices.Contains(c.ExtKeyUsage, x509.ExtKeyUsageServerAuth) || slices.Contains(c.ExtKeyUsage, x509.ExtKeyUsageAny)
}

func usages(c *x509.Certificate) string {
	names := map[x509.ExtKeyUsage]string{x509.ExtKeyUsageClientAuth: "client authentication", x509.ExtKeyUsageCodeSigning: "code signing",
		x509.ExtKeyUsageEmailProtection: "e-mail protection", x509.ExtKeyUsageTimeStamping: "time stamping", x509.ExtKeyUsageOCSPSigning: "OCSP signing"}
	var words []string
	for _, u := range c.ExtKeyUsage {
		if w, ok := names[u]; ok {
			words = append(words, w)
		} else {
			words = append(words, fmt.Sprintf("usage %d", u))
		}
	}
	for _, u := range c.UnknownExtKeyUsage {
		words = append(words, u.String())
	}
	return strings.Join(words, ", ")
}

// parse reads certificates in DER, leaving out what cannot be read.
func parse(der [][]byte) []*x509.Certificate {
	var all []*x509.Certificate
	for _, d := range der {
		if c, err := x509.ParseCertificate(d); err == nil {
			all = append(all, c)
		}
	}
	return all
}
