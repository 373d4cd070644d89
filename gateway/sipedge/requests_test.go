package sipedge

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"fedlab/gateway/im"
)

// request builds a request of an Edge's user; change replaces header lines by name, "-" takes one away, and adds what is new.
func request(method string, change map[string]string) string {
	lines := []field{
		{"Via", "SIP/2.0/TLS sip.contoso.com:5061;branch=z9hG4bK" + fmt.Sprint(len(change), method)}, {"Max-Forwards", "68"},
		{"From", "<sip:anna@contoso.com>;tag=0c1f5e2a9b;epid=4f1a2b3c4d"}, {"To", "<sip:bob@gmail.com>"},
		{"Call-ID", "3b0c5f2f1e0d4a6c8e7f"}, {"CSeq", "1 " + method}, {"Contact", "<sip:anna@contoso.com;opaque=user:epid:Q;gruu>"},
	}
	uri := "sip:bob@gmail.com"
	var names []string
	for n := range change {
		names = append(names, n)
	}
	slices.Sort(names)
	for _, n := range names {
		v := change[n]
		i := slices.IndexFunc(lines, func(f field) bool { return f.name == n })
		switch {
		case n == "URI":
			uri = v
		case v == "-":
			lines = slices.Delete(lines, i, i+1)
		case i >= 0:
			lines[i].value = v
		default:
			lines = append(lines, field{n, v})
		}
	}
	out := method + " " + uri + " SIP/2.0\n"
	for _, l := range lines {
		out += l.name + ": " + l.value + "\n"
	}
	return out
}

type change = map[string]string

// TestRefusals: what the gateway does not take, and how it says so. After each the connection serves the next request.
func TestRefusals(t *testing.T) {
	audio := "v=0\r\no=- 0 0 IN IP4 10.10.20.7\r\ns=session\r\nc=IN IP4 10.10.20.7\r\nt=0 0\r\nm=audio 50000 RTP/AVP 0\r\n"
	sdp := "application/sdp"
	for _, c := range []struct {
		name, request, body string
		want                string
		header              field
	}{
		{"unknown method: 405", request("PUBLISH", nil), "", "405 Method Not Allowed", field{"Allow", allow}},
		{"REFER", request("REFER", change{"Refer-To": "<sip:x@y>"}), "", "405 ", field{"Allow", allow}},
		{"NEGOTIATE, Max-Forwards 0, Via without branch", request("NEGOTIATE", change{"URI": "sip:10.11.12.40:5061", "Max-Forwards": "0",
			"Via": "SIP/2.0/TLS 10.11.12.33:61022", "From": "<sip:10.11.12.33:61022>;tag=55d0", "To": "<sip:10.11.12.40:5061>", "Compression": "LZ77-8K", "Contact": "-"}), "", "405 ", field{"Via", "SIP/2.0/TLS 10.11.12.33:61022"}},
		{"E28: no hops left", request("INVITE", change{"Max-Forwards": "0", "Content-Type": sdp}), edgeSDP, "483 Too Many Hops", field{}},
		{"E28: our own Via", request("INVITE", change{"Via": "SIP/2.0/TLS sip.contoso.com:5061;branch=z9hG4bK9, SIP/2.0/TLS XMPP.jds.local:5061;branch=z9hG4bK1", "Content-Type": sdp}), edgeSDP, "482 Loop Detected", field{}},
		{"user of another domain than this connection's", request("INVITE", change{"From": "<sip:eve@fabrikam.com>;tag=1", "Content-Type": sdp}), edgeSDP, "403 Forbidden: fabrikam.com is not behind this connection", field{}},
		{"XMPP domain that is not ours", request("INVITE", change{"To": "<sip:bob@jabber.org>", "Content-Type": sdp}), edgeSDP, "404 Not Found: jabber.org is not served here", field{}},
		{"M11: sips in To", request("INVITE", change{"To": "<sips:bob@gmail.com>", "Content-Type": sdp}), edgeSDP, "416 ", field{}},
		{"M11: sips in the Request-URI", request("INVITE", change{"URI": "sips:bob@gmail.com", "Content-Type": sdp}), edgeSDP, "416 ", field{}},
		{"a telephone number", request("INVITE", change{"To": "<tel:+1234>", "Content-Type": sdp}), edgeSDP, "400 ", field{}},
		{"foreign Route", request("INVITE", change{"Route": "<sip:sip.fabrikam.com;transport=tls;lr>;ms-edge-route", "Content-Type": sdp}), edgeSDP, "403 ", field{}},
		{"required extension", request("INVITE", change{"Require": "com.microsoft.rtc-multiparty", "Content-Type": sdp}), edgeSDP, "420 Bad Extension", field{"Unsupported", "com.microsoft.rtc-multiparty"}},
		{"conference", request("INVITE", change{"EndPoints": "<sip:a@contoso.com>, <sip:b@contoso.com>, <sip:bob@gmail.com>", "Content-Type": sdp}), edgeSDP, "488 ", field{}},
		{"conference by trigger", request("INVITE", change{"TriggeredInvite": "TRUE", "Content-Type": sdp}), edgeSDP, "488 ", field{}},
		{"audio", request("INVITE", change{"Content-Type": sdp}), audio, "488 ", field{"Warning", `304 xmpp.jds.local "no message session is offered"`}},
		{"M20: MSRP", request("INVITE", change{"Content-Type": sdp}), strings.Replace(audio, "audio 50000 RTP/AVP 0", "message 7394 TCP/MSRP *", 1), "488 ", field{"Warning", `302 xmpp.jds.local "messages are taken as SIP MESSAGE in the session, not by another transport"`}},
		{"message and audio", request("INVITE", change{"Content-Type": sdp}), edgeSDP + "m=audio 50000 RTP/AVP 0\r\n", "488 ", field{}},
		{"no SDP at all in the body", request("INVITE", change{"Content-Type": "text/plain"}), "hello", "488 ", field{}},
		{"in-dialog without a dialog", request("BYE", change{"To": "<sip:bob@gmail.com>;tag=nobody"}), "", "481 ", field{}},
		{"INFO without a dialog", request("INFO", nil), "x", "481 ", field{}},
		{"UPDATE without a dialog", request("UPDATE", change{"To": "<sip:bob@gmail.com>;tag=nobody"}), "", "481 ", field{}},
		{"re-INVITE without a dialog", request("INVITE", change{"To": "<sip:bob@gmail.com>;tag=nobody", "Content-Type": sdp}), edgeSDP, "481 ", field{}},
		{"CANCEL of nothing", request("CANCEL", nil), "", "481 ", field{}},
		{"MESSAGE of a type we cannot read", request("MESSAGE", change{"Content-Type": "text/x-msmsgsinvite"}), "Application-Name: File Transfer", "415 ", field{"Accept", "text/plain, text/html, text/rtf, multipart/alternative, multipart/related, message/cpim, message/imdn+xml, application/ms-imdn+xml"}},
		{"no From", request("MESSAGE", change{"From": "-"}), "x", "400 Bad Request: bad From", field{}},
		{"no Call-ID", request("MESSAGE", change{"Call-ID": "-"}), "x", "400 Bad Request: no Call-ID", field{}},
		{"no CSeq", request("MESSAGE", change{"CSeq": "-"}), "x", "400 ", field{}},
		{"CSeq of another method", request("MESSAGE", change{"CSeq": "1 INVITE"}), "x", "400 ", field{}},
		{"bad Max-Forwards", request("MESSAGE", change{"Max-Forwards": "many"}), "x", "400 ", field{}},
		{"address with a control character", request("MESSAGE", change{"To": "<sip:b%01b@gmail.com>"}), "x", "400 ", field{}},
		{"OPTIONS", request("OPTIONS", nil), "", "200 OK", field{"Allow", allow}},
	} {
		t.Run(c.name, func(t *testing.T) {
			inWorld(t, func(w *world) {
				p := w.dial(w.edgeCertificate())
				defer p.close()
				p.send(c.request, c.body)
				m := p.expect("SIP/2.0 " + c.want)
				if c.header.name != "" && m.get(c.header.name) != c.header.value {
					t.Errorf("%s: %q, want %q", c.header.name, m.get(c.header.name), c.header.value)
				}
				if strings.HasPrefix(c.request, "INVITE") {
					p.send(request("ACK", change{"Via": strings.SplitN(m.get("Via"), ",", 2)[0], "To": m.get("To"), "From": m.get("From")}))
				}
				p.send(options)
				p.expect("SIP/2.0 200 OK")
				if len(w.sink.arrived) != 0 {
					t.Errorf("it reached the XMPP side: %+v", (<-w.sink.arrived).Message)
				}
			})
		})
	}
}

// TestInviteFailures: M13, M09. Every message that waits for a session that does not come is answered with the reason.
func TestInviteFailures(t *testing.T) {
	for _, c := range []struct{ status, want string }{
		{"480 Temporarily Unavailable", "recipient-unavailable 480"},
		{"486 Busy Here", "recipient-unavailable 486"},
		{"603 Decline", "recipient-unavailable 603"},
		{"404 Not Found", "item-not-found 404"},
		{"403 Forbidden", "forbidden 403"},
		{"488 Not Acceptable Here", "not-acceptable 488"},
		{"504 Server time-out", "remote-server-timeout 504"},
		{"606 Not Acceptable", "not-acceptable 606"},
		{"500 Oops", "internal-server-error 500"},
	} {
		t.Run(c.status, func(t *testing.T) {
			inWorld(t, func(w *world) {
				p := w.connected()
				defer p.close()
				out := newOutcomes()
				w.edge.Send(im.Message{From: bob, To: alice, Body: "1"}, out.of("1"))
				inv := p.expect("INVITE ")
				w.edge.Send(im.Message{From: bob, To: alice, Body: "2"}, out.of("2"))
				p.answer(inv, c.status)
				ack := p.expect("ACK sip:alice@contoso.com")
				if ack.get("Via") != inv.get("Via") || !strings.Contains(ack.get("To"), "tag=0A1B2C3D") {
					t.Errorf("ACK:\n%s", ack)
				}
				out.expect(t, "1 "+c.want)
				out.expect(t, "2 "+c.want)
				p.silent(time.Hour)
			})
		})
	}
}

// TestSilence: nobody answers. 32 seconds without any response, a minute after a provisional one; CANCEL ends it.
func TestSilence(t *testing.T) {
	t.Run("no response", func(t *testing.T) {
		inWorld(t, func(w *world) {
			p := w.connected()
			defer p.close()
			out := newOutcomes()
			began := time.Now()
			w.edge.Send(im.Message{From: bob, To: alice, Body: "1"}, out.of("1"))
			p.expect("INVITE ")
			out.expect(t, "1 remote-server-timeout 408")
			if took := time.Since(began); took != 32*time.Second {
				t.Errorf("told after %v", took)
			}
		})
	})
	t.Run("ringing for ever", func(t *testing.T) {
		inWorld(t, func(w *world) {
			p := w.connected()
			defer p.close()
			out := newOutcomes()
			began := time.Now()
			w.edge.Send(im.Message{From: bob, To: alice, Body: "1"}, out.of("1"))
			inv := p.expect("INVITE ")
			p.answer(inv, "180 Ringing")
			out.expect(t, "1 remote-server-timeout 0")
			if took := time.Since(began); took != time.Minute {
				t.Errorf("told after %v", took)
			}
			cancel := p.expect("CANCEL sip:alice@contoso.com SIP/2.0")
			if cancel.get("Via") != inv.get("Via") || cancel.get("CSeq") != "1 CANCEL" || cancel.get("To") != inv.get("To") {
				t.Errorf("CANCEL:\n%s", cancel)
			}
			p.answer(cancel, "200 OK")
			p.answer(inv, "487 Request Terminated")
			p.expect("ACK ")
			p.silent(time.Hour)
		})
	})
	t.Run("accepted too late", func(t *testing.T) {
		inWorld(t, func(w *world) {
			p := w.connected()
			defer p.close()
			out := newOutcomes()
			w.edge.Send(im.Message{From: bob, To: alice, Body: "1"}, out.of("1"))
			inv := p.expect("INVITE ")
			p.answer(inv, "180 Ringing")
			out.expect(t, "1 remote-server-timeout 0")
			p.expect("CANCEL ")
			p.answer(inv, "200 OK", "Contact: <"+gruu+">", edgeSDP)
			p.expect("ACK ")
			bye := p.expect("BYE " + gruu)
			p.answer(bye, "200 OK")
		})
	})
}

// TestMessageFailures: E23. A MESSAGE that is refused in the session, and what becomes of the session. RFC 5057 §5.1
func TestMessageFailures(t *testing.T) {
	for _, c := range []struct {
		status string
		want   string
		next   string // what the next message brings
	}{
		{"415 Unsupported Media Type", "1 not-acceptable 415", "MESSAGE "},
		{"403 Forbidden", "1 forbidden 403", "MESSAGE "},
		{"480 Temporarily Unavailable", "1 recipient-unavailable 480", "INVITE "},
		{"408 Request Timeout", "1 remote-server-timeout 408", "INVITE "},
	} {
		t.Run(c.status, func(t *testing.T) {
			inWorld(t, func(w *world) {
				p := w.connected()
				defer p.close()
				out := newOutcomes()
				w.edge.Send(im.Message{From: bob, To: alice, Body: "1"}, out.of("1"))
				p.open()
				m := p.expect("MESSAGE ")
				p.answer(m, c.status)
				out.expect(t, c.want)
				w.edge.Send(im.Message{From: bob, To: alice, Body: "2"}, out.of("2"))
				p.expect(c.next)
			})
		})
	}
}

// open accepts the gateway's INVITE and takes its ACK.
func (p *peer) open() wire {
	p.t.Helper()
	inv := p.expect("INVITE ")
	p.answer(inv, "200 OK", "Record-Route: "+recordRoute1, "Contact: <"+gruu+">", edgeSDP)
	p.expect("ACK ")
	return inv
}

// TestSessionLostByPeer: 481 says that the text was not taken, so it goes into a new session.
func TestSessionLostByPeer(t *testing.T) {
	inWorld(t, func(w *world) {
		p := w.connected()
		defer p.close()
		out := newOutcomes()
		w.edge.Send(im.Message{From: bob, To: alice, Body: "1", Thread: "a-thread"}, out.of("1"))
		first := p.open()
		p.answer(p.expect("MESSAGE "), "481 Call Leg Does Not Exist")
		second := p.open()
		if second.get("Call-ID") == first.get("Call-ID") {
			t.Error("the second session has the Call-ID of the first")
		}
		m := p.expect("MESSAGE ")
		if m.body != "1" {
			t.Errorf("got %q", m.body)
		}
		p.answer(m, "200 OK")
		out.expect(t, "1 ok")
	})
}
