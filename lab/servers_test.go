package lab

import (
	"errors"
	"strings"
	"testing"
)

// The virtual network refuses what it cannot run, and the default run has nothing of it.
func TestRealServersNeedContainers(t *testing.T) {
	families := map[string]int{}
	for _, selectors := range [][]string{nil, {"load/..."}, {"peers/..."}} {
		all, err := library().Load(selectors...)
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range all {
			family, _, _ := strings.Cut(s.Name, "/")
			families[family]++
			err := OnVirtualNetwork(s.Deployed)
			if real := family == "peers"; real != errors.Is(err, ErrRealServers) {
				t.Errorf("%s: on the virtual network: %v", s.Name, err)
			} else if real && (!strings.Contains(err.Error(), "host ") || !strings.Contains(err.Error(), "--world containers")) {
				t.Errorf("%s: who reads this does not know where and what to do: %v", s.Name, err)
			}
		}
	}
	if families["peers"] < 10 || families["health"] == 0 {
		t.Errorf("scenarios by family: %v", families)
	}
}
