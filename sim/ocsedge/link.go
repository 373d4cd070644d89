package ocsedge

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"fedlab/sim/trace"
)

// Bounds of a connection.
const (
	connectTime   = 21 * time.Second // of one address: Windows gives up after three SYNs, 3+6+12 s
	handshakeTime = 15 * time.Second
	writeTime     = 30 * time.Second
	queueLength   = 200_000 // messages; what a pool of users has to say at once waits, as their own connections would make it
	maxInbound    = 512     // connections that peers opened
)

// link is one TLS connection. Its fields do not change after it was made, but for what is said to belong to the loop.
type link struct {
	e        *Edge
	name     string // in the trace
	conn     *tls.Conn
	raw      net.Conn
	internal bool     // it came in on the internal interface
	hop      *hop     // it was opened by the Edge; nil: by the peer
	names    []string // of the peer's certificate
	local    string
	remote   string
	queue    *queue
	closed   chan struct{}

	// Of the loop.
	number  int
	dropped bool
	heard   time.Time // when the peer's last message came
	seen    recent    // transactions of the peer
	waiting map[string]*clientTransaction
	keep    *timer
}

// hop is a next hop: the connection to it, or what waits for one.
type hop struct {
	target  string // host:port
	link    *link
	dialing bool
	queue   []func(*link, error)
	probe   *timer
}

// accept takes connections until the listener is closed.
func (e *Edge) accept(l net.Listener, internal bool) {
	slots := make(chan struct{}, maxInbound)
	for {
		raw, err := l.Accept()
		if err != nil {
			if e.ctx.Err() == nil && !errors.Is(err, net.ErrClosed) {
				e.slog.Warn("listener ended", "address", l.Addr(), "error", err)
			}
			return
		}
		select {
		case slots <- struct{}{}:
		default:
			raw.Close()
			continue
		}
		e.wg.Go(func() {
			defer func() { <-slots }()
			e.serve(raw, internal)
		})
	}
}

// current returns the settings in force.
func (e *Edge) current() *settings {
	got := make(chan *settings, 1)
	if !e.post(func() { got <- e.settings }) {
		return nil
	}
	select {
	case s := <-got:
		return s
	case <-e.done:
		return nil
	}
}

// serve shakes hands with a peer that connected, and reads until the connection ends.
func (e *Edge) serve(raw net.Conn, internal bool) {
	defer raw.Close()
	s := e.current()
	if s == nil {
		return
	}
	certificate, where := s.certificate, "federation listener"
	if internal {
		certificate, where = s.internal, "internal interface"
	}
	conn := tls.Server(raw, s.tlsConfig(certificate, true, ""))
	l, err := e.shake(conn, raw, certificate)
	if err != nil {
		if e.ctx.Err() == nil && !errors.Is(err, io.EOF) {
			r := handshakeReason(err)
			e.post(func() {
				e.recordTLS(raw, conn, trace.Failed, false, r.String())
				e.log(r, "connection from %s to the %s", hostOf(raw.RemoteAddr()), where)
			})
		}
		return
	}
	l.internal = internal
	if !e.post(func() { e.joined(l) }) {
		conn.Close()
		return
	}
	e.run(l)
}

// shake finishes the handshake and makes the link. certificate is the Edge's own.
func (e *Edge) shake(conn *tls.Conn, raw net.Conn, certificate tls.Certificate) (*link, error) {
	if certificate.PrivateKey == nil { // field notes, step 6: a certificate without its private key is of no use
		return nil, secNoCredentials("the Edge's own certificate has no private key on this machine")
	}
	ctx, cancel := context.WithTimeout(e.ctx, handshakeTime)
	defer cancel()
	if err := conn.HandshakeContext(ctx); err != nil {
		return nil, err
	}
	return &link{
		e:       e,
		conn:    conn,
		raw:     raw,
		names:   certificateNames(conn.ConnectionState().PeerCertificates[0]),
		local:   raw.LocalAddr().String(),
		remote:  raw.RemoteAddr().String(),
		queue:   newQueue(),
		closed:  make(chan struct{}),
		waiting: map[string]*clientTransaction{},
	}, nil
}

// run reads from a link that has joined the loop until it ends. There is one writer, which also closes the connection.
func (e *Edge) run(l *link) {
	e.wg.Go(l.write)
	r := newReader(l.conn)
	for {
		m, raw, err := r.next()
		if err == nil {
			if !e.post(func() { e.received(l, m, raw) }) {
				return
			}
			continue
		}
		e.post(func() {
			var syntax syntaxError
			if errors.As(err, &syntax) && !l.dropped {
				e.unexpected(l, raw, "bytes that are not SIP: %s", string(syntax))
			}
			e.lost(l, err)
		})
		return
	}
}

// write sends what is queued. When the link is dropped it sends what is left, says goodbye and closes the connection.
func (l *link) write() {
	defer l.raw.Close()
	defer l.conn.Close()
	for {
		select {
		case <-l.queue.filled:
			for _, b := range l.queue.take() {
				if !l.goesOn() {
					return
				}
				if _, err := l.conn.Write(b); err != nil {
					l.e.post(func() { l.e.lost(l, err) })
					return
				}
			}
		case <-l.e.done:
			return
		case <-l.closed:
			l.raw.SetWriteDeadline(time.Now().Add(time.Second))
			for _, b := range l.queue.take() {
				if _, err := l.conn.Write(b); err != nil {
					return
				}
			}
			return
		}
	}
}

// goesOn gives the next write its time. It is false if the Edge has ended.
func (l *link) goesOn() bool {
	select {
	case <-l.e.done:
		return false
	case <-l.closed: // drop has said how long the rest may take
	default:
		l.raw.SetWriteDeadline(time.Now().Add(writeTime))
	}
	return true
}

// drop ends a link. The loop calls it.
func (l *link) drop() {
	if !l.dropped {
		l.dropped = true
		l.keep.stop()
		l.raw.SetWriteDeadline(time.Now().Add(time.Second)) // frees a writer that a stalled peer holds
		close(l.closed)
	}
}

// joined makes a connection that has shaken hands known.
func (e *Edge) joined(l *link) {
	e.links[l] = struct{}{}
	e.number++
	l.number = e.number
	l.name = fmt.Sprintf("in-%d", e.number)
	if l.hop != nil {
		l.name = fmt.Sprintf("out-%d", e.number)
	}
	e.recordTLS(l.raw, l.conn, trace.Passed, l.hop != nil, fmt.Sprintf("%s, peer %s",
		tls.VersionName(l.conn.ConnectionState().Version), strings.Join(l.names, ", ")))
	e.keepAlive(l)
}

// recordTLS writes a handshake into the trace.
func (e *Edge) recordTLS(raw net.Conn, conn *tls.Conn, kind string, outgoing bool, summary string) {
	from, to := raw.RemoteAddr().String(), raw.LocalAddr().String()
	if outgoing {
		from, to = to, from
	}
	e.cfg.Trace.Record(trace.Event{Layer: trace.TLS, Kind: kind, Host: e.cfg.Host, From: from, To: to, Summary: summary})
}

// lost ends a link that failed or was closed by the peer, and all that waits for an answer on it.
func (e *Edge) lost(l *link, err error) {
	if _, ok := e.links[l]; !ok {
		return
	}
	delete(e.links, l)
	l.drop()
	if l.hop != nil && l.hop.link == l {
		l.hop.link = nil
		l.hop.probe.stop()
	}
	r := winsock(err)
	if r.code == "" {
		r = reason{1046, "10054", "WSAECONNRESET", err.Error()}
	}
	if len(l.waiting) > 0 {
		e.log(r, "connection to %s ended with %d requests unanswered", hostOf(l.raw.RemoteAddr()), len(l.waiting))
	}
	for _, t := range sortedTransactions(l.waiting) {
		e.finish(t, nil, reason{1007, r.code, r.symbol, r.text})
	}
}

// keepAlive writes an empty line from time to time, if the quirk says so.
func (e *Edge) keepAlive(l *link) {
	if e.quirks.KeepAlive > 0 {
		l.keep = e.after(e.quirks.KeepAlive, func() {
			e.transmit(l, []byte("\r\n\r\n"))
			e.keepAlive(l)
		})
	}
}

// transmit queues bytes on a link. A peer that does not read loses the connection.
func (e *Edge) transmit(l *link, b []byte) {
	if l.dropped {
		return
	}
	if !l.queue.put(b) {
		e.log(reason{1046, "10053", "WSAECONNABORTED", "the peer does not read"}, "connection to %s dropped", hostOf(l.raw.RemoteAddr()))
		e.lost(l, net.ErrClosed)
	}
}

// send queues a message and writes it into the trace.
func (e *Edge) send(l *link, m *message) {
	b := m.bytes()
	if l.dropped {
		return
	}
	e.cfg.Trace.Record(trace.Event{Layer: trace.SIP, Kind: trace.Sent, Host: e.cfg.Host, From: l.local, To: l.remote, Conn: l.name,
		Summary: m.summary(), Data: b})
	e.transmit(l, b)
}

// connect calls f with a link to the next hop, or with why there is none. It opens one if none stands.
func (e *Edge) connect(target string, f func(*link, error)) {
	h := e.hops[target]
	if h == nil {
		h = &hop{target: target}
		e.hops[target] = h
	}
	if h.link != nil {
		f(h.link, nil)
		return
	}
	h.queue = append(h.queue, f)
	if h.dialing {
		return
	}
	h.dialing = true
	s := e.settings
	e.wg.Go(func() {
		l, err := e.dial(s, h)
		if !e.post(func() { e.dialed(h, l, err) }) {
			if l != nil {
				l.conn.Close()
			}
			return
		}
		if l != nil {
			e.run(l)
		}
	})
}

// dialed hands the result of an attempt to those who wait for it.
func (e *Edge) dialed(h *hop, l *link, err error) {
	h.dialing = false
	waiting := h.queue
	h.queue = nil
	if err != nil {
		e.log(err.(reason), "cannot connect to the next hop %s", h.target)
		for _, f := range waiting {
			f(nil, err)
		}
		return
	}
	h.link = l
	e.joined(l)
	e.negotiate(l)
	for _, f := range waiting {
		f(l, nil)
	}
	e.probe(h)
}

// dial looks the next hop's name up, connects to the first address that answers, and shakes hands. Its errors are reasons.
func (e *Edge) dial(s *settings, h *hop) (*link, error) {
	ctx, cancel := context.WithTimeout(e.ctx, transactionTime)
	defer cancel()
	target := h.target
	if domain, ok := strings.CutPrefix(target, srvPrefix); ok {
		targets, err := federationTargets(ctx, e, domain)
		if err != nil {
			return nil, err
		}
		target = targets[0] // an Edge does not fail over
	}
	host, port, err := net.SplitHostPort(target)
	if err != nil {
		return nil, reason{1005, "0xC3E93C5E", "SIPPROXY_E_ROUTING", "next hop " + target + ": " + err.Error()}
	}
	addrs, err := e.cfg.Network.LookupNetIP(ctx, "ip", host)
	if err != nil {
		return nil, dialReason(err)
	}
	var raw net.Conn
	for _, a := range addrs {
		one, stop := context.WithTimeout(ctx, connectTime)
		raw, err = e.cfg.Network.DialContext(one, "tcp", net.JoinHostPort(a.Unmap().String(), port))
		stop()
		if err == nil {
			break
		}
	}
	if raw == nil {
		if err == nil {
			err = &net.DNSError{Err: "no such host", Name: host, IsNotFound: true}
		}
		r := dialReason(err)
		if len(addrs) > 0 {
			r.text += " (" + addrs[len(addrs)-1].Unmap().String() + ")"
		}
		return nil, r
	}
	conn := tls.Client(raw, s.tlsConfig(s.certificate, false, host))
	l, err := e.shake(conn, raw, s.certificate)
	if err != nil {
		raw.Close()
		r := handshakeReason(err)
		e.post(func() { e.recordTLS(raw, conn, trace.Failed, true, r.String()) })
		return nil, r
	}
	l.hop = h
	return l, nil
}

func portText(port uint16) string { return strconv.Itoa(int(port)) }

func hostOf(a net.Addr) string {
	if ap, err := netip.ParseAddrPort(a.String()); err == nil {
		return ap.Addr().Unmap().String()
	}
	return a.String()
}
