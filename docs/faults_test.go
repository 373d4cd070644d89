package docs_test

import (
	"os"
	"runtime"
	"slices"
	"testing"

	"fedlab/doctor"
	"fedlab/lab"
	"fedlab/lab/matrix"
	"fedlab/lab/scenario"
	"fedlab/scenarios"
)

//go:generate go test -run TestFaults -update .

// Every single fault of the catalogue has its findings and no other; what cannot be told apart from everywhere is justified; and docs/faults.md
// says so.
func TestFaults(t *testing.T) {
	library := scenario.Library{FS: scenarios.Files, Dir: "scenarios", Codes: doctor.Codes(), Quirks: lab.Quirks()}
	all, err := library.Load()
	if err != nil {
		t.Fatal(err)
	}
	m, _, failures := lab.Matrix(t.Context(), all, lab.Options{Clock: lab.VirtualTime(t), Seed: 1}, runtime.GOMAXPROCS(0))
	for _, f := range failures {
		t.Error(f)
	}
	if len(m) < 50 {
		t.Errorf("only %d faults", len(m))
	}
	var used []string
	for _, g := range m.Alike(matrix.Everywhere) {
		if g.Why == "" {
			t.Errorf("nothing says why these look the same from everywhere (%v): %v. Tell them apart in the doctor, or say why in lab/matrix/reasons.go", g.Found, g.Faults)
		}
		used = append(used, g.Why)
	}
	for key, reason := range matrix.Reasons() {
		if !slices.Contains(used, reason) {
			t.Errorf("no two faults look the same by %s any more: remove the reason from lab/matrix/reasons.go", key)
		}
	}
	upToDate(t, "faults.md", m.Markdown())
}

// upToDate compares a generated document with what it has to be, or writes it with -update.
func upToDate(t *testing.T, file, want string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(file, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if have, err := os.ReadFile(file); err != nil || string(have) != want {
		t.Errorf("docs/%s is not what a run says (%v): run go generate ./docs", file, err)
	}
}
