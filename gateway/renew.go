package gateway

import (
	"crypto/tls"
	"crypto/x509"

	"fedlab/gateway/config"
)

// renewer is a side whose certificate and authorities can be changed while it runs.
type renewer interface {
	Renew(certificate tls.Certificate, roots *x509.CertPool, revoked []*x509.RevocationList)
}

// Renew takes the certificates, the authorities and the lists of revoked certificates of both sides from c, for connections that are made
// from now on; those that stand are left as they are. Nothing else of c counts: what else has changed needs a restart.
func (g *Gateway) Renew(c *config.Config) {
	renew := func(s side, name string, papers *config.Certificate) {
		if s, ok := s.(renewer); ok {
			s.Renew(papers.Pair, papers.Roots, papers.Lists)
			g.log.Info("certificate, authorities and lists of revoked certificates renewed", "side", name)
		}
	}
	renew(g.sip, "sip", &c.SIP.Certificate)
	renew(g.xmpp, "xmpp", papersForXMPP(c))
}
