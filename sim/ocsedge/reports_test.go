package ocsedge

import (
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	"fedlab/sim/trace"
)

const (
	peerAsks = "From: <sip:bob@gmail.com>\nTo: <sip:alice@contoso.com>\nDateTime: 2000-01-01T00:00:00Z\nNS: imdn <urn:ietf:params:imdn>\nimdn.Message-ID: 34jk324j\n" +
		"imdn.Disposition-Notification: positive-delivery, negative-delivery\n\nContent-Type: text/plain; charset=UTF-8\nContent-Length: 11\n\nHello Alice"
	cpim  = "Content-Type: message/cpim\n"
	imdns = "Content-Type: application/ms-imdn+xml\n"
)

// peerReports is the peer's report on a text; its prefix is another one, as any may be had (RFC 5438 §6.1).
func peerReports(id, status string) string {
	body := `<imdn xmlns="urn:ietf:params:xml:ns:imdn"><message-id>` + id + `</message-id><datetime>2000-01-01T00:00:00Z</datetime><delivery-notification><status><` + status + `/></status></delivery-notification></imdn>`
	return fmt.Sprintf("From: <sip:bob@gmail.com>\nTo: <sip:alice@contoso.com>\nNS: x <urn:ietf:params:imdn>\nx.Message-ID: d834jied93rf\n\nContent-Type: message/imdn+xml\nContent-Disposition: notification\nContent-Length: %d\n\n%s", len(body), body)
}

var messageID = regexp.MustCompile(`imdn\.Message-ID: (\S+)`)

// TestReportsOutsideSessions: clients that report are asked and ask, and hold a report that nobody asked for against the peer.
func TestReportsOutsideSessions(t *testing.T) {
	asks := func(t *testing.T, w *world) (q *peer, id string, m *message) {
		if err := w.edge.Send(t.Context(), SendOptions{From: "alice@contoso.com", To: "bob@gmail.com", Body: "Hello Bob", Receipt: true}); err != nil {
			t.Fatal(err)
		}
		q = w.accept()
		m = q.read("MESSAGE sip:bob@gmail.com")
		id = messageID.FindStringSubmatch(string(m.body))[1]
		if m.get("Content-Type") != cpimType || !strings.HasSuffix(string(m.body), "\r\n\r\nContent-Type: text/plain; charset=UTF-8\r\n\r\nHello Bob") {
			t.Errorf("asked by\n%s", m.bytes())
		}
		return q, id, m
	}
	for name, c := range map[string]struct {
		reports string
		play    func(*testing.T, *world, *peer)
		guilt   []string
	}{
		"asked, delivered": {"delivered", func(t *testing.T, w *world, p *peer) {
			p.open("MESSAGE", "alice@contoso.com", cpim, peerAsks)
			p.read("SIP/2.0 200")
			if e := w.shown(trace.Message, "alice@contoso.com"); e.Item.Body != "Hello Alice" {
				t.Errorf("shown %+v", e)
			}
			m := w.accept().read("MESSAGE sip:bob@gmail.com")
			for _, part := range []string{"<message-id>34jk324j</message-id><datetime>2000-01-01T00:00:00Z</datetime>", "<delivered/>", "Content-Disposition: notification"} {
				if !strings.Contains(string(m.body), part) {
					t.Errorf("no %s in\n%s", part, m.bytes())
				}
			}
		}, nil},
		"asked, failed": {"failed", func(t *testing.T, w *world, p *peer) {
			p.open("MESSAGE", "alice@contoso.com", cpim, peerAsks)
			p.read("SIP/2.0 200")
			if m := w.accept().read("MESSAGE sip:bob@gmail.com"); !strings.Contains(string(m.body), "<failed/>") {
				t.Errorf("reported by\n%s", m.bytes())
			}
		}, nil},
		"asked about failure alone": {"delivered", func(t *testing.T, w *world, p *peer) {
			p.open("MESSAGE", "alice@contoso.com", cpim, strings.Replace(peerAsks, "positive-delivery, ", "", 1))
			p.read("SIP/2.0 200")
		}, nil},
		"no envelopes": {"", func(t *testing.T, w *world, p *peer) {
			p.open("MESSAGE", "alice@contoso.com", cpim, peerAsks)
			p.read("SIP/2.0 415")
		}, nil},
		"asking, delivered and again": {"delivered", func(t *testing.T, w *world, p *peer) {
			q, id, m := asks(t, w)
			q.reply(m, "202 Accepted", "", "")
			p.open("MESSAGE", "alice@contoso.com", cpim, peerReports(id, "delivered"))
			p.read("SIP/2.0 200")
			if e := w.shown(trace.Receipt, "alice@contoso.com"); e.Item.Body != "Hello Bob" || e.From != "bob@gmail.com" {
				t.Errorf("shown %+v", e)
			}
			p.open("MESSAGE", "alice@contoso.com", cpim, peerReports(id, "delivered"), "z9hG4bK2", "z9hG4bKagain", "c1", "c2")
			p.read("SIP/2.0 200")
		}, []string{"or a second one"}},
		"asking, failed": {"delivered", func(t *testing.T, w *world, p *peer) {
			q, id, m := asks(t, w)
			q.reply(m, "202 Accepted", "", "")
			p.open("MESSAGE", "alice@contoso.com", cpim, peerReports(id, "failed"))
			p.read("SIP/2.0 200")
			if e := w.shown(trace.Error, "alice@contoso.com"); e.Item.Body != "Hello Bob" {
				t.Errorf("shown %+v", e)
			}
		}, nil},
		"asking, refused and reported": {"delivered", func(t *testing.T, w *world, p *peer) {
			q, id, m := asks(t, w)
			q.reply(m, "404 Not Found", "", "")
			w.shown(trace.Error, "alice@contoso.com")
			p.open("MESSAGE", "alice@contoso.com", cpim, peerReports(id, "failed"))
			p.read("SIP/2.0 200")
		}, []string{"a report on a text"}},
		"no Message-ID": {"delivered", func(t *testing.T, w *world, p *peer) {
			p.open("MESSAGE", "alice@contoso.com", cpim, strings.Replace(peerAsks, "imdn.Message-ID", "imdn.Message", 1))
			p.read("SIP/2.0 400")
		}, []string{"no Message-ID"}},
		"no time": {"failed", func(t *testing.T, w *world, p *peer) {
			p.open("MESSAGE", "alice@contoso.com", cpim, strings.Replace(peerAsks, "DateTime", "Datetime", 1))
			p.read("SIP/2.0 200")
		}, []string{"asks for a report"}},
		"a length that is none": {"delivered", func(t *testing.T, w *world, p *peer) {
			p.open("MESSAGE", "alice@contoso.com", cpim, strings.Replace(peerAsks, ": 11", ": 12", 1))
			p.read("SIP/2.0 400")
		}, []string{"cannot be opened"}},
		"a report that says nothing": {"delivered", func(t *testing.T, w *world, p *peer) {
			p.open("MESSAGE", "alice@contoso.com", cpim, peerReports("x", "perhaps"))
			p.read("SIP/2.0 400")
		}, []string{"a report that is none"}},
		"a report that asks": {"delivered", func(t *testing.T, w *world, p *peer) {
			p.open("MESSAGE", "alice@contoso.com", cpim, strings.Replace(peerReports("x", "delivered"), "\n\n", "\nx.Disposition-Notification: display\n\n", 1))
			p.read("SIP/2.0 400")
		}, []string{"a report that is none"}},
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, quirks(Quirks{PageMode: true, SendsPages: true, Reports: c.reports}), func(t *testing.T, w *world) {
				p := w.dial()
				defer p.close()
				c.play(t, w, p)
				time.Sleep(2 * reportDelay)
				w.guilty(c.guilt...)
			})
		})
	}
	inWorld(t, nil, func(t *testing.T, w *world) {
		if err := w.edge.Send(t.Context(), SendOptions{From: "alice@contoso.com", To: "bob@gmail.com", Body: "x", Receipt: true}); err == nil {
			t.Error("an OCS client asks for a receipt")
		}
	})
}

func ocsReport(id string, status int) string {
	return fmt.Sprintf(`<imdn xmlns="http://schemas.microsoft.com/rtc/2005/08/imdn"><message-id>%s</message-id><recipient uri="&lt;sip:bob@gmail.com&gt;"><status>%d</status></recipient></imdn>`, id, status)
}

// TestReportsInSession: the same in a session, as OCS's conference server does it.
func TestReportsInSession(t *testing.T) {
	for _, reports := range []string{"delivered", "failed"} {
		inWorld(t, quirks(Quirks{Reports: reports}), func(t *testing.T, w *world) {
			p := w.dial()
			defer p.close()
			c := p.invite("alice@contoso.com")
			c.say("Hello Alice")
			name := p.read("SIP/2.0 200 OK").get("Message-Id")
			q := w.accept()
			defer q.close()
			m := q.read("MESSAGE ")
			status := map[string]string{"delivered": "200", "failed": "480"}[reports]
			if name == "" || m.get("Content-Type") != reportType || !strings.Contains(string(m.body), "<message-id>"+name+"</message-id>") || !strings.Contains(string(m.body), "<status>"+status+"</status>") {
				t.Errorf("%q is reported on by\n%s", name, m.bytes())
			}
			q.reply(m, "200 OK", "", "")
			for i, want := range []trace.ItemType{trace.Receipt, trace.Error} {
				w.send("alice@contoso.com", "bob@gmail.com", "Hello Bob")
				q.reply(q.read("MESSAGE "), "202 Accepted", fmt.Sprintf("Message-Id: n%d\n", i), "")
				time.Sleep(time.Second) // the answer and the report come on two connections
				c.request("MESSAGE", imdns, ocsReport(fmt.Sprint("n", i), []int{200, 408}[i]))
				p.read("SIP/2.0 200 OK")
				if e := w.shown(want, "alice@contoso.com"); e.Item.Body != "Hello Bob" || e.Item.Code != []int{0, 408}[i] {
					t.Errorf("shown %+v", e)
				}
			}
			w.conforming()
			c.request("MESSAGE", imdns, ocsReport("n0", 200))
			p.read("SIP/2.0 200 OK")
			c.request("MESSAGE", imdns, ocsReport("n0", 100))
			p.read("SIP/2.0 400 ")
			w.guilty("or a second one", "a report that is none")
		})
	}
	inWorld(t, nil, func(t *testing.T, w *world) {
		p := w.dial()
		defer p.close()
		c := p.invite("alice@contoso.com")
		c.request("MESSAGE", imdns, ocsReport("n0", 200))
		p.read("SIP/2.0 415 ")
		w.guilty("a text of type")
	})
}
