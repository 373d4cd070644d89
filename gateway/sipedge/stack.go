package sipedge

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"strings"
	"sync"
	"syscall"

	"github.com/emiago/sipgo/sip"
)

// init quietens sipgo's package-wide logger, which every Edge in the process shares and which prints harmless lines about
// reference counts to standard error. It has to be set before the first use, and once.
func init() { sip.SetDefaultLogger(slog.New(slog.DiscardHandler)) }

var errNoLink = errors.New("sipedge: the link is gone")

// stack is sipgo's parser, transport pool and transactions, put together so that it never dials, resolves or answers by itself.
type stack struct {
	transport    *sip.TransportLayer
	transactions *sip.TransactionLayer
	feed         *feed
	maxMessage   int

	mu    sync.Mutex
	links map[string]*link
	count uint64

	onRequest func(*inbound)        // in the order of a link's requests; must not block
	onAck     func(*link, *message) // likewise
	onStray   func(*link, *answer)  // a response that no transaction waits for
}

// answer is a response of a peer.
type answer struct {
	*message
	code   int
	reason string
	again  bool // a 503 of a peer that will be back soon
}

func newStack(maxMessage int, log *slog.Logger) *stack {
	s := &stack{maxMessage: maxMessage, feed: newFeed(), links: make(map[string]*link)}
	raw := map[string]sip.HeaderParser{} // every other header stays as it stood on the wire
	for _, name := range []string{"content-length", "l"} {
		raw[name] = sip.DefaultHeadersParser()[name]
	}
	parser := sip.NewParser(sip.WithHeadersParsers(raw))
	parser.MaxMessageLength = maxMessage
	nowhere := &net.Resolver{PreferGo: true, Dial: func(context.Context, string, string) (net.Conn, error) { return nil, errNoLink }}
	refuse := func(net.Addr) net.Dialer {
		return net.Dialer{Control: func(string, string, syscall.RawConn) error { return errNoLink }}
	}
	quiet := slog.New(demoted{log.Handler()})
	s.transport = sip.NewTransportLayer(nowhere, parser, nil,
		sip.WithTransportLayerLogger(quiet),
		sip.WithTransportLayerTransports(sip.TransportsConfig{TLS: &sip.TransportTLS{TransportTCP: &sip.TransportTCP{DialerCreate: refuse}}}))
	s.transport.OnMessage(s.observe) // before the transaction layer's, and in order
	// Who starts a transaction watches its link himself. That sipgo ends transactions with their connection is left out: it does so
	// to one that has been entered and not been set up yet as well, and panics.
	s.transactions = sip.NewTransactionLayer(s.transport,
		sip.WithTransactionLayerLogger(quiet),
		sip.WithTransactionLayerUnhandledResponseHandler(s.stray))
	s.transactions.OnRequest(s.brought)
	return s
}

// add makes a link known and hands it to sipgo.
func (s *stack) add(l *link) bool {
	l.frames = framer{max: s.maxMessage, refuse: l.refuseUnread}
	s.mu.Lock()
	s.links[string(l.id)] = l
	s.mu.Unlock()
	if s.feed.give(l) {
		return true
	}
	s.remove(l)
	return false
}

func (s *stack) remove(l *link) {
	s.mu.Lock()
	delete(s.links, string(l.id))
	s.mu.Unlock()
}

func (s *stack) link(id string) *link {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.links[id]
}

func (s *stack) all() []*link {
	s.mu.Lock()
	defer s.mu.Unlock()
	var links []*link
	for _, l := range s.links {
		links = append(links, l)
	}
	return links
}

func (s *stack) nextLink() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.count++
	return s.count
}

// observe sees every message in sipgo's reader, before sipgo gives it to a goroutine.
func (s *stack) observe(msg sip.Message) {
	l := s.link(msg.Source())
	if l == nil {
		return
	}
	switch msg := msg.(type) {
	case *sip.Response:
		prepare(msg, msg.Headers(), "")
	case *sip.Request:
		in := &inbound{method: string(msg.Method), uri: msg.Recipient.String(), version: strings.ToUpper(msg.SipVersion), link: l}
		in.message = prepare(msg, msg.Headers(), in.method)
		if msg.Method == sip.ACK {
			s.onAck(l, in.message)
			return
		}
		if msg.Method == sip.CANCEL {
			msg.Method = cancelMethod
		}
		key, err := sip.ServerTxKeyMake(msg)
		if err != nil {
			return // sipgo answers 400 by itself: there is too little to answer with
		}
		in.key = key
		if l.arrived.announce(msg, in) {
			l.request()
		}
	}
}

func (s *stack) brought(req *sip.Request, tx *sip.ServerTx) {
	l := s.link(req.Source())
	if l == nil || !l.arrived.brought(req, tx, s.onRequest) {
		tx.Terminate() // an ACK to a 2xx, or the link is gone
	}
}

func (s *stack) stray(res *sip.Response) {
	if l := s.link(res.Source()); l != nil {
		s.onStray(l, readAnswer(res))
	}
}

func readAnswer(res *sip.Response) *answer {
	return &answer{message: readMessage(res.Headers(), res.Body()), code: res.StatusCode, reason: res.Reason}
}

// start sends a request on a link and gives its transaction, which the caller must follow to its end.
func (s *stack) start(ctx context.Context, l *link, req *sip.Request) (*sip.ClientTx, error) {
	giveBack, ok := l.turn(ctx)
	if !ok {
		return nil, s.whyDone(l, ctx.Err())
	}
	defer giveBack()
	if err := l.reason(); err != nil {
		return nil, l.gone(err)
	}
	req.SetTransport("TLS")
	req.SetDestination(string(l.id))
	tx, err := s.transactions.Request(ctx, req)
	if err != nil {
		return nil, s.whyDone(l, err)
	}
	return tx, nil
}

// do carries a non-INVITE transaction through. The error tells that there was no final response: no link, link lost, time-out.
func (s *stack) do(ctx context.Context, l *link, req *sip.Request) (*answer, error) {
	tx, err := s.start(ctx, l, req)
	if err != nil {
		return nil, err
	}
	defer tx.Terminate()
	for {
		select {
		case res := <-tx.Responses():
			if !res.IsProvisional() {
				return readAnswer(res), nil
			}
		case <-tx.Done():
			return nil, s.whyDone(l, tx.Err())
		case <-l.done:
			return nil, s.whyDone(l, errNoLink)
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

func (s *stack) whyDone(l *link, err error) error {
	if reason := l.reason(); reason != nil {
		return l.gone(reason)
	}
	return err
}

// write sends a request that has no transaction: the ACK to a 2xx.
func (s *stack) write(l *link, req *sip.Request) error {
	req.SetTransport("TLS")
	req.SetDestination(string(l.id))
	if err := l.reason(); err != nil {
		return err
	}
	_, err := l.Write([]byte(req.String()))
	return err
}

// close ends sipgo: no transaction, no connection is left. The links must have ended.
func (s *stack) close() {
	_ = s.feed.Close()
	s.transactions.Close()
	_ = s.transport.Close()
}

// demoted files everything at debug level: what sipgo calls an error (a peer that hangs up, a late response) is daily life here.
type demoted struct{ slog.Handler }

func (d demoted) Enabled(ctx context.Context, _ slog.Level) bool {
	return d.Handler.Enabled(ctx, slog.LevelDebug)
}

func (d demoted) Handle(ctx context.Context, r slog.Record) error {
	r.Level = slog.LevelDebug
	return d.Handler.Handle(ctx, r)
}

func (d demoted) WithAttrs(a []slog.Attr) slog.Handler { return demoted{d.Handler.WithAttrs(a)} }
func (d demoted) WithGroup(n string) slog.Handler      { return demoted{d.Handler.WithGroup(n)} }
