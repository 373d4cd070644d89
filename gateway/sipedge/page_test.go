package sipedge

import (
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"fedlab/gateway/config"
	"fedlab/gateway/im"
)

func paging(c *Config) {
	c.Domains = map[string]config.SIPDomain{"contoso.com": {NextHop: config.NextHop{edgeName + ":5061"}, Mode: config.ModePage}}
}

// TestPageMode: M01, M02, M05, M07. Single messages for SIP/SIMPLE peers: the fields of RFC 7572 Table 1, one at a time.
func TestPageMode(t *testing.T) {
	inWorld(t, func(w *world) {
		p := w.connected()
		defer p.close()
		out := newOutcomes()
		romeo := im.Address{Local: "bob", Domain: "gmail.com", Resource: "yn0cl4bnw0yr3vym"}
		w.edge.Send(im.Message{From: romeo, To: alice, Body: "Neither, fair saint", Subject: "Hi\r\nthere", Thread: "711609sa", Lang: "en"}, out.of("1"))
		w.edge.Send(im.Message{From: romeo, To: alice, Body: "second"}, out.of("2"))
		m := p.expect("MESSAGE sip:alice@contoso.com SIP/2.0")
		for name, want := range map[string]string{"To": "<sip:alice@contoso.com>", "Call-ID": "711609sa", "Subject": "Hi there", "Content-Language": "en", "Contact": "", "Route": ""} {
			if got := m.get(name); got != want {
				t.Errorf("%s: %q, want %q", name, got, want)
			}
		}
		if !strings.HasPrefix(m.get("From"), "<sip:bob@gmail.com;gr=yn0cl4bnw0yr3vym>;tag=") || m.body != "Neither, fair saint" {
			t.Errorf("got\n%s", m)
		}
		p.silent(5 * time.Second)
		p.answer(m, "202 Accepted")
		out.expect(t, "1 ok")
		p.answer(p.expect("MESSAGE "), "404 Not Found")
		out.expect(t, "2 item-not-found 404")

		// M03: too long for a message outside a session.
		w.edge.Send(im.Message{From: romeo, To: alice, Body: strings.Repeat("x", 1300)}, out.of("3"))
		out.expect(t, "3 policy-violation 0")
		// typing has no place here
		w.edge.Send(im.Message{From: romeo, To: alice, State: im.Composing}, out.of("4"))
		out.expect(t, "4 ok")
		p.silent(time.Minute)
	}, paging)
}

// TestPageFromPeer: M01, M06. A message outside a session is taken from any peer and is no chat.
func TestPageFromPeer(t *testing.T) {
	inWorld(t, func(w *world) {
		p := w.dial(w.edgeCertificate())
		defer p.close()
		p.send(request("MESSAGE", change{"From": "<sip:anna@contoso.com;gr=dr4hcr0st3lup4c>;tag=9", "Content-Type": "text/plain", "Subject": "Ahoj", "Content-Language": "cs"}), "Art thou not Romeo?")
		r := <-w.sink.arrived
		want := im.Message{From: im.Address{Local: "anna", Domain: "contoso.com", Resource: "dr4hcr0st3lup4c"}, To: bob, Body: "Art thou not Romeo?",
			Subject: "Ahoj", Lang: "cs", Thread: "3b0c5f2f1e0d4a6c8e7f", Normal: true, ID: r.ID}
		if r.Message != want {
			t.Errorf("got  %+v\nwant %+v", r.Message, want)
		}
		r.outcome(nil)
		p.expect("SIP/2.0 202 Accepted")
	})
}

// TestRetryAfter: E24. A next hop that asks for a long pause gets it; senders are told at once.
func TestRetryAfter(t *testing.T) {
	inWorld(t, func(w *world) {
		p := w.connected()
		defer p.close()
		out := newOutcomes()
		w.edge.Send(im.Message{From: bob, To: alice, Body: "1"}, out.of("1"))
		p.answer(p.expect("MESSAGE "), "503 Service Unavailable", "Retry-After: 120;duration=60 (maintenance)")
		out.expect(t, "1 internal-server-error 503")
		w.edge.Send(im.Message{From: bob, To: alice, Body: "2"}, out.of("2"))
		out.expect(t, "2 remote-server-timeout 0")
		p.silent(time.Minute)
		time.Sleep(time.Minute)
		w.edge.Send(im.Message{From: bob, To: alice, Body: "3"}, out.of("3"))
		p.answer(p.expect("MESSAGE "), "200 OK")
		out.expect(t, "3 ok")
	}, paging)
}

// TestRetrySoon: a next hop that will be back soon is asked once more, when it said, and nobody is told anything. If it is busy then
// too, the sender is told. RFC 3261 §21.5.4
func TestRetrySoon(t *testing.T) {
	busy := []string{"503 Service Unavailable", "Retry-After: 20"}
	t.Run("an invitation", func(t *testing.T) {
		inWorld(t, func(w *world) {
			p := w.connected()
			defer p.close()
			out := newOutcomes()
			w.edge.Send(im.Message{From: bob, To: alice, Body: "1"}, out.of("1"))
			p.answer(p.expect("INVITE "), busy[0], busy[1])
			p.expect("ACK ")
			p.silent(19 * time.Second)
			p.open()
			text := p.expect("MESSAGE ")
			p.answer(text, busy[0], busy[1])
			w.edge.Send(im.Message{From: bob, To: alice, Body: "2"}, out.of("2"))
			p.silent(19 * time.Second)
			again := p.expect("MESSAGE ")
			if again.body != "1" || again.get("CSeq") == text.get("CSeq") {
				t.Errorf("sent again:\n%s", again)
			}
			p.answer(again, "200 OK")
			out.expect(t, "1 ok")
			p.answer(p.expect("MESSAGE "), "200 OK")
			out.expect(t, "2 ok")
		})
	})
	t.Run("busy for longer than it said", func(t *testing.T) {
		inWorld(t, func(w *world) {
			p := w.connected()
			defer p.close()
			out := newOutcomes()
			w.edge.Send(im.Message{From: bob, To: alice, Body: "1"}, out.of("1"))
			for range 2 {
				p.answer(p.expect("INVITE "), busy[0], busy[1])
				p.expect("ACK ")
				p.silent(19 * time.Second)
			}
			out.expect(t, "1 internal-server-error 503")
		})
	})
	t.Run("a message outside sessions", func(t *testing.T) {
		inWorld(t, func(w *world) {
			p := w.connected()
			defer p.close()
			out := newOutcomes()
			w.edge.Send(im.Message{From: bob, To: alice, Body: "1"}, out.of("1"))
			p.answer(p.expect("MESSAGE "), busy[0], busy[1])
			p.silent(19 * time.Second)
			p.answer(p.expect("MESSAGE "), "200 OK")
			out.expect(t, "1 ok")
		}, paging)
	})
}

// TestKeepAlive: an idle link is kept by CRLF and asked after by OPTIONS; one that does not answer is given up and made anew.
// Bare CRLF from the peer is taken at any time.
func TestKeepAlive(t *testing.T) {
	inWorld(t, func(w *world) {
		l := w.listen()
		defer l.Close()
		cert := w.edgeCertificate()
		p := w.accept(l, cert)
		p.dumb = true
		out := newOutcomes()
		w.edge.Send(im.Message{From: bob, To: alice, Body: "1"}, out.of("1"))
		p.answer(p.expect("MESSAGE "), "200 OK")
		out.expect(t, "1 ok")
		if _, err := p.conn.Write([]byte("\r\n\r\n\r\n")); err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		m := p.expect("OPTIONS sip:contoso.com")
		if took := time.Since(began); took < probeAfter || took > probeAfter+pingEvery || !strings.HasPrefix(m.get("From"), "<sip:gmail.com>;tag=") {
			t.Errorf("after %v:\n%s", took, m)
		}
		p.answer(m, "405 Method Not Allowed") // whatever it says, it is there
		p.silent(4 * time.Minute)
		p.expect("OPTIONS ")
		began = time.Now()
		if _, err := p.read(time.Hour); err == nil || time.Since(began) > 33*time.Second {
			t.Errorf("after %v: %v", time.Since(began), err)
		}
		p.close()
		p = w.accept(l, cert)
		p.close()
	}, paging)
}

// TestDeadLink: a request that is not answered on a link on which nothing else comes either ends the link.
func TestDeadLink(t *testing.T) {
	inWorld(t, func(w *world) {
		l := w.listen()
		defer l.Close()
		cert := w.edgeCertificate()
		p := w.accept(l, cert)
		out := newOutcomes()
		w.edge.Send(im.Message{From: bob, To: alice, Body: "1"}, out.of("1"))
		out.expect(t, "1 remote-server-timeout 408")
		next := w.accept(l, cert)
		next.close()
		p.close()
	}, paging)
}

// TestReceipts: M19. In a session the 200 is the recipient's client's, and becomes a receipt; 202 does not.
func TestReceipts(t *testing.T) {
	inWorld(t, func(w *world) {
		p := w.connected()
		defer p.close()
		out := newOutcomes()
		from := im.Address{Local: "bob", Domain: "gmail.com", Resource: "R"}
		w.edge.Send(im.Message{From: from, To: alice, ID: "richard2-4.1.247", Body: "1", ReceiptWanted: true}, out.of("1"))
		p.open()
		p.answer(p.expect("MESSAGE "), "200 OK")
		out.expect(t, "1 ok")
		if r := <-w.sink.arrived; r.Receipt != "richard2-4.1.247" || r.To != from || r.From != alice || r.Body != "" {
			t.Errorf("got %+v", r.Message)
		}
		w.edge.Send(im.Message{From: from, To: alice, ID: "2", Body: "2", ReceiptWanted: true}, out.of("2"))
		p.answer(p.expect("MESSAGE "), "202 Accepted")
		out.expect(t, "2 ok")
		p.silent(time.Second)
		if len(w.sink.arrived) != 0 {
			t.Errorf("a receipt for a 202: %+v", (<-w.sink.arrived).Message)
		}
	})
}

// TestInjection: nothing an XMPP stranger writes ends a header field or begins one.
func TestInjection(t *testing.T) {
	inWorld(t, func(w *world) {
		p := w.connected()
		defer p.close()
		evil := "x\r\nRoute: <sip:evil.example;lr>\r\n\r\nBYE sip:x SIP/2.0"
		out := newOutcomes()
		w.edge.Send(im.Message{From: bob, To: alice, Body: evil, Subject: evil, Thread: evil, Lang: evil, ID: evil}, out.of("1"))
		m := p.expect("MESSAGE sip:alice@contoso.com SIP/2.0")
		if m.get("Route") != "" || m.body != evil || m.get("Content-Language") != "" || strings.ContainsAny(m.get("Call-ID"), " \r\n") {
			t.Errorf("got\n%s", m)
		}
		p.answer(m, "200 OK")
		out.expect(t, "1 ok")
	}, paging)
}

// TestForbiddenCharacters: what XML cannot carry does not pass in any field; one such byte would end an XMPP peer's stream.
func TestForbiddenCharacters(t *testing.T) {
	inWorld(t, func(w *world) {
		p := w.dial(w.edgeCertificate())
		defer p.close()
		p.send(request("MESSAGE", change{"Content-Type": "text/plain", "Subject": "a\x01b", "Call-ID": "call\x02id", "Content-Language": "e\x03n"}), "x\x01y\x00z\xff")
		r := <-w.sink.arrived
		for name, s := range map[string]string{"body": r.Body, "subject": r.Subject, "thread": r.Thread, "lang": r.Lang, "id": r.ID} {
			if strings.ContainsAny(s, "\x00\x01\x02\x03") || !utf8.ValidString(s) {
				t.Errorf("%s: %q", name, s)
			}
		}
		if !strings.HasPrefix(r.Body, "x") || !strings.Contains(r.Body, "z") {
			t.Errorf("body %q", r.Body)
		}
		r.outcome(nil)
		p.expect("SIP/2.0 202 ")
	})
}

// TestTooLarge: M20. A message above the limit is answered 413, and the session goes on; one that would take too long to read past ends
// the connection.
func TestTooLarge(t *testing.T) {
	inWorld(t, func(w *world) {
		p := w.dial(w.edgeCertificate())
		defer p.close()
		o := w.invited(p)
		o.do("MESSAGE", "Content-Type: text/plain", strings.Repeat("x", 70_000))
		if m := p.expect("SIP/2.0 413 Request Entity Too Large: "); m.get("CSeq") != "2 MESSAGE" || m.get("Call-ID") != o.callID {
			t.Errorf("got\n%s", m)
		}
		o.do("MESSAGE", "Content-Type: text/plain", "shorter")
		r := <-w.sink.arrived
		if r.Body != "shorter" {
			t.Errorf("got %+v", r.Message)
		}
		r.outcome(nil)
		p.expect("SIP/2.0 202 ")
		_, _ = p.conn.Write([]byte(strings.ReplaceAll(request("MESSAGE", change{"Content-Length": "20000000"}), "\n", "\r\n") + "\r\n"))
		p.expect("SIP/2.0 413 ")
		if m, err := p.read(time.Minute); err == nil || strings.Contains(err.Error(), "timeout") {
			t.Errorf("got %v\n%s", err, m)
		}
	})
}
