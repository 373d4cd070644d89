package googletalk

import (
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"fedlab/sim/trace"
)

// The vectors of XEP-0185 and XEP-0220, and one of our own.
func TestKey(t *testing.T) {
	for _, v := range [][5]string{
		{"s3cr3tf0rd14lb4ck", "xmpp.example.com", "example.org", "D60000229F", "37c69b1cf07a3f67c04a5ef5902fa5114f2c76fe4a2686482ba5b89323075643"},
		{"s3cr3tf0rd14lb4ck", "montague.example", "capulet.example", "D60000229F", "b4835385f37fe2895af6c196b59097b16862406db80559900d96bf6fa7d23df3"},
		{"d14lb4ck43v3r", "capulet.example", "montague.example", "417GAF25", "225cc5aa6a071133249d25fef42ae516fc7a86c523aa1c6980a7f73e784c972d"},
		{"dialback-lab-secret", "gmail.com", "contoso.com", "5F0A1C2B3D4E6F70", "3696e5c7c7ae26e5d676e14545136a45c2279a1dc777513796862bf0ca278af9"},
	} {
		if got := dialbackKey(v[0], v[1], v[2], v[3]); got != v[4] {
			t.Errorf("key of %v is %s", v[:4], got)
		}
	}
}

// Two farms, one of them in the place of a gateway, talk to each other through any of their machines, in order, both ways.
func TestTwoFarms(t *testing.T) {
	w := newWorld(t)
	gmail := w.farm(nil)
	w.records("contoso.com", "xmpp.contoso.com")
	contoso := w.start(Config{
		Hosts:   []Host{{Name: "xmpp", Names: []string{"xmpp.contoso.com"}, Network: w.machine("xmpp.contoso.com")}},
		Domains: []string{"contoso.com"},
		Users:   []User{{Address: "alice@contoso.com", Contacts: []string{"bob@gmail.com"}}},
		Trace:   w.trace,
	})
	for _, via := range []string{"xmpp-server.gmail.com", "talk1"} {
		for i := range 20 {
			if err := gmail.Send(t.Context(), SendOptions{From: "bob@gmail.com", To: "alice@contoso.com", Body: fmt.Sprint(via, i), Via: via}); err != nil {
				t.Fatal(err)
			}
		}
		w.await("the last message", shows("alice@contoso.com", trace.Message, via+"19"))
	}
	for i := range 20 {
		if err := contoso.Send(t.Context(), SendOptions{From: "alice@contoso.com", To: "bob@gmail.com", Body: fmt.Sprint(i)}); err != nil {
			t.Fatal(err)
		}
	}
	w.await("the last answer", shows("bob@gmail.com", trace.Message, "19"))
	w.noSurprises()
	next := map[string]int{}
	for _, e := range w.trace.Events() {
		if e.Layer != trace.Client || e.Kind != trace.Received {
			continue
		}
		prefix := strings.TrimRight(e.Item.Body, "0123456789")
		if strings.HasPrefix(e.Item.Body, "talk1") {
			prefix = "talk1"
		}
		if want := fmt.Sprint(prefix, next[prefix]); e.Item.Body != want {
			t.Errorf("%s shows %q, want %q", e.To, e.Item.Body, want)
		}
		next[prefix]++
	}
	if len(next) != 3 {
		t.Errorf("runs seen: %v", next)
	}
}

// Whom the user does not know is told service-unavailable, as the captures show it, and the sender's user is shown that.
func TestOnlyContactsMayWrite(t *testing.T) {
	w := newWorld(t)
	w.farm(nil)
	w.records("contoso.com", "xmpp.contoso.com")
	contoso := w.start(Config{
		Hosts:   []Host{{Name: "xmpp", Names: []string{"xmpp.contoso.com"}, Network: w.machine("xmpp.contoso.com")}},
		Domains: []string{"contoso.com"},
		Users:   []User{{Address: "mallory@contoso.com"}, {Address: "alice@contoso.com"}},
		Trace:   w.trace,
	})
	for _, to := range []string{"bob@gmail.com", "nobody@gmail.com"} {
		if err := contoso.Send(t.Context(), SendOptions{From: "mallory@contoso.com", To: to, Body: "to " + to}); err != nil {
			t.Fatal(err)
		}
		e := w.await("the error", func(e trace.Event) bool { return e.Item.Type == trace.Error && e.From == to })
		if e.Item.Condition != "service-unavailable" || e.Item.Body != "to "+to || e.To != "mallory@contoso.com" {
			t.Errorf("shown: %+v", e)
		}
	}
	w.noSurprises()
}

// What cannot be reached is told to the sender, with the condition that the fault calls for.
func TestUnreachable(t *testing.T) {
	for _, c := range []struct {
		name      string
		plant     func(*world)
		condition string
	}{
		{"no record and no address", func(w *world) {}, "remote-server-not-found"},
		{"record without address", func(w *world) { w.records("contoso.com", "xmpp.contoso.com") }, "remote-server-not-found"},
		{"declined", func(w *world) { w.srv["contoso.com"] = []*net.SRV{{Target: "."}} }, "remote-server-not-found"},
		{"foreign target", func(w *world) { w.machine("xmpp.example.net"); w.records("contoso.com", "xmpp.example.net") }, "remote-server-not-found"},
		{"nothing listens", func(w *world) { w.machine("xmpp.contoso.com"); w.records("contoso.com", "xmpp.contoso.com") }, "remote-server-timeout"},
		{"nothing listens at the domain itself", func(w *world) { w.machine("contoso.com") }, "remote-server-not-found"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			c.plant(w)
			f := w.farm(nil)
			if err := f.Send(t.Context(), SendOptions{From: "bob@gmail.com", To: "alice@contoso.com", Body: "hello", ID: "m1"}); err != nil {
				t.Fatal(err)
			}
			e := w.await("the error", func(e trace.Event) bool { return e.Item.Type == trace.Error })
			if e.Item.Condition != c.condition || e.Item.ID != "m1" || e.Item.Body != "hello" || e.From != "alice@contoso.com" || e.To != "bob@gmail.com" {
				t.Errorf("shown: %+v", e)
			}
		})
	}
}

// The farm's second target is tried when the first is silent, refuses, or says that it shuts down.
func TestNextTarget(t *testing.T) {
	for name, first := range map[string]func(*raw){
		"silent": nil,
		"shutdown": func(r *raw) {
			r.write(headerFmt+"<stream:error><system-shutdown xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error></stream:stream>", "from='contoso.com' to='gmail.com' id='x'")
		},
		"gone": func(r *raw) { r.conn.Close() },
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			bad := w.machine("xmpp0.contoso.com")
			ln, err := bad.Listen(t.Context(), "tcp", ":5269")
			if err != nil {
				t.Fatal(err)
			}
			defer ln.Close()
			w.records("contoso.com", "xmpp0.contoso.com")
			p := w.peer()
			f := w.farm(func(c *Config) { c.Timeouts.Header = 200 * time.Millisecond })
			go func() {
				if conn, err := ln.Accept(); err == nil && first != nil {
					first(newRaw(t, conn))
				}
			}()
			if err := f.Send(t.Context(), SendOptions{From: "bob@gmail.com", To: "alice@contoso.com", Body: "hello"}); err != nil {
				t.Fatal(err)
			}
			r := p.called()
			r.expect("message")
		})
	}
}

// Any machine of the farm says whether a key is the farm's, to a peer that has proved nothing.
func TestAuthoritative(t *testing.T) {
	w := newWorld(t)
	p := w.peer()
	f := w.farm(nil)
	if err := f.Send(t.Context(), SendOptions{From: "bob@gmail.com", To: "alice@contoso.com", Body: "hello", Via: "talk0"}); err != nil {
		t.Fatal(err)
	}
	r := p.accept()
	r.expect("stream")
	r.write(headerFmt, "from='contoso.com' to='gmail.com' id='our id'")
	r.expect("result")
	key := r.text()
	for _, host := range []string{"xmpp-server.gmail.com", "xmpp-server1.gmail.com"} {
		q, _ := p.dial(host)
		for _, c := range []struct{ id, key, want string }{
			{"our id", key, "valid"}, {"our id", "\n " + key + " ", "valid"}, {"another id", key, "invalid"}, {"our id", "nonsense", "invalid"},
		} {
			q.write("<db:verify from='contoso.com' to='gmail.com' id='%s'>%s</db:verify>", c.id, c.key)
			got := q.expect("verify")
			if got["type"] != c.want || got["from"] != "gmail.com" || got["to"] != "contoso.com" || got["id"] != c.id {
				t.Errorf("asked %s about %q: %v, want %s", host, c.id, got, c.want)
			}
		}
	}
	w.noSurprises()
}

// What the farm puts on the wire is what the captures show.
func TestWire(t *testing.T) {
	w := newWorld(t)
	p := w.peer()
	f := w.farm(nil)
	if err := f.Send(t.Context(), SendOptions{From: "bob@gmail.com", To: "alice@contoso.com", Body: `<hi> & "you"`, ID: "m1"}); err != nil {
		t.Fatal(err)
	}
	r := p.called()
	if m := r.expect("message"); m["type"] != "chat" || m["id"] != "m1" || m["to"] != "alice@contoso.com" || !strings.HasPrefix(m["from"], "bob@gmail.com/gmail.") {
		t.Errorf("message: %v", m)
	}
	r.expect("body")
	if text := r.text(); text != `<hi> & "you"` {
		t.Errorf("body %q", text)
	}
	for _, want := range []string{"google-mail-signature", "active", "x", "record"} {
		r.expect(want)
	}
	for _, e := range w.trace.Events() {
		if e.Layer == trace.XMPP && e.Kind == trace.Sent && strings.HasPrefix(e.Summary, "stream ") {
			h, err := newReader(strings.NewReader(string(e.Data))).header()
			if err != nil || h.get("from") != "gmail.com" || h.get("to") != "contoso.com" || h.get("version") != "" || h.get("id") != "" {
				t.Errorf("header %s", e.Data)
			}
			if e.From == "" || e.To == "" || e.Host == "" || e.Conn == "" {
				t.Errorf("incomplete event %+v", e)
			}
		}
	}
}

// Errors that come back are shown to the user whose message they name.
func TestErrorComesBack(t *testing.T) {
	w := newWorld(t)
	p := w.peer()
	f := w.farm(nil)
	if err := f.Send(t.Context(), SendOptions{From: "bob@gmail.com", To: "alice@contoso.com", Body: "hello", ID: "m1", Via: "talk0"}); err != nil {
		t.Fatal(err)
	}
	from := p.called().expect("message")["from"]
	const shape = "<message from='alice@contoso.com' to='%s' id='%s' type='error'>%s<error type='cancel'>" +
		"<item-not-found xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></message>"
	r := p.verified("xmpp-server.gmail.com")
	r.write(shape, from, "m1", "")
	e := w.await("the error", func(e trace.Event) bool { return e.Item.Type == trace.Error })
	if e.Item.Condition != "item-not-found" || e.Item.ID != "m1" || e.Item.Body != "hello" || e.From != "alice@contoso.com" {
		t.Errorf("shown: %+v", e)
	}
	w.noSurprises()
	r.write(shape, from, "m1", "")
	w.surprise("a second error for one message")
	r.write(shape, from, "m2", "")
	w.surprise("an error for a message that bob@gmail.com has not sent")
}

// Restart and SetDown: what was not sent leaves from another machine.
func TestHostGoesDown(t *testing.T) {
	w := newWorld(t)
	p := w.peer()
	f := w.farm(nil)
	if err := f.Send(t.Context(), SendOptions{From: "bob@gmail.com", To: "alice@contoso.com", Body: "hello", Via: "talk0"}); err != nil {
		t.Fatal(err)
	}
	r := p.accept()
	r.expect("stream")
	if err := f.SetDown("talk0", true); err != nil {
		t.Fatal(err)
	}
	p.called().expect("message")
	if err := f.Send(t.Context(), SendOptions{From: "bob@gmail.com", To: "alice@contoso.com", Body: "no", Via: "talk0"}); err == nil {
		t.Error("a host that is down carries messages")
	}
	if _, err := p.net.DialContext(t.Context(), "tcp", p.addrs["xmpp-server.gmail.com"].String()+":5269"); err == nil {
		t.Error("a host that is down listens")
	}
	if err := f.SetDown("talk0", false); err != nil {
		t.Fatal(err)
	}
	p.verified("xmpp-server.gmail.com").write("<message from='alice@contoso.com' to='bob@gmail.com'><body>back</body></message>")
	w.await("the message", shows("bob@gmail.com", trace.Message, "back"))
	if err := f.Restart("talk0"); err != nil {
		t.Fatal(err)
	}
	p.verified("xmpp-server.gmail.com").write("<message from='alice@contoso.com' to='bob@gmail.com'><body>again</body></message>")
	w.await("the message", shows("bob@gmail.com", trace.Message, "again"))
	w.noSurprises()
}

// With another seed the farm writes differently, and with the same seed alike; every style is read.
func TestStyles(t *testing.T) {
	seen := map[string]bool{}
	for seed := range uint64(40) {
		y := styleOf(seed, "talk0")
		if y != styleOf(seed, "talk0") {
			t.Fatal("not the same twice")
		}
		for _, text := range []string{y.header("gmail.com", "contoso.com", "id", ""), y.header("", "", "id", "1.0")} {
			seen[text] = true
			h, err := newReader(strings.NewReader(text)).header()
			if err != nil || h.get("id") != "id" || h.space != nsStream {
				t.Errorf("%q: %v", text, err)
			}
		}
	}
	if len(seen) < 8 {
		t.Errorf("only %d styles", len(seen))
	}
}
