package googletalk

import (
	"io"
	"net"
	"sync"
)

// inbound is a stream that a peer opened: it sends keys to be verified, asks for our own keys, and sends stanzas.
type inbound struct {
	*stream
	header header
	id     string // of our response header; the peer's keys are made for it

	mu    sync.Mutex
	pairs map[pair]bool // asked for; true once valid
	asked bool          // a db:result came

	offered features // what our last features held
	trusted bool     // the peer's certificate is good for the domain it claims
	proved  bool     // by SASL; the next header opens a stream that needs no dialback
}

// serve is the life of an accepted connection. direct means that TLS comes first.
func (b *boot) serve(conn net.Conn, direct bool) {
	s := b.newStream(conn, "in")
	defer s.end()
	if b.machine.quirks.Silent {
		io.Copy(io.Discard, conn)
		return
	}
	in := &inbound{stream: s, pairs: map[pair]bool{}}
	if direct {
		if err := in.beginTLS(false, b.farm.cfg.Domains[0], ""); err != nil {
			conn.Close()
			return
		}
	}
	for in.session() {
	}
}

// session serves one stream on the connection; true means that TLS or SASL made way for a new one.
func (in *inbound) session() (again bool) {
	in.id = in.boot.farm.hex(8)
	h, e, err := in.readHeader(in.boot.farm.cfg.Timeouts.Header)
	if err != nil {
		// A peer that goes away without a header has only tried the port.
		in.writeHeaderFor(err, h, in.id)
		in.leave(err)
		return false
	}
	in.header = h
	if t := in.tls.Load(); t != nil {
		in.trusted = in.boot.farm.cfg.Partner.judge(t.ConnectionState(), h.from) == nil
	}
	if !in.open(e) {
		in.drain()
		return false
	}
	for {
		e, err := in.next()
		if err != nil {
			in.leave(err)
			return false
		}
		if in.closing.Load() {
			continue
		}
		if again, done := in.secure(e); done {
			if again {
				return true
			}
			continue
		}
		in.handle(e)
	}
}

// writeHeaderFor opens our side so that a stream error can follow. RFC 6120 §4.9.1.2
func (s *stream) writeHeaderFor(err error, h header, id string) {
	if _, ok := err.(*xmlError); ok {
		s.writeHeader(h.to, h.from, id, s.boot.farm.cfg.Partner.version(h.version))
	}
}

// open answers the peer's header; false means that the stream is ending.
func (in *inbound) open(e *element) bool {
	f := in.boot.farm
	from := in.header.to
	if from != "" && !f.ours(from) {
		in.unexpected(e.raw, "a stream for %s, which the farm does not serve", from)
		in.writeHeader(f.cfg.Domains[0], in.header.from, in.id, f.cfg.Partner.version(in.header.version))
		in.fail("host-unknown", "")
		return false
	}
	// RFC 6120 §4.7: from, to and version are due in what a current server opens; a header without version is of the old kind.
	if in.header.version != "" {
		if in.header.from == "" || from == "" {
			in.unexpected(e.raw, "a header with version %q lacks from or to", in.header.version)
		}
		if in.header.version != "1.0" {
			in.unexpected(e.raw, "version %q in the header", in.header.version)
		}
	}
	if in.header.id != "" {
		in.unexpected(e.raw, "an initial header with an id")
	}
	in.writeHeader(from, in.header.from, in.id, f.cfg.Partner.version(in.header.version))
	q := in.boot.machine.quirks
	switch {
	case contains(q.AppsClash, in.header.from):
		in.fail("undefined-condition", in.header.from+" is a Google Apps Domain with Talk service enabled.")
	case q.StreamError != "":
		in.fail(q.StreamError, "")
	default:
		return in.offer()
	}
	return false
}

// handle acts on one first-level element.
func (in *inbound) handle(e *element) {
	switch {
	case e.is(nsDialback, "result"):
		in.result(e)
	case e.is(nsDialback, "verify"):
		in.verify(e)
	case e.is(nsStream, "error"):
		in.finish()
	case e.is(nsServer, "message"), e.is(nsServer, "presence"), e.is(nsServer, "iq"):
		in.stanza(e)
	case e.is(nsStream, "features"):
		in.unexpected(e.raw, "features from the side that opened the stream")
	default:
		// RFC 6120 §4.9.3.24
		in.unexpected(e.raw, "unknown element %s in %q", e.local, e.space)
		in.fail("unsupported-stanza-type", "")
	}
}

// result is step 1 of a dialback: the peer sends its key. XEP-0220 §2.2.1
func (in *inbound) result(e *element) {
	p, ok := pairOf(e)
	f := in.boot.farm
	kind, typed := e.attr("type")
	switch {
	case !ok:
		in.unexpected(e.raw, "db:result without usable from and to")
		in.fail("improper-addressing", "")
		return
	case typed:
		// An answer on a stream where nothing was asked is what a forger sends. XEP-0220 §3.1
		in.unexpected(e.raw, "db:result of type %q that nobody asked for", kind)
		return
	case !f.ours(p.target):
		in.unexpected(e.raw, "db:result for %s, which the farm does not serve", p.target)
		in.fail("host-unknown", "")
		return
	case f.ours(p.sender):
		in.unexpected(e.raw, "db:result from %s, which is the farm's own domain", p.sender)
		in.fail("invalid-from", "")
		return
	}
	if _, ok := e.attr("id"); ok {
		in.unexpected(e.raw, "db:result with an id")
	}
	if !in.mayDialback(p) {
		return
	}
	if e.prefix != "db" {
		in.unexpected(e.raw, "db:result with the prefix %q: old servers match the text db:", e.prefix)
	}
	in.mu.Lock()
	_, twice := in.pairs[p]
	if !twice {
		in.pairs[p] = false
	}
	in.asked = true
	many := len(in.pairs) > maxPairs
	in.mu.Unlock()
	switch {
	case twice:
		// XEP-0220 §2.1.1: no second key while one is pending or valid.
		in.unexpected(e.raw, "a second db:result for %v", p)
		return
	case many:
		in.unexpected(e.raw, "more than %d pairs on one stream", maxPairs)
		in.fail("policy-violation", "")
		return
	}
	key := e.text
	in.boot.goes(func() { in.boot.ask(p, in.id, key, func(v verdict) { in.answer(p, key, v) }) })
}

// maxPairs bounds the domain pairs of one stream.
const maxPairs = 100

// answer is step 4: what became of the peer's key.
func (in *inbound) answer(p pair, key string, v verdict) {
	in.mu.Lock()
	if v.kind == "valid" {
		in.pairs[p] = true
	} else {
		delete(in.pairs, p)
	}
	others := false
	for _, valid := range in.pairs {
		others = others || valid
	}
	in.mu.Unlock()
	in.boot.log("dialback of %v: %s", p, v)
	q := in.boot.machine.quirks
	from, to, echo := p.target, p.sender, ""
	if q.ReversedResult {
		from, to = to, from
	}
	if q.EchoKey {
		echo = escape(key)
	}
	switch {
	case q.NoResult:
	case v.kind == "valid", v.kind == "invalid" && others:
		in.send(in.boot.machine.style.dialback("result", from, to, "", v.kind, echo))
	case v.kind == "invalid":
		in.finish(in.boot.machine.style.dialback("result", from, to, "", "invalid", echo))
	case q.DialbackErrors:
		in.send(in.boot.machine.style.dialback("result", from, to, "", "error", dialbackError(v.condition)))
	default:
		// RFC 3920 §8.3: a failure on the way to the authoritative server ends the stream.
		in.fail("remote-connection-failed", "")
	}
}

// verify is step 3: any member of the farm says whether a key is the farm's. The asker need not be verified itself.
// XEP-0220 §2.2.2
func (in *inbound) verify(e *element) {
	p, ok := pairOf(e)
	f := in.boot.farm
	kind, typed := e.attr("type")
	id := e.get("id")
	switch {
	case !ok || id == "":
		in.unexpected(e.raw, "db:verify without usable from, to and id")
		in.fail("improper-addressing", "")
		return
	case typed:
		in.unexpected(e.raw, "db:verify of type %q that nobody asked for", kind)
		return
	case !f.ours(p.target):
		in.unexpected(e.raw, "db:verify for %s, which the farm does not serve", p.target)
		in.fail("host-unknown", "")
		return
	}
	if e.prefix != "db" {
		in.unexpected(e.raw, "db:verify with the prefix %q: old servers match the text db:", e.prefix)
	}
	// The asker is the target of the stream that the key was made for, we are its sender.
	answer := "invalid"
	if sameKey(e.text, f.key(pair{sender: p.target, target: p.sender}, id)) {
		answer = "valid"
	}
	q, echo := in.boot.machine.quirks, ""
	if q.NoVerify {
		return
	}
	if q.EchoKey {
		echo = escape(e.text)
	}
	reply := in.boot.machine.style.dialback("verify", p.target, p.sender, id, answer, echo)
	in.mu.Lock()
	only := !in.asked
	in.mu.Unlock()
	if q.CloseAfterVerify && only {
		in.finish(reply)
		return
	}
	in.send(reply)
}

// stanza checks the addresses of a stanza and passes it on. RFC 6120 §8.1.1.2, §8.1.2.2
func (in *inbound) stanza(e *element) {
	f := in.boot.farm
	if e.prefix != "" {
		in.unexpected(e.raw, "a %s with the prefix %q", e.local, e.prefix)
	}
	if e.headerPrefix != "" {
		in.unexpected(e.raw, "the prefix %q is declared only on the stream header", e.headerPrefix)
	}
	from, ok1 := parseJID(e.get("from"))
	to, ok2 := parseJID(e.get("to"))
	if !ok1 || !ok2 {
		in.unexpected(e.raw, "a %s from %q to %q", e.local, e.get("from"), e.get("to"))
		in.fail("improper-addressing", "")
		return
	}
	p := pair{from.domain, to.domain}
	in.mu.Lock()
	valid, asked := in.pairs[p]
	in.mu.Unlock()
	switch {
	case !f.ours(to.domain):
		in.unexpected(e.raw, "a %s for %s, which the farm does not serve", e.local, to.domain)
		in.fail("host-unknown", "")
	case asked && !valid:
		in.unexpected(e.raw, "a %s before the answer to the key of %v", e.local, p)
		in.fail("not-authorized", "")
	case !valid:
		in.unexpected(e.raw, "a %s of the unverified pair %v", e.local, p)
		in.fail("invalid-from", "")
	default:
		f.accounts.deliver(in.stream, e, from, to)
	}
}
