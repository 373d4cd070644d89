package xmpps2s

import (
	"encoding/xml"
	"errors"
	"io"
	"strconv"
	"strings"
	"unicode/utf8"

	"mellium.im/xmlstream"
	mstream "mellium.im/xmpp/stream"
)

// The namespaces of streams and stanzas.
const (
	nsServer   = "jabber:server"
	nsClient   = "jabber:client"
	nsDialback = "jabber:server:dialback"
	nsErrors   = "urn:ietf:params:xml:ns:xmpp-stanzas"
	nsXML      = "http://www.w3.org/XML/1998/namespace"
)

// element is one element of a stream with all that is in it. A node of character data is an element without a name.
type element struct {
	Name xml.Name
	Attr []xml.Attr
	Data string
	Kids []*element
}

// attr is the value of an attribute without a namespace, or of xml:lang for "xml:lang".
func (e *element) attr(name string) string { v, _ := e.lookup(name); return v }

func (e *element) lookup(name string) (string, bool) { return findAttr(e.Attr, name) }

func findAttr(attrs []xml.Attr, name string) (string, bool) {
	want := xml.Name{Local: name}
	if local, ok := strings.CutPrefix(name, "xml:"); ok {
		want = xml.Name{Space: nsXML, Local: local}
	}
	for _, a := range attrs {
		if a.Name == want {
			return a.Value, true
		}
	}
	return "", false
}

// is reports whether e has this name. Prefixes never matter (RFC 6120 §4.8.5).
func (e *element) is(space, local string) bool { return e.Name.Space == space && e.Name.Local == local }

// child is the first child of this name, or nil.
func (e *element) child(space, local string) *element {
	for _, k := range e.Kids {
		if k.is(space, local) {
			return k
		}
	}
	return nil
}

// text is all character data directly inside e.
func (e *element) text() string {
	if e == nil {
		return ""
	}
	if len(e.Kids) == 1 && e.Kids[0].Name.Local == "" {
		return e.Kids[0].Data
	}
	var b strings.Builder
	for _, k := range e.Kids {
		if k.Name.Local == "" {
			b.WriteString(k.Data)
		}
	}
	return b.String()
}

// elementReader reads the elements of one stream from a decoder's tokens. It checks what encoding/xml does not: that every
// prefix is declared and that no attribute stands twice.
type elementReader struct {
	tokens xml.TokenReader
	spaces []string // declared namespaces in scope
}

// declare takes the namespace declarations of a start tag into scope and reports whether its names are in scope and its
// attributes differ.
func (r *elementReader) declare(start xml.StartElement) bool {
	for i, a := range start.Attr {
		for _, b := range start.Attr[:i] { // the guard has bounded their number
			if a.Name == b.Name {
				return false
			}
		}
	}
	for _, a := range start.Attr {
		if a.Name.Space == "xmlns" || a.Name.Space == "" && a.Name.Local == "xmlns" {
			r.spaces = append(r.spaces, a.Value)
		}
	}
	if !r.known(start.Name.Space) {
		return false
	}
	for _, a := range start.Attr {
		if a.Name.Space != "xmlns" && !r.known(a.Name.Space) {
			return false
		}
	}
	return true
}

func (r *elementReader) known(space string) bool {
	if space == "" || space == nsXML {
		return true
	}
	for _, s := range r.spaces {
		if s == space {
			return true
		}
	}
	return false
}

// next returns the next first-level element, io.EOF behind the closing tag of the stream, the peer's stream error as a
// [mstream.Error], or a [fault] for what has to be answered with one.
func (r *elementReader) next() (*element, error) {
	for {
		tok, err := r.tokens.Token()
		if err != nil && err.Error() == unknownLevel {
			if err = r.skipLevel(); err == nil {
				continue
			}
		}
		if err != nil {
			return nil, xmlFault(err)
		}
		switch t := tok.(type) {
		case xml.StartElement:
			if t.Name.Space == mstream.NS && t.Name.Local == "error" {
				var e mstream.Error
				// The start tag is read once more, as a token: a decoder that has not seen it panics in DecodeElement.
				if err := xml.NewTokenDecoder(xmlstream.MultiReader(xmlstream.Token(t), r.tokens)).Decode(&e); err != nil {
					return nil, xmlFault(err)
				}
				return nil, e
			}
			scope := len(r.spaces)
			e, err := r.tree(t)
			r.spaces = r.spaces[:scope]
			return e, err
		case xml.EndElement:
			return nil, io.EOF
		}
	}
}

// unknownLevel is what mellium's session says, with no value to compare with, when an element in the namespace of streams
// is neither a header nor an error. Features may come at any time (RFC 6120 §4.3.2): to a peer of the first generation that
// did not ask, or once more after dialback.
const unknownLevel = "xmpp: unknown stream level element"

// skipLevel passes over the inside of such an element. Its end tag comes as an error too.
func (r *elementReader) skipLevel() error {
	for {
		_, err := r.tokens.Token()
		if errors.Is(err, mstream.BadFormat) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// tree reads the rest of the element that start begins. The guard has bounded its depth.
func (r *elementReader) tree(start xml.StartElement) (*element, error) {
	scope := len(r.spaces)
	if !r.declare(start) {
		return nil, &fault{mstream.NotWellFormed, "a prefix is not declared, or an attribute stands twice"}
	}
	e := &element{Name: start.Name, Attr: start.Copy().Attr}
	for {
		tok, err := r.tokens.Token()
		if err != nil {
			if err == io.EOF {
				err = io.ErrUnexpectedEOF
			}
			return nil, xmlFault(err)
		}
		switch t := tok.(type) {
		case xml.StartElement:
			kid, err := r.tree(t)
			if err != nil {
				return nil, err
			}
			e.Kids = append(e.Kids, kid)
		case xml.CharData:
			e.Kids = append(e.Kids, &element{Data: string(t)})
		case xml.EndElement:
			r.spaces = r.spaces[:scope]
			return e, nil
		}
	}
}

// xmlFault turns the decoder's complaints into the stream error that answers them.
func xmlFault(err error) error {
	if se, ok := err.(*xml.SyntaxError); ok {
		if se.Msg == "unexpected EOF" { // the connection ended; nobody sent anything wrong
			return io.ErrUnexpectedEOF
		}
		return &fault{mstream.NotWellFormed, se.Msg}
	}
	return err
}

// writer builds XML text. Names and namespaces are the program's own; values are escaped.
type writer struct{ b []byte }

func (w *writer) raw(s string) *writer { w.b = append(w.b, s...); return w }

// attr writes an attribute; an empty value writes nothing.
func (w *writer) attr(name, value string) *writer {
	if value == "" {
		return w
	}
	return w.attrAlways(name, value)
}

func (w *writer) attrAlways(name, value string) *writer {
	w.raw(" ").raw(name).raw("='").text(value)
	return w.raw("'")
}

// text writes character data. Characters that XML cannot carry are replaced, so that no text of a user can break a stream.
func (w *writer) text(s string) *writer {
	for i := 0; i < len(s); {
		c := s[i]
		if c < 0x80 {
			i++
			switch {
			case c == '&':
				w.raw("&amp;")
			case c == '<':
				w.raw("&lt;")
			case c == '>':
				w.raw("&gt;")
			case c == '\'':
				w.raw("&apos;")
			case c == '"':
				w.raw("&quot;")
			case c == '\r':
				w.raw("&#xD;")
			case c < 0x20 && c != '\t' && c != '\n':
				w.raw("\uFFFD")
			default:
				w.b = append(w.b, c)
			}
			continue
		}
		r, n := decodeRune(s[i:])
		w.b = append(w.b, string(r)...)
		i += n
	}
	return w
}

// leaf writes an element that holds only text.
func (w *writer) leaf(name, text string) *writer {
	return w.raw("<").raw(name).raw(">").text(text).raw("</").raw(name).raw(">")
}

func itoa(n int) string { return strconv.Itoa(n) }

func decodeRune(s string) (rune, int) {
	r, n := utf8.DecodeRuneInString(s)
	if r >= 0xFFFE && r <= 0xFFFF {
		r = utf8.RuneError
	}
	return r, n
}
