package doctor

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
)

// Report is the findings of one or more vantage points, for people and for programs.
type Report struct {
	From     []Vantage // who looked
	Findings []Finding
}

// NewReport puts findings in order: the worst first.
func NewReport(from []Vantage, findings ...[]Finding) Report {
	all := slices.Concat(findings...)
	slices.SortStableFunc(all, byWeight)
	return Report{From: from, Findings: all}
}

// Text writes the report for people: what is wrong, what was seen, what to do.
func (r Report) Text(w io.Writer) error {
	var b strings.Builder
	if len(r.Findings) == 0 {
		fmt.Fprintf(&b, "No findings. Looked from: %s.\n", list(r.From))
	}
	for i, f := range r.Findings {
		e := f.Entry()
		if i > 0 {
			b.WriteByte('\n')
		}
		fmt.Fprintf(&b, "%s %s: %s\n", strings.ToUpper(string(e.Severity)), f.Code, f.Subject)
		fmt.Fprintf(&b, "  %s (seen from %s; field notes: %s).\n", e.Title, where(f.From), e.steps())
		for _, line := range f.Evidence {
			fmt.Fprintf(&b, "    %s\n", strings.ReplaceAll(line, "\n", "\n      "))
		}
		b.WriteString(indent("To do: "+e.Remedy, "  ", 110))
		b.WriteString(indent("Next: "+e.Next, "  ", 110))
	}
	if len(r.Findings) > 0 {
		fmt.Fprintf(&b, "\n%s. Looked from: %s. fedlab explain CODE tells more.\n", r.count(), list(r.From))
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// where is a vantage point in a sentence.
func where(v Vantage) string {
	if v == FromOutside {
		return "outside"
	}
	return "the " + string(v)
}

func (r Report) count() string {
	n := map[Severity]int{}
	for _, f := range r.Findings {
		n[f.Severity()]++
	}
	var words []string
	for _, s := range []struct {
		of        Severity
		one, many string
	}{{Error, "error", "errors"}, {Warning, "warning", "warnings"}, {Advice, "piece of advice", "pieces of advice"}} {
		switch n[s.of] {
		case 0:
		case 1:
			words = append(words, "1 "+s.one)
		default:
			words = append(words, fmt.Sprintf("%d %s", n[s.of], s.many))
		}
	}
	return strings.Join(words, ", ")
}

// jsonFinding is a finding as programs read it. Names are stable.
type jsonFinding struct {
	Code     string   `json:"code"`
	Severity Severity `json:"severity"`
	From     Vantage  `json:"from"`
	Subject  string   `json:"subject"`
	Steps    []int    `json:"steps"`
	Title    string   `json:"title"`
	Evidence []string `json:"evidence"`
	Remedy   string   `json:"remedy"`
	Next     string   `json:"next"`
}

// JSON writes the report as one JSON object with the members from and findings.
func (r Report) JSON(w io.Writer) error {
	out := struct {
		From     []Vantage     `json:"from"`
		Findings []jsonFinding `json:"findings"`
	}{r.From, []jsonFinding{}}
	for _, f := range r.Findings {
		e := f.Entry()
		out.Findings = append(out.Findings, jsonFinding{f.Code, e.Severity, f.From, f.Subject, nonNil(e.Steps), e.Title, nonNil(f.Evidence), e.Remedy, e.Next})
	}
	encoder := json.NewEncoder(w)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	return encoder.Encode(out)
}

func nonNil[T any](s []T) []T {
	if s == nil {
		return []T{}
	}
	return s
}
