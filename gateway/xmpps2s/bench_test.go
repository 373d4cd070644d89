package xmpps2s

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"fedlab/gateway/config"
	"fedlab/gateway/im"
	"fedlab/internal/network"
)

// loopback is the machine's own network with every name at 127.0.0.1, each domain at a port of its own.
type loopback struct {
	network.OS
	ports map[string]uint16
}

func (l loopback) LookupSRV(_ context.Context, service, _, name string) (string, []*net.SRV, error) {
	port, known := l.ports[name]
	if !known || service != "xmpp-server" {
		return "", nil, &net.DNSError{Name: name, IsNotFound: true}
	}
	return "", []*net.SRV{{Target: name, Port: port}}, nil
}

func (loopback) LookupNetIP(context.Context, string, string) ([]netip.Addr, error) {
	return []netip.Addr{netip.MustParseAddr("127.0.0.1")}, nil
}

// counting is a sink that counts.
type counting struct {
	n    atomic.Int64
	want int64
	done chan struct{}
}

func (c *counting) Send(_ im.Message, outcome im.Outcome) {
	outcome(nil)
	if c.n.Add(1) == c.want {
		close(c.done)
	}
}

// benchServer runs a server on loopback until the benchmark ends.
func benchServer(b *testing.B, net loopback, sink im.Sink, port uint16, local []string, remote ...string) *Server {
	b.Helper()
	cfg := Config{Network: net, Listen: fmt.Sprintf("127.0.0.1:%d", port), Local: local, Domains: map[string]config.XMPPDomain{},
		Limits: config.Limits{Streams: 1 << 20, Queue: 4096}}
	for _, d := range remote {
		cfg.Domains[d] = config.XMPPDomain{TLS: config.TLSNever}
	}
	s, err := New(cfg, sink)
	if err != nil {
		b.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	<-s.Ready()
	b.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			b.Error(err)
		}
	})
	return s
}

func freePort(b *testing.B) uint16 {
	b.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	defer l.Close()
	return uint16(l.Addr().(*net.TCPAddr).Port)
}

// benchPeer answers every verification and discards everything else.
func benchPeer(b *testing.B, answer func(string) string) uint16 {
	b.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				var buf [64 << 10]byte
				text := ""
				for answered := false; !answered; {
					n, err := c.Read(buf[:])
					if err != nil {
						return
					}
					text += string(buf[:n])
					if strings.HasSuffix(text, "xml:lang='en'>") {
						io.WriteString(c, oldHeader+" id='1'>")
					}
					if strings.Contains(text, "</db:") {
						io.WriteString(c, answer(text))
						answered = true
					}
				}
				io.CopyBuffer(io.Discard, struct{ io.Reader }{c}, buf[:])
			}()
		}
	}()
	return uint16(l.Addr().(*net.TCPAddr).Port)
}

func BenchmarkStanzasOut(b *testing.B) {
	port := benchPeer(b, func(string) string { return "<db:result from='gmail.com' to='contoso.com' type='valid'/>" })
	s := benchServer(b, loopback{ports: map[string]uint16{"gmail.com": port}}, &counting{}, 0, []string{"contoso.com"}, "gmail.com")
	m := im.Message{From: im.Address{Local: "anna", Domain: "contoso.com"}, To: im.Address{Local: "bob", Domain: "gmail.com"},
		ID: "abc123", Body: "How about lunch at noon?", State: im.Active}
	window, failed := make(chan struct{}, 1000), atomic.Int64{}
	outcome := func(f *im.Failure) {
		if f != nil {
			failed.Add(1)
		}
		<-window
	}
	b.ReportAllocs()
	b.ResetTimer()
	for range b.N {
		window <- struct{}{}
		s.Send(m, outcome)
	}
	for range cap(window) {
		window <- struct{}{}
	}
	b.StopTimer()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "stanzas/s")
	if failed.Load() > 0 {
		b.Errorf("%d failed", failed.Load())
	}
}

func BenchmarkStanzasIn(b *testing.B) {
	var id atomic.Value
	port := benchPeer(b, func(string) string {
		return "<db:verify from='gmail.com' to='contoso.com' id='" + id.Load().(string) + "' type='valid'/>"
	})
	sink := &counting{want: int64(b.N), done: make(chan struct{})}
	ours := freePort(b)
	benchServer(b, loopback{ports: map[string]uint16{"gmail.com": port}}, sink, ours, []string{"contoso.com"}, "gmail.com")
	c, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", ours))
	if err != nil {
		b.Fatal(err)
	}
	defer c.Close()
	var buf [4096]byte
	read := func(until string) string {
		text := ""
		for !strings.Contains(text, until) {
			n, err := c.Read(buf[:])
			if err != nil {
				b.Fatal(err)
			}
			text += string(buf[:n])
		}
		return text
	}
	io.WriteString(c, oldHeader+" from='gmail.com' to='contoso.com'>")
	_, rest, _ := strings.Cut(read("xml:lang='en'>"), " id='")
	streamID, _, _ := strings.Cut(rest, "'")
	id.Store(streamID)
	io.WriteString(c, "<db:result from='gmail.com' to='contoso.com'>k</db:result>")
	read("type='valid'/>")
	stanza := "<message from='bob@gmail.com/Talk.v104' to='anna@contoso.com' id='abc123' type='chat'><body>How about lunch at noon?</body>" +
		"<active xmlns='http://jabber.org/protocol/chatstates'/></message>"
	batch := []byte(strings.Repeat(stanza, 64))
	b.ReportAllocs()
	b.ResetTimer()
	for left := b.N; left > 0; left -= 64 {
		if _, err := c.Write(batch[:min(left, 64)*len(stanza)]); err != nil {
			b.Fatal(err)
		}
	}
	<-sink.done
	b.StopTimer()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "stanzas/s")
}

// BenchmarkStreams opens a stream with dialback for every message, between two servers of this package: three streams' headers
// and four dialback elements each.
func BenchmarkStreams(b *testing.B) {
	ports := map[string]uint16{"gmail.com": freePort(b)}
	port := freePort(b)
	var local []string
	for i := range b.N {
		local = append(local, fmt.Sprintf("d%d.contoso.com", i))
		ports[local[i]] = port
	}
	net := loopback{ports: ports}
	sink := &counting{want: int64(b.N), done: make(chan struct{})}
	benchServer(b, net, sink, ports["gmail.com"], []string{"gmail.com"}, local...)
	s := benchServer(b, net, &counting{}, port, local, "gmail.com")
	window, failed := make(chan struct{}, 32), atomic.Value{}
	b.ReportAllocs()
	b.ResetTimer()
	for i := range b.N {
		window <- struct{}{}
		s.Send(im.Message{From: im.Address{Local: "anna", Domain: local[i]}, To: im.Address{Local: "bob", Domain: "gmail.com"}, Body: "x"}, func(f *im.Failure) {
			if f != nil {
				failed.Store(errors.New(f.Text))
			}
			<-window
		})
	}
	for range cap(window) {
		window <- struct{}{}
	}
	if err := failed.Load(); err != nil {
		b.Fatal(err)
	}
	<-sink.done
	b.StopTimer()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "streams/s")
}

// BenchmarkPutWhileDown is what one more stanza costs for a server that is down, beside the presence of a hundred thousand that waits already.
func BenchmarkPutWhileDown(b *testing.B) {
	s, err := New(Config{Network: loopback{}, Local: []string{"contoso.com"}, Domains: map[string]config.XMPPDomain{"gmail.com": {}}}, &counting{})
	if err != nil {
		b.Fatal(err)
	}
	l := newLink(s, pair{"contoso.com", "gmail.com"})
	for range 100_000 {
		l.put(item{shows: true})
	}
	for b.Loop() {
		l.put(item{shows: true})
		l.giveUp(time.Now(), nil)
		l.take(1, 1)
	}
}
