package googletalk

import (
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"fedlab/sim/trace"
)

// frame is something to write: whole elements, and what it is called in a trace.
type frame struct {
	data    string
	summary string
	wrote   func(end int64) // called once it is with the network, end bytes into the stream; may be nil
	last    bool            // nothing is written after it
}

// stream is one XMPP connection, either way. The goroutine that made it owns it: it reads, and calls end.
type stream struct {
	boot    *boot
	conn    net.Conn
	name    string // in traces
	ours    bool   // we opened it
	in      *reader
	out     chan frame
	stop    chan struct{} // closed by end
	written chan struct{} // closed when the writer has ended
	ended   sync.Once
	closing atomic.Bool              // our closing tag is under way: what comes in now is not acted upon
	tls     atomic.Pointer[tls.Conn] // nil in clear
	total   atomic.Int64             // bytes written, in clear
	held    atomic.Bool              // nothing but what the negotiation sends may be written
	last    atomic.Int64             // when something other than white space last passed, in nanoseconds
}

// outQueue bounds what waits for a slow peer on one stream.
const outQueue = 1024

func (b *boot) newStream(conn net.Conn, direction string) *stream {
	s := &stream{
		boot: b, conn: conn, in: newReader(conn), ours: direction == "out",
		out: make(chan frame, outQueue), stop: make(chan struct{}), written: make(chan struct{}),
	}
	s.name = b.track(s, direction)
	if !b.goes(s.write) {
		conn.Close()
		close(s.written)
	}
	return s
}

// write is the stream's one writer.
func (s *stream) write() {
	defer close(s.written)
	q := s.boot.machine.quirks
	var keepAlive, idle <-chan time.Time
	var idleTimer *time.Timer
	if q.KeepAlive > 0 {
		t := time.NewTicker(q.KeepAlive)
		defer t.Stop()
		keepAlive = t.C
	}
	if q.IdleClose > 0 {
		idleTimer = time.NewTimer(q.IdleClose)
		defer idleTimer.Stop()
		idle = idleTimer.C
	}
	s.touch()
	for {
		var f frame
		select {
		case f = <-s.out:
			s.touch()
		case <-keepAlive:
			if s.held.Load() {
				continue
			}
			f = frame{data: " "}
		case <-idle:
			if rest := q.IdleClose - time.Since(time.Unix(0, s.last.Load())); rest > 0 {
				idleTimer.Reset(rest)
			} else {
				s.idleClose()
			}
			continue
		case <-s.stop:
			return
		}
		if !s.flush(s.batch(f)) {
			return
		}
	}
}

// batch is f and what else waits already, so that a busy stream needs few writes.
func (s *stream) batch(f frame) []frame {
	list, size := []frame{f}, len(f.data)
	for !list[len(list)-1].last && size < 32<<10 {
		select {
		case f := <-s.out:
			list, size = append(list, f), size+len(f.data)
		default:
			return list
		}
	}
	return list
}

// flush writes frames at one go; false means that it was the last time.
func (s *stream) flush(list []frame) bool {
	var data []byte
	for _, f := range list {
		if f.summary != "" {
			s.record(trace.Sent, f.summary, []byte(f.data))
		}
		data = append(data, f.data...)
	}
	if len(data) > 0 {
		s.conn.SetWriteDeadline(time.Now().Add(s.boot.farm.cfg.Timeouts.Write))
		if _, err := s.rw().Write(data); err != nil {
			s.boot.log("%s: write: %v", s.name, err)
			s.conn.Close()
			return false
		}
	}
	end := s.total.Load()
	s.total.Add(int64(len(data)))
	for _, f := range list {
		end += int64(len(f.data))
		if f.wrote != nil {
			f.wrote(end)
		}
	}
	return !list[len(list)-1].last
}

// rw is what is read from and written to: the connection, or TLS on it.
func (s *stream) rw() net.Conn {
	if t := s.tls.Load(); t != nil {
		return t
	}
	return s.conn
}

// touch notes that something passed.
func (s *stream) touch() { s.last.Store(time.Now().UnixNano()) }

// idleClose ends a stream that nobody uses. RFC 6120 §4.6
func (s *stream) idleClose() {
	if condition := s.boot.machine.quirks.IdleError; condition != "" {
		s.fail(condition, "")
	} else {
		s.finish()
	}
}

// send queues f, or drops the connection if the peer reads too slowly. It does not block.
func (s *stream) send(f frame) {
	select {
	case s.out <- f:
	default:
		s.conn.Close()
	}
}

// finish sends frames and our closing tag. The owner goes on reading until the peer has closed as well, for a while.
// RFC 6120 §4.4
func (s *stream) finish(frames ...frame) {
	if s.closing.Swap(true) {
		return
	}
	for _, f := range frames {
		s.send(f)
	}
	s.conn.SetReadDeadline(time.Now().Add(s.boot.farm.cfg.Timeouts.Close))
	s.send(frame{data: "</stream:stream>", summary: "/stream", last: true})
}

// fail ends the stream with a stream error. RFC 6120 §4.9.1
func (s *stream) fail(condition, text string) {
	detail := tag(condition).attr("xmlns", nsStreams).empty()
	if text != "" {
		detail += tag("text").attr("xmlns", nsStreams).wrap(escape(text))
	}
	s.finish(frame{data: "<stream:error>" + detail + "</stream:error>", summary: "stream:error " + condition})
}

// drain reads until the peer has closed its stream or the connection is over. After finish this is bounded by
// Timeouts.Close.
func (s *stream) drain() {
	for {
		_, err := s.next()
		if err == nil {
			continue
		}
		if broken := new(xmlError); !errors.As(err, &broken) {
			return
		}
		// What follows cannot be read as XML; closing with bytes unread would cost the peer our stream error.
		for buf := make([]byte, 4096); ; {
			if _, err := s.rw().Read(buf); err != nil {
				return
			}
		}
	}
}

// end closes the connection and waits for the writer.
func (s *stream) end() {
	s.ended.Do(func() {
		if s.closing.Load() {
			// The closing tag is bounded by its write deadline.
			<-s.written
		}
		close(s.stop)
		s.rw().Close()
		<-s.written
		s.boot.untrack(s)
	})
}

// next reads the next first-level element and records it.
func (s *stream) next() (*element, error) {
	e, err := s.in.next()
	switch {
	case err == nil:
		s.touch()
		s.record(trace.Received, summarize(e), e.raw)
	case errors.Is(err, errStreamClosed):
		s.record(trace.Received, "/stream", []byte("</stream:stream>"))
	}
	return e, err
}

func (s *stream) record(kind, summary string, data []byte) {
	if s.boot.farm.cfg.Trace == nil {
		return
	}
	local, remote := s.conn.LocalAddr().String(), s.conn.RemoteAddr().String()
	e := trace.Event{
		Layer: trace.XMPP, Kind: kind, Host: s.boot.name(), From: local, To: remote, Conn: s.name, Summary: summary, Data: data,
	}
	if kind != trace.Sent {
		e.From, e.To = remote, local
	}
	s.boot.farm.cfg.Trace.Record(e)
}

// unexpected records that the peer broke a rule.
func (s *stream) unexpected(data []byte, format string, args ...any) {
	s.record(trace.Unexpected, fmt.Sprintf(format, args...), data)
}

// leave ends our side after an error of reading: a closing tag is answered with ours, broken XML with a stream error. It
// returns when nothing more is to be read.
func (s *stream) leave(err error) {
	var bad *xmlError
	switch {
	case errors.Is(err, errStreamClosed):
		s.finish()
	case errors.As(err, &bad) && !s.closing.Load():
		raw := append([]byte(nil), s.in.tap.buf...)
		switch {
		case s.ours && bad.text == noStream: // who answers is no XMPP server: nothing that one did wrong
			s.record(trace.Failed, bad.Error(), raw)
		case !s.ours && bytes.HasPrefix(raw, []byte{0x16, 0x03}): // whom a record for TLS sent here
			s.record(trace.Failed, "a TLS handshake where streams begin in clear", nil)
		default:
			s.unexpected(raw, "bad XML: %v", bad)
		}
		s.fail(bad.condition, bad.text)
		s.drain()
	}
}

// summarize is an element on one line, without anything random.
func summarize(e *element) string {
	name := e.local
	if e.space == nsDialback {
		name = "db:" + name
	} else if e.space == nsStream {
		name = "stream:" + name
	}
	if e.is(nsStream, "error") {
		for _, k := range e.kids {
			if k.space == nsStreams && k.local != "text" {
				return name + " " + k.local
			}
		}
		return name
	}
	from, to := e.get("from"), e.get("to")
	if f, ok := parseJID(from); ok {
		from = f.bare()
	}
	if t, ok := parseJID(to); ok {
		to = t.bare()
	}
	s := name
	if from != "" || to != "" {
		s += " " + from + " > " + to
	}
	if t := e.get("type"); t != "" {
		s += " " + t
	}
	if errElement := e.child(nsServer, "error"); errElement != nil {
		s += " " + condition(errElement)
	} else if body := e.child(nsServer, "body"); body != nil {
		s += fmt.Sprintf(" %q", short(body.text))
	}
	return s
}

func short(s string) string {
	const most = 60
	if r := []rune(s); len(r) > most {
		return string(r[:most]) + "…"
	}
	return s
}

// condition is the defined condition of an error element, or "".
func condition(e *element) string {
	for _, k := range e.kids {
		if k.space == nsStanzas && k.local != "text" {
			return k.local
		}
	}
	return ""
}
