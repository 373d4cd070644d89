package xmpps2s

import (
	"context"
	"net"
	"net/netip"
	"regexp"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"fedlab/gateway/config"
	"fedlab/gateway/im"
)

// inbox is a sink that a test reads from.
type inbox struct {
	ch     chan im.Message
	mu     sync.Mutex
	answer *im.Failure
}

func (b *inbox) Send(m im.Message, outcome im.Outcome) {
	b.mu.Lock()
	f := b.answer
	b.mu.Unlock()
	b.ch <- m
	outcome(f)
}

func (b *inbox) none(t *testing.T) {
	t.Helper()
	synctest.Wait()
	select {
	case m := <-b.ch:
		t.Fatalf("a message was delivered: %+v", m)
	default:
	}
}

// lab is a server under test and what stands around it: gmail.com at 192.0.2.1, contoso.com at 203.0.113.1.
type lab struct {
	t       *testing.T
	w       *world
	s       *Server
	inbox   *inbox
	stop    context.CancelFunc
	done    chan error
	gmail   net.Listener
	outside *host
}

const (
	gmailAddr   = "192.0.2.1:5269"
	contosoAddr = "203.0.113.1:5269"
)

// bubble runs f in virtual time with a server that speaks for contoso.com with gmail.com and googlemail.com. change may
// change its configuration.
func bubble(t *testing.T, change func(*Config), f func(*testing.T, *lab)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		l := &lab{t: t, w: newWorld(), inbox: &inbox{ch: make(chan im.Message, 10000)}, done: make(chan error, 1)}
		l.w.srv["_xmpp-server._tcp.gmail.com"] = []*net.SRV{{Target: "xmpp-server.l.google.com.", Port: 5269, Priority: 5}}
		l.w.srv["_xmpp-server._tcp.googlemail.com"] = l.w.srv["_xmpp-server._tcp.gmail.com"]
		l.w.hosts["xmpp-server.l.google.com"] = []netip.Addr{netip.MustParseAddr("192.0.2.1")}
		l.outside = l.w.host("192.0.2.1")
		cfg := Config{
			Network: l.w.host("203.0.113.1"), Local: []string{"contoso.com", "fabrikam.com"}, Secret: "dialback-lab-secret", Seed: 1,
			Domains: map[string]config.XMPPDomain{"gmail.com": {TLS: config.TLSNever}, "googlemail.com": {TLS: config.TLSNever}},
		}
		if change != nil {
			change(&cfg)
		}
		var err error
		if l.s, err = New(cfg, l.inbox); err != nil {
			t.Fatal(err)
		}
		if l.gmail, err = l.outside.Listen(t.Context(), "tcp", gmailAddr); err != nil {
			t.Fatal(err)
		}
		ctx, stop := context.WithCancel(t.Context())
		l.stop = stop
		go func() { l.done <- l.s.Run(ctx) }()
		<-l.s.Ready()
		defer l.close()
		f(t, l)
	})
}

func (l *lab) close() {
	l.t.Helper()
	l.stop()
	l.gmail.Close()
	begin := time.Now()
	if err := <-l.done; err != nil {
		l.t.Errorf("Run: %v", err)
	}
	if took := time.Since(begin); took > time.Minute {
		l.t.Errorf("stopping took %v", took)
	}
}

// accept waits for the server's next connection to gmail.com.
func (l *lab) accept() *peer {
	l.t.Helper()
	c, err := l.gmail.Accept()
	if err != nil {
		l.t.Fatal(err)
	}
	return &peer{t: l.t, conn: c, name: "gmail.com"}
}

// connect opens a connection to the server.
func (l *lab) connect() *peer {
	l.t.Helper()
	c, err := l.outside.DialContext(l.t.Context(), "tcp", contosoAddr)
	if err != nil {
		l.t.Fatal(err)
	}
	return &peer{t: l.t, conn: c, name: "caller"}
}

const (
	oldHeader = "<?xml version='1.0'?><stream:stream xmlns='jabber:server' xmlns:db='jabber:server:dialback' xmlns:stream='http://etherx.jabber.org/streams'"
	features  = "<stream:features><dialback xmlns='urn:xmpp:features:dialback'><errors/></dialback></stream:features>"
)

// old opens a stream as the servers of 2010 do, and returns the stream's id.
func (p *peer) old() string {
	p.t.Helper()
	p.send(oldHeader + " from='gmail.com' to='contoso.com'>")
	return attrOf(p.t, p.expect(">")+p.expect(">"), "id")
}

// modern opens a stream of version 1.0.
func (p *peer) modern() string {
	p.t.Helper()
	p.send(oldHeader + " from='gmail.com' to='contoso.com' version='1.0'>")
	h := p.expect("<stream:features>")
	p.expect("</stream:features>")
	return attrOf(p.t, h, "id")
}

// answerHeader reads the server's stream header and answers as gmail.com of 2010, or with more attributes.
func (p *peer) answerHeader(more string) string {
	p.t.Helper()
	h := p.expect("?>") + p.expect(">")
	p.send(oldHeader + " from='gmail.com' to='contoso.com' id='5F0A1C2B3D4E6F70'" + more + ">")
	return h
}

// accepted is an outgoing stream on which dialback has succeeded.
func (l *lab) accepted() *peer {
	l.t.Helper()
	p := l.accept()
	p.answerHeader("")
	p.expect("</db:result>")
	p.send("<db:result from='gmail.com' to='contoso.com' type='valid'/>")
	return p
}

// verified is an incoming stream on which from has proven itself to contoso.com.
func (l *lab) verified() *peer {
	l.t.Helper()
	p := l.connect()
	p.old()
	l.prove(p, "gmail.com", "contoso.com", "valid")
	return p
}

// prove sends a key for the pair on p and answers the server's question about it.
func (l *lab) prove(p *peer, from, to, typ string) {
	l.t.Helper()
	p.send("<db:result from='" + from + "' to='" + to + "'>the-key</db:result>")
	v := l.accept()
	v.answerHeader("")
	q := v.expect("</db:verify>")
	v.send("<db:verify from='" + from + "' to='" + to + "' id='" + attrOf(l.t, q, "id") + "' type='" + typ + "'/>")
	v.conn.Close()
	if typ == "valid" {
		p.expect("<db:result from='" + to + "' to='" + from + "' type='valid'/>")
		synctest.Wait() // who wrote that knows that it is written
	}
}

func attrOf(t *testing.T, xml, name string) string {
	t.Helper()
	m := regexp.MustCompile(`[ ]` + name + `=['"]([^'"]*)['"]`).FindStringSubmatch(xml)
	if m == nil {
		t.Fatalf("no attribute %s in %q", name, xml)
	}
	return m[1]
}

// send sends a message from anna@contoso.com to bob@gmail.com; its outcome comes out of the channel.
func (l *lab) send(m im.Message) chan *im.Failure {
	if m.From.IsZero() {
		m.From = im.Address{Local: "anna", Domain: "contoso.com"}
	}
	if m.To.IsZero() {
		m.To = im.Address{Local: "bob", Domain: "gmail.com"}
	}
	out := make(chan *im.Failure, 1)
	l.s.Send(m, func(f *im.Failure) { out <- f })
	return out
}

// want fails unless the outcome is a failure with this condition.
func want(t *testing.T, out chan *im.Failure, c im.Condition) *im.Failure {
	t.Helper()
	f := <-out
	if f == nil || f.Condition != c {
		t.Fatalf("outcome %v, want %s", f, c)
	}
	return f
}

func delivered(t *testing.T, out chan *im.Failure) {
	t.Helper()
	if f := <-out; f != nil {
		t.Fatalf("not delivered: %v", f)
	}
}

// row runs a bubble as the test of a row of the conformance table, which its name begins with.
func row(t *testing.T, name string, change func(*Config), f func(*testing.T, *lab)) {
	t.Helper()
	t.Run(name, func(t *testing.T) { bubble(t, change, f) })
}
