package docs_test

import (
	"cmp"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"testing"

	"fedlab/doctor"
	"fedlab/lab"
	"fedlab/lab/report"
	"fedlab/lab/scenario"
	"fedlab/scenarios"
)

//go:generate go test -run TestGallery -update .

// docs/gallery is what runs show: for each finding the scenario that has the fewest others.
func TestGallery(t *testing.T) {
	library := scenario.Library{FS: scenarios.Files, Dir: "scenarios", Codes: doctor.Codes(), Quirks: lab.Quirks()}
	all, err := library.Load()
	if err != nil {
		t.Fatal(err)
	}
	var exhibited, missing []string
	var shown []*scenario.Scenario
	for _, code := range doctor.Codes() {
		if s := best(all, code); s != nil {
			exhibited, shown = append(exhibited, code), append(shown, s)
		} else {
			missing = append(missing, code)
		}
	}
	results := lab.RunAll(t.Context(), shown, lab.Options{Clock: lab.VirtualTime(t), Seed: 1}, 1, runtime.GOMAXPROCS(0), nil)
	files := map[string]string{}
	var exhibits []report.Exhibit
	for i, r := range results {
		e, ok := r.Exhibit(exhibited[i])
		if !ok || !r.Passed() {
			t.Errorf("%s does not show %s: %v", r.Scenario.Name, exhibited[i], r.Failures)
			continue
		}
		exhibits = append(exhibits, e)
		files[e.Page()], files[e.Picture()] = e.Markdown(), e.Network.File()
		if size := len(files[e.Picture()]); size > 60<<10 {
			t.Errorf("%s has %d bytes", e.Picture(), size)
		}
	}
	files["README.md"] = report.Gallery(exhibits, missing)
	folder(t, "gallery", files)
}

// best is the scenario that shows a finding and as little else as possible, the first of several.
func best(all []*scenario.Scenario, code string) *scenario.Scenario {
	var showing []*scenario.Scenario
	for _, s := range all {
		if slices.ContainsFunc(s.Findings, func(f scenario.Expected) bool { return f.Code == code }) {
			showing = append(showing, s)
		}
	}
	if len(showing) == 0 {
		return nil
	}
	return slices.MinFunc(showing, func(a, b *scenario.Scenario) int { return cmp.Compare(others(a, code), others(b, code)) })
}

func others(s *scenario.Scenario, code string) int {
	n := 0
	for _, f := range s.Findings {
		if f.Code != code {
			n++
		}
	}
	return n
}

// folder compares a folder of generated files with what it has to hold, or writes it with -update.
func folder(t *testing.T, dir string, want map[string]string) {
	t.Helper()
	if *update {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	have, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range have {
		if _, wanted := want[filepath.Base(file)]; wanted {
			continue
		}
		if !*update {
			t.Errorf("docs/%s is not generated any more: run make gallery", file)
		} else if err := os.Remove(file); err != nil {
			t.Fatal(err)
		}
	}
	for name, text := range want {
		upToDate(t, filepath.Join(dir, name), text)
	}
}
