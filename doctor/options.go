package doctor

import (
	"bufio"
	"context"
	"crypto/rand"
	"crypto/tls"
	"fmt"
	"net"
	"net/textproto"
	"strconv"
	"strings"
	"time"
)

// question is one SIP OPTIONS: whether the peer would serve a request from one domain to another.
type question struct {
	from, to string // domains
	host     string // our own name, for Via
	padding  int    // bytes of a header that means nothing; 0: without
}

// answer is what came back.
type answer struct {
	question
	status int
	reason string
	header textproto.MIMEHeader
	err    error // why there is none
}

// String is the answer in words.
func (a answer) String() string {
	asked := fmt.Sprintf("OPTIONS from %s to %s", a.from, a.to)
	if a.err != nil {
		return fmt.Sprintf("%s: no answer: %v", asked, a.err)
	}
	s := fmt.Sprintf("%s: %d %s", asked, a.status, a.reason)
	for _, name := range []string{"Server", "Contact", "Warning", "Retry-After", "Ms-Diagnostics", "Ms-Diagnostics-Public"} {
		if v := a.header.Get(name); v != "" {
			s += fmt.Sprintf("; %s: %s", name, v)
		}
	}
	return s
}

// maxAnswerBytes bounds what is read of the answers on one connection.
const maxAnswerBytes = 64 << 10

// ask sends all questions over a session, one after the other without waiting, and reads the answers. Who asks nothing but
// OPTIONS disturbs nobody (RFC 3261 §11).
func ask(ctx context.Context, conn *tls.Conn, questions []question) []answer {
	answers := make([]answer, len(questions))
	open := map[string]int{} // Call-ID to index
	deadline := time.Now().Add(Patience)
	if d, ok := ctx.Deadline(); ok && d.Before(deadline) {
		deadline = d
	}
	_ = conn.SetDeadline(deadline)
	defer context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })()
	local := conn.LocalAddr().String()
	_, port, _ := net.SplitHostPort(local)
	var failed error
	for i, q := range questions {
		answers[i].question = q
		id := rand.Text()
		open[id] = i
		nothing := ""
		if q.padding > 0 {
			nothing = "X-Padding: " + strings.Repeat("x", q.padding) + "\r\n"
		}
		request := strings.Join([]string{
			"OPTIONS sip:" + q.to + " SIP/2.0",
			"Via: SIP/2.0/TLS " + net.JoinHostPort(q.host, port) + ";branch=z9hG4bK" + rand.Text(),
			"Max-Forwards: 70",
			"From: <sip:" + q.from + ">;tag=" + rand.Text()[:10],
			"To: <sip:" + q.to + ">",
			"Call-ID: " + id,
			"CSeq: 1 OPTIONS",
			"Accept: application/sdp",
			"User-Agent: fedgate-doctor",
			nothing + "Content-Length: 0", "", "",
		}, "\r\n")
		if _, err := conn.Write([]byte(request)); err != nil && failed == nil {
			failed = err
		}
	}
	reader := bufio.NewReader(&limited{conn, maxAnswerBytes})
	for failed == nil && len(open) > 0 {
		var a answer
		if a, failed = readAnswer(reader); failed != nil {
			break
		}
		i, ours := open[a.header.Get("Call-Id")]
		if !ours || a.status < 200 {
			continue
		}
		a.question = questions[i]
		answers[i] = a
		delete(open, a.header.Get("Call-Id"))
	}
	for _, i := range open {
		answers[i].err = failed
	}
	return answers
}

// readAnswer reads one message. Requests that the peer sends are returned with status 0; nobody answers them, for we are
// about to leave.
func readAnswer(r *bufio.Reader) (answer, error) {
	var a answer
	tp := textproto.NewReader(r)
	line := ""
	for line == "" { // empty lines between messages keep connections alive
		var err error
		if line, err = tp.ReadLine(); err != nil {
			return a, err
		}
	}
	version, rest, _ := strings.Cut(line, " ")
	if strings.HasPrefix(version, "SIP/") {
		code, reason, _ := strings.Cut(rest, " ")
		status, err := strconv.Atoi(code)
		if err != nil || status < 100 || status > 699 {
			return a, fmt.Errorf("an answer that is not SIP: %s", quote([]byte(line)))
		}
		a.status, a.reason = status, reason
	} else if !strings.HasSuffix(line, " SIP/2.0") {
		return a, fmt.Errorf("an answer that is not SIP: %s", quote([]byte(line)))
	}
	header, err := tp.ReadMIMEHeader()
	if err != nil {
		return a, fmt.Errorf("an answer that is not SIP: %w", err)
	}
	a.header = header
	length := header.Get("Content-Length")
	if length == "" {
		length = header.Get("L")
	}
	n, err := strconv.Atoi(strings.TrimSpace(length))
	if err != nil && length != "" || n < 0 || n > maxAnswerBytes {
		return a, fmt.Errorf("an answer with Content-Length %q", length)
	}
	if id := header.Get("I"); id != "" && header.Get("Call-Id") == "" {
		header.Set("Call-Id", id) // the compact form
	}
	if _, err := r.Discard(n); err != nil {
		return a, err
	}
	return a, nil
}

// limited reads at most so many bytes of a connection and fails then.
type limited struct {
	conn net.Conn
	left int
}

func (l *limited) Read(p []byte) (int, error) {
	if l.left <= 0 {
		return 0, fmt.Errorf("more than %d bytes of answers", maxAnswerBytes)
	}
	n, err := l.conn.Read(p[:min(len(p), l.left)])
	l.left -= n
	return n, err
}

// contactHost is the host of a Contact header: the name under which the peer wants to be known.
func (a answer) contactHost() string {
	contact := a.header.Get("Contact")
	if contact == "" {
		contact = a.header.Get("M")
	}
	_, rest, ok := strings.Cut(contact, "sip:")
	if !ok {
		if _, rest, ok = strings.Cut(contact, "sips:"); !ok {
			return ""
		}
	}
	if end := strings.IndexAny(rest, ">;?, "); end >= 0 {
		rest = rest[:end]
	}
	if at := strings.LastIndexByte(rest, '@'); at >= 0 {
		rest = rest[at+1:]
	}
	if host, _, err := net.SplitHostPort(rest); err == nil {
		return host
	}
	return rest
}

// refused reports whether an Edge's answer means that it does not want requests from this domain or this peer.
func (a answer) refused() bool { return a.status == 504 || a.status == 403 }

// unavailable reports whether the peer is there and cannot serve now.
func (a answer) unavailable() bool {
	return a.status == 503 || a.status == 500 || a.err != nil && alert(a.err) == ""
}

// internal reports whether the answer comes from an Edge's internal interface: it explains itself with ms-diagnostics, which
// never crosses the federation boundary.
func (a answer) internal() bool { return a.header.Get("Ms-Diagnostics") != "" }
