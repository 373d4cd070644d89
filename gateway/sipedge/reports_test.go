package sipedge

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"fedlab/gateway/im"
)

var romeo = im.Address{Local: "bob", Domain: "gmail.com", Resource: "orchard"}

const bothWished = "positive-delivery, negative-delivery"

// asking is a text in an envelope that asks for reports.
func asking(wished string, more ...string) string {
	return strings.ReplaceAll("From: Anna <im:anna@contoso.com>\nTo: <im:bob@gmail.com>\nDateTime: 1999-12-31T23:59:00Z\nNS: imdn <urn:ietf:params:imdn>\n"+
		"imdn.Message-ID: 34jk324j\nimdn.Disposition-Notification: "+wished+"\n"+strings.Join(more, "")+"\nContent-Type: text/plain\n\nHello World", "\n", "\r\n")
}

// asker is a SIP user who writes outside sessions.
type asker struct {
	*world
	*peer
	n int
}

// message sends a MESSAGE of anna's.
func (a *asker) message(kind, body string) {
	a.n++
	a.send(request("MESSAGE", change{"Via": fmt.Sprintf("SIP/2.0/TLS sip.contoso.com:5061;branch=z9hG4bKask%d", a.n),
		"From": "<sip:anna@contoso.com;gr=phone>;tag=9", "Call-ID": fmt.Sprint("ask", a.n), "Contact": "-", "Content-Type": kind}), body)
}

// writes sends a text that asks, and has the XMPP side take it.
func (a *asker) writes(wished string, more ...string) received {
	a.world.t.Helper()
	a.message("message/cpim", asking(wished, more...))
	r := <-a.sink.arrived
	r.outcome(nil)
	a.expect("SIP/2.0 202 Accepted")
	return r
}

// confirms is what the XMPP user's client says.
func (a *asker) confirms(id string) {
	a.edge.Send(im.Message{From: romeo, To: anna, Receipt: id}, func(*im.Failure) {})
}

func (a *asker) bounces(id string) {
	a.edge.Send(im.Message{From: romeo, To: anna, ID: id, Failure: &im.Failure{Condition: im.ServiceUnavailable}}, func(*im.Failure) {})
}

// report takes the report and answers it.
func (a *asker) report(status, uri string) wire {
	a.world.t.Helper()
	m := a.expect("MESSAGE " + uri + " SIP/2.0")
	for _, part := range []string{"From: <im:bob@gmail.com>\r\nTo: <im:anna@contoso.com>\r\n", "\r\nContent-Type: message/imdn+xml\r\nContent-Disposition: notification\r\n",
		"<message-id>34jk324j</message-id><datetime>1999-12-31T23:59:00Z</datetime><recipient-uri>im:bob@gmail.com</recipient-uri>",
		"<delivery-notification><status><" + status + "/></status></delivery-notification>"} {
		if !strings.Contains(m.body, part) {
			a.world.t.Errorf("no %q in\n%s", part, m)
		}
	}
	if m.get("Content-Type") != "message/cpim" || m.get("Contact") != "" || strings.Contains(m.body, "Disposition-Notification") {
		a.world.t.Errorf("got\n%s", m)
	}
	a.answer(m, "200 OK")
	return m
}

const annasPhone = "sip:anna@contoso.com;gr=phone"

// TestWishes: M22. A SIP user who asks is told of delivery when the XMPP client confirms it, and of failure when a 2xx was given; once,
// and never for a mere 2xx.
func TestWishes(t *testing.T) {
	for name, tell := range map[string]func(*testing.T, *asker){
		"delivered, once": func(t *testing.T, a *asker) {
			r := a.writes(bothWished)
			if !r.ReceiptWanted || r.Body != "Hello World" || r.ID == "" {
				t.Errorf("arrived as %+v", r.Message)
			}
			a.silent(time.Minute)
			a.confirms("another message")
			a.silent(time.Minute)
			a.confirms(r.ID)
			if m := a.report("delivered", annasPhone); !strings.HasPrefix(m.get("From"), "<sip:bob@gmail.com>;tag=") || m.get("To") != "<"+annasPhone+">" {
				t.Errorf("got\n%s", m)
			}
			a.confirms(r.ID)
			a.silent(time.Minute)
			a.bounces(r.ID) // no "failed" behind "delivered": shown, not reported
			if m := a.expect("INVITE "); m.body == "" {
				t.Errorf("got\n%s", m)
			}
		},
		"confirmed by somebody else": func(t *testing.T, a *asker) {
			r := a.writes(bothWished)
			a.edge.Send(im.Message{From: im.Address{Local: "eve", Domain: "gmail.com"}, To: anna, Receipt: r.ID}, func(*im.Failure) {})
			a.silent(time.Minute)
		},
		"not before the 2xx": func(t *testing.T, a *asker) {
			a.message("message/cpim", asking(bothWished))
			r := <-a.sink.arrived
			a.confirms(r.ID)
			a.silent(time.Second)
			r.outcome(nil)
			a.expect("SIP/2.0 202 ")
			a.report("delivered", annasPhone)
		},
		"nothing after another response": func(t *testing.T, a *asker) {
			a.message("message/cpim", asking(bothWished))
			r := <-a.sink.arrived
			a.confirms(r.ID)
			a.silent(time.Second)
			r.outcome(&im.Failure{Condition: im.ItemNotFound})
			a.expect("SIP/2.0 604 ")
			a.confirms(r.ID)
			a.silent(time.Minute)
		},
		"failed, late": func(t *testing.T, a *asker) {
			a.message("message/cpim", asking(bothWished))
			r := <-a.sink.arrived
			a.expect("SIP/2.0 202 ")
			r.outcome(&im.Failure{Condition: im.RemoteServerTimeout})
			a.report("failed", annasPhone)
			a.silent(time.Minute)
		},
		"failed, by an XMPP error": func(t *testing.T, a *asker) {
			a.bounces(a.writes("negative-delivery").ID)
			a.report("failed", annasPhone)
		},
		"only failure is of interest": func(t *testing.T, a *asker) {
			r := a.writes("negative-delivery, display")
			if r.ReceiptWanted {
				t.Error("a receipt is asked for")
			}
			a.confirms(r.ID)
			a.silent(time.Minute)
		},
		"only delivery is of interest: a notice": func(t *testing.T, a *asker) {
			a.bounces(a.writes("positive-delivery").ID)
			a.open()
			if m := a.expect("MESSAGE "); !strings.Contains(m.body, "could not be delivered: service-unavailable") {
				t.Errorf("got\n%s", m)
			}
		},
		"a report that is not taken: a notice": func(t *testing.T, a *asker) {
			a.bounces(a.writes(bothWished).ID)
			a.answer(a.expect("MESSAGE "), "415 Unsupported Media Type")
			a.open()
			if m := a.expect("MESSAGE "); !strings.Contains(m.body, "could not be delivered: service-unavailable") {
				t.Errorf("got\n%s", m)
			}
		},
		"by the way that was asked for": func(t *testing.T, a *asker) {
			a.confirms(a.writes(bothWished, "imdn.IMDN-Record-Route: <sip:archive@contoso.com>\n", "imdn.IMDN-Record-Route: <sip:second@contoso.com>\n", "imdn.Original-To: <im:list@gmail.com>\n").ID)
			m := a.report("delivered", "sip:archive@contoso.com")
			for _, part := range []string{"\r\nimdn.IMDN-Route: <sip:archive@contoso.com>\r\nimdn.IMDN-Route: <sip:second@contoso.com>\r\n", "<original-recipient-uri>im:list@gmail.com</original-recipient-uri>"} {
				if !strings.Contains(m.body, part) {
					t.Errorf("no %q in\n%s", part, m)
				}
			}
		},
		"not at the expense of others": func(t *testing.T, a *asker) {
			r := a.writes(bothWished, "imdn.IMDN-Record-Route: <sip:victim@fabrikam.com>\n")
			if r.ReceiptWanted {
				t.Error("granted")
			}
			a.confirms(r.ID)
			a.silent(time.Minute)
		},
		"forgotten after a day": func(t *testing.T, a *asker) {
			r := a.writes(bothWished)
			a.silent(24 * time.Hour)
			a.confirms(r.ID)
			a.silent(time.Minute)
		},
		"a report asks for nothing": func(t *testing.T, a *asker) {
			a.message("message/cpim", strings.Replace(asking(bothWished), "Content-Type: text/plain", "Content-Disposition: notification\r\nContent-Type: message/imdn+xml", 1))
			a.expect("SIP/2.0 400 Bad Request: ") // and this one is none
			a.silent(time.Minute)
		},
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, func(w *world) {
				a := &asker{world: w, peer: w.connected()}
				defer a.close()
				tell(t, a)
			})
		})
	}
}

// TestWishesInSession: M22. What came in a session is reported on in it. Is it over, then nothing is said of delivery, and of failure by a
// notice.
func TestWishesInSession(t *testing.T) {
	inWorld(t, func(w *world) {
		p := w.dial(w.edgeCertificate())
		defer p.close()
		o := w.invited(p)
		a := &asker{world: w, peer: p}
		write := func() string {
			o.do("MESSAGE", "Content-Type: message/cpim", asking(bothWished))
			r := <-w.sink.arrived
			r.outcome(nil)
			p.expect("SIP/2.0 202 ")
			return r.ID
		}
		a.confirms(write())
		if m := a.report("delivered", "sip:anna@contoso.com;opaque=user:epid:Qx1m0aPzVVKrZ0q3;gruu"); m.get("Call-ID") != o.callID || m.get("Route") == "" {
			t.Errorf("got\n%s", m)
		}
		first, second := write(), write()
		o.do("BYE", "")
		p.expect("SIP/2.0 200 OK")
		synctest.Wait()
		a.confirms(first)
		p.silent(time.Minute)
		a.bounces(second)
		p.open()
		if m := p.expect("MESSAGE "); m.body != "Your last message could not be delivered: service-unavailable" {
			t.Errorf("got\n%s", m)
		}
	})
}

// TestEnvelopes: what stands in an envelope of no use.
func TestEnvelopes(t *testing.T) {
	for name, c := range map[string]struct{ kind, body, want string }{
		"no envelope":               {"message/cpim", "Hello World", "400 Bad Request: a body that is not what its type promises"},
		"nothing can be read":       {"message/cpim", "\r\nContent-Type: image/gif\r\n\r\nGIF", "415 "},
		"something is required":     {"message/cpim", "Require: Vital\r\n\r\n\r\nx", "488 Not Acceptable Here: an envelope requires what is not understood: Vital"},
		"a report without envelope": {"message/imdn+xml", "<imdn/>", "415 "},
		"OCS's outside sessions":    {"application/ms-imdn+xml", "<imdn/>", "415 "},
		"an empty text":             {"message/cpim", "\r\n\r\n", "200 "},
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, func(w *world) {
				a := &asker{world: w, peer: w.connected()}
				defer a.close()
				a.message(c.kind, c.body)
				a.expect("SIP/2.0 " + c.want)
				if len(w.sink.arrived) > 0 {
					t.Errorf("arrived: %+v", (<-w.sink.arrived).Message)
				}
			})
		})
	}
}

// wants sends a message of the XMPP user's who would like a receipt, and gives what the peer sees.
func (w *world) wants(p *peer, id, body string) wire {
	w.t.Helper()
	w.edge.Send(im.Message{From: romeo, To: anna, ID: id, Body: body, Thread: "t", ReceiptWanted: true}, func(*im.Failure) {})
	return p.expect("MESSAGE ")
}

// between is what stands between two strings.
func between(s, from, to string) string {
	_, s, _ = strings.Cut(s, from)
	s, _, _ = strings.Cut(s, to)
	return s
}

// TestReportsAwaited: M19, M22. Outside sessions the XMPP user's request asks for a report, which becomes his receipt or an error.
func TestReportsAwaited(t *testing.T) {
	report := func(id, what string) string {
		kind, _, _ := strings.Cut(what, "/")
		return strings.ReplaceAll("From: <im:anna@contoso.com>\nTo: <im:bob@gmail.com>\nNS: imdn <urn:ietf:params:imdn>\nimdn.Message-ID: d834jied93rf\n\nContent-Type: message/imdn+xml\nContent-Disposition: notification\n\n"+
			"<imdn xmlns='urn:ietf:params:xml:ns:imdn'><message-id>"+id+"</message-id><datetime>2000-01-01T00:00:00Z</datetime>"+
			"<"+kind+"-notification><status><"+strings.TrimPrefix(what, kind+"/")+"/></status></"+kind+"-notification></imdn>", "\n", "\r\n")
	}
	for name, tell := range map[string]func(t *testing.T, a *asker, says func(id, what string)){
		"delivered, once": func(t *testing.T, a *asker, says func(id, what string)) {
			m := a.wants(a.peer, "x1", "Hello Anna")
			id := between(m.body, "imdn.Message-ID: ", "\r\n")
			for _, part := range []string{"From: <sip:bob@gmail.com>\r\nTo: <sip:anna@contoso.com>\r\nDateTime: 2000-01-01T00:00:00Z\r\nNS: imdn <urn:ietf:params:imdn>\r\n",
				"\r\nimdn.Disposition-Notification: positive-delivery, negative-delivery\r\n\r\nContent-Type: text/plain; charset=UTF-8\r\nContent-Length: 10\r\n\r\nHello Anna"} {
				if !strings.Contains(m.body, part) || m.get("Content-Type") != "message/cpim" || len(id) < 16 {
					t.Errorf("no %q in\n%s", part, m)
				}
			}
			a.answer(m, "202 Accepted")
			says(id, "processing/processed")
			says(id, "delivery/forbidden")
			says("unknown", "delivery/delivered")
			if len(a.sink.arrived) > 0 {
				t.Errorf("arrived: %+v", (<-a.sink.arrived).Message)
			}
			says(id, "delivery/delivered")
			want := im.Message{From: anna, To: romeo, Thread: "t", Receipt: "x1"}
			if r := <-a.sink.arrived; r.Message != want {
				t.Errorf("got  %+v\nwant %+v", r.Message, want)
			}
			says(id, "display/displayed")
		},
		"displayed": func(t *testing.T, a *asker, says func(id, what string)) {
			m := a.wants(a.peer, "x1", "Hello Anna")
			says(between(m.body, "imdn.Message-ID: ", "\r\n"), "display/displayed") // overtakes the response
			a.answer(m, "200 OK")
			if r := <-a.sink.arrived; r.Receipt != "x1" {
				t.Errorf("got %+v", r.Message)
			}
		},
		"failed": func(t *testing.T, a *asker, says func(id, what string)) {
			m := a.wants(a.peer, "x1", "Hello Anna")
			a.answer(m, "202 Accepted")
			says(between(m.body, "imdn.Message-ID: ", "\r\n"), "delivery/failed")
			if r := <-a.sink.arrived; r.ID != "x1" || r.To != romeo || r.From != anna || r.Failure == nil || r.Failure.Condition != im.RecipientUnavailable {
				t.Errorf("got %+v", r.Message)
			}
		},
		"of somebody else": func(t *testing.T, a *asker, says func(id, what string)) {
			m := a.wants(a.peer, "x1", "Hello Anna")
			a.answer(m, "202 Accepted")
			a.send(request("MESSAGE", change{"From": "<sip:eve@contoso.com>;tag=1", "Content-Type": "message/cpim"}), report(between(m.body, "imdn.Message-ID: ", "\r\n"), "delivery/delivered"))
			a.expect("SIP/2.0 200 OK")
		},
		"refused": func(t *testing.T, a *asker, says func(id, what string)) {
			m := a.wants(a.peer, "x1", "Hello Anna")
			a.answer(m, "404 Not Found")
			synctest.Wait()
			says(between(m.body, "imdn.Message-ID: ", "\r\n"), "delivery/delivered")
		},
		"a client without envelopes": func(t *testing.T, a *asker, says func(id, what string)) {
			a.answer(a.wants(a.peer, "x1", "Hello Anna"), "415 Unsupported Media Type", "Accept: text/plain")
			for range 2 { // the same text as it is, and the next at once
				m := a.expect("MESSAGE ")
				if m.get("Content-Type") != "text/plain; charset=UTF-8" || m.body != "Hello Anna" {
					t.Fatalf("got\n%s", m)
				}
				a.answer(m, "200 OK")
				synctest.Wait()
				a.edge.Send(im.Message{From: romeo, To: anna, ID: "x2", Body: "Hello Anna", ReceiptWanted: true}, func(*im.Failure) {})
			}
			a.answer(a.expect("MESSAGE "), "200 OK")
			a.silent(time.Hour)
			if m := a.wants(a.peer, "x3", "Hello again"); m.get("Content-Type") != "message/cpim" {
				t.Errorf("got\n%s", m)
			}
		},
		"no room for an envelope": func(t *testing.T, a *asker, says func(id, what string)) {
			if m := a.wants(a.peer, "x1", strings.Repeat("x", 850)); m.get("Content-Type") != "text/plain; charset=UTF-8" {
				t.Errorf("got\n%s", m)
			}
		},
		"nobody asks": func(t *testing.T, a *asker, says func(id, what string)) {
			a.edge.Send(im.Message{From: romeo, To: anna, ID: "x1", Body: "Hello Anna"}, func(*im.Failure) {})
			if m := a.expect("MESSAGE "); m.get("Content-Type") != "text/plain; charset=UTF-8" {
				t.Errorf("got\n%s", m)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, func(w *world) {
				a := &asker{world: w, peer: w.connected()}
				defer a.close()
				tell(t, a, func(id, what string) {
					a.message("message/cpim", report(id, what))
					a.expect("SIP/2.0 200 OK")
				})
				synctest.Wait()
				if len(w.sink.arrived) > 0 {
					t.Errorf("arrived as well: %+v", (<-w.sink.arrived).Message)
				}
			}, paging)
		})
	}
}

func ocsReport(id string, status int) string {
	return fmt.Sprintf(`<?xml version="1.0" encoding="utf-8"?><imdn xmlns="http://schemas.microsoft.com/rtc/2005/08/imdn"><message-id>%s</message-id>`+
		`<recipient uri="&lt;sip:anna@contoso.com&gt;"><status>%d</status><entry><key>ms-diagnostics</key><value>6001</value></entry></recipient></imdn>`, id, status)
}

// TestOCSReportsAwaited: M19, M22. In a session the 200 is the receipt, but where it names the message: then a report says. It may
// overtake the 200.
func TestOCSReportsAwaited(t *testing.T) {
	inWorld(t, func(w *world) {
		p := w.dial(w.edgeCertificate())
		defer p.close()
		o := w.invited(p)
		reports := func(id string, status int) {
			o.do("MESSAGE", "Content-Type: application/ms-imdn+xml", ocsReport(id, status))
			p.expect("SIP/2.0 200 OK")
		}
		hears := func(what, id string) {
			t.Helper()
			r := <-w.sink.arrived
			if r.From != anna || r.To != romeo || r.Receipt+r.ID != id || (what == "receipt") != (r.Receipt != "") || (what == "error") != (r.Failure != nil) {
				t.Errorf("got %+v, want the %s %s", r.Message, what, id)
			}
		}
		p.answer(w.wants(p, "x1", "one"), "200 OK")
		hears("receipt", "x1")

		p.answer(w.wants(p, "x2", "two"), "200 OK", "Message-Id: 2")
		p.answer(w.wants(p, "x3", "three"), "202 Accepted", "Message-Id: 3")
		p.silent(time.Minute)
		reports("3", 180) // under way
		reports("3", 408)
		hears("error", "x3")
		reports("2", 200)
		hears("receipt", "x2")
		reports("2", 480) // once
		m := w.wants(p, "x4", "four")
		reports("4", 200)
		p.answer(m, "200 OK", "Message-Id: 4")
		hears("receipt", "x4")

		// Who has not asked hears of failure all the same.
		w.edge.Send(im.Message{From: romeo, To: anna, ID: "x5", Body: "five"}, func(*im.Failure) {})
		p.answer(p.expect("MESSAGE "), "200 OK", "Message-Id: 5")
		w.edge.Send(im.Message{From: romeo, To: anna, ID: "x6", Body: "six"}, func(*im.Failure) {})
		p.answer(p.expect("MESSAGE "), "200 OK", "Message-Id: 6")
		p.silent(time.Second)
		reports("5", 200)
		reports("6", 480)
		hears("error", "x6")

		o.do("MESSAGE", "Content-Type: application/ms-imdn+xml", "<imdn/>")
		p.expect("SIP/2.0 400 Bad Request: ")
		for i := range 2 * maxAwaited { // floods are bounded
			reports(fmt.Sprint("early", i), 200)
		}
		p.answer(w.wants(p, "x7", "seven"), "200 OK", "Message-Id: early0")
		p.answer(w.wants(p, "x8", "eight"), "200 OK", fmt.Sprint("Message-Id: early", 2*maxAwaited-1))
		hears("receipt", "x8")
		if len(w.sink.arrived) > 0 {
			t.Errorf("arrived as well: %+v", (<-w.sink.arrived).Message)
		}
	})
}

// TestOCSReportsSent: M22. An OCS peer that reports is reported to: a 202 names the message, and what becomes of it is said by that name.
// Others never see either.
func TestOCSReportsSent(t *testing.T) {
	inWorld(t, func(w *world) {
		p := w.dial(w.edgeCertificate())
		defer p.close()
		o := w.invited(p)
		a := &asker{world: w, peer: p}
		write := func() (id, name string) {
			t.Helper()
			o.do("MESSAGE", "Content-Type: text/plain", "hello bob")
			r := <-w.sink.arrived
			r.outcome(nil)
			name = p.expect("SIP/2.0 202 ").get("Message-Id")
			if r.ReceiptWanted != (name != "") {
				t.Errorf("%q: %+v", name, r.Message)
			}
			return r.ID, name
		}
		id, name := write()
		a.confirms(id)
		if name != "" {
			t.Errorf("named %q", name)
		}
		p.silent(time.Minute)

		p.answer(w.wants(p, "x1", "one"), "200 OK", "Message-Id: 1")
		p.silent(time.Second)
		for _, status := range []string{"200", "403"} {
			id, name = write()
			if status == "200" {
				a.confirms(id)
			} else {
				a.bounces(id)
			}
			m := p.expect("MESSAGE sip:anna@contoso.com;opaque=user:epid:Qx1m0aPzVVKrZ0q3;gruu SIP/2.0")
			if m.get("Content-Type") != "application/ms-imdn+xml" || m.get("Call-ID") != o.callID || len(name) < 16 ||
				!strings.Contains(m.body, `<message-id>`+name+`</message-id><recipient uri="&lt;sip:bob@gmail.com&gt;"><status>`+status+`</status></recipient></imdn>`) {
				t.Errorf("%s: got\n%s", name, m)
			}
			p.answer(m, "200 OK")
		}
		id, _ = write()
		a.bounces(id)
		p.answer(p.expect("MESSAGE "), "415 Unsupported Media Type")
		if m := p.expect("MESSAGE "); m.body != "“hello bob” could not be delivered: service-unavailable" {
			t.Errorf("got\n%s", m)
		}
	})
}

// TestMemory: what is remembered is bounded in number and time.
func TestMemory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemory[int, string](3, time.Hour)
		for i := range 5 {
			m.put(i, fmt.Sprint(i))
			time.Sleep(time.Minute)
		}
		if m.has(1) || !m.has(2) || len(m.kept) != 3 || m.order.Len() != 3 {
			t.Errorf("%d kept", len(m.kept))
		}
		if _, ok := m.take(2, func(string) bool { return false }); ok || !m.has(2) {
			t.Error("taken against the rule")
		}
		if v, ok := m.take(2, nil); !ok || v != "2" || m.has(2) {
			t.Errorf("took %q, %v", v, ok)
		}
		m.put(3, "new")
		time.Sleep(59 * time.Minute)
		if _, ok := m.take(4, nil); ok {
			t.Error("kept for too long")
		}
		if v, _ := m.take(3, nil); v != "new" {
			t.Errorf("took %q", v)
		}
		m.put(5, "5")
		time.Sleep(time.Hour)
		if m.has(5) {
			t.Error("kept for too long")
		}
		m.put(6, "6")
		if len(m.kept) != 1 || m.order.Len() != 1 {
			t.Errorf("%d kept", len(m.kept))
		}
	})
}
