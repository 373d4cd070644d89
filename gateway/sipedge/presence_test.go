package sipedge

import (
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"fedlab/gateway/im"
)

// signals is the XMPP side of presence.
type signals struct {
	told chan im.Signal
	dead atomic.Bool // nothing arrives
}

func (s *signals) Signal(x im.Signal, outcome im.Outcome) {
	if s.dead.Load() {
		outcome(&im.Failure{Condition: im.RemoteServerTimeout, Text: "gmail.com is down"})
		return
	}
	s.told <- x
	outcome(nil)
}

// seeing runs f in a world with presence.
func seeing(t *testing.T, f func(*world, *signals)) {
	t.Helper()
	var s *signals
	inWorldWith(t, func(_ *world, c *Config) {
		s = &signals{told: make(chan im.Signal, 1000)}
		c.Presence = s
	}, func(w *world) { f(w, s) })
}

// expect is the next signal, in short words.
func (s *signals) expect(t *testing.T, want string) {
	t.Helper()
	x := <-s.told
	got := fmt.Sprintf("%s>%s %s %s %s", x.From, x.To, x.Kind, x.Device.Show, x.Device.Status)
	if got = strings.Join(strings.Fields(got), " "); got != want {
		t.Errorf("signal %q, want %q", got, want)
	}
}

func (s *signals) silent(t *testing.T, d time.Duration) {
	t.Helper()
	select {
	case x := <-s.told:
		t.Errorf("unexpected signal %+v", x)
	case <-time.After(d):
	}
}

func (w *world) signal(kind im.SignalKind, show im.Show, resource ...string) {
	from := bob
	if len(resource) > 0 {
		from.Resource = resource[0]
	}
	w.edge.Signal(im.Signal{From: from, To: alice, Kind: kind, Device: im.Device{Show: show}})
}

const pidfOpen = `<?xml version="1.0" encoding="UTF-8"?><presence xmlns="urn:ietf:params:xml:ns:pidf" entity="sip:alice@contoso.com"><tuple id="t1"><status><basic>open</basic></status><note>at work</note></tuple></presence>`

// notify writes a NOTIFY in the dialog of the gateway's SUBSCRIBE.
func (p *peer) notify(sub wire, cseq int, state, body string) {
	p.t.Helper()
	kind := ""
	if body != "" {
		kind = "\nContent-Type: application/pidf+xml"
	}
	p.send(fmt.Sprintf(`NOTIFY sip:xmpp.jds.local:5061;transport=tls SIP/2.0
Via: SIP/2.0/TLS 10.11.12.33:61022;branch=z9hG4bKn%d%s
Max-Forwards: 68
Record-Route: %s
From: <sip:alice@contoso.com>;tag=0A1B2C3D4E5F60718293A4B5C6D7E8F9
To: %s
Call-ID: %s
CSeq: %d NOTIFY
Contact: <sip:pool01.contoso.com:5061;transport=tls>
Event: presence
subscription-state: %s%s`, cseq, sub.get("Call-ID"), recordRoute1, sub.get("From"), sub.get("Call-ID"), cseq, state, kind), body)
	p.expect("SIP/2.0 200 OK")
}

// TestXMPPUserWatches: P02, P03, P04, P07, P08, E10. RFC 8048 §5.2: asked, pending, active, refreshed, given up.
func TestXMPPUserWatches(t *testing.T) {
	seeing(t, func(w *world, s *signals) {
		p := w.connected()
		defer p.close()
		w.signal(im.SignalSubscribe, "")
		sub := p.expect("SUBSCRIBE sip:alice@contoso.com SIP/2.0")
		for name, want := range map[string]string{"Event": "presence", "Accept": "application/pidf+xml", "Expires": "28800", "Contact": "<sip:xmpp.jds.local:5061;transport=tls>", "To": "<sip:alice@contoso.com>"} {
			if got := sub.get(name); got != want {
				t.Errorf("%s: %q, want %q", name, got, want)
			}
		}
		p.answer(sub, "200 OK", "Expires: 3600", "Record-Route: "+recordRoute1, "Contact: <sip:pool01.contoso.com:5061;transport=tls>")
		p.notify(sub, 1, "pending;expires=3600", "")
		s.silent(t, 10*time.Second)
		p.notify(sub, 2, "active;expires=3580", pidfOpen)
		s.expect(t, "alice@contoso.com>bob@gmail.com subscribed")
		s.expect(t, "alice@contoso.com/t1>bob@gmail.com at work")
		p.notify(sub, 3, "active;expires=3500", strings.Replace(pidfOpen, "at work", "at lunch", 1))
		s.expect(t, "alice@contoso.com/t1>bob@gmail.com at lunch")

		refresh := p.expect("SUBSCRIBE sip:pool01.contoso.com:5061;transport=tls SIP/2.0")
		if refresh.get("Call-ID") != sub.get("Call-ID") || refresh.get("Route") != recordRoute1 || !strings.Contains(refresh.get("To"), "tag=0A1B") {
			t.Errorf("refresh:\n%s", refresh)
		}
		p.answer(refresh, "200 OK", "Expires: 3600")
		p.notify(sub, 4, "active;expires=3600", "")
		w.signal(im.SignalUnsubscribe, "")
		s.expect(t, "alice@contoso.com/t1>bob@gmail.com unavailable")
		end := p.expect("SUBSCRIBE ")
		if end.get("Expires") != "0" {
			t.Errorf("end:\n%s", end)
		}
		p.answer(end, "200 OK", "Expires: 0")
		s.expect(t, "alice@contoso.com>bob@gmail.com unsubscribed")
	})
}

// TestWatchRefused: P05. The permission is gone and nothing is tried again.
func TestWatchRefused(t *testing.T) {
	for _, status := range []string{"403 Forbidden", "489 Bad Event", "603 Decline"} {
		seeing(t, func(w *world, s *signals) {
			p := w.connected()
			defer p.close()
			w.signal(im.SignalSubscribe, "")
			p.answer(p.expect("SUBSCRIBE "), status)
			s.expect(t, "alice@contoso.com>bob@gmail.com unsubscribed")
			p.silent(24 * time.Hour)
		})
	}
}

// TestNotifyFirst: E06, E08. The NOTIFY overtakes the 2xx and makes the dialog; one of another dialog is refused.
func TestNotifyFirst(t *testing.T) {
	seeing(t, func(w *world, s *signals) {
		p := w.connected()
		defer p.close()
		w.signal(im.SignalSubscribe, "")
		sub := p.expect("SUBSCRIBE ")
		p.notify(sub, 1, "active;expires=3600", pidfOpen)
		s.expect(t, "alice@contoso.com>bob@gmail.com subscribed")
		s.expect(t, "alice@contoso.com/t1>bob@gmail.com at work")
		p.answer(sub, "200 OK", "Expires: 3600")
		p.send(fmt.Sprintf("NOTIFY sip:xmpp.jds.local SIP/2.0\nVia: SIP/2.0/TLS a:1;branch=z9hG4bKx\nFrom: <sip:alice@contoso.com>;tag=OTHER\nTo: %s\nCall-ID: %s\nCSeq: 9 NOTIFY\nEvent: presence\nSubscription-State: active", sub.get("From"), sub.get("Call-ID")))
		p.expect("SIP/2.0 481 ")
		s.silent(t, 30*time.Minute)
	})
}

// TestRouteFromAnswer: the NOTIFY overtakes the 2xx and records no route; the 2xx's route set is used.
func TestRouteFromAnswer(t *testing.T) {
	seeing(t, func(w *world, s *signals) {
		p := w.connected()
		defer p.close()
		w.signal(im.SignalSubscribe, "")
		sub := p.expect("SUBSCRIBE ")
		p.send(fmt.Sprintf("NOTIFY sip:xmpp.jds.local SIP/2.0\nVia: SIP/2.0/TLS a:1;branch=z9hG4bKb\nFrom: <sip:alice@contoso.com>;tag=0A1B2C3D4E5F60718293A4B5C6D7E8F9\nTo: %s\nCall-ID: %s\nCSeq: 1 NOTIFY\nEvent: presence\nSubscription-State: active;expires=3600", sub.get("From"), sub.get("Call-ID")))
		p.expect("SIP/2.0 200 OK")
		p.answer(sub, "200 OK", "Expires: 3600", "Record-Route: "+recordRoute2, "Record-Route: "+recordRoute1)
		if m := p.expect("SUBSCRIBE "); strings.Join(m.all("Route"), " ") != recordRoute1+" "+recordRoute2 {
			t.Errorf("refresh:\n%s", m)
		}
	})
}

// TestGoneSilent: nobody stays available who may be gone: the subscription cannot be refreshed, and its end is shown.
func TestGoneSilent(t *testing.T) {
	seeing(t, func(w *world, s *signals) {
		p := w.connected()
		w.signal(im.SignalSubscribe, "")
		sub := p.expect("SUBSCRIBE ")
		p.answer(sub, "200 OK", "Expires: 3600")
		p.notify(sub, 1, "active;expires=3600", pidfOpen)
		s.expect(t, "alice@contoso.com>bob@gmail.com subscribed")
		s.expect(t, "alice@contoso.com/t1>bob@gmail.com at work")
		p.close()
		began := time.Now()
		s.expect(t, "alice@contoso.com/t1>bob@gmail.com unavailable")
		if took := time.Since(began); took > 3601*time.Second {
			t.Errorf("shown after %v", took)
		}
		p = w.connected()
		defer p.close()
		sub = p.expect("SUBSCRIBE sip:alice@contoso.com") // and subscribed afresh
		p.answer(sub, "200 OK", "Expires: 3600")
		p.notify(sub, 1, "active;expires=3600", pidfOpen)
		s.expect(t, "alice@contoso.com/t1>bob@gmail.com at work")
		w.stop() // a stop shows it as well
		s.expect(t, "alice@contoso.com/t1>bob@gmail.com unavailable")
	})
}

const ocsSubscribe = `SUBSCRIBE sip:bob@gmail.com SIP/2.0
Via: SIP/2.0/TLS 10.11.12.33:61022;branch=z9hG4bKs1;branched=FALSE;ms-internal-info="cb"
Record-Route: ` + recordRoute1 + `
Max-Forwards: 68
From: <sip:alice@contoso.com>;tag=a01b2c3d4e;epid=4f1a2b3c4d
To: <sip:bob@gmail.com>
Call-ID: 0f1e2d3c4b5a69788796
CSeq: 1 SUBSCRIBE
Contact: <sip:alice@contoso.com;opaque=user:epid:Q;gruu>
Event: presence
Accept: application/msrtc-event-categories+xml, text/xml+msrtc.pidf, application/xpidf+xml, application/pidf+xml, application/rlmi+xml, multipart/related
Supported: ms-piggyback-first-notify
Supported: com.microsoft.autoextend
Supported: ms-benotify
Proxy-Require: ms-benotify
Require: adhoclist, categoryList
Expires: 28800`

// TestSIPUserWatches: P09, P10, P12, P20, E01, E03, E18. RFC 8048 §5.3: an OCS user subscribes, is approved, sees the XMPP
// user's devices as one document, not more often than every five seconds, and goes.
func TestSIPUserWatches(t *testing.T) {
	seeing(t, func(w *world, s *signals) {
		p := w.dial(w.edgeCertificate())
		defer p.close()
		p.send(ocsSubscribe)
		ok := p.expect("SIP/2.0 200 OK")
		if ok.get("Expires") != "28800" || ok.get("Record-Route") != recordRoute1 || ok.get("Contact") == "" || ok.get("Supported") != "" {
			t.Errorf("answer:\n%s", ok)
		}
		n := p.expect("NOTIFY sip:alice@contoso.com;opaque=user:epid:Q;gruu SIP/2.0")
		if n.get("Subscription-State") != "pending;expires=28800" || n.body != "" || n.get("Route") != recordRoute1 || n.get("From") != ok.get("To") || n.get("Event") != "presence" {
			t.Errorf("first:\n%s", n)
		}
		p.answer(n, "200 OK")
		s.expect(t, "alice@contoso.com>bob@gmail.com subscribe")

		w.signal(im.SignalAvailable, im.Away, "early") // not approved: nothing is shown
		p.silent(10 * time.Second)
		w.signal(im.SignalSubscribed, "")
		n = p.expect("NOTIFY ")
		if !strings.HasPrefix(n.get("Subscription-State"), "active;expires=") || !strings.Contains(n.body, "<basic>open</basic>") {
			t.Errorf("approved:\n%s", n)
		}
		p.answer(n, "200 OK")

		w.signal(im.SignalAvailable, im.DND, "home")
		w.signal(im.SignalAvailable, "", "home")
		began := time.Now()
		n = p.expect("NOTIFY ")
		if strings.Count(n.body, "<tuple ") != 2 || n.get("Content-Type") != "application/pidf+xml" {
			t.Errorf("two devices:\n%s", n)
		}
		if took := time.Since(began); took < 4*time.Second || took > 6*time.Second {
			t.Errorf("notified after %v", took)
		}
		p.answer(n, "200 OK")
		w.signal(im.SignalUnavailable, "")
		n = p.expect("NOTIFY ")
		if !strings.Contains(n.body, "<basic>closed</basic>") {
			t.Errorf("gone:\n%s", n)
		}
		p.answer(n, "200 OK")

		p.send(strings.NewReplacer("CSeq: 1", "CSeq: 2", "z9hG4bKs1", "z9hG4bKs2", "To: <sip:bob@gmail.com>", "To: "+ok.get("To"), "Expires: 28800", "Expires: 0").Replace(ocsSubscribe))
		if m := p.expect("SIP/2.0 200 OK"); m.get("Expires") != "0" {
			t.Errorf("end:\n%s", m)
		}
		n = p.expect("NOTIFY ")
		if n.get("Subscription-State") != "terminated;reason=timeout" || !strings.Contains(n.body, "closed") {
			t.Errorf("last:\n%s", n)
		}
		p.answer(n, "200 OK")
		s.expect(t, "alice@contoso.com>bob@gmail.com unavailable")
	})
}

// TestSIPUserRefused: P10, E03, E12: refused, refused again while that is fresh, asked anew later, and dropped when the
// watcher's side knows nothing of it any more.
func TestSIPUserRefused(t *testing.T) {
	seeing(t, func(w *world, s *signals) {
		p := w.dial(w.edgeCertificate())
		defer p.close()
		p.send(ocsSubscribe)
		p.expect("SIP/2.0 200 OK")
		p.answer(p.expect("NOTIFY "), "200 OK")
		s.expect(t, "alice@contoso.com>bob@gmail.com subscribe")
		w.signal(im.SignalUnsubscribed, "")
		n := p.expect("NOTIFY ")
		if n.get("Subscription-State") != "terminated;reason=rejected" || n.body != "" {
			t.Errorf("got\n%s", n)
		}
		p.answer(n, "200 OK")
		p.send(strings.NewReplacer("z9hG4bKs1", "z9hG4bKs2", "0f1e2d", "again").Replace(ocsSubscribe))
		p.expect("SIP/2.0 403 ")
		time.Sleep(2 * time.Hour)
		p.send(strings.NewReplacer("z9hG4bKs1", "z9hG4bKs3", "0f1e2d", "later").Replace(ocsSubscribe))
		p.expect("SIP/2.0 200 OK")
		p.answer(p.expect("NOTIFY "), "481 Gone")
		s.expect(t, "alice@contoso.com>bob@gmail.com subscribe")
		w.signal(im.SignalSubscribed, "")
		p.silent(time.Hour)
	})
}

// TestSubscribeRefusals: E07, E13, E14, E17.
func TestSubscribeRefusals(t *testing.T) {
	for _, c := range []struct{ name, old, with, want, header, value string }{
		{"E14: other package", "Event: presence", "Event: dialog", "489 Bad Event", "Allow-Events", "presence"},
		{"E14: none", "Event: presence\n", "", "489 Bad Event", "Allow-Events", "presence"},
		{"E17: no type we write", "application/xpidf+xml, application/pidf+xml, ", "", "406 ", "", ""},
		{"E13: too brief", "Expires: 28800", "Expires: 30", "423 ", "Min-Expires", "60"},
		{"bad Expires", "Expires: 28800", "Expires: soon", "400 ", "", ""},
		{"unknown dialog", "To: <sip:bob@gmail.com>", "To: <sip:bob@gmail.com>;tag=x", "481 ", "", ""},
		{"E07: NOTIFY for nothing", "SUBSCRIBE", "NOTIFY", "481 ", "", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			seeing(t, func(w *world, s *signals) {
				p := w.dial(w.edgeCertificate())
				defer p.close()
				text := strings.ReplaceAll(ocsSubscribe, c.old, c.with)
				if strings.HasPrefix(text, "NOTIFY") {
					text = strings.ReplaceAll(text, "Require: adhoclist, categoryList\n", "")
				}
				p.send(text)
				m := p.expect("SIP/2.0 " + c.want)
				if c.header != "" && m.get(c.header) != c.value {
					t.Errorf("%s: %q", c.header, m.get(c.header))
				}
				synctest.Wait()
				if len(s.told) > 0 {
					t.Errorf("told %+v", <-s.told)
				}
			})
		})
	}
}

// TestBenotify: a BENOTIFY is read and never answered.
func TestBenotify(t *testing.T) {
	seeing(t, func(w *world, s *signals) {
		p := w.connected()
		defer p.close()
		w.signal(im.SignalSubscribe, "")
		sub := p.expect("SUBSCRIBE ")
		p.answer(sub, "200 OK", "Expires: 3600")
		p.send(fmt.Sprintf("BENOTIFY sip:xmpp.jds.local SIP/2.0\nVia: SIP/2.0/TLS a:1;branch=z9hG4bKb\nFrom: <sip:alice@contoso.com>;tag=0A1B2C3D4E5F60718293A4B5C6D7E8F9\nTo: %s\nCall-ID: %s\nCSeq: 1 BENOTIFY\nEvent: presence\nSubscription-State: active;expires=3600\nContent-Type: application/pidf+xml", sub.get("From"), sub.get("Call-ID")), pidfOpen)
		s.expect(t, "alice@contoso.com>bob@gmail.com subscribed")
		s.expect(t, "alice@contoso.com/t1>bob@gmail.com at work")
		p.silent(time.Minute)
	})
}
