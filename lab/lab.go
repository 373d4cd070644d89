// Package lab runs scenarios: it builds the deployed world from a topology, starts the real gateway beside the fakes on the
// virtual network, does the steps, and judges.
//
// [Run] runs one scenario and returns a plain [Result]; [RunAll] runs many side by side. What is claimed in a Result was seen
// by the taps on the wire and by the users' clients (package trace), never taken from the gateway's own word. Unasked, every run also
// holds: no message is lost silently or delivered twice, order is kept, no fake saw anything that it did not expect, everything
// stops cleanly and leaves no goroutine behind.
//
// cmd/fedlab and the suites in e2e call this package. It alone knows both the gateway and the fakes.
package lab

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"fedlab/doctor"
	"fedlab/lab/report"
	"fedlab/lab/scenario"
	"fedlab/sim/trace"
)

// Options of a run. The zero value runs in real time with seed 0.
type Options struct {
	Clock Clock     // default RealTime
	Seed  uint64    // of everything in the world that varies
	Log   io.Writer // what the gateway and the fakes log; default discarded
	World Builder   // what the world is made of; default Virtual
	Pcap  string    // a folder for captures, a folder in it for each scenario: world.pcapng and one file a segment; default none
}

// Result is what came of one scenario.
type Result struct {
	Scenario *scenario.Scenario
	Seed     uint64
	Wall     time.Duration // what it took on the machine's clock
	Virtual  time.Duration // what it took in the world's time, from the first step until all had stopped
	Findings []doctor.Finding
	Failures []Failure // none: passed
	Trace    []trace.Event
	Views    []report.View // what the field's tools showed

	contradictory bool // nothing ran: the deployment asks for a configuration that the gateway does not take
}

// Passed reports whether nothing failed.
func (r *Result) Passed() bool { return len(r.Failures) == 0 }

// Canonical is the trace without what differs between two equal runs.
func (r *Result) Canonical() string { return canonical(r.Trace) }

// Codes are the codes of the findings, each once, sorted.
func (r *Result) Codes() []string {
	var list []string
	for _, f := range r.Findings {
		list = append(list, f.Code)
	}
	slices.Sort(list)
	return slices.Compact(list)
}

// Failure is one reason why a scenario failed.
type Failure struct {
	Pos     scenario.Pos // the step or expectation; the scenario's file and line 1 for what always holds
	Message string       // what was expected and what was seen instead, with the last events before it
}

func (f Failure) String() string {
	return fmt.Sprintf("%s:%d: %s", f.Pos.File, f.Pos.Line, f.Message)
}

// Run runs one scenario.
func Run(s *scenario.Scenario, o Options) *Result { return inside(s, o, run) }

// inside does a run in the time that the options ask for.
func inside(s *scenario.Scenario, o Options, run func(*scenario.Scenario, Options) *Result) *Result {
	if o.Clock == nil {
		o.Clock = RealTime
	}
	began := time.Now()
	// A stalled run goes on in the background, so it writes to a Result that nobody else reads.
	var finished atomic.Pointer[Result]
	err := o.Clock(patience(s.Deployed), func() {
		finished.Store(run(s, o))
	})
	r := finished.Load()
	if r == nil {
		r = &Result{Scenario: s, Seed: o.Seed}
	}
	r.Wall = time.Since(began)
	if err != nil {
		r.Failures = append(r.Failures, Failure{whole(s), err.Error()})
	}
	return r
}

// finding is the kind of a trace's event of layer Step that says what the doctor found; Host is the vantage point.
const finding = "finding"

// Progress is told of every run that ends, from one goroutine at a time, in the order in which they end.
type Progress func(*Result)

// RunAll runs every scenario repeat times, at most parallel at once, until ctx ends, and returns the results in the
// order of the scenarios, repetitions of one next to each other. Runs of one scenario with one seed have to agree in verdict, findings and
// canonical trace; one that differs from the first fails. Of those that agree only the first keeps what it saw.
func RunAll(ctx context.Context, all []*scenario.Scenario, o Options, repeat, parallel int, progress Progress) []*Result {
	results := make([]*Result, len(all)*repeat)
	next := make(chan int)
	var workers sync.WaitGroup
	var telling sync.Mutex
	first := map[int]*Result{} // that ended, by the place in all
	for range max(1, parallel) {
		workers.Go(func() {
			for i := range next {
				r := Run(all[i/repeat], o)
				telling.Lock()
				results[i] = r
				if other := first[i/repeat]; other != nil {
					compareRuns(other, r)
				} else {
					first[i/repeat] = r
				}
				if progress != nil {
					progress(r)
				}
				if first[i/repeat] != r && r.Passed() {
					r.Trace, r.Views = nil, nil // what it saw is what the first saw, and a hundred of them do not fit into memory
				}
				telling.Unlock()
			}
		})
	}
feed:
	for i := range results {
		select {
		case next <- i:
		case <-ctx.Done():
			results = results[:i]
			break feed
		}
	}
	close(next)
	workers.Wait()
	return results
}

// run is a whole run, in its own time.
func run(s *scenario.Scenario, o Options) *Result {
	r := &Result{Scenario: s, Seed: o.Seed}
	logTo := o.Log
	if logTo == nil {
		logTo = io.Discard
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()

	began := time.Now()
	deploy := o.World
	if deploy == nil {
		deploy = Virtual
	}
	w, err := deploy(ctx, s.Deployed, o, slog.New(slog.NewTextHandler(logTo, nil)))
	if err != nil {
		r.Failures = append(r.Failures, Failure{whole(s), "the deployment cannot be built: " + err.Error()})
		return r
	}
	p := &play{world: w, scenario: s, shown: map[string][]trace.Event{}, crowd: newCrowd(s.Deployed, w.Trace()), random: newRandom(o.Seed)}
	failed := p.steps(ctx)
	r.Failures = append(r.Failures, p.strangers.ended(failed != nil)...)
	p.views = append(p.views, w.Views(ctx)...)
	r.Findings = w.Examine(ctx, "")
	for _, f := range r.Findings {
		w.Trace().Record(trace.Event{Layer: trace.Step, Kind: finding, Host: string(f.From), Summary: f.Code + ": " + f.Subject, Data: []byte(strings.Join(f.Evidence, "\n"))})
	}
	settle(ctx, w.Trace())
	if len(p.crowd.contacts) > 0 {
		p.views = append(p.views, p.crowd.figures())
	}
	r.Views = p.views
	if err := w.Close(); err != nil {
		r.Failures = append(r.Failures, Failure{whole(s), "not everything stopped cleanly: " + err.Error()})
	}
	r.Virtual = time.Since(began)
	if o.Pcap != "" {
		if err := w.Captures(filepath.Join(o.Pcap, filepath.FromSlash(s.Name))); err != nil {
			r.Failures = append(r.Failures, Failure{whole(s), err.Error()})
		}
	}
	r.Trace = inOrder(w.Trace().Events())
	if failed != nil {
		r.Failures = append(r.Failures, *failed)
	}
	r.Failures = append(r.Failures, judgeFindings(whole(s), s.Findings, r.Findings)...)
	r.Failures = append(r.Failures, judgeAlways(whole(s), r.Trace)...)
	return r
}

func whole(s *scenario.Scenario) scenario.Pos { return scenario.Pos{File: s.File, Line: 1, Col: 1} }
