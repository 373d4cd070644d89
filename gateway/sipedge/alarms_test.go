package sipedge

import (
	"context"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// ringing notes when it was woken.
type ringing struct {
	alarm alarm
	want  time.Time // zero: never
	woken []time.Time
}

func (r *ringing) wake() { r.woken = append(r.woken, time.Now()) }

func withAlarms(t *testing.T, f func(*alarms)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		as := newAlarms()
		ctx, cancel := context.WithCancel(t.Context())
		var group sync.WaitGroup
		group.Go(func() { as.run(ctx) })
		f(as)
		cancel()
		group.Wait()
	})
}

// TestAlarms: however often each is set, also to never, it goes off once, at the time that it was set to last.
func TestAlarms(t *testing.T) {
	withAlarms(t, func(as *alarms) {
		random := rand.New(rand.NewPCG(1, 2))
		all := make([]ringing, 1000)
		for range 5 * len(all) {
			r := &all[random.IntN(len(all))]
			r.alarm.owner = r
			r.want = time.Time{}
			if random.IntN(4) > 0 {
				r.want = time.Now().Add(time.Duration(1+random.IntN(10_000)) * time.Second)
			}
			as.set(&r.alarm, r.want)
			synctest.Wait()
		}
		time.Sleep(20_000 * time.Second)
		synctest.Wait()
		for i, r := range all {
			if r.want.IsZero() && len(r.woken) > 0 || !r.want.IsZero() && (len(r.woken) != 1 || !r.woken[0].Equal(r.want)) {
				t.Errorf("alarm %d was set to %v and went off at %v", i, r.want, r.woken)
			}
		}
		if len(as.queue) > 0 {
			t.Errorf("%d are still set", len(as.queue))
		}
	})
}

// restless sets its alarm anew whenever it goes off.
type restless struct {
	alarm alarm
	as    *alarms
	times atomic.Int64
}

func (a *restless) wake() {
	a.times.Add(1)
	a.as.set(&a.alarm, time.Now().Add(time.Minute))
}

// TestAlarmSetWhenItGoesOff: who is woken may set the alarm again.
func TestAlarmSetWhenItGoesOff(t *testing.T) {
	withAlarms(t, func(as *alarms) {
		a := &restless{as: as}
		a.alarm.owner = a
		as.set(&a.alarm, time.Now().Add(-time.Second)) // gone by: at once
		synctest.Wait()
		if n := a.times.Load(); n != 1 {
			t.Errorf("woken %d times at once", n)
		}
		time.Sleep(24*time.Hour + time.Second)
		synctest.Wait()
		if n := a.times.Load(); n != 1+24*60 {
			t.Errorf("woken %d times in a day", n)
		}
	})
}

// BenchmarkShortTimer is what a turn of a busy link's clock costs in processor time, beside a million that wait for eight hours to pass: alarms,
// and for comparison as many timers of Go's. The clock was set to the link's idle time-out and is set to the next look at what
// was acknowledged.
func BenchmarkShortTimer(b *testing.B) {
	const many = 1_000_000
	turns := func(b *testing.B) {
		began := cpu()
		rang := make(chan struct{})
		timer := time.AfterFunc(time.Hour, func() { rang <- struct{}{} })
		defer timer.Stop()
		for b.Loop() {
			timer.Reset(time.Hour)
			timer.Reset(time.Millisecond)
			<-rang
		}
		b.ReportMetric(float64((cpu()-began).Microseconds())/float64(b.N), "cpu-us/op")
	}
	b.Run("alarms", func(b *testing.B) {
		as, all := newAlarms(), make([]ringing, many)
		for i := range all {
			as.set(&all[i].alarm, time.Now().Add(8*time.Hour))
		}
		turns(b)
	})
	b.Run("timers", func(b *testing.B) {
		all := make([]*time.Timer, many)
		for i := range all {
			all[i] = time.AfterFunc(8*time.Hour, func() {})
		}
		turns(b)
		for _, t := range all {
			t.Stop()
		}
	})
}
