package lab

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"fedlab/lab/report"
	"fedlab/sim/trace"
)

// Exhibit is what a run shows of one of its findings, for the gallery. It holds nothing that differs between two runs: no random keys, no
// ports that a machine chose, no moments. ok is false if the run did not make the finding.
func (r *Result) Exhibit(code string) (e report.Exhibit, ok bool) {
	page := r.Page()
	i := slices.IndexFunc(page.Findings, func(f report.Finding) bool { return f.Code == code })
	if i < 0 {
		return e, false
	}
	f := page.Findings[i]
	for i := range f.Evidence {
		f.Evidence[i] = steady(f.Evidence[i])
	}
	e = report.Exhibit{
		Finding: f, Title: r.Findings[i].Entry().Title, Scenario: r.Scenario.Name, Summary: r.Scenario.Title,
		Story: strings.Join(strings.Fields(r.Scenario.Story), " "), Network: page.Network,
	}
	for _, event := range r.Trace {
		if event.Layer == trace.Client && len(e.Users) < mostUsers {
			e.Users = append(e.Users, seenByUser(event))
		}
	}
	e.Views = r.logs()
	for _, v := range r.Views {
		if strings.HasSuffix(v.Title, atTheEnd) {
			continue // the report has it
		}
		lines := strings.Split(steady(strings.TrimRight(v.Text, "\n")), "\n")
		if strings.HasPrefix(v.Title, "netstat") {
			slices.Sort(lines)
			lines = slices.Compact(lines)
		}
		e.Views = append(e.Views, report.View{Title: v.Title, Text: strings.Join(lines, "\n")})
	}
	return e, true
}

// logs are the first lines that machines wrote into their logs, each once.
func (r *Result) logs() []report.View {
	events := slices.DeleteFunc(slices.Clone(r.Trace), func(e trace.Event) bool { return e.Layer != trace.Log })
	// Two machines at one instant come in either order.
	slices.SortStableFunc(events, func(a, b trace.Event) int {
		return cmp.Or(a.At.Compare(b.At), strings.Compare(steady(a.Summary), steady(b.Summary)))
	})
	lines := map[string][]string{}
	for _, e := range events {
		if line := steady(e.Summary); len(lines[e.Host]) < mostLog && !slices.Contains(lines[e.Host], line) {
			lines[e.Host] = append(lines[e.Host], line)
		}
	}
	var views []report.View
	for _, host := range sorted(lines) {
		views = append(views, report.View{Title: "the log of " + host, Text: strings.Join(lines[host], "\n")})
	}
	return views
}

// atTheEnd ends the titles of what was looked at when the steps were done.
const atTheEnd = " at the end"

// mostUsers bounds what an exhibit says of users.
const mostUsers = 12

// mostLog bounds what it says of a log.
const mostLog = 4

func seenByUser(e trace.Event) string {
	switch {
	case e.Kind == trace.Sent && e.Item.Type == trace.Message:
		return fmt.Sprintf("%s writes to %s: %s", e.From, e.To, e.Item.Body)
	case e.Kind == trace.Sent:
		return fmt.Sprintf("%s to %s: %s %s", e.From, e.To, e.Item.Type, describe(e.Item))
	case e.Item.Type == trace.Message:
		return fmt.Sprintf("%s reads, from %s: %s", e.To, e.From, e.Item.Body)
	case e.Item.Type == trace.Error:
		reason := e.Item.Condition
		if e.Item.Code != 0 {
			reason = fmt.Sprint(e.Item.Code)
		}
		return fmt.Sprintf("%s is told that %q did not reach %s: %s", e.To, e.Item.Body, e.From, reason)
	}
	return fmt.Sprintf("%s sees of %s: %s %s", e.To, e.From, e.Item.Type, describe(e.Item))
}

var (
	fingerprint = regexp.MustCompile(`(?i)\b[0-9a-f]{40,64}\b|\b(?:[0-9a-f]{2}:){8,}[0-9a-f]{2}\b`)
	moment      = regexp.MustCompile(`\d{4}-\d\d-\d\dT[\d:.]+Z ?`)
	chosenPort  = regexp.MustCompile(`:(3[3-9]|[45]\d|6[0-5])\d{3}\b`)
)

// steady is text without what differs from run to run.
func steady(text string) string {
	text = moment.ReplaceAllString(fingerprint.ReplaceAllString(text, "…"), "")
	return chosenPort.ReplaceAllString(text, ":…")
}
