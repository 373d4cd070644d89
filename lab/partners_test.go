package lab

import (
	"strings"
	"testing"

	"fedlab/lab/scenario"
	"fedlab/scenarios"
	"fedlab/sim/googletalk"
	"fedlab/sim/trace"
)

// What proves the two domains to each other is seen on the wire, not taken from the settings.
func TestPartnersProofs(t *testing.T) {
	all, err := library().Load("health/partners")
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range all {
		r := Run(s, Options{Clock: VirtualTime(t)})
		if !r.Passed() {
			t.Errorf("%s: %v", s.Name, r.Failures)
		}
		handshakes, external, keys := 0, 0, 0
		for _, e := range r.Trace {
			if e.Host != "hermes2" {
				continue
			}
			switch {
			case e.Layer == trace.TLS && e.Kind == trace.Passed:
				handshakes++
			case strings.HasPrefix(e.Summary, "auth EXTERNAL"):
				external++
			case strings.HasPrefix(e.Summary, "db:result") && e.Kind == trace.Received:
				keys++
			}
		}
		_, row, _ := strings.Cut(s.Name, "partners/")
		wantTLS, wantExternal := row != "plain-dialback", strings.Contains(row, "sasl-external") || strings.Contains(row, "both")
		if wantTLS != (handshakes > 0) || wantExternal != (external > 0) || wantExternal == (keys > 0) {
			t.Errorf("%s: %d handshakes, %d times EXTERNAL, %d keys", s.Name, handshakes, external, keys)
		}
	}
}

func library() scenario.Library {
	return scenario.Library{FS: scenarios.Files, Dir: "(built in)", Quirks: Quirks()}
}

// The attempts that the language knows are those that a stranger can make.
func TestAttemptsAreKnown(t *testing.T) {
	for _, a := range googletalk.Attempts() {
		text := "title: t\ntopology: contoso\nsteps:\n  - stranger: {from: outside, to: \"xmpp.contoso.com:5269\", try: " + string(a) + ", ends: closed}\n"
		if _, err := library().Parse("t.yaml", []byte(text)); err != nil {
			t.Error(err)
		}
	}
}
