// Package report shows what came of scenarios: a table for the terminal, one JSON object per run for scripts, JUnit for CI.
// Plain data goes in and text comes out; package report knows neither the lab nor the language of scenarios. cmd/fedlab calls it.
package report

import (
	"cmp"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"io"
	"strings"
	"time"
)

// Run is one run of one scenario.
type Run struct {
	Scenario string // FAMILY/NAME
	Selector string // what to call it on the command line; empty: Scenario
	Title    string
	Seed     uint64
	Wall     time.Duration
	Virtual  time.Duration
	Findings []string // codes
	Failures []Failure
}

// Failure is one reason why a run failed.
type Failure struct {
	File    string
	Line    int
	Message string
}

// Passed reports whether nothing failed.
func (r Run) Passed() bool { return len(r.Failures) == 0 }

// Command is what repeats the run.
func (r Run) Command() string {
	return fmt.Sprintf("fedlab run --seed %d %s", r.Seed, cmp.Or(r.Selector, r.Scenario))
}

// JSON writes r as one line, in the form that scripts depend on.
func JSON(w io.Writer, r Run) error {
	type failure struct {
		Line    int    `json:"line"`
		Message string `json:"message"`
	}
	line := struct {
		Scenario  string    `json:"scenario"`
		Title     string    `json:"title"`
		Passed    bool      `json:"passed"`
		Seed      uint64    `json:"seed"`
		WallMS    float64   `json:"wall_ms"`
		VirtualMS float64   `json:"virtual_ms"`
		Findings  []string  `json:"findings"`
		Failures  []failure `json:"failures"`
	}{r.Scenario, r.Title, r.Passed(), r.Seed, milliseconds(r.Wall), milliseconds(r.Virtual), r.Findings, []failure{}}
	if line.Findings == nil {
		line.Findings = []string{}
	}
	for _, f := range r.Failures {
		line.Failures = append(line.Failures, failure{f.Line, f.Message})
	}
	return json.NewEncoder(w).Encode(line)
}

func milliseconds(d time.Duration) float64 {
	return float64(d.Round(10*time.Microsecond)) / float64(time.Millisecond)
}

// Table writes the runs by family, each with its times, and a last line that counts.
func Table(w io.Writer, runs []Run) error {
	width := 0
	for _, r := range runs {
		_, name, _ := strings.Cut(r.Scenario, "/")
		width = max(width, len(name))
	}
	var t strings.Builder
	family := ""
	var wall, virtual time.Duration
	failed := 0
	for _, r := range runs {
		of, name, _ := strings.Cut(r.Scenario, "/")
		if of != family {
			t.WriteString(of + "\n")
			family = of
		}
		verdict := "ok"
		if !r.Passed() {
			verdict = "FAILED"
			failed++
		}
		line := fmt.Sprintf("  %-6s %-*s %6s %6s  %s", verdict, width, name, short(r.Wall), short(r.Virtual), strings.Join(r.Findings, " "))
		t.WriteString(strings.TrimRight(line, " ") + "\n")
		wall += r.Wall
		virtual += r.Virtual
	}
	if _, err := io.WriteString(w, t.String()); err != nil {
		return err
	}
	_, err := fmt.Fprintf(w, "\n%d passed, %d failed\n%s of virtual time in %s of work\n", len(runs)-failed, failed, short(virtual), short(wall))
	return err
}

// short writes a duration with three digits or so: what people compare at a glance.
func short(d time.Duration) string {
	switch {
	case d < time.Second:
		return fmt.Sprintf("%dms", d.Round(time.Millisecond).Milliseconds())
	case d < time.Minute:
		return fmt.Sprintf("%.1fs", d.Seconds())
	case d < time.Hour:
		return fmt.Sprintf("%dm%02ds", int(d.Minutes()), int(d.Seconds())%60)
	default:
		return fmt.Sprintf("%dh%02dm", int(d.Hours()), int(d.Minutes())%60)
	}
}

// Explain writes why r failed, and the command that repeats it.
func Explain(w io.Writer, r Run) error {
	if r.Passed() {
		return nil
	}
	var b strings.Builder
	fmt.Fprintf(&b, "\n%s: %s\n", r.Scenario, r.Title)
	for _, f := range r.Failures {
		fmt.Fprintf(&b, "  %s:%d: %s\n", f.File, f.Line, strings.ReplaceAll(strings.TrimRight(f.Message, "\n"), "\n", "\n  "))
	}
	if len(r.Findings) > 0 {
		fmt.Fprintf(&b, "  the doctor found: %s\n", strings.Join(r.Findings, " "))
	}
	fmt.Fprintf(&b, "  repeat it with: %s\n", r.Command())
	_, err := io.WriteString(w, b.String())
	return err
}

// JUnit writes the runs in the XML form that CI systems read: a test suite per family, times in seconds of wall time.
func JUnit(w io.Writer, runs []Run) error {
	type failure struct {
		Message string `xml:"message,attr"`
		Text    string `xml:",chardata"`
	}
	type testCase struct {
		Class    string    `xml:"classname,attr"`
		Name     string    `xml:"name,attr"`
		Time     string    `xml:"time,attr"`
		Failures []failure `xml:"failure"`
	}
	type suite struct {
		Name     string     `xml:"name,attr"`
		Tests    int        `xml:"tests,attr"`
		Failures int        `xml:"failures,attr"`
		Cases    []testCase `xml:"testcase"`
	}
	var suites []*suite
	by := map[string]*suite{}
	for _, r := range runs {
		family, name, _ := strings.Cut(r.Scenario, "/")
		s := by[family]
		if s == nil {
			s = &suite{Name: family}
			by[family] = s
			suites = append(suites, s)
		}
		c := testCase{Class: family, Name: name, Time: fmt.Sprintf("%.3f", r.Wall.Seconds())}
		for _, f := range r.Failures {
			first, _, _ := strings.Cut(f.Message, "\n")
			c.Failures = append(c.Failures, failure{first, fmt.Sprintf("%s:%d: %s", f.File, f.Line, f.Message)})
		}
		s.Tests++
		if !r.Passed() {
			s.Failures++
		}
		s.Cases = append(s.Cases, c)
	}
	if _, err := io.WriteString(w, xml.Header); err != nil {
		return err
	}
	e := xml.NewEncoder(w)
	e.Indent("", "  ")
	if err := e.Encode(struct {
		XMLName xml.Name `xml:"testsuites"`
		Suites  []*suite `xml:"testsuite"`
	}{Suites: suites}); err != nil {
		return err
	}
	_, err := io.WriteString(w, "\n")
	return err
}
