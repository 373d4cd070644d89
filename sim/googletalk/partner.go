package googletalk

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"strings"
)

// Partner makes the farm an ordinary server of version 1.0, with TLS and SASL as configured here. It is for peers other than
// Google; the zero value offers neither and proves domains by dialback.
type Partner struct {
	TLS         TLSPolicy       `yaml:"tls" oneof:"none optional required"`
	Certificate tls.Certificate // shown to peers, as server and as client; required but with TLS none
	Roots       *x509.CertPool  // whose certificates are believed; nil: nobody's
	MinVersion  uint16          // of TLS; 0: that of crypto/tls
	MaxVersion  uint16
	KeyLog      io.Writer // TLS secrets go here, for captures; nil: nowhere
	Direct      string    // address:port for streams that begin with TLS, which it also uses where others have them (XEP-0368); default none

	External   bool `yaml:"external"`    // offers SASL EXTERNAL to peers with a good certificate, and uses it where it is offered
	NoDialback bool `yaml:"no_dialback"` // neither takes nor uses dialback: a domain is proved by SASL EXTERNAL or not at all
	Trusted    bool `yaml:"trusted"`     // insists on a good certificate of the peer, also with dialback
}

// TLSPolicy is what a partner thinks of TLS.
type TLSPolicy string

// The policies. The empty one is TLSNone.
const (
	TLSNone     TLSPolicy = "none"     // neither offered nor used
	TLSOptional TLSPolicy = "optional" // offered, and used where offered
	TLSRequired TLSPolicy = "required" // nothing goes without
)

func (p *Partner) check() error {
	if p == nil {
		return nil
	}
	switch p.TLS {
	case "", TLSNone:
		if p.External || p.Trusted || p.Direct != "" {
			return errors.New("googletalk: a partner without TLS can neither use SASL EXTERNAL, nor insist on certificates, nor begin with it")
		}
	case TLSOptional, TLSRequired:
		if len(p.Certificate.Certificate) == 0 {
			return fmt.Errorf("googletalk: a partner with TLS %s needs a certificate", p.TLS)
		}
	default:
		return fmt.Errorf("googletalk: partner's TLS is %q, not none, optional or required", p.TLS)
	}
	if p.NoDialback && !p.External {
		return errors.New("googletalk: a partner that refuses dialback needs SASL EXTERNAL")
	}
	return nil
}

// version is what the header says in answer to the peer's version. RFC 6120 §4.7.5
func (p *Partner) version(peer string) string {
	if p == nil || peer == "" {
		return ""
	}
	return "1.0"
}

// alpn is the protocol of streams that begin with TLS. XEP-0368 §3
const alpn = "xmpp-server"

func (p *Partner) direct() bool { return p != nil && p.Direct != "" }

func (p *Partner) usesTLS() bool { return p != nil && p.TLS != "" && p.TLS != TLSNone }

// config is for either end: the peer's certificate is asked for and judged afterwards, so that a bad one is a decision of
// ours and not a broken handshake.
func (p *Partner) config(domain string) *tls.Config {
	return &tls.Config{
		Certificates:       []tls.Certificate{p.Certificate},
		ServerName:         domain,
		ClientAuth:         tls.RequestClientCert,
		InsecureSkipVerify: true,
		MinVersion:         p.MinVersion,
		MaxVersion:         p.MaxVersion,
		// With tickets a server writes after the handshake, unasked; nothing here resumes.
		SessionTicketsDisabled: true,
		KeyLogWriter:           p.KeyLog,
	}
}

// judge says why the peer's certificate does not prove domain; nil if it does. Names are dNSNames, or the CN if there is
// none; SRVName and XmppAddr, which hardly any certificate carries, are not read. RFC 6120 §13.7
func (p *Partner) judge(state tls.ConnectionState, domain string) error {
	if len(state.PeerCertificates) == 0 {
		return errors.New("no certificate")
	}
	leaf := state.PeerCertificates[0]
	if p.Roots == nil {
		return errors.New("no authority is trusted here")
	}
	between := x509.NewCertPool()
	for _, c := range state.PeerCertificates[1:] {
		between.AddCert(c)
	}
	_, err := leaf.Verify(x509.VerifyOptions{
		Roots: p.Roots, Intermediates: between, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny},
	})
	if err != nil {
		return err
	}
	names := leaf.DNSNames
	if len(names) == 0 {
		names = []string{leaf.Subject.CommonName}
	}
	for _, n := range names {
		n = foldDomain(n)
		if rest, ok := strings.CutPrefix(n, "*."); ok {
			if _, parent, cut := strings.Cut(domain, "."); cut && parent == rest {
				return nil
			}
		} else if n == domain {
			return nil
		}
	}
	return fmt.Errorf("the certificate is for %s, not for %s", strings.Join(names, ", "), domain)
}
