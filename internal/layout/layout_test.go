package layout

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"path"
	"slices"
	"strings"
	"testing"
)

const module = "fedlab"

// wall forbids imports. Patterns are import paths as of path.Match on the part behind the module's name ("gateway/*");
// "gateway/..." means the package and everything below it; a path with a dot in its first element is a library and means
// everything below it as well.
type wall struct {
	from   []string // whose imports are looked at
	except []string // … but for these
	never  []string // what they must not import, directly
	why    string
}

var pure = []string{"gateway/im", "gateway/translate", "gateway/pidf", "gateway/imdn", "gateway/route", "gateway/presence", "gateway/session"}

var walls = []wall{
	{
		from: []string{"gateway/...", "cmd/fedgate", "doctor/..."}, never: []string{"sim/...", "lab/...", "scenarios/..."},
		why: "the product does not know that it is tested",
	},
	{
		from: []string{"sim/..."}, never: []string{"gateway/...", "lab/...", "doctor/...", "scenarios/..."},
		why: "a fake that shares protocol code with the gateway shares its bugs and proves nothing",
	},
	{
		from: []string{"doctor/..."}, never: []string{"gateway/xmpps2s", "gateway/sipedge", "gateway"},
		why: "the doctor examines the gateway as well, so it speaks with its own bytes",
	},
	{
		from:  pure,
		never: []string{"net", "net/http", "os", "os/signal", "context", "sync", "sync/atomic", "log", "log/slog", "crypto/rand", "math/rand", "math/rand/v2", "time/tzdata"},
		why:   "the pure packages take time as an argument and give effects as values",
	},
	{
		from: pure, except: []string{"gateway/im"}, never: []string{"gateway/xmpps2s", "gateway/sipedge", "gateway/store", "gateway", "internal/network"},
		why: "imports go down only",
	},
	{
		from: []string{"gateway/xmpps2s"}, never: []string{"gateway/sipedge", "gateway/session", "gateway/presence", "gateway/pidf", "gateway"},
		why: "the two sides meet only in package gateway, through im values",
	},
	{
		from: []string{"gateway/sipedge"}, never: []string{"gateway/xmpps2s", "gateway"},
		why: "the two sides meet only in package gateway, through im values",
	},
	{
		from: []string{"..."}, except: []string{"gateway/sipedge", "sim/ocsedge", "lab/peers"}, never: []string{"github.com/emiago/sipgo"},
		why: "sipgo lives in sipedge, in the fake Edge and in the phones behind real servers alone",
	},
	{
		from: []string{"..."}, except: []string{"gateway/xmpps2s", "gateway/translate", "gateway/im"}, never: []string{"mellium.im/xmpp"},
		why: "mellium's sessions live in xmpps2s alone; its jid package prepares addresses in the pure packages",
	},
	{
		from: []string{"..."}, except: []string{"internal/strictyaml", "lab/scenario", "gateway/config"}, never: []string{"go.yaml.in/yaml/v3"},
		why: "YAML is read in one way: strictly, with places",
	},
	{
		from: []string{"..."}, except: []string{"sim/dns", "sim/vnet", "doctor"}, never: []string{"github.com/miekg/dns"},
		why: "DNS messages are built by the fake DNS, the virtual hosts' resolver and the doctor",
	},
	{
		from: []string{"..."}, except: []string{"lab", "e2e", "cmd/fedlab"}, never: []string{"testing", "testing/synctest"},
		why: "virtual time is had in one file of lab; products do not carry a test framework",
	},
	{
		from: []string{"..."}, except: []string{"lab/containers"}, never: []string{"github.com/testcontainers/testcontainers-go", "github.com/moby/moby"},
		why: "everything but the world of containers works without a container engine",
	},
	{
		from: []string{"lab/scenario"}, never: []string{"lab", "sim/...", "gateway/...", "doctor/..."},
		why: "the language is checked without running anything",
	},
	{
		from: []string{"lab/report"}, never: []string{"lab", "lab/scenario", "sim/vnet", "sim/googletalk", "sim/ocsedge", "sim/dns", "gateway/...", "doctor/..."},
		why: "a report is drawn from plain data",
	},
	{
		from: []string{"lab/matrix"}, never: []string{"lab", "lab/scenario", "lab/report", "sim/...", "gateway/...", "doctor/..."},
		why: "faults are compared as plain data",
	},
	{
		from: []string{"internal/..."}, never: []string{"gateway/...", "sim/...", "lab/...", "doctor/...", "cmd/..."},
		why: "imports go down only",
	},
}

// testHelpers are packages that only tests import; they may use testing.
var testHelpers = []string{"internal/network/networktest"}

func TestImportsGoDownOnly(t *testing.T) {
	for _, p := range list(t) {
		name := strings.TrimPrefix(strings.TrimPrefix(p.ImportPath, module), "/")
		for _, w := range walls {
			if !matches(w.from, name) || matches(w.except, name) || slices.Contains(testHelpers, name) {
				continue
			}
			for _, imported := range p.Imports {
				short, own := strings.CutPrefix(imported, module+"/")
				for _, never := range w.never {
					library := strings.Contains(strings.Split(never, "/")[0], ".") && never != "..."
					bad := own && match(never, short) || !own && never == imported || library && match(never+"/...", imported)
					if bad && !(library && strings.HasSuffix(imported, "mellium.im/xmpp/jid")) {
						t.Errorf("%s imports %s: %s", p.ImportPath, imported, w.why)
					}
				}
			}
		}
	}
}

func TestEveryPackageHasOneDoc(t *testing.T) {
	for _, p := range list(t) {
		if p.Name == "main" || len(p.GoFiles) == 0 {
			continue
		}
		if p.Doc == "" {
			t.Errorf("%s has no package comment: say what it is for, what it promises and who calls it", p.ImportPath)
		}
	}
}

type goPackage struct {
	ImportPath, Name, Doc string
	GoFiles, Imports      []string
}

func list(t *testing.T) []goPackage {
	t.Helper()
	out, err := exec.Command("go", "list", "-json=ImportPath,Name,Doc,GoFiles,Imports", module+"/...").Output()
	if err != nil {
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			t.Fatalf("go list: %v\n%s", err, exit.Stderr)
		}
		t.Fatalf("go list: %v", err)
	}
	var packages []goPackage
	for d := json.NewDecoder(bytes.NewReader(out)); ; {
		var p goPackage
		if err := d.Decode(&p); err == io.EOF {
			break
		} else if err != nil {
			t.Fatalf("reading go list's answer: %v", err)
		}
		packages = append(packages, p)
	}
	if len(packages) < 10 {
		t.Fatalf("go list names %d packages, which cannot be the whole project", len(packages))
	}
	return packages
}

func matches(patterns []string, name string) bool {
	return slices.ContainsFunc(patterns, func(p string) bool { return match(p, name) })
}

func match(pattern, name string) bool {
	if pattern == "..." {
		return true
	}
	if tree, ok := strings.CutSuffix(pattern, "/..."); ok {
		return name == tree || strings.HasPrefix(name, tree+"/")
	}
	ok, err := path.Match(pattern, name)
	return err == nil && ok
}

func TestMatch(t *testing.T) {
	for _, c := range []struct {
		pattern, name string
		want          bool
	}{
		{"...", "gateway/im", true},
		{"gateway/...", "gateway", true},
		{"gateway/...", "gateway/im", true},
		{"gateway/...", "gatewayx", false},
		{"gateway", "gateway/im", false},
		{"cmd/*", "cmd/fedlab", true},
	} {
		if got := match(c.pattern, c.name); got != c.want {
			t.Errorf("match(%q, %q) = %v", c.pattern, c.name, got)
		}
	}
}
