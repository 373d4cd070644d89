//go:build containers

package containers

import (
	"bufio"
	"bytes"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

//go:embed catalogue.txt
var catalogue string

// compared are the scenarios of catalogue.txt.
func compared() []string {
	var names []string
	for line := range strings.Lines(catalogue) {
		if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "#") {
			names = append(names, line)
		}
	}
	slices.Sort(names)
	return names
}

// result is a line of "fedlab run --json".
type result struct {
	Scenario string
	Title    string
	Passed   bool
	Findings []string
	Failures []struct{ Message string }
}

func (r result) verdict() string {
	if r.Passed {
		return "passed"
	}
	return "failed"
}

func TestSameVerdictInBothWorlds(t *testing.T) {
	fedlab := build(t)
	names := compared()
	virtual := run(t, fedlab, append([]string{"--json"}, names...))
	real := inContainers(t, fedlab, names, func(r result) bool { return r.Passed && slices.Equal(r.Findings, virtual[r.Scenario].Findings) })
	var b strings.Builder
	b.WriteString(comparison)
	for _, name := range names {
		v, r := virtual[name], real[name]
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %s |\n", name, v.verdict(), r.verdict(), list(v.Findings), list(r.Findings))
		if !v.Passed {
			t.Errorf("%s fails on the virtual network: %v", name, v.Failures)
		}
		if !r.Passed {
			t.Errorf("%s fails in containers: %v", name, r.Failures)
		}
		if !slices.Equal(v.Findings, r.Findings) {
			t.Errorf("%s: findings %v on the virtual network, %v in containers", name, v.Findings, r.Findings)
		}
	}
	keep(t, comparison, b.String())
	nothingLeft(t)
}

func list(findings []string) string {
	if len(findings) == 0 {
		return "none"
	}
	return strings.Join(findings, ", ")
}

// Killed in the middle, the program leaves nothing behind.
func TestKilledInTheMiddle(t *testing.T) {
	fedlab := build(t)
	for _, signal := range []syscall.Signal{syscall.SIGKILL, syscall.SIGINT} {
		cmd := exec.Command(fedlab, "run", "--world", "containers", "ports/5269-dropped")
		cmd.Dir = "../.."
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		await(t, "a gateway in a container", func() bool {
			return docker(t, "ps", "-q", "--filter", "label=fedlab.run", "--filter", "ancestor=fedlab/gateway") != ""
		})
		if err := cmd.Process.Signal(signal); err != nil {
			t.Fatal(err)
		}
		if err := cmd.Wait(); err == nil {
			t.Errorf("after %v the program says that all is well", signal)
		}
		await(t, fmt.Sprintf("nothing left after %v", signal), func() bool { return left(t) == "" })
	}
}

// The image of the gateway is small, and it needs neither root nor a disk to write on.
func TestGatewayImage(t *testing.T) {
	var images []struct {
		Size   int64
		Config struct {
			User        string
			Healthcheck struct{ Test []string }
		}
	}
	if err := json.Unmarshal([]byte(docker(t, "image", "inspect", "fedlab/gateway")), &images); err != nil || len(images) != 1 {
		t.Fatal(err)
	}
	i := images[0]
	if i.Size > 30e6 {
		t.Errorf("%d bytes", i.Size)
	}
	if i.Config.User == "" || strings.HasPrefix(i.Config.User, "0") || i.Config.User == "root" {
		t.Errorf("it runs as %q", i.Config.User)
	}
	if !slices.Contains(i.Config.Healthcheck.Test, "health") {
		t.Errorf("health check %q", i.Config.Healthcheck.Test)
	}
}

// Whoever has no engine is told so, and nothing is called a failed scenario.
func TestWithoutEngine(t *testing.T) {
	cmd := exec.Command(build(t), "run", "--world", "containers", "health/first-message-from-gmail")
	cmd.Dir = "../.."
	cmd.Env = append(os.Environ(), "DOCKER_HOST=unix:///nowhere/docker.sock")
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != 2 || !bytes.Contains(out, []byte("Docker engine")) {
		t.Errorf("%v: %s", err, out)
	}
}

func build(t *testing.T) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "fedlab")
	if out, err := exec.Command("go", "build", "-o", name, "../../cmd/fedlab").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return name
}

// run runs scenarios and returns the results by name.
func run(t *testing.T, fedlab string, args []string) map[string]result {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), fedlab, append([]string{"run"}, args...)...)
	cmd.Dir = "../.."
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	results := map[string]result{}
	lines := bufio.NewScanner(out)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var r result
		if err := json.Unmarshal(lines.Bytes(), &r); err != nil {
			t.Fatalf("%s: %v", lines.Text(), err)
		}
		results[r.Scenario] = r
		fmt.Fprintf(os.Stderr, "%s %s\n", r.verdict(), r.Scenario)
	}
	var exit *exec.ExitError
	if err := cmd.Wait(); err != nil && !(errors.As(err, &exit) && exit.ExitCode() == 1) {
		t.Fatalf("fedlab %s: %v", strings.Join(args, " "), err)
	}
	return results
}

// left are the containers that are there and should not.
func left(t *testing.T) string {
	t.Helper()
	return docker(t, "ps", "-aq", "--filter", "label=fedlab.run")
}

// nothingLeft looks at the engine's own lists: its own three networks are all there should be of networks.
func nothingLeft(t *testing.T) {
	t.Helper()
	if got := left(t); got != "" {
		t.Errorf("containers are left: %s", got)
	}
	if got := docker(t, "network", "ls", "-q", "--filter", "type=custom"); got != "" {
		t.Errorf("networks are left: %s", got)
	}
	if got := docker(t, "volume", "ls", "-q"); got != "" {
		t.Errorf("volumes are left: %s", got)
	}
}

func docker(t *testing.T, args ...string) string {
	t.Helper()
	out, err := exec.Command("docker", args...).Output()
	if err != nil {
		t.Fatalf("docker %s: %v", strings.Join(args, " "), err)
	}
	return strings.TrimSpace(string(out))
}

// await asks until it is so.
func await(t *testing.T, what string, so func() bool) {
	t.Helper()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	patience := time.After(time.Minute)
	for !so() {
		select {
		case <-tick.C:
		case <-patience:
			t.Fatalf("waited in vain for %s", what)
		}
	}
}
