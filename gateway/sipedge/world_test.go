package sipedge

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"fedlab/gateway/config"
	"fedlab/gateway/im"
	"fedlab/internal/pki"
)

// world is a gateway's SIP side and what stands around it, in one bubble: an authority, a network, and the tester as the
// Access Edge, who writes his bytes by hand.
type world struct {
	t    *testing.T
	ca   *pki.Authority
	net  *memnet
	edge *Edge
	sink *recorder
	stop func() // stops the gateway and waits for it
}

const (
	gatewayName = "xmpp.jds.local"
	edgeName    = "sip.contoso.com"
)

// inWorld runs f in a bubble; the bubble fails if a goroutine of the gateway survives its stop.
func inWorld(t *testing.T, f func(*world), change ...func(*Config)) {
	t.Helper()
	inWorldWith(t, func(_ *world, c *Config) {
		for _, ch := range change {
			ch(c)
		}
	}, f)
}

// inWorldWith does the same with a configuration that depends on the world.
func inWorldWith(t *testing.T, change func(*world, *Config), f func(*world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		ca, err := pki.NewAuthority("private-ca", pki.AuthorityOptions{})
		if err != nil {
			t.Fatal(err)
		}
		w := &world{t: t, ca: ca, net: newMemnet(), sink: &recorder{arrived: make(chan received, 1000)}}
		c := Config{
			Network: memhost{w.net, gatewayName}, Hostname: gatewayName,
			Certificate: w.certificate(pki.Leaf{Subject: gatewayName, Names: []string{gatewayName}, Server: true}),
			Roots:       pki.Roots(ca), Domains: map[string]config.SIPDomain{"contoso.com": {NextHop: config.NextHop{edgeName + ":5061"}}},
			Foreign: func(d string) bool { return d == "gmail.com" },
		}
		change(w, &c)
		if w.edge, err = New(c, w.sink); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		var group sync.WaitGroup
		group.Go(func() {
			if err := w.edge.Run(ctx); err != nil {
				t.Errorf("Run: %v", err)
			}
		})
		w.stop = func() { cancel(); group.Wait() }
		<-w.edge.Ready()
		f(w)
		w.stop()
	})
}

func (w *world) certificate(l pki.Leaf) tls.Certificate {
	w.t.Helper()
	p, err := w.ca.Issue(l)
	if err != nil {
		w.t.Fatal(err)
	}
	return p.TLS()
}

func (w *world) edgeCertificate() tls.Certificate {
	return w.certificate(pki.Leaf{Subject: edgeName, Names: []string{edgeName}, Server: true})
}

// peer is one end of a connection with the gateway, on which the tester writes SIP by hand.
type peer struct {
	t     *testing.T
	conn  *tls.Conn
	lines *bufio.Reader
	dumb  bool // does not answer OPTIONS by itself
}

// dial connects to the gateway as the Edge does.
func (w *world) dial(cert tls.Certificate) *peer {
	w.t.Helper()
	p, err := w.tryDial(&tls.Config{Certificates: []tls.Certificate{cert}, ServerName: gatewayName, RootCAs: pki.Roots(w.ca)})
	if err != nil {
		w.t.Fatal(err)
	}
	return p
}

func (w *world) tryDial(c *tls.Config) (*peer, error) {
	raw, err := memhost{w.net, "10.10.10.50"}.DialContext(w.t.Context(), "tcp", gatewayName+":5061")
	if err != nil {
		return nil, err
	}
	conn := tls.Client(raw, c)
	if err := conn.Handshake(); err != nil {
		_ = raw.Close()
		return nil, err
	}
	return &peer{t: w.t, conn: conn, lines: bufio.NewReader(conn)}, nil
}

// listen is the Edge's federation listener.
func (w *world) listen() net.Listener {
	w.t.Helper()
	l, err := memhost{w.net, edgeName}.Listen(w.t.Context(), "tcp", ":5061")
	if err != nil {
		w.t.Fatal(err)
	}
	return l
}

// accept takes the gateway's connection.
func (w *world) accept(l net.Listener, cert tls.Certificate) *peer {
	w.t.Helper()
	raw, err := l.Accept()
	if err != nil {
		w.t.Fatal(err)
	}
	conn := tls.Server(raw, &tls.Config{Certificates: []tls.Certificate{cert}, ClientAuth: tls.RequireAnyClientCert})
	if err := conn.Handshake(); err != nil {
		w.t.Fatal(err)
	}
	return &peer{t: w.t, conn: conn, lines: bufio.NewReader(conn)}
}

// connected is the usual start: the gateway has dialled the Edge.
func (w *world) connected() *peer {
	w.t.Helper()
	l := w.listen()
	p := w.accept(l, w.edgeCertificate())
	_ = l.Close()
	return p
}

func (p *peer) close() { _ = p.conn.NetConn().Close() }

// send writes a message; lines end in \n here, and Content-Length is added.
func (p *peer) send(head string, body ...string) {
	p.t.Helper()
	b := strings.Join(body, "")
	head = strings.TrimSpace(head)
	msg := strings.ReplaceAll(head, "\n", "\r\n") + "\r\nContent-Length: " + strconv.Itoa(len(b)) + "\r\n\r\n" + b
	if _, err := io.WriteString(p.conn, msg); err != nil {
		p.t.Fatalf("sending: %v", err)
	}
}

// wire is a message as it stood on the wire.
type wire struct {
	start  string
	header []string // lines
	body   string
}

func (m wire) get(name string) string {
	for _, h := range m.header {
		if n, v, _ := strings.Cut(h, ": "); strings.EqualFold(n, name) {
			return v
		}
	}
	return ""
}

func (m wire) all(name string) []string {
	var out []string
	for _, h := range m.header {
		if n, v, _ := strings.Cut(h, ": "); strings.EqualFold(n, name) {
			out = append(out, v)
		}
	}
	return out
}

func (m wire) String() string { return m.start + "\n" + strings.Join(m.header, "\n") + "\n\n" + m.body }

// next is the next message of the gateway.
func (p *peer) next() wire {
	p.t.Helper()
	m, err := p.read(time.Hour)
	if err != nil {
		p.t.Fatalf("no further message: %v", err)
	}
	return m
}

func (p *peer) read(within time.Duration) (wire, error) {
	for end := time.Now().Add(within); ; {
		m, err := p.readOne(time.Until(end))
		if err != nil || p.dumb || !strings.HasPrefix(m.start, "OPTIONS ") {
			return m, err
		}
		p.answer(m, "200 OK")
	}
}

func (p *peer) readOne(within time.Duration) (wire, error) {
	_ = p.conn.SetReadDeadline(time.Now().Add(within))
	var m wire
	for {
		line, err := p.lines.ReadString('\n')
		if err != nil {
			return m, err
		}
		line = strings.TrimSuffix(line, "\r\n")
		switch {
		case line == "" && m.start == "":
		case m.start == "":
			m.start = line
		case line != "":
			m.header = append(m.header, line)
		default:
			n, _ := strconv.Atoi(m.get("Content-Length"))
			b := make([]byte, n)
			_, err := io.ReadFull(p.lines, b)
			m.body = string(b)
			return m, err
		}
	}
}

// expect is the next message, which must begin so.
func (p *peer) expect(start string) wire {
	p.t.Helper()
	m := p.next()
	if !strings.HasPrefix(m.start, start) {
		p.t.Fatalf("got\n%s\nwant %s …", m, start)
	}
	return m
}

// silent fails if the gateway says anything within d.
func (p *peer) silent(d time.Duration) {
	p.t.Helper()
	if m, err := p.read(d); err == nil {
		p.t.Fatalf("unexpected message:\n%s", m)
	}
}

// answer responds to a request of the gateway.
func (p *peer) answer(req wire, status string, extra ...string) {
	p.t.Helper()
	head := "SIP/2.0 " + status + "\n"
	for _, v := range req.all("Via") {
		head += "Via: " + v + ";received=10.11.12.40;ms-received-port=62329;ms-received-cid=6DA00/100/A2EA700\n"
	}
	body := ""
	to := req.get("To")
	if !strings.Contains(to, ";tag=") && !strings.HasPrefix(status, "100") {
		to += ";epid=4f1a2b3c4d;tag=0A1B2C3D4E5F60718293A4B5C6D7E8F9"
	}
	head += "From: " + req.get("From") + "\nTo: " + to + "\nCall-ID: " + req.get("Call-ID") + "\nCSeq: " + req.get("CSeq") + "\n"
	for _, x := range extra {
		if strings.HasPrefix(x, "v=0") {
			body = x
			x = "Content-Type: application/sdp"
		}
		head += x + "\n"
	}
	p.send(head, body)
}

// edgeSDP is an OCS user's description of an IM session.
const edgeSDP = "v=0\r\no=- 0 0 IN IP4 10.10.20.7\r\ns=session\r\nc=IN IP4 10.10.20.7\r\nt=0 0\r\nm=message 5060 sip null\r\n" +
	"a=accept-types:text/plain multipart/alternative image/gif text/rtf text/html application/x-ms-ink application/ms-imdn+xml text/x-msmsgsinvite \r\n"

// received is a message that reached the XMPP side.
type received struct {
	im.Message
	outcome im.Outcome
}

// recorder is the XMPP side.
type recorder struct{ arrived chan received }

func (r *recorder) Send(m im.Message, o im.Outcome) { r.arrived <- received{m, o} }

var (
	bob   = im.Address{Local: "bob", Domain: "gmail.com"}
	alice = im.Address{Local: "alice", Domain: "contoso.com"}
)

// outcomes collects what became of messages.
type outcomes struct{ told chan string }

func newOutcomes() *outcomes { return &outcomes{make(chan string, 1000)} }

func (o *outcomes) of(name string) im.Outcome {
	return func(f *im.Failure) {
		if f == nil {
			o.told <- name + " ok"
		} else {
			o.told <- fmt.Sprintf("%s %s %d", name, f.Condition, f.Status)
		}
	}
}

func (o *outcomes) expect(t *testing.T, want string) {
	t.Helper()
	if got := <-o.told; got != want {
		t.Fatalf("outcome %q, want %q", got, want)
	}
}
