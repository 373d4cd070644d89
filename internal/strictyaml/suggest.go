package strictyaml

import (
	"slices"
	"strings"
)

// Nearest is the known word that is probably meant by word: the one with the fewest letters added, left out, replaced or
// swapped, if these are at most a third of it; else the only one of which it is a part, or which is a part of it ("timeout" of
// "remote-server-timeout"). Case, and "-" for "_", do not count, nor does a domain that two addresses share. Empty if none is near.
func Nearest(word string, known []string) string {
	const longest = 128 // a longer word is no misspelling
	if word == "" || len(word) > longest {
		return ""
	}
	fold := func(s string) []rune { return []rune(strings.ReplaceAll(strings.ToLower(s), "-", "_")) }
	from := fold(word)
	best, bestDistance := "", 0
	for _, k := range slices.Sorted(slices.Values(known)) {
		if len(k) > longest {
			continue
		}
		a, b := from, fold(k)
		if local, domain, ok := strings.Cut(word, "@"); ok && local != "" && strings.HasSuffix(k, "@"+domain) {
			a, b = fold(local), fold(strings.TrimSuffix(k, "@"+domain))
		}
		if d := distance(a, b); d <= max(1, (len(a)+1)/3) && (best == "" || d < bestDistance) {
			best, bestDistance = k, d
		}
	}
	if best != "" {
		return best
	}
	parts := 0
	for _, k := range known {
		if a, b := string(from), string(fold(k)); min(len(a), len(b)) >= shortestPart && (strings.Contains(a, b) || strings.Contains(b, a)) {
			best, parts = k, parts+1
		}
	}
	if parts != 1 {
		return ""
	}
	return best
}

// shortestPart is how many letters two words have to share for one to be meant by the other.
const shortestPart = 3

// distance is the optimal string alignment distance of a and b.
func distance(a, b []rune) int {
	before, last, row := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			row[j] = min(last[j]+1, row[j-1]+1, last[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
		before, last, row = last, row, before
	}
	return last[len(b)]
}
