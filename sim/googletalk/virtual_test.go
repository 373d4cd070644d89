package googletalk

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"fedlab/sim/dns"
	"fedlab/sim/trace"
	"fedlab/sim/vnet"
)

// bubble is a virtual Internet with the farm's three machines, contoso.com's server (a farm as well) and a name server.
type bubble struct {
	*world
	net    *vnet.Net
	zones  map[string]map[string][]string
	gmail  Config
	peer   Config
	farm   *Farm
	server *Farm
}

// inBubble builds the world, lets change have a hand in it, starts it, runs f in virtual time and stops it. The test fails
// if a goroutine is left.
func inBubble(t *testing.T, change func(*bubble), f func(*bubble)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		b := &bubble{world: newWorld(t)}
		addr := func(s string) netip.Prefix { return netip.MustParsePrefix(s) }
		hosts := map[string]vnet.HostConfig{}
		for name, prefix := range map[string]string{
			"talk0": "74.125.45.125/8", "talk1": "74.125.155.125/8", "talk2": "74.125.47.125/8", "xmpp": "12.34.56.78/8", "ns": "192.0.2.53/8",
			"outside": "198.51.100.7/8",
		} {
			hosts[name] = vnet.HostConfig{
				Interfaces: map[string]netip.Prefix{"internet": addr(prefix)}, Resolver: []netip.Addr{netip.MustParseAddr("192.0.2.53")},
			}
		}
		n, err := vnet.New(vnet.Topology{
			Segments: map[string]vnet.SegmentConfig{
				"internet": {Prefixes: []netip.Prefix{addr("0.0.0.0/0")}, Link: vnet.LinkConfig{Latency: 20 * time.Millisecond}},
			},
			Hosts: hosts,
		}, vnet.Options{Seed: 1})
		if err != nil {
			t.Fatal(err)
		}
		defer n.Close()
		b.net = n
		b.zones = map[string]map[string][]string{
			"gmail.com": {"_xmpp-server._tcp SRV": {
				"5 0 5269 xmpp-server.l.google.com.", "20 0 5269 xmpp-server1.l.google.com.", "20 0 5269 xmpp-server2.l.google.com.",
			}},
			"l.google.com": {
				"xmpp-server A": {"74.125.45.125"}, "xmpp-server1 A": {"74.125.155.125"}, "xmpp-server2 A": {"74.125.47.125"},
				"xmpp-server3 A": {"74.125.45.125"}, "xmpp-server4 A": {"74.125.45.125"},
			},
			"contoso.com": {"_xmpp-server._tcp SRV": {"0 0 5269 xmpp.contoso.com."}, "xmpp A": {"12.34.56.78"}},
		}
		b.gmail = Config{
			Hosts: []Host{
				{Name: "talk0", Names: []string{"xmpp-server.l.google.com", "xmpp-server3.l.google.com", "xmpp-server4.l.google.com"}, Network: n.Host("talk0")},
				{Name: "talk1", Names: []string{"xmpp-server1.l.google.com"}, Network: n.Host("talk1")},
				{Name: "talk2", Names: []string{"xmpp-server2.l.google.com"}, Network: n.Host("talk2")},
			},
			Users: []User{{Address: "bob@gmail.com", Contacts: []string{"alice@contoso.com"}}},
			Trace: b.trace, Seed: 7,
		}
		b.peer = Config{
			Hosts:   []Host{{Name: "xmpp", Network: n.Host("xmpp")}},
			Domains: []string{"contoso.com"},
			Users:   []User{{Address: "alice@contoso.com", Contacts: []string{"bob@gmail.com"}}},
			Quirks:  Quirks{AcceptForeignTarget: true},
			Trace:   b.trace, Seed: 8,
		}
		if change != nil {
			change(b)
		}
		ns, err := dns.Start(t.Context(), dns.Config{Network: n.Host("ns"), Zones: b.zones, Host: "ns"})
		if err != nil {
			t.Fatal(err)
		}
		defer ns.Close()
		if b.farm, err = Start(t.Context(), b.gmail); err != nil {
			t.Fatal(err)
		}
		defer b.farm.Close()
		if b.server, err = Start(t.Context(), b.peer); err != nil {
			t.Fatal(err)
		}
		defer b.server.Close()
		f(b)
	})
}

// within waits for what a client shows, in virtual time.
func (b *bubble) within(d time.Duration, what string, match func(trace.Event) bool) trace.Event {
	b.t.Helper()
	start := time.Now()
	done := make(chan trace.Event, 1)
	timer := time.NewTimer(d)
	defer timer.Stop()
	ctx := b.t.Context()
	go func() {
		e, _ := b.trace.Await(ctx, 0, match)
		done <- e
	}()
	select {
	case e := <-done:
		return e
	case <-timer.C:
		b.t.Fatalf("%s did not come within %v (since %v); trace:\n%s", what, d, start, b.dump())
		return trace.Event{}
	}
}

// Every machine of the farm calls in and is called back, the one without addresses in its headers included.
func TestEachHostCallsIn(t *testing.T) {
	for _, via := range []string{"xmpp-server", "xmpp-server1", "xmpp-server2", "xmpp-server3", "xmpp-server4"} {
		inBubble(t, nil, func(b *bubble) {
			must(b.t, b.farm.Send(b.t.Context(), SendOptions{From: "bob@gmail.com", To: "alice@contoso.com", Body: via, Via: via + ".l.google.com"}))
			b.within(5*time.Second, "the message", shows("alice@contoso.com", trace.Message, via))
			must(b.t, b.server.Send(b.t.Context(), SendOptions{From: "alice@contoso.com", To: "bob@gmail.com", Body: "back"}))
			b.within(5*time.Second, "the answer", shows("bob@gmail.com", trace.Message, "back"))
			b.noSurprises()
		})
	}
}

// Each way of not getting through is told to the sender, in bounded time.
func TestBoundedFailure(t *testing.T) {
	const timeout, notFound, internal = "remote-server-timeout", "remote-server-not-found", "internal-server-error"
	for _, c := range []struct {
		name      string
		plant     func(*bubble)
		condition string
		atLeast   time.Duration
	}{
		{"nobody has the address", func(b *bubble) { b.zones["contoso.com"]["xmpp A"] = []string{"12.34.56.99"} }, timeout, 10 * time.Second},
		{"three addresses that nobody has", func(b *bubble) {
			b.zones["contoso.com"]["xmpp A"] = []string{"12.34.56.99", "12.34.56.98", "12.34.56.97"}
		}, timeout, 50 * time.Second},
		{"the name server does not answer", func(b *bubble) { b.net.Host("talk0").SetResolver(nil, []netip.Addr{netip.MustParseAddr("192.0.2.99")}) }, timeout, 5 * time.Second},
		{"no such domain", func(b *bubble) { b.zones["contoso.com"] = map[string][]string{"www A": {"12.34.56.78"}} }, notFound, 0},
		{"refused", func(b *bubble) { b.peer.Hosts[0].Down = true }, timeout, 0},
		{"accepted and silent", func(b *bubble) { b.peer.Quirks.Silent = true }, timeout, 20 * time.Second},
		{"no answer to the key", func(b *bubble) { b.peer.Quirks.NoResult = true }, timeout, 50 * time.Second},
		{"our own server does not confirm the key", func(b *bubble) { b.gmail.Quirks.NoVerify = true }, timeout, 39 * time.Second},
		{"our key is wrong", func(b *bubble) { b.gmail.Quirks.WrongKey = true }, internal, 0},
		{"answer reversed", func(b *bubble) { b.peer.Quirks.ReversedResult = true }, timeout, 50 * time.Second},
		{"clash with Google Apps", func(b *bubble) { b.peer.Quirks.AppsClash = []string{"gmail.com"} }, timeout, 0},
		{"stream error", func(b *bubble) { b.peer.Quirks.StreamError = "system-shutdown" }, timeout, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			inBubble(t, c.plant, func(b *bubble) {
				start := time.Now()
				must(b.t, b.farm.Send(b.t.Context(), SendOptions{From: "bob@gmail.com", To: "alice@contoso.com", Body: "hello", Via: "talk0"}))
				e := b.within(60*time.Second, "the error", func(e trace.Event) bool { return e.Item.Type == trace.Error })
				if took := time.Since(start); e.Item.Condition != c.condition || took < c.atLeast {
					b.t.Errorf("%s after %v, want %s after at least %v\n%s", e.Item.Condition, took, c.condition, c.atLeast, b.dump())
				}
			})
		})
	}
}

// Habits that must not cost a message: each is on, a conversation with a pause of an hour goes on as if it were off.
func TestHarmlessQuirks(t *testing.T) {
	for name, q := range map[string]Quirks{
		"none":            {},
		"verify on link":  {VerifyOnLink: true},
		"close after":     {CloseAfterVerify: true},
		"dialback errors": {DialbackErrors: true},
		"echo":            {EchoKey: true, SpacedKey: true},
		"idle":            {IdleClose: 5 * time.Minute},
		"idle error":      {IdleClose: 5 * time.Minute, IdleError: "connection-timeout"},
		"keep alive":      {KeepAlive: 30 * time.Second},
		"plain":           {Plain: true, RepeatPresence: true},
		"one stream":      {OneStream: true, VerifyOnLink: true},
		"addresses":       {BareHeaders: []string{}},
		"bare":            {BareHeaders: []string{"talk0"}},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(b *bubble) { b.gmail.Quirks = q }, func(b *bubble) {
				for i := range 3 {
					there, back := fmt.Sprint("there ", i), fmt.Sprint("back ", i)
					must(b.t, b.farm.Send(b.t.Context(), SendOptions{From: "bob@gmail.com", To: "alice@contoso.com", Body: there, Via: "talk0"}))
					b.within(5*time.Second, there, shows("alice@contoso.com", trace.Message, there))
					must(b.t, b.server.Send(b.t.Context(), SendOptions{From: "alice@contoso.com", To: "bob@gmail.com", Body: back}))
					b.within(5*time.Second, back, shows("bob@gmail.com", trace.Message, back))
					time.Sleep(time.Hour)
				}
				streams := 0
				for _, e := range b.trace.Events() {
					if e.Kind == trace.Received && strings.HasPrefix(e.Summary, "stream") && e.Host == "xmpp" && strings.HasPrefix(e.Conn, "in") {
						streams++
					}
				}
				if name == "bare" {
					return // the other farm is as strict as this one, and minds
				}
				if idle := q.IdleClose > 0; idle != (streams > 4) {
					b.t.Errorf("%d streams came in, idle close %v", streams, q.IdleClose)
				}
				b.noSurprises()
			})
		})
	}
}

// With OneStream both of the farm's domains use one stream, each with its own key; one that is refused does not disturb the
// other.
func TestOneStream(t *testing.T) {
	inBubble(t, func(b *bubble) {
		b.gmail.Quirks.OneStream = true
		b.peer.Users[0].Contacts = []string{"bob@gmail.com"}
		b.zones["googlemail.com"] = b.zones["gmail.com"]
	}, func(b *bubble) {
		send := func(from, body string) {
			must(b.t, b.farm.Send(b.t.Context(), SendOptions{From: from, To: "alice@contoso.com", Body: body, Via: "talk0"}))
			b.within(5*time.Second, body, shows("alice@contoso.com", trace.Message, body))
		}
		send("bob@gmail.com", "one")
		send("bob@googlemail.com", "two")
		send("bob@gmail.com", "three")
		b.noSurprises()
		streams, keys := 0, 0
		for _, e := range b.trace.Events() {
			if e.Kind == trace.Received && e.Host == "xmpp" && strings.HasPrefix(e.Conn, "in") {
				if strings.HasPrefix(e.Summary, "stream ") {
					streams++
				} else if strings.HasPrefix(e.Summary, "db:result") {
					keys++
				}
			}
		}
		if streams != 1 || keys != 2 {
			b.t.Errorf("%d streams, %d keys\n%s", streams, keys, b.dump())
		}
	})
	inBubble(t, func(b *bubble) {
		b.gmail.Quirks.OneStream = true
		b.peer.Quirks.DialbackErrors = true // and googlemail.com is not in the DNS, so its key cannot be verified
	}, func(b *bubble) {
		for _, from := range []string{"bob@gmail.com", "bob@googlemail.com", "bob@gmail.com"} {
			must(b.t, b.farm.Send(b.t.Context(), SendOptions{From: from, To: "alice@contoso.com", Body: from, Via: "talk0"}))
		}
		b.within(10*time.Second, "the refusal", shows("bob@googlemail.com", trace.Error, "remote-server-timeout"))
		b.within(10*time.Second, "the other", shows("alice@contoso.com", trace.Message, "bob@gmail.com"))
		b.noSurprises()
	})
}

// Faults that are silent by nature: nothing is shown to anybody.
func TestSilentFaults(t *testing.T) {
	inBubble(t, func(b *bubble) { b.gmail.Quirks = Quirks{DropMessages: true, DropSubscribe: true} }, func(b *bubble) {
		must(b.t, b.server.Send(b.t.Context(), SendOptions{From: "alice@contoso.com", To: "bob@gmail.com", Body: "hello"}))
		must(b.t, b.server.Subscribe(b.t.Context(), SubscriptionOptions{User: "alice@contoso.com", Contact: "bob@gmail.com"}))
		time.Sleep(time.Hour)
		for _, e := range b.trace.Events() {
			if e.Layer == trace.Client && e.Kind == trace.Received {
				b.t.Errorf("shown: %s", e)
			}
		}
		b.noSurprises()
	})
}

// A link that is cut in the middle of a conversation and restored: what is sent meanwhile arrives late and in order, or comes
// back.
func TestCut(t *testing.T) {
	inBubble(t, nil, func(b *bubble) {
		send := func(body string) {
			must(b.t, b.farm.Send(b.t.Context(), SendOptions{From: "bob@gmail.com", To: "alice@contoso.com", Body: body, Via: "talk0"}))
		}
		send("before")
		b.within(5*time.Second, "before", shows("alice@contoso.com", trace.Message, "before"))
		b.net.Segment("internet").Cut()
		send("during")
		time.Sleep(20 * time.Second)
		b.net.Segment("internet").Restore()
		send("after")
		b.within(2*time.Minute, "after", shows("alice@contoso.com", trace.Message, "after"))
		b.within(0+time.Second, "during", shows("alice@contoso.com", trace.Message, "during"))
		b.noSurprises()
	})
}

// A way that goes dead without a word: what was sent into it is late with the farm as it is, and lost with LoseOnBreak.
func TestBrokenWay(t *testing.T) {
	for _, lose := range []bool{false, true} {
		inBubble(t, func(b *bubble) { b.gmail.Quirks.LoseOnBreak = lose }, func(b *bubble) {
			send := func(body string) {
				must(b.t, b.farm.Send(b.t.Context(), SendOptions{From: "bob@gmail.com", To: "alice@contoso.com", Body: body, Via: "talk0"}))
			}
			send("before")
			b.within(5*time.Second, "before", shows("alice@contoso.com", trace.Message, "before"))
			time.Sleep(time.Minute)
			b.net.Segment("internet").Cut()
			send("during")
			// Longer than TCP tries: the connection is given up, and so are the attempts at a new one.
			time.Sleep(2 * time.Hour)
			b.net.Segment("internet").Restore()
			send("after")
			b.within(5*time.Minute, "after", shows("alice@contoso.com", trace.Message, "after"))
			seen := 0
			for _, e := range b.trace.Events() {
				if e.Layer == trace.Client && e.Kind == trace.Received && e.Item.Body == "during" {
					seen++
				}
			}
			if want := map[bool]int{false: 1, true: 0}[lose]; seen != want {
				b.t.Errorf("LoseOnBreak %v: shown %d times\n%s", lose, seen, b.dump())
			}
		})
	}
}

// A terrible line: every message arrives, in the order of those that do, or comes back to its sender; none does both.
func TestBadLine(t *testing.T) {
	inBubble(t, func(b *bubble) { b.gmail.Quirks.BareHeaders = []string{} }, func(b *bubble) {
		err := b.net.Segment("internet").SetLink(vnet.LinkConfig{Latency: 250 * time.Millisecond, Jitter: 100 * time.Millisecond, Loss: 0.2})
		must(b.t, err)
		const count = 30
		for i := range count {
			for _, m := range []struct {
				f        *Farm
				from, to string
			}{{b.farm, "bob@gmail.com", "alice@contoso.com"}, {b.server, "alice@contoso.com", "bob@gmail.com"}} {
				must(b.t, m.f.Send(b.t.Context(), SendOptions{From: m.from, To: m.to, Body: fmt.Sprint(i)}))
			}
			time.Sleep(10 * time.Second)
		}
		time.Sleep(time.Hour)
		fate := map[string][]string{} // by sender and body
		last := map[string]int{}
		for _, e := range b.trace.Events() {
			if e.Layer != trace.Client || e.Kind != trace.Received {
				continue
			}
			sender := e.From
			if e.Item.Type == trace.Error {
				sender = e.To
			} else {
				var n int
				fmt.Sscan(e.Item.Body, &n)
				if n < last[sender] {
					b.t.Errorf("%s is shown %d after %d", e.To, n, last[sender])
				}
				last[sender] = n
			}
			key := sender + " " + e.Item.Body
			fate[key] = append(fate[key], string(e.Item.Type))
		}
		if len(fate) != 2*count {
			b.t.Errorf("%d of %d messages have a fate", len(fate), 2*count)
		}
		for m, f := range fate {
			if len(f) != 1 {
				b.t.Errorf("%s: %v", m, f)
			}
		}
		b.noSurprises()
	})
}

// A host that goes down right after it has sent a message: the message is neither lost nor doubled.
func TestDownAfterSending(t *testing.T) {
	for _, wait := range []time.Duration{0, 5 * time.Millisecond, 30 * time.Millisecond, 70 * time.Millisecond, 500 * time.Millisecond} {
		inBubble(t, nil, func(b *bubble) {
			send := func(body string) {
				must(b.t, b.farm.Send(b.t.Context(), SendOptions{From: "bob@gmail.com", To: "alice@contoso.com", Body: body, Via: "talk0"}))
			}
			send("first")
			b.within(5*time.Second, "first", shows("alice@contoso.com", trace.Message, "first"))
			send("second")
			time.Sleep(wait)
			must(b.t, b.farm.SetDown("talk0", true))
			time.Sleep(time.Minute)
			must(b.t, b.farm.SetDown("talk0", false))
			send("third")
			b.within(5*time.Second, "third", shows("alice@contoso.com", trace.Message, "third"))
			var got []string
			for _, e := range b.trace.Events() {
				if e.Layer == trace.Client && e.Kind == trace.Received {
					got = append(got, e.Item.Body)
				}
			}
			if strings.Join(got, " ") != "first second third" {
				b.t.Errorf("after %v shown: %v", wait, got)
			}
		})
	}
}
