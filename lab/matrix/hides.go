package matrix

import (
	_ "embed"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
)

//go:generate sh -c "go run ../../cmd/fedlab pairs --hides > hides.new && mv hides.new hides.txt"

// hidesFile holds what hides what: what one fault is found by, and behind "hides" what of other faults is then not found. It is what
// `fedlab pairs --hides` prints, looked through by people: who does not get to a machine does not see its certificate.
//
//go:embed hides.txt
var hidesFile string

// Hiding is that a fault which is found by By hides What, a finding of another fault.
type Hiding struct{ By, What string }

// hides is the file as a set.
var hides = sync.OnceValue(func() map[Hiding]bool {
	all := map[Hiding]bool{}
	for line := range strings.Lines(hidesFile) {
		by, list, _ := strings.Cut(strings.TrimSpace(line), " hides ")
		for what := range strings.SplitSeq(list, ", ") {
			all[Hiding{by, what}] = true
		}
	}
	return all
})

// KnownHidings are all that [Judge] lets pass.
func KnownHidings() map[Hiding]bool { return maps.Clone(hides()) }

// FormatHidings is the text of the file that holds these.
func FormatHidings(all map[Hiding]bool) string {
	by := map[string][]string{}
	for h := range all {
		by[h.By] = append(by[h.By], h.What)
	}
	var b strings.Builder
	for _, who := range slices.Sorted(maps.Keys(by)) {
		slices.Sort(by[who])
		fmt.Fprintf(&b, "%s hides %s\n", who, strings.Join(by[who], ", "))
	}
	return b.String()
}
