package doctor

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"time"
)

// stream is what a server answered to the opening of an XMPP stream.
type stream struct {
	from     string // of the header
	version  string
	starttls bool   // offered
	required bool   // and demanded
	fault    string // condition of a stream error, empty: none
	text     string // of the stream error
	head     []byte // the first bytes that came
	err      error  // why there is no header

	shaken *handshake // of TLS; nil: none was tried
	why    fault      // why no handshake came about
}

// opening is what a stream is opened with.
type opening struct {
	from, to string // from may be empty: a header without it is answered too
	tls      bool   // STARTTLS is followed where it is offered, to see the certificate
	direct   bool   // TLS comes first (XEP-0368)
	padding  int    // bytes of white space in the tag, which mean nothing
}

// String is the answer in words.
func (s stream) String() string {
	switch {
	case s.err != nil && len(s.head) > 0:
		return fmt.Sprintf("the answer is no XMPP stream: %v; it begins with %s", s.err, quote(s.head))
	case s.err != nil:
		return fmt.Sprintf("no stream header: %v", s.err)
	}
	words := fmt.Sprintf("stream header from %q", s.from)
	if s.version != "" {
		words += " version " + s.version
	}
	if s.starttls {
		words += ", STARTTLS offered"
	}
	if s.required {
		words += " and required"
	}
	if s.shaken != nil && s.shaken.err == nil {
		words += ", TLS " + versionName(s.shaken.state.Version)
	}
	if s.fault != "" {
		words += ", stream error " + s.fault
		if s.text != "" {
			words += fmt.Sprintf(" (%s)", quote([]byte(s.text)))
		}
	}
	return words
}

// foreign reports whether somebody answered who does not speak XMPP.
func (s stream) foreign() bool { return s.err != nil && len(s.head) > 0 }

const (
	nsStreams       = "http://etherx.jabber.org/streams"
	nsTLS           = "urn:ietf:params:xml:ns:xmpp-tls"
	nsStreamErrors  = "urn:ietf:params:xml:ns:xmpp-streams"
	maxStreamBytes  = 64 << 10
	featuresTimeout = 3 * time.Second // how long a server that has sent its header may take for its features
)

// open connects, opens a stream, reads the header and what comes with it, begins TLS if that is wanted, and closes the stream. Where no TLS
// comes about, it finds out why.
func (x *exam) open(ctx context.Context, d *dialed, o opening) stream {
	first := offer{name: o.to, oldest: tls.VersionTLS12} // what the gateway offers
	if o.direct {
		first.protocols = []string{"xmpp-server"} // XEP-0368 §3
	}
	s := x.try(ctx, d, o, first)
	if s.shaken != nil && s.shaken.err != nil {
		s.why = s.shaken.whyNot(d.to.String(), first, func(everything offer) (*handshake, error) {
			s := x.try(ctx, d, o, everything)
			if s.shaken == nil {
				return nil, errors.New(s.String())
			}
			return s.shaken, nil
		})
	}
	return s
}

func (x *exam) try(ctx context.Context, d *dialed, o opening, offered offer) stream {
	conn, err := x.dial(ctx, d.to)
	if err != nil {
		return stream{err: err}
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	if !o.direct {
		return converse(ctx, conn, o, offered)
	}
	h := shake(ctx, conn, offered)
	if h.err != nil {
		return stream{shaken: h, err: fmt.Errorf("no TLS handshake: %w", h.err)}
	}
	defer h.close()
	o.tls = false
	s := converse(ctx, h.conn, o, offered)
	s.shaken = h
	return s
}

// converse is the conversation over a connection. The peer may send anything.
func converse(ctx context.Context, conn net.Conn, o opening, offered offer) stream {
	_ = conn.SetDeadline(time.Now().Add(Patience))
	var b bytes.Buffer
	b.WriteString("<?xml version='1.0'?><stream:stream xmlns='jabber:server' xmlns:stream='" + nsStreams + "' xmlns:db='jabber:server:dialback'")
	for _, a := range [][2]string{{"from", o.from}, {"to", o.to}} {
		if a[1] != "" {
			b.WriteString(" " + a[0] + "='")
			_ = xml.EscapeText(&b, []byte(a[1]))
			b.WriteByte('\'')
		}
	}
	b.WriteString(strings.Repeat(" ", o.padding) + " version='1.0'>")
	if _, err := conn.Write(b.Bytes()); err != nil {
		return stream{err: err}
	}
	s, d := readStream(conn)
	if o.tls && s.starttls && s.fault == "" {
		s.shaken = startTLS(ctx, conn, d, offered)
		s.shaken.close()
		return s
	}
	_ = conn.SetWriteDeadline(time.Now().Add(time.Second))
	_, _ = conn.Write([]byte("</stream:stream>"))
	return s
}

// startTLS takes up the offer of STARTTLS (RFC 6120 §5.4.2), as far as the handshake.
func startTLS(ctx context.Context, conn net.Conn, d *xml.Decoder, o offer) *handshake {
	_ = conn.SetDeadline(time.Now().Add(Patience))
	if _, err := io.WriteString(conn, "<starttls xmlns='"+nsTLS+"'/>"); err != nil {
		return &handshake{err: err}
	}
	for {
		token, err := d.Token()
		if err != nil {
			return &handshake{err: fmt.Errorf("STARTTLS was offered and not answered: %w", err)}
		}
		start, ok := token.(xml.StartElement)
		switch {
		case !ok:
		case start.Name.Space == nsTLS && start.Name.Local == "proceed":
			return shake(ctx, conn, o)
		default:
			return &handshake{err: fmt.Errorf("STARTTLS was offered and answered with <%s>", start.Name.Local)}
		}
	}
}

// readStream reads the peer's header and, if it is of version 1.0 or an error follows at once, what comes next. The decoder stands behind that.
func readStream(conn net.Conn) (stream, *xml.Decoder) {
	var s stream
	keep := &keeper{left: maxStreamBytes, r: conn}
	d := xml.NewDecoder(keep)
	finish := func(err error) (stream, *xml.Decoder) {
		s.head = keep.head
		if s.err = err; err != nil && len(s.head) == 0 && errors.Is(err, io.EOF) {
			s.err = errors.New("the connection was closed without a word")
		}
		return s, d
	}
	for {
		token, err := d.Token()
		if err != nil {
			return finish(err)
		}
		start, ok := token.(xml.StartElement)
		if !ok {
			continue
		}
		if start.Name.Local != "stream" || start.Name.Space != nsStreams {
			return finish(fmt.Errorf("it begins with <%s> in name space %q", start.Name.Local, start.Name.Space))
		}
		s.from, s.version = attr(start, "from"), attr(start, "version")
		break
	}
	// What follows is optional: servers without a version send nothing, and no silence after a header is a failure.
	_ = conn.SetReadDeadline(time.Now().Add(featuresTimeout))
	if s.version == "" {
		_ = conn.SetReadDeadline(time.Now().Add(time.Second))
	}
	s.features(d)
	return finish(nil)
}

// features reads stream features or a stream error, as far as one comes.
func (s *stream) features(d *xml.Decoder) {
	depth, inError := 0, false
	for {
		token, err := d.Token()
		if err != nil {
			return
		}
		switch t := token.(type) {
		case xml.StartElement:
			depth++
			switch {
			case depth == 1:
				inError = t.Name.Local == "error"
			case inError && depth == 2 && t.Name.Local == "text":
				var text string
				if d.DecodeElement(&text, &t) == nil {
					s.text = text
				}
				depth--
			case inError && depth == 2 && t.Name.Space == nsStreamErrors:
				s.fault = t.Name.Local
			case depth == 2 && t.Name.Space == nsTLS && t.Name.Local == "starttls":
				s.starttls = true
			case depth == 3 && t.Name.Space == nsTLS && t.Name.Local == "required":
				s.required = true
			}
		case xml.EndElement:
			if depth--; depth <= 0 {
				return
			}
		}
	}
}

func attr(e xml.StartElement, name string) string {
	for _, a := range e.Attr {
		if a.Name.Local == name && a.Name.Space == "" {
			return a.Value
		}
	}
	return ""
}

// keeper reads at most so many bytes and keeps the first of them as evidence.
type keeper struct {
	r    io.Reader
	left int
	head []byte
}

func (k *keeper) Read(p []byte) (int, error) {
	if k.left <= 0 {
		return 0, fmt.Errorf("more than %d bytes", maxStreamBytes)
	}
	n, err := k.r.Read(p[:min(len(p), k.left)])
	k.left -= n
	if room := 256 - len(k.head); room > 0 {
		k.head = append(k.head, p[:min(n, room)]...)
	}
	return n, err
}
