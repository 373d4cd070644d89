//go:build containers

package containers

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write docs/containers.md anew")

// document is where everything that was seen is kept, one part after the other.
const document = "../../docs/containers.md"

// What the parts of the document begin with.
const (
	comparison = `# The same scenarios in both worlds

Written by ` + "`make e2e-containers`" + `, which runs each of these scenarios on the virtual network, in virtual time, and in containers:
real kernels, real TCP, nftables, the operating system's resolver, the gateway's own image. It fails when a verdict or a finding differs.
In containers the clocks are real, and a machine may be busy with something else: a scenario that comes to another result there runs a
second time, both results are printed, and the second one counts.

| scenario | virtual | containers | findings, virtual | findings, containers |
|---|---|---|---|---|
`
	realServers = `
# Real servers

The scenarios of the family ` + "`peers`" + ` have servers in them that others wrote, as Debian packages them: Prosody and ejabberd in place of another
organisation's XMPP server, Kamailio in place of the Access Edge. Their users have clients of the lab, so that the same steps and the same
judge work. Only containers can run them (` + "`fedlab run --world containers peers/...`" + `); ` + "`make e2e-containers`" + ` runs them all.

| scenario | what it shows | containers | findings |
|---|---|---|---|
`
)

// keep holds a part of the document against what was seen, or writes it.
func keep(t *testing.T, beginning, part string) {
	t.Helper()
	t.Log("\n" + part)
	kept, err := os.ReadFile(document)
	if err != nil {
		t.Fatal(err)
	}
	parts := map[string]string{}
	parts[comparison], parts[realServers], _ = strings.Cut(string(kept), realServers)
	parts[realServers] = realServers + parts[realServers]
	if parts[beginning] == part {
		return
	}
	if !*update {
		t.Errorf("%s is not what was seen; write it anew with: go test -tags containers ./e2e/containers -update", document)
		return
	}
	parts[beginning] = part
	if err := os.WriteFile(document, []byte(parts[comparison]+parts[realServers]), 0o644); err != nil {
		t.Fatal(err)
	}
}

func (r result) String() string {
	return fmt.Sprintf("%s, findings: %s, failures: %v", r.verdict(), list(r.Findings), r.Failures)
}
