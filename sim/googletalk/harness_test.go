package googletalk

import (
	"bufio"
	"context"
	"encoding/xml"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"fedlab/sim/trace"
)

// world is loopback addresses and the names that stand for them. Every machine of a test has an address of its own in
// 127.0.0.0/8, so that all can listen on 5269.
type world struct {
	t     testing.TB
	trace *trace.Recorder
	addrs map[string]netip.Addr
	srv   map[string][]*net.SRV // domain to records
}

var nextAddr atomic.Uint32

func newWorld(t testing.TB) *world {
	return &world{t: t, trace: trace.NewRecorder(), addrs: map[string]netip.Addr{}, srv: map[string][]*net.SRV{}}
}

// machine gives a machine an address and names.
func (w *world) machine(names ...string) *machineNet {
	n := nextAddr.Add(1)
	addr := netip.AddrFrom4([4]byte{127, 77, byte(n / 250), byte(n%250 + 1)})
	for _, name := range names {
		w.addrs[name] = addr
	}
	return &machineNet{world: w, addr: addr}
}

func (w *world) records(domain string, targets ...string) {
	for i, t := range targets {
		w.srv[domain] = append(w.srv[domain], &net.SRV{Target: t + ".", Port: 5269, Priority: uint16(i)})
	}
}

// machineNet is the network as one machine has it.
type machineNet struct {
	world *world
	addr  netip.Addr
}

func (m *machineNet) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: m.addr.AsSlice()}}
	return d.DialContext(ctx, network, address)
}

func (m *machineNet) Listen(ctx context.Context, network, address string) (net.Listener, error) {
	var lc net.ListenConfig
	return lc.Listen(ctx, network, m.addr.String()+address)
}

func (m *machineNet) LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error) {
	if a, ok := m.world.addrs[strings.TrimSuffix(host, ".")]; ok {
		return []netip.Addr{a}, nil
	}
	return nil, &net.DNSError{Err: "no such host", Name: host, IsNotFound: true}
}

func (m *machineNet) LookupSRV(ctx context.Context, service, proto, name string) (string, []*net.SRV, error) {
	if r, ok := m.world.srv[strings.TrimSuffix(name, ".")]; ok {
		return name, r, nil
	}
	return "", nil, &net.DNSError{Err: "no such host", Name: name, IsNotFound: true}
}

// farm starts a farm of two machines that serve gmail.com, with bob, whose contact alice@contoso.com is.
func (w *world) farm(change func(*Config)) *Farm {
	w.t.Helper()
	cfg := Config{
		Hosts: []Host{
			{Name: "talk0", Names: []string{"xmpp-server.gmail.com"}, Network: w.machine("xmpp-server.gmail.com")},
			{Name: "talk1", Names: []string{"xmpp-server1.gmail.com"}, Network: w.machine("xmpp-server1.gmail.com")},
		},
		Users: []User{{Address: "bob@gmail.com", Contacts: []string{"alice@contoso.com"}}},
		Trace: w.trace,
		Seed:  1,
	}
	w.records("gmail.com", "xmpp-server.gmail.com", "xmpp-server1.gmail.com")
	if change != nil {
		change(&cfg)
	}
	return w.start(cfg)
}

func (w *world) start(cfg Config) *Farm {
	w.t.Helper()
	f, err := Start(w.t.Context(), cfg)
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { f.Close() })
	return f
}

// await returns the next event that a user's client shows.
func (w *world) await(what string, match func(trace.Event) bool) trace.Event {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.t.Context(), 10*time.Second)
	defer cancel()
	e, err := w.trace.Await(ctx, 0, match)
	if err != nil {
		w.t.Fatalf("%s did not come; trace:\n%s", what, w.dump())
	}
	return e
}

func (w *world) dump() string {
	var b strings.Builder
	for _, e := range w.trace.Events() {
		fmt.Fprintf(&b, "%3d %s\n", e.Seq, e)
	}
	return b.String()
}

// noSurprises fails if the peer was seen to break a rule.
func (w *world) noSurprises() {
	w.t.Helper()
	for _, e := range w.trace.Events() {
		if e.Kind == trace.Unexpected {
			w.t.Errorf("unexpected: %s\n%s", e, e.Data)
		}
	}
}

// surprise waits for an event of kind Unexpected whose summary contains text.
func (w *world) surprise(text string) {
	w.t.Helper()
	w.await("unexpected: "+text, func(e trace.Event) bool {
		return e.Kind == trace.Unexpected && strings.Contains(e.Summary, text)
	})
}

func shows(user string, item trace.ItemType, text string) func(trace.Event) bool {
	return func(e trace.Event) bool {
		return e.Layer == trace.Client && e.Kind == trace.Received && e.To == user && e.Item.Type == item &&
			(e.Item.Body == text || e.Item.Condition == text || e.Item.State == text)
	}
}

// raw is a connection on which a test writes bytes and reads elements.
type raw struct {
	t    testing.TB
	conn net.Conn
	dec  *xml.Decoder
}

func newRaw(t testing.TB, conn net.Conn) *raw {
	t.Cleanup(func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(10 * time.Second))
	return &raw{t: t, conn: conn, dec: xml.NewDecoder(bufio.NewReader(conn))}
}

func (r *raw) write(format string, args ...any) {
	r.t.Helper()
	if _, err := fmt.Fprintf(r.conn, format, args...); err != nil {
		r.t.Fatal(err)
	}
}

// start reads the next start tag.
func (r *raw) start() xml.StartElement {
	r.t.Helper()
	for {
		tok, err := r.dec.Token()
		if err != nil {
			r.t.Fatalf("waiting for an element: %v", err)
		}
		if s, ok := tok.(xml.StartElement); ok {
			return s
		}
	}
}

// expect reads up to a start tag with this name and returns its attributes.
func (r *raw) expect(local string) map[string]string {
	r.t.Helper()
	s := r.start()
	if s.Name.Local != local {
		r.t.Fatalf("got <%s>, want <%s>", s.Name.Local, local)
	}
	attrs := map[string]string{}
	for _, a := range s.Attr {
		attrs[a.Name.Local] = a.Value
	}
	return attrs
}

// text reads the character data up to the next tag.
func (r *raw) text() string {
	r.t.Helper()
	tok, err := r.dec.Token()
	if err != nil {
		r.t.Fatal(err)
	}
	text, _ := tok.(xml.CharData)
	return string(text)
}

const headerFmt = `<?xml version='1.0'?><stream:stream xmlns='jabber:server' xmlns:db='jabber:server:dialback' ` +
	`xmlns:stream='http://etherx.jabber.org/streams' %s>`

// peer is contoso.com as a test plays it: it listens where its record points.
type peer struct {
	*world
	net *machineNet
	ln  net.Listener
}

func (w *world) peer() *peer {
	m := w.machine("xmpp.contoso.com")
	w.records("contoso.com", "xmpp.contoso.com")
	ln, err := m.Listen(w.t.Context(), "tcp", ":5269")
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { ln.Close() })
	return &peer{w, m, ln}
}

func (p *peer) accept() *raw {
	p.t.Helper()
	p.ln.(*net.TCPListener).SetDeadline(time.Now().Add(10 * time.Second))
	conn, err := p.ln.Accept()
	if err != nil {
		p.t.Fatalf("nobody called: %v\n%s", err, p.dump())
	}
	return newRaw(p.t, conn)
}

// dial opens a stream to a machine of the farm and returns its id as well.
func (p *peer) dial(host string) (*raw, string) {
	p.t.Helper()
	conn, err := p.net.DialContext(p.t.Context(), "tcp", p.addrs[host].String()+":5269")
	if err != nil {
		p.t.Fatal(err)
	}
	r := newRaw(p.t, conn)
	r.write(headerFmt, "from='contoso.com' to='gmail.com' version='1.0'")
	return r, r.expect("stream")["id"]
}

// verified is a stream to the farm on which contoso.com may send to gmail.com.
func (p *peer) verified(host string) *raw {
	p.t.Helper()
	r, _ := p.dial(host)
	r.write("<db:result from='contoso.com' to='gmail.com'>k</db:result>")
	q := p.accept()
	q.expect("stream")
	q.write(headerFmt, "from='contoso.com' to='gmail.com' id='q1'")
	ask := q.expect("verify")
	q.write("<db:verify from='contoso.com' to='gmail.com' id='%s' type='valid'/>", ask["id"])
	if got := r.expect("result"); got["type"] != "valid" || got["from"] != "gmail.com" || got["to"] != "contoso.com" {
		p.t.Fatalf("answer to our key: %v", got)
	}
	return r
}

// called accepts the farm's stream, takes its key and calls it valid.
func (p *peer) called() *raw {
	p.t.Helper()
	r := p.accept()
	if h := r.expect("stream"); h["version"] != "" || h["from"] != "gmail.com" || h["to"] != "contoso.com" {
		p.t.Fatalf("the farm's header: %v", h)
	}
	r.write(headerFmt, "from='contoso.com' to='gmail.com' id='i1'")
	if k := r.expect("result"); k["from"] != "gmail.com" || k["to"] != "contoso.com" {
		p.t.Fatalf("the farm's key: %v", k)
	}
	r.write("<db:result from='contoso.com' to='gmail.com' type='valid'/>")
	return r
}
