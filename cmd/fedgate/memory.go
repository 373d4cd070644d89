package main

import (
	"context"
	"os"
	"runtime/debug"
	"runtime/metrics"
	"sync"
	"time"
)

// How much garbage there may be before it is collected. Go's rule, as much as there is live, makes a small gateway collect hundreds
// of times a second, and one that holds a million subscriptions take twice the memory that it needs.
const (
	leastGarbage = 64 << 20 // bytes: allowed beside however little
	garbageShare = 40       // percent of what is live, where that is more
	mostShare    = 400      // percent of what is live, however little that is
	lookEvery    = time.Second / 2
)

// paceCollector adapts the garbage collector to what is live until the function that it returns is called. Who sets GOGC is left
// alone.
func paceCollector(ctx context.Context) (end func()) {
	if os.Getenv("GOGC") != "" {
		return func() {}
	}
	ctx, cancel := context.WithCancel(ctx)
	var work sync.WaitGroup
	work.Go(func() { pace(ctx) })
	return func() { cancel(); work.Wait() }
}

func pace(ctx context.Context) {
	live := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for share := 0; ; {
		metrics.Read(live)
		if next := garbageFor(live[0].Value.Uint64()); next != share {
			debug.SetGCPercent(next)
			share = next
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// garbageFor is how much garbage there may be, in percent of what is live. Steps of an eighth keep it from changing all the time.
func garbageFor(live uint64) int {
	share := int(leastGarbage * 100 / max(live, 1<<20))
	share -= share % max(share/8, 1)
	return min(max(share, garbageShare), mostShare)
}
