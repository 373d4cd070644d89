package lab

import (
	"testing"

	"fedlab/doctor"
	"fedlab/lab/scenario"
	"fedlab/scenarios"
)

// Of a hundred runs that agree one keeps its trace: all of them would not fit into memory.
func TestRepetitionsKeepNoTrace(t *testing.T) {
	library := scenario.Library{FS: scenarios.Files, Dir: "scenarios", Codes: doctor.Codes(), Quirks: Quirks()}
	all, err := library.Load("health/first-message-from-gmail", "health/first-message-to-gmail")
	if err != nil {
		t.Fatal(err)
	}
	kept := map[string]int{}
	for _, r := range RunAll(t.Context(), all, Options{Clock: VirtualTime(t), Seed: 1}, 4, 2, nil) {
		if !r.Passed() {
			t.Errorf("%s: %v", r.Scenario.Name, r.Failures)
		}
		if r.Trace != nil {
			kept[r.Scenario.Name]++
		}
	}
	for _, s := range all {
		if kept[s.Name] != 1 {
			t.Errorf("%d traces of %s are kept", kept[s.Name], s.Name)
		}
	}
	// One that was asked for twice is no repetition.
	for i, r := range RunAll(t.Context(), append(all[:1:1], all[0]), Options{Clock: VirtualTime(t), Seed: 1}, 1, 2, nil) {
		if r.Trace == nil {
			t.Errorf("run %d has no trace", i)
		}
	}
}
