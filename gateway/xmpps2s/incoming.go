package xmpps2s

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"time"

	"mellium.im/xmpp"
	mstream "mellium.im/xmpp/stream"

	"fedlab/gateway/translate"
)

// incoming is a stream on which a peer speaks: one that it opened, or one of ours that both use (bidi.go). One goroutine reads
// it (serve), one writes to it; verifications run beside them.
type incoming struct {
	s   *Server
	st  *stream
	log *slog.Logger

	direct  bool   // TLS comes before the stream
	sender  string // the domain of the header's from, if it is one that may call
	offered bool   // SASL EXTERNAL: its certificate proves sender
	auths   int    // failed attempts

	out   chan answer    // to the writer
	work  sync.WaitGroup // the writer and the verifications
	ended *ending        // reading

	opener    pair           // whose link opened the stream; zero: the peer did
	borrowers sync.WaitGroup // links that write to it too

	opened time.Time

	mu      sync.Mutex
	pairs   map[pair]bool   // false: verification under way; true: the peer may send stanzas from the first to the second
	domains map[string]bool // counted as having this stream
	ending  bool            // our closing tag is written or about to be
	heard   time.Time       // when the peer last sent what it needs the stream for
}

// answer is something for the writer to write.
type answer struct {
	xml     []byte
	last    bool   // nothing comes behind it
	written func() // called once it was written; may be nil
}

func newIncoming(s *Server, st *stream) *incoming {
	in := &incoming{s: s, st: st, opened: time.Now(), pairs: make(map[pair]bool), domains: make(map[string]bool),
		out: make(chan answer, maxAnswers), ended: newEnding(), heard: time.Now(), log: s.log.With("peer", st.conn.RemoteAddr().String())}
	st.peersUse = in
	return in
}

// serve runs the stream to its end.
func (in *incoming) serve(ctx context.Context) {
	defer func() { in.st.conn.Close() }()
	defer in.release()
	stopDial := context.AfterFunc(ctx, func() { in.st.closeAt(time.Now()) })
	err := survive(func() error {
		if in.direct {
			if err := in.serverTLS(ctx, directTLS); err != nil {
				return err
			}
		}
		return in.st.negotiate(ctx, xmpp.S2S|xmpp.Received, in.round)
	})
	stopDial()
	if err != nil {
		in.log.Info("incoming stream refused", "reason", err)
		in.refuse(err)
		return
	}
	in.converse(ctx)
}

// converse runs a stream that has been negotiated to its end, and closes the connection.
func (in *incoming) converse(ctx context.Context) {
	ctx, cancel := context.WithCancel(ctx)
	in.work.Go(in.writeLoop)
	stop := context.AfterFunc(ctx, func() { in.end(nil) })
	if in.st.proven && in.opener == (pair{}) {
		for p := range in.pairs { // the header's, and nobody else knows of the stream yet
			in.share(p)
		}
	}
	if until := in.st.until; !until.IsZero() && (in.st.proven || in.opener != (pair{})) {
		defer time.AfterFunc(time.Until(until), func() { in.end(outlived) }).Stop()
	}
	err := survive(func() error { return in.read(ctx) })
	stop()
	cancel()
	in.log.Info("incoming stream ended", "reason", err)
	var f *fault
	if errors.As(err, &f) {
		in.end(f)
	} else {
		in.end(nil)
	}
	in.ended.set(endOf(err))
	close(in.out)
	in.work.Wait()
	in.s.reclaim(in)
	in.borrowers.Wait()
	in.st.drain()
}

// refuse answers a stream that did not come up.
func (in *incoming) refuse(err error) {
	var f *fault
	if !errors.As(err, &f) {
		return
	}
	var b []byte
	if in.st.ours.id == "" {
		// RFC 6120 §4.9.1.2: the header comes before the error even if the peer's own header is at fault.
		b = in.answer(in.st.peers).append(nil)
	}
	in.st.write(append(b, f.xml()...))
	in.st.drain()
}

// answer is our response header to h.
func (in *incoming) answer(h header) header {
	a := header{from: h.to, to: h.from, id: newStreamID()}
	if local, err := translate.ParseDomain(h.to); err != nil || !in.s.local[local] {
		a.from = in.s.cfg.name()
	}
	if h.modern() {
		a.version = mstream.DefaultVersion // the lower of both (RFC 6120 §4.7.5)
	}
	return a
}

// round exchanges headers, offers features, and takes the peer through TLS and SASL until something else comes.
func (in *incoming) round(ctx context.Context, st *stream) (ready bool, err error) {
	h, err := st.readHeader(time.Now().Add(in.s.cfg.HeaderTimeout))
	st.peers = h
	if err != nil {
		return false, err
	}
	local, err := translate.ParseDomain(h.to)
	if h.to == "" && !h.modern() {
		// RFC 3920 §8.3: peers of the first generation may leave the addresses off; db:result will name them.
	} else if err != nil || !in.s.local[local] {
		return false, &fault{mstream.HostUnknown, "this server does not serve " + h.to}
	}
	sender, err := translate.ParseDomain(h.from)
	if _, allowed := in.s.cfg.Domains[sender]; err != nil || !allowed {
		sender = ""
	}
	if st.proven && (sender == "" || sender != in.sender) {
		return false, &fault{mstream.InvalidFrom, "the restarted stream is not from the domain that was authenticated"}
	}
	in.sender = sender
	st.ours = in.answer(h)
	b := st.ours.append(nil)
	if !h.modern() {
		return true, st.write(b)
	}
	m, known := in.s.methods[sender]
	if !known {
		// Whoever it is may ask whether a key is ours, and may do so in TLS.
		m = methods{tlsDialback: true, tcpDialback: true}
	}
	if st.secure && !st.proven && m.external {
		err := in.s.certify(st, sender)
		if in.offered = err == nil; err != nil {
			in.log.Info("the peer's certificate is no proof", "from", sender, "reason", err)
			if !m.dialback(true) {
				st.write(b)
				return false, &fault{mstream.PolicyViolation, err.Error()}
			}
		}
	}
	if err := st.write(in.features(b, st, m)); err != nil {
		return false, err
	}
	if st.proven {
		if !in.prove(pair{sender, local}) {
			return false, &fault{mstream.ResourceConstraint, "too many streams from " + sender}
		}
		in.log.Info("the peer is proven", "pair", pair{sender, local}, "proof", st.proof(true))
		return true, nil
	}
	for {
		e, err := st.next(time.Now().Add(in.s.cfg.StreamTimeout))
		switch {
		case isTimeout(err):
			return false, &fault{mstream.PolicyViolation, "the stream was not used"}
		case err != nil:
			return false, err
		case e.is(nsTLS, "starttls") && !st.secure && in.s.encrypts() && m.tls():
			return false, in.acceptTLS(ctx, st)
		case e.is(nsSASL, "auth") && st.secure:
			if ok, err := in.authenticate(st, e); ok || err != nil {
				return false, err
			}
		case e.is(nsBidi, "bidi") && in.mayShare(sender):
			st.bidi = true // for good, unless TLS begins the stream anew (XEP-0288 §2.1)
		default:
			st.unread = e
			return true, nil
		}
	}
}

// features appends what we offer at this point of the stream. With what has been done already it is not offered again.
func (in *incoming) features(b []byte, st *stream, m methods) []byte {
	b = append(b, "<stream:features>"...)
	dialback := m.dialback(st.secure)
	if !st.secure && in.s.encrypts() && m.tls() {
		b = append(b, "<starttls xmlns='"+nsTLS+"'"...)
		if dialback {
			b = append(b, "/>"...)
		} else {
			b = append(b, "><required/></starttls>"...) // and nothing else beside it (RFC 6120 §5.3.1)
		}
	}
	if in.offered && !st.proven {
		b = append(b, "<mechanisms xmlns='"+nsSASL+"'><mechanism>EXTERNAL</mechanism></mechanisms>"...)
	}
	if dialback {
		b = append(b, "<dialback xmlns='urn:xmpp:features:dialback'><errors/></dialback>"...)
	}
	if (dialback || in.offered) && !st.proven && in.mayShare(in.sender) {
		b = append(b, "<bidi xmlns='"+nsBidiFeature+"'/>"...)
	}
	return append(b, "</stream:features>"...)
}

// read takes the peer's elements in order until the stream ends. A stream on which nobody has proven anything ends after a
// while, however busy it is; a question about our keys takes no longer.
func (in *incoming) read(ctx context.Context) error {
	limit := in.opened.Add(2 * in.s.cfg.StreamTimeout)
	in.st.guard.late = func() bool {
		if !in.isProven() || in.st.guard.until.After(limit) {
			return false
		}
		in.st.guard.until = time.Now().Add(in.s.cfg.PeerIdleTimeout)
		return true
	}
	for {
		until := limit
		if in.isProven() {
			until = time.Now().Add(in.s.cfg.PeerIdleTimeout)
		}
		e, err := in.st.next(until)
		if err != nil {
			return err
		}
		if err := in.element(ctx, e); err != nil {
			return err
		}
	}
}

func (in *incoming) element(ctx context.Context, e *element) error {
	switch {
	case e.Name.Space == nsDialback && e.attr("type") != "":
		// An answer to a question that we did not ask here (XEP-0220 §3.1).
		in.log.Warn("unsolicited dialback answer ignored", "from", e.attr("from"), "to", e.attr("to"), "type", e.attr("type"))
	case e.is(nsDialback, "verify"):
		in.send(in.s.verifyXML(e))
	case e.is(nsDialback, "result"):
		return in.key(ctx, e)
	case e.Name.Space == nsServer && (e.Name.Local == "message" || e.Name.Local == "presence" || e.Name.Local == "iq"):
		return in.stanza(e)
	case e.is(nsTLS, "starttls"):
		in.send([]byte("<failure xmlns='" + nsTLS + "'/>")) // not offered, or too late (RFC 6120 §5.4.2.2)
		in.end(nil)
	case e.is(nsSASL, "auth"):
		in.send([]byte("<failure xmlns='" + nsSASL + "'><not-authorized/></failure>"))
	default:
		in.log.Debug("unknown element ignored", "name", e.Name.Local, "namespace", e.Name.Space)
	}
	return nil
}

// key takes a peer's dialback key, as the receiving server (XEP-0220 §2.2.1).
func (in *incoming) key(ctx context.Context, e *element) error {
	p, ok := dialbackPair(e)
	if !ok {
		return &fault{mstream.ImproperAddressing, "db:result without the domains it is about"}
	}
	refuse := func(condition string) error {
		in.log.Warn("dialback refused", "pair", p, "condition", condition)
		in.send(dialbackXML("result", e.attr("to"), e.attr("from"), "", "error", condition))
		return nil
	}
	if !in.s.local[p.to] {
		return refuse("item-not-found")
	}
	if _, allowed := in.s.cfg.Domains[p.from]; !allowed {
		in.s.refused(in.st.conn, p, NotAllowed, "policy-violation")
		return refuse("policy-violation")
	}
	if !in.s.methods[p.from].dialback(in.st.secure) {
		return refuse("policy-violation") // TLS first, or a certificate (XEP-0220 §2.5)
	}
	in.mu.Lock()
	valid, known := in.pairs[p]
	pending := 0
	for _, v := range in.pairs {
		if !v {
			pending++
		}
	}
	full := len(in.pairs) >= maxPairs || pending >= maxPending
	if !known && !full {
		in.pairs[p] = false
	}
	in.mu.Unlock()
	switch {
	case valid:
		in.send(dialbackXML("result", e.attr("to"), e.attr("from"), "", "valid", ""))
	case known:
		in.log.Warn("a second dialback key while the first is being verified", "pair", p)
	case full:
		return refuse("resource-constraint")
	default:
		in.work.Go(func() { in.verify(ctx, p, e) })
	}
	return nil
}

// verify asks the authoritative server about the key in e and tells the peer.
func (in *incoming) verify(ctx context.Context, p pair, e *element) {
	typ, condition := in.s.verify(ctx, p, cmp.Or(in.st.ours.id, in.st.peers.id), strings.TrimSpace(e.text()))
	if typ == "valid" && !in.prove(p) {
		typ, condition = "error", "resource-constraint"
	}
	in.mu.Lock()
	others := false
	if typ != "valid" {
		delete(in.pairs, p)
	}
	for _, v := range in.pairs {
		others = others || v
	}
	in.mu.Unlock()
	in.log.Info("dialback", "pair", p, "result", typ, "condition", condition, "proof", in.st.proof(false))
	switch typ {
	case "valid":
		in.s.believed(in.st.conn, p)
	case "invalid":
		in.s.refused(in.st.conn, p, KeyInvalid, "")
	default:
		if ctx.Err() == nil { // else nobody waits for the answer any more, and it says nothing about the domain's server
			in.s.refused(in.st.conn, p, KeyUnknown, condition)
		}
	}
	if typ == "invalid" && others {
		typ, condition = "error", "forbidden" // XEP-0220 §2.2.1: the stream's other pairs need not suffer
	}
	a := answer{xml: dialbackXML("result", e.attr("to"), e.attr("from"), "", typ, condition)}
	if typ == "valid" {
		a.written = func() { in.share(p) }
	}
	in.queue(a)
	if typ == "invalid" {
		in.end(nil)
	}
}

func (in *incoming) send(b []byte) { in.queue(answer{xml: b}) }

// queue gives an answer to the writer. A peer that does not read its answers loses the stream.
func (in *incoming) queue(a answer) {
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.ending {
		return
	}
	select {
	case in.out <- a:
	default:
		in.ending = true
		in.log.Warn("the peer does not read; connection closed")
		in.st.closeAt(time.Now())
	}
}

// end closes our half of the stream, with a stream error if f is not nil, and bounds the time that the peer has to close
// its own (RFC 6120 §4.4).
func (in *incoming) end(f *fault) {
	last := closeTag
	if f != nil {
		last = f.xml()
	}
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.ending {
		return
	}
	in.ending = true
	select {
	case in.out <- answer{xml: last, last: true}:
		in.st.closeAt(time.Now().Add(in.s.cfg.CloseTimeout))
	default:
		in.st.closeAt(time.Now())
	}
}

// writeLoop writes the answers once the stream is up.
func (in *incoming) writeLoop() {
	for a := range in.out {
		write := in.st.write
		if a.last {
			write = in.st.finish
		}
		if err := write(a.xml); err != nil {
			in.log.Info("writing to an incoming stream failed", "reason", err)
			in.st.closeAt(time.Now())
			for range in.out { // until converse closes it
			}
			return
		}
		if a.written != nil {
			a.written()
		}
	}
}

// drain ends the connection so that what we wrote last arrives: closing with unread bytes in the receive buffer would reset
// the connection, and the peer would never read why.
func (st *stream) drain() {
	if half, ok := st.conn.(interface{ CloseWrite() error }); ok && half.CloseWrite() == nil {
		st.ends.conn.SetReadDeadline(time.Now().Add(st.cfg.CloseTimeout))
		var b [4096]byte
		for total := 0; total < 1<<20; {
			n, err := st.conn.Read(b[:])
			if total += n; err != nil {
				break
			}
		}
	}
	st.conn.Close()
}
