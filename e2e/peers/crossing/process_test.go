//go:build peers

package crossing

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

const (
	patience = 2 * time.Minute  // for anything that another program has to do
	farewell = 10 * time.Second // for a program to end when it is asked to
)

// fedgate is the gateway's program.
var fedgate string

// launch starts commands on a thread that lives as long as the test does: a child is killed when the thread that started it ends,
// so that none is left behind if the test dies.
var launch = make(chan func())

func TestMain(m *testing.M) {
	os.Exit(func() int {
		go func() {
			runtime.LockOSThread()
			for f := range launch {
				f()
			}
		}()
		dir, err := os.MkdirTemp("", "crossing")
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer os.RemoveAll(dir)
		fedgate = filepath.Join(dir, "fedgate")
		if out, err := exec.Command("go", "build", "-o", fedgate, "fedlab/cmd/fedgate").CombinedOutput(); err != nil {
			fmt.Fprintf(os.Stderr, "building fedgate: %v\n%s", err, out)
			return 1
		}
		return m.Run()
	}())
}

// process is a running program. What it prints is kept, and shown if the test fails.
type process struct {
	t     *testing.T
	name  string
	cmd   *exec.Cmd
	ended chan struct{} // closed when it has ended; then err is set
	err   error

	mu      sync.Mutex
	out     bytes.Buffer
	changed chan struct{} // closed and replaced when there is more
}

// Write takes what the program prints.
func (p *process) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.out.Write(b)
	close(p.changed)
	p.changed = make(chan struct{})
	return len(b), nil
}

// output is what the program has printed, and a channel that closes when there is more.
func (p *process) output() (string, <-chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.out.String(), p.changed
}

// need is where a program lies. That it is missing is a failure: these tests are for machines that have it.
func need(t *testing.T, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		path, err = exec.LookPath("/usr/sbin/" + name)
	}
	if err != nil {
		t.Fatalf("%s is not installed; e2e/peers/install.sh installs it", name)
	}
	return path
}

// start runs a program until the test ends.
func start(t *testing.T, dir string, env []string, name string, args ...string) *process {
	t.Helper()
	p := &process{t: t, name: filepath.Base(name), ended: make(chan struct{}), changed: make(chan struct{})}
	p.cmd = exec.Command(need(t, name), args...)
	p.cmd.Dir, p.cmd.Env, p.cmd.Stdout, p.cmd.Stderr = dir, append(os.Environ(), env...), p, p
	p.cmd.WaitDelay = farewell
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	started := make(chan error)
	launch <- func() { started <- p.cmd.Start() }
	if err := <-started; err != nil {
		t.Fatal(err)
	}
	go func() {
		p.err = p.cmd.Wait()
		close(p.ended)
	}()
	t.Cleanup(p.stop)
	return p
}

// stop ends the program and all that it started.
func (p *process) stop() {
	_ = syscall.Kill(-p.cmd.Process.Pid, syscall.SIGTERM)
	select {
	case <-p.ended:
	case <-time.After(farewell):
		p.t.Errorf("%s does not end when it is asked to", p.name)
	}
	_ = syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL) // its children, if any are left
	<-p.ended
	if p.t.Failed() {
		out, _ := p.output()
		const most = 30000
		p.t.Logf("%s printed:\n%s", p.name, out[max(0, len(out)-most):])
	}
}

// says waits until the program has printed text.
func (p *process) says(text string) {
	p.t.Helper()
	limit := time.After(patience)
	for {
		out, more := p.output()
		if strings.Contains(out, text) {
			return
		}
		select {
		case <-more:
		case <-p.ended:
			if out, _ := p.output(); strings.Contains(out, text) {
				return
			}
			p.t.Fatalf("%s ended (%v) before it said %q", p.name, p.err, text)
		case <-limit:
			p.t.Fatalf("%s does not say %q", p.name, text)
		}
	}
}

// exits waits until the program has ended well by itself.
func (p *process) exits() {
	p.t.Helper()
	select {
	case <-p.ended:
		if p.err != nil {
			p.t.Fatalf("%s ended with %v", p.name, p.err)
		}
	case <-time.After(2 * patience):
		p.t.Fatalf("%s does not end", p.name)
	}
}
