package presence_test

import (
	"fmt"
	"maps"
	"strings"
	"testing"
	"time"

	"fedlab/gateway/im"
	"fedlab/gateway/presence"

	"pgregory.net/rapid"
)

var start = time.Date(2010, 5, 17, 14, 0, 0, 0, time.UTC)

// words are actions in short.
func words(actions []presence.Action) string {
	var out []string
	shown := func(p *im.Presence) string {
		switch {
		case p == nil:
			return "empty"
		case len(p.Devices) == 0:
			return "closed"
		}
		return fmt.Sprintf("open%d", len(p.Devices))
	}
	for _, a := range actions {
		switch a := a.(type) {
		case presence.Subscribe:
			w := "refresh"
			if a.New {
				w = "subscribe"
			} else if a.Expires == 0 {
				w = "end"
			}
			if a.Expires > 8*time.Hour {
				w += fmt.Sprint(" ", a.Expires)
			}
			out = append(out, w)
		case presence.Forget:
			out = append(out, "forget")
		case presence.Accept:
			out = append(out, fmt.Sprintf("accept%d %v", a.ID, a.Expires))
		case presence.Reject:
			out = append(out, fmt.Sprintf("reject%d %d", a.ID, a.Status))
		case presence.Notify:
			out = append(out, strings.TrimRight(fmt.Sprintf("notify%d %s;%s %s", a.ID, a.State, a.Reason, shown(a.Body)), " "))
		case presence.Tell:
			w := string(a.Kind)
			if a.Kind == im.SignalAvailable {
				w = "available"
			}
			if a.Device.Resource != "" {
				w += "/" + a.Device.Resource
			}
			out = append(out, w+string(a.Device.Show))
		}
	}
	return strings.Join(out, ", ")
}

// watchStory is a Watch and its clock.
type watchStory struct {
	t  *testing.T
	w  presence.Watch
	at time.Time
}

func (s *watchStory) on(e presence.WatchEvent, want string) {
	s.t.Helper()
	var a []presence.Action
	s.w, a = presence.StepWatch(s.w, e, s.at)
	if got := words(a); got != want {
		s.t.Errorf("%T%+v gives\n  %q, want\n  %q", e, e, got, want)
	}
}

func (s *watchStory) later(d time.Duration) *watchStory { s.at = s.at.Add(d); return s }

func open(resources ...string) *im.Presence {
	p := &im.Presence{}
	for _, r := range resources {
		p.Devices = append(p.Devices, im.Device{Resource: r})
	}
	return p
}

func watch(t *testing.T) *watchStory { return &watchStory{t: t, at: start} }

// granted is a Watch in which the XMPP user sees a SIP user on one device.
func granted(t *testing.T) *watchStory {
	s := watch(t)
	s.on(presence.Ask{}, "subscribe")
	s.on(presence.Answer{Status: 200, Expires: time.Hour}, "")
	s.on(presence.Notified{State: "active", Expires: time.Hour, Presence: open("a")}, "subscribed, available/a")
	return s
}

// TestWatch holds the rows of RFC 8048 §5.2 and RFC 6665 §4.1 by their names in the conformance table.
func TestWatch(t *testing.T) {
	for name, tell := range map[string]func(*testing.T){
		"P02 P03 P04": func(t *testing.T) {
			s := watch(t)
			s.on(presence.Ask{}, "subscribe")
			s.on(presence.Answer{Status: 202, Expires: time.Hour}, "") // E04
			s.on(presence.Notified{State: "pending", Expires: time.Hour}, "")
			s.on(presence.Probe{}, "")
			s.on(presence.Notified{State: "active", Presence: open("a")}, "subscribed, available/a")
			s.on(presence.Notified{State: "active", Presence: open("a")}, "")
			s.on(presence.Notified{State: "active"}, "") // P20
			s.on(presence.Notified{State: "active", Presence: open("b")}, "unavailable/a, available/b")
			s.on(presence.Notified{State: "active", Presence: open()}, "unavailable/b")
		},
		"P04: no body is unknown": func(t *testing.T) {
			s := watch(t)
			s.on(presence.Ask{}, "subscribe")
			s.on(presence.Notified{State: "active", Expires: time.Hour}, "subscribed, unavailable") // E06
			s.on(presence.Answer{Status: 200, Expires: time.Hour}, "")
			s.later(time.Minute).on(presence.WatchTick{}, "") // no Timer N: the NOTIFY is there
		},
		"P05: refused by NOTIFY": func(t *testing.T) {
			granted(t).on(presence.Notified{State: "terminated", Reason: "rejected"}, "forget, unavailable/a, unsubscribed")
		},
		"P05: refused by response": func(t *testing.T) {
			for _, status := range []int{403, 489, 603} {
				s := watch(t)
				s.on(presence.Ask{}, "subscribe")
				s.on(presence.Answer{Status: status}, "forget, unsubscribed")
				if !s.w.Done() || !s.w.Wake().IsZero() {
					t.Errorf("%d: not over", status)
				}
			}
		},
		"P06: 423 twice": func(t *testing.T) {
			s := watch(t)
			s.on(presence.Ask{}, "subscribe")
			s.on(presence.Answer{Status: 423, MinExpires: 9 * time.Hour}, "subscribe 9h0m0s")
			s.on(presence.Answer{Status: 423, MinExpires: 9 * time.Hour}, "forget")
		},
		"P06: 481 to a refresh": func(t *testing.T) {
			s := granted(t)
			s.later(58*time.Minute).on(presence.WatchTick{}, "refresh")
			s.on(presence.Answer{Status: 481}, "forget, subscribe")
		},
		"the link is there again": func(t *testing.T) {
			watch(t).on(presence.Relinked{}, "")
			s := granted(t)
			s.on(presence.Relinked{}, "refresh")
			s.on(presence.Relinked{}, "") // once is enough
			s.on(presence.Answer{Status: 200, Expires: time.Hour}, "")
			s.on(presence.Notified{State: "active", Presence: open("b")}, "unavailable/a, available/b") // what could not be said meanwhile
			s.on(presence.Relinked{}, "refresh")
			s.on(presence.Answer{Status: 481}, "forget, subscribe") // it was restarted
			s = granted(t)
			s.on(presence.Offline{}, "")
			s.on(presence.Relinked{}, "")
		},
		"P07: no dialog while he is off line": func(t *testing.T) {
			s := granted(t)
			s.on(presence.Offline{}, "")
			s.later(time.Hour).on(presence.WatchTick{}, "forget, unavailable/a")
			s.on(presence.Probe{}, "subscribe")
		},
		"P08 P26": func(t *testing.T) {
			s := granted(t)
			s.on(presence.Cancel{}, "unavailable/a, end")
			s.on(presence.Notified{State: "terminated", Reason: "timeout"}, "")
			s.on(presence.Answer{Status: 200}, "forget, unsubscribed")
			if !s.w.Done() {
				t.Error("not over")
			}
		},
		"P08: the last NOTIFY behind the answer": func(t *testing.T) {
			s := granted(t)
			s.on(presence.Cancel{}, "unavailable/a, end")
			s.on(presence.Notified{State: "active", Presence: open("a")}, "") // it was on its way
			s.on(presence.Answer{Status: 200}, "unsubscribed")
			s.on(presence.Notified{State: "terminated", Reason: "timeout"}, "forget")
			if !s.w.Done() || !s.w.Wake().IsZero() {
				t.Error("not over")
			}
		},
		"P08: no last NOTIFY": func(t *testing.T) {
			s := granted(t)
			s.on(presence.Cancel{}, "unavailable/a, end")
			s.on(presence.Answer{Status: 200}, "unsubscribed")
			s.later(32*time.Second).on(presence.WatchTick{}, "forget")
			if !s.w.Done() {
				t.Error("not over")
			}
		},
		"P08: asked again before the last NOTIFY": func(t *testing.T) {
			s := granted(t)
			s.on(presence.Cancel{}, "unavailable/a, end")
			s.on(presence.Answer{Status: 200}, "unsubscribed")
			s.on(presence.Ask{}, "forget, subscribe")
		},
		"P08: asked again before the answer": func(t *testing.T) {
			s := granted(t)
			s.on(presence.Cancel{}, "unavailable/a, end")
			s.on(presence.Ask{}, "")
			s.on(presence.Answer{Status: 200}, "forget, subscribe")
		},
		"P22: probe answered from the dialog": func(t *testing.T) { granted(t).on(presence.Probe{}, "available/a") },
		"P25: asked again":                    func(t *testing.T) { granted(t).on(presence.Ask{}, "subscribed, available/a") },
		"E05: no NOTIFY": func(t *testing.T) {
			s := watch(t)
			s.on(presence.Ask{}, "subscribe")
			s.on(presence.Answer{Status: 200, Expires: time.Hour}, "")
			s.later(32*time.Second).on(presence.WatchTick{}, "forget")
			s.later(30*time.Second).on(presence.WatchTick{}, "subscribe")
		},
		"E09: a refresh that fails": func(t *testing.T) {
			for status, want := range map[int]string{500: "", 0: "", 404: "forget, unavailable/a, error", 480: "forget, unavailable/a", 501: "forget, unavailable/a"} {
				s := granted(t)
				s.later(58*time.Minute).on(presence.WatchTick{}, "refresh")
				s.on(presence.Answer{Status: status}, want)
			}
		},
		"E11: reasons": func(t *testing.T) {
			for reason, want := range map[string]string{
				"deactivated": "forget, subscribe", "timeout": "forget, subscribe", "noresource": "forget, unavailable/a",
				"probation": "forget, unavailable/a", "giveup": "forget, unavailable/a", "": "forget, unavailable/a",
			} {
				s := granted(t)
				s.on(presence.Notified{State: "terminated", Reason: reason, RetryAfter: time.Minute}, want)
			}
		},
		"E16: expires shortens": func(t *testing.T) {
			s := granted(t)
			s.on(presence.Notified{State: "active", Expires: 10 * time.Minute}, "")
			s.later(8*time.Minute).on(presence.WatchTick{}, "refresh")
		},
		"stop": func(t *testing.T) { granted(t).on(presence.WatchStop{}, "unavailable/a, end, forget") },
		"restart, and the person is gone": func(t *testing.T) {
			s := &watchStory{t: t, w: presence.Restored(presence.Granted), at: start}
			s.on(presence.Online{}, "subscribe")
			s.on(presence.Answer{}, "forget, unavailable")
		},
		"restart, and the person has another device": func(t *testing.T) {
			s := &watchStory{t: t, w: presence.Restored(presence.Granted), at: start}
			s.on(presence.Online{}, "subscribe")
			s.on(presence.Answer{Status: 200, Expires: time.Hour}, "")
			s.on(presence.Notified{State: "active", Presence: &im.Presence{Devices: []im.Device{{Resource: "b"}}}}, "subscribed, unavailable, available/b")
		},
	} {
		t.Run(name, tell)
	}
}

// TestAnyWatch: whatever comes in whatever order, there is one dialog at most, nobody is shown without a permission or a dialog,
// and what was given up ends. Whatever is lost on its way to the XMPP user, he sees what is shown as soon as he is reached.
func TestAnyWatch(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var w presence.Watch
		at, dialog, asked := start, false, false
		shown, seen := map[string]im.Device{}, map[string]im.Device{} // what is said, and what has arrived of it
		show := func(to map[string]im.Device, a presence.Tell) {
			switch {
			case a.Kind == im.SignalAvailable:
				to[a.Device.Resource] = a.Device
			case a.Kind == im.SignalUnavailable && a.Device.Resource == "":
				clear(to)
			case a.Kind == im.SignalUnavailable:
				delete(to, a.Device.Resource)
			}
		}
		reachable := func() bool { return rapid.Bool().Draw(t, "arrives") }
		var step func(e presence.WatchEvent)
		step = func(e presence.WatchEvent) {
			var actions []presence.Action
			w, actions = presence.StepWatch(w, e, at)
			var lost []presence.Tell
			for _, a := range actions {
				switch a := a.(type) {
				case presence.Subscribe:
					if a.New && dialog && !asked {
						t.Fatal("a second dialog")
					}
					if !a.New && !dialog {
						t.Fatal("a refresh without a dialog")
					}
					dialog, asked = true, true
				case presence.Forget:
					dialog, asked = false, false
				case presence.Tell:
					if a.Kind == im.SignalAvailable && w.Auth() != presence.Granted {
						t.Fatalf("shown with permission %v", w.Auth())
					}
					if show(shown, a); reachable() {
						show(seen, a)
					} else {
						lost = append(lost, a)
					}
				}
			}
			for _, a := range lost {
				step(presence.Lost{Tell: a})
			}
			if len(shown) > 0 && !dialog {
				t.Fatalf("%v stays available without a dialog after %T", shown, e)
			}
		}
		for range rapid.IntRange(1, 80).Draw(t, "steps") {
			at = at.Add(time.Duration(rapid.IntRange(0, 4000).Draw(t, "seconds")) * time.Second)
			for wake := w.Wake(); !wake.IsZero() && wake.Before(at); wake = w.Wake() {
				late := at
				at = wake
				step(presence.WatchTick{})
				if at = late; w.Wake().Equal(wake) {
					t.Fatalf("the tick of %v changed nothing", wake)
				}
			}
			states := rapid.SampledFrom([]string{"active", "pending", "terminated"})
			step(rapid.SampledFrom([]presence.WatchEvent{
				presence.Ask{}, presence.Cancel{}, presence.Probe{}, presence.Online{}, presence.Offline{}, presence.WatchTick{}, presence.Reached{}, presence.Relinked{},
				presence.Answer{Status: rapid.SampledFrom([]int{0, 200, 202, 403, 404, 408, 423, 480, 481, 500, 503}).Draw(t, "status"), Expires: time.Hour, MinExpires: 9 * time.Hour},
				presence.Notified{State: states.Draw(t, "state"), Reason: rapid.SampledFrom([]string{"", "rejected", "timeout", "deactivated", "giveup"}).Draw(t, "reason"),
					Expires: time.Hour, Presence: rapid.SampledFrom([]*im.Presence{nil, open(), open("a"), open("a", "b")}).Draw(t, "doc")},
			}).Draw(t, "event"))
		}
		reachable = func() bool { return true }
		if step(presence.Reached{}); !maps.Equal(seen, shown) {
			t.Fatalf("he sees %v, and shown is %v", seen, shown)
		}
		step(presence.Cancel{})
		for range 3 {
			step(presence.Answer{Status: 200})
		}
		step(presence.Notified{State: "terminated"})
		if !w.Done() || dialog || len(shown) > 0 {
			t.Fatalf("given up, but dialog %v, shown %v, permission %v", dialog, shown, w.Auth())
		}
	})
}

// What a peer does that ends every subscription as soon as it stands.
var endless = map[string]struct {
	answer presence.Answer
	notify []presence.Notified
	lives  time.Duration // before it is ended
	most   int           // attempts in a day
}{
	"terminated;deactivated":     {presence.Answer{Status: 200, Expires: time.Hour}, []presence.Notified{{State: "terminated", Reason: "deactivated"}}, 0, 65},
	"terminated;timeout":         {presence.Answer{Status: 200, Expires: time.Hour}, []presence.Notified{{State: "terminated", Reason: "timeout"}}, 0, 65},
	"terminated;probation":       {presence.Answer{Status: 200, Expires: time.Hour}, []presence.Notified{{State: "terminated", Reason: "probation"}}, 0, 65},
	"terminated;giveup":          {presence.Answer{Status: 200, Expires: time.Hour}, []presence.Notified{{State: "terminated", Reason: "giveup"}}, 0, 65},
	"terminated, no reason":      {presence.Answer{Status: 200, Expires: time.Hour}, []presence.Notified{{State: "terminated"}}, 0, 65},
	"terminated;noresource":      {presence.Answer{Status: 200, Expires: time.Hour}, []presence.Notified{{State: "terminated", Reason: "noresource"}}, 0, 1},
	"terminated;invariant":       {presence.Answer{Status: 200, Expires: time.Hour}, []presence.Notified{{State: "terminated", Reason: "invariant"}}, 0, 1},
	"shown, and then terminated": {presence.Answer{Status: 200, Expires: time.Hour}, []presence.Notified{{State: "active", Presence: open("a")}, {State: "terminated", Reason: "deactivated"}}, time.Minute, 65},
	"no NOTIFY":                  {presence.Answer{Status: 200, Expires: time.Hour}, nil, 0, 65},
	"a second long":              {presence.Answer{Status: 200, Expires: time.Second}, []presence.Notified{{State: "active"}}, 0, 65},
	"shortened to a second":      {presence.Answer{Status: 200, Expires: time.Hour}, []presence.Notified{{State: "active", Expires: time.Second}}, 0, 65},
	"refused for a while":        {presence.Answer{Status: 480}, nil, 0, 65},
	"retry-after an hour":        {presence.Answer{Status: 200, Expires: time.Hour}, []presence.Notified{{State: "terminated", Reason: "giveup", RetryAfter: time.Hour}}, 0, 25},
	"retry-after a century":      {presence.Answer{Status: 200, Expires: time.Hour}, []presence.Notified{{State: "terminated", Reason: "probation", RetryAfter: 876000 * time.Hour}}, 0, 2},
	"Retry-After in the answer":  {presence.Answer{Status: 503, RetryAfter: 2 * time.Hour}, nil, 0, 13},
	"deactivated, retry-after 1": {presence.Answer{Status: 200, Expires: time.Hour}, []presence.Notified{{State: "terminated", Reason: "deactivated", RetryAfter: time.Second}}, 0, 65},
}

// run drives a Watch against such a peer for a day and gives when it subscribed, counted from the start. every is how often the XMPP
// user comes on line, nothing for never.
func run(t *testing.T, name string, seed uint64, every time.Duration) []time.Duration {
	t.Helper()
	peer := endless[name]
	w, at, end := presence.Watch{}.Seeded(seed), start, start.Add(24*time.Hour)
	var subscribed []time.Duration
	events := []presence.WatchEvent{presence.Ask{}}
	online := end
	if every > 0 {
		online = start.Add(every)
	}
	for steps := 0; ; steps++ {
		if steps == 1_000_000 {
			t.Fatalf("%s: a storm, %d subscriptions in %v", name, len(subscribed), at.Sub(start))
		}
		if len(events) == 0 {
			at = online
			if wake := w.Wake(); !wake.IsZero() && wake.Before(at) {
				at = wake
				events = append(events, presence.WatchTick{})
			} else {
				online = online.Add(max(every, time.Second))
				events = append(events, presence.Online{})
			}
			if !at.Before(end) {
				return subscribed
			}
		}
		var actions []presence.Action
		w, actions = presence.StepWatch(w, events[0], at)
		events = events[1:]
		for _, a := range actions {
			if s, ok := a.(presence.Subscribe); ok && s.Expires > 0 {
				subscribed = append(subscribed, at.Sub(start))
				events = append(events, peer.answer)
				if peer.lives > 0 {
					at = at.Add(peer.lives)
				}
				for _, n := range peer.notify {
					events = append(events, n)
				}
			}
		}
	}
}

// TestNoStorm: a peer that ends every subscription as soon as it stands is asked at once again at most twice, then in growing pauses;
// what it wants by retry-after is kept to, up to a day, also when the XMPP user comes on line every few seconds. RFC 6665 §4.1.3
func TestNoStorm(t *testing.T) {
	for name, peer := range endless {
		t.Run(name, func(t *testing.T) {
			for seed := range uint64(20) {
				if got := run(t, name, seed, 0); len(got) > peer.most || len(got) == 0 {
					t.Fatalf("%d subscriptions in a day, want at most %d: %v", len(got), peer.most, got)
				}
			}
		})
	}
	t.Run("retry-after is for everybody", func(t *testing.T) {
		for name, least := range map[string]time.Duration{"retry-after an hour": time.Hour, "Retry-After in the answer": 2 * time.Hour, "retry-after a century": 24 * time.Hour} {
			last := -least
			for _, at := range run(t, name, 1, 7*time.Second) {
				if at-last < least {
					t.Errorf("%s: after %v", name, at-last)
				}
				last = at
			}
		}
		for _, name := range []string{"terminated;deactivated", "terminated;noresource", "a second long"} {
			if got := run(t, name, 1, 7*time.Second); len(got) > 65 {
				t.Errorf("%s: %d subscriptions in a day", name, len(got))
			}
		}
	})
	t.Run("watches do not come at the same time", func(t *testing.T) {
		second := map[time.Duration]int{}
		for seed := range uint64(1000) {
			second[run(t, "terminated;deactivated", seed, 0)[5].Truncate(time.Second)]++
		}
		for at, n := range second {
			if n > 20 {
				t.Errorf("%d of 1000 at %v", n, at)
			}
		}
	})
	t.Run("one that has lasted is made again at once", func(t *testing.T) {
		s := granted(t)
		for range 10 {
			s.later(10*time.Minute).on(presence.Notified{State: "terminated", Reason: "deactivated"}, "forget, subscribe")
			s.on(presence.Answer{Status: 200, Expires: time.Hour}, "")
			s.on(presence.Notified{State: "active", Presence: open("a")}, "")
		}
	})
	t.Run("423 names ever more", func(t *testing.T) {
		s := watch(t)
		s.on(presence.Ask{}, "subscribe")
		n := 0
		for least := time.Duration(1); ; least++ {
			var actions []presence.Action
			if s.w, actions = presence.StepWatch(s.w, presence.Answer{Status: 423, MinExpires: 9*time.Hour + least*time.Second}, s.at); words(actions) == "forget" {
				break
			}
			n++
		}
		if n > 2 {
			t.Errorf("asked again %d times", n)
		}
	})
}
