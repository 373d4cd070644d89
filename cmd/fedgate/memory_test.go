package main

import "testing"

// A small gateway may have tens of megabytes of garbage, a large one less than half of what it needs.
func TestGarbageFor(t *testing.T) {
	for _, c := range []struct {
		live        uint64
		least, most int
	}{
		{0, mostShare, mostShare},
		{8 << 20, mostShare, mostShare},
		{32 << 20, 180, 200},
		{64 << 20, 88, 100},
		{1 << 30, garbageShare, garbageShare},
		{1 << 40, garbageShare, garbageShare},
	} {
		if got := garbageFor(c.live); got < c.least || got > c.most {
			t.Errorf("%d bytes live: %d %%, not %d to %d", c.live, got, c.least, c.most)
		}
	}
}
