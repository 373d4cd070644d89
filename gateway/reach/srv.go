package reach

import (
	"math/rand/v2"
	"net"
	"slices"
)

// Order puts records into the order of RFC 2782: by priority, and among equals by a draw in which the weight is the
// chance. Where all weights are 0 the RFC leaves the order to the DNS answer, so that every client would go to the same
// one of a farm's hosts; those are shuffled.
func Order(records []*net.SRV, random *rand.Rand) []*net.SRV {
	rest := slices.Clone(records)
	random.Shuffle(len(rest), func(i, j int) { rest[i], rest[j] = rest[j], rest[i] })
	slices.SortStableFunc(rest, func(a, b *net.SRV) int {
		if a.Priority != b.Priority {
			return int(a.Priority) - int(b.Priority)
		}
		return min(int(a.Weight), 1) - min(int(b.Weight), 1) // weight 0 stands first in its group (RFC 2782)
	})
	var ordered []*net.SRV
	for len(rest) > 0 {
		group := slices.IndexFunc(rest, func(r *net.SRV) bool { return r.Priority != rest[0].Priority })
		if group < 0 {
			group = len(rest)
		}
		total := 0
		for _, r := range rest[:group] {
			total += int(r.Weight)
		}
		draw, sum := random.IntN(total+1), 0
		for i, r := range rest[:group] {
			if sum += int(r.Weight); sum >= draw {
				ordered = append(ordered, r)
				rest = slices.Delete(rest, i, i+1)
				break
			}
		}
	}
	return ordered
}
