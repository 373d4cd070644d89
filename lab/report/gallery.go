package report

import (
	"fmt"
	"slices"
	"strings"
)

// Exhibit is one finding as the gallery shows it: what an administrator saw, and what it was. All of it comes from a run.
type Exhibit struct {
	Finding  Finding  // with all that the catalogue knows about it
	Title    string   // of the finding
	Scenario string   // that was run
	Summary  string   // its title
	Story    string   // its text
	Users    []string // what users did and were shown, one a line
	Views    []View   // what the field's tools and the machines' logs showed
	Network  Network
}

// Picture is the name of the exhibit's picture in the gallery's folder.
func (e Exhibit) Picture() string { return e.Finding.Code + ".svg" }

// Page is the name of the exhibit's page in the gallery's folder.
func (e Exhibit) Page() string { return e.Finding.Code + ".md" }

// Markdown is the exhibit's page.
func (e Exhibit) Markdown() string {
	var b strings.Builder
	f := e.Finding
	from := f.From
	if from != "outside" {
		from = "the " + from
	}
	fmt.Fprintf(&b, "# %s\n\n`%s`, %s, seen from %s\n\n## What one sees\n\n", e.Title, f.Code, f.Severity, from)
	if len(e.Users) > 0 {
		fenced(&b, strings.Join(e.Users, "\n"))
	}
	for _, v := range e.Views {
		fenced(&b, "> "+v.Title+"\n"+strings.TrimRight(v.Text, "\n"))
	}
	fmt.Fprintf(&b, "![The deployment: what differs is drawn with a broken line, where something was stopped in red](%s)\n\n", e.Picture())
	fmt.Fprintf(&b, "## What it is\n\n%s. %s\n\nWhat the doctor saw from %s, about %s:\n\n", e.Summary, e.Story, from, f.Subject)
	fenced(&b, strings.Join(f.Evidence, "\n"))
	fmt.Fprintf(&b, "%s\n\n## What to do\n\n%s\n\nThen: %s\n\n", f.Meaning, f.Remedy, f.Next)
	fmt.Fprintf(&b, "This page is made from a run; all of it, with every message, is shown by `fedlab run --report out %s`.\n", e.Scenario)
	return b.String()
}

func fenced(b *strings.Builder, text string) { fmt.Fprintf(b, "```\n%s\n```\n\n", text) }

// Gallery is the page that leads to the exhibits. missing are the codes of findings that no scenario shows.
func Gallery(all []Exhibit, missing []string) string {
	var b strings.Builder
	b.WriteString("# Gallery\n\nWhat people see when a federation does not work, and what it is: one page for each of the doctor's findings. All of it is generated from\n" +
		"passing runs of the scenarios (`make gallery`).\n\n| what one sees | where | finding |\n|---|---|---|\n")
	for _, e := range all {
		fmt.Fprintf(&b, "| [%s](%s) | %s | `%s` |\n", e.Title, e.Page(), e.Finding.From, e.Finding.Code)
	}
	if len(missing) > 0 {
		slices.Sort(missing)
		fmt.Fprintf(&b, "\nNo scenario shows these, which the doctor's own tests plant: `%s`.\n", strings.Join(missing, "`, `"))
	}
	return b.String()
}

// alone is the style of a picture that stands in a file of its own, in light and in dark.
const alone = `<style>
svg { --back:#fff; --text:#1b1f24; --dim:#59636e; --line:#c9d1d9; --box:#f3f5f8; --good:#1a6e34; --bad:#b3261e; --mark:#8a5a00 }
@media (prefers-color-scheme: dark) { svg { --back:#0f1318; --text:#e6e9ed; --dim:#9aa5b1; --line:#3a434d; --box:#1a2028; --good:#5fce83; --bad:#ff8a80; --mark:#f0c060 } }
text { font:12px ui-monospace, monospace; fill:var(--text) } .name { font-weight:700 } .line, .address { fill:var(--dim) } .wire { stroke:var(--line); stroke-width:1.5 }
.segment rect { fill:var(--box); stroke:var(--line) } .node rect { fill:var(--back); stroke:var(--dim); stroke-width:1.2 }
.node.path rect { stroke:var(--good); stroke-width:2.5 } .node.planted rect { stroke:var(--mark); stroke-width:2.5; stroke-dasharray:6 3 } .node.stopped rect { stroke:var(--bad); stroke-width:3 }
</style>
`

// File is the picture as a file of its own.
func (n Network) File() string {
	svg := n.SVG()
	head := strings.Index(svg, "\n") + 1
	return svg[:head] + alone + svg[head:]
}
