package googletalk

import (
	"bufio"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"
)

// Namespaces.
const (
	nsServer   = "jabber:server"
	nsClient   = "jabber:client"
	nsStream   = "http://etherx.jabber.org/streams"
	nsDialback = "jabber:server:dialback"
	nsXML      = "http://www.w3.org/XML/1998/namespace"
	nsStreams  = "urn:ietf:params:xml:ns:xmpp-streams"
	nsStanzas  = "urn:ietf:params:xml:ns:xmpp-stanzas"
)

// Bounds on what a peer may make us hold.
const (
	maxElement = 64 << 10 // bytes of one first-level element
	maxDepth   = 32       // of elements inside a first-level element
)

// element is one XML element as it was read.
type element struct {
	space, local, prefix string
	attrs                []attribute
	kids                 []*element
	text                 string // all character data directly inside
	raw                  []byte // as on the wire
	headerPrefix         string // a prefix used in it that only the stream header declares, other than db and stream
}

type attribute struct{ space, local, prefix, value string }

// attr is the value of the attribute without namespace, and whether it is there.
func (e *element) attr(local string) (string, bool) {
	for _, a := range e.attrs {
		if a.space == "" && a.local == local {
			return a.value, true
		}
	}
	return "", false
}

func (e *element) get(local string) string { v, _ := e.attr(local); return v }

func (e *element) is(space, local string) bool { return e.space == space && e.local == local }

// child is the first child with this name, or nil.
func (e *element) child(space, local string) *element {
	for _, k := range e.kids {
		if k.is(space, local) {
			return k
		}
	}
	return nil
}

// noStream is what is wrong with bytes that are not even the beginning of XML.
const noStream = "text before the stream header"

// xmlError is XML that a stream must not carry; condition is the stream error that answers it. RFC 6120 §11
type xmlError struct{ condition, text string }

func (e *xmlError) Error() string { return e.condition + ": " + e.text }

// errStreamClosed is returned for the closing tag of the stream.
var errStreamClosed = errors.New("googletalk: the peer closed its stream")

// reader reads one stream: its header, then first-level elements. It is encoding/xml's tokenizer with name spaces resolved
// here, because the tokenizer lets unbound prefixes and repeated attributes pass.
type reader struct {
	tap    *tap
	dec    *xml.Decoder
	scopes []map[string]string // name space bindings, the header's first
}

func newReader(src io.Reader) *reader {
	r := &reader{}
	r.restart(src)
	return r
}

// restart forgets everything and begins with a new document, as after TLS.
func (r *reader) restart(src io.Reader) {
	r.tap = &tap{src: bufio.NewReader(src)}
	r.dec = xml.NewDecoder(r.tap)
	r.scopes = []map[string]string{{"xml": nsXML}}
}

// buffered is how many bytes were received that nobody has read yet.
func (r *reader) buffered() int { return r.tap.src.Buffered() }

// header reads up to the end of the stream's start tag.
func (r *reader) header() (*element, error) {
	r.tap.forget()
	declared := false
	for {
		begin := r.dec.InputOffset()
		tok, err := r.token()
		if err != nil {
			return nil, err
		}
		switch t := tok.(type) {
		case xml.ProcInst:
			if t.Target != "xml" || declared || begin != 0 {
				return nil, &xmlError{"restricted-xml", "processing instruction " + t.Target}
			}
			declared = true
		case xml.CharData:
			if !declared && len(t) > 0 || strings.TrimSpace(string(t)) != "" {
				return nil, &xmlError{"not-well-formed", noStream}
			}
		case xml.StartElement:
			e, err := r.start(t)
			if err != nil {
				return nil, err
			}
			e.raw = r.tap.slice(0, r.dec.InputOffset())
			return e, nil
		default:
			return nil, &xmlError{"not-well-formed", fmt.Sprintf("%T before the stream header", tok)}
		}
	}
}

// next reads the next first-level element. White space between elements is keep-alive and skipped.
func (r *reader) next() (*element, error) {
	if err := r.tap.skipSpace(); err != nil {
		return nil, err
	}
	begin := r.dec.InputOffset()
	r.tap.forget()
	var stack []*element
	var begins []int64
	for {
		at := r.dec.InputOffset()
		tok, err := r.token()
		if err != nil {
			return nil, err
		}
		switch t := tok.(type) {
		case xml.CharData:
			if len(stack) > 0 {
				top := stack[len(stack)-1]
				top.text += string(t)
			} else if strings.TrimSpace(string(t)) != "" {
				return nil, &xmlError{"not-well-formed", "text between the elements of the stream"}
			}
		case xml.StartElement:
			if len(stack) >= maxDepth {
				return nil, &xmlError{"policy-violation", fmt.Sprintf("elements nested more than %d deep", maxDepth)}
			}
			e, err := r.start(t)
			if err != nil {
				return nil, err
			}
			if len(stack) > 0 {
				top := stack[len(stack)-1]
				top.kids = append(top.kids, e)
			}
			stack, begins = append(stack, e), append(begins, at)
		case xml.EndElement:
			if len(stack) == 0 {
				return nil, errStreamClosed
			}
			e := stack[len(stack)-1]
			if t.Name.Space != e.prefix || t.Name.Local != e.local {
				return nil, &xmlError{"not-well-formed", fmt.Sprintf("<%s> ended by </%s>", e.local, t.Name.Local)}
			}
			e.raw = r.tap.slice(begins[len(begins)-1]-begin, r.dec.InputOffset()-begin)
			stack, begins = stack[:len(stack)-1], begins[:len(begins)-1]
			r.scopes = r.scopes[:len(r.scopes)-1]
			if len(stack) == 0 {
				return e, nil
			}
			stack[len(stack)-1].inherit(e)
		default:
			return nil, &xmlError{"restricted-xml", fmt.Sprintf("%T", tok)}
		}
	}
}

func (e *element) inherit(kid *element) {
	if e.headerPrefix == "" {
		e.headerPrefix = kid.headerPrefix
	}
}

// token is the tokenizer's next token; errors of the connection come out as they are, anything else as an xmlError.
func (r *reader) token() (xml.Token, error) {
	tok, err := r.dec.RawToken()
	if err == nil {
		switch tok.(type) {
		case xml.Comment:
			return nil, &xmlError{"restricted-xml", "comment"}
		case xml.Directive:
			return nil, &xmlError{"restricted-xml", "document type declaration"}
		}
		return tok, nil
	}
	if r.tap.err != nil {
		return nil, r.tap.err
	}
	return nil, &xmlError{"not-well-formed", err.Error()}
}

// start resolves the names of a start tag and opens its scope.
func (r *reader) start(t xml.StartElement) (*element, error) {
	scope := map[string]string{}
	for _, a := range t.Attr {
		prefix := ""
		switch {
		case a.Name.Space == "xmlns":
			prefix = a.Name.Local
			if a.Value == "" || prefix == "xmlns" {
				return nil, &xmlError{"not-well-formed", "bad declaration of the prefix " + prefix}
			}
		case a.Name.Space == "" && a.Name.Local == "xmlns":
		default:
			continue
		}
		if _, twice := scope[prefix]; twice {
			return nil, &xmlError{"not-well-formed", "the same prefix declared twice"}
		}
		scope[prefix] = a.Value
	}
	r.scopes = append(r.scopes, scope)
	e := &element{local: t.Name.Local, prefix: t.Name.Space}
	var err error
	if e.space, err = r.resolve(e, t.Name.Space, false); err != nil {
		return nil, err
	}
	seen := map[[2]string]bool{}
	for _, a := range t.Attr {
		if a.Name.Space == "xmlns" || a.Name.Space == "" && a.Name.Local == "xmlns" {
			continue
		}
		space, err := r.resolve(e, a.Name.Space, true)
		if err != nil {
			return nil, err
		}
		if key := [2]string{space, a.Name.Local}; seen[key] {
			return nil, &xmlError{"not-well-formed", "the attribute " + a.Name.Local + " stands twice"}
		} else {
			seen[key] = true
		}
		if !utf8.ValidString(a.Value) {
			return nil, &xmlError{"unsupported-encoding", "not UTF-8"}
		}
		e.attrs = append(e.attrs, attribute{space, a.Name.Local, a.Name.Space, a.Value})
	}
	return e, nil
}

// resolve is the name space of a prefix. An attribute without prefix has none.
func (r *reader) resolve(e *element, prefix string, isAttr bool) (string, error) {
	if prefix == "" && isAttr {
		return "", nil
	}
	for i := len(r.scopes) - 1; i >= 0; i-- {
		if space, ok := r.scopes[i][prefix]; ok {
			if i == 1 && len(r.scopes) > 2 && prefix != "" && prefix != "db" && prefix != "stream" {
				e.headerPrefix = prefix
			}
			return space, nil
		}
	}
	if prefix == "" {
		return "", nil
	}
	return "", &xmlError{"not-well-formed", "the prefix " + prefix + " is not declared"}
}

// declares reports whether the stream's header binds prefix to space.
func (r *reader) declares(prefix, space string) bool {
	return len(r.scopes) > 1 && r.scopes[1][prefix] == space
}

// tap hands bytes to the tokenizer one by one and keeps them, so that every element's own bytes are known. It counts only
// what the tokenizer was given.
type tap struct {
	src *bufio.Reader
	buf []byte
	err error // what ended the input
}

var errTooBig = &xmlError{"policy-violation", fmt.Sprintf("an element of more than %d bytes", maxElement)}

func (t *tap) ReadByte() (byte, error) {
	if t.err != nil {
		return 0, t.err
	}
	if len(t.buf) >= maxElement {
		t.err = errTooBig
		return 0, t.err
	}
	c, err := t.src.ReadByte()
	if err != nil {
		t.err = err
		return 0, err
	}
	t.buf = append(t.buf, c)
	return c, nil
}

// Read is there because the tokenizer asks for an io.Reader; it uses ReadByte.
func (t *tap) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	c, err := t.ReadByte()
	if err != nil {
		return 0, err
	}
	p[0] = c
	return 1, nil
}

// skipSpace drops white space that the tokenizer has not seen.
func (t *tap) skipSpace() error {
	for {
		c, err := t.src.ReadByte()
		if err != nil {
			t.err = err
			return err
		}
		if c != ' ' && c != '\t' && c != '\r' && c != '\n' {
			return t.src.UnreadByte()
		}
	}
}

func (t *tap) forget() { t.buf = t.buf[:0] }

func (t *tap) slice(from, to int64) []byte {
	return append([]byte(nil), t.buf[min(int(from), len(t.buf)):min(int(to), len(t.buf))]...)
}
