package scenario

import (
	"fmt"
	"slices"
	"strings"

	"fedlab/internal/strictyaml"
)

// Pair is two scenarios in one deployment. It has both patches and neither's expectations; of the steps it has the messages that
// the users of both send.
type Pair struct {
	A, B *Scenario

	Both     *Scenario // nil: the two cannot be had together
	Conflict string    // the place that both patches change, each to something else, or what is wrong with both at once; empty if Both is there
}

// Pairs makes every pair of the scenarios that stand on one topology, in the order in which they come. The scenarios come from [Library.Load], so what
// is wrong with two of them at once is wrong with neither alone: they exclude each other.
func (l Library) Pairs(all []*Scenario) ([]Pair, error) {
	r := reader{library: l, topologies: map[string]*strictyaml.Node{}}
	var pairs []Pair
	for i, a := range all {
		for _, b := range all[i+1:] {
			if a.Topology == b.Topology {
				pairs = append(pairs, r.pair(a, b))
			}
		}
	}
	return pairs, r.list.Err()
}

func (r *reader) pair(a, b *Scenario) Pair {
	p := Pair{A: a, B: b}
	patch, conflict := strictyaml.Union(a.Patch, b.Patch)
	if conflict != nil {
		p.Conflict = strings.Join(conflict, ".")
		return p
	}
	p.Both = &Scenario{
		Name: a.Name + " + " + b.Name, File: a.File, Title: fmt.Sprintf("%s; %s", a.Title, b.Title), Topology: a.Topology, Patch: patch,
		Steps: append(a.Talk(), b.Talk()...),
	}
	tree := r.topology(a.Topology, patch)
	if tree == nil {
		return p
	}
	both := reader{library: r.library, topologies: r.topologies}
	p.Both.Deployed, _ = both.check(strictyaml.Merge(tree, patch, &both.list))
	if err := both.list.Err(); err != nil {
		p.Both, p.Conflict = nil, err.Error()
	}
	return p
}

// Talk is what the users of a scenario send to each other, and the pauses that they make. A pause at the beginning is none.
func (s *Scenario) Talk() []Step {
	var talk []Step
	for _, step := range s.Steps {
		if step.Send != nil || step.Wait != nil && len(talk) > 0 {
			talk = append(talk, step)
		}
	}
	return talk
}

// Faults are the scenarios that plant a single fault: they have a patch and findings, and nothing changes on the way. Of those that plant the very same it
// is the first; also names the others.
func Faults(all []*Scenario) (faults []*Scenario, also [][]string) {
	for _, s := range all {
		if s.Patch == nil || len(s.Findings) == 0 || slices.ContainsFunc(s.Steps, func(s Step) bool { return s.Change != nil || s.Cut != nil || s.Stop != nil || s.Kill != nil }) {
			continue
		}
		i := slices.IndexFunc(faults, func(f *Scenario) bool { return f.Topology == s.Topology && strictyaml.Equal(f.Patch, s.Patch) })
		if i >= 0 {
			also[i] = append(also[i], s.Name)
			continue
		}
		faults, also = append(faults, s), append(also, nil)
	}
	return faults, also
}
