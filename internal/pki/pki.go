// Package pki makes certificate authorities and every kind of certificate that the field has, right and wrong.
//
// Start with [NewAuthority] and its Issue, or with [SelfSigned]. A [Leaf] says what the certificate claims; it is made exactly
// so, also where no sensible authority would: without a subjectAltName, expired, without any usage. A [Pair] is the result
// as files (PEM) and as a [tls.Certificate]; its WithoutKey, WithoutChain and WithOtherKey make the mistakes that happen after
// issuing (field notes, step 6: "A certificate without its private key is of no use").
//
// Keys are ECDSA P-256, which cost microseconds, unless a leaf asks for RSA. Times count from time.Now, so certificates made
// in a synctest bubble are valid on the bubble's clock.
package pki

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"slices"
	"time"
)

// AuthorityOptions say what kind of authority to make. The zero value is a root that signs leaves itself, valid from now.
type AuthorityOptions struct {
	Issuing bool      // leaves are signed by an issuing certificate below the root
	Now     time.Time // validity is a month before to ten years after; zero: time.Now
}

// Authority is a certificate authority: a root, and an issuing authority below it if one was asked for. It does not change
// once made and is safe for concurrent use.
type Authority struct {
	name    string
	root    *certified
	issuing *certified // nil: the root signs
}

// certified is a certificate with its key.
type certified struct {
	cert *x509.Certificate
	key  crypto.Signer
}

// NewAuthority makes an authority whose certificates carry name in their CN.
func NewAuthority(name string, opts AuthorityOptions) (*Authority, error) {
	now := opts.Now
	if now.IsZero() {
		now = time.Now()
	}
	root, err := newAuthorityCertificate(name+" root", now, nil)
	if err != nil {
		return nil, fmt.Errorf("pki: making the root of %s: %w", name, err)
	}
	a := &Authority{name: name, root: root}
	if opts.Issuing {
		if a.issuing, err = newAuthorityCertificate(name+" issuing", now, root); err != nil {
			return nil, fmt.Errorf("pki: making the issuing certificate of %s: %w", name, err)
		}
	}
	return a, nil
}

// newAuthorityCertificate makes a certificate that may sign others, signed by parent or, if that is nil, by itself.
func newAuthorityCertificate(name string, now time.Time, parent *certified) (*certified, error) {
	key, err := newKey(false)
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		Subject:               pkix.Name{CommonName: name},
		NotBefore:             now.AddDate(0, -1, 0),
		NotAfter:              now.AddDate(10, 0, 0),
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
		BasicConstraintsValid: true,
		IsCA:                  true,
	}
	return sign(template, key, parent)
}

// Name is the name the authority was made with.
func (a *Authority) Name() string { return a.name }

// Root is the root certificate.
func (a *Authority) Root() *x509.Certificate { return a.root.cert }

// RootPEM is the root certificate as a file.
func (a *Authority) RootPEM() []byte { return encode(a.root.cert.Raw) }

// Issuing is the issuing certificate, nil if the root signs leaves itself.
func (a *Authority) Issuing() *x509.Certificate {
	if a.issuing == nil {
		return nil
	}
	return a.issuing.cert
}

// IssuingPEM is the issuing certificate as a file, empty if the root signs leaves itself.
func (a *Authority) IssuingPEM() []byte {
	if a.issuing == nil {
		return nil
	}
	return encode(a.issuing.cert.Raw)
}

// Roots is a pool with the roots of the given authorities. With none it is empty, and trusts nobody.
func Roots(authorities ...*Authority) *x509.CertPool {
	pool := x509.NewCertPool()
	for _, a := range authorities {
		pool.AddCert(a.Root())
	}
	return pool
}

// Leaf is what the certificate of a machine claims. The certificate is made exactly so: what is left out here is missing there.
type Leaf struct {
	Subject   string    // CN; empty: a subject without one
	Names     []string  // DNS names of the subjectAltName, wildcards as they are; none: no subjectAltName at all
	NotBefore time.Time // zero: a day ago
	NotAfter  time.Time // zero: in a year
	Server    bool      // extended key usage: server authentication
	Client    bool      // extended key usage: client authentication. Neither: no extended key usage, which is good for everything
	RSA       bool      // RSA 2048 in place of ECDSA, for peers that know only TLS 1.0 with RSA key exchange. Takes a tenth of a second
	SHA1      bool      // signed with SHA-1, as authorities of 2010 did and crypto/x509 no longer accepts
}

// Issue makes a certificate for leaf, with the issuing certificate as its chain where there is one.
func (a *Authority) Issue(leaf Leaf) (*Pair, error) {
	signer := a.root
	var chain []*x509.Certificate
	if a.issuing != nil {
		signer = a.issuing
		chain = []*x509.Certificate{a.issuing.cert}
	}
	p, err := issue(leaf, signer, chain)
	if err != nil {
		return nil, fmt.Errorf("pki: %s issuing a certificate for %q: %w", a.name, leaf.Subject, err)
	}
	return p, nil
}

// Revoked is a certificate that its authority has taken back.
type Revoked struct {
	Pair   *Pair
	Since  time.Time
	Reason int // code of RFC 5280 §5.3.1; 0: not said
}

// List is the list of the certificates that the authority has taken back, as a file, signed by who signs its leaves.
func (a *Authority) List(revoked ...Revoked) ([]byte, error) {
	signer := a.root
	if a.issuing != nil {
		signer = a.issuing
	}
	now := time.Now()
	template := &x509.RevocationList{Number: big.NewInt(now.Unix()), ThisUpdate: now, NextUpdate: now.AddDate(0, 0, 7)}
	for _, r := range revoked {
		template.RevokedCertificateEntries = append(template.RevokedCertificateEntries,
			x509.RevocationListEntry{SerialNumber: r.Pair.leaf.SerialNumber, RevocationTime: r.Since, ReasonCode: r.Reason})
	}
	der, err := x509.CreateRevocationList(rand.Reader, template, signer.cert, signer.key)
	if err != nil {
		return nil, fmt.Errorf("pki: making the list of what %s has revoked: %w", a.name, err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "X509 CRL", Bytes: der}), nil
}

// SelfSigned makes a certificate for leaf that vouches for itself.
func SelfSigned(leaf Leaf) (*Pair, error) {
	p, err := issue(leaf, nil, nil)
	if err != nil {
		return nil, fmt.Errorf("pki: making a self-signed certificate for %q: %w", leaf.Subject, err)
	}
	return p, nil
}

func issue(leaf Leaf, signer *certified, chain []*x509.Certificate) (*Pair, error) {
	if leaf.NotBefore.IsZero() {
		leaf.NotBefore = time.Now().AddDate(0, 0, -1)
	}
	if leaf.NotAfter.IsZero() {
		leaf.NotAfter = time.Now().AddDate(1, 0, 0)
	}
	if leaf.NotAfter.Before(leaf.NotBefore) {
		return nil, fmt.Errorf("its validity ends (%s) before it begins (%s)", leaf.NotAfter, leaf.NotBefore)
	}
	key, err := newKey(leaf.RSA)
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		Subject:               pkix.Name{CommonName: leaf.Subject},
		DNSNames:              slices.Clone(leaf.Names),
		NotBefore:             leaf.NotBefore,
		NotAfter:              leaf.NotAfter,
		KeyUsage:              x509.KeyUsageDigitalSignature,
		BasicConstraintsValid: true,
	}
	if leaf.RSA {
		template.KeyUsage |= x509.KeyUsageKeyEncipherment // needed by RSA key exchange
	}
	if leaf.Server {
		template.ExtKeyUsage = append(template.ExtKeyUsage, x509.ExtKeyUsageServerAuth)
	}
	if leaf.Client {
		template.ExtKeyUsage = append(template.ExtKeyUsage, x509.ExtKeyUsageClientAuth)
	}
	if leaf.SHA1 {
		template.SignatureAlgorithm = x509.ECDSAWithSHA1
		if signer == nil && leaf.RSA {
			template.SignatureAlgorithm = x509.SHA1WithRSA
		}
	}
	c, err := sign(template, key, signer)
	if err != nil {
		return nil, err
	}
	return newPair(c.cert, chain, key)
}

// sign completes template and has it signed by signer, or by its own key if signer is nil.
func sign(template *x509.Certificate, key crypto.Signer, signer *certified) (*certified, error) {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return nil, err
	}
	template.SerialNumber = serial
	if signer == nil {
		signer = &certified{cert: template, key: key}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, signer.cert, key.Public(), signer.key)
	if err != nil {
		return nil, err
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, err
	}
	return &certified{cert: cert, key: key}, nil
}

func newKey(useRSA bool) (crypto.Signer, error) {
	if useRSA {
		return rsa.GenerateKey(rand.Reader, 2048)
	}
	return ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
}

// Pair is a certificate, its chain and its key, also as files. Methods do not change it.
type Pair struct {
	CertPEM []byte // the certificate, then its chain
	LeafPEM []byte // the certificate alone
	KeyPEM  []byte // the private key (PKCS #8); empty if the key is missing

	leaf  *x509.Certificate
	chain []*x509.Certificate // sent along with the leaf
	key   crypto.Signer       // nil: the key is missing
}

func newPair(leaf *x509.Certificate, chain []*x509.Certificate, key crypto.Signer) (*Pair, error) {
	p := &Pair{leaf: leaf, chain: chain, key: key, LeafPEM: encode(leaf.Raw), CertPEM: encode(leaf.Raw)}
	for _, c := range chain {
		p.CertPEM = append(p.CertPEM, encode(c.Raw)...)
	}
	if key != nil {
		der, err := x509.MarshalPKCS8PrivateKey(key)
		if err != nil {
			return nil, err
		}
		p.KeyPEM = pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
	}
	return p, nil
}

// Leaf is the certificate itself.
func (p *Pair) Leaf() *x509.Certificate { return p.leaf }

// TLS is the pair as crypto/tls uses it. Nothing is checked: a key that does not fit makes handshakes fail, and without a key
// PrivateKey is nil.
func (p *Pair) TLS() tls.Certificate {
	c := tls.Certificate{Certificate: [][]byte{p.leaf.Raw}, Leaf: p.leaf}
	for _, link := range p.chain {
		c.Certificate = append(c.Certificate, link.Raw)
	}
	if p.key != nil {
		c.PrivateKey = p.key
	}
	return c
}

// WithoutChain is the same pair with its chain forgotten: a server that sends only its own certificate.
func (p *Pair) WithoutChain() *Pair {
	return &Pair{CertPEM: p.LeafPEM, LeafPEM: p.LeafPEM, KeyPEM: p.KeyPEM, leaf: p.leaf, key: p.key}
}

// WithoutKey is the same certificate with its key lost.
func (p *Pair) WithoutKey() *Pair {
	return &Pair{CertPEM: p.CertPEM, LeafPEM: p.LeafPEM, leaf: p.leaf, chain: p.chain}
}

// WithOtherKey is the same certificate with the key of another one.
func (p *Pair) WithOtherKey() (*Pair, error) {
	_, isRSA := p.key.(*rsa.PrivateKey)
	key, err := newKey(isRSA)
	if err != nil {
		return nil, fmt.Errorf("pki: making another key: %w", err)
	}
	return newPair(p.leaf, p.chain, key)
}

func encode(der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}
