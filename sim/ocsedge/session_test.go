package ocsedge

import (
	"errors"
	"strings"
	"testing"
	"time"

	"fedlab/sim/trace"
)

// TestSessionOut: anna writes to bob. The peer takes the session as clients of 2007 do, without its text, gets that as MESSAGE,
// and answers in the session.
func TestSessionOut(t *testing.T) {
	inWorld(t, nil, func(t *testing.T, w *world) {
		w.send("anna@contoso.com", "bob@gmail.com", "hello bob")
		p := w.accept()
		defer p.close()
		if got := hostOf(p.c.RemoteAddr()); got != "10.10.10.50" {
			t.Errorf("the Edge comes from %s", got) // field notes, netstat
		}
		inv := p.read("INVITE sip:bob@gmail.com SIP/2.0")
		if got, ok := firstText(inv); !ok || got != "hello bob" {
			t.Errorf("Ms-Text-Format %q", inv.get("Ms-Text-Format"))
		}
		p.reply(inv, "100 Trying", "", "")
		p.reply(inv, "200 OK", peerAnswer, peerSDP)
		p.read("ACK sip:xmpp.jds.local:5061;transport=tls SIP/2.0")
		msg := p.read("MESSAGE ")
		if string(msg.body) != "hello bob" || len(msg.values("Record-Route")) != 0 || len(msg.values("Via")) != 3 {
			t.Errorf("the first text came as %s", msg.bytes())
		}
		p.reply(msg, "200 OK", "", "")
		w.send("anna@contoso.com", "bob@gmail.com", "again")
		msg = p.read("MESSAGE ")
		if msg.get("CSeq") != "3 MESSAGE" {
			t.Errorf("CSeq %s", msg.get("CSeq"))
		}
		p.reply(msg, "202 Accepted", "", "")
		c := p.taken(inv)
		c.say("grüß dich")
		p.read("SIP/2.0 200 OK")
		if e := w.shown(trace.Message, "anna@contoso.com"); e.Item.Body != "grüß dich" || e.From != "bob@gmail.com" {
			t.Errorf("shown %+v", e)
		}
		c.request("INFO", "Content-Type: application/xml\n", `<?xml version="1.0"?><KeyboardActivity><status status="type"/></KeyboardActivity>`)
		p.read("SIP/2.0 200 OK")
		if e := w.shown(trace.Typing, "anna@contoso.com"); e.Item.State != "composing" {
			t.Errorf("shown %+v", e)
		}
		if err := w.edge.Typing(t.Context(), "anna@contoso.com", "bob@gmail.com", false); err != nil {
			t.Fatal(err)
		}
		info := p.read("INFO ")
		if !strings.Contains(string(info.body), `status="idle"`) {
			t.Errorf("INFO %s", info.body)
		}
		p.reply(info, "200 OK", "", "")
		c.request("UPDATE", peerContact, "")
		p.read("SIP/2.0 200 OK")
		if err := w.edge.EndSession(t.Context(), "anna@contoso.com", "bob@gmail.com"); err != nil {
			t.Fatal(err)
		}
		p.reply(p.read("BYE "), "200 OK", "", "")
		c.say("too late")
		p.read("SIP/2.0 481 ")
		w.conforming()
	})
}

// TestSessionIn: bob writes to alice through the peer, twice; she answers in his session; he leaves, and her next text opens a
// session of her own.
func TestSessionIn(t *testing.T) {
	inWorld(t, nil, func(t *testing.T, w *world) {
		p := w.dial()
		defer p.close()
		c := p.invite("alice@contoso.com")
		for _, text := range []string{"one", "two"} {
			since := w.trace.Len()
			c.say(text)
			ok := p.read("SIP/2.0 200 OK")
			if ok.get("Server") != "RTC/3.5" || !strings.Contains(ok.get("Via"), ";received=10.11.12.40;ms-received-port=") {
				t.Errorf("the answer is %s", ok.bytes())
			}
			if e := w.shownAfter(since, trace.Message, "alice@contoso.com"); e.Item.Body != text || e.From != "bob@gmail.com" {
				t.Errorf("shown %+v", e)
			}
		}
		w.send("alice@contoso.com", "bob@gmail.com", "three")
		q := w.accept() // the Edge opens its own connection
		defer q.close()
		msg := q.read("MESSAGE sip:xmpp.jds.local:5061;transport=tls SIP/2.0")
		if msg.get("To") != c.from || msg.get("From") != c.to {
			t.Errorf("in his session: %s", msg.bytes())
		}
		q.reply(msg, "200 OK", "", "")
		c.request("INVITE", peerAnswer, peerSDP) // a refresh
		p.read("SIP/2.0 200 OK")
		c.request("ACK", "", "")
		c.request("BYE", "", "")
		p.read("SIP/2.0 200 OK")
		w.send("alice@contoso.com", "bob@gmail.com", "four")
		q.take()
		q.reply(q.read("MESSAGE "), "200 OK", "", "")
		w.conforming()
	})
}

// TestFirstText: who takes the text of an INVITE says so, and it is not sent again; who does not say so gets it again.
func TestFirstText(t *testing.T) {
	t.Run("the peer takes it", func(t *testing.T) {
		inWorld(t, nil, func(t *testing.T, w *world) {
			w.send("anna@contoso.com", "bob@gmail.com", "one")
			w.send("anna@contoso.com", "bob@gmail.com", "two")
			p := w.accept()
			defer p.close()
			inv := p.read("INVITE ")
			p.reply(inv, "200 OK", "Supported: timer, ms-text-format\n"+peerAnswer, peerSDP)
			p.read("ACK ")
			if msg := p.read("MESSAGE "); string(msg.body) != "two" {
				t.Errorf("sent %q", msg.body)
			} else {
				p.reply(msg, "200 OK", "", "")
			}
			w.conforming()
		})
	})
	t.Run("the user takes it", func(t *testing.T) {
		inWorld(t, quirks(Quirks{TakesFirstText: true}), func(t *testing.T, w *world) {
			p := w.dial()
			defer p.close()
			p.open("INVITE", "alice@contoso.com", "Ms-Text-Format: text/plain; charset=UTF-8;ms-body=aGVsbG8=\n"+peerAnswer, peerSDP)
			p.read("SIP/2.0 100")
			p.read("SIP/2.0 101")
			p.read("SIP/2.0 180")
			ok := p.read("SIP/2.0 200")
			if !ok.lists("Supported", "ms-text-format") {
				t.Error("taken without a word")
			}
			p.dialog(ok, 1).request("ACK", "", "")
			if e := w.shown(trace.Message, "alice@contoso.com"); e.Item.Body != "hello" {
				t.Errorf("shown %+v", e)
			}
			w.conforming()
		})
	})
	t.Run("it is kept back, and typing goes first", func(t *testing.T) {
		inWorld(t, quirks(Quirks{KeepsFirstText: true, TypesFirst: true}), func(t *testing.T, w *world) {
			w.send("anna@contoso.com", "bob@gmail.com", "one")
			p := w.accept()
			defer p.close()
			_, inv := p.take()
			if inv.get("Ms-Text-Format") != "" {
				t.Error("not kept back")
			}
			p.reply(p.read("INFO "), "200 OK", "", "")
			p.reply(p.read("MESSAGE "), "200 OK", "", "")
			w.conforming()
		})
	})
}

// TestUsers: what the pool answers for users of every kind, by INVITE.
func TestUsers(t *testing.T) {
	for user, want := range map[string]string{
		"nobody@contoso.com": "404 Not Found",
		"left@contoso.com":   "404 Not Found",
		"off@contoso.com":    "480 Temporarily Unavailable",
		"inside@contoso.com": "403 Forbidden",
		"busy@contoso.com":   "486 Busy Here",
		"no@contoso.com":     "603 Decline",
		"alice@elsewhere.eu": "404 Not Found",
	} {
		t.Run(user, func(t *testing.T) {
			inWorld(t, nil, func(t *testing.T, w *world) {
				p := w.dial()
				defer p.close()
				p.open("INVITE", user, peerAnswer, peerSDP)
				m := p.read("SIP/2.0 " + want)
				if m.get("ms-diagnostics") != "" || m.get("Record-Route") != "" {
					t.Errorf("too much is told: %s", m.bytes())
				}
				p.open("ACK", user, "", "", "z9hG4bK2", "z9hG4bK1", "To: <sip:"+user+">", "To: "+m.get("To"))
				time.Sleep(transactionTime * 2)
				w.conforming()
			})
		})
	}
	t.Run("as senders", func(t *testing.T) {
		inWorld(t, nil, func(t *testing.T, w *world) {
			w.send("inside@contoso.com", "bob@gmail.com", "hello")
			if e := w.shown(trace.Error, "inside@contoso.com"); e.Item.Code != 403 || !strings.Contains(w.log(), "ErrorId 1002") {
				t.Errorf("shown %+v; log %s", e, w.log())
			}
			for _, from := range []string{"off@contoso.com", "left@contoso.com"} {
				if err := w.edge.Send(t.Context(), SendOptions{From: from, To: "bob@gmail.com"}); !errors.Is(err, ErrNoUser) {
					t.Errorf("%s: %v", from, err)
				}
			}
		})
	})
	t.Run("silent@contoso.com", func(t *testing.T) {
		inWorld(t, nil, func(t *testing.T, w *world) {
			p := w.dial()
			defer p.close()
			begin := time.Now()
			p.open("INVITE", "silent@contoso.com", peerAnswer, peerSDP)
			p.read("SIP/2.0 100")
			p.read("SIP/2.0 101")
			p.read("SIP/2.0 180")
			m := p.read("SIP/2.0 408")
			if d := time.Since(begin).Round(time.Second); d != answerTime {
				t.Errorf("rang for %s", d)
			}
			p.open("ACK", "silent@contoso.com", "", "", "z9hG4bK2", "z9hG4bK1", "To: <sip:silent@contoso.com>", "To: "+m.get("To"))
			w.conforming()
		})
	})
	t.Run("cancelled", func(t *testing.T) {
		inWorld(t, quirks(Quirks{AnswerDelay: 10 * time.Second}), func(t *testing.T, w *world) {
			p := w.dial()
			defer p.close()
			p.open("INVITE", "alice@contoso.com", peerAnswer, peerSDP)
			p.read("SIP/2.0 100")
			p.read("SIP/2.0 101")
			p.read("SIP/2.0 180")
			p.open("CANCEL", "alice@contoso.com", "", "", "z9hG4bK2", "z9hG4bK1")
			p.read("SIP/2.0 200 OK")
			m := p.read("SIP/2.0 487")
			p.open("ACK", "alice@contoso.com", "", "", "z9hG4bK3", "z9hG4bK1", "To: <sip:alice@contoso.com>", "To: "+m.get("To"))
			p.silent(time.Minute)
			w.conforming()
		})
	})
}

// TestRefusals: what a user is shown when the peer refuses, is silent or goes away, and when.
func TestRefusals(t *testing.T) {
	const user = "anna@contoso.com"
	for name, c := range map[string]struct {
		quirks Quirks
		peer   func(*peer)
		code   int
		after  time.Duration
	}{
		"the invitation is refused": {peer: func(p *peer) {
			p.reply(p.read("INVITE"), "480 Temporarily Unavailable", "", "")
			p.read("ACK")
		}, code: 480},
		"the text is refused": {peer: func(p *peer) {
			p.take()
			p.reply(p.read("MESSAGE"), "404 Not Found", "", "")
		}, code: 404},
		"the invitation is never answered": {peer: func(p *peer) { p.read("INVITE") }, code: 504, after: transactionTime},
		"it rings for ever": {peer: func(p *peer) {
			inv := p.read("INVITE")
			p.reply(inv, "180 Ringing", peerContact, "")
			cancel := p.read("CANCEL")
			p.reply(cancel, "200 OK", "", "")
			p.reply(inv, "487 Request Terminated", "", "")
		}, code: 504, after: answerTime},
		"the text is answered with Trying": {peer: func(p *peer) {
			p.take()
			m := p.read("MESSAGE")
			time.Sleep(50 * time.Second)
			p.reply(m, "100 Trying", "", "")
		}, code: 504, after: answerTime},
		"the text is never answered": {peer: func(p *peer) { p.take(); p.read("MESSAGE") }, code: 504, after: answerTime},
		"the peer hangs up":          {peer: func(p *peer) { p.take(); p.read("MESSAGE"); p.close() }, code: 504},
		"a page is refused":          {quirks: Quirks{SendsPages: true}, peer: func(p *peer) { p.reply(p.read("MESSAGE sip:bob@gmail.com"), "403 Forbidden", "", "") }, code: 403},
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, quirks(c.quirks), func(t *testing.T, w *world) {
				begin := time.Now()
				w.send(user, "bob@gmail.com", "hello")
				p := w.accept()
				defer p.close()
				c.peer(p)
				e := w.shown(trace.Error, user)
				if e.Item.Code != c.code || e.Item.Body != "hello" || e.Item.ID != "m" || e.From != "bob@gmail.com" {
					t.Errorf("shown %+v", e)
				}
				if d := e.At.Sub(begin).Round(time.Second); d != c.after {
					t.Errorf("shown after %s, want %s", d, c.after)
				}
				if w.log() == "" {
					t.Error("nothing stands in the log")
				}
				w.conforming()
			})
		})
	}
}

// TestLync: what later Edges and richer clients add.
func TestLync(t *testing.T) {
	inWorld(t, quirks(Quirks{EdgeRoute: true, AssertsIdentity: true, ServerHeader: "RTC/4.0"}), func(t *testing.T, w *world) {
		if err := w.edge.Send(t.Context(), SendOptions{From: "anna@contoso.com", To: "bob@gmail.com", Body: "<b>hello</b>", Type: "text/html"}); err != nil {
			t.Fatal(err)
		}
		p := w.accept()
		defer p.close()
		_, inv := p.take()
		if inv.get("Route") != "<sip:xmpp.jds.local:5061;transport=tls;lr>;ms-edge-route" || inv.get("P-Asserted-Identity") != `"Anna Berg"<sip:anna@contoso.com>,<tel:+15550100>` ||
			inv.get("Ms-Text-Format") != "" {
			t.Errorf("%s", inv.bytes())
		}
		m := p.read("MESSAGE")
		if m.get("Content-Type") != "text/html" || string(m.body) != "<b>hello</b>" || m.get("Route") != "" {
			t.Errorf("%s", m.bytes())
		}
		p.reply(m, "200 OK", "", "")
		w.conforming()
	})
}

// TestCrossing: what a user writes while the peer's call is not answered yet goes into that session, and into another one if the
// call comes to nothing.
func TestCrossing(t *testing.T) {
	for _, cancelled := range []bool{false, true} {
		inWorld(t, quirks(Quirks{AnswerDelay: 10 * time.Second}), func(t *testing.T, w *world) {
			p := w.dial()
			defer p.close()
			p.open("INVITE", "alice@contoso.com", peerAnswer, peerSDP)
			for range 3 {
				p.read("SIP/2.0 1")
			}
			w.send("alice@contoso.com", "bob@gmail.com", "crossing")
			if cancelled {
				p.open("CANCEL", "alice@contoso.com", "", "", "z9hG4bK2", "z9hG4bK1")
				p.read("SIP/2.0 200")
				m := p.read("SIP/2.0 487")
				p.open("ACK", "alice@contoso.com", "", "", "z9hG4bK3", "z9hG4bK1", "To: <sip:alice@contoso.com>", "To: "+m.get("To"))
			} else {
				p.dialog(p.read("SIP/2.0 200"), 1).request("ACK", "", "")
			}
			q := w.accept()
			defer q.close()
			if cancelled {
				q.take()
			}
			m := q.read("MESSAGE")
			if string(m.body) != "crossing" {
				t.Errorf("%s", m.bytes())
			}
			q.reply(m, "200 OK", "", "")
			w.conforming()
		})
	}
	// A user who goes away while it rings: the peer is told.
	inWorld(t, nil, func(t *testing.T, w *world) {
		p := w.dial()
		defer p.close()
		p.open("INVITE", "silent@contoso.com", peerAnswer, peerSDP)
		for range 3 {
			p.read("SIP/2.0 1")
		}
		if err := w.edge.SetState(t.Context(), "silent@contoso.com", Offline); err != nil {
			t.Fatal(err)
		}
		m := p.read("SIP/2.0 480")
		p.open("ACK", "silent@contoso.com", "", "", "z9hG4bK2", "z9hG4bK1", "To: <sip:silent@contoso.com>", "To: "+m.get("To"))
		w.conforming()
	})
}

// TestPageMode: refused by default and held against the peer; taken on request.
func TestPageMode(t *testing.T) {
	for _, taken := range []bool{false, true} {
		inWorld(t, quirks(Quirks{PageMode: taken}), func(t *testing.T, w *world) {
			p := w.dial()
			defer p.close()
			p.open("MESSAGE", "alice@contoso.com", "Content-Type: text/plain\n", "hello")
			if !taken {
				p.read("SIP/2.0 405")
				w.guilty("outside of a session")
				return
			}
			p.read("SIP/2.0 200")
			if e := w.shown(trace.Message, "alice@contoso.com"); e.Item.Body != "hello" {
				t.Errorf("shown %+v", e)
			}
			w.conforming()
		})
	}
}
