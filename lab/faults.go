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
	results := surveyAll(ctx, faults, o, parallel)
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
	Conflicts int                     // that cannot be had: both change the same thing, each to something else
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
	pairs, err := library.Pairs(faults)
	if err != nil {
		return p, err
	}
	p.Pairs = len(pairs)
	var possible []scenario.Pair
	var both []*scenario.Scenario
	for _, pair := range pairs {
		if pair.Conflict != "" {
			p.Conflicts++
			continue
		}
		possible = append(possible, pair)
	}
	if sample > 0 && sample < len(possible) {
		random := rand.New(rand.NewPCG(o.Seed, 0))
		random.Shuffle(len(possible), func(i, j int) { possible[i], possible[j] = possible[j], possible[i] })
		possible = possible[:sample]
	}
	for _, pair := range possible {
		both = append(both, pair.Both)
	}
	for i, r := range surveyAll(ctx, both, o, parallel) {
		if r == nil {
			return p, context.Cause(ctx)
		}
		if r.contradictory {
			p.Conflicts++ // each patch is half of what the gateway's check of its configuration refuses
			continue
		}
		p.judge(possible[i], alone, r, each)
	}
	if p.Conflicts+p.Run == p.Pairs {
		p.judgeRules()
	}
	return p, nil
}

func (p *PairsResult) judge(pair scenario.Pair, alone map[*scenario.Scenario]matrix.Findings, r *Result, each func(scenario.Pair, matrix.Verdict)) {
	found := sift(r.Findings)
	v := matrix.Judge(alone[pair.A], alone[pair.B], found)
	p.Run++
	if len(v.New) == 0 && !(v.HiddenA && v.HiddenB) {
		for _, h := range v.Hidings {
			p.Hidings[h] = true
		}
	}
	switch {
	case v.Wrong != "":
		p.Failures = append(p.Failures, Failure{whole(pair.Both), fmt.Sprintf("%s: %s\n    %s: %s\n    %s: %s\n    both: %s", pair.Both.Name, v.Wrong,
			pair.A.Name, alone[pair.A], pair.B.Name, alone[pair.B], found)})
	case v.Rule != nil:
		p.Listed++
		p.Rules[*v.Rule]++
	case v.HiddenA || v.HiddenB:
		p.Hidden++
	default:
		p.Both++
	}
	for _, f := range r.Failures {
		p.Failures = append(p.Failures, Failure{f.Pos, pair.Both.Name + ": " + f.Message})
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

// surveyAll surveys scenarios, at most parallel at once, until ctx ends. What was not run by then is nil.
func surveyAll(ctx context.Context, all []*scenario.Scenario, o Options, parallel int) []*Result {
	results := make([]*Result, len(all))
	next := make(chan int)
	var workers sync.WaitGroup
	for range max(1, parallel) {
		workers.Go(func() {
			for i := range next {
				results[i] = Survey(all[i], o)
			}
		})
	}
feed:
	for i := range all {
		select {
		case next <- i:
		case <-ctx.Done():
			break feed
		}
	}
	close(next)
	workers.Wait()
	return results
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
