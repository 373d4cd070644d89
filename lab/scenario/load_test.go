package scenario

import (
	"errors"
	"flag"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"fedlab/internal/strictyaml"
	"fedlab/scenarios"
)

var update = flag.Bool("update", false, "write the golden files anew")

// codes are some that the doctor knows; the catalogue's own are checked where the doctor can be imported.
var codes = []string{"dns.srv-missing", "dns.srv-target-unresolvable", "net.filtered", "net.refused", "tls.name-mismatch", "tls.expired"}

func catalogue() Library { return Library{FS: scenarios.Files, Dir: "scenarios"} }

// The catalogue itself is in order, and every scenario tells its story.
func TestCatalogueLoads(t *testing.T) {
	all, err := catalogue().Load()
	if err != nil {
		t.Fatal(err)
	}
	if len(all) < 30 {
		t.Errorf("only %d scenarios", len(all))
	}
	for _, s := range all {
		if s.Story == "" || s.Deployed == nil || len(s.Steps) == 0 {
			t.Errorf("%s lacks its story, deployment or steps", s.Name)
		}
	}
}

// The messages are what people get, so a reviewer should read the golden files.
//   - testdata/mistakes: every mistake that the language knows
//   - testdata/newcomer: what somebody writes on the first day, with the tutorial beside the keyboard
func TestMistakes(t *testing.T) {
	for _, dir := range []string{"mistakes", "newcomer"} {
		t.Run(dir, func(t *testing.T) { testMistakes(t, filepath.Join("testdata", dir)) })
	}
}

// useful is what a message has to hold besides the place: what was probably meant, what there is, or how it is written.
var useful = regexp.MustCompile(`did you mean|; known are|such as|has to |needs |lacks the key|write |stands here a second time|put it into|YAML wants|nothing in this file uses|none to remove|may hold|one thing to do|is not the address of|what runs is on`)

func testMistakes(t *testing.T, dir string) {
	files, err := filepath.Glob(filepath.Join(dir, "*.yaml"))
	if err != nil || len(files) < 10 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		library := catalogue()
		library.Codes = codes
		_, err = library.Parse(filepath.Base(file), data)
		var all *strictyaml.Errors
		if !errors.As(err, &all) {
			t.Errorf("%s: no mistakes: %v", file, err)
			continue
		}
		for _, m := range all.Mistakes {
			if m.File != filepath.Base(file) || m.Line == 0 || m.Col == 0 {
				t.Errorf("%s: a mistake is said to be at %s: %s", file, m.Pos, m.Message)
			}
			if dir == "testdata/newcomer" && !useful.MatchString(m.Error()) {
				t.Errorf("%s: what is somebody to do who reads this? %s", file, m.Error())
			}
		}
		golden := strings.TrimSuffix(file, ".yaml") + ".golden"
		got := err.Error() + "\n"
		if *update {
			if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(golden)
		if err != nil {
			t.Fatal(err)
		}
		if got != string(want) {
			t.Errorf("%s: got\n%s\nwant\n%s", file, got, want)
		}
	}
}

func names(all []*Scenario) []string {
	var list []string
	for _, s := range all {
		list = append(list, s.Name)
	}
	return list
}

// small is a library with two families, rows, and topologies that extend each other.
func small() fstest.MapFS {
	const scenario = "# Nothing happens.\n#\n# At all.\ntitle: T\ntopology: small\nsteps:\n  - wait: 1s\n"
	return fstest.MapFS{
		"topologies/small.yaml": {Data: []byte(`
title: Small
segments: {lan: {prefixes: [10.0.0.0/24]}}
hosts:
  a: {interfaces: {lan: 10.0.0.1/24}}
  b: {interfaces: {lan: 10.0.0.2/24}, resolver: [10.0.0.1]}
`)},
		"topologies/smaller.yaml": {Data: []byte("title: Smaller\nextends: small\nhosts: {b: null, c: {interfaces: {lan: 10.0.0.3/24}}}\n")},
		"topologies/loop.yaml":    {Data: []byte("title: Loop\nextends: loop\n")},
		"one/first.yaml":          {Data: []byte(scenario)},
		"one/second.yaml":         {Data: []byte(strings.Replace(scenario, "small", "smaller", 1))},
		"load/heavy.yaml":         {Data: []byte(scenario)},
		"peers/real.yaml":         {Data: []byte(scenario)},
		"two/rows.yaml": {Data: []byte(`title: Wait $(time) at $(host)
topology: small
rows:
  - {name: short, time: 1s, host: a, extra: {resolver: [10.0.0.2]}}
  - {name: long, time: 1h, host: b, extra: {resolver: null}}
patch: {hosts: {$(host): $(extra)}}
steps:
  - wait: $(time)
  - netstat: {on: $(host), none: ESTABLISHED}
`)},
	}
}

func TestSelectors(t *testing.T) {
	library := Library{FS: small(), Dir: "s"}
	tests := []struct {
		selectors, want string
	}{
		{"", "one/first one/second two/rows/long two/rows/short"},
		{"one", "one/first one/second"},
		{"one/", "one/first one/second"},
		{"one/...", "one/first one/second"},
		{"one/…", "one/first one/second"},
		{"one/second one/first one", "one/first one/second"},
		{"two/rows", "two/rows/long two/rows/short"},
		{"two/rows/short", "two/rows/short"},
		{"load", "load/heavy"},
		{"peers", "peers/real"},
	}
	for _, tt := range tests {
		all, err := library.Load(strings.Fields(tt.selectors)...)
		if got := strings.Join(names(all), " "); err != nil || got != tt.want {
			t.Errorf("%q selects %q, %v; want %q", tt.selectors, got, err, tt.want)
		}
	}
	for selector, want := range map[string]string{
		"one/frist": `did you mean "one/first"?`, "frist": `did you mean "one/first"?`, "tow": `did you mean "two"?`,
		"laod/...": `did you mean "load"?`, "s/one": `did you mean "one"?`, "peer": `did you mean "peers"?`, "testdata": `files have to be named: testdata/*.yaml`,
		"nothing-like-it": `"nothing-like-it"`, "two/rows/none": `"two/rows/none"`,
	} {
		_, err := library.Load(selector)
		if !errors.Is(err, ErrNoScenario) || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %s", selector, err, want)
		}
	}
	if _, err := library.Load("no/file.yaml"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a file that is not there: %v", err)
	}
}

func TestRowsExtendsAndStory(t *testing.T) {
	library := Library{FS: small(), Dir: "s"}
	all, err := library.Load("two/rows", "one")
	if err != nil {
		t.Fatal(err)
	}
	by := map[string]*Scenario{}
	for _, s := range all {
		by[s.Name] = s
	}
	if s := by["two/rows/long"]; s.Title != "Wait 1h at b" || s.Steps[0].Wait.Duration.String() != "1h0m0s" || len(s.Deployed.Hosts["b"].Resolver) != 0 {
		t.Errorf("row long: %+v", s)
	}
	if s := by["two/rows/short"]; s.Deployed.Hosts["a"].Resolver[0].String() != "10.0.0.2" || s.Steps[1].Netstat.On != "a" || s.Steps[1].Pos.Line != 9 {
		t.Errorf("row short: %+v", s)
	}
	if s := by["one/second"]; !slices.Equal(slices.Sorted(maps.Keys(s.Deployed.Hosts)), []string{"a", "c"}) || s.Deployed.Title != "Smaller" {
		t.Errorf("extends: %+v", s.Deployed)
	}
	if got := by["one/first"].Story; got != "Nothing happens.\n\nAt all." {
		t.Errorf("story %q", got)
	}
}

// A mistake in a topology is reported there, once, however many scenarios use it.
func TestMistakesOfTopologies(t *testing.T) {
	files := small()
	files["topologies/small.yaml"].Data = []byte(strings.Replace(string(files["topologies/small.yaml"].Data), "10.0.0.2/24}", "10.0.0.1/24}", 1))
	_, err := Library{FS: files, Dir: "s"}.Load("one/first", "two")
	if got := err.Error(); strings.Count(got, "has it already") != 1 || !strings.Contains(got, "s/topologies/small.yaml:6:25: host b has 10.0.0.1") {
		t.Errorf("got %v", err)
	}
	files["one/first.yaml"].Data = []byte("title: T\ntopology: loop\n")
	if _, err := (Library{FS: files, Dir: "s"}).Load("one/first"); err == nil || !strings.Contains(err.Error(), "extends itself") {
		t.Errorf("a topology that extends itself: %v", err)
	}
}

// Parsing what a stranger wrote ends, and says something.
func FuzzParse(f *testing.F) {
	library := catalogue()
	files, err := fs.Glob(scenarios.Files, "*/*.yaml")
	if err != nil {
		f.Fatal(err)
	}
	for _, file := range files {
		data, err := fs.ReadFile(scenarios.Files, file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		all, err := library.Parse("family/name.yaml", data)
		if err == nil && len(all) == 0 {
			t.Error("neither a scenario nor a mistake")
		}
		for _, s := range all {
			if err == nil && s.Deployed == nil {
				t.Errorf("%+v is not deployed", s)
			}
		}
	})
}
