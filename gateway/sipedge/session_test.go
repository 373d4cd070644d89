package sipedge

import (
	"slices"
	"strings"
	"testing"
	"time"

	"fedlab/gateway/im"
)

// The record route, target and tags of an OCS deployment: parameters outside the brackets, a GRUU, quotes.
const (
	recordRoute1 = `<sip:sip.contoso.com:5061;transport=tls;epid=5a1f;lr;ms-key-info=AAEAAQ==;ms-route-sig=aaB3x,y>;ms-rrsig=aaC9;tag=7E1C0B`
	recordRoute2 = `<sip:pool01.contoso.com:5061;transport=tls;ms-fe=fe01.contoso.com;opaque=state:F:Ci.R1a2b00;lr;ms-route-sig=aaD4>;ms-rrsig=aaD4;tag=91F3`
	gruu         = `sip:alice@contoso.com;opaque=user:epid:Qx1m0aPzVVKrZ0q3;gruu`
)

// TestFirstMessageOpensSession: M13. The first chat message opens a session, the text follows after the ACK, later ones in
// order; everything the Edge gave is used as it stood. RFC 7573 §4
func TestFirstMessageOpensSession(t *testing.T) {
	inWorld(t, func(w *world) {
		p := w.connected()
		defer p.close()
		out := newOutcomes()
		w.edge.Send(im.Message{From: bob, To: alice, Body: "Hello", Thread: "3b0c5f2f-1e0d"}, out.of("1"))
		w.edge.Send(im.Message{From: bob, To: alice, Body: "Zweite: äöü"}, out.of("2"))

		inv := p.expect("INVITE sip:alice@contoso.com SIP/2.0")
		for name, want := range map[string]string{
			"To": "<sip:alice@contoso.com>", "Call-ID": "3b0c5f2f-1e0d", "CSeq": "1 INVITE", "Max-Forwards": "70",
			"Contact": "<sip:xmpp.jds.local:5061;transport=tls>", "Content-Type": "application/sdp",
		} {
			if got := inv.get(name); got != want {
				t.Errorf("%s: %q, want %q", name, got, want)
			}
		}
		if !strings.HasPrefix(inv.get("From"), "<sip:bob@gmail.com>;tag=") || !strings.HasPrefix(inv.get("Via"), "SIP/2.0/TLS xmpp.jds.local:5061;branch=z9hG4bK") {
			t.Errorf("From %q, Via %q", inv.get("From"), inv.get("Via"))
		}
		if !strings.Contains(inv.body, "m=message 5060 sip null\r\na=accept-types:text/plain application/ms-imdn+xml\r\n") || strings.Contains(inv.String(), "10.11") {
			t.Errorf("offer:\n%s", inv)
		}
		p.answer(inv, "100 Trying")
		p.answer(inv, "101 Progress Report", "ms-diagnostics: 13004;reason=\"Request was proxied to one or more registered endpoints\"")
		p.silent(5 * time.Second)
		p.answer(inv, "200 OK", "Record-Route: "+recordRoute2, "Record-Route: "+recordRoute1, "Contact: <"+gruu+">", "Supported: ms-text-format", edgeSDP)

		ack := p.expect("ACK " + gruu + " SIP/2.0")
		m1 := p.expect("MESSAGE " + gruu + " SIP/2.0")
		for _, m := range []wire{ack, m1} {
			if got := m.all("Route"); !slices.Equal(got, []string{recordRoute1, recordRoute2}) {
				t.Errorf("route set %q", got)
			}
			if got, want := m.get("To"), "<sip:alice@contoso.com>;epid=4f1a2b3c4d;tag=0A1B2C3D4E5F60718293A4B5C6D7E8F9"; got != want {
				t.Errorf("To %q, want %q", got, want)
			}
			if m.get("From") != inv.get("From") {
				t.Errorf("From %q changed to %q", inv.get("From"), m.get("From"))
			}
		}
		if ack.get("CSeq") != "1 ACK" || m1.get("CSeq") != "2 MESSAGE" || m1.body != "Hello" || m1.get("Content-Type") != "text/plain; charset=UTF-8" {
			t.Errorf("%s\n%s", ack, m1)
		}
		if m1.get("Contact") != "" {
			t.Error("M05: MESSAGE carries a Contact")
		}
		p.silent(5 * time.Second) // M07: one at a time
		p.answer(m1, "200 OK")
		out.expect(t, "1 ok")
		m2 := p.expect("MESSAGE " + gruu)
		if m2.body != "Zweite: äöü" || m2.get("CSeq") != "3 MESSAGE" {
			t.Errorf("second:\n%s", m2)
		}
		p.answer(m2, "200 OK")
		out.expect(t, "2 ok")

		// M17: a session without traffic is ended.
		bye := p.expect("BYE " + gruu)
		if !slices.Equal(bye.all("Route"), []string{recordRoute1, recordRoute2}) {
			t.Errorf("BYE's route set %q", bye.all("Route"))
		}
		p.answer(bye, "200 OK")
	})
}

const ocsInvite = `INVITE sip:bob@gmail.com SIP/2.0
Record-Route: ` + recordRoute1 + `
Via: SIP/2.0/TLS 10.11.12.33:61022;branch=z9hG4bK5D1F0A77.3C1D9E8B7A605F41;branched=FALSE;ms-internal-info="cbQ;x=,y"
Max-Forwards: 68
Via: SIP/2.0/TLS 10.10.10.20:5061;branch=z9hG4bK0F31C2D4.9A8B7C6D5E4F3021;branched=FALSE;ms-received-port=5061;ms-received-cid=4E00
From: "Anna Berg"<sip:anna@contoso.com>;tag=0c1f5e2a9b;epid=4f1a2b3c4d
Record-Route: ` + recordRoute2 + `
Via: SIP/2.0/TLS 10.10.20.7:50211;ms-received-port=50211;ms-received-cid=2B3C00
To: <sip:bob@gmail.com>
Call-ID: 3b0c5f2f1e0d4a6c8e7f
CSeq: 1 INVITE
Contact: <sip:anna@contoso.com;opaque=user:epid:Qx1m0aPzVVKrZ0q3;gruu>
User-Agent: UCCAPI/3.5.6907.0 OC/3.5.6907.0 (Microsoft Office Communicator 2007 R2)
Supported: ms-dialog-route-set-update, ms-delayed-accept, timer, histinfo, ms-safe-transfer, ms-sender, ms-early-media
Supported: com.microsoft.rtc-multiparty
EndPoints: <sip:anna@contoso.com>, <sip:bob@gmail.com>
Ms-Conversation-ID: AcrX1x7kQmZbT0q5Rk2m
Ms-Text-Format: text/plain; charset=UTF-8;msgr=WAAtAE0ATQBT;ms-body=aGVsbG8gYm9i
Allow: INVITE, BYE, ACK, CANCEL, INFO, MESSAGE, UPDATE, REFER, NOTIFY, BENOTIFY
Content-Type: application/sdp`

// TestInviteFromOCS: M14. An OCS user's session is accepted at once, with every header of the request echoed byte for byte; its
// texts arrive with the Call-ID as thread, its end as gone (M17).
func TestInviteFromOCS(t *testing.T) {
	inWorld(t, func(w *world) {
		p := w.dial(w.edgeCertificate())
		defer p.close()
		p.send(ocsInvite, edgeSDP)
		ok := p.expect("SIP/2.0 200 OK")
		wantVia := []string{
			`SIP/2.0/TLS 10.11.12.33:61022;branch=z9hG4bK5D1F0A77.3C1D9E8B7A605F41;branched=FALSE;ms-internal-info="cbQ;x=,y"`,
			`SIP/2.0/TLS 10.10.10.20:5061;branch=z9hG4bK0F31C2D4.9A8B7C6D5E4F3021;branched=FALSE;ms-received-port=5061;ms-received-cid=4E00`,
			`SIP/2.0/TLS 10.10.20.7:50211;ms-received-port=50211;ms-received-cid=2B3C00`,
		}
		if got := ok.all("Via"); !slices.Equal(got, wantVia) {
			t.Errorf("Via %q", got)
		}
		if got := ok.all("Record-Route"); !slices.Equal(got, []string{recordRoute1, recordRoute2}) {
			t.Errorf("Record-Route %q", got)
		}
		if got, want := ok.get("From"), `"Anna Berg"<sip:anna@contoso.com>;tag=0c1f5e2a9b;epid=4f1a2b3c4d`; got != want {
			t.Errorf("From %q", got)
		}
		to := ok.get("To")
		if !strings.HasPrefix(to, "<sip:bob@gmail.com>;tag=") || ok.get("CSeq") != "1 INVITE" || ok.get("Contact") != "<sip:xmpp.jds.local:5061;transport=tls>" {
			t.Errorf("answer:\n%s", ok)
		}
		if strings.Contains(ok.get("Supported"), "ms-text-format") {
			t.Error("the text in the INVITE is not read, so it must not be claimed")
		}
		if !strings.Contains(ok.body, "m=message 5060 sip sip:bob@gmail.com\r\n") {
			t.Errorf("answer:\n%s", ok.body)
		}
		inDialog := func(method, cseq, more string, body ...string) {
			p.send(method+` sip:xmpp.jds.local:5061;transport=tls SIP/2.0
Via: SIP/2.0/TLS 10.11.12.33:61022;branch=z9hG4bK`+cseq+method+`
Max-Forwards: 68
From: "Anna Berg"<sip:anna@contoso.com>;tag=0c1f5e2a9b;epid=4f1a2b3c4d
To: `+to+`
Call-ID: 3b0c5f2f1e0d4a6c8e7f
CSeq: `+cseq+` `+method+"\n"+more, body...)
		}
		inDialog("ACK", "1", "")
		inDialog("INFO", "2", "Content-Type: application/xml", `<?xml version="1.0"?><KeyboardActivity><status status="type" /></KeyboardActivity>`)
		p.expect("SIP/2.0 200 OK")
		if r := <-w.sink.arrived; r.State != im.Composing || r.From != (im.Address{Local: "anna", Domain: "contoso.com"}) || r.To != bob {
			t.Errorf("typing arrived as %+v", r.Message)
		}
		inDialog("MESSAGE", "3", "Content-Type: text/plain; charset=UTF-8;msgr=WAAtAE0ATQBT", "hello bob")
		r := <-w.sink.arrived
		if r.Body != "hello bob" || r.Thread != "3b0c5f2f1e0d4a6c8e7f" || r.Normal || r.ID == "" {
			t.Errorf("text arrived as %+v", r.Message)
		}
		p.silent(10 * time.Second) // the answer waits for the outcome
		r.outcome(nil)
		if m := p.expect("SIP/2.0 202 Accepted"); m.get("Contact") != "" || m.body != "" {
			t.Errorf("M05: %s", m)
		}

		// The XMPP user answers in the same session.
		out := newOutcomes()
		w.edge.Send(im.Message{From: im.Address{Local: "bob", Domain: "gmail.com", Resource: "Talk1"}, To: r.From, Body: "hi anna", State: im.Active}, out.of("a"))
		m := p.expect("MESSAGE sip:anna@contoso.com;opaque=user:epid:Qx1m0aPzVVKrZ0q3;gruu SIP/2.0")
		if !slices.Equal(m.all("Route"), []string{recordRoute1, recordRoute2}) || m.get("From") != to || m.get("To") != ok.get("From") {
			t.Errorf("in-dialog request:\n%s", m)
		}
		p.answer(m, "200 OK")
		out.expect(t, "a ok")

		inDialog("BYE", "4", "")
		p.expect("SIP/2.0 200 OK")
		if r := <-w.sink.arrived; r.State != im.Gone || r.To.Resource != "Talk1" { // M15, M17
			t.Errorf("the end arrived as %+v", r.Message)
		}
		inDialog("MESSAGE", "5", "Content-Type: text/plain", "too late")
		p.expect("SIP/2.0 481 ")
	})
}
