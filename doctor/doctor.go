// Package doctor finds out what is wrong with a deployment and says so in words that help.
//
// It looks from three vantage points, because no single one sees everything: the [Gateway]'s own machine, the Access [Edge],
// and [Outside] on the Internet. Each has an Examine method that returns findings. A [Finding] has a code, what it is about, and
// as evidence the very answer, certificate or error that was seen; what the code means, whose step of the field notes it is,
// and what to do, stands in the catalogue ([Lookup], [Explain]). A [Report] shows findings as text or JSON. The lab plants
// every fault and holds that its finding is made, and none in health.
//
// The three may run at the same time, and see more then: a connection attempt from outside leaves a trace in the gateway's socket
// table, a request of the gateway's one in the Edge's log. Therefore the gateway and the Edge watch those for [Watch] at least.
//
// An examination does no harm. It looks up names, opens TCP connections and TLS sessions, opens and closes XMPP streams without
// identifying itself (no dialback), and asks with SIP OPTIONS, which is what servers ask each other to see whether they are there;
// one of each is longer than a packet. Where that gets no answer, handshakes that nobody can accept are tried as well.
// It sends no message to anybody. Every probe ends within [Patience].
//
// The doctor judges the gateway as well and shares no protocol code with it: it writes its few bytes of SIP and XMPP itself.
// It reaches the network only through network.Network, so that the same checks run in the field and in the lab.
package doctor

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode"

	"fedlab/internal/network"
)

// Bounds of an examination.
const (
	Patience = 10 * time.Second // the longest that one probe waits for an answer
	Watch    = 9 * time.Second  // how long socket tables and logs are watched at least
	limit    = 90 * time.Second // for a whole examination, whatever happens
)

// Vantage is where a finding was made from.
type Vantage string

// The vantage points.
const (
	FromGateway Vantage = "gateway"
	FromEdge    Vantage = "edge"
	FromOutside Vantage = "outside"
)

// Finding is one thing that is wrong, or that could be better.
type Finding struct {
	Code     string   // the entry of the catalogue
	From     Vantage  // who saw it
	Subject  string   // what it is about: a name, an address, a domain
	Evidence []string // what was seen, verbatim where possible, one fact a line
}

// Entry is what the catalogue says about the finding.
func (f Finding) Entry() Entry {
	e, _ := Lookup(f.Code)
	return e
}

// Severity is how bad it is.
func (f Finding) Severity() Severity { return f.Entry().Severity }

// exam is one examination: probes report to it from their goroutines.
type exam struct {
	from  Vantage
	net   network.Network
	began time.Time

	mu       sync.Mutex
	findings []Finding
	answers  map[string]*lookup // addresses of names that were looked up, so that each is asked once
	dials    map[string]*dialed // TCP probes by address, likewise
}

func newExam(from Vantage, n network.Network) *exam {
	return &exam{from: from, net: n, began: time.Now(), answers: map[string]*lookup{}, dials: map[string]*dialed{}}
}

// find makes a finding. What was already found about the same subject gets the evidence that it does not have yet.
func (x *exam) find(code, subject string, evidence ...string) {
	subject = tame(subject)
	x.mu.Lock()
	defer x.mu.Unlock()
	i := slices.IndexFunc(x.findings, func(f Finding) bool { return f.Code == code && f.Subject == subject })
	if i < 0 {
		x.findings = append(x.findings, Finding{Code: code, From: x.from, Subject: subject})
		i = len(x.findings) - 1
	}
	f := &x.findings[i]
	for _, e := range evidence {
		if e = tame(e); e != "" && !slices.Contains(f.Evidence, e) {
			f.Evidence = append(f.Evidence, e)
		}
	}
}

// longest is how much of one fact is shown, in characters.
const longest = 600

// tame makes text that may hold a stranger's words fit to be shown: printable, on one line, and not too long.
func tame(text string) string {
	n := 0
	clean := strings.Map(func(r rune) rune {
		if n++; n > longest {
			return -1
		}
		if !unicode.IsPrint(r) {
			return '?'
		}
		return r
	}, strings.TrimSpace(text))
	if n > longest {
		clean += " …"
	}
	return clean
}

// result is the findings, the worst first, in an order that does not depend on which probe ended first.
func (x *exam) result() []Finding {
	x.mu.Lock()
	defer x.mu.Unlock()
	slices.SortFunc(x.findings, byWeight)
	return x.findings
}

func byWeight(a, b Finding) int {
	return cmp.Or(cmp.Compare(a.Severity().rank(), b.Severity().rank()), strings.Compare(a.Code, b.Code),
		strings.Compare(string(a.From), string(b.From)), strings.Compare(a.Subject, b.Subject))
}

// untilWatched waits until the examination has lasted for Watch, or ctx ends.
func (x *exam) untilWatched(ctx context.Context) {
	t := time.NewTimer(time.Until(x.began.Add(Watch)))
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}

// each runs f for every element at the same time and returns the results in order.
func each[T, R any](all []T, f func(T) R) []R {
	results := make([]R, len(all))
	var wg sync.WaitGroup
	for i, v := range all {
		wg.Go(func() { results[i] = f(v) })
	}
	wg.Wait()
	return results
}
