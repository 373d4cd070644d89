package sipedge

import (
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"fedlab/internal/revocation"
)

// Why a peer's certificate was refused. A [*PeerError] wraps one of them.
var (
	ErrNoCertificate = errors.New("sipedge: the peer presented no certificate")
	ErrName          = errors.New("sipedge: the peer's certificate has another name")
	ErrAuthority     = errors.New("sipedge: the peer's certificate comes from no trusted authority")
	ErrDates         = errors.New("sipedge: the peer's certificate is not valid at this time")
	ErrUsage         = errors.New("sipedge: the peer's certificate is not meant for TLS")
	ErrPin           = errors.New("sipedge: the peer's certificate is not the pinned one")
	ErrVersion       = errors.New("sipedge: the peer's TLS version is too old")
	ErrRevoked       = errors.New("sipedge: the peer's certificate is revoked")
)

// PeerError says why a peer was refused, with everything one needs to put it right.
type PeerError struct {
	Reason    error    // one of the Err values above
	Expected  []string // the names that would have been accepted
	Presented []string // the names in the certificate that count, by RFC 5922 §7.1
	Subject   string
	Issuer    string
	NotBefore time.Time
	NotAfter  time.Time
	At        time.Time // when it was checked
	Pin       string    // the certificate's SHA-256 fingerprint, hex
	Err       error     // of crypto/x509, if it says more
}

// Error names what was expected, what was presented, and what to do.
func (e *PeerError) Error() string {
	var b strings.Builder
	b.WriteString(e.Reason.Error())
	switch e.Reason {
	case ErrNoCertificate:
		fmt.Fprintf(&b, ", expected one for %s", strings.Join(e.Expected, " or "))
		return b.String()
	case ErrName:
		fmt.Fprintf(&b, ": expected %s, it has %s", strings.Join(e.Expected, " or "), nameList(e.Presented))
	case ErrAuthority:
		fmt.Fprintf(&b, ": %s was issued by %q; install that authority's root, and let the peer send its issuing certificates", nameList(e.Presented), e.Issuer)
	case ErrDates:
		fmt.Fprintf(&b, ": %s is valid from %s to %s, now is %s", nameList(e.Presented), day(e.NotBefore), day(e.NotAfter), day(e.At))
	case ErrPin:
		fmt.Fprintf(&b, ": the certificate's fingerprint is %s", e.Pin)
	}
	if e.Err != nil {
		fmt.Fprintf(&b, " (%v)", e.Err)
	}
	return b.String()
}

// Unwrap gives the reason and the error of crypto/x509.
func (e *PeerError) Unwrap() []error {
	if e.Err == nil {
		return []error{e.Reason}
	}
	return []error{e.Reason, e.Err}
}

func day(t time.Time) string { return t.UTC().Format("2006-01-02 15:04 MST") }

func nameList(names []string) string {
	if len(names) == 0 {
		return "no name"
	}
	return strings.Join(names, ", ")
}

// peerNames are the identities of a certificate: sip: URIs without a user, else DNS names, and the CN only where there is no
// subjectAltName at all. RFC 5922 §7.1
func peerNames(c *x509.Certificate) []string {
	var names []string
	for _, u := range c.URIs {
		if strings.EqualFold(u.Scheme, "sip") && u.Opaque != "" && !strings.Contains(u.Opaque, "@") {
			host, _, _ := strings.Cut(u.Opaque, ";")
			names = append(names, normalName(host))
		}
	}
	if len(names) > 0 {
		return names
	}
	for _, n := range c.DNSNames {
		names = append(names, normalName(n))
	}
	if len(names) > 0 {
		return names
	}
	if !hasAltName(c) && c.Subject.CommonName != "" {
		return []string{normalName(c.Subject.CommonName)}
	}
	return nil
}

func normalName(n string) string { return strings.TrimSuffix(strings.ToLower(n), ".") }

var altName = asn1.ObjectIdentifier{2, 5, 29, 17}

// hasAltName looks for the extension itself: a subjectAltName that crypto/x509 does not show still rules the CN out.
func hasAltName(c *x509.Certificate) bool {
	return slices.ContainsFunc(c.Extensions, func(e pkix.Extension) bool { return e.Id.Equal(altName) })
}

// verifier checks what a peer presents.
type verifier struct {
	roots *x509.CertPool
	lists []*x509.RevocationList // of revoked certificates
	now   func() time.Time
}

// check looks at the certificates a peer presented. want are the names that will do; the one found is returned. With a pin
// the chain and the dates do not count, the name still does. Names are compared whole: no wildcard, no suffix. RFC 5922 §7.2
func (v verifier) check(chain []*x509.Certificate, want []string, pin string) (string, error) {
	e := &PeerError{Expected: want, At: v.now()}
	if len(chain) == 0 {
		e.Reason = ErrNoCertificate
		return "", e
	}
	leaf := chain[0]
	sum := sha256.Sum256(leaf.Raw)
	e.Presented, e.Subject, e.Issuer = peerNames(leaf), leaf.Subject.String(), leaf.Issuer.String()
	e.NotBefore, e.NotAfter, e.Pin = leaf.NotBefore, leaf.NotAfter, hex.EncodeToString(sum[:])

	if pin != "" {
		if pin != e.Pin {
			e.Reason = ErrPin
			return "", e
		}
	} else if err := v.checkChain(leaf, chain[1:]); err != nil {
		e.Reason, e.Err = chainReason(err), err
		return "", e
	}
	for _, w := range want {
		if slices.Contains(e.Presented, normalName(w)) {
			return normalName(w), nil
		}
	}
	e.Reason = ErrName
	return "", e
}

// checkChain takes either TLS usage in either direction: a real Edge's certificate is a Web Server one, without client usage.
func (v verifier) checkChain(leaf *x509.Certificate, rest []*x509.Certificate) error {
	between := x509.NewCertPool()
	for _, c := range rest {
		between.AddCert(c)
	}
	ways, err := leaf.Verify(x509.VerifyOptions{
		Roots:         v.roots,
		Intermediates: between,
		CurrentTime:   v.now(),
		KeyUsages:     []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	})
	if err != nil {
		return err
	}
	if entry := revocation.Find(ways[0], v.lists); entry != nil {
		return entry
	}
	return nil
}

func chainReason(err error) error {
	if errors.Is(err, revocation.ErrRevoked) {
		return ErrRevoked
	}
	if invalid, ok := errors.AsType[x509.CertificateInvalidError](err); ok {
		switch invalid.Reason {
		case x509.Expired:
			return ErrDates
		case x509.IncompatibleUsage:
			return ErrUsage
		}
	}
	return ErrAuthority
}

// parsePin reads a fingerprint: 64 hex digits, colons and case do not matter.
func parsePin(s string) (string, error) {
	p := strings.ToLower(strings.ReplaceAll(s, ":", ""))
	if b, err := hex.DecodeString(p); err != nil || len(b) != sha256.Size {
		return "", fmt.Errorf("%q is no SHA-256 fingerprint (64 hex digits)", s)
	}
	return p, nil
}

// parseVersion reads a min_tls value; empty is TLS 1.2.
func parseVersion(s string) (uint16, error) {
	switch s {
	case "1.0":
		return tls.VersionTLS10, nil
	case "1.1":
		return tls.VersionTLS11, nil
	case "", "1.2":
		return tls.VersionTLS12, nil
	case "1.3":
		return tls.VersionTLS13, nil
	}
	return 0, fmt.Errorf("%q is no TLS version (1.0, 1.1, 1.2 or 1.3)", s)
}

// suites are the cipher suites on offer. Peers of 2007 to 2010 know only RSA key exchange with AES-CBC or 3DES, which Go
// offers only when asked; they are asked for only where such a peer is configured.
func suites(min uint16) []uint16 {
	if min >= tls.VersionTLS12 {
		return nil
	}
	var ids []uint16
	for _, s := range tls.CipherSuites() {
		ids = append(ids, s.ID)
	}
	return append(ids, tls.TLS_RSA_WITH_AES_256_CBC_SHA, tls.TLS_RSA_WITH_AES_128_CBC_SHA, tls.TLS_RSA_WITH_3DES_EDE_CBC_SHA)
}
