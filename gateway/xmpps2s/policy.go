package xmpps2s

import (
	"errors"

	"fedlab/gateway/config"
)

// methods are the ways in which two domains may prove themselves to each other.
type methods struct {
	external    bool // SASL EXTERNAL: the certificate is the proof
	tlsDialback bool // dialback inside TLS: encrypted, and DNS is the proof
	tcpDialback bool // dialback in clear, as all of Google Talk did
}

// tls reports whether streams with the domain may be encrypted.
func (m methods) tls() bool { return m.external || m.tlsDialback }

// dialback reports whether dialback may prove a domain on a stream that is or is not encrypted.
func (m methods) dialback(secure bool) bool {
	return secure && m.tlsDialback || !secure && m.tcpDialback
}

// errNoMethod is the reason why a policy is refused.
var errNoMethod = errors.New("this combination of TLS, SASL and dialback leaves no way to prove who is who")

// methodsOf reads a domain's policy. The combinations mean what the XMPP partners' settings of Lync Server 2013 mean, where
// administrators know them from: SASL counts as optional where TLS is, and without TLS only dialback remains.
func methodsOf(d config.XMPPDomain) (methods, error) {
	dialback := d.Dialback != config.DialbackNever
	var m methods
	switch d.TLS {
	case config.TLSNever:
		m.tcpDialback = dialback
	case config.TLSRequired:
		m.external = d.SASL != config.SASLNever
		m.tlsDialback = dialback && d.SASL != config.SASLRequired
	default:
		m.external = d.SASL != config.SASLNever
		m.tlsDialback, m.tcpDialback = dialback, dialback
	}
	if m == (methods{}) {
		return m, errNoMethod
	}
	return m, nil
}
