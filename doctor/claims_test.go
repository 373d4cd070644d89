package doctor

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

// Many claims of one machine, or for one domain, are one finding with their number, the first and the last.
func TestFloodOfClaims(t *testing.T) {
	start := time.Date(2010, 5, 1, 12, 0, 0, 0, time.UTC)
	claims := func(n int, from, domain string) []refusal {
		var all []refusal
		for i := range n {
			c := claim{At: start.Add(time.Duration(i) * time.Minute), From: from, Domain: domain, To: "contoso.com", Reason: "key-invalid", Times: 1}
			if strings.Contains(from, "%d") {
				c.From = fmt.Sprintf(from, i)
			}
			if strings.Contains(domain, "%d") {
				c.Domain = fmt.Sprintf(domain, i)
			}
			all = append(all, refusal{c, "xmpp.forged-origin", "because"})
		}
		return all
	}
	for _, tt := range []struct {
		name string
		all  []refusal
		want []string // subject, and how many facts
	}{
		{"none", nil, nil},
		{"a few of one machine", claims(3, "192.0.2.1", "d%d.example"), []string{"d0.example 2", "d1.example 2", "d2.example 2"}},
		{"very many of one machine", claims(32, "192.0.2.1", "d%d.example"), []string{"192.0.2.1 4"}},
		{"a few for one domain", claims(3, "192.0.2.%d", "gmail.com"), []string{"gmail.com 4"}},
		{"very many for one domain", claims(32, "192.0.2.%d", "gmail.com"), []string{"gmail.com 4"}},
		{"a flood, and another machine", slices.Concat(claims(30, "192.0.2.1", "d%d.example"), claims(1, "192.0.2.9", "gmail.com")), []string{"192.0.2.1 4", "gmail.com 2"}},
	} {
		x := newExam(FromGateway, nil)
		x.refusals(tt.all)
		var got []string
		for _, f := range x.result() {
			got = append(got, fmt.Sprint(f.Subject, " ", len(f.Evidence)))
		}
		if !slices.Equal(got, tt.want) {
			t.Errorf("%s: %q, want %q", tt.name, got, tt.want)
		}
	}
	x := newExam(FromGateway, nil)
	x.refusals(claims(32, "192.0.2.1", "d%d.example"))
	evidence := strings.Join(x.result()[0].Evidence, "\n")
	for _, want := range []string{"192.0.2.1 claimed to speak for 32 domains", "d0.example", "d31.example"} {
		if !strings.Contains(evidence, want) {
			t.Errorf("%q is missing in %s", want, evidence)
		}
	}
}
