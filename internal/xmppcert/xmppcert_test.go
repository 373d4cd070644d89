package xmppcert

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"slices"
	"testing"
)

// A subjectAltName with the three kinds of names of RFC 6120 §13.7.1.3's example: a DNS name, an SRVName of the server-to-server service and
// one of the clients', and an XmppAddr.
var example = []byte("\x30\x65" +
	"\x82\x0eim.example.org" +
	"\xa0\x25\x06\x08\x2b\x06\x01\x05\x05\x07\x08\x07\xa0\x19\x16\x17_xmpp-server.im.example" +
	"\xa0\x0f\x06\x08\x2b\x06\x01\x05\x05\x07\x08\x05\xa0\x03\x0c\x01a" +
	"\xa0\x1b\x06\x08\x2b\x06\x01\x05\x05\x07\x08\x07\xa0\x0f\x16\x0d_xmpp-client.")

func TestNames(t *testing.T) {
	san := []pkix.Extension{{Id: SubjectAltName, Value: example}}
	for _, tt := range []struct {
		name string
		cert x509.Certificate
		want []string
	}{
		{"all kinds", x509.Certificate{DNSNames: []string{"im.example.org"}, Extensions: san, Subject: pkix.Name{CommonName: "nobody"}}, []string{"im.example.org", "im.example", "a"}},
		{"the common name where there is no other", x509.Certificate{Subject: pkix.Name{CommonName: "example.org"}}, []string{"example.org"}},
		{"no name", x509.Certificate{}, nil},
	} {
		if got := Names(&tt.cert); !slices.Equal(got, tt.want) {
			t.Errorf("%s: %q, want %q", tt.name, got, tt.want)
		}
	}
}

func FuzzOtherNames(f *testing.F) {
	f.Add(example)
	f.Add([]byte{0x30, 0x80})
	f.Fuzz(func(t *testing.T, der []byte) {
		if n := len(otherNames(der)); n > len(der) {
			t.Errorf("%d names in %d bytes", n, len(der))
		}
	})
}
