package scenario

import (
	"fmt"
	"slices"
	"strings"

	"fedlab/internal/strictyaml"
)

// Pair is two scenarios that stand on one topology.
type Pair struct{ A, B *Scenario }

// Name is the names of both.
func (p Pair) Name() string { return p.A.Name + " + " + p.B.Name }

// Pairs lists every pair of the scenarios, in the order in which they come, and gives the function that makes one scenario of a pair: in one
// deployment, with both patches and neither's expectations, and of the steps with the messages that the users of both send. An error says why the two exclude each
// other: both patches change one place, each to something else; or what is right alone, as all that [Library.Load] gives, is wrong together. The function may be called from many
// goroutines.
func (l Library) Pairs(all []*Scenario) ([]Pair, func(Pair) (*Scenario, error)) {
	r := reader{library: l, topologies: map[string]*strictyaml.Node{}}
	var pairs []Pair
	for i, a := range all {
		r.topology(a.Topology, a.Patch)
		for _, b := range all[i+1:] {
			if a.Topology == b.Topology {
				pairs = append(pairs, Pair{a, b})
			}
		}
	}
	return pairs, func(p Pair) (*Scenario, error) {
		patch, conflict := strictyaml.Union(p.A.Patch, p.B.Patch)
		if conflict != nil {
			return nil, fmt.Errorf("both patches change %s, each to something else", strings.Join(conflict, "."))
		}
		both := reader{library: l}
		deployed, _ := both.check(strictyaml.Merge(r.topologies[p.A.Topology], patch, &both.list))
		return &Scenario{
			Name: p.Name(), File: p.A.File, Title: fmt.Sprintf("%s; %s", p.A.Title, p.B.Title), Topology: p.A.Topology, Patch: patch,
			Steps: append(p.A.Talk(), p.B.Talk()...), Deployed: deployed,
		}, both.list.Err()
	}
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
