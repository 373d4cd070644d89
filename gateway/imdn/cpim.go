package imdn

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"mime/quotedprintable"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// ErrRequired says that an envelope must not be taken without understanding a header field that is not known here. RFC 3862 §4
var ErrRequired = errors.New("an envelope requires what is not understood")

// Envelope is a message/cpim: a text with what its sender wants to be told of it, or a report.
// The addresses in From and To are those of the envelope; nothing proves them.
type Envelope struct {
	From, To  string // URIs without brackets and names
	Subject   string
	DateTime  string // RFC 3339, as it stood
	MessageID string

	Delivered, Failed bool // Disposition-Notification: positive-delivery, negative-delivery. Others are never granted

	OriginalTo   string   // URI
	RecordRoutes []string // URIs that want to see the report, in order
	Routes       []string // of a report: where it has to go yet, in order

	Notification bool   // Content-Disposition: notification. RFC 5438 §7.2.1
	ContentType  string // of Body, as it stood; empty if none was given
	Body         []byte // its transfer encoding undone
}

// The namespaces of header fields. RFC 3862 §4, RFC 5438 §6.1
const (
	nsCPIM = "urn:ietf:params:cpim-headers:"
	nsIMDN = "urn:ietf:params:imdn"
)

// ReadEnvelope reads a message/cpim. The error wraps [ErrMalformed] or [ErrRequired]. The header fields of the content may stand
// behind an empty line, as RFC 3862 §2 has it, or right behind the envelope's own, as in the examples of RFC 5438.
func ReadEnvelope(body []byte) (Envelope, error) {
	r := reader{rest: body, spaces: map[string]string{"": nsCPIM}, seen: map[string]bool{}}
	if err := r.metadata(); err != nil {
		return Envelope{}, err
	}
	encoding, err := r.content()
	if err != nil {
		return Envelope{}, err
	}
	switch strings.ToLower(encoding) {
	case "", "7bit", "8bit", "binary":
		r.Body = r.rest
	case "base64":
		text := strings.Map(func(c rune) rune {
			if c == '\r' || c == '\n' || c == ' ' {
				return -1
			}
			return c
		}, string(r.rest))
		if r.Body, err = base64.StdEncoding.DecodeString(text); err != nil {
			return Envelope{}, malformed("content that is no base64: %v", err)
		}
	case "quoted-printable":
		if r.Body, err = io.ReadAll(quotedprintable.NewReader(bytes.NewReader(r.rest))); err != nil {
			return Envelope{}, malformed("content that is no quoted-printable: %v", err)
		}
	default:
		return Envelope{}, malformed("Content-Transfer-Encoding %.40q", encoding)
	}
	return r.Envelope, nil
}

// reader is an envelope while it is read.
type reader struct {
	Envelope
	rest   []byte
	lines  int
	spaces map[string]string // prefix: namespace
	seen   map[string]bool   // header fields that may stand once
}

// line takes the next line off; ok is false at the end of the body. No line has a control character in it.
func (r *reader) line() (s string, ok bool, err error) {
	if len(r.rest) == 0 {
		return "", false, nil
	}
	line, rest, found := bytes.Cut(r.rest, []byte("\n"))
	if !found {
		return "", false, malformed("header fields without an end")
	}
	if r.lines++; r.lines > 2*maxHeaders {
		return "", false, malformed("too many header fields")
	}
	s = strings.TrimSuffix(string(line), "\r")
	if i := strings.IndexFunc(s, func(c rune) bool { return c < ' ' && c != '\t' || c == 0x7f || c == utf8.RuneError }); i >= 0 {
		return "", false, malformed("the character %q in a header field", s[i])
	}
	r.rest = rest
	return s, true, nil
}

// metadata reads the envelope's own header fields, up to the empty line or to where the content's begin.
func (r *reader) metadata() error {
	for {
		before := r.rest
		line, ok, err := r.line()
		switch {
		case err != nil:
			return err
		case !ok:
			return malformed("no content")
		case line == "":
			return nil
		case len(line) > 8 && strings.EqualFold(line[:8], "content-"):
			r.rest = before
			return nil
		}
		name, value, ok := strings.Cut(line, ":")
		if !ok || name == "" || strings.ContainsAny(name, " \t;<>\"") {
			return malformed("the line %.60q is no header field", line)
		}
		if strings.HasPrefix(value, ";") { // parameters: the language of a Subject
			if _, value, ok = strings.Cut(value, " "); !ok {
				return malformed("the line %.60q has no value", line)
			}
		}
		if value, ok = unescape(strings.TrimSpace(value)); !ok {
			return malformed("a bad escape in the line %.60q", line)
		}
		if err := r.field(name, value); err != nil {
			return err
		}
	}
}

// field takes one header field of the envelope. Unknown ones are passed over. RFC 3862 §3
func (r *reader) field(name, value string) error {
	prefix, local := "", name
	if p, l, dotted := strings.Cut(name, "."); dotted {
		prefix, local = p, l
	}
	space, known := r.spaces[prefix]
	switch {
	case name == "NS": // whatever the names without prefix belong to
		return r.namespace(value)
	case !known:
		return nil
	}
	once := func(to *string) error {
		if r.seen[space+local] {
			return malformed("%s stands there twice", name)
		}
		r.seen[space+local] = true
		*to = value
		return nil
	}
	address := func(to *string) error {
		uri, ok := addressIn(value)
		if !ok {
			return malformed("%s: %.60q is no address", name, value)
		}
		value = uri
		return once(to)
	}
	switch space + " " + local {
	case nsCPIM + " From":
		return address(&r.From)
	case nsCPIM + " To": // there may be several; who it is for says the request
		if r.To != "" {
			return nil
		}
		return address(&r.To)
	case nsCPIM + " DateTime":
		if _, err := time.Parse(time.RFC3339, value); err != nil {
			return malformed("DateTime: %.60q is no time", value)
		}
		return once(&r.DateTime)
	case nsCPIM + " Subject": // one for each language; the first counts
		if r.Subject == "" {
			r.Subject = value
		}
	case nsCPIM + " Require":
		for feature := range strings.SplitSeq(value, ",") {
			if feature = strings.TrimSpace(feature); !r.understands(feature) {
				return fmt.Errorf("%w: %.60s", ErrRequired, feature)
			}
		}
	case nsIMDN + " Message-ID":
		if !ValidID(value) {
			return malformed("%s: %.60q names no message", name, value)
		}
		return once(&r.MessageID)
	case nsIMDN + " Disposition-Notification":
		return r.wanted(value)
	case nsIMDN + " Original-To":
		return address(&r.OriginalTo)
	case nsIMDN + " IMDN-Record-Route":
		return r.route(&r.RecordRoutes, value)
	case nsIMDN + " IMDN-Route":
		return r.route(&r.Routes, value)
	}
	return nil
}

// namespace takes "prefix <URI>", or "<URI>" for names without a prefix. RFC 3862 §4
func (r *reader) namespace(value string) error {
	prefix, uri, ok := strings.Cut(value, "<")
	uri, rest, closed := strings.Cut(uri, ">")
	prefix = strings.TrimSpace(prefix)
	if !ok || !closed || rest != "" || uri == "" || strings.ContainsAny(prefix, " .:;") {
		return malformed("NS: %.60q is no namespace", value)
	}
	r.spaces[prefix] = uri
	return nil
}

func (r *reader) understands(feature string) bool {
	prefix, local, dotted := strings.Cut(feature, ".")
	if !dotted {
		prefix, local = "", feature
	}
	return slices.Contains(map[string][]string{
		nsCPIM: {"From", "To", "cc", "DateTime", "Subject", "NS", "Require"},
		nsIMDN: {"Message-ID", "Disposition-Notification", "Original-To", "IMDN-Record-Route", "IMDN-Route"},
	}[r.spaces[prefix]], local)
}

// wanted reads what the sender would like to be told; what is not known is passed over. RFC 5438 §7.2.1
func (r *reader) wanted(value string) error {
	if r.seen[nsIMDN+"Disposition-Notification"] {
		return malformed("Disposition-Notification stands there twice")
	}
	r.seen[nsIMDN+"Disposition-Notification"] = true
	for wish := range strings.SplitSeq(value, ",") {
		kind, _, _ := strings.Cut(wish, ";")
		switch strings.TrimSpace(kind) {
		case "positive-delivery":
			r.Delivered = true
		case "negative-delivery":
			r.Failed = true
		}
	}
	return nil
}

func (r *reader) route(to *[]string, value string) error {
	uri, ok := addressIn(value)
	if !ok || len(*to) == maxRoutes {
		return malformed("a route %.60q that cannot be followed", value)
	}
	*to = append(*to, uri)
	return nil
}

// content reads the header fields of the content, up to the empty line, folded ones included (RFC 2045 §3). It gives the transfer
// encoding.
func (r *reader) content() (encoding string, err error) {
	var fields []string
	for {
		line, ok, err := r.line()
		switch {
		case err != nil:
			return "", err
		case !ok:
			return "", malformed("no content")
		case line == "":
			for _, f := range fields {
				name, value, ok := strings.Cut(f, ":")
				value = strings.TrimSpace(value)
				if !ok {
					return "", malformed("the line %.60q is no header field", f)
				}
				switch strings.ToLower(name) {
				case "content-type":
					r.ContentType = value
				case "content-disposition":
					kind, _, _ := strings.Cut(value, ";")
					r.Notification = strings.EqualFold(strings.TrimSpace(kind), "notification")
				case "content-transfer-encoding":
					encoding = value
				}
			}
			return encoding, nil
		case (line[0] == ' ' || line[0] == '\t') && len(fields) > 0:
			fields[len(fields)-1] += " " + strings.TrimSpace(line)
		default:
			fields = append(fields, line)
		}
	}
}

// addressIn is the URI of `Name <URI>`. RFC 3862 §3
func addressIn(s string) (string, bool) {
	_, uri, ok := strings.Cut(s, "<")
	uri, rest, closed := strings.Cut(uri, ">")
	return uri, ok && closed && strings.TrimSpace(rest) == "" && strings.Contains(uri, ":") && !strings.ContainsAny(uri, "< \t\"\\")
}

// unescape undoes the escapes of a header field's value; what they stand for must not end the line. RFC 3862 §3
func unescape(s string) (string, bool) {
	if !strings.Contains(s, `\`) {
		return s, true
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] != '\\' {
			b.WriteByte(s[i])
			continue
		}
		if i++; i == len(s) {
			return "", false
		}
		switch c := s[i]; c {
		case '\\', '"', '\'':
			b.WriteByte(c)
		case 'b', 't', 'n', 'r':
			b.WriteByte(' ')
		case 'u':
			if i+5 > len(s) {
				return "", false
			}
			c, err := strconv.ParseUint(s[i+1:i+5], 16, 16)
			if err != nil || !utf8.ValidRune(rune(c)) || c == utf8.RuneError {
				return "", false
			}
			if c < ' ' || c == 0x7f {
				c = ' '
			}
			b.WriteRune(rune(c))
			i += 4
		default:
			return "", false
		}
	}
	return strings.TrimSpace(b.String()), true
}

// Bytes is the envelope as it goes out. Its values must be of one line each, as those that [ReadEnvelope] gives are.
func (e Envelope) Bytes() []byte {
	var b bytes.Buffer
	line := func(name, value string) {
		if value != "" {
			b.WriteString(name + ": " + value + "\r\n")
		}
	}
	address := func(name, uri string) {
		if uri != "" {
			line(name, "<"+uri+">")
		}
	}
	address("From", e.From)
	address("To", e.To)
	line("DateTime", e.DateTime)
	line("Subject", strings.ReplaceAll(e.Subject, `\`, `\\`))
	line("NS", "imdn <"+nsIMDN+">")
	line("imdn.Message-ID", strings.ReplaceAll(e.MessageID, `\`, `\\`))
	var wanted []string
	if e.Delivered {
		wanted = append(wanted, "positive-delivery")
	}
	if e.Failed {
		wanted = append(wanted, "negative-delivery")
	}
	line("imdn.Disposition-Notification", strings.Join(wanted, ", "))
	address("imdn.Original-To", e.OriginalTo)
	for _, r := range e.RecordRoutes {
		address("imdn.IMDN-Record-Route", r)
	}
	for _, r := range e.Routes {
		address("imdn.IMDN-Route", r)
	}
	b.WriteString("\r\n")
	line("Content-Type", e.ContentType)
	if e.Notification {
		line("Content-Disposition", "notification")
	}
	fmt.Fprintf(&b, "Content-Length: %d\r\n\r\n", len(e.Body))
	b.Write(e.Body)
	return b.Bytes()
}
