// Package revocation tells whether a certificate has been revoked, by the lists that somebody has at hand (RFC 5280 §5).
//
// The gateway refuses what stands on a list of its configuration, and the doctor says why and since when. Both ask [Find]. Nothing is ever fetched: a
// certificate that a stranger presents names the places where its lists are, and whoever goes there in the middle of a handshake goes where the stranger
// wants, and waits for it; the private authorities of this federation mostly name places that cannot be reached from a perimeter.
package revocation

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"time"
)

// ErrRevoked is what a certificate is refused with that stands on a list. The error is an [*Entry].
var ErrRevoked = errors.New("the certificate is revoked")

// Entry is a certificate that stands on a list of its issuer.
type Entry struct {
	Certificate *x509.Certificate
	Since       time.Time
	Reason      string    // in the words of RFC 5280 §5.3.1; empty: the list does not say
	Listed      time.Time // when the list was made
}

// Error names the certificate, when it was revoked, and why if that is known.
func (e *Entry) Error() string {
	why := "; the list gives no reason"
	if e.Reason != "" {
		why = ": " + e.Reason
	}
	return fmt.Sprintf("%q was revoked at %s%s (list of %q of %s)", e.Certificate.Subject, stamp(e.Since), why, e.Certificate.Issuer, stamp(e.Listed))
}

// Unwrap gives ErrRevoked.
func (e *Entry) Unwrap() error { return ErrRevoked }

func stamp(t time.Time) string { return t.UTC().Format("2006-01-02 15:04 MST") }

// reasons are the words for the codes of RFC 5280 §5.3.1.
var reasons = map[int]string{
	1: "keyCompromise", 2: "cACompromise", 3: "affiliationChanged", 4: "superseded", 5: "cessationOfOperation", 6: "certificateHold",
	9: "privilegeWithdrawn", 10: "aACompromise",
}

const removed = 8 // removeFromCRL: of a delta list, the contrary of a revocation

// Block is the PEM type of a list.
const Block = "X509 CRL"

// Parse reads every list of a file in PEM, and passes over what else is in it. A file without one is no mistake here.
func Parse(file []byte) ([]*x509.RevocationList, error) {
	var lists []*x509.RevocationList
	for b, rest := pem.Decode(file); b != nil; b, rest = pem.Decode(rest) {
		if b.Type != Block {
			continue
		}
		l, err := x509.ParseRevocationList(b.Bytes)
		if err != nil {
			return nil, fmt.Errorf("list %d of revoked certificates: %w", len(lists)+1, err)
		}
		lists = append(lists, l)
	}
	return lists, nil
}

// Find returns the first certificate of a verified chain, the leaf first, that stands on a list which its issuer in the chain has signed; nil if none does.
//
// A list that is out of date still tells the truth about what stands on it, so dates of lists do not count; and where there is no list nothing is revoked.
func Find(chain []*x509.Certificate, lists []*x509.RevocationList) *Entry {
	for i := range len(chain) - 1 {
		c, issuer := chain[i], chain[i+1]
		for _, l := range lists {
			if !bytes.Equal(l.RawIssuer, c.RawIssuer) || l.CheckSignatureFrom(issuer) != nil {
				continue
			}
			for _, r := range l.RevokedCertificateEntries {
				if r.SerialNumber.Cmp(c.SerialNumber) == 0 && r.ReasonCode != removed {
					return &Entry{Certificate: c, Since: r.RevocationTime, Reason: reasons[r.ReasonCode], Listed: l.ThisUpdate}
				}
			}
		}
	}
	return nil
}
