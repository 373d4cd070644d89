package report

import (
	"embed"
	"fmt"
	"html/template"
	"io"
	"strings"
	"time"
)

// Page is one scenario's page: what was built, what happened, why it failed. It is one file that loads nothing.
type Page struct {
	Run      Run
	Story    string // the scenario's own text
	Steps    []int  // of the field notes
	Source   string // the scenario's file
	Network  Network
	Ladder   Ladder
	Findings []Finding
	Views    []View
	Captures []string // files beside the page
}

// Finding is a finding with all that is known about it.
type Finding struct {
	Code, Severity, From, Subject string
	Evidence                      []string
	Meaning, Remedy, Next         string
	Steps                         []int // of the field notes
}

// View is what an engineer would have seen on a host with one of the field's tools.
type View struct {
	Title string // "netstat -ano on xmpp"
	Text  string
}

//go:embed html
var files embed.FS

var templates = template.Must(template.New("").Funcs(template.FuncMap{
	"short":  short,
	"family": func(name string) string { family, _, _ := strings.Cut(name, "/"); return family },
	"file":   FileName,
	"lower":  strings.ToLower,
	"join":   strings.Join,
	"style":  func() (template.CSS, error) { b, err := files.ReadFile("html/style.css"); return template.CSS(b), err },
	"script": func(name string) (template.JS, error) {
		b, err := files.ReadFile("html/" + name)
		return template.JS(b), err
	},
	"duration": func(d time.Duration) string { return short(d) },
}).ParseFS(files, "html/*.html"))

// FileName is the name of a scenario's page in the folder of a report.
func FileName(scenario string) string {
	return strings.NewReplacer("/", "-", " ", "-").Replace(scenario) + ".html"
}

// HTML writes the page.
func (p Page) HTML(w io.Writer) error {
	ladder, details := p.Ladder.SVG()
	return templates.ExecuteTemplate(w, "page.html", struct {
		Page
		NetworkSVG, LadderSVG template.HTML // drawn by this package, every text in them escaped
		Details               []string
		Layers                []string
	}{p, template.HTML(p.Network.SVG()), template.HTML(ladder), details, p.Ladder.layers()})
}

// layers are the layers that the ladder has arrows of, in the order of Layers.
func (l Ladder) layers() []string {
	var has []string
	for _, name := range Layers {
		for _, a := range l.Arrows {
			if a.Layer == name {
				has = append(has, name)
				break
			}
		}
	}
	return has
}

// Index writes the page that leads to the others: a matrix of families, with search, and filters by finding and result.
func Index(w io.Writer, runs []Run) error {
	type family struct {
		Name           string
		Passed, Failed int
		Runs           []Run
	}
	var families []*family
	by := map[string]*family{}
	codes := map[string]bool{}
	failed := 0
	for _, r := range runs {
		name, _, _ := strings.Cut(r.Scenario, "/")
		f := by[name]
		if f == nil {
			f = &family{Name: name}
			by[name] = f
			families = append(families, f)
		}
		f.Runs = append(f.Runs, r)
		if r.Passed() {
			f.Passed++
		} else {
			f.Failed++
			failed++
		}
		for _, c := range r.Findings {
			codes[c] = true
		}
	}
	return templates.ExecuteTemplate(w, "index.html", struct {
		Families       []*family
		Codes          []string
		Passed, Failed int
		Title          string
	}{families, sortedSet(codes), len(runs) - failed, failed, fmt.Sprintf("fedlab: %d passed, %d failed", len(runs)-failed, failed)})
}

func sortedSet(m map[string]bool) []string {
	all := map[string]string{}
	for k := range m {
		all[k] = ""
	}
	return sortedKeys(all)
}
