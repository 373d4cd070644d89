package containers

import (
	"bytes"
	"flag"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"fedlab/doctor"
	"fedlab/lab"
	"fedlab/lab/scenario"
	"fedlab/scenarios"
)

var update = flag.Bool("update", false, "write the golden files anew")

func library() scenario.Library {
	return scenario.Library{FS: scenarios.Files, Dir: "scenarios", Codes: doctor.Codes(), Quirks: lab.Quirks()}
}

func TestRulesets(t *testing.T) {
	contoso, err := library().Topology("contoso")
	if err != nil {
		t.Fatal(err)
	}
	prefixes := func(s string) []netip.Prefix { return []netip.Prefix{netip.MustParsePrefix(s)} }
	hairpin := contoso.Routers["firewall"]
	hairpin.Hairpin = true
	one := contoso.Routers["firewall"]
	one.Policy = scenario.Reject
	one.State.Reset = true
	one.Masquerade = nil
	one.Forwards = scenario.Ordered[scenario.Forward]{Keys: []string{"dns"}, Values: map[string]scenario.Forward{
		"dns": {Address: netip.MustParseAddr("12.34.56.79"), Protocol: "udp", Port: 53, To: netip.MustParseAddrPort("10.11.12.10:53"), Hairpin: true},
	}}
	rules := scenario.Router{Rules: scenario.Ordered[scenario.Rule]{
		Keys: []string{"answers", "resets", "no-web", "a-port", "no-dns", "from-there", "cut"},
		Values: map[string]scenario.Rule{
			"answers":    {Protocol: "tcp", SourcePort: 5269, Stateless: true, SYNACK: true, Verdict: scenario.Drop},
			"resets":     {Stateless: true, Flags: "RST !SYN", Verdict: scenario.Drop},
			"no-web":     {Protocol: "tcp", Port: 80, Verdict: scenario.Reject},
			"a-port":     {From: "a", To: "b", Port: 5060, Verdict: scenario.Reject},
			"no-dns":     {Protocol: "udp", Port: 53, Verdict: scenario.Reject},
			"from-there": {Source: prefixes("192.0.2.7/24"), Target: prefixes("198.51.100.0/25"), Verdict: scenario.Pass},
			"cut":        {Verdict: scenario.Reset, Stateless: true},
		},
	}}
	for name, r := range map[string]scenario.Router{
		"firewall": contoso.Routers["firewall"], "inner": contoso.Routers["inner"], "hairpin": hairpin, "one-forward": one, "rules": rules,
	} {
		file := filepath.Join("testdata", name+".nft")
		got := []byte(ruleset(r))
		if *update {
			if err := os.WriteFile(file, got, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, want) {
			t.Errorf("%s: got\n%s\nwant\n%s", name, got, want)
		}
	}
}

// Where nft is installed and may be used, it has to take every ruleset of the catalogue.
func TestRulesetsAreTaken(t *testing.T) {
	nft, err := exec.LookPath("nft")
	if err != nil || os.Geteuid() != 0 {
		nft = ""
	}
	all, err := library().Load()
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for _, s := range all {
		if support(s.Deployed) != nil {
			continue
		}
		for name, r := range s.Deployed.Routers {
			script := ruleset(r)
			if seen[script] {
				continue
			}
			seen[script] = true
			if nft == "" {
				continue
			}
			check := exec.Command(nft, "--check", "-f", "-")
			check.Stdin = bytes.NewReader([]byte(script))
			if out, err := check.CombinedOutput(); err != nil {
				t.Errorf("%s, router %s: %v\n%s\n%s", s.Name, name, err, out, script)
			}
		}
	}
	if len(seen) < 5 {
		t.Errorf("only %d different rulesets in the catalogue", len(seen))
	}
}
