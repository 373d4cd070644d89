// Package xmppcert reads which XMPP domains a certificate names (RFC 6120 §13.7.1).
//
// The gateway believes a peer for what [Names] says, and the doctor judges certificates by it. Whether a name is the domain that is
// asked for, wildcards among them, is for them to compare.
package xmppcert

import (
	"crypto/x509"
	"encoding/asn1"
	"slices"
	"strings"

	"golang.org/x/crypto/cryptobyte"
	casn1 "golang.org/x/crypto/cryptobyte/asn1"
)

// SubjectAltName is the extension that names stand in. crypto/x509 does not read its otherNames: one that is critical and holds nothing else
// is unknown to it.
var SubjectAltName = asn1.ObjectIdentifier{2, 5, 29, 17}

// The names of subjectAltName that XMPP adds to DNS names.
var (
	oidXMPPAddr = asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 8, 5}
	oidSRVName  = asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 8, 7}
)

// Names is every name for which a certificate is good in XMPP, as it stands there: DNS names with their wildcards, SRVNames of XMPP
// servers, XmppAddrs, and the common name if there is none of those.
func Names(c *x509.Certificate) []string {
	names := slices.Clone(c.DNSNames)
	for _, e := range c.Extensions {
		if e.Id.Equal(SubjectAltName) {
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
