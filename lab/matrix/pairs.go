package matrix

import (
	"fmt"
	"slices"
	"strings"
)

// Verdict is what the findings of two faults at once say of each.
type Verdict struct {
	HiddenA, HiddenB bool      // the fault has lost a finding because of the other
	Hidings          []Hiding  // what was lost to what
	New              []string  // what neither is found by alone, "gateway net.filtered"
	Rule             *Combined // why that is so; nil: there is nothing to explain, or nobody has
	Wrong            string    // what is not explained; empty: all is
}

// Combined says why two faults together are found by something that neither is found by alone, or why each hides a part of the other.
type Combined struct {
	A, B string // a finding of each fault alone, "outside dns.srv-port"; B may be empty: any fault
	New  string // what is found in addition, separated by commas; empty: each hides a part of the other
	Why  string
}

// Judge compares what is found of a pair with what is found of each fault alone. Right are all findings of both; all findings of one, which
// hides some of the other's, if it is known to; and what a rule of [Combinations] explains.
func Judge(a, b, both Findings) Verdict {
	var v Verdict
	found := both.list("")
	wantA, wantB := a.list(""), b.list("")
	for _, f := range found {
		if !slices.Contains(wantA, f) && !slices.Contains(wantB, f) {
			v.New = append(v.New, f)
		}
	}
	lost := func(want []string, by Findings) bool {
		before := len(v.Hidings)
		for _, w := range want {
			if !slices.Contains(found, w) {
				v.Hidings = append(v.Hidings, Hiding{by.String(), w})
			}
		}
		return len(v.Hidings) > before
	}
	v.HiddenA, v.HiddenB = lost(wantA, b), lost(wantB, a)
	if len(v.New) == 0 && !(v.HiddenA && v.HiddenB) {
		for _, h := range v.Hidings {
			if !hides()[h] {
				v.Wrong = fmt.Sprintf("%s is lost to a fault that is not known to hide it (%s); lab/matrix/hides.txt lists what may, and fedlab pairs --hides prints what does", h.What, h.By)
			}
		}
		return v
	}
	for i, c := range combinations {
		if (c.fits(wantA, wantB) || c.fits(wantB, wantA)) && c.New == strings.Join(v.New, ", ") {
			v.Rule = &combinations[i]
			return v
		}
	}
	if len(v.New) > 0 {
		v.Wrong = "neither alone is found by " + strings.Join(v.New, ", ")
	} else {
		v.Wrong = "each hides a part of the other, and nothing says why"
	}
	return v
}

func (c Combined) fits(a, b []string) bool {
	return slices.Contains(a, c.A) && (c.B == "" || slices.Contains(b, c.B))
}
