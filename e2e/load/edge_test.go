package load

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

// edge is a light Access Edge: it takes the gateway's links, answers every request at once with 200, and gives what has to be
// looked at to functions.
type edge struct {
	listener net.Listener
	config   *tls.Config
	work     sync.WaitGroup
	branches atomic.Int64

	mu       sync.Mutex
	conns    map[net.Conn]bool
	link     *wire // the newest
	linked   chan struct{}
	request  func(w *wire, m *sipMessage) bool // says whether it has answered; nil: everything is answered 200
	response func(m *sipMessage)
	silent   bool // connections are accepted and never answered
	closed   bool
}

// wire is one link with the gateway. Writes are buffered; the reader flushes them when there is nothing more to read.
type wire struct {
	e    *edge
	conn net.Conn
	in   *bufio.Reader

	mu  sync.Mutex
	out *bufio.Writer
}

func newEdge(t testing.TB, identity tls.Certificate) *edge {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	check(t, err)
	e := &edge{
		listener: l, config: &tls.Config{Certificates: []tls.Certificate{identity}, ClientAuth: tls.RequireAnyClientCert},
		conns: make(map[net.Conn]bool), linked: make(chan struct{}), response: func(*sipMessage) {},
	}
	e.work.Go(func() { e.accept(l) })
	t.Cleanup(e.close)
	return e
}

func (e *edge) port() int { return e.listener.Addr().(*net.TCPAddr).Port }

// mute says whether connections made from now on are left without a word.
func (e *edge) mute(silent bool) {
	e.mu.Lock()
	e.silent = silent
	e.mu.Unlock()
}

// take says what is done with requests and responses from now on.
func (e *edge) take(request func(*wire, *sipMessage) bool, response func(*sipMessage)) {
	e.mu.Lock()
	e.request, e.response = request, response
	e.mu.Unlock()
}

func (e *edge) accept(l net.Listener) {
	for {
		raw, err := l.Accept()
		if err != nil {
			return
		}
		e.mu.Lock()
		if e.closed {
			_ = raw.Close()
		} else {
			e.conns[raw] = true
			e.work.Go(func() { e.serve(raw) })
		}
		e.mu.Unlock()
	}
}

func (e *edge) serve(raw net.Conn) {
	defer func() {
		_ = raw.Close()
		e.mu.Lock()
		delete(e.conns, raw)
		e.mu.Unlock()
	}()
	e.mu.Lock()
	silent := e.silent
	e.mu.Unlock()
	if silent {
		_, _ = io.Copy(io.Discard, raw)
		return
	}
	conn := tls.Server(raw, e.config)
	if conn.Handshake() != nil {
		return
	}
	e.run(conn)
}

// run reads a link until it ends.
func (e *edge) run(conn net.Conn) {
	w := &wire{e: e, conn: conn, in: bufio.NewReaderSize(conn, 1<<16), out: bufio.NewWriterSize(conn, 1<<16)}
	e.mu.Lock()
	e.link = w
	close(e.linked)
	e.linked = make(chan struct{})
	e.mu.Unlock()
	var m sipMessage
	for {
		if err := m.read(w.in); err != nil {
			break
		}
		e.mu.Lock()
		request, response := e.request, e.response
		e.mu.Unlock()
		switch {
		case m.method == "":
			response(&m)
		case m.method == "ACK":
		case request != nil && request(w, &m):
		default:
			w.answer(&m, "200 OK", "", "")
		}
		if w.in.Buffered() == 0 {
			w.flush()
		}
	}
	e.mu.Lock()
	if e.link == w {
		e.link = nil
	}
	e.mu.Unlock()
}

// up gives the link with the gateway, waiting for it.
func (e *edge) up(t testing.TB) *wire {
	t.Helper()
	for {
		e.mu.Lock()
		w, linked := e.link, e.linked
		e.mu.Unlock()
		if w != nil {
			return w
		}
		await(t, linked, "a link from the gateway")
	}
}

// next is closed when the gateway has made another link.
func (e *edge) next() <-chan struct{} {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.linked
}

func (e *edge) down() {
	_ = e.listener.Close()
	e.mu.Lock()
	for c := range e.conns {
		_ = c.Close()
	}
	e.mu.Unlock()
}

func (e *edge) listen(t testing.TB) {
	t.Helper()
	l, err := net.Listen("tcp", e.listener.Addr().String())
	check(t, err)
	e.listener = l
	e.work.Go(func() { e.accept(l) })
}

func (e *edge) close() {
	e.mu.Lock()
	e.closed = true
	e.mu.Unlock()
	e.down()
	e.work.Wait()
}

// tagged adds our tag to a To line that has none.
func tagged(line string) string {
	if strings.Contains(line, ";tag=") {
		return line
	}
	return line + ";tag=0A1B2C"
}

// answer answers a request. more is header lines, each with its end.
func (w *wire) answer(m *sipMessage, status, more, body string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if m.method == "INVITE" || m.method == "SUBSCRIBE" {
		more += "Contact: <sip:" + edgeName + ":5061;transport=tls;gruu>\r\n"
	}
	fmt.Fprintf(w.out, "SIP/2.0 %s\r\n%sFrom: %s\r\nTo: %s\r\nCall-ID: %s\r\nCSeq: %s\r\n%sContent-Length: %d\r\n\r\n%s",
		status, m.vias, m.from, tagged(m.to), m.callID, m.cseq, more, len(body), body)
}

// send sends a request. more is header lines, each with its end; it gives the branch.
func (w *wire) send(method, uri, from, to, callID string, cseq int, more, body string) int64 {
	branch := w.e.branches.Add(1)
	w.mu.Lock()
	defer w.mu.Unlock()
	fmt.Fprintf(w.out, "%s %s SIP/2.0\r\nVia: SIP/2.0/TLS %s:5061;branch=z9hG4bK%d\r\nMax-Forwards: 69\r\nFrom: %s\r\nTo: %s\r\nCall-ID: %s\r\nCSeq: %d %s\r\n%sContent-Length: %d\r\n\r\n%s",
		method, uri, edgeName, branch, from, to, callID, cseq, method, more, len(body), body)
	return branch
}

func (w *wire) flush() {
	w.mu.Lock()
	_ = w.out.Flush()
	w.mu.Unlock()
}

// sipMessage is what is looked at of a request or response. It is used again for the next one.
type sipMessage struct {
	method string // of a request; empty in a response
	uri    string
	status int
	vias   string // lines, each with its end
	from   string
	to     string
	callID string
	cseq   string
	expire string
	state  string // of a subscription
	body   []byte
}

func (m *sipMessage) read(r *bufio.Reader) error {
	*m = sipMessage{body: m.body[:0]}
	length, first := 0, true
	for {
		line, err := r.ReadSlice('\n')
		if err != nil {
			return err
		}
		line = bytes.TrimRight(line, "\r\n")
		switch {
		case len(line) == 0 && first: // a keep-alive
			continue
		case len(line) == 0:
			m.body = append(m.body, make([]byte, length)...)
			_, err := io.ReadFull(r, m.body)
			return err
		case first:
			first = false
			start, rest, _ := strings.Cut(string(line), " ")
			if start == "SIP/2.0" {
				code, _, _ := strings.Cut(rest, " ")
				m.status, _ = strconv.Atoi(code)
			} else {
				m.method = start
				m.uri, _, _ = strings.Cut(rest, " ")
			}
			continue
		}
		name, value, _ := bytes.Cut(line, []byte(":"))
		value = bytes.TrimSpace(value)
		switch string(name) {
		case "Via":
			m.vias += string(line) + "\r\n"
		case "From":
			m.from = string(value)
		case "To":
			m.to = string(value)
		case "Call-ID":
			m.callID = string(value)
		case "CSeq":
			m.cseq = string(value)
		case "Expires":
			m.expire = string(value)
		case "Subscription-State":
			m.state = string(value)
		case "Content-Length":
			length, _ = strconv.Atoi(string(value))
		}
	}
}

// address is the address in a From or To line, without its scheme.
func address(line string) string {
	_, rest, _ := strings.Cut(line, "sip:")
	if i := strings.IndexAny(rest, ">;"); i >= 0 {
		rest = rest[:i]
	}
	return rest
}
