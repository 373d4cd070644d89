package presence_test

import (
	"testing"
	"time"

	"fedlab/gateway/im"
	"fedlab/gateway/presence"

	"pgregory.net/rapid"
)

type feedStory struct {
	t  *testing.T
	f  presence.Feed
	at time.Time
}

func (s *feedStory) on(e presence.FeedEvent, want string) {
	s.t.Helper()
	var a []presence.Action
	s.f, a = presence.StepFeed(s.f, e, s.at)
	if got := words(a); got != want {
		s.t.Errorf("%T%+v gives\n  %q, want\n  %q", e, e, got, want)
	}
}

func (s *feedStory) later(d time.Duration) *feedStory { s.at = s.at.Add(d); return s }

func feed(t *testing.T) *feedStory { return &feedStory{t: t, at: start} }

// approved is a Feed in which one dialog sees one device.
func approved(t *testing.T) *feedStory {
	s := feed(t)
	s.on(presence.Watched{ID: 1, New: true, Expires: -1}, "accept1 1h0m0s, notify1 pending; empty, subscribe") // P09
	s.later(time.Minute).on(presence.Approved{}, "notify1 active; empty")                                      // P10
	s.later(time.Minute).on(presence.Shown{Device: im.Device{Resource: "home"}}, "notify1 active; open1")
	return s
}

// TestFeed holds the rows of RFC 8048 §5.3 and RFC 6665 §4.2 by their names in the conformance table.
func TestFeed(t *testing.T) {
	for name, tell := range map[string]func(*testing.T){
		"P09 P10": func(t *testing.T) { approved(t) },
		"P10: refused": func(t *testing.T) {
			s := approved(t)
			s.on(presence.Refused{}, "notify1 terminated;rejected empty")
			s.on(presence.Watched{ID: 2, New: true, Expires: time.Hour}, "reject2 403")
			s.later(2*time.Hour).on(presence.Watched{ID: 3, New: true, Expires: time.Hour}, "accept3 1h0m0s, notify3 pending; empty, subscribe")
		},
		"P11: refresh": func(t *testing.T) {
			approved(t).on(presence.Watched{ID: 1, Expires: 2 * time.Hour}, "accept1 2h0m0s, notify1 active; open1")
		},
		"P12: the end": func(t *testing.T) {
			s := approved(t)
			s.on(presence.Watched{ID: 1, Expires: 0}, "accept1 0s, notify1 terminated;timeout closed, unavailable")
			if s.f.Auth() != presence.Granted {
				t.Error("the permission is gone with the dialog")
			}
			s.on(presence.Watched{ID: 2, New: true, Expires: time.Hour}, "accept2 1h0m0s, notify2 active; open1")
		},
		"P20: all devices in each document": func(t *testing.T) {
			s := approved(t)
			s.later(time.Minute).on(presence.Shown{Device: im.Device{Resource: "work"}}, "notify1 active; open2")
			s.later(time.Minute).on(presence.Shown{Device: im.Device{Resource: "home"}, Gone: true}, "notify1 active; open1")
		},
		"P24: fetch": func(t *testing.T) {
			s := feed(t)
			s.on(presence.Watched{ID: 1, New: true, Expires: 0}, "accept1 0s, notify1 terminated;timeout empty")
			approved(t).on(presence.Watched{ID: 9, New: true, Expires: 0}, "accept9 0s, notify9 terminated;timeout open1")
		},
		"P27: not asked": func(t *testing.T) {
			s := feed(t)
			s.on(presence.Approved{}, "")
			if s.f.Auth() != presence.None {
				t.Error("granted")
			}
		},
		"P29: bare unavailable clears all": func(t *testing.T) {
			s := approved(t)
			s.later(time.Minute).on(presence.Shown{Device: im.Device{Resource: "work"}}, "notify1 active; open2")
			s.later(time.Minute).on(presence.Shown{Gone: true}, "notify1 active; closed")
			feedAsked := feed(t)
			feedAsked.on(presence.Watched{ID: 1, New: true, Expires: time.Hour}, "accept1 1h0m0s, notify1 pending; empty, subscribe")
			feedAsked.on(presence.Shown{Gone: true}, "") // not as an answer to the question
		},
		"E12: a NOTIFY that fails": func(t *testing.T) { approved(t).on(presence.NotifyFailed{ID: 1}, "unavailable") },
		"E13: too brief": func(t *testing.T) {
			feed(t).on(presence.Watched{ID: 1, New: true, Expires: 30 * time.Second}, "reject1 423")
		},
		"E15: expired": func(t *testing.T) {
			approved(t).later(time.Hour).on(presence.FeedTick{}, "notify1 terminated;timeout empty, unavailable")
		},
		"E18: not more often than every five seconds": func(t *testing.T) {
			s := approved(t)
			s.later(time.Second).on(presence.Shown{Device: im.Device{Resource: "home", Show: im.Away}}, "")
			s.later(time.Second).on(presence.Shown{Device: im.Device{Resource: "home", Show: im.DND}}, "")
			if got := s.f.Wake().Sub(s.at); got != 3*time.Second {
				t.Errorf("due in %v", got)
			}
			s.later(3*time.Second).on(presence.FeedTick{}, "notify1 active; open1")
			s.later(time.Minute).on(presence.FeedTick{}, "")
		},
		"E18: an approval soon after the question": func(t *testing.T) {
			s := feed(t)
			s.on(presence.Watched{ID: 1, New: true, Expires: time.Hour}, "accept1 1h0m0s, notify1 pending; empty, subscribe")
			s.later(time.Second).on(presence.Approved{}, "")
			s.later(time.Second).on(presence.Shown{Device: im.Device{Resource: "home"}}, "")
			s.later(3*time.Second).on(presence.FeedTick{}, "notify1 active; open1")
			s.later(time.Second).on(presence.Shown{Device: im.Device{Resource: "home", Show: im.Away}}, "")
		},
		"E18: a refresh is answered at once, and counts": func(t *testing.T) {
			s := approved(t)
			s.later(time.Second).on(presence.Shown{Device: im.Device{Resource: "work"}}, "")
			s.later(time.Second).on(presence.Watched{ID: 1, Expires: time.Hour}, "accept1 1h0m0s, notify1 active; open2")
			s.later(4*time.Second).on(presence.FeedTick{}, "") // it has been told already
			s.on(presence.Shown{Device: im.Device{Resource: "work"}, Gone: true}, "")
			s.later(time.Second).on(presence.FeedTick{}, "notify1 active; open1")
		},
		"E18: each dialog by itself": func(t *testing.T) {
			s := approved(t)
			s.later(3*time.Second).on(presence.Watched{ID: 2, New: true, Expires: time.Hour}, "accept2 1h0m0s, notify2 active; open1")
			s.later(2*time.Second).on(presence.Shown{Device: im.Device{Resource: "work"}}, "notify1 active; open2")
			if got := s.f.Wake().Sub(s.at); got != 3*time.Second {
				t.Errorf("due in %v", got)
			}
			s.later(3*time.Second).on(presence.FeedTick{}, "notify2 active; open2")
		},
		"stop": func(t *testing.T) {
			approved(t).on(presence.FeedStop{}, "notify1 terminated;probation empty, unavailable")
		},
		"restart": func(t *testing.T) {
			s := &feedStory{t: t, f: presence.RestoredFeed(presence.Granted, start), at: start}
			s.on(presence.Watched{ID: 1, New: true, Expires: time.Hour}, "accept1 1h0m0s, notify1 active; empty, probe")
		},
	} {
		t.Run(name, tell)
	}
}

// TestAnyFeed: every SUBSCRIBE is answered once and followed by a NOTIFY (E01, E03); nothing is notified after the end of a dialog
// or shown without a permission; no dialog is notified twice in five seconds but where it asks or ends (E18); every dialog ends.
func TestAnyFeed(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var f presence.Feed
		at := start
		var ids presence.ID
		alive, last := map[presence.ID]bool{}, map[presence.ID]time.Time{}
		step := func(e presence.FeedEvent) {
			var actions []presence.Action
			f, actions = presence.StepFeed(f, e, at)
			answered, accepted, notified := 0, false, map[presence.ID]bool{}
			for _, a := range actions {
				switch a := a.(type) {
				case presence.Accept:
					answered++
					accepted = true
					alive[a.ID] = true
				case presence.Reject:
					answered++
				case presence.Notify:
					if !alive[a.ID] {
						t.Fatalf("NOTIFY in dialog %d, which is over", a.ID)
					}
					if a.Body != nil && len(a.Body.Devices) > 0 && f.Auth() != presence.Granted {
						t.Fatalf("shown with permission %v", f.Auth())
					}
					if (a.State == "terminated") != (a.Reason != "") {
						t.Fatalf("state %q with reason %q", a.State, a.Reason)
					}
					asked, _ := e.(presence.Watched)
					if since := at.Sub(last[a.ID]); a.State != "terminated" && asked.ID != a.ID && since < 5*time.Second {
						t.Fatalf("%T has dialog %d notified %v after the last time", e, a.ID, since)
					}
					notified[a.ID], last[a.ID] = true, at
					if a.State == "terminated" {
						delete(alive, a.ID)
					}
				}
			}
			if w, ok := e.(presence.Watched); ok {
				if answered != 1 {
					t.Fatalf("answered %d times", answered)
				}
				if accepted && !notified[w.ID] {
					t.Fatal("accepted without a NOTIFY")
				}
			} else if answered != 0 {
				t.Fatalf("%T is answered", e)
			}
			if n, ok := e.(presence.NotifyFailed); ok {
				delete(alive, n.ID)
			}
		}
		for range rapid.IntRange(1, 80).Draw(t, "steps") {
			at = at.Add(time.Duration(rapid.OneOf(rapid.IntRange(0, 6), rapid.IntRange(0, 2000)).Draw(t, "seconds")) * time.Second)
			if wake := f.Wake(); !wake.IsZero() && wake.Before(at) {
				step(presence.FeedTick{})
			}
			id := presence.ID(rapid.IntRange(1, int(ids)+1).Draw(t, "id"))
			expires := time.Duration(rapid.SampledFrom([]int{-1, 0, 30, 60, 3600, 1 << 30}).Draw(t, "expires")) * time.Second
			switch rapid.IntRange(0, 8).Draw(t, "event") {
			case 0, 1:
				ids++
				step(presence.Watched{ID: ids, New: true, Expires: expires})
			case 2:
				if alive[id] {
					step(presence.Watched{ID: id, Expires: expires})
				}
			case 3:
				step(presence.Approved{})
			case 4:
				step(presence.Refused{})
			case 5, 6:
				step(presence.Shown{Device: im.Device{Resource: rapid.SampledFrom([]string{"", "a", "b"}).Draw(t, "device")}, Gone: rapid.Bool().Draw(t, "gone")})
			case 7:
				step(presence.NotifyFailed{ID: id})
			case 8:
				step(presence.FeedTick{})
			}
		}
		at = at.Add(25 * time.Hour)
		step(presence.FeedTick{})
		if len(alive) > 0 {
			t.Fatalf("dialogs %v are left over", alive)
		}
	})
}
