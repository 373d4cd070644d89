package xmpps2s

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"time"

	mstream "mellium.im/xmpp/stream"

	"fedlab/gateway/im"
)

const nsTLS = "urn:ietf:params:xml:ns:xmpp-tls"

// directTLS is the protocol that ALPN names where TLS comes before the stream. XEP-0368 §3
var directTLS = []string{"xmpp-server"}

// tlsConfig is common to both directions. Peers' certificates are judged by [verifyPeer]: what a failure means depends on the
// policy towards the domain.
func (s *Server) tlsConfig() *tls.Config {
	c := &tls.Config{MinVersion: tls.VersionTLS12, InsecureSkipVerify: true, ClientAuth: tls.RequestClientCert}
	if cert := s.papers.Load().certificate; cert != nil {
		c.Certificates = []tls.Certificate{*cert}
		// The list of authorities in a server's request is no reason to hide our certificate.
		c.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return cert, nil }
	}
	return c
}

// secureWith runs a TLS handshake and puts a new stream on it. Bytes that were read in clear beyond the last element are
// gone with the old decoder, so that nothing injected before the handshake is taken for protected data.
func (st *stream) secureWith(ctx context.Context, conn *tls.Conn, until time.Time) error {
	if err := st.ends.until(until); err != nil {
		return err
	}
	if err := st.conn.SetWriteDeadline(until); err != nil {
		return err
	}
	// The connection's deadlines bound it. A second clock for the same moment would leave the reason in the log to chance.
	if err := conn.HandshakeContext(ctx); err != nil {
		return fmt.Errorf("the TLS handshake failed: %w", err)
	}
	state := conn.ConnectionState()
	st.use(conn)
	st.secure, st.peerCert, st.bidi = true, &state, false
	return nil
}

// startTLS asks for TLS as the initiator (RFC 6120 §5.4.2).
func (s *Server) startTLS(ctx context.Context, st *stream, p pair) error {
	until := deadlineIn(ctx, s.cfg.HeaderTimeout)
	if err := st.write([]byte("<starttls xmlns='" + nsTLS + "'/>")); err != nil {
		return err
	}
	e, err := st.next(until)
	switch {
	case err != nil:
		return err
	case e.is(nsTLS, "failure"):
		return errors.New("the peer offered TLS and refused to start it")
	case !e.is(nsTLS, "proceed"):
		return &fault{mstream.BadFormat, "an answer to starttls was due"}
	}
	return s.dialTLS(ctx, st, p, nil)
}

// dialTLS is the client's side of a handshake.
func (s *Server) dialTLS(ctx context.Context, st *stream, p pair, alpn []string) error {
	c := s.tlsConfig()
	c.ServerName, c.NextProtos = p.to, alpn
	if err := st.secureWith(ctx, tls.Client(st.conn, c), deadlineIn(ctx, s.cfg.HeaderTimeout)); err != nil {
		return err
	}
	st.certErr = s.certify(st, p.to)
	m := s.methods[p.to]
	if st.certErr != nil && (!m.dialback(true) || s.cfg.Domains[p.to].Pin != "") {
		return &verdict{policy: true, failure: &im.Failure{Condition: im.RemoteServerTimeout, Text: st.certErr.Error()}}
	}
	return nil
}

// acceptTLS answers a peer's starttls (RFC 6120 §5.4.2.3). The handshake begins right behind the ">" of proceed.
func (in *incoming) acceptTLS(ctx context.Context, st *stream) error {
	if err := st.write([]byte("<proceed xmlns='" + nsTLS + "'/>")); err != nil {
		return err
	}
	return in.serverTLS(ctx, nil)
}

// serverTLS is the server's side of a handshake.
func (in *incoming) serverTLS(ctx context.Context, alpn []string) error {
	c := in.s.tlsConfig()
	c.NextProtos = alpn
	return in.st.secureWith(ctx, tls.Server(in.st.conn, c), time.Now().Add(in.s.cfg.HeaderTimeout))
}
