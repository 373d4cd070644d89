package sipedge

import (
	"strconv"
	"strings"

	"github.com/emiago/sipgo/sip"
)

// message is what a request or response says, every header field as it stood on the wire. sipgo joins folded lines with a
// space and trims values; apart from that nothing is lost.
type message struct {
	fields []field
	body   []byte

	vias   []string // one per hop, comma lists taken apart, top first
	from   nameAddr
	to     nameAddr
	callID string
	cseq   uint32
	method string // of CSeq
}

type field struct{ name, value string } // name as written

// nameAddr is the value of From, To, Contact and their like.
type nameAddr struct {
	raw     string
	display string // unquoted
	uri     string
	params  string // what stands after the URI, with its ';'
}

// readMessage takes over the headers that sipgo has read.
func readMessage(headers []sip.Header, body []byte) *message {
	m := &message{fields: make([]field, 0, len(headers)), body: body}
	for _, h := range headers {
		switch h.(type) {
		case *sip.ViaHeader, *sip.CSeqHeader: // put there by prepare
			continue
		}
		m.fields = append(m.fields, field{h.Name(), h.Value()})
	}
	for _, v := range m.all("via", "v") {
		m.vias = append(m.vias, splitList(v)...)
	}
	m.from, m.to = parseNameAddr(m.get("from", "f")), parseNameAddr(m.get("to", "t"))
	m.callID = m.get("call-id", "i")
	number, method, _ := strings.Cut(m.get("cseq"), " ")
	if n, err := strconv.ParseUint(strings.TrimSpace(number), 10, 31); err == nil {
		m.cseq, m.method = uint32(n), strings.TrimSpace(method)
	}
	return m
}

// get is the value of the first header field with one of these names, lower case; the second name is the compact form.
func (m *message) get(names ...string) string {
	for _, f := range m.fields {
		if isNamed(f.name, names) {
			return f.value
		}
	}
	return ""
}

// all are the values of every header field with one of these names, in order, wherever they stand.
func (m *message) all(names ...string) []string {
	var values []string
	for _, f := range m.fields {
		if isNamed(f.name, names) {
			values = append(values, f.value)
		}
	}
	return values
}

// list are the elements of comma lists in every header field with one of these names.
func (m *message) list(names ...string) []string {
	var out []string
	for _, v := range m.all(names...) {
		out = append(out, splitList(v)...)
	}
	return out
}

func isNamed(name string, names []string) bool {
	for _, n := range names {
		if strings.EqualFold(name, n) {
			return true
		}
	}
	return false
}

// malformed says what a request lacks to be answered and routed, empty if nothing. RFC 3261 §8.1.1
func (m *message) malformed() string {
	if len(m.vias) == 0 {
		return "no Via"
	}
	if _, ok := parseVia(m.vias[0]); !ok {
		return "bad Via"
	}
	switch {
	case m.callID == "":
		return "no Call-ID"
	case m.method == "":
		return "bad CSeq"
	case m.from.uri == "":
		return "bad From"
	case m.to.uri == "":
		return "bad To"
	}
	for _, once := range [][]string{{"from", "f"}, {"to", "t"}, {"call-id", "i"}, {"cseq"}, {"max-forwards"}, {"content-length", "l"}} {
		if len(m.all(once...)) > 1 {
			return "more than one " + once[0]
		}
	}
	return ""
}

// parseNameAddr reads `"Anna"<sip:a@b;x>;tag=1`, `sip:a@b;tag=1` and all between. uri is empty if it cannot be read.
func parseNameAddr(s string) nameAddr {
	a := nameAddr{raw: s}
	open := indexOutsideQuotes(s, '<')
	if open < 0 {
		uri, params, _ := strings.Cut(s, ";") // without brackets every parameter belongs to the header. RFC 3261 §20.10
		a.uri = strings.TrimSpace(uri)
		if len(params) > 0 {
			a.params = ";" + params
		}
		return a
	}
	end := strings.IndexByte(s[open:], '>')
	if end < 0 {
		return a
	}
	a.display = unquote(strings.TrimSpace(s[:open]))
	a.uri = strings.TrimSpace(s[open+1 : open+end])
	a.params = strings.TrimSpace(s[open+end+1:])
	return a
}

// param is a parameter of the header field, such as tag.
func (a nameAddr) param(name string) string { v, _ := param(a.params, name); return v }

// param looks for name in ";a=b;c", quotes respected, name case-insensitive.
func param(params, name string) (string, bool) {
	for params != "" {
		var p string
		if i := indexOutsideQuotes(params, ';'); i >= 0 {
			p, params = params[:i], params[i+1:]
		} else {
			p, params = params, ""
		}
		k, v, _ := strings.Cut(p, "=")
		if strings.EqualFold(strings.TrimSpace(k), name) {
			return unquote(strings.TrimSpace(v)), true
		}
	}
	return "", false
}

// splitList takes a comma list apart; commas in quotes and in angle brackets do not count.
func splitList(s string) []string {
	if !strings.Contains(s, ",") {
		return []string{s}
	}
	var out []string
	quoted, depth, start := false, 0, 0
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == '<':
			depth++
		case c == '>':
			depth--
		case c == ',' && depth <= 0:
			out = append(out, strings.TrimSpace(s[start:i]))
			start = i + 1
		}
	}
	return append(out, strings.TrimSpace(s[start:]))
}

func indexOutsideQuotes(s string, want byte) int {
	quoted := false
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case c == want && !quoted:
			return i
		}
	}
	return -1
}

func unquote(s string) string {
	if len(s) < 2 || s[0] != '"' || s[len(s)-1] != '"' {
		return s
	}
	s = s[1 : len(s)-1]
	if !strings.Contains(s, `\`) {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+1 < len(s) {
			i++
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

// via is one Via value, taken apart.
type via struct {
	transport string
	host      string // lower case
	port      int    // 0 if none
	branch    string
}

// parseVia reads "SIP/2.0/TLS host:port;params"; ok is false if it is no Via.
func parseVia(s string) (v via, ok bool) {
	sent, params, _ := strings.Cut(s, ";")
	parts := strings.Fields(strings.ReplaceAll(sent, "/", " / "))
	// SIP / 2.0 / TLS host:port
	if len(parts) < 6 || !strings.EqualFold(parts[0], "SIP") || parts[2] != "2.0" || parts[1] != "/" || parts[3] != "/" {
		return v, false
	}
	v.transport = strings.ToUpper(parts[4])
	host := strings.Join(parts[5:], "")
	if i := strings.LastIndexByte(host, ':'); i >= 0 && !strings.HasSuffix(host, "]") {
		port, err := strconv.Atoi(host[i+1:])
		if err != nil || port < 1 || port > 65535 {
			return v, false
		}
		host, v.port = host[:i], port
	}
	v.host = strings.ToLower(strings.TrimSuffix(host, "."))
	v.branch, _ = param(params, "branch")
	return v, v.host != ""
}
