package containers

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/client"
	"github.com/testcontainers/testcontainers-go"
	tcexec "github.com/testcontainers/testcontainers-go/exec"
	"github.com/testcontainers/testcontainers-go/log"
)

// The images, which "make images" builds.
const (
	gatewayImage = "fedlab/gateway"
	labImage     = "fedlab/lab"
	peersImage   = "fedlab/peers"
)

// ErrNoEngine means that there is no Docker engine that can be used; the text says why.
var ErrNoEngine = errors.New("containers need a Docker engine")

// ErrNoImage means that an image has not been built.
var ErrNoImage = errors.New("an image is missing")

// ownerLabel marks every container of this project; its value names the program that made it.
const ownerLabel = "fedlab.run"

// Engine is a Docker engine in use by this program. It is safe for concurrent use.
type Engine struct {
	provider *testcontainers.DockerProvider
	run      string // the value of ownerLabel
	dir      string // a folder of this machine for what containers are given to read
	janitor  *janitor
	closed   func() error // close, once
}

// Open finds the engine as the docker command does, and looks whether it can be used. janitor is a command that removes, when its
// standard input ends, every container with the label that it gets as its last argument, with [Sweep]; it runs until Close.
func Open(ctx context.Context, janitor ...string) (*Engine, error) {
	provider, err := connect()
	if err != nil {
		return nil, unusable(err)
	}
	e := &Engine{provider: provider, run: strings.ToLower(rand.Text())}
	if err := e.usable(ctx); err != nil {
		return nil, errors.Join(err, provider.Close())
	}
	e.dir = folder(e.run)
	if err := os.Mkdir(e.dir, 0o700); err != nil {
		return nil, errors.Join(err, provider.Close())
	}
	if e.janitor, err = hire(append(slices.Clone(janitor), e.run)); err != nil {
		return nil, errors.Join(err, os.RemoveAll(e.dir), provider.Close())
	}
	e.closed = sync.OnceValue(e.close)
	return e, nil
}

// connect makes testcontainers ready without what it would do unasked: telling of itself, and cleaning up by a container whose image is
// not everywhere to be had. The janitor does that.
func connect() (*testcontainers.DockerProvider, error) {
	log.SetDefault(silent{})
	if err := os.Setenv("TESTCONTAINERS_RYUK_DISABLED", "true"); err != nil {
		return nil, err
	}
	return testcontainers.NewDockerProvider(testcontainers.WithLogger(silent{}))
}

// unusable says what to do about an engine that is not reached.
func unusable(err error) error {
	if errors.Is(err, os.ErrPermission) || strings.Contains(err.Error(), "permission denied") {
		return fmt.Errorf("%w, and this user may not use the one that is there: %w; be root, or in the group docker", ErrNoEngine, err)
	}
	return fmt.Errorf("%w, and none answers: %w; is it installed, and does it run?", ErrNoEngine, err)
}

func (e *Engine) usable(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	if os.Getenv("DOCKER_HOST") != "" { // testcontainers would take another engine if this one does not answer
		named, err := client.New(client.FromEnv)
		if err == nil {
			_, err = named.Ping(ctx, client.PingOptions{})
			err = errors.Join(err, named.Close())
		}
		if err != nil {
			return fmt.Errorf("%w, and the one that DOCKER_HOST names does not answer: %w", ErrNoEngine, err)
		}
	}
	if _, err := e.client().Ping(ctx, client.PingOptions{NegotiateAPIVersion: true}); err != nil {
		return unusable(err)
	}
	for _, image := range []string{gatewayImage, labImage, peersImage} {
		_, err := e.client().ImageInspect(ctx, image)
		switch {
		case errdefs.IsNotFound(err):
			return fmt.Errorf("%w: %s; make it with: make images", ErrNoImage, image)
		case err != nil:
			return fmt.Errorf("%w, and it does not say what images it has: %w; Docker 20.10 or later is needed", ErrNoEngine, err)
		}
	}
	return nil
}

func (e *Engine) client() client.APIClient { return e.provider.Client() }

// Close removes every container that is left and waits until they are gone.
func (e *Engine) Close() error { return e.closed() }

func (e *Engine) close() error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	return errors.Join(sweep(ctx, e.client(), e.run), e.janitor.dismiss(), os.RemoveAll(e.dir), e.provider.Close())
}

// folder is the folder of one run of a program.
func folder(run string) string { return filepath.Join(os.TempDir(), "fedlab-"+run) }

// Sweep removes every container of one run of a program that has ended, and its folder.
func Sweep(ctx context.Context, run string) error {
	provider, err := connect()
	if err != nil {
		return fmt.Errorf("%w: %w", ErrNoEngine, err)
	}
	return errors.Join(sweep(ctx, provider.Client(), run), os.RemoveAll(folder(run)), provider.Close())
}

func sweep(ctx context.Context, c client.APIClient, run string) error {
	for {
		list, err := c.ContainerList(ctx, client.ContainerListOptions{All: true, Filters: client.Filters{}.Add("label", ownerLabel+"="+run)})
		if err != nil || len(list.Items) == 0 {
			return err
		}
		for _, item := range list.Items {
			if err := remove(ctx, c, item.ID); err != nil {
				return err
			}
		}
	}
}

// remove removes a container, unless it is gone or going already.
func remove(ctx context.Context, c client.APIClient, id string) error {
	_, err := c.ContainerRemove(ctx, id, client.ContainerRemoveOptions{Force: true, RemoveVolumes: true})
	if err == nil || errdefs.IsNotFound(err) {
		return nil
	}
	if !errdefs.IsConflict(err) {
		return fmt.Errorf("container %s cannot be removed: %w", id[:12], err)
	}
	select { // somebody else is removing it
	case <-time.After(100 * time.Millisecond):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// box says what container to make.
type box struct {
	image   string
	cmd     []string
	env     map[string]string
	network container.NetworkMode // "none", or that of another container
	stdin   bool                  // it is attached to, and ends when whoever attached is gone
	adjust  func(*container.HostConfig)
}

// made is a container.
type made struct {
	*testcontainers.DockerContainer
	engine   *Engine
	provider *testcontainers.DockerProvider
	attach   *client.HijackedResponse // nil without stdin
}

// start makes a container and starts it.
func (e *Engine) start(ctx context.Context, b box) (*made, error) {
	request := testcontainers.ContainerRequest{
		Image: b.image, Cmd: b.cmd, Env: b.env, Labels: map[string]string{ownerLabel: e.run},
		ConfigModifier: func(c *container.Config) {
			c.OpenStdin, c.StdinOnce, c.AttachStdin = b.stdin, b.stdin, b.stdin
			c.Healthcheck = &container.HealthConfig{Test: []string{"NONE"}} // whoever waits asks by itself, and oftener
		},
		HostConfigModifier: func(h *container.HostConfig) {
			h.NetworkMode = b.network
			h.AutoRemove = b.stdin
			h.LogConfig = container.LogConfig{Type: "json-file", Config: map[string]string{"max-size": "10m"}}
			if b.adjust != nil {
				b.adjust(h)
			}
		},
	}
	// A provider closes its connections when one of its containers has been dealt with, whoever else may use them just then.
	own, err := connect()
	if err != nil {
		return nil, err
	}
	c, err := own.CreateContainer(ctx, request)
	if err != nil {
		return nil, fmt.Errorf("a container of %s cannot be made: %w", b.image, err)
	}
	m := &made{DockerContainer: c.(*testcontainers.DockerContainer), engine: e, provider: own}
	if b.stdin {
		a, err := e.client().ContainerAttach(ctx, c.GetContainerID(), client.ContainerAttachOptions{Stream: true, Stdin: true, Stdout: true, Stderr: true})
		if err != nil {
			return nil, errors.Join(fmt.Errorf("a container of %s cannot be attached to: %w", b.image, err), m.remove(ctx))
		}
		m.attach = &a.HijackedResponse
	}
	if err := c.Start(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("a container of %s does not start: %w", b.image, err), m.remove(ctx))
	}
	return m, nil
}

// pid is the container's first process, as the engine's machine counts.
func (m *made) pid(ctx context.Context) (int, error) {
	i, err := m.Inspect(ctx)
	if err != nil {
		return 0, err
	}
	if i.State.Pid == 0 {
		return 0, fmt.Errorf("a container of %s has ended: %s", m.Image, m.lastWords(ctx))
	}
	return i.State.Pid, nil
}

// ended reports whether the container's process has, and how.
func (m *made) ended(ctx context.Context) (code int, ended bool, err error) {
	i, err := m.Inspect(ctx)
	if err != nil {
		return 0, false, err
	}
	return i.State.ExitCode, !i.State.Running, nil
}

// lastWords is what the container has said, for messages about its end.
func (m *made) lastWords(ctx context.Context) string {
	logs, err := m.Logs(ctx)
	if err != nil {
		return err.Error()
	}
	defer logs.Close()
	text, err := io.ReadAll(io.LimitReader(logs, 1<<20))
	if err != nil {
		return err.Error()
	}
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	return strings.Join(lines[max(0, len(lines)-5):], "; ")
}

// sh runs a script in the container. What it says is in the error if it fails.
func (m *made) sh(ctx context.Context, script string) (string, error) {
	code, out, err := m.Exec(ctx, []string{"sh", "-c", script}, tcexec.Multiplexed())
	if err != nil {
		return "", err
	}
	var b bytes.Buffer
	if _, err := b.ReadFrom(out); err != nil {
		return "", err
	}
	if code != 0 {
		return "", fmt.Errorf("exit code %d: %s", code, strings.TrimSpace(b.String()))
	}
	return b.String(), nil
}

func (m *made) remove(ctx context.Context) error {
	if m.attach != nil {
		m.attach.Close()
	}
	return errors.Join(remove(ctx, m.engine.client(), m.GetContainerID()), m.provider.Close())
}

// silent is a logger that says nothing.
type silent struct{}

func (silent) Printf(string, ...any) {}
