package lab

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"fedlab/sim/trace"
)

// canonical is the trace in a form in which two equal runs are equal: the messages that people, fakes and routers saw, in
// order within each conversation, without times, ports and identifiers. Conversations stand sorted, because two things at
// one instant of virtual time may come in either order.
func canonical(events []trace.Event) string {
	conversations := map[string][]string{}
	for _, e := range events {
		var line string
		switch e.Layer {
		case trace.Client:
			line = fmt.Sprintf("%s %s %s", e.Kind, e.Item.Type, describe(e.Item))
		case trace.XMPP, trace.SIP, trace.Log, trace.TLS:
			line = e.Kind + " " + e.Summary
		default:
			continue
		}
		key := strings.Join([]string{string(e.Layer), e.Host, host(e.From), host(e.To)}, " ")
		conversations[key] = append(conversations[key], line)
	}
	var keys []string
	for k := range conversations {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	var b strings.Builder
	for _, k := range keys {
		b.WriteString(k + "\n")
		lines := conversations[k]
		if !strings.HasPrefix(k, string(trace.Client)) {
			// Several connections between the same two machines interleave freely.
			slices.Sort(lines)
		}
		for _, l := range lines {
			b.WriteString("  " + l + "\n")
		}
	}
	return b.String()
}

func host(endpoint string) string {
	if ap, err := netip.ParseAddrPort(endpoint); err == nil {
		return ap.Addr().String()
	}
	return endpoint
}

func describe(i trace.Item) string {
	var parts []string
	for _, p := range []string{i.Body, i.Condition, i.State} {
		if p != "" {
			parts = append(parts, p)
		}
	}
	if i.Code != 0 {
		parts = append(parts, fmt.Sprint(i.Code))
	}
	return strings.Join(parts, " | ")
}

// compareRuns fails b where it differs from a, another run of the same scenario with the same seed.
func compareRuns(a, b *Result) {
	switch {
	case a.Passed() != b.Passed():
		b.Failures = append(b.Failures, Failure{whole(b.Scenario), "not repeatable: another run with the same seed came to another verdict"})
	case codes(a.Findings) != codes(b.Findings):
		b.Failures = append(b.Failures, Failure{whole(b.Scenario), fmt.Sprintf("not repeatable: %s found before with the same seed, now %s", codes(a.Findings), codes(b.Findings))})
	default:
		if was, is := a.Canonical(), b.Canonical(); was != is {
			b.Failures = append(b.Failures, Failure{whole(b.Scenario), "not repeatable: the trace differs from another run with the same seed:\n" + firstDifference(was, is)})
		}
	}
}

func firstDifference(a, b string) string {
	was, is := strings.Split(a, "\n"), strings.Split(b, "\n")
	for i := range max(len(was), len(is)) {
		var before, now string
		if i < len(was) {
			before = was[i]
		}
		if i < len(is) {
			now = is[i]
		}
		if before != now {
			return fmt.Sprintf("    before: %s\n    now:    %s", before, now)
		}
	}
	return ""
}
