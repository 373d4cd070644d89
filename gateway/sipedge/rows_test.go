package sipedge

import (
	"strings"
	"testing"
	"time"

	"fedlab/gateway/im"
)

// Rows of the conformance table that are nobody else's: see docs/conformance.md.

// subscribed opens the OCS user's subscription and takes the first NOTIFY.
func (w *world) subscribed(p *peer, s *signals, change ...string) (ok wire) {
	w.t.Helper()
	p.send(strings.NewReplacer(change...).Replace(ocsSubscribe))
	ok = p.expect("SIP/2.0 200 OK")
	p.answer(p.expect("NOTIFY "), "200 OK")
	s.expect(w.t, "alice@contoso.com>bob@gmail.com subscribe")
	return ok
}

// again is the OCS user's SUBSCRIBE in the dialog that ok made.
func again(ok wire, cseq string, change ...string) string {
	first := strings.NewReplacer("CSeq: 1", "CSeq: "+cseq, "z9hG4bKs1", "z9hG4bKr"+cseq, "To: <sip:bob@gmail.com>", "To: "+ok.get("To")).Replace(ocsSubscribe)
	return strings.NewReplacer(change...).Replace(first)
}

func TestSubscriptionRows(t *testing.T) {
	for name, tell := range map[string]func(*testing.T, *world, *signals){
		"P01 full addresses are read as bare": func(t *testing.T, w *world, s *signals) {
			p := w.connected()
			defer p.close()
			to := alice
			to.Resource = "laptop"
			w.edge.Signal(im.Signal{From: im.Address{Local: "bob", Domain: "gmail.com", Resource: "R"}, To: to, Kind: im.SignalSubscribe})
			if sub := p.expect("SUBSCRIBE sip:alice@contoso.com SIP/2.0"); !strings.HasPrefix(sub.get("From"), "<sip:bob@gmail.com>;tag=") {
				t.Errorf("got\n%s", sub)
			}
		},
		"P32 a probe's answers of RFC 3921": func(t *testing.T, w *world, s *signals) {
			p := w.dial(w.edgeCertificate())
			defer p.close()
			w.subscribed(p, s)
			w.signal(im.SignalSubscribed, "")
			p.answer(p.expect("NOTIFY "), "200 OK")
			w.edge.Signal(im.Signal{From: bob, To: alice, Kind: im.SignalError, Failure: &im.Failure{Condition: im.GoneAway}})
			n := p.expect("NOTIFY ") // nobody to be seen there any more
			if !strings.HasPrefix(n.get("Subscription-State"), "active") || !strings.Contains(n.body, "<basic>closed</basic>") {
				t.Errorf("gone:\n%s", n)
			}
			p.answer(n, "200 OK")
			w.edge.Signal(im.Signal{From: bob, To: alice, Kind: im.SignalError, Failure: &im.Failure{Condition: im.Forbidden}})
			if n := p.expect("NOTIFY "); n.get("Subscription-State") != "terminated;reason=rejected" {
				t.Errorf("forbidden:\n%s", n)
			}
		},
		"E02 answered without waiting for a person": func(t *testing.T, w *world, s *signals) {
			p := w.dial(w.edgeCertificate())
			defer p.close()
			began := time.Now()
			p.send(ocsSubscribe)
			p.expect("SIP/2.0 200 OK")
			if took := time.Since(began); took > time.Second {
				t.Errorf("after %v", took)
			}
		},
		"E19 nothing is shown to who is not the domain's, nor before approval": func(t *testing.T, w *world, s *signals) {
			p := w.dial(w.edgeCertificate())
			defer p.close()
			p.send(strings.ReplaceAll(ocsSubscribe, "alice@contoso.com", "eve@fabrikam.com"))
			p.expect("SIP/2.0 403 ")
			s.silent(t, time.Minute)
			w.signal(im.SignalAvailable, im.Away, "home")
			p.send(again(wire{header: []string{"To: <sip:bob@gmail.com>"}}, "2"))
			p.expect("SIP/2.0 200 OK")
			if n := p.expect("NOTIFY "); n.body != "" || !strings.HasPrefix(n.get("Subscription-State"), "pending") {
				t.Errorf("got\n%s", n)
			}
		},
		"E20 CANCEL of a SUBSCRIBE": func(t *testing.T, w *world, s *signals) {
			p := w.dial(w.edgeCertificate())
			defer p.close()
			w.subscribed(p, s)
			p.send(strings.NewReplacer("SUBSCRIBE sip", "CANCEL sip", "1 SUBSCRIBE", "1 CANCEL", "Require: adhoclist, categoryList\n", "").Replace(ocsSubscribe))
			if m := p.next(); !strings.HasPrefix(m.start, "SIP/2.0 ") || m.get("CSeq") != "1 CANCEL" {
				t.Errorf("got\n%s", m)
			}
			w.signal(im.SignalSubscribed, "")
			if n := p.expect("NOTIFY "); !strings.HasPrefix(n.get("Subscription-State"), "active") {
				t.Errorf("got\n%s", n)
			}
		},
		"E22 the target moves, the Event's id stays": func(t *testing.T, w *world, s *signals) {
			p := w.dial(w.edgeCertificate())
			defer p.close()
			ok := w.subscribed(p, s, "Event: presence", "Event: presence;id=7")
			p.send(again(ok, "2", "Event: presence", "Event: presence;id=8"))
			p.expect("SIP/2.0 481 ")
			p.send(again(ok, "3", "Event: presence", "Event: presence;id=7", "opaque=user:epid:Q", "opaque=user:epid:Moved"))
			p.expect("SIP/2.0 200 OK")
			n := p.expect("NOTIFY sip:alice@contoso.com;opaque=user:epid:Moved;gruu SIP/2.0")
			if n.get("Event") != "presence;id=7" {
				t.Errorf("got\n%s", n)
			}
		},
		"E22 a NOTIFY with an id that was not asked for": func(t *testing.T, w *world, s *signals) {
			p := w.connected()
			defer p.close()
			w.signal(im.SignalSubscribe, "")
			sub := p.expect("SUBSCRIBE ")
			p.send("NOTIFY sip:xmpp.jds.local SIP/2.0\nVia: SIP/2.0/TLS a:1;branch=z9hG4bKb\nFrom: <sip:alice@contoso.com>;tag=0A1B\nTo: " + sub.get("From") +
				"\nCall-ID: " + sub.get("Call-ID") + "\nCSeq: 1 NOTIFY\nEvent: presence;id=9\nSubscription-State: active;expires=3600")
			p.expect("SIP/2.0 481 ")
		},
	} {
		t.Run(name, func(t *testing.T) { seeing(t, func(w *world, s *signals) { tell(t, w, s) }) })
	}
}

func TestMessageRows(t *testing.T) {
	now := time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC) // when bubbles begin
	t.Run("M08 a message that has expired", func(t *testing.T) {
		for date, want := range map[string]string{"Fri, 31 Dec 1999 23:58:00 GMT": "480 ", "Fri, 31 Dec 1999 23:59:30 GMT": "202 ", "yesterday": "202 "} {
			inWorld(t, func(w *world) {
				p := w.dial(w.edgeCertificate())
				defer p.close()
				p.send(request("MESSAGE", change{"Content-Type": "text/plain", "Date": date, "Expires": "60"}), "be quick")
				if want == "202 " {
					(<-w.sink.arrived).outcome(nil)
				}
				p.expect("SIP/2.0 " + want)
				if len(w.sink.arrived) > 0 {
					t.Errorf("%s: delivered", date)
				}
			})
		}
	})
	t.Run("M18 no chat states to a client that sends none", func(t *testing.T) {
		inWorld(t, func(w *world) {
			p := w.dial(w.edgeCertificate())
			defer p.close()
			o := w.invited(p)
			typing := func() {
				o.do("INFO", "Content-Type: application/xml", `<KeyboardActivity><status status="type" /></KeyboardActivity>`)
				p.expect("SIP/2.0 200 OK")
			}
			says := func(state im.ChatState) {
				w.edge.Send(im.Message{From: bob, To: anna, Body: "hi", State: state}, func(*im.Failure) {})
				p.answer(p.expect("MESSAGE "), "200 OK")
			}
			says("")
			typing()
			time.Sleep(time.Hour) // the lapse is not told either
			if len(w.sink.arrived) > 0 {
				t.Errorf("told %+v", (<-w.sink.arrived).Message)
			}
		})
		inWorld(t, func(w *world) {
			p := w.dial(w.edgeCertificate())
			defer p.close()
			o := w.invited(p)
			w.edge.Send(im.Message{From: bob, To: anna, Body: "hi", State: im.Active}, func(*im.Failure) {})
			p.answer(p.expect("MESSAGE "), "200 OK")
			for range 3 { // not twice in a row, and without a text
				o.do("INFO", "Content-Type: application/xml", `<KeyboardActivity><status status="type" /></KeyboardActivity>`)
				p.expect("SIP/2.0 200 OK")
			}
			if r := <-w.sink.arrived; r.State != im.Composing || r.Body != "" || len(w.sink.arrived) > 0 {
				t.Errorf("told %+v and %d more", r.Message, len(w.sink.arrived))
			}
		})
	})
	t.Run("M23 a delayed message keeps its time", func(t *testing.T) {
		inWorld(t, func(w *world) {
			p := w.connected()
			defer p.close()
			w.edge.Send(im.Message{From: bob, To: alice, Body: "late", Sent: now.Add(-time.Hour)}, func(*im.Failure) {})
			p.open()
			if m := p.expect("MESSAGE "); m.get("Date") != "Fri, 31 Dec 1999 23:00:00 GMT" {
				t.Errorf("got\n%s", m)
			}
		})
	})
}
