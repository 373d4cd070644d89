package ocsedge

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"fedlab/sim/trace"
)

const bobOpen = `<?xml version="1.0"?><presence xmlns="urn:ietf:params:xml:ns:pidf" entity="sip:bob@gmail.com"><tuple id="t1"><status><basic>open</basic></status></tuple></presence>`

// subscribe has anna follow bob, and the peer grant it.
func (w *world) subscribe(expires string) (*call, *message) {
	w.t.Helper()
	if err := w.edge.Subscribe(w.t.Context(), "anna@contoso.com", "bob@gmail.com"); err != nil {
		w.t.Fatal(err)
	}
	p := w.accept()
	sub := p.read("SUBSCRIBE sip:bob@gmail.com SIP/2.0")
	p.reply(sub, "200 OK", peerContact+"Expires: "+expires+"\n", "")
	return p.taken(sub), sub
}

func (c *call) notify(state, kind, body string, edits ...string) {
	c.t.Helper()
	if kind != "" {
		kind = "Content-Type: " + kind + "\n"
	}
	c.request("NOTIFY", "Event: presence\nSubscription-State: "+state+"\n"+kind+peerContact, body, edits...)
}

// TestWatching: anna follows bob. He is shown as he says; the subscription is refreshed two minutes before its end, for days, and
// ended when she takes him off the list.
func TestWatching(t *testing.T) {
	inWorld(t, nil, func(t *testing.T, w *world) {
		c, sub := w.subscribe("28800")
		defer c.close()
		if sub.get("Expires") != "28800" || sub.get("Proxy-Require") != "ms-benotify" || !sub.lists("Supported", "ms-piggyback-first-notify") ||
			!sub.lists("Accept", typePIDF) || len(sub.body) != 0 || len(sub.values("Record-Route")) != 2 {
			t.Errorf("%s", sub.bytes())
		}
		c.notify("pending;expires=28800", "", "")
		c.read("SIP/2.0 200")
		c.notify("active;expires=28800", typePIDF, bobOpen)
		c.read("SIP/2.0 200")
		if e := w.shown(trace.Subscription, "anna@contoso.com"); e.Item.State != "subscribed" {
			t.Errorf("shown %+v", e)
		}
		if e := w.shown(trace.Presence, "anna@contoso.com"); e.Item.State != "available" || e.From != "bob@gmail.com" {
			t.Errorf("shown %+v", e)
		}
		since := w.trace.Len()
		c.notify("active;expires=28800", typePIDF, strings.Replace(bobOpen, "open", "closed", 1))
		c.read("SIP/2.0 200")
		if e := w.shownAfter(since, trace.Presence, "anna@contoso.com"); e.Item.State != "unavailable" {
			t.Errorf("shown %+v", e)
		}
		for range 10 {
			begin := time.Now()
			again := c.peer.read("SUBSCRIBE sip:xmpp.jds.local:5061;transport=tls SIP/2.0")
			if d := time.Since(begin).Round(time.Second); d != 28680*time.Second {
				t.Errorf("refreshed after %s", d)
			}
			if len(again.values("Record-Route")) != 0 || again.get("Call-ID") != sub.get("Call-ID") {
				t.Errorf("refresh: %s", again.bytes())
			}
			c.reply(again, "200 OK", peerContact+"Expires: 28800\n", "")
		}
		if err := w.edge.Unsubscribe(t.Context(), "anna@contoso.com", "bob@gmail.com"); err != nil {
			t.Fatal(err)
		}
		last := c.read("SUBSCRIBE ")
		if last.get("Expires") != "0" {
			t.Errorf("the last: %s", last.bytes())
		}
		c.reply(last, "200 OK", peerContact+"Expires: 0\n", "")
		c.notify("terminated;reason=timeout", "", "")
		c.read("SIP/2.0 200")
		w.conforming()
	})
}

// TestWatchingFails: what becomes of a subscription that is refused, ended or lost, and what the user is shown.
func TestWatchingFails(t *testing.T) {
	for name, c := range map[string]struct {
		peer  func(*call)
		shown string        // the subscription's state, if the end is final
		again time.Duration // otherwise: subscribed afresh after
	}{
		"rejected": {func(c *call) { c.notify("terminated;reason=rejected", "", ""); c.read("SIP/2.0 200") }, "unsubscribed", 0},
		"nobody":   {func(c *call) { c.notify("terminated;reason=noresource", "", ""); c.read("SIP/2.0 200") }, "unsubscribed", 0},
		"deactivated": {func(c *call) {
			c.notify("terminated;reason=deactivated", "", "")
			c.read("SIP/2.0 200")
		}, "", 0},
		"giving up for a while": {func(c *call) {
			c.notify("terminated;reason=giveup;retry-after=90", "", "")
			c.read("SIP/2.0 200")
		}, "", 90 * time.Second},
		"the peer has forgotten it": {func(c *call) {
			c.reply(c.read("SUBSCRIBE sip:xmpp"), "481 Gone", "", "")
		}, "", 28680 * time.Second},
		"the peer is busy": {func(c *call) {
			c.reply(c.read("SUBSCRIBE sip:xmpp"), "503 Later", "Retry-After: 600 (sorry)\n", "")
		}, "", 29280 * time.Second},
		"the refresh is never answered": {func(c *call) { c.read("SUBSCRIBE sip:xmpp") }, "", (28680 + 32 + 300) * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, nil, func(t *testing.T, w *world) {
				k, _ := w.subscribe("28800")
				defer k.close()
				begin := time.Now()
				c.peer(k)
				if c.shown != "" {
					if e := w.shown(trace.Subscription, "anna@contoso.com"); e.Item.State != c.shown {
						t.Errorf("shown %+v", e)
					}
					k.silent(48 * time.Hour)
					return
				}
				k.read("SUBSCRIBE sip:bob@gmail.com")
				if d := time.Since(begin).Round(time.Second); d != c.again {
					t.Errorf("again after %s", d)
				}
				w.conforming()
			})
		})
	}
	for status, want := range map[string]int{"404 Not Found": 404, "403 Forbidden": 403} {
		inWorld(t, nil, func(t *testing.T, w *world) {
			if err := w.edge.Subscribe(t.Context(), "anna@contoso.com", "bob@gmail.com"); err != nil {
				t.Fatal(err)
			}
			p := w.accept()
			defer p.close()
			p.reply(p.read("SUBSCRIBE"), status, "", "")
			if e := w.shown(trace.Subscription, "anna@contoso.com"); e.Item.State != "unsubscribed" || e.Item.Code != want {
				t.Errorf("shown %+v", e)
			}
		})
	}
}

// TestNotifierIsCaught: each thing that a peer may do wrong as a notifier is found.
func TestNotifierIsCaught(t *testing.T) {
	for name, c := range map[string]struct {
		expires string
		edits   []string
		answer  string
		guilt   []string
	}{
		"nothing":                    {"28800", nil, "200", nil},
		"a shorter time":             {"3600", []string{"=28800", "=3600"}, "200", nil},
		"a longer time":              {"30000", nil, "200", []string{"Expires \"30000\""}},
		"no time":                    {"", nil, "200", []string{"Expires \"\""}},
		"a longer time in NOTIFY":    {"28800", []string{"=28800", "=28801"}, "200", []string{"Subscription-State"}},
		"no Event":                   {"28800", []string{"Event: presence\n", ""}, "489", []string{"NOTIFY with Event"}},
		"no Subscription-State":      {"28800", []string{"Subscription-State: active;expires=28800\n", ""}, "400", []string{"Subscription-State"}},
		"a document of another type": {"28800", []string{"application/pidf+xml", "application/xpidf+xml"}, "200", []string{"presence of type"}},
		"a document that is none":    {"28800", []string{"<basic>open</basic>", "<basic>ajar</basic>"}, "200", []string{"basic status"}},
		"somebody else's document":   {"28800", []string{"sip:bob@gmail.com\">", "sip:eve@gmail.com\">"}, "200", []string{"presence of \"eve@gmail.com\""}},
		"BENOTIFY that was not granted": {"28800", []string{"NOTIFY ", "BENOTIFY ", "1 NOTIFY", "1 BENOTIFY"}, "",
			[]string{"BENOTIFY that was not granted"}},
		"MESSAGE in a subscription": {"28800", []string{"NOTIFY ", "MESSAGE ", "1 NOTIFY", "1 MESSAGE"}, "405", []string{"MESSAGE inside a subscription"}},
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, nil, func(t *testing.T, w *world) {
				k, _ := w.subscribe(c.expires)
				defer k.close()
				k.notify("active;expires=28800", typePIDF, bobOpen, c.edits...)
				if c.answer == "" {
					k.silent(time.Minute)
				} else {
					k.read("SIP/2.0 " + c.answer)
				}
				w.guilty(c.guilt...)
			})
		})
	}
}

// TestPiggyback: the first document may come in the answer, and BENOTIFY may be granted.
func TestPiggyback(t *testing.T) {
	inWorld(t, quirks(Quirks{CategoryList: true, WithoutExpires: true}), func(t *testing.T, w *world) {
		if err := w.edge.Subscribe(t.Context(), "anna@contoso.com", "bob@gmail.com"); err != nil {
			t.Fatal(err)
		}
		p := w.accept()
		defer p.close()
		sub := p.read("SUBSCRIBE")
		if !strings.Contains(string(sub.body), "batchSub") || sub.get("Require") != "adhoclist, categoryList" || sub.get("Expires") != "" {
			t.Errorf("%s", sub.bytes())
		}
		p.reply(sub, "200 OK", "Supported: ms-piggyback-first-notify, ms-benotify\nExpires: 3600\nContent-Type: application/pidf+xml\n"+peerContact, bobOpen)
		if e := w.shown(trace.Presence, "anna@contoso.com"); e.Item.State != "available" {
			t.Errorf("shown %+v", e)
		}
		c := p.taken(sub)
		c.notify("active", typePIDF, strings.Replace(bobOpen, "open", "closed", 1), "NOTIFY ", "BENOTIFY ", "1 NOTIFY", "1 BENOTIFY")
		p.silent(time.Minute)
		w.conforming()
	})
}

// TestSignIn: with Presence, clients subscribe to their contacts by themselves.
func TestSignIn(t *testing.T) {
	inWorld(t, func(_ *world, c *Config) { c.Presence = true }, func(t *testing.T, w *world) {
		p := w.accept()
		defer p.close()
		if sub := p.read("SUBSCRIBE sip:bob@gmail.com"); !strings.Contains(sub.get("From"), "anna@contoso.com") {
			t.Errorf("%s", sub.bytes())
		}
	})
}

// watchAlice has the peer subscribe to alice, with this Accept and these further lines.
func (p *peer) watchAlice(accept, more string, edits ...string) (*call, *message) {
	p.t.Helper()
	p.open("SUBSCRIBE", "alice@contoso.com", "Event: presence\nAccept: "+accept+"\n"+more+peerContact, "", edits...)
	ok := p.read("SIP/2.0 200 OK")
	return p.dialog(ok, 1), ok
}

// TestWatched: bob follows alice. The document is the server's choice, the time its own; changes are told; consent is hers.
func TestWatched(t *testing.T) {
	inWorld(t, nil, func(t *testing.T, w *world) {
		p := w.dial()
		defer p.close()
		c, ok := p.watchAlice(typePIDF, "Expires: 3600\n")
		if ok.get("Expires") != "3600" || len(ok.body) != 0 || !strings.HasPrefix(c.target, "sip:pool01.contoso.com") {
			t.Errorf("%s", ok.bytes())
		}
		if e := w.shown(trace.Subscription, "alice@contoso.com"); e.Item.State != "subscribe" || e.From != "bob@gmail.com" {
			t.Errorf("shown %+v", e)
		}
		q := w.accept()
		defer q.close()
		next := func(want, state string) *message {
			t.Helper()
			n := q.read("NOTIFY sip:xmpp.jds.local:5061;transport=tls")
			if !strings.HasPrefix(n.get("Subscription-State"), state) || !strings.Contains(string(n.body), want) {
				t.Errorf("want %s %s, got %s", state, want, n.bytes())
			}
			q.reply(n, "200 OK", "", "")
			return n
		}
		next("<basic>open</basic>", "active;expires=3600")
		if err := w.edge.SetPresence(t.Context(), "alice@contoso.com", "dnd", "in a hurry"); err != nil {
			t.Fatal(err)
		}
		if n := next("<rpid:busy/>", "active"); strings.Contains(string(n.body), "hurry") {
			t.Error("an outsider sees the note") // container 100
		}
		if err := w.edge.Approve(t.Context(), "alice@contoso.com", "bob@gmail.com", false); err != nil {
			t.Fatal(err)
		}
		next("<basic>closed</basic>", "active")
		if err := w.edge.Approve(t.Context(), "alice@contoso.com", "bob@gmail.com", true); err != nil {
			t.Fatal(err)
		}
		next("<rpid:busy/>", "active")
		if err := w.edge.SetState(t.Context(), "alice@contoso.com", Offline); err != nil {
			t.Fatal(err)
		}
		next("<basic>closed</basic>", "active")
		time.Sleep(time.Hour / 2)
		c.request("SUBSCRIBE", "Event: presence\nAccept: "+typePIDF+"\nExpires: 3600\n"+peerContact, "")
		p.read("SIP/2.0 200")
		next("", "active;expires=3600")
		next("", "terminated;reason=timeout") // it is not refreshed again
		c.request("SUBSCRIBE", "Event: presence\nAccept: "+typePIDF+"\nExpires: 3600\n"+peerContact, "")
		p.read("SIP/2.0 481")
		w.conforming()
	})
}

// TestDocumentOrder: categories, then msrtc.pidf, then pidf, wherever they stand (MS-PRES §1.3.3); piggyback and BENOTIFY only
// where asked for; without Expires a little over eight hours.
func TestDocumentOrder(t *testing.T) {
	for accept, want := range map[string]string{
		typePIDF:                    typePIDF,
		typePIDF + ", " + typeMSRTC: typeMSRTC,
		typeMSRTC + "\nAccept: a/b, " + typeCategories + ";q=0.1": typeCategories,
	} {
		inWorld(t, nil, func(t *testing.T, w *world) {
			p := w.dial()
			defer p.close()
			c, ok := p.watchAlice(accept, "Supported: ms-piggyback-first-notify, ms-benotify\n")
			n, _ := strconv.Atoi(ok.get("Expires"))
			if ok.get("Content-Type") != want || len(ok.body) == 0 || n < 28800 || n >= 29400 || ok.get("subscription-state") != fmt.Sprintf("active;expires=%d", n) {
				t.Errorf("%s", ok.bytes())
			}
			if err := w.edge.SetPresence(t.Context(), "alice@contoso.com", "15500", ""); err != nil {
				t.Fatal(err)
			}
			q := w.accept()
			defer q.close()
			if b := q.read("BENOTIFY "); b.get("Content-Type") != want {
				t.Errorf("%s", b.bytes())
			}
			c.request("SUBSCRIBE", "Event: presence\nAccept: "+accept+"\nExpires: 0\n"+peerContact, "")
			p.read("SIP/2.0 200")
			if b := q.read("BENOTIFY "); b.get("Subscription-State") != "terminated;reason=timeout" {
				t.Errorf("%s", b.bytes())
			}
			w.conforming()
		})
	}
}

// TestWatcherRefused: which SUBSCRIBEs are refused, and which are a fault of the peer.
func TestWatcherRefused(t *testing.T) {
	for name, c := range map[string]struct {
		edits  []string
		status string
		guilt  []string
	}{
		"nobody":                {[]string{"alice", "nobody", "alice", "nobody"}, "404", nil},
		"not federated":         {[]string{"alice", "inside", "alice", "inside"}, "403", nil},
		"off line":              {[]string{"alice", "off", "alice", "off"}, "200", nil},
		"another event":         {[]string{"Event: presence", "Event: dialog"}, "489", []string{"SUBSCRIBE for Event"}},
		"none of the types":     {[]string{typePIDF, "text/plain"}, "406", []string{"none of the server's types"}},
		"a time that is none":   {[]string{"Contact", "Expires: soon\nContact"}, "400", []string{"Expires \"soon\""}},
		"Contact is an address": {[]string{"<sip:xmpp.jds.local", "<sip:10.11.12.40"}, "200", []string{"not a fully qualified name"}},
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, nil, func(t *testing.T, w *world) {
				p := w.dial()
				defer p.close()
				p.open("SUBSCRIBE", "alice@contoso.com", "Event: presence\nAccept: "+typePIDF+"\n"+peerContact, "", c.edits...)
				p.read("SIP/2.0 " + c.status)
				w.guilty(c.guilt...)
			})
		})
	}
}

// TestConsentBefore: with the switch, a watcher sees nothing until the user has decided; with the other, a refusal is told.
func TestConsentBefore(t *testing.T) {
	inWorld(t, quirks(Quirks{AsksFirst: true, RejectsBlocked: true, ShowsNotes: true}), func(t *testing.T, w *world) {
		if err := w.edge.SetPresence(t.Context(), "alice@contoso.com", "available", "hello"); err != nil {
			t.Fatal(err)
		}
		p := w.dial()
		defer p.close()
		p.watchAlice(typePIDF, "Expires: 3600\n")
		q := w.accept()
		defer q.close()
		var states []string
		for i := range 3 {
			n := q.read("NOTIFY")
			q.reply(n, "200 OK", "", "")
			states = append(states, fmt.Sprint(n.get("Subscription-State"), " ", strings.Contains(string(n.body), "open"), " ", strings.Contains(string(n.body), "hello")))
			if i < 2 {
				if err := w.edge.Approve(t.Context(), "alice@contoso.com", "bob@gmail.com", i == 0); err != nil {
					t.Fatal(err)
				}
			}
		}
		if want := []string{"pending;expires=3600 false false", "active;expires=3600 true true", "terminated;reason=rejected false false"}; !slices.Equal(states, want) {
			t.Errorf("%q", states)
		}
		p.open("SUBSCRIBE", "alice@contoso.com", "Event: presence\nAccept: "+typePIDF+"\n"+peerContact, "", "c1", "c2")
		p.read("SIP/2.0 403")
		w.conforming()
	})
}
