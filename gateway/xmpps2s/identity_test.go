package xmpps2s

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/hex"
	"errors"
	"math/big"
	"testing"
	"time"

	"golang.org/x/crypto/cryptobyte"
	casn1 "golang.org/x/crypto/cryptobyte/asn1"

	"fedlab/internal/pki"
	"fedlab/internal/revocation"
	"fedlab/internal/xmppcert"
)

// otherName is one name of subjectAltName that crypto/x509 cannot write.
type otherName struct {
	oid  asn1.ObjectIdentifier
	tag  casn1.Tag
	text string
}

// san encodes a subjectAltName extension.
func san(dns []string, others ...otherName) []byte {
	var b cryptobyte.Builder
	b.AddASN1(casn1.SEQUENCE, func(b *cryptobyte.Builder) {
		for _, d := range dns {
			b.AddASN1(casn1.Tag(2).ContextSpecific(), func(b *cryptobyte.Builder) { b.AddBytes([]byte(d)) })
		}
		for _, o := range others {
			b.AddASN1(casn1.Tag(0).ContextSpecific().Constructed(), func(b *cryptobyte.Builder) {
				b.AddASN1ObjectIdentifier(o.oid)
				b.AddASN1(casn1.Tag(0).ContextSpecific().Constructed(), func(b *cryptobyte.Builder) {
					b.AddASN1(o.tag, func(b *cryptobyte.Builder) { b.AddBytes([]byte(o.text)) })
				})
			})
		}
	})
	return b.BytesOrPanic()
}

func TestIdentities(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	make := func(cn string, extension []byte, critical bool, from, to time.Time) *x509.Certificate {
		template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: cn}, NotBefore: from, NotAfter: to,
			IsCA: true, BasicConstraintsValid: true, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}
		if extension != nil {
			template.ExtraExtensions = []pkix.Extension{{Id: xmppcert.SubjectAltName, Critical: critical, Value: extension}}
		}
		der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
		if err != nil {
			t.Fatal(err)
		}
		c, err := x509.ParseCertificate(der)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	now := time.Now()
	srvName := asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 8, 7}
	xmppAddr := asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 8, 5}
	srv := func(s string) otherName { return otherName{srvName, casn1.IA5String, s} }
	addr := func(s string) otherName { return otherName{xmppAddr, casn1.UTF8String, s} }
	for _, c := range []struct {
		name, cn string
		san      []byte
		domain   string
		ok       bool
	}{
		{"dNSName", "", san([]string{"example.org"}), "example.org", true},
		{"dNSName in capitals", "", san([]string{"EXAMPLE.org"}), "example.org", true},
		{"another dNSName", "", san([]string{"example.com"}), "example.org", false},
		{"the SRV target", "", san([]string{"xmpp.example.org"}), "example.org", false},
		{"a parent", "", san([]string{"example.org"}), "im.example.org", false},
		{"wildcard", "", san([]string{"*.example.org"}), "im.example.org", true},
		{"wildcard is one label", "", san([]string{"*.example.org"}), "a.im.example.org", false},
		{"wildcard is not no label", "", san([]string{"*.example.org"}), "example.org", false},
		{"wildcard inside a label", "", san([]string{"i*.example.org"}), "im.example.org", false},
		{"wildcard in the middle", "", san([]string{"im.*.org"}), "im.example.org", false},
		{"wildcard of a top-level domain", "", san([]string{"*.org"}), "example.org", false},
		{"wildcard alone", "", san([]string{"*"}), "example.org", false},
		{"SRVName", "", san(nil, srv("_xmpp-server.example.org")), "example.org", true},
		{"SRVName in capitals", "", san(nil, srv("_XMPP-Server.Example.org")), "example.org", true},
		{"SRVName of another service", "", san(nil, srv("_xmpp-client.example.org")), "example.org", false},
		{"SRVName of another domain", "", san(nil, srv("_xmpp-server.example.com")), "example.org", false},
		{"XmppAddr", "", san(nil, addr("example.org")), "example.org", true},
		{"XmppAddr of a user", "", san(nil, addr("bob@example.org")), "example.org", false},
		{"XmppAddr international", "", san(nil, addr("bücher.example")), "xn--bcher-kva.example", true},
		{"XmppAddr behind a foreign otherName", "", san(nil, otherName{asn1.ObjectIdentifier{1, 2, 3}, casn1.UTF8String, "example.com"}, addr("example.org")), "example.org", true},
		{"common name alone", "example.org", nil, "example.org", true},
		{"common name beside a SAN", "example.org", san([]string{"example.com"}), "example.org", false},
		{"no name", "", nil, "example.org", false},
	} {
		for _, critical := range []bool{false, true} {
			t.Run("S23 "+c.name, func(t *testing.T) {
				cert := make(c.cn, c.san, critical, now.Add(-time.Hour), now.Add(time.Hour))
				pool := x509.NewCertPool()
				pool.AddCert(cert)
				if _, err := verifyPeer([]*x509.Certificate{cert}, c.domain, pool, nil, ""); (err == nil) != c.ok {
					t.Errorf("critical %v: %v", critical, err)
				}
			})
		}
	}
	good := make("", san([]string{"example.org"}), false, now.Add(-time.Hour), now.Add(time.Hour))
	sum := sha256.Sum256(good.Raw)
	pin := hex.EncodeToString(sum[:])
	t.Run("S23 pins", func(t *testing.T) {
		if _, err := verifyPeer([]*x509.Certificate{good}, "example.org", x509.NewCertPool(), nil, pin[:2]+":"+pin[2:]); err != nil {
			t.Error(err)
		}
		if _, err := verifyPeer([]*x509.Certificate{good}, "example.org", x509.NewCertPool(), nil, "00"+pin[2:]); err == nil {
			t.Error("another certificate than the pinned one")
		}
	})
	t.Run("S23 untrusted, expired, none", func(t *testing.T) {
		if _, err := verifyPeer([]*x509.Certificate{good}, "example.org", x509.NewCertPool(), nil, ""); err == nil {
			t.Error("untrusted")
		}
		expired := make("", san([]string{"example.org"}), false, now.Add(-2*time.Hour), now.Add(-time.Hour))
		pool := x509.NewCertPool()
		pool.AddCert(expired)
		if _, err := verifyPeer([]*x509.Certificate{expired}, "example.org", pool, nil, ""); err == nil {
			t.Error("expired")
		}
		if _, err := verifyPeer(nil, "example.org", pool, nil, ""); err == nil {
			t.Error("none")
		}
	})
}

// Dates and names of a certificate may be right, and its authority has taken it back.
func TestRevokedPeer(t *testing.T) {
	a, err := pki.NewAuthority("public-ca", pki.AuthorityOptions{Issuing: true})
	if err != nil {
		t.Fatal(err)
	}
	var pairs []*pki.Pair
	for range 2 {
		p, err := a.Issue(pki.Leaf{Names: []string{"example.org"}})
		if err != nil {
			t.Fatal(err)
		}
		pairs = append(pairs, p)
	}
	file, err := a.List(pki.Revoked{Pair: pairs[0], Since: time.Now(), Reason: 1})
	if err != nil {
		t.Fatal(err)
	}
	lists, err := revocation.Parse(file)
	if err != nil {
		t.Fatal(err)
	}
	for i, p := range pairs {
		_, err := verifyPeer([]*x509.Certificate{p.Leaf(), a.Issuing()}, "example.org", pki.Roots(a), lists, "")
		if errors.Is(err, revocation.ErrRevoked) != (i == 0) || i > 0 && err != nil {
			t.Errorf("certificate %d: %v", i, err)
		}
	}
}
