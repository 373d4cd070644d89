package load

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"testing"
)

// farm is a light XMPP server: it speaks for gmail.com, believes every dialback key, and gives each stanza to a function.
type farm struct {
	listener net.Listener
	work     sync.WaitGroup

	mu     sync.Mutex
	conns  map[net.Conn]bool
	stanza func(element []byte) // called in the order of a stream; the bytes are valid during the call
	silent bool                 // connections are accepted and never answered
	closed bool
	alone  chan struct{} // closed when there is no connection any more; nil while nobody waits
}

func newFarm(t testing.TB) *farm {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	check(t, err)
	f := &farm{listener: l, conns: make(map[net.Conn]bool), stanza: func([]byte) {}}
	f.work.Go(func() { f.accept(l) })
	t.Cleanup(f.close)
	return f
}

func (f *farm) port() int { return f.listener.Addr().(*net.TCPAddr).Port }

// mute says whether connections made from now on are left without a word.
func (f *farm) mute(silent bool) {
	f.mu.Lock()
	f.silent = silent
	f.mu.Unlock()
}

// take says what is done with stanzas from now on.
func (f *farm) take(stanza func([]byte)) {
	f.mu.Lock()
	f.stanza = stanza
	f.mu.Unlock()
}

func (f *farm) accept(l net.Listener) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		if !f.keep(c) {
			return
		}
		f.work.Go(func() { f.serve(c); f.drop(c) })
	}
}

func (f *farm) keep(c net.Conn) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed {
		_ = c.Close()
		return false
	}
	f.conns[c] = true
	return true
}

func (f *farm) drop(c net.Conn) {
	_ = c.Close()
	f.mu.Lock()
	delete(f.conns, c)
	if len(f.conns) == 0 && f.alone != nil {
		close(f.alone)
		f.alone = nil
	}
	f.mu.Unlock()
}

// down stops listening and cuts every connection; up listens at the same place again.
func (f *farm) down() {
	_ = f.listener.Close()
	f.cut()
}

// cut closes every connection.
func (f *farm) cut() {
	f.mu.Lock()
	for c := range f.conns {
		_ = c.Close()
	}
	f.mu.Unlock()
}

// ended waits until every connection has been read to its end.
func (f *farm) ended(t testing.TB) {
	t.Helper()
	f.mu.Lock()
	if len(f.conns) == 0 {
		f.mu.Unlock()
		return
	}
	f.alone = make(chan struct{})
	alone := f.alone
	f.mu.Unlock()
	await(t, alone, "the end of the gateway's streams")
}

func (f *farm) up(t testing.TB) {
	t.Helper()
	l, err := net.Listen("tcp", f.listener.Addr().String())
	check(t, err)
	f.listener = l
	f.work.Go(func() { f.accept(l) })
}

func (f *farm) close() {
	f.mu.Lock()
	f.closed = true
	f.mu.Unlock()
	f.down()
	f.work.Wait()
}

const farmHeader = "<?xml version='1.0'?><stream:stream xmlns='jabber:server' xmlns:db='jabber:server:dialback' " +
	"xmlns:stream='http://etherx.jabber.org/streams' from='" + xmppDomain + "' to='" + sipDomain + "'"

// serve takes a stream that the gateway opened.
func (f *farm) serve(c net.Conn) {
	f.mu.Lock()
	silent := f.silent
	f.mu.Unlock()
	if silent {
		_, _ = io.Copy(io.Discard, c)
		return
	}
	in := elements{r: bufio.NewReaderSize(c, 1<<16)}
	for {
		e, err := in.next()
		if errors.Is(err, errStreamEnd) {
			_, _ = io.WriteString(c, "</stream:stream>")
		}
		if err != nil {
			return
		}
		switch name := tagName(e); {
		case name == "stream:stream":
			_, err = io.WriteString(c, farmHeader+" id='S1' version='1.0'><stream:features><dialback xmlns='urn:xmpp:features:dialback'/></stream:features>")
		case name == "db:result" || name == "db:verify":
			_, err = fmt.Fprintf(c, "<%s from='%s' to='%s' id='%s' type='valid'/>", name, attr(e, "to"), attr(e, "from"), attr(e, "id"))
		default:
			f.mu.Lock()
			stanza := f.stanza
			f.mu.Unlock()
			stanza(e)
		}
		if err != nil {
			return
		}
	}
}

// dial opens a stream to the gateway and proves by dialback that we are gmail.com. It ends when the gateway closes it.
func (f *farm) dial(t testing.TB, gateway string) *bufio.Writer {
	t.Helper()
	c, err := net.Dial("tcp", gateway)
	check(t, err)
	if !f.keep(c) {
		t.Fatal("the farm is closed")
	}
	_, err = io.WriteString(c, farmHeader+" version='1.0'>")
	check(t, err)
	in := elements{r: bufio.NewReaderSize(c, 1<<16)}
	for {
		e, err := in.next()
		check(t, err)
		switch tagName(e) {
		case "stream:features":
			_, err = fmt.Fprintf(c, "<db:result from='%s' to='%s'>key</db:result>", xmppDomain, sipDomain)
			check(t, err)
		case "db:result":
			if attr(e, "type") != "valid" {
				t.Fatalf("dialback failed: %s", e)
			}
			f.work.Go(func() {
				for err == nil {
					_, err = in.next()
				}
				f.drop(c)
			})
			return bufio.NewWriterSize(c, 1<<16)
		}
	}
}

// elements reads the first-level elements of a stream. It counts on a writer that escapes every < and > that is no markup.
type elements struct {
	r   *bufio.Reader
	buf []byte
}

var errStreamEnd = errors.New("the stream was closed")

// next gives the next element, or the stream's header by itself. The bytes are valid until the next call.
func (e *elements) next() ([]byte, error) {
	e.buf = e.buf[:0]
	for depth := 0; ; {
		from := len(e.buf)
		for {
			part, err := e.r.ReadSlice('>')
			e.buf = append(e.buf, part...)
			if err == nil {
				break
			}
			if !errors.Is(err, bufio.ErrBufferFull) {
				return nil, err
			}
		}
		open := from + bytes.IndexByte(e.buf[from:], '<')
		if open < from {
			return nil, errors.New("no markup")
		}
		switch tag := e.buf[open+1 : len(e.buf)-1]; {
		case bytes.HasPrefix(tag, []byte("?")):
			e.buf = e.buf[:from]
			continue
		case bytes.HasPrefix(tag, []byte("stream:stream")):
			return e.buf[open:], nil
		case bytes.HasPrefix(tag, []byte("/")):
			if depth--; depth < 0 {
				return nil, errStreamEnd
			}
		case bytes.HasSuffix(tag, []byte("/")):
		default:
			depth++
		}
		if depth == 0 {
			return e.buf, nil
		}
	}
}

// tagName is the name of an element as it is written.
func tagName(e []byte) string {
	e = bytes.TrimLeft(e, " \r\n<")
	if i := bytes.IndexAny(e, " />"); i >= 0 {
		e = e[:i]
	}
	return string(e)
}

// attr is the value of an attribute of the element's first tag.
func attr(e []byte, name string) string {
	if i := bytes.IndexByte(e, '>'); i >= 0 {
		e = e[:i]
	}
	_, rest, found := bytes.Cut(e, []byte(" "+name+"='"))
	if !found {
		return ""
	}
	value, _, _ := bytes.Cut(rest, []byte("'"))
	return string(value)
}

// child is the text of the element's first child of this name.
func child(e []byte, name string) string {
	_, rest, found := bytes.Cut(e, []byte("<"+name+">"))
	if !found {
		return ""
	}
	value, _, _ := bytes.Cut(rest, []byte("</"+name+">"))
	return string(value)
}
