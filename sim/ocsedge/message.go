package ocsedge

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
)

// Limits of what a peer can make the Edge read. An Edge takes 5000 KB of body from a server by default.
const (
	maxHeadBytes = 64 << 10
	maxBodyBytes = 5000 << 10
)

// syntaxError says what makes bytes not a SIP message. The connection cannot be used any further, because nobody knows where
// the next message begins.
type syntaxError string

func (e syntaxError) Error() string { return "ocsedge: not a SIP message: " + string(e) }

// field is one header line. Its value is as it stood, without the white space around it; folded lines are joined by a space.
type field struct{ name, value string }

// message is a request (method is set) or a response (status is set), its headers raw and in order.
type message struct {
	method, uri string
	status      int
	reason      string
	fields      []field
	body        []byte
}

func newRequest(method, uri string) *message { return &message{method: method, uri: uri} }

// add appends a header line.
func (m *message) add(name, value string) { m.fields = append(m.fields, field{name, value}) }

// values returns the values of all lines of that name, in order. Compact forms count (RFC 3261 §7.3.3).
func (m *message) values(name string) []string {
	var vs []string
	for _, f := range m.fields {
		if sameField(f.name, name) {
			vs = append(vs, f.value)
		}
	}
	return vs
}

// get returns the value of the first line of that name, "" if there is none.
func (m *message) get(name string) string {
	for _, f := range m.fields {
		if sameField(f.name, name) {
			return f.value
		}
	}
	return ""
}

// list returns the elements of a comma-separated header, over all its lines.
func (m *message) list(name string) []string {
	var out []string
	for _, v := range m.values(name) {
		out = append(out, splitList(v)...)
	}
	return out
}

// lists says whether a token stands in a comma-separated header; parameters after the token do not count.
func (m *message) lists(name, token string) bool {
	for _, v := range m.list(name) {
		v, _, _ = strings.Cut(v, ";")
		if strings.EqualFold(strings.TrimSpace(v), token) {
			return true
		}
	}
	return false
}

// cseq returns the number and method of CSeq; ok is false if it is malformed.
func (m *message) cseq() (n uint32, method string, ok bool) {
	parts := strings.Fields(m.get("CSeq"))
	if len(parts) != 2 {
		return 0, "", false
	}
	v, err := strconv.ParseUint(parts[0], 10, 31) // RFC 3261 §8.1.1.5: below 2**31
	return uint32(v), parts[1], err == nil
}

// bytes is the message as it goes on the wire. Content-Length has to be among the fields already.
func (m *message) bytes() []byte {
	var b bytes.Buffer
	if m.method != "" {
		fmt.Fprintf(&b, "%s %s SIP/2.0\r\n", m.method, m.uri)
	} else {
		fmt.Fprintf(&b, "SIP/2.0 %d %s\r\n", m.status, m.reason)
	}
	for _, f := range m.fields {
		b.WriteString(f.name)
		b.WriteString(": ")
		b.WriteString(f.value)
		b.WriteString("\r\n")
	}
	b.WriteString("\r\n")
	b.Write(m.body)
	return b.Bytes()
}

// summary is the message on one line, without anything random in it.
func (m *message) summary() string {
	_, method, _ := m.cseq()
	if m.method != "" {
		target := m.uri
		if u, err := parseURI(m.uri); err == nil {
			target = u.scheme + ":" + u.aor()
			if u.user == "" {
				target = u.scheme + ":" + strings.ToLower(u.host)
			}
		}
		return m.method + " " + target
	}
	return fmt.Sprintf("%d %s (%s)", m.status, m.reason, method)
}

// compact are the short forms of RFC 3261 §7.3.3 and its extensions.
var compact = map[string]string{
	"i": "call-id", "m": "contact", "e": "content-encoding", "l": "content-length", "c": "content-type", "f": "from",
	"s": "subject", "k": "supported", "t": "to", "v": "via", "o": "event", "u": "allow-events", "r": "refer-to", "x": "session-expires",
}

func sameField(have, want string) bool {
	if strings.EqualFold(have, want) {
		return true
	}
	return len(have) == 1 && strings.EqualFold(compact[strings.ToLower(have)], want)
}

// splitList splits at commas that stand outside of quotes and angle brackets.
func splitList(s string) []string {
	var out []string
	start, quoted, angle := 0, false, false
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == '<':
			angle = true
		case c == '>':
			angle = false
		case c == ',' && !angle:
			out = append(out, strings.TrimSpace(s[start:i]))
			start = i + 1
		}
	}
	return append(out, strings.TrimSpace(s[start:]))
}

// reader takes messages off a stream (RFC 3261 §18.3).
type reader struct{ r *bufio.Reader }

func newReader(r io.Reader) *reader { return &reader{bufio.NewReaderSize(r, 4096)} }

// next returns the next message and its bytes. Empty lines before it are skipped: they are keep-alives (RFC 3261 §7.5). The
// error is a syntaxError if the bytes are not SIP, io.EOF if the stream ended between two messages.
func (r *reader) next() (*message, []byte, error) {
	var raw []byte
	var line []byte
	var err error
	for {
		if line, err = r.line(maxHeadBytes); err != nil {
			if errors.Is(err, io.ErrUnexpectedEOF) && len(line) == 0 {
				err = io.EOF
			}
			return nil, line, err
		}
		if len(line) > 2 {
			break
		}
	}
	raw = append(raw, line...)
	m, err := parseStart(string(line[:len(line)-2]))
	if err != nil {
		return nil, raw, err
	}
	for {
		line, err = r.line(maxHeadBytes - len(raw))
		raw = append(raw, line...)
		if err != nil {
			return nil, raw, err
		}
		if len(line) == 2 {
			break
		}
		if err := m.parseField(string(line[:len(line)-2])); err != nil {
			return nil, raw, err
		}
	}
	// RFC 3261 §18.3: a message on a stream has to say how long its body is.
	lengths := m.values("Content-Length")
	if len(lengths) != 1 {
		return nil, raw, syntaxError(fmt.Sprintf("%d Content-Length lines on a stream", len(lengths)))
	}
	n, err := strconv.ParseUint(lengths[0], 10, 31)
	if err != nil || n > maxBodyBytes {
		return nil, raw, syntaxError(fmt.Sprintf("Content-Length %q", lengths[0]))
	}
	m.body = make([]byte, n)
	if _, err := io.ReadFull(r.r, m.body); err != nil {
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return nil, raw, err
	}
	return m, append(raw, m.body...), nil
}

// line reads up to and including CRLF. io.ErrUnexpectedEOF: the stream ended inside or before the line.
func (r *reader) line(limit int) ([]byte, error) {
	var line []byte
	for {
		part, err := r.r.ReadSlice('\n')
		line = append(line, part...)
		if len(line) > limit {
			return line, syntaxError("more than 64 KiB of header")
		}
		switch {
		case errors.Is(err, bufio.ErrBufferFull):
			continue
		case errors.Is(err, io.EOF):
			return line, io.ErrUnexpectedEOF
		case err != nil:
			return line, err
		case !bytes.HasSuffix(line, []byte("\r\n")):
			return line, syntaxError("a line that does not end in CRLF")
		}
		return line, nil
	}
}

func parseStart(line string) (*message, error) {
	if rest, ok := strings.CutPrefix(line, "SIP/2.0 "); ok {
		code, reason, _ := strings.Cut(rest, " ")
		n, err := strconv.Atoi(code)
		if err != nil || len(code) != 3 || n < 100 || n > 699 {
			return nil, syntaxError("status line " + strconv.Quote(line))
		}
		return &message{status: n, reason: reason}, nil
	}
	parts := strings.Split(line, " ")
	if len(parts) != 3 || parts[2] != "SIP/2.0" || !isToken(parts[0]) || parts[1] == "" {
		return nil, syntaxError("start line " + strconv.Quote(line))
	}
	return newRequest(parts[0], parts[1]), nil
}

func (m *message) parseField(line string) error {
	if line[0] == ' ' || line[0] == '\t' { // RFC 3261 §7.3.1: a folded line
		if len(m.fields) == 0 {
			return syntaxError("a folded line before the first header")
		}
		last := &m.fields[len(m.fields)-1]
		last.value = strings.TrimSpace(last.value + " " + strings.TrimSpace(line))
		return nil
	}
	name, value, ok := strings.Cut(line, ":")
	name = strings.TrimRight(name, " \t")
	if !ok || !isToken(name) {
		return syntaxError("header line " + strconv.Quote(line))
	}
	m.add(name, strings.TrimSpace(value))
	return nil
}

// isToken is the token of RFC 3261 §25.1.
func isToken(s string) bool {
	for i := range len(s) {
		c := s[i]
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && !strings.ContainsRune("-.!%*_+`'~", rune(c)) {
			return false
		}
	}
	return s != ""
}
