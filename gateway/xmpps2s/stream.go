package xmpps2s

import (
	"context"
	"crypto/tls"
	"encoding/xml"
	"errors"
	"io"
	"net"
	"sync"
	"time"

	"mellium.im/xmpp"
	"mellium.im/xmpp/jid"
	mstream "mellium.im/xmpp/stream"
)

// stream is one connection with the XML stream on it, in either direction. Reading and negotiating are one goroutine's
// work; writing is that goroutine's as well until the stream is up, and safe for concurrent use from then on.
type stream struct {
	cfg     *Config
	conn    net.Conn // TCP, or TLS on it
	guard   *guard
	session *xmpp.Session
	reader  elementReader

	ours, peers header // of the present stream; ours.id or peers.id names it, whichever side answered
	ends        *readEnd

	secure   bool                 // TLS is up
	direct   bool                 // and came before the first header (XEP-0368)
	peerCert *tls.ConnectionState // what the peer showed, when secure
	certErr  error                // why what it showed does not prove its domain
	until    time.Time            // when what it showed ends, where it proves its domain; zero: never
	proven   bool                 // SASL EXTERNAL has succeeded for the domains of the headers
	refused  bool                 // the peer refused SASL EXTERNAL
	offers   offers               // the peer's features
	asked    bool                 // the errand's question is under way
	unread   *element             // read ahead: next returns it first
	bidi     bool                 // both sides may use it (XEP-0288)
	peersUse *incoming            // who reads what the peer says; nil on a stream of ours that it does not use

	writing  sync.Mutex
	finished bool // nothing more may be written
}

// errFinished is the reason why nothing was written.
var errFinished = errors.New("our half of the stream is closed")

func newStream(cfg *Config, conn net.Conn) *stream {
	st := &stream{cfg: cfg, ends: &readEnd{conn: conn}}
	st.use(conn)
	return st
}

// use puts a new stream on conn: the first one, or one that is restarted on TLS. All that was learned before is forgotten
// (RFC 6120 §4.3.3).
func (st *stream) use(conn net.Conn) {
	st.conn = conn
	st.guard = newGuard(conn, st.cfg.guardLimits(), st.ends)
	st.reader = elementReader{}
	st.ours, st.peers = header{}, header{}
	st.asked, st.unread, st.offers = false, nil, offers{}
}

// step is one round of a negotiation: a stream header each way, and what follows it until stanzas may flow (true) or the
// stream has to be restarted (false; use was called).
type step func(ctx context.Context, st *stream) (ready bool, err error)

// negotiate runs rounds of step in a mellium session until the stream is ready. Limits in time are the guard's; ctx is not
// given to mellium, which would set the connection's deadlines from a goroutine of its own.
func (st *stream) negotiate(ctx context.Context, state xmpp.SessionState, round step) error {
	negotiator := func(_ context.Context, in, out *mstream.Info, s *xmpp.Session, _ any) (xmpp.SessionState, io.ReadWriter, any, error) {
		tokens := s.TokenReader()
		defer tokens.Close()
		st.reader.tokens = tokens
		guard := st.guard
		ready, err := round(ctx, st)
		if err != nil {
			return 0, nil, nil, err
		}
		st.info(in, st.peers)
		st.info(out, st.ours)
		if !ready {
			return 0, st.guard, nil, nil
		}
		if guard != st.guard {
			return 0, nil, nil, io.ErrClosedPipe // a round that restarts the stream is not its last
		}
		return xmpp.Ready, nil, nil, nil
	}
	var err error
	if state&xmpp.Received != 0 {
		st.session, err = xmpp.ReceiveSession(context.Background(), st.guard, state, negotiator)
	} else {
		st.session, err = xmpp.NewSession(context.Background(), jid.JID{}, jid.JID{}, st.guard, state, negotiator)
	}
	if err != nil {
		return err
	}
	// From here on the session's reader also watches for the end of the stream. It is held for good: this goroutine is the
	// only one that reads.
	st.reader.tokens = st.session.TokenReader()
	return nil
}

// info tells mellium what the header said.
func (st *stream) info(i *mstream.Info, h header) {
	i.Name, i.XMLNS, i.ID, i.Version, i.Lang = xml.Name{Space: mstream.NS, Local: "stream"}, nsServer, h.id, h.version, h.lang
	i.From, _ = jid.Parse(h.from)
	i.To, _ = jid.Parse(h.to)
}

// readHeader waits for the peer's stream header until the deadline.
func (st *stream) readHeader(until time.Time) (header, error) {
	st.guard.until = until
	for {
		tok, err := st.reader.tokens.Token()
		if err != nil {
			return header{}, xmlFault(err)
		}
		start, ok := tok.(xml.StartElement)
		if !ok {
			continue
		}
		known := st.reader.declare(start)
		h, f := parseHeader(start)
		if f == nil && !known {
			f = &fault{mstream.NotWellFormed, "a prefix is not declared, or an attribute stands twice"}
		}
		if f != nil {
			return h, f
		}
		return h, nil
	}
}

// next returns the next first-level element (see [elementReader.next]), waiting until the deadline; zero waits for ever.
func (st *stream) next(until time.Time) (*element, error) {
	if e := st.unread; e != nil {
		st.unread = nil
		return e, nil
	}
	st.guard.until = until
	return st.reader.next()
}

// write writes b within the write timeout. It fails with errFinished behind finish.
func (st *stream) write(b []byte) error {
	st.writing.Lock()
	defer st.writing.Unlock()
	return st.writeLocked(b)
}

// finish writes the last of our half of the stream.
func (st *stream) finish(b []byte) error {
	st.writing.Lock()
	defer st.writing.Unlock()
	err := st.writeLocked(b)
	st.finished = true
	return err
}

func (st *stream) writeLocked(b []byte) error {
	if st.finished {
		return errFinished
	}
	if err := st.conn.SetWriteDeadline(time.Now().Add(st.cfg.WriteTimeout)); err != nil {
		return err
	}
	_, err := st.conn.Write(b)
	return err
}

// closeAt bounds all reads from now on. It is safe for concurrent use.
func (st *stream) closeAt(at time.Time) { st.ends.closeAt(at) }

// closeTag ends our half of a stream (RFC 6120 §4.4).
var closeTag = []byte("</stream:stream>")
