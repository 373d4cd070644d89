//go:build peers

package crossing

import (
	"fmt"
	"strings"
	"testing"

	"fedlab/sim/ocsedge"
	"fedlab/sim/trace"
)

// mode is one way in which the gateway and an XMPP server prove themselves to each other. Both insist on it.
type mode struct {
	name     string
	policy   string // of the gateway
	tls      bool   // the server requires encryption
	external bool   // the server requires a certificate that it can verify
	open     bool   // the server takes everything
	self     bool   // the server's certificate is signed by itself
	dialback bool   // … has to be how the server proves itself to the gateway
}

var modes = []mode{
	{name: "dialback without TLS", policy: "{tls: never}", dialback: true},
	{name: "dialback with TLS", policy: "{tls: required, sasl: never}", tls: true, dialback: true},
	{name: "SASL EXTERNAL", policy: "{tls: required, sasl: required}", tls: true, external: true},
	{name: "defaults", policy: "{}", open: true},
	{name: "defaults and a certificate that nobody vouches for", policy: "{}", open: true, self: true, dialback: true},
}

func TestProsody(t *testing.T)  { t.Parallel(); exercise(t, (*world).startProsody) }
func TestEjabberd(t *testing.T) { t.Parallel(); exercise(t, (*world).startEjabberd) }

// exercise has Bob, on an XMPP server, and Alice, behind the fake Edge, do all that people do.
func exercise(t *testing.T, startServer func(*world, mode) *client) {
	for _, m := range modes {
		t.Run(m.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.startEdge()
			w.startGateway(m.policy, "{next_hop: sip."+ourDomain+":5061}")
			c := startServer(w, m)
			for _, step := range []struct {
				name string
				do   func(*world, *client)
			}{
				{"messages", messages}, {"typing", typing}, {"receipts", receipts}, {"errors", failures}, {"requests", requests},
				{"Bob watches Alice", bobWatches}, {"Alice watches Bob", aliceWatches}, {"order", order},
			} {
				step.do(w, c)
				t.Logf("%s: done", step.name)
			}
			if out, _ := w.gateway.output(); strings.Contains(out, "msg=dialback") != m.dialback {
				t.Errorf("dialback has to be %v here", m.dialback)
			}
		})
	}
}

func messages(w *world, c *client) {
	c.send("<message to='%s' type='chat' id='m1'><body>Hello &lt;Alice&gt; &amp; all: žluťoučký 🐎</body></message>", alice)
	w.shown(alice, bob, trace.Message, "Hello", func(i trace.Item) bool { return i.Body == "Hello <Alice> & all: žluťoučký 🐎" })
	w.sip(w.edge.Send(w.t.Context(), ocsedge.SendOptions{From: alice, To: bob, Body: "Hello <Bob> & all: žluťoučký 🐎"}))
	c.shows(alice, "Hello &lt;Bob&gt; &amp; all: žluťoučký 🐎")
	// Anna begins, so that the gateway is invited.
	w.sip(w.edge.Send(w.t.Context(), ocsedge.SendOptions{From: anna, To: bob, Body: "Anna here"}))
	c.shows(anna, "Anna here")
	c.send("<message to='%s' type='chat' id='m2'><body>Hello Anna</body></message>", anna)
	w.shown(anna, bob, trace.Message, "Hello Anna", func(i trace.Item) bool { return i.Body == "Hello Anna" })
}

func typing(w *world, c *client) {
	c.send("<message to='%s' type='chat'><composing xmlns='http://jabber.org/protocol/chatstates'/></message>", alice)
	w.shown(alice, bob, trace.Typing, "composing", func(i trace.Item) bool { return i.State == "composing" })
	c.send("<message to='%s' type='chat'><active xmlns='http://jabber.org/protocol/chatstates'/><body>typed</body></message>", alice)
	w.shown(alice, bob, trace.Message, "typed", func(i trace.Item) bool { return i.Body == "typed" })
	w.sip(w.edge.Typing(w.t.Context(), alice, bob, true))
	c.await("Alice typing", func(e element) bool { return e.is("message", "chat", alice, "<composing") })
	w.sip(w.edge.Send(w.t.Context(), ocsedge.SendOptions{From: alice, To: bob, Body: "typed as well"}))
	c.shows(alice, "typed as well")
}

func receipts(w *world, c *client) {
	c.send("<message to='%s' type='chat' id='r1'><body>did you get it?</body><request xmlns='urn:xmpp:receipts'/></message>", alice)
	w.shown(alice, bob, trace.Message, "did you get it?", func(i trace.Item) bool { return i.Body == "did you get it?" })
	c.await("a receipt", func(e element) bool {
		return e.XMLName.Local == "message" && strings.Contains(e.Inner, "urn:xmpp:receipts") && strings.Contains(e.Inner, "r1")
	})
}

// failures are told to those who caused them, on either side.
func failures(w *world, c *client) {
	c.send("<message to='nobody@%s' type='chat' id='e1'><body>is anybody there?</body></message>", ourDomain)
	e := c.await("an error", func(e element) bool { return e.Attr("id") == "e1" })
	if !e.is("message", "error", "nobody@"+ourDomain, "item-not-found") {
		w.t.Errorf("Bob wrote to nobody and was told %s", e)
	}
	w.sip(w.edge.Send(w.t.Context(), ocsedge.SendOptions{From: alice, To: "nobody@" + theirDomain, Body: "is anybody there?"}))
	// The gateway had accepted the message for the XMPP server (202), whose answer it can only tell in the session.
	i := w.shown(alice, "nobody@"+theirDomain, trace.Message, "what became of it", func(trace.Item) bool { return true })
	w.t.Logf("Alice wrote to nobody at the XMPP server and was told %q", i.Body)
}

// requests are answered: pings of our domain, and what it is.
func requests(w *world, c *client) {
	c.send("<iq to='%s' type='get' id='ping1'><ping xmlns='urn:xmpp:ping'/></iq>", ourDomain)
	if e := c.await("a pong", func(e element) bool { return e.Attr("id") == "ping1" }); !e.is("iq", "result", ourDomain) {
		w.t.Errorf("the ping was answered %s", e)
	}
	c.send("<iq to='%s' type='get' id='disco1'><query xmlns='http://jabber.org/protocol/disco#info'/></iq>", ourDomain)
	if e := c.await("disco", func(e element) bool { return e.Attr("id") == "disco1" }); !e.is("iq", "result", ourDomain, "fedgate") {
		w.t.Errorf("the disco request was answered %s", e)
	}
	c.send("<iq to='%s' type='get' id='vcard1'><vCard xmlns='vcard-temp'/></iq>", alice)
	if e := c.await("a refusal", func(e element) bool { return e.Attr("id") == "vcard1" }); !e.is("iq", "error", alice, "service-unavailable") {
		w.t.Errorf("the vCard request was answered %s", e)
	}
}

// bobWatches: an XMPP user asks to see a SIP user, sees changes, and stops.
func bobWatches(w *world, c *client) {
	w.sip(w.edge.SetPresence(w.t.Context(), alice, "available", ""))
	c.send("<presence to='%s' type='subscribe'/>", alice)
	c.await("the approval", func(e element) bool { return e.is("presence", "subscribed", alice) })
	c.await("Alice's presence", func(e element) bool { return e.is("presence", "", alice) && !strings.Contains(e.Inner, "<show") })
	w.sip(w.edge.SetPresence(w.t.Context(), alice, "dnd", ""))
	c.await("Alice busy", func(e element) bool { return e.is("presence", "", alice, "<show>dnd</show>") })
	w.sip(w.edge.SetState(w.t.Context(), alice, ocsedge.Offline))
	c.await("Alice gone", func(e element) bool { return e.is("presence", "unavailable", alice) })
	w.sip(w.edge.SetState(w.t.Context(), alice, ocsedge.Online))
	c.await("Alice back", func(e element) bool { return e.is("presence", "", alice) })
	c.send("<presence to='%s' type='unsubscribe'/>", alice)
	c.await("the end of it", func(e element) bool {
		return e.is("presence", "unsubscribed", alice) || e.is("presence", "unavailable", alice) || e.is("iq", "set", "", `subscription='none'`)
	})
}

// aliceWatches: a SIP user asks to see an XMPP user, who approves, changes and goes.
func aliceWatches(w *world, c *client) {
	w.sip(w.edge.Subscribe(w.t.Context(), alice, bob))
	c.await("the request", func(e element) bool { return e.is("presence", "subscribe", alice) })
	w.told = w.trace.Len()
	c.send("<presence to='%s' type='subscribed'/>", alice)
	w.shown(alice, bob, trace.Presence, "available", func(i trace.Item) bool { return i.State == "available" })
	c.send("<presence><show>away</show><status>at lunch</status></presence>")
	w.shown(alice, bob, trace.Presence, "away", func(i trace.Item) bool { return i.State == "away" })
	c.send("<presence type='unavailable'/>")
	w.shown(alice, bob, trace.Presence, "unavailable", func(i trace.Item) bool { return i.State == "unavailable" })
	w.told = w.trace.Len()
	c.send("<presence/>")
	w.shown(alice, bob, trace.Presence, "available", func(i trace.Item) bool { return i.State == "available" })
	w.told = w.trace.Len()
	c.send("<presence to='%s' type='unsubscribed'/>", alice)
	w.shown(alice, bob, trace.Subscription, "unsubscribed", func(i trace.Item) bool { return i.State == "unsubscribed" })
}

// order is kept within a session, both ways at the same time.
func order(w *world, c *client) {
	const many = 50
	// Alice was off line: her client knows no session any more, and the gateway has not heard of it. If both wrote now, both would
	// open one, and between two sessions there is no order.
	c.send("<message to='%s' type='chat'><body>a new session</body></message>", alice)
	w.shown(alice, bob, trace.Message, "a new session", func(i trace.Item) bool { return i.Body == "a new session" })
	w.told = w.trace.Len()
	for i := range many {
		c.send("<message to='%s' type='chat' id='o%d'><body>out %d</body></message>", alice, i, i)
		w.sip(w.edge.Send(w.t.Context(), ocsedge.SendOptions{From: alice, To: bob, Body: fmt.Sprintf("in %d", i)}))
	}
	for i := range many {
		e := c.await("the next message", func(e element) bool { return e.XMLName.Local == "message" && strings.Contains(e.Inner, "<body>") })
		if want := fmt.Sprintf("<body>in %d</body>", i); !strings.Contains(e.Inner, want) {
			w.t.Fatalf("%s was due: %s", want, e)
		}
	}
	w.shown(alice, bob, trace.Message, "the last", func(i trace.Item) bool { return i.Body == fmt.Sprintf("out %d", many-1) })
	next := 0
	for _, e := range w.trace.Events()[w.told:] {
		if e.Layer == trace.Client && e.Kind == trace.Received && e.To == alice && e.Item.Type == trace.Message {
			if want := fmt.Sprintf("out %d", next); e.Item.Body != want {
				w.t.Fatalf("%q was due at the Edge, not %q", want, e.Item.Body)
			}
			next++
		}
	}
}

func TestProsodyRefused(t *testing.T)  { t.Parallel(); refused(t, (*world).startProsody) }
func TestEjabberdRefused(t *testing.T) { t.Parallel(); refused(t, (*world).startEjabberd) }

// refused: the gateway insists on a certificate, and the server's is signed by itself. Nothing crosses; both people are told, and
// the operator reads why.
func refused(t *testing.T, startServer func(*world, mode) *client) {
	w := newWorld(t)
	w.startEdge()
	w.startGateway("{tls: required, sasl: required}", "{next_hop: sip."+ourDomain+":5061}")
	c := startServer(w, mode{open: true, self: true})
	w.sip(w.edge.Send(t.Context(), ocsedge.SendOptions{From: alice, To: bob, Body: "to Bob"}))
	if i := w.shown(alice, bob, trace.Error, "of the message", func(trace.Item) bool { return true }); i.Code != 408 {
		t.Errorf("Alice was told %d", i.Code) // remote-server-timeout: RFC 7247 Table 2
	}
	w.gateway.says("the certificate of " + theirDomain + " cannot be verified")
	c.send("<message to='%s' type='chat' id='x1'><body>to Alice</body></message>", alice)
	e := c.await("an error", func(e element) bool { return e.Attr("id") == "x1" })
	if !e.is("message", "error", alice) {
		t.Errorf("Bob was told %s", e)
	}
	t.Logf("Bob was told %s", e)
	for _, e := range w.trace.Events() {
		if e.Layer == trace.Client && e.Kind == trace.Received && e.Item.Body == "to Alice" {
			t.Error("the message crossed")
		}
	}
}

func TestProsodyRestart(t *testing.T)  { t.Parallel(); restart(t, (*world).startProsody) }
func TestEjabberdRestart(t *testing.T) { t.Parallel(); restart(t, (*world).startEjabberd) }

// restart: the server goes and comes back. Who writes meanwhile is told; afterwards messages cross again, both ways.
func restart(t *testing.T, startServer func(*world, mode) *client) {
	w := newWorld(t)
	w.startEdge()
	w.startGateway("{}", "{next_hop: sip."+ourDomain+":5061}")
	c := startServer(w, mode{open: true})
	messages(w, c)
	w.server.stop()
	w.told = w.trace.Len()
	w.sip(w.edge.Send(t.Context(), ocsedge.SendOptions{From: alice, To: bob, Body: "are you there?"}))
	if i := w.shown(alice, bob, trace.Error, "of the message", func(trace.Item) bool { return true }); i.Code != 408 {
		t.Errorf("Alice was told %d", i.Code) // remote-server-timeout: RFC 7247 Table 2
	}
	w.told = w.trace.Len()
	messages(w, startServer(w, mode{open: true}))
}
