package pki_test

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"fedlab/internal/pki"
)

func authority(t *testing.T, opts pki.AuthorityOptions) *pki.Authority {
	t.Helper()
	a, err := pki.NewAuthority("private-ca", opts)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func issue(t *testing.T, a *pki.Authority, leaf pki.Leaf) *pki.Pair {
	t.Helper()
	p, err := a.Issue(leaf)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// verify checks the pair as a peer would that trusts a and got what the pair sends.
func verify(p *pki.Pair, a *pki.Authority, name string, usage x509.ExtKeyUsage) error {
	intermediates := x509.NewCertPool()
	for _, der := range p.TLS().Certificate[1:] {
		c, err := x509.ParseCertificate(der)
		if err != nil {
			return err
		}
		intermediates.AddCert(c)
	}
	_, err := p.Leaf().Verify(x509.VerifyOptions{
		DNSName: name, Roots: pki.Roots(a), Intermediates: intermediates, KeyUsages: []x509.ExtKeyUsage{usage},
	})
	return err
}

// Every kind of leaf is what it claims to be, as crypto/x509 judges it.
func TestLeaves(t *testing.T) {
	const name = "xmpp.jds.local"
	now := time.Now()
	good := pki.Leaf{Subject: name, Names: []string{name}, Server: true}
	reason := func(r x509.InvalidReason) func(error) bool {
		return func(err error) bool {
			var invalid x509.CertificateInvalidError
			return errors.As(err, &invalid) && invalid.Reason == r
		}
	}
	fine := func(err error) bool { return err == nil }
	hostname := func(err error) bool { return errors.As(err, new(x509.HostnameError)) }
	unknown := func(err error) bool { return errors.As(err, new(x509.UnknownAuthorityError)) }
	change := func(f func(*pki.Leaf)) pki.Leaf { l := good; f(&l); return l }

	for _, tc := range []struct {
		what    string
		leaf    pki.Leaf
		issuing bool
		alter   func(*pki.Pair) *pki.Pair
		usage   x509.ExtKeyUsage
		want    func(error) bool
	}{
		{what: "root signs", leaf: good, want: fine},
		{what: "issuing signs", leaf: good, issuing: true, want: fine},
		{what: "chain left out", leaf: good, issuing: true, alter: (*pki.Pair).WithoutChain, want: unknown},
		{what: "CN only", leaf: change(func(l *pki.Leaf) { l.Names = nil }), want: hostname},
		{what: "SAN only", leaf: change(func(l *pki.Leaf) { l.Subject = "" }), want: fine},
		{what: "alias", leaf: change(func(l *pki.Leaf) { l.Subject, l.Names = "im.contoso.com", []string{"im.contoso.com"} }), want: hostname},
		{what: "wildcard", leaf: change(func(l *pki.Leaf) { l.Names = []string{"*.jds.local"} }), want: fine},
		{what: "expired", leaf: change(func(l *pki.Leaf) { l.NotBefore, l.NotAfter = now.Add(-48*time.Hour), now.Add(-24*time.Hour) }), want: reason(x509.Expired)},
		{what: "not yet valid", leaf: change(func(l *pki.Leaf) { l.NotBefore = now.Add(time.Hour) }), want: reason(x509.Expired)},
		{what: "server only, as client", leaf: good, usage: x509.ExtKeyUsageClientAuth, want: reason(x509.IncompatibleUsage)},
		{what: "client only, as server", leaf: change(func(l *pki.Leaf) { l.Server, l.Client = false, true }), want: reason(x509.IncompatibleUsage)},
		{what: "client only, as client", leaf: change(func(l *pki.Leaf) { l.Server, l.Client = false, true }), usage: x509.ExtKeyUsageClientAuth, want: fine},
		{what: "no usage, as client", leaf: change(func(l *pki.Leaf) { l.Server = false }), usage: x509.ExtKeyUsageClientAuth, want: fine},
		{what: "RSA", leaf: change(func(l *pki.Leaf) { l.RSA = true }), issuing: true, want: fine},
		{what: "SHA-1", leaf: change(func(l *pki.Leaf) { l.SHA1 = true }), want: unknown},
	} {
		t.Run(tc.what, func(t *testing.T) {
			a := authority(t, pki.AuthorityOptions{Issuing: tc.issuing})
			p := issue(t, a, tc.leaf)
			if tc.alter != nil {
				p = tc.alter(p)
			}
			usage := tc.usage
			if usage == x509.ExtKeyUsageAny {
				usage = x509.ExtKeyUsageServerAuth
			}
			if err := verify(p, a, name, usage); !tc.want(err) {
				t.Errorf("verifying gave %v (%T)", err, err)
			}
		})
	}

	if p := issue(t, authority(t, pki.AuthorityOptions{}), change(func(l *pki.Leaf) { l.Names = nil })); p.Leaf().Subject.CommonName != name || len(p.Leaf().DNSNames) != 0 {
		t.Errorf("CN only: CN %q, names %v", p.Leaf().Subject.CommonName, p.Leaf().DNSNames)
	}
	if _, err := authority(t, pki.AuthorityOptions{}).Issue(pki.Leaf{NotBefore: now, NotAfter: now.Add(-1)}); err == nil {
		t.Error("a validity that ends before it begins was accepted")
	}
}

// The files are what crypto/tls loads, and the mistakes after issuing show there.
func TestFiles(t *testing.T) {
	a := authority(t, pki.AuthorityOptions{Issuing: true})
	p := issue(t, a, pki.Leaf{Subject: "edge", Names: []string{"edge"}})
	c, err := tls.X509KeyPair(p.CertPEM, p.KeyPEM)
	if err != nil || len(c.Certificate) != 2 {
		t.Fatalf("loaded %d certificates, %v; want the leaf and the issuing one", len(c.Certificate), err)
	}
	if c, err := tls.X509KeyPair(p.LeafPEM, p.KeyPEM); err != nil || len(c.Certificate) != 1 {
		t.Errorf("LeafPEM: %d certificates, %v", len(c.Certificate), err)
	}
	other, err := p.WithOtherKey()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tls.X509KeyPair(other.CertPEM, other.KeyPEM); err == nil {
		t.Error("another key was accepted")
	}
	if p := p.WithoutKey(); len(p.KeyPEM) != 0 || p.TLS().PrivateKey != nil {
		t.Error("the key is still there")
	}
	if pool := x509.NewCertPool(); !pool.AppendCertsFromPEM(a.RootPEM()) || !pool.AppendCertsFromPEM(a.IssuingPEM()) {
		t.Error("the authority's files cannot be read")
	}
	if len(authority(t, pki.AuthorityOptions{}).IssuingPEM()) != 0 {
		t.Error("an authority without an issuing certificate has one")
	}
}

// A self-signed certificate is trusted by nobody but whoever has it as a root.
func TestSelfSigned(t *testing.T) {
	p, err := pki.SelfSigned(pki.Leaf{Subject: "self", Names: []string{"self"}})
	if err != nil {
		t.Fatal(err)
	}
	if err := verify(p, authority(t, pki.AuthorityOptions{}), "self", x509.ExtKeyUsageServerAuth); !errors.As(err, new(x509.UnknownAuthorityError)) {
		t.Errorf("verifying gave %v", err)
	}
	if err := p.Leaf().CheckSignature(p.Leaf().SignatureAlgorithm, p.Leaf().RawTBSCertificate, p.Leaf().Signature); err != nil {
		t.Error(err)
	}
}

// Certificates made in a bubble are valid on its clock, which begins in the year 2000.
func TestBubble(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := authority(t, pki.AuthorityOptions{Issuing: true})
		p := issue(t, a, pki.Leaf{Names: []string{"sip.contoso.com"}, Server: true})
		client, server := net.Pipe()
		defer client.Close()
		done := make(chan error, 1)
		go func() {
			defer server.Close()
			done <- tls.Server(server, &tls.Config{Certificates: []tls.Certificate{p.TLS()}}).Handshake()
		}()
		err := tls.Client(client, &tls.Config{RootCAs: pki.Roots(a), ServerName: "sip.contoso.com"}).Handshake()
		if err != nil {
			t.Error(err)
		}
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}
