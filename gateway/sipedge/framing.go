package sipedge

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/emiago/sipgo/sip"
)

// maxSkipped is the largest body of a refused message that is read for the sake of the next message.
const maxSkipped = 16 << 20

var errFraming = errors.New("sipedge: nobody can tell where the next message begins")

// framer stands between what a link reads and sipgo's parser, which gives a whole connection up for one message that it cannot read. It
// passes on what the parser can read, byte for byte. What it cannot, and what is too long, is taken off the stream and answered, as far
// as there is something to answer and an end in sight. RFC 3261 §18.3; RFC 4475 §3.1.2
type framer struct {
	max    int                                                    // bytes of one message
	refuse func(head []byte, method string, code int, why string) // answers a request

	head    []byte // of the message that is being read, as far as it has come
	looked  int    // bytes of head in which no end is
	body    int    // bytes that are still to come and to be passed on
	skipped int    // … and not to be passed on
	ready   []byte // to be passed on
}

// take takes what was read. After an error the connection is of no more use.
func (f *framer) take(b []byte) error {
	for len(b) > 0 {
		if n := min(len(b), f.skipped); n > 0 {
			f.skipped, b = f.skipped-n, b[n:]
			continue
		}
		if n := min(len(b), f.body); n > 0 {
			f.ready = append(f.ready, b[:n]...)
			f.body, b = f.body-n, b[n:]
			continue
		}
		if len(f.head) == 0 && (b[0] == '\r' || b[0] == '\n') { // keep-alives between messages. RFC 3261 §7.5
			f.ready, b = append(f.ready, b[0]), b[1:]
			continue
		}
		had := len(f.head)
		f.head = append(f.head, b...)
		end := bytes.Index(f.head[f.looked:], []byte("\r\n\r\n"))
		if end < 0 && len(f.head) > f.max || f.looked+end+4 > f.max {
			return fmt.Errorf("%w: header fields of more than %d bytes", errFraming, f.max)
		}
		if end < 0 {
			f.looked = max(0, len(f.head)-3)
			return nil
		}
		end += f.looked + 4
		b = b[end-had:]
		if err := f.judge(f.head[:end]); err != nil {
			return err
		}
		f.head, f.looked = f.head[:0], 0
	}
	return nil
}

// judge looks at a whole header: its message is passed on, or refused, or ends the connection.
func (f *framer) judge(head []byte) error {
	lines, broken := unfold(head)
	length, lengthWhy := bodyLength(lines)
	start := lines[0]
	method, version := cutRequestLine(start)
	request := version != ""
	switch {
	case !request && !strings.HasPrefix(strings.ToUpper(start), "SIP/"):
		return fmt.Errorf("%w: %.80q is no beginning of a SIP message", errFraming, start)
	case lengthWhy != "":
		if request {
			f.refuse(head, method, 400, "Bad Request: "+lengthWhy)
		}
		return fmt.Errorf("%w: %s", errFraming, lengthWhy)
	case len(head)+length > f.max:
		if request {
			f.refuse(head, method, 413, fmt.Sprintf("Request Entity Too Large: %d bytes, %d can be taken", len(head)+length, f.max))
		}
		if length > maxSkipped {
			return fmt.Errorf("%w: a body of %d bytes", errFraming, length)
		}
		f.skipped = length
		return nil
	}
	code, why := 0, ""
	switch {
	case broken != "":
		code, why = 400, "Bad Request: "+broken
	case request:
		code, why = badRequestLine(start)
	case !statusLine(start):
		code = -1 // a response that cannot be read is dropped. RFC 4475 §3.1.2.19
	}
	if code == 0 {
		f.ready = append(f.ready, head...)
		f.body = length
		return nil
	}
	if request {
		f.refuse(head, method, code, why)
	}
	f.skipped = length
	return nil
}

// unfold takes a header apart into lines, continued ones joined, the start line first. broken says what the parser would stumble over.
func unfold(head []byte) (lines []string, broken string) {
	for line := range strings.SplitSeq(string(bytes.TrimSuffix(head, []byte("\r\n\r\n"))), "\r\n") {
		switch {
		case strings.Contains(line, "\r"):
			broken = "a line ends in the middle"
			fallthrough
		default:
			lines = append(lines, line)
		case len(lines) > 1 && (line[0] == ' ' || line[0] == '\t'):
			lines[len(lines)-1] += " " + strings.Trim(line, " \t")
		}
	}
	for _, line := range lines[1:] {
		if !strings.Contains(line, ":") && broken == "" {
			broken = "a line is no header field"
		}
	}
	return lines, broken
}

// bodyLength is what Content-Length says. On a stream there has to be one (RFC 3261 §20.14), and no doubt about it.
func bodyLength(lines []string) (n int, why string) {
	value := ""
	for _, line := range lines[1:] {
		name, v, _ := strings.Cut(line, ":")
		if !isNamed(strings.TrimSpace(name), []string{"content-length", "l"}) {
			continue
		}
		if v = strings.TrimSpace(v); value != "" && v != value {
			return 0, "more than one Content-Length"
		}
		value = v
	}
	if value == "" {
		return 0, "no Content-Length"
	}
	length, err := strconv.ParseUint(value, 10, 31)
	if err != nil {
		return 0, "bad Content-Length"
	}
	return int(length), ""
}

// cutRequestLine gives method and version of what is recognisably meant to be a request line; version is empty if it is none.
func cutRequestLine(line string) (method, version string) {
	words := strings.Fields(line)
	if len(words) < 3 || !strings.HasPrefix(strings.ToUpper(words[len(words)-1]), "SIP/") || strings.ContainsAny(words[0], `/:@<>"`) {
		return "", ""
	}
	return strings.ToUpper(words[0]), words[len(words)-1]
}

// badRequestLine says how a request line is refused; code is 0 if it is good. RFC 3261 §7.1, §8.2.2.1, §19.1.1
func badRequestLine(line string) (code int, why string) {
	words := strings.Split(line, " ")
	if len(words) != 3 || strings.Contains(line, "\t") {
		return 400, "Bad Request: white space in the request line"
	}
	uri := words[1]
	scheme, rest, _ := strings.Cut(uri, ":")
	ours := slices.Contains([]string{"sip", "sips", "tel"}, strings.ToLower(scheme))
	var parsed sip.Uri
	switch err := sip.ParseUri(uri, &parsed); {
	case strings.ContainsAny(uri, "<>"):
		return 400, "Bad Request: the Request-URI stands in brackets"
	case err != nil && ours, parsed.Wildcard:
		return 400, "Bad Request: the Request-URI cannot be read"
	case err != nil:
		return 416, "Unsupported URI Scheme"
	case ours && strings.Contains(rest[strings.LastIndexByte(rest, '@')+1:], "?"):
		return 400, "Bad Request: header fields in the Request-URI"
	}
	return 0, ""
}

// statusLine reports whether a line is a status line with a status that there may be. One whose reason is the single word "SIP…" the
// parser takes for a request line.
func statusLine(line string) bool {
	words := strings.SplitN(line, " ", 3)
	if len(words) == 3 && !strings.Contains(words[2], " ") && strings.HasPrefix(strings.ToUpper(words[2]), "SIP") {
		return false
	}
	return len(words) == 3 && len(words[1]) == 3 && words[1][0] >= '1' && words[1][0] <= '6' && strings.Trim(words[1], "0123456789") == ""
}

// refuseUnread answers a request that the parser never sees, with what stands in its header; without a Via there is nobody to answer.
func (l *link) refuseUnread(head []byte, method string, code int, why string) {
	if method == string(sip.ACK) || method == "BENOTIFY" {
		return
	}
	lines, _ := unfold(head)
	var headers []sip.Header
	for _, line := range lines[1:] {
		if name, value, ok := strings.Cut(line, ":"); ok && !strings.Contains(line, "\r") {
			headers = append(headers, sip.NewHeader(strings.TrimSpace(name), strings.TrimSpace(value)))
		}
	}
	in := &inbound{message: readMessage(headers, nil), method: method, link: l}
	if len(in.vias) == 0 {
		return
	}
	if _, ok := parseVia(in.vias[0]); !ok {
		return
	}
	_, _ = l.Write([]byte(in.response(code, why, nil).String())) // a lost link tells its own story
}
