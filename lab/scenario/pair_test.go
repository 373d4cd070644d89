package scenario

import (
	"strings"
	"testing"
	"testing/fstest"
)

// Faults are what patches and has findings, each once; pairs are two of them in one deployment, or the place where they exclude each other.
func TestFaultsAndPairs(t *testing.T) {
	file := func(patch, steps string) *fstest.MapFile {
		return &fstest.MapFile{Data: []byte("title: T\ntopology: small\npatch: " + patch + "\nsteps:\n" + steps + "findings: [net.filtered]\n")}
	}
	files := small()
	wait := "  - wait: 1s\n"
	files["one/a.yaml"] = file("{hosts: {a: {resolver: [10.0.0.2]}}}", wait)
	files["one/again.yaml"] = file("{hosts: {a: {resolver: [10.0.0.2]}}}", wait)
	files["one/b.yaml"] = file("{hosts: {b: {resolver: null}}}", wait)
	files["one/c.yaml"] = file("{hosts: {a: {resolver: null}}}", wait)
	files["one/d.yaml"] = file("{hosts: {a: {interfaces: {lan: 10.0.0.7/24}}}}", wait)
	files["one/e.yaml"] = file("{hosts: {b: {interfaces: {lan: 10.0.0.7/24}}}}", wait)
	files["one/changes.yaml"] = file("{hosts: {b: {resolver: null}}}", "  - cut: {segment: lan}\n")
	files["topologies/small.yaml"].Data = []byte(strings.Replace(string(files["topologies/small.yaml"].Data), "a: {", "a: {resolver: [10.0.0.9], ", 1))
	library := Library{FS: files, Dir: "s"}
	all, err := library.Load("one")
	if err != nil {
		t.Fatal(err)
	}
	faults, also := Faults(all)
	if got := strings.Join(names(faults), " "); got != "one/a one/b one/c one/d one/e" || len(also[0]) != 1 || also[0][0] != "one/again" || also[1] != nil {
		t.Fatalf("faults %s, also %v", got, also)
	}
	pairs, join := library.Pairs(faults)
	if len(pairs) != 10 {
		t.Fatalf("%d pairs", len(pairs))
	}
	both, err := join(pairs[0])
	if err != nil || both.Name != "one/a + one/b" || both.Deployed.Hosts["a"].Resolver[0].String() != "10.0.0.2" || len(both.Deployed.Hosts["b"].Resolver) != 0 {
		t.Errorf("a and b: %+v, %v", both, err)
	}
	for i, want := range map[int]string{1: "hosts.a.resolver", 9: "10.0.0.7"} {
		if _, err := join(pairs[i]); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", pairs[i].Name(), err, want)
		}
	}
}
