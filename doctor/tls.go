package doctor

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"
)

// handshake is a TLS handshake as the client saw it.
type handshake struct {
	conn    *tls.Conn // open; nil if it failed, or no session was wanted
	err     error
	state   tls.ConnectionState // as far as it went
	chain   []*x509.Certificate // what the peer presented
	asked   bool                // the peer asked for our certificate
	version uint16              // the oldest version that was offered
}

// offer is what a client offers in a handshake.
type offer struct {
	name   string          // the server's, for SNI
	pair   tls.Certificate // ours; empty: none
	oldest uint16          // protocol version
	newest uint16          // 0: the newest there is
	all    bool            // every cipher suite there is, not only good ones

	protocols []string // ALPN
	look      bool     // at the peer's certificate, and no further: no session is made
}

// errSeen ends a handshake of which no more is wanted than the peer's certificate.
var errSeen = errors.New("the certificate has been seen")

// shake makes a handshake over a connection. Nothing is verified here: what the peer presented is judged afterwards, whole. The
// connection is closed if the handshake fails.
func shake(ctx context.Context, raw net.Conn, o offer) *handshake {
	h := &handshake{version: o.oldest}
	config := &tls.Config{
		ServerName:         o.name,
		InsecureSkipVerify: true, // what is presented is judged by papers.faults
		MinVersion:         o.oldest,
		MaxVersion:         o.newest,
		CipherSuites:       suites(o.oldest, o.all),
		NextProtos:         o.protocols,
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			h.asked = true
			if o.pair.PrivateKey == nil {
				return &tls.Certificate{}, nil // nothing to show; the peer will say whether that will do
			}
			return &o.pair, nil
		},
		VerifyPeerCertificate: func(raw [][]byte, _ [][]*x509.Certificate) error {
			if !o.look {
				return nil
			}
			h.chain = parse(raw)
			return errSeen
		},
		VerifyConnection: func(s tls.ConnectionState) error {
			h.chain, h.state = s.PeerCertificates, s
			return nil
		},
	}
	ctx, cancel := context.WithTimeout(ctx, Patience)
	defer cancel()
	conn := tls.Client(raw, config)
	if h.err = conn.HandshakeContext(ctx); h.err != nil {
		_ = raw.Close()
		switch {
		case errors.Is(h.err, errSeen):
			h.err = nil
		case errors.Is(h.err, context.DeadlineExceeded):
			h.err = fmt.Errorf("no answer within %v (%w)", Patience, h.err)
		}
		return h
	}
	h.conn, h.state = conn, conn.ConnectionState()
	return h
}

// suites are the cipher suites of an offer: nil, the library's own choice, where only current versions are spoken. Peers of 2010
// know only what the library offers when told to.
func suites(oldest uint16, all bool) []uint16 {
	if oldest >= tls.VersionTLS12 && !all {
		return nil
	}
	var ids []uint16
	for _, s := range tls.CipherSuites() {
		ids = append(ids, s.ID)
	}
	for _, s := range tls.InsecureCipherSuites() {
		if all || !strings.Contains(s.Name, "RC4") && !strings.HasSuffix(s.Name, "SHA256") {
			ids = append(ids, s.ID)
		}
	}
	return ids
}

// close ends the session, which is owed to the peer, without waiting for it.
func (h *handshake) close() {
	if h.conn == nil {
		return
	}
	_ = h.conn.SetWriteDeadline(time.Now().Add(time.Second))
	_ = h.conn.Close()
}

// alert is the TLS alert that the peer ended the handshake with, empty if it did not. The library tells it only as text.
func alert(err error) string {
	if err == nil {
		return ""
	}
	if _, text, ok := strings.Cut(err.Error(), "remote error: tls: "); ok {
		return text
	}
	return ""
}

// Alerts by which a server refuses the client's certificate.
var certificateAlerts = []string{"bad certificate", "unsupported certificate", "revoked certificate", "expired certificate",
	"unknown certificate", "unknown certificate authority", "access denied", "certificate required"}

// rejects reports whether a failed handshake, or a session that ended before its first answer, means that the peer did not want
// our certificate: it says so, or it breaks the connection after it has seen it, as Windows does.
func (h *handshake) rejects(err error) bool {
	if a := alert(err); a != "" {
		for _, c := range certificateAlerts {
			if a == c {
				return true
			}
		}
		return h.asked && a == "handshake failure"
	}
	return h.asked && len(h.chain) > 0 && gone(err)
}

// rejected makes the finding for a peer that does not accept our certificate, in which nothing is wrong. One thing can be seen
// from here all the same: that it leans on an issuing certificate which is installed on this machine and not sent along.
func (x *exam) rejected(target string, why error, own []*x509.Certificate, roots *x509.CertPool) {
	said := fmt.Sprintf("%s ended the session when it had seen our certificate: %v", target, why)
	if alert(why) == "revoked certificate" {
		x.find("tls.revoked", target, said, "the other side knows a list of revoked certificates that this machine does not have: why and since when stands there")
		return
	}
	if issuer := unsent(own, roots); issuer != nil {
		x.find("tls.chain-incomplete", target, said,
			fmt.Sprintf("our certificate is sent without that of its issuer %q, which is no root: the peer may not know it", issuer.Subject), describe(own[0]))
		return
	}
	x.find("tls.rejected", target, said)
}

// unsent is the issuing certificate through which a chain is trusted on this machine although it is not part of the chain, nil
// if there is none.
func unsent(chain []*x509.Certificate, roots *x509.CertPool) *x509.Certificate {
	if len(chain) == 0 {
		return nil
	}
	p := papers{chain: chain, roots: roots, now: time.Now()}
	ways, err := p.verify(chain[1:])
	if err != nil {
		return nil
	}
	anchor := ways[0][len(ways[0])-1]
	if anchor.Subject.String() == anchor.Issuer.String() || anchor.Equal(chain[len(chain)-1]) {
		return nil
	}
	return anchor
}

// versionName is a protocol version as configurations have it.
func versionName(v uint16) string { return strings.TrimPrefix(tls.VersionName(v), "TLS ") }

// parseVersion reads a min_tls value of the configuration.
func parseVersion(s string) uint16 {
	for _, v := range []uint16{tls.VersionTLS10, tls.VersionTLS11, tls.VersionTLS13} {
		if versionName(v) == s {
			return v
		}
	}
	return tls.VersionTLS12
}

// whyNot finds out why no handshake with a peer comes about with what is configured, by making another one with everything on offer. What the
// peer shows then, and what it says to our certificate, is noted in h.
func (h *handshake) whyNot(peer string, o offer, again func(offer) (*handshake, error)) (why fault) {
	evidence := []string{fmt.Sprintf("TLS handshake with %s: %v", peer, h.err)}
	if strings.Contains(h.err.Error(), "invalid signature by the server certificate") { // the library tells it only as text
		return fault{"tls.key-mismatch", evidence}
	}
	everything := o
	everything.oldest, everything.all = tls.VersionTLS10, true
	tolerant, err := again(everything)
	if err != nil {
		return fault{"tls.handshake", append(evidence, fmt.Sprintf("the second connection failed: %v", err))}
	}
	defer tolerant.close()
	if len(tolerant.chain) == 0 {
		return fault{"tls.handshake", append(evidence, fmt.Sprintf("with every version and cipher suite on offer: %v", tolerant.err))}
	}
	h.chain = tolerant.chain
	if tolerant.rejects(tolerant.err) {
		h.asked, h.err = true, tolerant.err
	}
	s := tolerant.state
	evidence = append(evidence, fmt.Sprintf("with everything on offer the peer takes TLS %s, %s", versionName(s.Version), tls.CipherSuiteName(s.CipherSuite)))
	if s.Version < o.oldest {
		return fault{"tls.version", append(evidence, fmt.Sprintf("the oldest version allowed here is TLS %s", versionName(o.oldest)))}
	}
	return fault{"tls.cipher", evidence}
}

// again makes a handshake over a new connection.
func (x *exam) again(ctx context.Context, to *dialed) func(offer) (*handshake, error) {
	return func(o offer) (*handshake, error) {
		raw, err := x.dial(ctx, to.to)
		if err != nil {
			return nil, err
		}
		return shake(ctx, raw, o), nil
	}
}
