// Package matrix sets faults against findings: which fault is found from where ([Matrix]), which look the same and why they must
// ([Matrix.Alike], [Alike.Why]), and whether what is found of two faults at once follows from what is found of each ([Judge]).
//
// It takes plain values and runs nothing; package lab plants the faults and asks the doctor.
package matrix

import (
	"fmt"
	"slices"
	"strings"
	"text/tabwriter"
)

// Vantages are where findings are made from.
var vantages = [...]string{"gateway", "edge", "outside"}

// Fault is a single fault, and what is found of it.
type Fault struct {
	Name     string   `json:"fault"`          // of the scenario that plants it
	Title    string   `json:"title"`          // what is wrong
	Also     []string `json:"also,omitempty"` // further scenarios that plant the very same
	Findings Findings `json:"findings"`       // what it is found by
	About    Findings `json:"about"`          // the same with what each finding is about behind its code: "net.filtered sip.contoso.com:5061"
}

// Findings are the codes of what was found, by vantage point; sorted, each once.
type Findings map[string][]string

// Add adds a finding: a code, or a code and what it is about.
func (f Findings) Add(from, code string) {
	if !slices.Contains(f[from], code) {
		f[from] = append(f[from], code)
		slices.Sort(f[from])
	}
}

// list is what is seen from one vantage point, or from all together if it is empty, in words: "gateway net.filtered".
func (f Findings) list(from string) []string {
	var all []string
	for _, v := range vantages {
		if from == "" || from == v {
			for _, code := range f[v] {
				all = append(all, v+" "+code)
			}
		}
	}
	return all
}

// String is all findings: "gateway edge.refused, edge edge.domain-not-allowed".
func (f Findings) String() string { return strings.Join(f.list(""), ", ") }

// Matrix is every single fault.
type Matrix []Fault

// Alike are faults that cannot be told apart by their findings: neither by the codes nor by what each is about.
type Alike struct {
	From   string   `json:"from"`  // the vantage point; "all" is all three together
	Found  []string `json:"found"` // what is found of each; empty: nothing
	About  []string `json:"about"` // the same, with what it is about
	Faults []string `json:"faults"`
	Why    string   `json:"why,omitempty"` // why they must look the same, for those alike from everywhere
}

// Everywhere is the vantage point of those who look from all three.
const Everywhere = "all"

// Alike are the groups of faults that look the same from a vantage point, or from [Everywhere].
func (m Matrix) Alike(from string) []Alike {
	v := from
	if v == Everywhere {
		v = ""
	}
	var groups []Alike
	for _, f := range m {
		about := f.About.list(v)
		i := slices.IndexFunc(groups, func(g Alike) bool { return slices.Equal(g.About, about) })
		if i < 0 {
			i = len(groups)
			groups = append(groups, Alike{From: from, Found: f.Findings.list(v), About: about})
		}
		groups[i].Faults = append(groups[i].Faults, f.Name)
	}
	groups = slices.DeleteFunc(groups, func(g Alike) bool { return len(g.Faults) == 1 })
	for i := range groups {
		if from == Everywhere {
			groups[i].Why = why(groups[i])
		}
	}
	slices.SortStableFunc(groups, func(a, b Alike) int { return slices.Compare(a.About, b.About) })
	return groups
}

// AllAlike are the groups of every vantage point, and then of all together.
func (m Matrix) AllAlike() []Alike {
	var all []Alike
	for _, v := range append(vantages[:], Everywhere) {
		all = append(all, m.Alike(v)...)
	}
	return all
}

func (g Alike) words() string { return strings.Join(g.Found, ", ") }

// Text is the matrix as a table, and what looks the same.
func (m Matrix) Text() string {
	var b strings.Builder
	t := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	fmt.Fprintf(t, "fault\t%s\n", strings.Join(vantages[:], "\t"))
	for _, f := range m {
		fmt.Fprintf(t, "%s\t%s\n", f.Name, strings.Join(f.cells(), "\t"))
	}
	t.Flush() // to memory: cannot fail
	for _, g := range m.AllAlike() {
		found := "nothing"
		if len(g.Found) > 0 {
			found = strings.Join(g.About, ", ")
		}
		fmt.Fprintf(&b, "\nthe same from %s: %s\n  %s\n", g.place(), found, strings.Join(g.Faults, "\n  "))
		if g.Why != "" {
			fmt.Fprintf(&b, "  because %s\n", g.Why)
		}
	}
	return b.String()
}

func (g Alike) place() string {
	switch g.From {
	case Everywhere:
		return "all three together"
	case "outside":
		return "outside"
	}
	return "the " + g.From
}

// cells are the findings of a row, one cell a vantage point.
func (f Fault) cells() []string {
	var cells []string
	for _, v := range vantages {
		cell := strings.Join(f.Findings[v], " ")
		if cell == "" {
			cell = "-"
		}
		cells = append(cells, cell)
	}
	return cells
}
