package xmpps2s

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"fedlab/gateway/im"
)

func TestLost(t *testing.T) {
	row(t, "a message that is never acknowledged comes back to its sender, and the stream is opened anew", nil, func(t *testing.T, l *lab) {
		out := l.send(im.Message{ID: "1", Body: "one"})
		p := l.accepted()
		p.expect("</message>")
		delivered(t, out)
		time.Sleep(time.Minute)
		p.conn.(*testConn).cut()
		began := time.Now()
		out = l.send(im.Message{ID: "2", Body: "two", Thread: "t"})
		delivered(t, out) // as far as can be known at that time
		m := <-l.inbox.ch
		if m.ID != "2" || m.Body != "two" || m.Thread != "t" || m.From.String() != "bob@gmail.com" || m.To.String() != "anna@contoso.com" ||
			m.Failure == nil || m.Failure.Condition != im.RemoteServerTimeout {
			t.Errorf("got %+v, %v", m, m.Failure)
		}
		if took := time.Since(began); took > 35*time.Second {
			t.Errorf("after %v", took)
		}
		out = l.send(im.Message{ID: "3", Body: "three"})
		l.accepted().expect("<body>three</body>")
		delivered(t, out)
		l.inbox.none(t)
	})
	row(t, "a connection that breaks with unacknowledged messages", nil, func(t *testing.T, l *lab) {
		out := l.send(im.Message{ID: "1", Body: "one"})
		p := l.accepted()
		p.expect("</message>")
		delivered(t, out)
		time.Sleep(time.Minute)
		p.conn.(*testConn).cut()
		delivered(t, l.send(im.Message{ID: "2", Body: "two"}))
		delivered(t, l.send(im.Message{ID: "3", State: im.Composing}))
		time.Sleep(time.Second)
		p.conn.Close()
		if m := <-l.inbox.ch; m.ID != "2" || m.Failure == nil {
			t.Errorf("got %+v", m)
		}
		l.inbox.none(t)
	})
	row(t, "what was acknowledged is not returned when the connection breaks", nil, func(t *testing.T, l *lab) {
		out := l.send(im.Message{ID: "1", Body: "one"})
		p := l.accepted()
		p.expect("</message>")
		delivered(t, out)
		time.Sleep(time.Second)
		p.conn.Close()
		l.inbox.none(t)
	})
}

func TestIdle(t *testing.T) {
	row(t, "an idle outgoing stream is closed in order, and opened again when needed", nil, func(t *testing.T, l *lab) {
		out := l.send(im.Message{Body: "one"})
		p := l.accepted()
		p.expect("</message>")
		delivered(t, out)
		began := time.Now()
		p.expect("</stream:stream>")
		if took := time.Since(began); took < 9*time.Minute || took > 11*time.Minute {
			t.Errorf("after %v", took)
		}
		p.send("</stream:stream>")
		p.end()
		began = time.Now()
		out = l.send(im.Message{Body: "two"})
		l.accepted().expect("<body>two</body>")
		delivered(t, out)
		if time.Since(began) > time.Second {
			t.Error("an orderly close is no failure")
		}
	})
	row(t, "an idle incoming stream is closed", nil, func(t *testing.T, l *lab) {
		p := l.verified()
		p.conn.SetReadDeadline(time.Time{})
		began := time.Now()
		var b [100]byte
		n, _ := p.conn.Read(b[:])
		if took := time.Since(began); string(b[:n]) != "</stream:stream>" || took < 59*time.Minute {
			t.Errorf("%q after %v", b[:n], took)
		}
	})
	// A modern peer is pinged over the stream and answers over its own.
	pinged := func(l *lab) (p *peer, id string) {
		out := l.send(im.Message{Body: "one"})
		p = l.accept()
		p.answerHeader(" version='1.0'")
		p.send(features)
		p.proves()
		p.expect("</message>")
		delivered(l.t, out)
		p.conn.SetReadDeadline(time.Time{})
		return p, ""
	}
	row(t, "S28 a quiet stream is pinged after five minutes, not oftener", nil, func(t *testing.T, l *lab) {
		p, _ := pinged(l)
		began := time.Now()
		ping := p.expect("</iq>")
		if took := time.Since(began); took < 5*time.Minute {
			t.Errorf("after %v", took)
		}
		if !strings.HasPrefix(ping, "<iq from='contoso.com' to='gmail.com' id='") || !strings.HasSuffix(ping, " type='get'><ping xmlns='urn:xmpp:ping'/></iq>") {
			t.Errorf("got %s", ping)
		}
	})
	row(t, "a peer that answered pings and no longer does is dead", func(c *Config) { c.IdleTimeout = time.Hour }, func(t *testing.T, l *lab) {
		p, _ := pinged(l)
		back := l.connect()
		back.old()
		back.send("<db:result from='gmail.com' to='contoso.com'>k</db:result>")
		v := l.accept()
		v.answerHeader("")
		q := v.expect("</db:verify>")
		v.send("<db:verify from='gmail.com' to='contoso.com' id='" + attrOf(t, q, "id") + "' type='valid'/>")
		back.expect("type='valid'/>")
		for range 3 {
			id := attrOf(t, p.expect("</iq>"), "id")
			back.send("<iq from='gmail.com' to='contoso.com' id='" + id + "' type='error'><error type='cancel'><service-unavailable xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></iq>")
		}
		p.expect("</iq>")
		began := time.Now()
		p.end()
		if took := time.Since(began); took < time.Minute || took > 2*time.Minute {
			t.Errorf("after %v", took)
		}
	})
	row(t, "a peer that never answered a ping is not thought dead", func(c *Config) { c.IdleTimeout = time.Hour }, func(t *testing.T, l *lab) {
		p, _ := pinged(l)
		for range 3 {
			p.expect("</iq>")
		}
	})
}

func TestBackoff(t *testing.T) {
	row(t, "S28 attempts are apart by a random time that grows", func(c *Config) {
		c.Backoff, c.Limits.Outcome, c.StreamTimeout = time.Minute, 24*time.Hour, time.Second
	}, func(t *testing.T, l *lab) {
		l.w.dropped[gmailAddr] = true
		var gaps []time.Duration
		for range 8 {
			want(t, l.send(im.Message{Body: "x"}), im.RemoteServerTimeout)
			began := time.Now()
			out := l.send(im.Message{Body: "x"})
			want(t, out, im.RemoteServerTimeout)
			gaps = append(gaps, time.Since(began))
		}
		if gaps[0] > time.Minute+2*time.Second {
			t.Errorf("the first wait is %v", gaps[0])
		}
		late := max(gaps[4], gaps[5], gaps[6], gaps[7])
		if late < time.Minute || late > 5*time.Minute+2*time.Second {
			t.Errorf("waits %v", gaps)
		}
	})
	row(t, "what cannot wait that long is returned at once, with the reason", func(c *Config) {
		c.Backoff, c.Limits.Outcome = 5*time.Minute, time.Minute
	}, func(t *testing.T, l *lab) {
		l.w.srv["_xmpp-server._tcp.gmail.com"] = nil
		for range 20 {
			want(t, l.send(im.Message{Body: "x"}), im.RemoteServerNotFound)
		}
		began := time.Now()
		f := want(t, l.send(im.Message{Body: "x"}), im.RemoteServerNotFound)
		if took := time.Since(began); took > time.Minute {
			t.Errorf("after %v", took)
		}
		if f.Text == "" {
			t.Error("no reason")
		}
	})
	row(t, "a peer that ends every stream at once is not called in a loop", nil, func(t *testing.T, l *lab) {
		stop := make(chan struct{})
		calls := 0
		go func() {
			defer close(stop)
			for {
				c, err := l.gmail.Accept()
				if err != nil {
					return
				}
				calls++
				c.Close()
			}
		}()
		for range 20 {
			want(t, l.send(im.Message{Body: "x"}), im.RemoteServerTimeout)
		}
		l.gmail.Close()
		<-stop
		synctest.Wait()
		if calls > 20 {
			t.Errorf("called %d times", calls)
		}
	})
}
