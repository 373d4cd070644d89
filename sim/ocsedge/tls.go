package ocsedge

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"syscall"
	"time"
)

// reason is why the Edge could not or would not, as its own log names it.
type reason struct {
	id     int    // ErrorId of MS-OCER §8.2; 0: none
	code   string // "0x80090325", or a Winsock code "10061"
	symbol string
	text   string
}

func (r reason) Error() string { return r.String() }

func (r reason) String() string {
	s := r.code + " " + r.symbol + ": " + r.text
	if r.id != 0 {
		s = fmt.Sprintf("ErrorId %d ", r.id) + s
	}
	return s
}

// The SChannel codes that an Edge's log shows (winerror.h).
func secWrongPrincipal(text string) reason {
	return reason{1010, "0x80090322", "SEC_E_WRONG_PRINCIPAL", text}
}
func secUntrustedRoot(text string) reason {
	return reason{1010, "0x80090325", "SEC_E_UNTRUSTED_ROOT", text}
}
func secExpired(text string) reason { return reason{1010, "0x80090328", "SEC_E_CERT_EXPIRED", text} }
func secRevoked(text string) reason { return reason{1010, "0x80092010", "CRYPT_E_REVOKED", text} }
func secUsage(text string) reason   { return reason{1010, "0x80090349", "SEC_E_CERT_WRONG_USAGE", text} }
func secNoCertificate(text string) reason {
	return reason{1010, "0x80090320", "SEC_E_INCOMPLETE_CREDENTIALS", text}
}
func secNoCredentials(text string) reason {
	return reason{1010, "0x8009030E", "SEC_E_NO_CREDENTIALS", text}
}
func secUnknownCertificate(text string) reason {
	return reason{1010, "0x80090327", "SEC_E_CERT_UNKNOWN", text}
}

// certificateNames are the names a certificate stands for: its DNS names or, only without a subjectAltName, its CN. OCS 2007 R2
// knows no wildcards, so a name with a star stands for itself.
func certificateNames(c *x509.Certificate) []string {
	if c == nil {
		return nil
	}
	if len(c.DNSNames) > 0 {
		return c.DNSNames
	}
	if c.Subject.CommonName == "" {
		return nil
	}
	return []string{c.Subject.CommonName}
}

func hasName(names []string, want string) bool {
	for _, n := range names {
		if strings.EqualFold(strings.TrimSuffix(n, "."), strings.TrimSuffix(want, ".")) {
			return true
		}
	}
	return false
}

// verifyChain checks what a peer presented: dates, chain, usage, in this order, and finally the name if one is wanted. A
// client's certificate needs no usage for clients: the Web Server certificates of the time have none (field notes, step 6).
func verifyChain(certs []*x509.Certificate, s *settings, server bool, want string, now time.Time) error {
	if len(certs) == 0 {
		return secNoCertificate("the peer sent no certificate")
	}
	leaf := certs[0]
	names := strings.Join(certificateNames(leaf), ", ")
	for _, c := range certs {
		if now.Before(c.NotBefore) || now.After(c.NotAfter) {
			what := "expired"
			if now.Before(c.NotBefore) {
				what = "not yet valid"
			}
			return secExpired(fmt.Sprintf("the peer's certificate %q (%s) is %s: valid from %s to %s, now %s", c.Subject, names,
				what, c.NotBefore.UTC().Format("2006-01-02T15:04:05Z"), c.NotAfter.UTC().Format("2006-01-02T15:04:05Z"), now.UTC().Format("2006-01-02T15:04:05Z")))
		}
	}
	opts := x509.VerifyOptions{
		Roots:         s.roots,
		Intermediates: x509.NewCertPool(),
		CurrentTime:   now,
		KeyUsages:     []x509.ExtKeyUsage{x509.ExtKeyUsageAny},
	}
	for _, c := range certs[1:] {
		opts.Intermediates.AddCert(c)
	}
	for _, c := range s.intermediates {
		opts.Intermediates.AddCert(c)
	}
	chains, err := leaf.Verify(opts)
	if err != nil {
		var unknown x509.UnknownAuthorityError
		last := certs[len(certs)-1]
		if errors.As(err, &unknown) {
			if leaf.Subject.String() == leaf.Issuer.String() {
				return secUntrustedRoot(fmt.Sprintf("the peer's certificate %q is self-signed", leaf.Subject))
			}
			return secUntrustedRoot(fmt.Sprintf("the peer's certificate %q was issued by %q; the chain it sent ends at %q, whose issuer %q is not installed here",
				leaf.Subject, leaf.Issuer, last.Subject, last.Issuer))
		}
		return secUnknownCertificate(fmt.Sprintf("the peer's certificate %q: %v", leaf.Subject, err))
	}
	if err := s.revoked(chains[0]); err != nil {
		return err
	}
	if server && !usable(leaf, x509.ExtKeyUsageServerAuth) {
		return secUsage(fmt.Sprintf("the peer's certificate %q is not for server authentication", leaf.Subject))
	}
	if want != "" && !hasName(certificateNames(leaf), want) {
		return secWrongPrincipal(fmt.Sprintf("the peer's certificate names %q, not %q", names, want))
	}
	return nil
}

// revoked looks for the chain's certificates on the lists that are installed on the machine. An Edge keeps those of its peers' authorities up to date
// (KeepCrlsUpToDateForPeers), and asks nobody who has none.
func (s *settings) revoked(chain []*x509.Certificate) error {
	for _, list := range s.lists {
		for i, issuer := range chain[1:] {
			if list.CheckSignatureFrom(issuer) != nil {
				continue
			}
			for _, entry := range list.RevokedCertificateEntries {
				if c := chain[i]; entry.SerialNumber.Cmp(c.SerialNumber) == 0 {
					return secRevoked(fmt.Sprintf("the peer's certificate %q (%s) was revoked at %s, reason code %d", c.Subject, strings.Join(certificateNames(c), ", "),
						entry.RevocationTime.UTC().Format("2006-01-02T15:04:05Z"), entry.ReasonCode))
				}
			}
		}
	}
	return nil
}

func usable(c *x509.Certificate, want x509.ExtKeyUsage) bool {
	if len(c.ExtKeyUsage) == 0 && len(c.UnknownExtKeyUsage) == 0 {
		return true
	}
	for _, u := range c.ExtKeyUsage {
		if u == want || u == x509.ExtKeyUsageAny {
			return true
		}
	}
	return false
}

// tlsConfig is the Edge's side of a handshake. want is the name that the peer's certificate must have; "" for a client, whose
// name is looked at when its first request says for which domain it speaks.
func (s *settings) tlsConfig(certificate tls.Certificate, server bool, want string) *tls.Config {
	suites := s.quirks.CipherSuites
	if suites == nil {
		// What Windows of that time has beside today's: RSA key exchange, CBC, 3DES.
		for _, c := range append(tls.CipherSuites(), tls.InsecureCipherSuites()...) {
			suites = append(suites, c.ID)
		}
	}
	cfg := &tls.Config{
		MinVersion:             s.quirks.minTLS(),
		MaxVersion:             s.quirks.maxTLS(),
		CipherSuites:           suites,
		ServerName:             want,
		InsecureSkipVerify:     true, // VerifyConnection below verifies, and says why not
		ClientAuth:             tls.RequestClientCert,
		SessionTicketsDisabled: true,
		KeyLogWriter:           s.keyLog,
		VerifyConnection: func(state tls.ConnectionState) error {
			return verifyChain(state.PeerCertificates, s, !server, want, time.Now())
		},
	}
	if !s.quirks.WithoutCertificate || server {
		cfg.Certificates = []tls.Certificate{certificate}
	}
	return cfg
}

// handshakeReason names what went wrong in a handshake as the Edge's log does.
func handshakeReason(err error) reason {
	var r reason
	if errors.As(err, &r) {
		return r
	}
	if w := winsock(err); w.code != "" {
		w.id = 1047
		w.text = "TLS negotiation: " + w.text
		return w
	}
	text := err.Error()
	var alert tls.AlertError
	switch {
	case errors.As(err, &alert), strings.Contains(text, "remote error: tls:"):
		return reason{1047, "0x80090326", "SEC_E_ILLEGAL_MESSAGE", "the peer ended the handshake: " + text}
	case strings.Contains(text, "no cipher suite"), strings.Contains(text, "protocol version"), strings.Contains(text, "unsupported versions"),
		strings.Contains(text, "no mutually supported"):
		return reason{1047, "0x80090331", "SEC_E_ALGORITHM_MISMATCH", "no version or cipher suite in common: " + text}
	}
	return reason{1047, "0x80090308", "SEC_E_INVALID_TOKEN", text}
}

// winsock names an error of the network as Windows does; code is empty if it is none.
func winsock(err error) reason {
	var dns *net.DNSError
	if errors.As(err, &dns) {
		if dns.IsNotFound {
			return reason{1014, "11001", "WSAHOST_NOT_FOUND", "no address for " + dns.Name}
		}
		return reason{1014, "11002", "WSATRY_AGAIN", "no answer about the address of " + dns.Name}
	}
	for _, w := range []struct {
		err error
		r   reason
	}{
		{syscall.ECONNREFUSED, reason{1046, "10061", "WSAECONNREFUSED", "the connection was refused"}},
		{syscall.ECONNRESET, reason{1046, "10054", "WSAECONNRESET", "the connection was reset by the peer"}},
		{syscall.EPIPE, reason{1046, "10054", "WSAECONNRESET", "the connection was closed by the peer"}},
		{io.EOF, reason{1046, "10054", "WSAECONNRESET", "the connection was closed by the peer"}},
		{io.ErrUnexpectedEOF, reason{1046, "10054", "WSAECONNRESET", "the connection was closed by the peer"}},
		{syscall.ECONNABORTED, reason{1046, "10053", "WSAECONNABORTED", "the connection was aborted"}},
		{syscall.EHOSTUNREACH, reason{1046, "10065", "WSAEHOSTUNREACH", "no route to the host"}},
		{syscall.ENETUNREACH, reason{1046, "10051", "WSAENETUNREACH", "no route to the network"}},
		{syscall.ETIMEDOUT, reason{1046, "10060", "WSAETIMEDOUT", "the connection attempt timed out"}},
		{os.ErrDeadlineExceeded, reason{1046, "10060", "WSAETIMEDOUT", "timed out"}},
		{context.DeadlineExceeded, reason{1046, "10060", "WSAETIMEDOUT", "the connection attempt timed out"}},
	} {
		if errors.Is(err, w.err) {
			return w.r
		}
	}
	return reason{}
}

// dialReason names why no connection came about.
func dialReason(err error) reason {
	if r := winsock(err); r.code != "" {
		return r
	}
	return reason{1046, "10050", "WSAENETDOWN", err.Error()}
}
