package xmpps2s

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/asn1"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"

	"golang.org/x/crypto/cryptobyte"
	casn1 "golang.org/x/crypto/cryptobyte/asn1"

	"fedlab/gateway/translate"
	"fedlab/internal/revocation"
)

// The names of subjectAltName that XMPP adds to DNS names (RFC 6120 §13.7.1).
var (
	oidSAN      = asn1.ObjectIdentifier{2, 5, 29, 17}
	oidXMPPAddr = asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 8, 5}
	oidSRVName  = asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 8, 7}
)

// verifyPeer checks the certificates that a peer presented, its own first, for the XMPP domain that it speaks for. The domain is
// what counts, never the SRV target (RFC 6120 §13.7.2). pin, if set, is the SHA-256 fingerprint that takes the chain's place.
func verifyPeer(certs []*x509.Certificate, domain string, roots *x509.CertPool, revoked []*x509.RevocationList, pin string) error {
	if len(certs) == 0 {
		return errors.New("the peer presented no certificate")
	}
	leaf := *certs[0]
	if pin != "" {
		if sum := sha256.Sum256(leaf.Raw); !strings.EqualFold(hex.EncodeToString(sum[:]), strings.ReplaceAll(pin, ":", "")) {
			return fmt.Errorf("the certificate of %s is not the pinned one: its fingerprint is %x", domain, sum)
		}
		return nil
	}
	// crypto/x509 knows no otherName; a critical subjectAltName that holds nothing else is still one that we understand.
	leaf.UnhandledCriticalExtensions = slices.DeleteFunc(slices.Clone(leaf.UnhandledCriticalExtensions), oidSAN.Equal)
	intermediates := x509.NewCertPool()
	for _, c := range certs[1:] {
		intermediates.AddCert(c)
	}
	// A server's certificate often lacks the usage for clients, and either end may have opened the stream (XEP-0178 §3).
	ways, err := leaf.Verify(x509.VerifyOptions{Roots: roots, Intermediates: intermediates, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}})
	if err != nil {
		return fmt.Errorf("the certificate of %s cannot be verified: %w", domain, err)
	}
	if entry := revocation.Find(ways[0], revoked); entry != nil {
		return fmt.Errorf("the certificate of %s is of no use any more: %w", domain, entry)
	}
	if names := namesOf(&leaf); !slices.ContainsFunc(names, func(n string) bool { return matches(n, domain) }) {
		return fmt.Errorf("the certificate is not for %s but for %s", domain, strings.Join(names, ", "))
	}
	return nil
}

// namesOf is every name for which a certificate is good in XMPP: DNS names with their wildcards, SRVNames of XMPP servers,
// XmppAddrs, and the common name if there is none of those.
func namesOf(c *x509.Certificate) []string {
	names := slices.Clone(c.DNSNames)
	for _, e := range c.Extensions {
		if e.Id.Equal(oidSAN) {
			names = append(names, otherNames(e.Value)...)
		}
	}
	if len(names) == 0 && c.Subject.CommonName != "" {
		names = append(names, c.Subject.CommonName)
	}
	return names
}

// otherNames reads the XMPP names among the otherNames of a subjectAltName extension.
func otherNames(der []byte) []string {
	var names []string
	input := cryptobyte.String(der)
	var seq cryptobyte.String
	if !input.ReadASN1(&seq, casn1.SEQUENCE) {
		return nil
	}
	for !seq.Empty() {
		var general, value cryptobyte.String
		var tag casn1.Tag
		if !seq.ReadAnyASN1(&general, &tag) {
			return names
		}
		var oid asn1.ObjectIdentifier
		if tag != casn1.Tag(0).ContextSpecific().Constructed() || !general.ReadASN1ObjectIdentifier(&oid) ||
			!general.ReadASN1(&value, casn1.Tag(0).ContextSpecific().Constructed()) {
			continue
		}
		var text cryptobyte.String
		if !value.ReadAnyASN1(&text, &tag) {
			continue
		}
		switch {
		case oid.Equal(oidXMPPAddr) && tag == casn1.UTF8String:
			names = append(names, string(text))
		case oid.Equal(oidSRVName) && tag == casn1.IA5String:
			if d, ok := cutFold(string(text), "_xmpp-server."); ok {
				names = append(names, d)
			}
		}
	}
	return names
}

func cutFold(s, prefix string) (string, bool) {
	if len(s) < len(prefix) || !strings.EqualFold(s[:len(prefix)], prefix) {
		return "", false
	}
	return s[len(prefix):], true
}

// matches reports whether a name of a certificate is domain. A wildcard stands only for the whole left-most label
// (RFC 6120 §13.7.1.2).
func matches(name, domain string) bool {
	if rest, ok := strings.CutPrefix(name, "*."); ok {
		_, parent, found := strings.Cut(domain, ".")
		return found && strings.Contains(parent, ".") && matches(rest, parent)
	}
	d, err := translate.ParseDomain(name)
	return err == nil && d == domain
}
