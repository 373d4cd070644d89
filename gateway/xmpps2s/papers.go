package xmpps2s

import (
	"crypto/tls"
	"crypto/x509"

	mstream "mellium.im/xmpp/stream"
)

// papers are what we show and whom we trust.
type papers struct {
	certificate *tls.Certificate // nil: streams stay in clear
	roots       *x509.CertPool   // nil: the system's
	revoked     []*x509.RevocationList
}

// Renew takes a new certificate, new authorities (nil: the system's) and new lists of revoked certificates for streams that are
// negotiated from now on. Those that stand go on.
func (s *Server) Renew(certificate tls.Certificate, roots *x509.CertPool, revoked []*x509.RevocationList) {
	s.papers.Store(&papers{&certificate, roots, revoked})
}

// encrypts reports whether we can do TLS.
func (s *Server) encrypts() bool { return s.papers.Load().certificate != nil }

// certify checks that what a peer presented is good for the domain, and notes until when.
func (s *Server) certify(st *stream, domain string) (err error) {
	p := s.papers.Load()
	st.until, err = verifyPeer(st.peerCert.PeerCertificates, domain, p.roots, p.revoked, s.cfg.Domains[domain].Pin)
	return err
}

// outlived is the end of a stream of which the certificate has ended that proves the peer (RFC 6120 §13.7.2.3). Whoever needs it opens another.
var outlived = &fault{mstream.Reset, "the certificate that proves you has ended"}
