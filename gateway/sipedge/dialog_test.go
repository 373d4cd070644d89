package sipedge

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"fedlab/gateway/im"
)

// ocs is an OCS user in a session that he opened: it writes in-dialog requests.
type ocs struct {
	*peer
	to, callID string
	cseq       int
}

// invited opens a session from the OCS side.
func (w *world) invited(p *peer) *ocs {
	w.t.Helper()
	p.send(ocsInvite, edgeSDP)
	ok := p.expect("SIP/2.0 200 OK")
	o := &ocs{peer: p, to: ok.get("To"), callID: "3b0c5f2f1e0d4a6c8e7f", cseq: 1}
	o.ack()
	synctest.Wait() // the gateway has read it
	return o
}

func (o *ocs) ack() { o.raw("ACK", o.cseq, "") }

func (o *ocs) raw(method string, cseq int, more string, body ...string) {
	o.t.Helper()
	o.send(fmt.Sprintf(`%s sip:xmpp.jds.local:5061;transport=tls SIP/2.0
Via: SIP/2.0/TLS 10.11.12.33:61022;branch=z9hG4bK%s%d
Max-Forwards: 68
From: "Anna Berg"<sip:anna@contoso.com>;tag=0c1f5e2a9b;epid=4f1a2b3c4d
To: %s
Call-ID: %s
CSeq: %d %s
%s`, method, method, cseq, o.to, o.callID, cseq, method, more), body...)
}

func (o *ocs) do(method, more string, body ...string) {
	o.t.Helper()
	o.cseq++
	o.raw(method, o.cseq, more, body...)
}

var anna = im.Address{Local: "anna", Domain: "contoso.com"}

// TestGlare: both people write at the same moment. The OCS user's session is taken, ours is taken back, and the waiting text
// goes into theirs.
func TestGlare(t *testing.T) {
	inWorld(t, func(w *world) {
		p := w.connected()
		defer p.close()
		out := newOutcomes()
		w.edge.Send(im.Message{From: bob, To: anna, Body: "from bob"}, out.of("1"))
		ours := p.expect("INVITE sip:anna@contoso.com")
		p.answer(ours, "180 Ringing")
		p.send(ocsInvite, edgeSDP)
		var ok, cancel wire
		for range 2 {
			switch m := p.next(); {
			case strings.HasPrefix(m.start, "SIP/2.0 200"):
				ok = m
			case strings.HasPrefix(m.start, "CANCEL"):
				cancel = m
			default:
				t.Fatalf("unexpected:\n%s", m)
			}
		}
		p.answer(cancel, "200 OK")
		p.answer(ours, "487 Request Terminated")
		p.expect("ACK ")
		o := &ocs{peer: p, to: ok.get("To"), callID: "3b0c5f2f1e0d4a6c8e7f", cseq: 1}
		o.ack()
		m := p.expect("MESSAGE ")
		if m.get("Call-ID") != o.callID || m.body != "from bob" {
			t.Errorf("got\n%s", m)
		}
		p.answer(m, "200 OK")
		out.expect(t, "1 ok")
	})
}

// TestGlareBothAccepted: our INVITE is accepted although it was taken back; it is acknowledged and ended, theirs stays.
func TestGlareBothAccepted(t *testing.T) {
	inWorld(t, func(w *world) {
		p := w.connected()
		defer p.close()
		out := newOutcomes()
		w.edge.Send(im.Message{From: bob, To: anna, Body: "from bob"}, out.of("1"))
		ours := p.expect("INVITE sip:anna@contoso.com")
		o := w.invited(p)
		m := p.expect("MESSAGE ")
		p.answer(m, "200 OK")
		out.expect(t, "1 ok")
		p.answer(ours, "200 OK", "Contact: <"+gruu+">", edgeSDP)
		p.expect("ACK ")
		bye := p.expect("BYE ")
		if bye.get("Call-ID") != ours.get("Call-ID") {
			t.Errorf("the wrong session was ended:\n%s", bye)
		}
		p.answer(bye, "200 OK")
		o.do("MESSAGE", "Content-Type: text/plain", "still here")
		if r := <-w.sink.arrived; r.Body != "still here" {
			t.Errorf("got %+v", r.Message)
		} else {
			r.outcome(nil)
		}
		p.expect("SIP/2.0 202")
	})
}

// TestLateOutcome: M22's spirit in sessions. The fate of a message is still open when its transaction has to be answered: 202
// is said, and the failure that comes later is shown in the session, with the text that it was about.
func TestLateOutcome(t *testing.T) {
	inWorld(t, func(w *world) {
		p := w.dial(w.edgeCertificate())
		defer p.close()
		o := w.invited(p)
		o.do("MESSAGE", "Content-Type: text/plain", "are you there?")
		r := <-w.sink.arrived
		began := time.Now()
		p.expect("SIP/2.0 202 Accepted")
		if took := time.Since(began); took < 25*time.Second || took >= 32*time.Second {
			t.Errorf("answered after %v", took)
		}
		r.outcome(&im.Failure{Condition: im.RemoteServerTimeout, Text: "gmail.com does not answer"})
		m := p.expect("MESSAGE ")
		if want := "“are you there?” could not be delivered: gmail.com does not answer"; m.body != want {
			t.Errorf("notice %q, want %q", m.body, want)
		}
		p.answer(m, "200 OK")

		// An XMPP error that comes for a message that was taken does the same.
		o.do("MESSAGE", "Content-Type: text/plain", "second")
		r = <-w.sink.arrived
		r.outcome(nil)
		p.expect("SIP/2.0 202 Accepted")
		w.edge.Send(im.Message{From: bob, To: anna, ID: r.ID, Failure: &im.Failure{Condition: im.ServiceUnavailable}}, func(*im.Failure) {})
		m = p.expect("MESSAGE ")
		if want := "“second” could not be delivered: service-unavailable"; m.body != want {
			t.Errorf("notice %q, want %q", m.body, want)
		}
		p.answer(m, "200 OK")
	})
}

// TestRefusedText: M10. What the XMPP side cannot deliver is answered by the table of RFC 7247 §7.1.
func TestRefusedText(t *testing.T) {
	for _, c := range []struct {
		failure im.Failure
		want    string
	}{
		{im.Failure{Condition: im.ItemNotFound}, "604 "},
		{im.Failure{Condition: im.ServiceUnavailable}, "403 "},
		{im.Failure{Condition: im.RemoteServerNotFound, Text: "gmail.com has no XMPP server"}, "404 gmail.com has no XMPP server"},
		{im.Failure{Condition: im.RemoteServerTimeout}, "408 "},
		{im.Failure{Condition: im.RecipientUnavailable, Text: "evil\r\nInjected: yes"}, "600 evil Injected: yes"},
		{im.Failure{Condition: im.GoneAway, NewPlace: "xmpp:bob@elsewhere.org"}, "301 "},
	} {
		t.Run(string(c.failure.Condition), func(t *testing.T) {
			inWorld(t, func(w *world) {
				p := w.dial(w.edgeCertificate())
				defer p.close()
				o := w.invited(p)
				o.do("MESSAGE", "Content-Type: text/plain", "hi")
				r := <-w.sink.arrived
				r.outcome(&c.failure)
				m := p.expect("SIP/2.0 " + c.want)
				if m.get("Injected") != "" {
					t.Error("a header was injected")
				}
				if c.failure.NewPlace != "" && m.get("Contact") != "<"+c.failure.NewPlace+">" {
					t.Errorf("Contact %q", m.get("Contact"))
				}
			})
		})
	}
}

// TestOrder: fifty texts sent without waiting arrive in the order in which they were sent, though sipgo hands each to its own
// goroutine; the BYE behind them does not overtake them.
func TestOrder(t *testing.T) {
	inWorld(t, func(w *world) {
		p := w.dial(w.edgeCertificate())
		defer p.close()
		o := w.invited(p)
		for i := range 50 {
			o.do("MESSAGE", "Content-Type: text/plain", fmt.Sprint(i))
		}
		o.do("BYE", "")
		for i := range 50 {
			r := <-w.sink.arrived
			if r.Body != fmt.Sprint(i) {
				t.Fatalf("%d. is %+v", i, r.Message)
			}
			r.outcome(nil)
		}
		if r := <-w.sink.arrived; r.State != im.Gone {
			t.Errorf("got %+v", r.Message)
		}
		for range 51 {
			if m := p.next(); !strings.HasPrefix(m.start, "SIP/2.0 20") {
				t.Fatalf("got\n%s", m)
			}
		}
	})
}

// TestDialogRequests: E21 and what else arrives in a session: refreshes are answered, a lower CSeq is refused, gaps are none of
// our business, more media is refused and changes nothing.
func TestDialogRequests(t *testing.T) {
	inWorld(t, func(w *world) {
		p := w.dial(w.edgeCertificate())
		defer p.close()
		o := w.invited(p)
		o.do("UPDATE", "Contact: <sip:anna@contoso.com;opaque=user:epid:moved;gruu>")
		p.expect("SIP/2.0 200 OK")
		o.do("INVITE", "Contact: <sip:anna@contoso.com;opaque=user:epid:moved;gruu>\nContent-Type: application/sdp", edgeSDP)
		if m := p.expect("SIP/2.0 200 OK"); !strings.Contains(m.body, "m=message") || m.get("To") != o.to {
			t.Errorf("answer to the re-INVITE:\n%s", m)
		}
		o.ack()
		o.do("INVITE", "Content-Type: application/sdp", edgeSDP+"m=audio 50000 RTP/AVP 0\r\n")
		p.expect("SIP/2.0 488 ")
		o.cseq += 10 // a gap
		o.do("MESSAGE", "Content-Type: text/html; charset=UTF-8", "<b>hi</b>")
		r := <-w.sink.arrived
		if r.Body != "hi" || r.HTML == "" {
			t.Errorf("got %+v", r.Message)
		}
		r.outcome(nil)
		p.expect("SIP/2.0 202 ")
		o.raw("MESSAGE", o.cseq-5, "Content-Type: text/plain", "old")
		p.expect("SIP/2.0 500 ")
		for _, kind := range []string{"application/x-ms-mim", "application/xml", "application/ms-filetransfer+xml"} {
			o.do("INFO", "Content-Type: "+kind, "<action>x</action>")
			p.expect("SIP/2.0 200 OK")
		}
		if len(w.sink.arrived) != 0 {
			t.Errorf("something arrived: %+v", (<-w.sink.arrived).Message)
		}
		out := newOutcomes()
		w.edge.Send(im.Message{From: bob, To: anna, Body: "back"}, out.of("1"))
		m := p.expect("MESSAGE sip:anna@contoso.com;opaque=user:epid:moved;gruu SIP/2.0")
		p.answer(m, "200 OK")
		out.expect(t, "1 ok")
	})
}

// TestTypingOut: M16. What the XMPP user does is shown while the session is open, changes only; his leaving ends it (M17).
func TestTypingOut(t *testing.T) {
	inWorld(t, func(w *world) {
		p := w.dial(w.edgeCertificate())
		defer p.close()
		w.invited(p)
		state := func(s im.ChatState) { w.edge.Send(im.Message{From: bob, To: anna, State: s}, func(*im.Failure) {}) }
		state(im.Composing)
		m := p.expect("INFO sip:anna@contoso.com;opaque=user:epid:Qx1m0aPzVVKrZ0q3;gruu SIP/2.0")
		if m.get("Content-Type") != "application/xml" || m.body != `<?xml version="1.0"?><KeyboardActivity><status status="type"/></KeyboardActivity>` {
			t.Errorf("got\n%s", m)
		}
		p.answer(m, "200 OK")
		state(im.Composing)
		p.silent(time.Second)
		state(im.Paused)
		m = p.expect("INFO ")
		if !strings.Contains(m.body, `"idle"`) {
			t.Errorf("got %s", m.body)
		}
		p.answer(m, "200 OK")
		// A message ends it without a word, and does not overtake it.
		for range 2 {
			state(im.Composing)
			w.edge.Send(im.Message{From: bob, To: anna, Body: "typed"}, func(*im.Failure) {})
			p.answer(p.expect("INFO "), "200 OK")
			p.answer(p.expect("MESSAGE "), "200 OK")
		}
		state(im.Composing)
		w.edge.Send(im.Message{From: bob, To: anna, Body: "without an answer to INFO"}, func(*im.Failure) {})
		p.expect("INFO ")
		p.answer(p.expect("MESSAGE "), "200 OK")
		state(im.Gone)
		p.answer(p.expect("BYE "), "200 OK")
	})
}

// TestTypingIn: M16, M21. Repeats are not passed on, and typing that is not repeated lapses.
func TestTypingIn(t *testing.T) {
	inWorld(t, func(w *world) {
		p := w.dial(w.edgeCertificate())
		defer p.close()
		o := w.invited(p)
		for range 3 {
			o.do("INFO", "Content-Type: application/xml", `<KeyboardActivity><status status="type" /></KeyboardActivity>`)
			p.expect("SIP/2.0 200 OK")
		}
		if r := <-w.sink.arrived; r.State != im.Composing {
			t.Errorf("got %+v", r.Message)
		}
		began := time.Now()
		if r := <-w.sink.arrived; r.State != im.Active || time.Since(began) < keyboardLasts/2 {
			t.Errorf("after %v: %+v", time.Since(began), r.Message)
		}
		o.do("MESSAGE", "Content-Type: application/im-iscomposing+xml",
			`<isComposing xmlns="urn:ietf:params:xml:ns:im-iscomposing"><state>active</state><refresh>60</refresh></isComposing>`)
		p.expect("SIP/2.0 200 OK")
		if r := <-w.sink.arrived; r.State != im.Composing || r.Body != "" {
			t.Errorf("got %+v", r.Message)
		}
	})
}

// TestRepeatedAnswers: a 200 that comes again is acknowledged again; a 200 of another fork is acknowledged and ended.
func TestRepeatedAnswers(t *testing.T) {
	inWorld(t, func(w *world) {
		p := w.connected()
		defer p.close()
		out := newOutcomes()
		w.edge.Send(im.Message{From: bob, To: alice, Body: "1"}, out.of("1"))
		inv := p.open()
		p.answer(p.expect("MESSAGE "), "200 OK")
		out.expect(t, "1 ok")
		p.answer(inv, "200 OK", "Record-Route: "+recordRoute1, "Contact: <"+gruu+">", edgeSDP)
		p.expect("ACK " + gruu)
		forked := inv
		forked.header = slices.Clone(inv.header)
		for i, h := range forked.header {
			if strings.HasPrefix(h, "To:") {
				forked.header[i] = h + ";tag=OTHERFORK"
			}
		}
		p.answer(forked, "200 OK", "Contact: <sip:alice@contoso.com;opaque=user:epid:other;gruu>", edgeSDP)
		p.expect("ACK sip:alice@contoso.com;opaque=user:epid:other;gruu")
		bye := p.expect("BYE sip:alice@contoso.com;opaque=user:epid:other;gruu")
		if !strings.Contains(bye.get("To"), "OTHERFORK") {
			t.Errorf("got\n%s", bye)
		}
	})
}

// TestNoAck: our 200 is repeated, and the session ended when no ACK ever comes. RFC 3261 §13.3.1.4
func TestNoAck(t *testing.T) {
	inWorld(t, func(w *world) {
		p := w.dial(w.edgeCertificate())
		defer p.close()
		p.send(ocsInvite, edgeSDP)
		began := time.Now()
		repeats := 0
		for {
			m := p.next()
			if strings.HasPrefix(m.start, "BYE ") {
				p.answer(m, "200 OK")
				break
			}
			if !strings.HasPrefix(m.start, "SIP/2.0 200 OK") {
				t.Fatalf("got\n%s", m)
			}
			repeats++
		}
		if took := time.Since(began); took != 32*time.Second || repeats < 5 {
			t.Errorf("ended after %v and %d answers", took, repeats)
		}
	})
}

// TestOddShapes: headers as peers are known to write them are read, and given back as they stood: several Via in one line,
// compact names, folded lines, a lower Via without branch.
func TestOddShapes(t *testing.T) {
	inWorld(t, func(w *world) {
		p := w.dial(w.edgeCertificate())
		defer p.close()
		p.send(`INVITE sip:bob@gmail.com SIP/2.0
v: SIP/2.0/TLS 10.11.12.33:61022;branch=z9hG4bK1;x="a,b;c", SIP/2.0/TLS 10.10.20.7:50211
Max-Forwards: 68
f: Anna <sip:anna@contoso.com>
 ;tag=0c1f;epid=4f
t: sip:bob@gmail.com
i: odd
CSeq: 1 INVITE
m: <sip:anna@contoso.com;opaque=user:epid:Q;gruu>
Record-Route: `+recordRoute1+`, `+recordRoute2+`
c: application/sdp;call-type=im`, edgeSDP)
		ok := p.expect("SIP/2.0 200 OK")
		if got := ok.get("v"); got != `SIP/2.0/TLS 10.11.12.33:61022;branch=z9hG4bK1;x="a,b;c", SIP/2.0/TLS 10.10.20.7:50211` {
			t.Errorf("Via %q", got)
		}
		if got := ok.get("Record-Route"); got != recordRoute1+", "+recordRoute2 {
			t.Errorf("Record-Route %q", got)
		}
		if ok.get("From") != "Anna <sip:anna@contoso.com> ;tag=0c1f;epid=4f" || !strings.HasPrefix(ok.get("To"), "sip:bob@gmail.com;tag=") {
			t.Errorf("From %q To %q", ok.get("From"), ok.get("To"))
		}
		p.send(`ACK sip:xmpp.jds.local:5061;transport=tls SIP/2.0
Via: SIP/2.0/TLS 10.11.12.33:61022;branch=z9hG4bK2
From: Anna <sip:anna@contoso.com>;tag=0c1f;epid=4f
To: ` + ok.get("To") + `
Call-ID: odd
CSeq: 1 ACK`)
		out := newOutcomes()
		w.edge.Send(im.Message{From: bob, To: anna, Body: "hi"}, out.of("1"))
		m := p.expect("MESSAGE sip:anna@contoso.com;opaque=user:epid:Q;gruu")
		if got := m.all("Route"); !slices.Equal(got, []string{recordRoute1, recordRoute2}) {
			t.Errorf("Route %q", got)
		}
	})
}

// TestViaWithoutBranch: a request whose only Via has no branch (RFC 2543) is served, and told from others.
func TestViaWithoutBranch(t *testing.T) {
	inWorld(t, func(w *world) {
		p := w.dial(w.edgeCertificate())
		defer p.close()
		for i := range 3 {
			p.send(request("OPTIONS", change{"Via": "SIP/2.0/TLS 10.10.20.7:50211", "CSeq": fmt.Sprint(i+1, " OPTIONS")}))
			if m := p.expect("SIP/2.0 200 OK"); m.get("Via") != "SIP/2.0/TLS 10.10.20.7:50211" {
				t.Errorf("Via %q", m.get("Via"))
			}
		}
	})
}

// TestCancelAfterAnswer: a CANCEL for an INVITE that is answered already is answered, and changes nothing.
func TestCancelAfterAnswer(t *testing.T) {
	inWorld(t, func(w *world) {
		p := w.dial(w.edgeCertificate())
		defer p.close()
		o := w.invited(p)
		p.send(strings.Replace(strings.Replace(ocsInvite, "INVITE sip", "CANCEL sip", 1), "1 INVITE", "1 CANCEL", 1))
		if m := p.expect("SIP/2.0 200 OK"); m.get("From") != `"Anna Berg"<sip:anna@contoso.com>;tag=0c1f5e2a9b;epid=4f1a2b3c4d` || len(m.all("Via")) != 3 {
			t.Errorf("answer to CANCEL:\n%s", m)
		}
		o.do("UPDATE", "")
		p.expect("SIP/2.0 200 OK")
	})
}
