package doctor

import (
	"testing"
	"testing/synctest"
	"time"
)

func TestSilences(t *testing.T) {
	type ends struct{ ago, silence time.Duration }
	m := time.Minute
	for _, tt := range []struct {
		name string
		all  []ends
		want bool
	}{
		{"none", nil, false},
		{"one", []ends{{10 * m, 5 * m}}, false},
		{"two at one moment", []ends{{10 * m, 5 * m}, {10*m + 5*time.Second, 5 * m}}, false},
		{"two after the same silence", []ends{{40 * m, 5 * m}, {10 * m, 5 * m}}, true},
		{"noticed by a message, and by probes", []ends{{40 * m, 5 * m}, {10 * m, 7*m + 30*time.Second}}, true},
		{"two after different silences", []ends{{40 * m, 5 * m}, {10 * m, 25 * m}}, false},
		{"the line was cut twice", []ends{{40 * m, 5 * m}, {40 * m, 20 * m}, {10 * m, 5 * m}, {10 * m, 9 * m}}, false},
		{"the line was cut as well", []ends{{40 * m, 5 * m}, {30 * m, 2 * m}, {30 * m, 4 * m}, {10 * m, 5 * m}}, true},
		{"two, and a machine that crashed", []ends{{40 * m, 5 * m}, {30 * m, 50 * m}, {10 * m, 6 * m}}, true},
		{"long ago", []ends{{40 * time.Hour, 5 * m}, {10 * m, 5 * m}}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				time.Sleep(100 * time.Hour)
				x := newExam(FromGateway, nil)
				var all []silence
				for _, e := range tt.all {
					all = append(all, silence{At: time.Now().Add(-e.ago), Peer: "192.0.2.1", OpenedBy: "peer", Seconds: int(e.silence.Seconds()), How: "reset"})
				}
				x.judgeSilences(5269, all)
				found := x.result()
				if (len(found) == 1) != tt.want {
					t.Errorf("found %v", found)
				}
				if len(found) == 1 && (found[0].Code != "net.idle-timeout" || found[0].Subject != "port 5269" || len(found[0].Evidence) < 3) {
					t.Errorf("found %+v", found[0])
				}
			})
		})
	}
}
