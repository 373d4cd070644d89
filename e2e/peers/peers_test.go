//go:build peers

package peers

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"fedlab/gateway/config"
	"fedlab/gateway/im"
	"fedlab/gateway/xmpps2s"
	"fedlab/internal/network"
	"fedlab/internal/pki"
	"fedlab/sim/dns"
)

// mode is one way in which two servers prove themselves to each other.
type mode struct {
	name     string
	policy   config.XMPPDomain // ours
	tls      bool              // the peer requires encryption
	external bool              // the peer requires a certificate
}

var modes = []mode{
	{"dialback in clear", config.XMPPDomain{TLS: config.TLSNever}, false, false},
	{"dialback in TLS", config.XMPPDomain{TLS: config.TLSRequired, SASL: config.SASLNever}, true, false},
	{"SASL EXTERNAL", config.XMPPDomain{TLS: config.TLSRequired, SASL: config.SASLRequired}, true, true},
}

// site is what stands around the server under test.
type site struct {
	t        *testing.T
	dir      string
	mode     mode
	dns      netip.AddrPort
	s2s, c2s int // the peer's ports
	gateway  *xmpps2s.Server
	in       inbox
	presence chan xmpps2s.Presence
}

type inbox chan im.Message

func (b inbox) Send(m im.Message, outcome im.Outcome) { b <- m; outcome(nil) }

type heard chan xmpps2s.Presence

func (h heard) HandlePresence(p xmpps2s.Presence) { h <- p }

func (heard) TellAgain(string, string) {}

// lastPort is the last that freePort gave.
var lastPort = 20000

// freePort is a port that nobody listens on, below those that the system takes for the near ends of connections: one of these may
// be in use again by the time that a server listens on it.
func freePort(t *testing.T) int {
	t.Helper()
	for lastPort < 30000 {
		lastPort++
		l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", lastPort))
		if err == nil {
			l.Close()
			return lastPort
		}
	}
	t.Fatal("no port is free between 20000 and 30000")
	return 0
}

// newSite starts DNS and the gateway's XMPP side for contoso.example, and mints certificates for both ends.
func newSite(t *testing.T, m mode) *site {
	t.Helper()
	s := &site{t: t, dir: t.TempDir(), mode: m, s2s: freePort(t), c2s: freePort(t), in: make(inbox, 100), presence: make(chan xmpps2s.Presence, 100)}
	if err := os.Chmod(s.dir, 0o755); err != nil {
		t.Fatal(err)
	}
	ours := freePort(t)
	zone := func(port int) map[string][]string {
		return map[string][]string{
			"_xmpp-server._tcp SRV": {fmt.Sprintf("0 0 %d xmpp", port)},
			"xmpp A":                {"127.0.0.1"},
		}
	}
	server, err := dns.Start(t.Context(), dns.Config{Network: network.OS{}, Listen: "127.0.0.1:0",
		Zones: map[string]map[string][]string{"contoso.example": zone(ours), "peer.example": zone(s.s2s)}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { server.Close() })
	s.dns = server.Addr()

	authority, err := pki.NewAuthority("peers", pki.AuthorityOptions{})
	if err != nil {
		t.Fatal(err)
	}
	issue := func(domain string) *pki.Pair {
		p, err := authority.Issue(pki.Leaf{Subject: domain, Names: []string{domain}, Server: true, Client: true})
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	us, them := issue("contoso.example"), issue("peer.example")
	s.file("ca.pem", string(authority.RootPEM()))
	s.file("server.pem", string(them.CertPEM))
	s.file("server.key", string(them.KeyPEM))

	cert := us.TLS()
	log := slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelInfo}))
	s.gateway, err = xmpps2s.New(xmpps2s.Config{Network: network.OS{DNS: []string{s.dns.String()}}, Listen: fmt.Sprintf("127.0.0.1:%d", ours),
		Domains: map[string]config.XMPPDomain{"peer.example": m.policy}, Local: []string{"contoso.example"}, Certificate: &cert,
		Roots: pki.Roots(authority), Presence: heard(s.presence), Log: log}, s.in)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.gateway.Run(ctx) }()
	<-s.gateway.Ready()
	t.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return s
}

// file writes a file into the site's directory.
func (s *site) file(name, text string) string {
	s.t.Helper()
	path := filepath.Join(s.dir, name)
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		s.t.Fatal(err)
	}
	return path
}

// run starts a program that runs until the test ends, and waits until it accepts clients.
func (s *site) run(env []string, name string, args ...string) {
	s.t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		s.t.Fatalf("%s is not installed: apt-get install prosody ejabberd (%v)", name, err)
	}
	cmd := exec.Command(path, args...)
	cmd.Env = append(os.Environ(), env...)
	out, err := os.Create(filepath.Join(s.dir, "output.txt"))
	if err != nil {
		s.t.Fatal(err)
	}
	cmd.Stdout, cmd.Stderr, cmd.Dir = out, out, s.dir
	if err := cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	s.t.Cleanup(func() {
		cmd.Process.Signal(os.Interrupt)
		select {
		case <-ended:
		case <-time.After(10 * time.Second):
			cmd.Process.Kill()
			<-ended
		}
		out.Close()
		if s.t.Failed() {
			if text, err := os.ReadFile(out.Name()); err == nil {
				s.t.Logf("%s printed:\n%s", name, text)
			}
		}
	})
	for end := time.Now().Add(60 * time.Second); ; {
		c, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", s.c2s))
		if err == nil {
			c.Close()
			return
		}
		select {
		case err := <-ended:
			ended <- err
			s.t.Fatalf("%s ended: %v", name, err)
		case <-time.After(100 * time.Millisecond):
		}
		if time.Now().After(end) {
			s.t.Fatalf("%s accepts no clients", name)
		}
	}
}

// exercise is what every server in every mode has to do.
func (s *site) exercise(t *testing.T) {
	user := logIn(t, fmt.Sprintf("127.0.0.1:%d", s.c2s), "peer.example", "bob", "secret")
	bob, anna := im.Address{Local: "bob", Domain: "peer.example"}, im.Address{Local: "anna", Domain: "contoso.example"}
	receive := func() im.Message {
		t.Helper()
		select {
		case m := <-s.in:
			return m
		case <-time.After(40 * time.Second):
			t.Fatalf("nothing came; %+v", s.gateway.Status())
			return im.Message{}
		}
	}
	hear := func() xmpps2s.Presence {
		t.Helper()
		select {
		case p := <-s.presence:
			return p
		case <-time.After(40 * time.Second):
			t.Fatalf("no presence came; %+v", s.gateway.Status())
			return xmpps2s.Presence{}
		}
	}
	send := func(m im.Message) {
		t.Helper()
		m.From, m.To = anna, bob
		out := make(chan *im.Failure, 1)
		s.gateway.Send(m, func(f *im.Failure) { out <- f })
		if f := <-out; f != nil {
			t.Fatalf("sending failed: %v", f)
		}
	}
	// A message each way.
	user.send("<message to='anna@contoso.example' type='chat' id='1'><body>Hello &lt;Anna&gt;</body><active xmlns='http://jabber.org/protocol/chatstates'/>" +
		"<request xmlns='urn:xmpp:receipts'/></message>")
	if m := receive(); m.From.Bare() != bob || m.To != anna || m.Body != "Hello <Anna>" || m.State != im.Active || !m.ReceiptWanted || m.ID != "1" {
		t.Errorf("got %+v", m)
	}
	send(im.Message{Body: "Hello Bob", ID: "2", ReceiptWanted: true})
	if got := user.until("</message>"); !strings.Contains(got, "<body>Hello Bob</body>") || !strings.Contains(got, "urn:xmpp:receipts") {
		t.Errorf("got %s", got)
	}
	// Chat states and receipts.
	user.send("<message to='anna@contoso.example' type='chat'><composing xmlns='http://jabber.org/protocol/chatstates'/></message>")
	if m := receive(); m.State != im.Composing {
		t.Errorf("got %+v", m)
	}
	send(im.Message{State: im.Composing})
	user.until("<composing")
	user.send("<message to='anna@contoso.example' id='3'><received xmlns='urn:xmpp:receipts' id='2'/></message>")
	if m := receive(); m.Receipt != "2" {
		t.Errorf("got %+v", m)
	}
	send(im.Message{Receipt: "1"})
	user.until("id='1'")
	// A ping of our domain by a user, which the peer routes.
	user.send("<iq to='contoso.example' type='get' id='ping1'><ping xmlns='urn:xmpp:ping'/></iq>")
	if got := user.until("ping1"); strings.Contains(got, "error") {
		t.Errorf("got %s", got)
	}
	// A subscription each way.
	user.send("<presence to='anna@contoso.example' type='subscribe'/>")
	if p := hear(); p.Type != "subscribe" || p.From != bob {
		t.Errorf("got %+v", p)
	}
	s.gateway.SendPresence(xmpps2s.Presence{From: anna, To: bob, Type: "subscribed"}, nil)
	user.until("subscribed")
	s.gateway.SendPresence(xmpps2s.Presence{From: anna, To: bob, Type: "subscribe"}, nil)
	user.until("subscribe")
	user.send("<presence to='anna@contoso.example' type='subscribed'/>")
	for p := hear(); p.Type != ""; p = hear() { // the server sends subscribed, then what Bob's presence is
		if p.Type != "subscribed" && p.Type != "probe" && p.Type != "unavailable" { // the last is a mere receipt (RFC 6121 §3.1.3)
			t.Errorf("got %+v", p)
		}
	}
	s.gateway.SendPresence(xmpps2s.Presence{From: im.Address{Local: "anna", Domain: "contoso.example", Resource: "ocs"}, To: bob, Show: "dnd", Status: "In a meeting"}, nil)
	user.until("In a meeting")
	// Twenty messages each way, in order.
	for i := range 20 {
		send(im.Message{Body: fmt.Sprintf("out %d.", i)})
		user.send(fmt.Sprintf("<message to='anna@contoso.example' type='chat'><body>in %d.</body></message>", i))
	}
	for i := range 20 {
		if got := user.until("</body>"); !strings.Contains(got, fmt.Sprintf("out %d.", i)) {
			t.Fatalf("at place %d: %s", i, got)
		}
		if m := receive(); m.Body != fmt.Sprintf("in %d.", i) {
			t.Fatalf("at place %d: %+v", i, m)
		}
	}
}
