package peers

import (
	"context"
	"encoding/xml"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"fedlab/sim/trace"
)

// await waits for something that a user was shown.
func await(t *testing.T, r *trace.Recorder, at string, fits func(trace.Event) bool) trace.Event {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	e, err := r.Await(ctx, 0, func(e trace.Event) bool { return e.Kind == trace.Received && e.To == at && fits(e) })
	if err != nil {
		t.Fatalf("%s was not shown it; the trace: %v", at, r.Events())
	}
	return e
}

// Two phones, each the other's proxy, keep the order of messages, and are told what is refused.
func TestPhones(t *testing.T) {
	r := trace.NewRecorder()
	// Addresses that are nobody else's.
	here, there := netip.MustParseAddrPort("127.76.3.1:5060"), netip.MustParseAddrPort("127.76.3.2:5060")
	phones := make(chan *Phone, 2)
	start := func(address string, listen, proxy netip.AddrPort) {
		p, err := StartPhone(t.Context(), PhoneConfig{Address: address, Listen: listen, Proxy: proxy, Trace: r})
		if err != nil {
			t.Error(err)
		}
		phones <- p
	}
	go start("anna@example.org", here, there) // each waits for the other
	start("alice@example.com", there, here)
	alice, anna := <-phones, <-phones
	if t.Failed() {
		return
	}
	if alice.Address != "alice@example.com" {
		alice, anna = anna, alice
	}
	for i := range 5 {
		if err := alice.Send(anna.Address, fmt.Sprintf("Hello %d <&>", i), false); err != nil {
			t.Fatal(err)
		}
	}
	await(t, r, anna.Address, func(e trace.Event) bool { return e.Item.Body == "Hello 4 <&>" })
	next := 0
	for _, e := range r.Events() {
		if e.Kind == trace.Received && e.To == anna.Address {
			if want := fmt.Sprintf("Hello %d <&>", next); e.Item.Body != want || e.From != alice.Address {
				t.Errorf("shown %q from %s, and %q was due", e.Item.Body, e.From, want)
			}
			next++
		}
	}
	// A phone is no presence server.
	if err := alice.Subscription(anna.Address, "subscribe"); err != nil {
		t.Fatal(err)
	}
	e := await(t, r, alice.Address, func(e trace.Event) bool { return e.Item.Type == trace.Subscription })
	if e.Item.State != "unsubscribed" || e.Item.Code != 405 {
		t.Errorf("shown %+v", e.Item)
	}
	if err := alice.SetPresence("away", ""); err == nil || !strings.Contains(err.Error(), "405") {
		t.Errorf("publishing: %v", err)
	}
	for _, p := range []*Phone{alice, anna} {
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	}
}

// What an XMPP server sends is shown as what it is.
func TestXMPPUserShows(t *testing.T) {
	near, far := net.Pipe()
	r := trace.NewRecorder()
	u := &XMPPUser{XMPPUserConfig: XMPPUserConfig{Address: "juliet@example.org", Receipts: true, Trace: r}, client: "c", sent: map[string]trace.Item{}, seen: map[string]bool{}}
	u.stream = &Stream{conn: near, decoder: xml.NewDecoder(near)}
	there := make(chan error, 1)
	u.reading.Go(func() { u.read(there) })
	said := make(chan string, 100)
	go func() {
		defer close(said)
		var b [4096]byte
		for {
			n, err := far.Read(b[:])
			if err != nil {
				return
			}
			said <- string(b[:n])
		}
	}()
	say := func(text string) {
		if _, err := io.WriteString(far, text); err != nil {
			t.Fatal(err)
		}
	}
	if err := u.Send("nobody@example.com", "Hello", true); err != nil {
		t.Fatal(err)
	}
	if got := <-said; !strings.Contains(got, "id='c-1'") || !strings.Contains(got, "<body>Hello</body>") || !strings.Contains(got, "urn:xmpp:receipts") {
		t.Errorf("sent %s", got)
	}
	say("<presence from='juliet@example.org/desk'/>")
	if err := <-there; err != nil {
		t.Error(err)
	}
	say("<message from='alice@example.com/ocs' id='1'><body>&lt;Hi&gt;</body><active xmlns='http://jabber.org/protocol/chatstates'/><request xmlns='urn:xmpp:receipts'/></message>")
	if got := <-said; !strings.Contains(got, "to='alice@example.com/ocs'><received xmlns='urn:xmpp:receipts' id='1'/>") {
		t.Errorf("sent %s", got)
	}
	say("<message from='alice@example.com'><composing xmlns='http://jabber.org/protocol/chatstates'/></message>")
	say("<message from='alice@example.com'><received xmlns='urn:xmpp:receipts' id='c-1'/></message>")
	say("<message type='error' id='c-1' from='nobody@example.com'><error type='cancel'><text xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'>no</text><item-not-found xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></message>")
	say("<presence type='subscribe' from='alice@example.com'/>")
	say("<presence type='unavailable' from='alice@example.com'/>") // nothing was known
	say("<presence from='alice@example.com/ocs'><show>dnd</show><status>busy</status></presence>")
	say("<presence type='unavailable' from='alice@example.com'/>")
	say("<iq type='get' id='9' from='alice@example.com'><ping xmlns='urn:xmpp:ping'/></iq>")
	if got := <-said; !strings.Contains(got, "id='9'") || !strings.Contains(got, "service-unavailable") {
		t.Errorf("sent %s", got)
	}
	say("<iq type='set' id='push'><query xmlns='jabber:iq:roster'/></iq>")
	if got := <-said; got != "<iq type='result' id='push'/>" {
		t.Errorf("sent %s", got)
	}
	if err := u.Close(); err != nil {
		t.Error(err)
	}
	for range said {
	}
	var got []string
	for _, e := range r.Events() {
		i := e.Item
		got = append(got, strings.Join(strings.Fields(fmt.Sprintln(e.Kind, i.Type, i.Body, i.Condition, i.State)), " "))
	}
	want := []string{
		"sent message Hello", "received message <Hi>", "received typing composing", "received receipt Hello", "received error Hello item-not-found",
		"received subscription subscribe", "received presence busy dnd", "received presence unavailable",
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("shown\n%q, want\n%q", got, want)
	}
}
