package xmpps2s

import (
	"context"
	"net"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"fedlab/gateway/config"
	"fedlab/gateway/im"
)

func TestStrangers(t *testing.T) {
	row(t, "a stream on which nothing is proven ends, however busy it is", nil, func(t *testing.T, l *lab) {
		p := l.connect()
		p.old()
		began := time.Now()
		done := make(chan struct{})
		go func() {
			defer close(done)
			for {
				if _, err := p.conn.Write([]byte(" <x xmlns='urn:x'/>")); err != nil {
					return
				}
				time.Sleep(time.Second)
			}
		}()
		if got := p.end(); got != "</stream:stream>" {
			t.Errorf("got %s", got)
		}
		if took := time.Since(began); took > 100*time.Second {
			t.Errorf("after %v", took)
		}
		p.conn.Close()
		<-done
	})
	row(t, "a stream of version 1.0 that is not used", nil, func(t *testing.T, l *lab) {
		p := l.connect()
		p.modern()
		began := time.Now()
		p.expect("<policy-violation ")
		if took := time.Since(began); took > 100*time.Second {
			t.Errorf("after %v", took)
		}
	})
	row(t, "a proven stream outlives that limit", nil, func(t *testing.T, l *lab) {
		p := l.verified()
		time.Sleep(30 * time.Minute)
		p.send("<message from='bob@gmail.com' to='anna@contoso.com'><body>x</body></message>")
		<-l.inbox.ch
		time.Sleep(50 * time.Minute)
		p.send("<message from='bob@gmail.com' to='anna@contoso.com'><body>x</body></message>")
		<-l.inbox.ch
	})
	row(t, "too many streams from one address", func(c *Config) { c.Limits.Streams = 3 }, func(t *testing.T, l *lab) {
		var open []*peer
		for range 3 {
			p := l.connect()
			p.old()
			open = append(open, p)
		}
		if got := l.connect().end(); got != "" {
			t.Errorf("got %s", got)
		}
		other, err := l.w.host("198.51.100.1").DialContext(t.Context(), "tcp", contosoAddr)
		if err != nil {
			t.Fatal(err)
		}
		(&peer{t: t, conn: other}).old()
		open[0].send("</stream:stream>")
		open[0].conn.Close()
		synctest.Wait()
		l.connect().old()
	})
	row(t, "too many streams of one domain", func(c *Config) { c.Limits.Streams = 2 }, func(t *testing.T, l *lab) {
		from := func(address string) *peer {
			c, err := l.w.host(address).DialContext(t.Context(), "tcp", contosoAddr)
			if err != nil {
				t.Fatal(err)
			}
			p := &peer{t: t, conn: c}
			p.old()
			return p
		}
		first := from("198.51.100.1")
		l.prove(first, "gmail.com", "contoso.com", "valid")
		l.prove(from("198.51.100.2"), "gmail.com", "contoso.com", "valid")
		third := from("198.51.100.3")
		third.send("<db:result from='gmail.com' to='contoso.com'>the-key</db:result>")
		answer := func() {
			v := l.accept()
			v.answerHeader("")
			q := v.expect("</db:verify>")
			v.send("<db:verify from='gmail.com' to='contoso.com' id='" + attrOf(t, q, "id") + "' type='valid'/>")
		}
		answer()
		third.expect("<resource-constraint ")
		first.conn.Close()
		synctest.Wait()
		third.send("<db:result from='gmail.com' to='contoso.com'>the-key</db:result>")
		answer()
		third.expect("type='valid'/>")
	})
	row(t, "a peer that does not read its answers loses the stream, and nobody else notices", nil, func(t *testing.T, l *lab) {
		p := l.connect()
		p.old()
		q := l.verified()
		go func() {
			for {
				if _, err := p.conn.Write([]byte(strings.Repeat("<db:verify from='gmail.com' to='contoso.com' id='1'>k</db:verify>", 100))); err != nil {
					return
				}
			}
		}()
		for range 10 {
			q.send("<message from='bob@gmail.com' to='anna@contoso.com'><body>x</body></message>")
			<-l.inbox.ch
			time.Sleep(10 * time.Second)
		}
		if n := l.s.Status().Incoming; n != 1 {
			t.Errorf("%d streams", n)
		}
		p.conn.Close()
	})
}

func TestFormattedText(t *testing.T) {
	row(t, "in: XHTML-IM is read safely", nil, func(t *testing.T, l *lab) {
		p := l.verified()
		p.send("<message from='bob@gmail.com' to='anna@contoso.com' type='chat'><body>Hi there</body>" +
			"<html xmlns='http://jabber.org/protocol/xhtml-im'><body xmlns='http://www.w3.org/1999/xhtml'><p>Hi <em onclick='evil()'>there</em>" +
			"<script>alert(1)</script><a href='javascript:evil()'>x</a></p></body></html></message>")
		m := <-l.inbox.ch
		if m.Body != "Hi there" || !strings.Contains(m.HTML, "<em>there</em>") || strings.Contains(m.HTML, "evil") || strings.Contains(m.HTML, "alert") {
			t.Errorf("got %+v", m)
		}
	})
	row(t, "in: XHTML-IM without a body is no message", nil, func(t *testing.T, l *lab) {
		p := l.verified()
		p.send("<message from='bob@gmail.com' to='anna@contoso.com' type='chat'>" +
			"<html xmlns='http://jabber.org/protocol/xhtml-im'><body xmlns='http://www.w3.org/1999/xhtml'>x</body></html></message>")
		l.inbox.none(t)
	})
	for _, html := range []string{"<p>Hi <b>there</b>", "</html></message><message>", "a &nbsp; b", "<br>", "<p title='&lt;\x01'>x"} {
		row(t, "out: XHTML-IM is balanced: "+html, nil, func(t *testing.T, l *lab) {
			out := l.send(im.Message{Body: "Hi", HTML: html})
			after := l.send(im.Message{Body: "next"})
			p := l.accepted()
			first, second := p.expect("</message>"), p.expect("</message>")
			if !strings.Contains(first, "<body>Hi</body>") || !strings.HasSuffix(second, "<body>next</body></message>") || !strings.HasPrefix(second, "<message ") {
				t.Errorf("got %s %s", first, second)
			}
			delivered(t, out)
			delivered(t, after)
		})
	}
}

func TestInternationalNames(t *testing.T) {
	row(t, "domains are looked up in A-labels and spoken of in U-labels", func(c *Config) {
		c.Domains["bücher.example"] = config.XMPPDomain{TLS: config.TLSNever}
	}, func(t *testing.T, l *lab) {
		l.w.srv["_xmpp-server._tcp.xn--bcher-kva.example"] = l.w.srv["_xmpp-server._tcp.gmail.com"]
		out := l.send(im.Message{Body: "x", To: im.Address{Local: "jürgen", Domain: "xn--bcher-kva.example"}})
		p := l.accept()
		if h := p.expect("?>") + p.expect(">"); !strings.Contains(h, "to='bücher.example'") {
			t.Errorf("header %s", h)
		}
		p.send(oldHeader + " from='bücher.example' to='contoso.com' id='1'>")
		if got := p.expect("</db:result>"); !strings.Contains(got, "to='bücher.example'") || !strings.Contains(got, dialbackKey("dialback-lab-secret", "xn--bcher-kva.example", "contoso.com", "1")) {
			t.Errorf("got %s", got)
		}
		p.send("<db:result from='BÜCHER.example' to='contoso.com' type='valid'/>")
		if got := p.expect("</message>"); !strings.Contains(got, "to='jürgen@bücher.example'") {
			t.Errorf("got %s", got)
		}
		delivered(t, out)
		back := l.connect()
		back.old()
		back.send("<db:result from='xn--bcher-kva.example' to='contoso.com'>k</db:result>")
		v := l.accept()
		v.answerHeader("")
		q := v.expect("</db:verify>")
		v.send("<db:verify from='bücher.example' to='contoso.com' id='" + attrOf(t, q, "id") + "' type='valid'/>")
		back.expect("type='valid'/>")
		back.send("<message from='jürgen@Bücher.example' to='anna@contoso.com'><body>x</body></message>")
		if m := <-l.inbox.ch; m.From != (im.Address{Local: "jürgen", Domain: "xn--bcher-kva.example"}) {
			t.Errorf("got %+v", m)
		}
	})
}

// TestTenThousand holds ten thousand hostile connections open, on real time, while a neighbour's conversation goes on.
func TestTenThousand(t *testing.T) {
	const many = 10000
	w := newWorld()
	w.srv["_xmpp-server._tcp.gmail.com"] = []*net.SRV{{Target: "h.google.com.", Port: 5269}}
	box := &inbox{ch: make(chan im.Message, 1000)}
	s, err := New(Config{Network: w.host("203.0.113.1"), Local: []string{"contoso.com"}, Domains: map[string]config.XMPPDomain{"gmail.com": {TLS: config.TLSNever}},
		CloseTimeout: 100 * time.Millisecond, HeaderTimeout: time.Hour, ElementTimeout: time.Hour, StreamTimeout: time.Hour, // however slow this machine is
		Limits: config.Limits{Streams: 2 * many}}, box)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	<-s.Ready()
	defer func() { stop(); <-done }()

	dial := func() *testConn {
		l := w.listeners[contosoAddr]
		ours, theirs := newTestPipe("198.51.100.66:1024", contosoAddr)
		l.conns <- theirs
		return ours
	}
	neighbour := &peer{t: t, conn: dial(), name: "neighbour"}
	neighbour.old()
	ask := func() time.Duration {
		began := time.Now()
		neighbour.send("<db:verify from='gmail.com' to='contoso.com' id='1'>k</db:verify>")
		neighbour.expect("type='invalid'/>")
		return time.Since(began)
	}
	ask()
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	var held []*testConn
	worst := time.Duration(0)
	for i := range many {
		c := dial()
		switch i % 4 {
		case 0: // connected and silent
		case 1:
			c.Write([]byte("<stream:stream a='"))
		case 2:
			c.Write([]byte(oldHeader + " to='contoso.com'>" + "<message><body>" + strings.Repeat("x", 4000)))
		case 3:
			c.Write([]byte(oldHeader + " to='contoso.com'>" + strings.Repeat("<a>", 30)))
		}
		held = append(held, c)
		if i%100 == 0 {
			worst = max(worst, ask())
		}
	}
	for s.Status().Incoming < many {
		worst = max(worst, ask())
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	each := (after.HeapAlloc + after.StackInuse - before.HeapAlloc - before.StackInuse) / many
	t.Logf("%d hostile connections hold %d bytes each, their buffers in this test included; the neighbour's slowest answer took %v", many, each, worst)
	if each > 64<<10 {
		t.Errorf("%d bytes each", each)
	}
	if worst > 30*time.Second { // of milliseconds, on a machine that has time
		t.Errorf("the neighbour waited %v", worst)
	}
	for _, c := range held {
		c.Close()
	}
	neighbour.send("</stream:stream>")
	neighbour.conn.Close()
}
