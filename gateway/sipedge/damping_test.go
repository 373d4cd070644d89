package sipedge

import (
	"strings"
	"testing"
	"time"

	"fedlab/gateway/im"
)

// TestEdgeEndsEverySubscription: an Edge that takes each SUBSCRIBE and ends it at once is asked again in growing pauses, and not before
// the time that it names. RFC 6665 §4.1.3
func TestEdgeEndsEverySubscription(t *testing.T) {
	for state, want := range map[string]struct {
		least time.Duration // from the second attempt on
		most  int           // attempts in six hours
	}{
		"terminated;reason=deactivated":                {20 * time.Second, 25},
		"terminated;reason=timeout":                    {20 * time.Second, 25},
		"terminated;reason=giveup;retry-after=3600":    {time.Hour, 7},
		"terminated;reason=probation;retry-after=5400": {90 * time.Minute, 5},
		"terminated;reason=noresource":                 {0, 1},
	} {
		t.Run(state, func(t *testing.T) {
			seeing(t, func(w *world, s *signals) {
				p := w.connected()
				defer p.close()
				w.signal(im.SignalSubscribe, "")
				end := time.Now().Add(6 * time.Hour)
				var last time.Time
				n := 0
				for {
					m, err := p.read(time.Until(end))
					if err != nil {
						break
					}
					if !strings.HasPrefix(m.start, "SUBSCRIBE ") {
						t.Fatalf("got\n%s", m)
					}
					if n++; n > 2 && time.Since(last) < want.least {
						t.Errorf("the %d. attempt comes after %v", n, time.Since(last))
					}
					last = time.Now()
					p.answer(m, "200 OK", "Expires: 28800")
					p.notify(m, 1, state, "")
				}
				if n > want.most || n == 0 {
					t.Errorf("%d attempts in six hours, want at most %d", n, want.most)
				}
			})
		})
	}
}
