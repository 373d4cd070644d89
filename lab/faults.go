package lab

import (
	"cmp"
	"context"
	"fmt"
	"math/rand/v2"
	"sync"

	"fedlab/doctor"
	"fedlab/lab/matrix"
	"fedlab/lab/scenario"
)

// Matrix plants every single fault of the scenarios, at most parallel at once, and returns what is found of each and what has to be said against it:
// a finding that the scenario does not have, or lacks. Faults that several scenarios plant stand there once. With the matrix come the
// scenarios of its rows.
func Matrix(ctx context.Context, all []*scenario.Scenario, o Options, parallel int) (matrix.Matrix, []*scenario.Scenario, []Failure) {
	var m matrix.Matrix
	faults, also := scenario.Faults(all)
	results := make([]*Result, len(faults))
	inParallel(ctx, len(faults), parallel, func(i int) { results[i] = Survey(faults[i], o) })
	var failures []Failure
	for i, r := range results {
		if r == nil {
			return m, faults, append(failures, Failure{whole(faults[i]), "not run: " + context.Cause(ctx).Error()})
		}
		failures = append(failures, r.Failures...)
		failures = append(failures, judgeFindings(whole(faults[i]), faults[i].Findings, r.Findings)...)
		m = append(m, matrix.Fault{Name: faults[i].Name, Title: faults[i].Title, Also: also[i], Findings: sift(r.Findings), About: about(r.Findings)})
	}
	return m, faults, failures
}

// PairsResult is what came of all pairs.
type PairsResult struct {
	Pairs     int                     // how many there are
	Conflicts int                     // that cannot be had: the two exclude each other
	Run       int                     // that were run
	Both      int                     // with all findings of both
	Hidden    int                     // in which one fault hides something of the other
	Listed    int                     // that package matrix explains
	Rules     map[matrix.Combined]int // how often each explained one
	Hidings   map[matrix.Hiding]bool  // what hid what, where nothing else has to be explained
	Failures  []Failure
}

// Pairs runs pairs of single faults: all, or a sample of so many that the options' seed chooses. What is found of two faults has to
// follow from what is found of each; see [matrix.Judge].
func Pairs(ctx context.Context, library scenario.Library, all []*scenario.Scenario, o Options, parallel, sample int, each func(scenario.Pair, matrix.Verdict)) (PairsResult, error) {
	m, faults, failures := Matrix(ctx, all, o, parallel)
	p := PairsResult{Failures: failures, Rules: map[matrix.Combined]int{}, Hidings: map[matrix.Hiding]bool{}}
	if len(failures) > 0 {
		return p, nil // what is found of two would be compared with something wrong
	}
	alone := map[*scenario.Scenario]matrix.Findings{}
	for i, s := range faults {
		alone[s] = m[i].Findings
	}
	pairs, join := library.Pairs(faults)
	p.Pairs = len(pairs)
	if sample > 0 && sample < len(pairs) {
		random := rand.New(rand.NewPCG(o.Seed, 0))
		random.Shuffle(len(pairs), func(i, j int) { pairs[i], pairs[j] = pairs[j], pairs[i] })
		pairs = pairs[:sample]
	}
	// Of each run only what was found remains: thousands of deployments do not have to be in memory at once.
	runs := make([]*pairRun, len(pairs))
	inParallel(ctx, len(pairs), parallel, func(i int) {
		both, err := join(pairs[i])
		if err != nil {
			runs[i] = &pairRun{excluded: true}
			return
		}
		r := Survey(both, o)
		runs[i] = &pairRun{excluded: r.contradictory, found: sift(r.Findings), failures: r.Failures}
	})
	for i, r := range runs {
		switch {
		case r == nil:
			return p, context.Cause(ctx)
		case r.excluded:
			p.Conflicts++
		default:
			p.judge(pairs[i], alone, r, each)
		}
	}
	if p.Conflicts+p.Run == p.Pairs {
		p.judgeRules()
	}
	return p, nil
}

// pairRun is what came of one pair.
type pairRun struct {
	excluded bool // the two cannot be had together
	found    matrix.Findings
	failures []Failure
}

func (p *PairsResult) judge(pair scenario.Pair, alone map[*scenario.Scenario]matrix.Findings, r *pairRun, each func(scenario.Pair, matrix.Verdict)) {
	v := matrix.Judge(alone[pair.A], alone[pair.B], r.found)
	p.Run++
	if len(v.New) == 0 && !(v.HiddenA && v.HiddenB) {
		for _, h := range v.Hidings {
			p.Hidings[h] = true
		}
	}
	switch {
	case v.Wrong != "":
		p.Failures = append(p.Failures, Failure{whole(pair.A), fmt.Sprintf("%s: %s\n    %s: %s\n    %s: %s\n    both: %s", pair.Name(), v.Wrong,
			pair.A.Name, alone[pair.A], pair.B.Name, alone[pair.B], r.found)})
	case v.Rule != nil:
		p.Listed++
		p.Rules[*v.Rule]++
	case v.HiddenA || v.HiddenB:
		p.Hidden++
	default:
		p.Both++
	}
	for _, f := range r.failures {
		p.Failures = append(p.Failures, Failure{f.Pos, pair.Name() + ": " + f.Message})
	}
	if each != nil {
		each(pair, v)
	}
}

// judgeRules holds, when all pairs have run, that nothing is explained that does not happen.
func (p *PairsResult) judgeRules() {
	unused := func(file, what string) {
		p.Failures = append(p.Failures, Failure{scenario.Pos{File: "lab/matrix/" + file, Line: 1}, "no pair needs this any more: " + what})
	}
	for _, rule := range matrix.Combinations() {
		if p.Rules[rule] == 0 {
			unused("reasons.go", "the rule for "+rule.A+" and "+cmp.Or(rule.B, "any"))
		}
	}
	for h := range matrix.KnownHidings() {
		if !p.Hidings[h] {
			unused("hides.txt", h.By+" hides "+h.What)
		}
	}
}

// inParallel does n things, at most parallel at once, until ctx ends.
func inParallel(ctx context.Context, n, parallel int, do func(int)) {
	next := make(chan int)
	var workers sync.WaitGroup
	for range max(1, parallel) {
		workers.Go(func() {
			for i := range next {
				do(i)
			}
		})
	}
feed:
	for i := range n {
		select {
		case next <- i:
		case <-ctx.Done():
			break feed
		}
	}
	close(next)
	workers.Wait()
}

// sift keeps of findings who found what.
func sift(found []doctor.Finding) matrix.Findings {
	f := matrix.Findings{}
	for _, one := range found {
		f.Add(string(one.From), one.Code)
	}
	return f
}

// about keeps what it is about as well.
func about(found []doctor.Finding) matrix.Findings {
	f := matrix.Findings{}
	for _, one := range found {
		f.Add(string(one.From), one.Code+" "+one.Subject)
	}
	return f
}
