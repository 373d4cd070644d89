package doctor

import (
	"fmt"
	"slices"
	"strings"

	"fedlab/internal/strictyaml"
)

// Severity is how bad a finding is.
type Severity string

// The severities.
const (
	Error   Severity = "error"   // messages are lost or returned
	Warning Severity = "warning" // it works, with less than there should be to rely on
	Advice  Severity = "advice"  // it works, and there is a better way
)

func (s Severity) rank() int { return slices.Index([]Severity{Error, Warning, Advice}, s) }

// Entry is what the catalogue knows about a code. Texts are plain sentences.
type Entry struct {
	Code     string
	Severity Severity
	From     []Vantage // where it can be seen from
	Steps    []int     // of the field notes; none: something between the steps
	Title    string    // what is wrong, in one line
	Meaning  string    // what was seen, and what it does to messages
	Remedy   string    // what to do, and who has to
	Next     string    // what to check after that, or if the remedy is none
}

// Catalogue is every finding that can be made, by code.
func Catalogue() []Entry {
	all := slices.Concat(dnsEntries, netEntries, edgeEntries, tlsEntries, xmppEntries)
	slices.SortFunc(all, func(a, b Entry) int { return strings.Compare(a.Code, b.Code) })
	return all
}

// Codes are the codes of the catalogue, sorted.
func Codes() []string {
	var codes []string
	for _, e := range Catalogue() {
		codes = append(codes, e.Code)
	}
	return codes
}

// Lookup returns the entry of a code.
func Lookup(code string) (Entry, bool) {
	all := Catalogue()
	i, found := slices.BinarySearchFunc(all, code, func(e Entry, code string) int { return strings.Compare(e.Code, code) })
	if !found {
		return Entry{}, false
	}
	return all[i], true
}

// Explain is the entry of a code as a page of text. An unknown code is an error that names similar ones.
func Explain(code string) (string, error) {
	e, ok := Lookup(code)
	if !ok {
		return "", fmt.Errorf("there is no finding %q; %s", code, similar(code))
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s (%s)\n%s\n\n", e.Code, e.Severity, e.Title)
	fmt.Fprintf(&b, "Seen from: %s\nField notes: %s\n", list(e.From), e.steps())
	for _, part := range [][2]string{{"What it means", e.Meaning}, {"What to do", e.Remedy}, {"What to check next", e.Next}} {
		fmt.Fprintf(&b, "\n%s\n%s", part[0], indent(part[1], "  ", 100))
	}
	return b.String(), nil
}

// Markdown is the whole catalogue as a document. shows names the scenarios that show each finding, by code.
func Markdown(shows map[string][]string) string {
	var b strings.Builder
	b.WriteString("# Findings\n\nWhat the doctor can find, each with what it means and what to do. This file is generated from the catalogue in package\n" +
		"doctor and the scenarios (`go generate ./docs`); `fedlab explain CODE` shows the same.\n\n")
	b.WriteString("The doctor looks from three vantage points: the *gateway*'s own machine, the Access *Edge*, and *outside* on the Internet. An *error*\n" +
		"loses or returns messages; with a *warning* it works, with less to rely on than there should be; *advice* names a better way.\n\n")
	b.WriteString("| code | severity | seen from | step | |\n|---|---|---|---|---|\n")
	for _, e := range Catalogue() {
		fmt.Fprintf(&b, "| [`%s`](#%s) | %s | %s | %s | %s |\n", e.Code, anchor(e.Code), e.Severity, list(e.From), stepNumbers(e.Steps), e.Title)
	}
	for _, e := range Catalogue() {
		fmt.Fprintf(&b, "\n## %s\n\n**%s.** (%s, seen from %s; field notes: %s)\n\n%s\n\n*What to do:* %s\n\n*What to check next:* %s\n",
			e.Code, e.Title, e.Severity, list(e.From), e.steps(), e.Meaning, e.Remedy, e.Next)
		if names := shows[e.Code]; len(names) > 0 {
			fmt.Fprintf(&b, "\n*Shown by:* `%s`\n", strings.Join(names, "`, `"))
		}
	}
	return b.String()
}

// anchor is the name that a heading gets where Markdown is shown.
func anchor(heading string) string { return strings.ReplaceAll(heading, ".", "") }

func (e Entry) steps() string {
	switch len(e.Steps) {
	case 0:
		return "what goes wrong in the field"
	case 1:
		return "step " + stepNumbers(e.Steps)
	}
	return "steps " + stepNumbers(e.Steps)
}

func stepNumbers(steps []int) string {
	var words []string
	for _, s := range steps {
		words = append(words, fmt.Sprint(s))
	}
	return strings.Join(words, ", ")
}

func list(from []Vantage) string {
	var words []string
	for _, v := range from {
		words = append(words, string(v))
	}
	return strings.Join(words, ", ")
}

// similar says which code may be meant, or which ones by a part of several.
func similar(code string) string {
	if near := strictyaml.Nearest(code, Codes()); near != "" {
		return "did you mean " + near + "?"
	}
	others := slices.DeleteFunc(Codes(), func(c string) bool { return !strings.Contains(c, code) })
	if code != "" && len(others) > 0 {
		return "did you mean " + strings.Join(others, ", ") + "?"
	}
	return "fedlab explain without a code lists all"
}

// indent breaks text into lines of at most width characters behind prefix.
func indent(text, prefix string, width int) string {
	var b strings.Builder
	line := prefix
	for _, word := range strings.Fields(text) {
		if len(line)+1+len(word) > width && line != prefix {
			b.WriteString(strings.TrimRight(line, " ") + "\n")
			line = prefix
		}
		if line != prefix {
			line += " "
		}
		line += word
	}
	return b.String() + line + "\n"
}
