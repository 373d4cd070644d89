package ocsedge

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"fedlab/internal/pki"
	"fedlab/sim/trace"
	"fedlab/sim/vnet"
)

// world is an Edge on a virtual network, and what is needed to be its peer: the deployment of the field notes without the rest.
type world struct {
	t     *testing.T
	net   *vnet.Net
	ca    *pki.Authority
	edge  *Edge
	trace *trace.Recorder
	l     net.Listener // of the peer; nil after noListener
	pair  *pki.Pair    // the peer's certificate
	n     int          // of branches
}

// inWorld runs a test in a bubble, in virtual time. The bubble ends only when every goroutine of the Edge has.
func inWorld(t *testing.T, change func(*world, *Config), f func(*testing.T, *world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := &world{t: t, trace: trace.NewRecorder()}
		var err error
		w.net, err = vnet.New(vnet.Topology{
			Segments: map[string]vnet.SegmentConfig{
				"perimeter": {Prefixes: []netip.Prefix{netip.MustParsePrefix("10.11.12.0/24")}},
				"corporate": {Prefixes: []netip.Prefix{netip.MustParsePrefix("10.10.0.0/16")}},
			},
			Routers: map[string]vnet.RouterConfig{"inner": {Interfaces: map[string]netip.Prefix{
				"perimeter": netip.MustParsePrefix("10.11.12.2/24"), "corporate": netip.MustParsePrefix("10.10.10.1/16"),
			}}},
			Hosts: map[string]vnet.HostConfig{
				"xmpp": {
					Interfaces: map[string]netip.Prefix{"perimeter": netip.MustParsePrefix("10.11.12.40/24")},
					Routes:     map[string]netip.Addr{"10.10.0.0/16": netip.MustParseAddr("10.11.12.2")},
				},
				"edge": {
					Interfaces: map[string]netip.Prefix{"perimeter": netip.MustParsePrefix("10.11.12.33/24"), "corporate": netip.MustParsePrefix("10.10.10.50/16")},
					Routes:     map[string]netip.Addr{"10.11.12.40/32": netip.MustParseAddr("10.10.10.1")},
					HostsFile:  map[string]netip.Addr{"xmpp.jds.local": netip.MustParseAddr("10.11.12.40"), "dark.jds.local": netip.MustParseAddr("10.11.12.99")},
				},
			},
		}, vnet.Options{Seed: 1})
		if err != nil {
			t.Fatal(err)
		}
		defer w.net.Close()
		if w.ca, err = pki.NewAuthority("private-ca", pki.AuthorityOptions{Issuing: true}); err != nil {
			t.Fatal(err)
		}
		w.pair = w.issue(pki.Leaf{Subject: "xmpp.jds.local", Server: true})
		cfg := Config{
			Network: w.net.Host("edge"), Host: "edge", Name: "sip.contoso.com", Federation: "10.11.12.33:5061", Internal: "10.10.10.50:5061",
			Certificate: w.issue(pki.Leaf{Subject: "sip.contoso.com", Server: true}).TLS(), InternalCertificate: w.issue(pki.Leaf{Subject: "edge.jds.local", Server: true}).TLS(),
			Roots: pki.Roots(w.ca), Domains: []string{"contoso.com"}, Allow: map[string]string{"gmail.com": "xmpp.jds.local"},
			Users: []User{{Address: "alice@contoso.com"}, {Address: "anna@contoso.com", Name: "Anna Berg", Contacts: []string{"bob@gmail.com"}},
				{Address: "off@contoso.com", State: Offline}, {Address: "busy@contoso.com", State: Busy}, {Address: "no@contoso.com", State: Declines},
				{Address: "left@contoso.com", State: Left}, {Address: "inside@contoso.com", State: Internal}, {Address: "silent@contoso.com", State: Silent}},
			Trace: w.trace, Seed: 1,
		}
		if change != nil {
			change(w, &cfg)
		}
		if w.l, err = w.net.Host("xmpp").Listen(t.Context(), "tcp", ":5061"); err != nil {
			t.Fatal(err)
		}
		defer w.l.Close()
		if w.edge, err = Start(t.Context(), cfg); err != nil {
			t.Fatal(err)
		}
		defer w.edge.Close()
		f(t, w)
	})
}

func quirks(q Quirks) func(*world, *Config) { return func(_ *world, c *Config) { c.Quirks = q } }

func (w *world) issue(l pki.Leaf) *pki.Pair {
	w.t.Helper()
	p, err := w.ca.Issue(l)
	if err != nil {
		w.t.Fatal(err)
	}
	return p
}

// tcp opens a plain connection from the peer's machine.
func (w *world) tcp(to string) net.Conn {
	w.t.Helper()
	raw, err := w.net.Host("xmpp").DialContext(w.t.Context(), "tcp", to)
	if err != nil {
		w.t.Fatal(err)
	}
	return raw
}

// dialAs connects to an interface of the Edge with a certificate; the error is the handshake's.
func (w *world) dialAs(to string, certificates ...tls.Certificate) (*peer, error) {
	c := tls.Client(w.tcp(to), &tls.Config{InsecureSkipVerify: true, Certificates: certificates})
	return &peer{t: w.t, w: w, c: c, r: newReader(c)}, c.HandshakeContext(w.t.Context())
}

// dial connects to the federation listener as the gateway does.
func (w *world) dial() *peer {
	w.t.Helper()
	p, err := w.dialAs("10.11.12.33:5061", w.pair.TLS())
	if err != nil {
		w.t.Fatal(err)
	}
	return p
}

// accept takes the Edge's connection.
func (w *world) accept() *peer {
	w.t.Helper()
	raw, err := w.l.Accept()
	if err != nil {
		w.t.Fatal(err)
	}
	c := tls.Server(raw, &tls.Config{Certificates: []tls.Certificate{w.pair.TLS()}, ClientAuth: tls.RequireAnyClientCert})
	return &peer{t: w.t, w: w, c: c, r: newReader(c)}
}

func (w *world) send(from, to, body string) {
	w.t.Helper()
	if err := w.edge.Send(w.t.Context(), SendOptions{From: from, To: to, Body: body, ID: "m"}); err != nil {
		w.t.Fatal(err)
	}
}

// shown waits for what a user's client shows.
func (w *world) shown(kind trace.ItemType, user string) trace.Event {
	w.t.Helper()
	return w.shownAfter(0, kind, user)
}

func (w *world) shownAfter(since int, kind trace.ItemType, user string) trace.Event {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.t.Context(), 10*time.Hour)
	defer cancel()
	e, err := w.trace.Await(ctx, since, func(e trace.Event) bool {
		return e.Layer == trace.Client && e.Kind == trace.Received && e.To == user && e.Item.Type == kind
	})
	if err != nil {
		w.t.Fatalf("%s was never shown a %s: %v\n%s", user, kind, err, w.log())
	}
	return e
}

func (w *world) log() string { return strings.Join(w.edge.Log(), "\n") }

// unexpected lists what the Edge held against its peer, once everything has come to rest.
func (w *world) unexpected() []string {
	time.Sleep(time.Second)
	synctest.Wait()
	var out []string
	for _, e := range w.trace.Events() {
		if e.Kind == trace.Unexpected {
			out = append(out, e.Summary)
		}
	}
	return out
}

func (w *world) conforming() {
	w.t.Helper()
	if u := w.unexpected(); len(u) > 0 {
		w.t.Errorf("a conforming peer is found guilty of: %q", u)
	}
}

// guilty wants exactly these findings, each by a part of its text.
func (w *world) guilty(want ...string) {
	w.t.Helper()
	got := w.unexpected()
	for _, g := range got {
		if !slices.ContainsFunc(want, func(s string) bool { return strings.Contains(g, s) }) {
			w.t.Errorf("also found guilty of %q", g)
		}
	}
	for _, s := range want {
		if !slices.ContainsFunc(got, func(g string) bool { return strings.Contains(g, s) }) {
			w.t.Errorf("not found guilty of %q, but of %q", s, got)
		}
	}
}

// peer is a gateway written by hand: it says what a test tells it to, byte by byte.
type peer struct {
	t *testing.T
	w *world
	c *tls.Conn
	r *reader
}

func (p *peer) close() { p.c.NetConn().Close() }

// write sends text with its lines ended as SIP wants it.
func (p *peer) write(text string) {
	p.t.Helper()
	if _, err := p.c.Write([]byte(strings.ReplaceAll(text, "\n", "\r\n"))); err != nil {
		p.t.Fatalf("the peer writes: %v", err)
	}
}

// read returns the next message, which has to begin with want.
func (p *peer) read(want string) *message {
	p.t.Helper()
	p.c.SetReadDeadline(time.Now().Add(10 * time.Hour))
	m, _, err := p.r.next()
	if err != nil {
		p.t.Fatalf("the peer wants %q: %v\n%s", want, err, p.w.log())
	}
	if got := strings.SplitN(string(m.bytes()), "\r\n", 2)[0]; !strings.HasPrefix(got, want) {
		p.t.Fatalf("the peer got\n%s\nwant %q", m.bytes(), want)
	}
	return m
}

// silent checks that nothing more comes for a while.
func (p *peer) silent(d time.Duration) {
	p.t.Helper()
	p.c.SetReadDeadline(time.Now().Add(d))
	if m, _, err := p.r.next(); err == nil {
		p.t.Errorf("the peer got\n%s", m.bytes())
	}
}

// edit changes a message before it goes out: pairs of what to replace and with what. What is not found fails the test.
type edit []string

func (e edit) apply(t *testing.T, text string) string {
	t.Helper()
	for i := 0; i+1 < len(e); i += 2 {
		if !strings.Contains(text, e[i]) {
			t.Fatalf("%q does not stand in\n%s", e[i], text)
		}
		text = strings.Replace(text, e[i], e[i+1], 1)
	}
	return text
}

const peerSDP = "v=0\no=- 0 0 IN IP4 10.11.12.40\ns=session\nc=IN IP4 10.11.12.40\nt=0 0\nm=message 5060 sip null\na=accept-types:text/plain\n"

// sized adds the length and the body.
func sized(head, body string) string {
	return head + fmt.Sprintf("Content-Length: %d\n\n%s", len(strings.ReplaceAll(body, "\n", "\r\n")), body)
}

// reply answers a request as a conforming peer does, and then as edited.
func (p *peer) reply(m *message, status, more, body string, edits ...string) {
	p.t.Helper()
	var b strings.Builder
	fmt.Fprintf(&b, "SIP/2.0 %s\n", status)
	for _, f := range m.fields {
		switch f.name {
		case "Via", "Record-Route", "From", "Call-ID", "CSeq":
			fmt.Fprintf(&b, "%s: %s\n", f.name, f.value)
		case "To":
			if !strings.Contains(f.value, ";tag=") && !strings.HasPrefix(status, "100") {
				f.value += ";tag=8c21f7"
			}
			fmt.Fprintf(&b, "To: %s\n", f.value)
		}
	}
	p.write(edit(edits).apply(p.t, sized(b.String()+more, body)))
}

const (
	peerContact = "Contact: <sip:xmpp.jds.local:5061;transport=tls>\n"
	peerAnswer  = peerContact + "Content-Type: application/sdp\n"
)

// branch is a new one.
func (p *peer) branch() string { p.w.n++; return fmt.Sprintf("z9hG4bK%d", p.w.n) }

// open writes a request outside of a dialog.
func (p *peer) open(method, to, more, body string, edits ...string) {
	p.t.Helper()
	p.write(edit(edits).apply(p.t, sized(method+" sip:"+to+" SIP/2.0\nVia: SIP/2.0/TLS xmpp.jds.local:5061;branch="+p.branch()+
		"\nMax-Forwards: 70\nFrom: <sip:bob@gmail.com>;tag=a1\nTo: <sip:"+to+">\nCall-ID: c1\nCSeq: 1 "+method+"\n"+more, body)))
}

// call is a dialog with a user, as the peer sees it.
type call struct {
	*peer
	target, from, to, id, routes string
	n                            int
}

// request writes a request inside the dialog.
func (c *call) request(method, more, body string, edits ...string) {
	c.t.Helper()
	n := c.n
	if method != "ACK" && method != "CANCEL" {
		c.n++
		n = c.n
	}
	c.write(edit(edits).apply(c.t, sized(fmt.Sprintf("%s %s SIP/2.0\nVia: SIP/2.0/TLS xmpp.jds.local:5061;branch=%s\nMax-Forwards: 70\n%sFrom: %s\nTo: %s\nCall-ID: %s\nCSeq: %d %s\n%s",
		method, c.target, c.branch(), c.routes, c.from, c.to, c.id, n, method, more), body)))
}

func (c *call) say(text string, edits ...string) {
	c.t.Helper()
	c.request("MESSAGE", "Content-Type: text/plain; charset=UTF-8\n", text, edits...)
}

// dialog is the peer's side of what a request of its own made, by the final response.
func (p *peer) dialog(ok *message, n int) *call {
	contact, _ := parseAddress(ok.get("Contact"))
	routes := ""
	for _, rr := range ok.list("Record-Route") {
		routes = "Route: " + rr + "\n" + routes
	}
	return &call{p, contact.whole, ok.get("From"), ok.get("To"), ok.get("Call-ID"), routes, n}
}

// invite opens a session to a user, up to the ACK.
func (p *peer) invite(user string) *call {
	p.t.Helper()
	p.open("INVITE", user, peerAnswer, peerSDP)
	for _, want := range []string{"SIP/2.0 100 Trying", "SIP/2.0 101 Progress Report", "SIP/2.0 180 Ringing"} {
		p.read(want)
	}
	c := p.dialog(p.read("SIP/2.0 200 OK"), 1)
	c.request("ACK", "", "")
	return c
}

// take takes the session that a user opens, up to the ACK.
func (p *peer) take() (*call, *message) {
	p.t.Helper()
	inv := p.read("INVITE sip:bob@gmail.com SIP/2.0")
	p.reply(inv, "200 OK", peerAnswer, peerSDP)
	p.read("ACK sip:xmpp.jds.local:5061;transport=tls SIP/2.0")
	return p.taken(inv), inv
}

// taken is the peer's side of the dialog that a request of a user made.
func (p *peer) taken(m *message) *call {
	contact, _ := parseAddress(m.get("Contact"))
	routes := ""
	for _, rr := range m.list("Record-Route") {
		routes += "Route: " + rr + "\n"
	}
	return &call{p, contact.whole, m.get("To") + ";tag=8c21f7", m.get("From"), m.get("Call-ID"), routes, 0}
}
