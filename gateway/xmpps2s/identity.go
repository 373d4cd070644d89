package xmpps2s

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"fedlab/gateway/translate"
	"fedlab/internal/revocation"
	"fedlab/internal/xmppcert"
)

// verifyPeer checks the certificates that a peer presented, its own first, for the XMPP domain that it speaks for. The domain is
// what counts, never the SRV target (RFC 6120 §13.7.2). pin, if set, is the SHA-256 fingerprint that takes the chain's place. until is
// when the first certificate of the chain ends; zero with a pin, which has no end.
func verifyPeer(certs []*x509.Certificate, domain string, roots *x509.CertPool, revoked []*x509.RevocationList, pin string) (until time.Time, err error) {
	if len(certs) == 0 {
		return until, errors.New("the peer presented no certificate")
	}
	leaf := *certs[0]
	if pin != "" {
		if sum := sha256.Sum256(leaf.Raw); !strings.EqualFold(hex.EncodeToString(sum[:]), strings.ReplaceAll(pin, ":", "")) {
			return until, fmt.Errorf("the certificate of %s is not the pinned one: its fingerprint is %x", domain, sum)
		}
		return until, nil
	}
	// crypto/x509 knows no otherName; a critical subjectAltName that holds nothing else is still one that we understand.
	leaf.UnhandledCriticalExtensions = slices.DeleteFunc(slices.Clone(leaf.UnhandledCriticalExtensions), xmppcert.SubjectAltName.Equal)
	intermediates := x509.NewCertPool()
	for _, c := range certs[1:] {
		intermediates.AddCert(c)
	}
	// A server's certificate often lacks the usage for clients, and either end may have opened the stream (XEP-0178 §3).
	ways, err := leaf.Verify(x509.VerifyOptions{Roots: roots, Intermediates: intermediates, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}})
	if err != nil {
		return until, fmt.Errorf("the certificate of %s cannot be verified: %w", domain, err)
	}
	if entry := revocation.Find(ways[0], revoked); entry != nil {
		return until, fmt.Errorf("the certificate of %s is of no use any more: %w", domain, entry)
	}
	if names := xmppcert.Names(&leaf); !slices.ContainsFunc(names, func(n string) bool { return matches(n, domain) }) {
		return until, fmt.Errorf("the certificate is not for %s but for %s", domain, strings.Join(names, ", "))
	}
	for _, way := range ways { // of several chains the one that lasts longest
		if end := slices.MinFunc(way, func(a, b *x509.Certificate) int { return a.NotAfter.Compare(b.NotAfter) }).NotAfter; end.After(until) {
			until = end
		}
	}
	return until, nil
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
