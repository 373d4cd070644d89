package xmpps2s

import (
	"bytes"
	"net"
	"strings"
	"sync"
	"time"

	mstream "mellium.im/xmpp/stream"
)

// fault is a stream error that we close a stream with, and the reason for people. It is an error value.
type fault struct {
	condition mstream.Error
	text      string
}

func (f *fault) Error() string { return f.condition.Err + ": " + f.text }

// guard stands between a connection and the XML decoder. It holds the limits that must act before anything is parsed (bytes
// and time per element, depth, attributes) and refuses the XML that XMPP forbids (RFC 6120 §11.1). What stands before
// the offence is still delivered, so that elements are processed in order up to it. A guard serves one stream: a
// restarted stream gets a new one. It has one reader.
type guard struct {
	conn   net.Conn
	limits guardLimits
	ends   *readEnd

	// until bounds reads in the present phase (waiting for a header, features, an answer); zero for none.
	until time.Time
	// late is called when until has passed between two elements: it may set another until and return true, and the read
	// goes on as if nothing had been. A deadline that reached the XML decoder would end the stream.
	late func() bool

	state   lexState
	quote   byte
	last    byte // the byte before, inside a tag or a section
	run     int  // matched "]" at the end of a CDATA section, or bytes into a declaration
	word    []byte
	depth   int // 0 outside of the stream element, 1 between stanzas
	attrs   int
	size    int // bytes of the present element at depth 1, or of the stream header
	started time.Time
	began   bool // something other than white space was read
	err     error
}

// guardLimits bound one element of a stream.
type guardLimits struct {
	bytes   int           // a stanza with all its markup, or the header
	depth   int           // nesting, the stream element not counted
	attrs   int           // attributes of one tag
	element time.Duration // from an element's first byte to its last
}

type lexState uint8

const (
	lexText lexState = iota
	lexOpen
	lexTag
	lexQuoted
	lexEndTag
	lexDeclaration
	lexBang
	lexSection
	lexEntity
	lexQuotedEntity
)

func newGuard(conn net.Conn, limits guardLimits, ends *readEnd) *guard {
	return &guard{conn: conn, limits: limits, ends: ends}
}

// readEnd is the read deadline of one connection, which its reader sets phase by phase and anybody may cut short. It is safe
// for concurrent use.
type readEnd struct {
	conn net.Conn // the bare one: TLS on it has the same deadlines

	mu  sync.Mutex
	by  time.Time // bounds all reads, once the stream is ending
	set time.Time // the deadline the connection has now
}

// closeAt bounds all reads, a blocked one too.
func (e *readEnd) closeAt(at time.Time) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.by = earlier(e.by, at)
	if e.set.IsZero() || at.Before(e.set) {
		e.set = at
		e.conn.SetReadDeadline(at) // fails only on a closed connection, where no read blocks
	}
}

// until sets the deadline of the reads that follow, or the end if that is earlier.
func (e *readEnd) until(at time.Time) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	at = earlier(at, e.by)
	if at.Equal(e.set) {
		return nil
	}
	e.set = at
	return e.conn.SetReadDeadline(at)
}

// Write passes to the connection; deadlines are the caller's business.
func (g *guard) Write(p []byte) (int, error) { return g.conn.Write(p) }

// Read reads what the limits allow.
func (g *guard) Read(p []byte) (int, error) {
	if g.err != nil {
		return 0, g.err
	}
	n, err := g.read(p)
	for i, c := range p[:n] {
		if f := g.scan(c); f != nil {
			g.err = f
			if i == 0 {
				return 0, f
			}
			return i, nil
		}
	}
	if err != nil {
		if isTimeout(err) && g.size > 0 && g.depth > 0 {
			err = &fault{mstream.PolicyViolation, "the element took longer than " + g.limits.element.String()}
		}
		g.err = err
		if n > 0 {
			return n, nil
		}
	}
	return n, err
}

// read reads from the connection within the deadlines.
func (g *guard) read(p []byte) (int, error) {
	for {
		if err := g.deadline(); err != nil {
			return 0, err
		}
		n, err := g.conn.Read(p)
		if n == 0 && isTimeout(err) && g.late != nil && g.size == 0 {
			if late := g.late; late() {
				continue
			}
		}
		return n, err
	}
}

func isTimeout(err error) bool {
	ne, ok := err.(net.Error)
	return ok && ne.Timeout()
}

// deadline sets the connection's read deadline to the earliest of the phase's, the present element's and the end's.
func (g *guard) deadline() error {
	at := g.until
	if g.size > 0 && g.limits.element > 0 {
		at = earlier(at, g.started.Add(g.limits.element))
	}
	return g.ends.until(at)
}

// earlier is the earlier of two deadlines, of which zero is none.
func earlier(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

// scan takes one byte through a small lexer: just enough XML to know depth, sizes and forbidden constructs. It is lenient
// with all else, which the decoder judges.
func (g *guard) scan(c byte) *fault {
	if g.size > 0 {
		if g.size++; g.size > g.limits.bytes {
			return &fault{mstream.PolicyViolation, "the element is larger than the limit of " + itoa(g.limits.bytes) + " bytes"}
		}
	}
	switch g.state {
	case lexText:
		return g.text(c)
	case lexOpen:
		return g.open(c)
	case lexTag:
		switch c {
		case '\'', '"':
			g.quote, g.state = c, lexQuoted
		case '=':
			if g.attrs++; g.attrs > g.limits.attrs {
				return &fault{mstream.PolicyViolation, "an element has more than " + itoa(g.limits.attrs) + " attributes"}
			}
		case '>':
			g.state = lexText
			if g.last == '/' {
				return g.closed()
			}
			if g.depth++; g.depth > g.limits.depth+1 {
				return &fault{mstream.PolicyViolation, "elements are nested deeper than " + itoa(g.limits.depth)}
			}
			if g.depth == 1 {
				g.size = 0 // the header is complete
			}
		}
		g.last = c
	case lexQuoted:
		switch c {
		case g.quote:
			g.state, g.last = lexTag, c
		case '&':
			g.state, g.word = lexQuotedEntity, g.word[:0]
		}
	case lexEndTag:
		if c == '>' {
			g.state = lexText
			g.depth--
			return g.closed()
		}
	case lexDeclaration:
		g.word = append(g.word, c)
		if len(g.word) > 256 {
			return &fault{mstream.RestrictedXML, "processing instruction"}
		}
		if c == '>' && g.last == '?' {
			return g.declaration()
		}
		g.last = c
	case lexBang:
		if c != '[' {
			return &fault{mstream.RestrictedXML, "comment or document type declaration"}
		}
		g.state, g.run = lexSection, 0
	case lexSection:
		switch {
		case c == ']':
			g.run++
		case c == '>' && g.run >= 2:
			g.state = lexText
		default:
			g.run = 0
		}
	case lexEntity, lexQuotedEntity:
		return g.entity(c)
	}
	return nil
}

func (g *guard) text(c byte) *fault {
	switch {
	case c == '<':
		g.state = lexOpen
		if g.size == 0 && g.depth <= 1 {
			g.size, g.started = 1, time.Now()
		}
	case c == '&':
		g.state, g.word = lexEntity, g.word[:0]
	case g.depth > 1 || c == ' ' || c == '\t' || c == '\r' || c == '\n':
	case g.depth == 1:
		return &fault{mstream.BadFormat, "character data between stanzas"}
	case !g.began && (c == 0xFE || c == 0xFF || c == 0):
		return &fault{mstream.UnsupportedEncoding, "only UTF-8 is XMPP"}
	case c == 0xEF || c == 0xBB || c == 0xBF:
		// U+FEFF before the header: RFC 6120 §11.6 forbids sending it; the decoder skips it as character data.
	default:
		return &fault{mstream.NotWellFormed, "not an XML stream"}
	}
	return nil
}

func (g *guard) open(c byte) *fault {
	first := !g.began
	g.began = true
	switch c {
	case '/':
		g.state = lexEndTag
	case '!':
		g.state = lexBang
	case '?':
		if !first {
			return &fault{mstream.RestrictedXML, "processing instruction"}
		}
		g.state, g.word, g.last = lexDeclaration, g.word[:0], 0
	default:
		g.state, g.attrs, g.last = lexTag, 0, c
		if c == '>' {
			return &fault{mstream.NotWellFormed, "a tag without a name"}
		}
	}
	return nil
}

// declaration judges the XML declaration, which stands in word without its "<?".
func (g *guard) declaration() *fault {
	text := string(g.word)
	if !strings.HasPrefix(text, "xml ") && !strings.HasPrefix(text, "xml\t") {
		return &fault{mstream.RestrictedXML, "processing instruction"}
	}
	if _, enc, ok := strings.Cut(text, "encoding"); ok {
		enc = strings.Trim(strings.TrimLeft(enc, " \t="), "?> \t'\"")
		enc, _, _ = strings.Cut(enc, "'")
		enc, _, _ = strings.Cut(enc, `"`)
		if !strings.EqualFold(enc, "utf-8") {
			return &fault{mstream.UnsupportedEncoding, "only UTF-8 is XMPP"}
		}
	}
	g.state, g.size = lexText, 0
	return nil
}

// closed is called behind the last byte of an element.
func (g *guard) closed() *fault {
	if g.depth <= 1 {
		g.size = 0
	}
	return nil
}

var predefined = [][]byte{[]byte("lt"), []byte("gt"), []byte("amp"), []byte("apos"), []byte("quot")}

// entity allows the five predefined entities and character references, and no other (RFC 6120 §11.1).
func (g *guard) entity(c byte) *fault {
	if c != ';' {
		g.word = append(g.word, c)
		if len(g.word) > 10 {
			return &fault{mstream.RestrictedXML, "entity reference other than the predefined five"}
		}
		return nil
	}
	known := len(g.word) > 0 && g.word[0] == '#'
	for _, name := range predefined {
		known = known || bytes.Equal(g.word, name)
	}
	if !known {
		return &fault{mstream.RestrictedXML, "entity reference other than the predefined five"}
	}
	if g.state == lexQuotedEntity {
		g.state = lexQuoted
	} else {
		g.state = lexText
	}
	return nil
}
