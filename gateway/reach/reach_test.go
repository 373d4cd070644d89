package reach_test

import (
	"math/rand/v2"
	"net"
	"slices"
	"testing"

	"fedlab/gateway/reach"
)

func TestOrder(t *testing.T) {
	first := func(records ...*net.SRV) map[string]int {
		random, count := rand.New(rand.NewPCG(1, 2)), map[string]int{}
		for range 10000 {
			ordered := reach.Order(records, random)
			if len(ordered) != len(records) || !slices.IsSortedFunc(ordered, func(a, b *net.SRV) int { return int(a.Priority) - int(b.Priority) }) {
				t.Fatalf("order %v", ordered)
			}
			for _, r := range records {
				if !slices.Contains(ordered, r) {
					t.Fatalf("lost %v", r)
				}
			}
			count[ordered[0].Target]++
		}
		return count
	}
	t.Run("S25 equal records without weight are shuffled", func(t *testing.T) {
		c := first(&net.SRV{Target: "a"}, &net.SRV{Target: "b"}, &net.SRV{Target: "c"}, &net.SRV{Target: "d"})
		for _, name := range []string{"a", "b", "c", "d"} {
			if c[name] < 2200 || c[name] > 2800 {
				t.Errorf("%s is first %d times of 10000", name, c[name])
			}
		}
	})
	t.Run("S25 the weight is the chance", func(t *testing.T) {
		c := first(&net.SRV{Target: "a", Weight: 30}, &net.SRV{Target: "b", Weight: 10}, &net.SRV{Target: "z"}, &net.SRV{Target: "late", Priority: 1, Weight: 1000})
		if c["a"] < 6900 || c["a"] > 7600 || c["z"] == 0 || c["z"] > 500 || c["late"] != 0 {
			t.Errorf("first: %v", c)
		}
	})
}
