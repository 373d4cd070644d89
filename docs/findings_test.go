package docs_test

import (
	"flag"
	"os"
	"slices"
	"testing"

	"fedlab/doctor"
	"fedlab/lab/scenario"
	"fedlab/scenarios"
)

//go:generate go test -run TestFindings -update .

var update = flag.Bool("update", false, "write the generated documents")

// docs/findings.md is what the doctor's catalogue and the scenarios say.
func TestFindings(t *testing.T) {
	library := scenario.Library{FS: scenarios.Files, Dir: "(built in)", Codes: doctor.Codes()}
	all, err := library.Load()
	if err != nil {
		t.Fatal(err)
	}
	shows := map[string][]string{}
	for _, s := range all {
		for _, f := range s.Findings {
			if !slices.Contains(shows[f.Code], s.Name) {
				shows[f.Code] = append(shows[f.Code], s.Name)
			}
		}
	}
	want := doctor.Markdown(shows)
	if *update {
		if err := os.WriteFile("findings.md", []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if have, err := os.ReadFile("findings.md"); err != nil || string(have) != want {
		t.Errorf("findings.md is not what the catalogue says (%v): run go generate ./docs", err)
	}
}
