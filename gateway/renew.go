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

// Renew takes the certificate, the authorities and the lists of revoked certificates of the SIP side from c, for connections that are made
// from now on; those that stand are left as they are. Nothing else of c counts: what else has changed needs a restart.
func (g *Gateway) Renew(c *config.Config) {
	if side, ok := g.sip.(renewer); ok {
		side.Renew(c.SIP.Certificate.Pair, c.SIP.Certificate.Roots, c.SIP.Certificate.Lists)
		g.log.Info("certificate and authorities of the SIP side renewed")
	}
}
