package sipedge

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"slices"
	"strings"
	"sync"
	"time"
)

// pendingHandshakes bounds how many strangers are in a handshake at a time. One more, and the one that has been at it for longest
// is put out: who has a certificate needs some milliseconds, who has none must not keep him out.
const pendingHandshakes = 256

// doorstep holds the connections that are in a handshake, oldest first.
type doorstep struct {
	mu      sync.Mutex
	waiting []net.Conn
}

func (d *doorstep) enter(c net.Conn) {
	d.mu.Lock()
	var oldest net.Conn
	if len(d.waiting) == pendingHandshakes {
		oldest = d.waiting[0]
		d.waiting = slices.Delete(d.waiting, 0, 1)
	}
	d.waiting = append(d.waiting, c)
	d.mu.Unlock()
	if oldest != nil {
		_ = oldest.Close() // its handshake fails
	}
}

func (d *doorstep) leave(c net.Conn) {
	d.mu.Lock()
	if i := slices.Index(d.waiting, c); i >= 0 {
		d.waiting = slices.Delete(d.waiting, i, i+1)
	}
	d.mu.Unlock()
}

// papers are what we show and whom we trust.
type papers struct {
	certificate tls.Certificate
	verifier    verifier
}

// Renew takes a new certificate, new authorities (nil: the system's) and new lists of revoked certificates for connections that are made
// from now on. Those that stand are left as they are.
func (e *Edge) Renew(certificate tls.Certificate, roots *x509.CertPool, lists []*x509.RevocationList) {
	e.papers.Store(&papers{certificate, verifier{roots, lists, time.Now}})
}

// clientTLS is for the connection we make to a host of h. crypto/x509's own verification is off, ours takes its place.
func (e *Edge) clientTLS(h *hop, t target) *tls.Config {
	p := e.papers.Load()
	return &tls.Config{
		ServerName:         t.names[0],
		Certificates:       []tls.Certificate{p.certificate},
		InsecureSkipVerify: true, // VerifyConnection does it: a CN-only name, a pin
		MinVersion:         h.minTLS,
		CipherSuites:       suites(h.minTLS),
		VerifyConnection: func(s tls.ConnectionState) error {
			_, err := p.verifier.check(s.PeerCertificates, t.names, h.pin)
			return err
		},
	}
}

// serverTLS is for connections that come in. Whoever presents no certificate of a next hop fails in the handshake and never
// reaches SIP. RFC 5922 §7.4
func (e *Edge) serverTLS(ctx context.Context) *tls.Config {
	oldest := uint16(tls.VersionTLS13)
	for _, h := range e.hops {
		oldest = min(oldest, h.minTLS)
	}
	return &tls.Config{
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return &e.papers.Load().certificate, nil },
		ClientAuth:     tls.RequireAnyClientCert, // VerifyConnection checks it: an Edge's certificate has no client usage
		MinVersion:     oldest,
		CipherSuites:   suites(oldest),
		VerifyConnection: func(s tls.ConnectionState) error {
			_, err := e.identify(s)
			if refused, ok := errors.AsType[*PeerError](err); ok && refused.Reason == ErrName && e.findAnew(ctx) {
				_, err = e.identify(s)
			}
			return err
		},
	}
}

// findAnew asks for SRV records again, as somebody has come whose name the last answers did not have. It says whether any was asked for.
func (e *Edge) findAnew(ctx context.Context) (asked bool) {
	for _, h := range e.hops {
		h.mu.Lock()
		due := h.discovered != "" && time.Since(h.asked) >= lookupRest
		h.mu.Unlock()
		if due {
			asked = true
			_, _ = h.find(ctx, e) // what goes wrong is told where the link is made
		}
	}
	return asked
}

// identify says which next hops a client that connected is.
func (e *Edge) identify(s tls.ConnectionState) ([]*hop, error) {
	var found []*hop
	var first error
	var expected []string
	p := e.papers.Load()
	for _, h := range e.hops {
		names := h.names()
		expected = append(expected, names...)
		_, err := p.verifier.check(s.PeerCertificates, names, h.pin)
		if err == nil && s.Version < h.minTLS {
			err = &PeerError{Reason: ErrVersion, Expected: names, At: time.Now(), Err: errors.New(tls.VersionName(s.Version))}
		}
		if err == nil {
			found = append(found, h)
		} else if first == nil || errors.Is(err, ErrVersion) {
			first = err
		}
	}
	if len(found) > 0 {
		return found, nil
	}
	if refused, ok := errors.AsType[*PeerError](first); ok && refused.Reason == ErrName {
		slices.Sort(expected)
		refused.Expected = slices.Compact(expected)
	}
	return nil, first
}

// accept takes connections until the listener closes.
func (e *Edge) accept(ctx context.Context, listener net.Listener) {
	config := e.serverTLS(ctx)
	var door doorstep
	for {
		raw, err := listener.Accept()
		if err != nil {
			if ctx.Err() != nil || errors.Is(err, net.ErrClosed) {
				return
			}
			e.log.Warn("accept failed", "error", err) // out of file descriptors, say: go on when it is better
			wait := time.NewTimer(100 * time.Millisecond)
			select {
			case <-wait.C:
			case <-ctx.Done():
			}
			wait.Stop()
			continue
		}
		door.enter(raw)
		if !e.spawn(func() { e.welcome(ctx, &door, tls.Server(raw, config)) }) {
			_ = raw.Close()
		}
	}
}

// welcome verifies one client and starts its link.
func (e *Edge) welcome(ctx context.Context, door *doorstep, conn *tls.Conn) {
	from := conn.RemoteAddr().String()
	err := handshake(ctx, conn)
	door.leave(conn.NetConn())
	if err != nil {
		e.refused(from, err)
		return
	}
	hops, err := e.identify(conn.ConnectionState())
	if err != nil { // a resumed session: nothing is verified again in the handshake
		e.refused(from, err)
		_ = conn.NetConn().Close()
		return
	}
	l := newLink(conn, e.stack.nextLink(), false, hops)
	e.letIn(from)
	if e.serve(l) {
		e.log.Info("link accepted", "from", from, "peer", hopNames(hops), "tls", tls.VersionName(conn.ConnectionState().Version))
	}
}

func (e *Edge) refused(from string, err error) {
	if strings.Contains(err.Error(), "client didn't provide a certificate") { // crypto/tls tells it only as text
		err = &PeerError{Reason: ErrNoCertificate, Expected: strings.Split(hopNames(e.hops), ", "), At: time.Now(), Err: err}
	}
	e.log.Warn("connection refused", "from", from, "error", err)
	if errors.Is(err, io.EOF) { // somebody only looked whether the port is open: nothing was refused
		return
	}
	e.mu.Lock()
	e.lastRefusal = &Refusal{From: from, At: time.Now(), Err: err}
	e.mu.Unlock()
}

// letIn notes that a machine that was refused got a link.
func (e *Edge) letIn(from string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if r := e.lastRefusal; r != nil && r.LetIn.IsZero() && hostOf(r.From) == hostOf(from) {
		r.LetIn = time.Now()
	}
}

func hostOf(address string) string {
	host, _, _ := net.SplitHostPort(address)
	return host
}

// hopNames are the names by which next hops are known.
func hopNames(hops []*hop) string {
	var names []string
	for _, h := range hops {
		names = append(names, h.names()...)
	}
	return strings.Join(names, ", ")
}

// serve gives a link to sipgo and to its next hops, and sees to its end.
func (e *Edge) serve(l *link) bool {
	if !e.stack.add(l) {
		l.end(net.ErrClosed)
		return false
	}
	e.linkGroup.Go(l.write)
	e.linkGroup.Go(func() { e.attend(l) })
	taken := 0
	for _, h := range l.hops {
		if !h.add(l) {
			l.end(errors.New("sipedge: too many connections from this peer"))
			break
		}
		taken++
	}
	e.linkGroup.Go(func() {
		<-l.done
		<-l.readEnd
		for _, h := range l.hops[:taken] {
			h.remove(l)
		}
		e.stack.remove(l)
	})
	return taken == len(l.hops)
}
