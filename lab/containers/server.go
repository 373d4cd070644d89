package containers

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/mount"

	"fedlab/lab"
)

// serverBox is the container of a server that others wrote. It lives as long as the world does, so that the server finds again what it has
// kept when it comes back.
type serverBox struct{ *made }

// startServers starts every server that others wrote and logs its users in.
func (w *world) startServers(ctx context.Context) error {
	var names []string
	for _, name := range sorted(w.topology.Hosts) {
		if w.topology.Hosts[name].ServedBy() != "" {
			names = append(names, name)
		}
	}
	errs := make([]error, len(names))
	var all sync.WaitGroup
	var mu sync.Mutex
	for i, name := range names {
		all.Go(func() {
			s, err := w.makeServer(ctx, name)
			if err == nil {
				mu.Lock()
				w.servers[name] = s
				mu.Unlock()
				err = w.logIn(ctx, name, s)
			}
			errs[i] = err
		})
	}
	all.Wait()
	return errors.Join(errs...)
}

// makeServer makes the container of a server and starts it. It shares the network of its host with the host's tools, as the gateway does.
func (w *world) makeServer(ctx context.Context, name string) (*serverBox, error) {
	h := w.topology.Hosts[name]
	disk := filepath.Join(w.disks, name)
	if err := w.writeServer(name); err != nil {
		return nil, err
	}
	run := w.papers.Server(name, h)
	env := map[string]string{}
	for _, e := range run.Env {
		key, value, _ := strings.Cut(e, "=")
		env[key] = value
	}
	m, err := w.engine.start(ctx, box{
		image: peersImage, cmd: run.Command, env: env, network: container.NetworkMode("container:" + w.agent(name).box.GetContainerID()),
		adjust: func(h *container.HostConfig) {
			h.SecurityOpt = []string{"no-new-privileges"}
			h.Mounts = append(w.names(name), mount.Mount{Type: mount.TypeBind, Source: disk, Target: lab.ServerFolder, ReadOnly: true})
		},
	})
	if err != nil {
		return nil, err
	}
	return &serverBox{m}, nil
}

// writeServer writes what stands on the disk of a server's machine.
func (w *world) writeServer(name string) error {
	disk := filepath.Join(w.disks, name)
	if err := os.MkdirAll(disk, 0o755); err != nil {
		return err
	}
	for file, text := range w.papers.Server(name, w.topology.Hosts[name]).Files {
		if err := os.WriteFile(filepath.Join(disk, file), []byte(text), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// startServer starts a server again that was stopped, and logs its users in. One that runs stays as it is.
func (w *world) startServer(ctx context.Context, name string) error {
	s := w.servers[name]
	_, ended, err := s.ended(ctx)
	if err != nil || !ended {
		return err
	}
	if err := w.writeServer(name); err != nil {
		return err
	}
	if err := s.Start(ctx); err != nil {
		return fmt.Errorf("%s on host %s does not start: %w", w.topology.Hosts[name].ServedBy(), name, err)
	}
	return w.logIn(ctx, name, s)
}

func (w *world) logIn(ctx context.Context, name string, s *serverBox) error {
	_, err := w.agent(name).order(ctx, lab.Order{Do: lab.DoStart, Host: name})
	if err != nil {
		return fmt.Errorf("%w; it said: %s", err, s.lastWords(ctx))
	}
	return nil
}

// stopServer ends a server as its operator would.
func (w *world) stopServer(ctx context.Context, name string) error {
	s := w.servers[name]
	if s == nil {
		return nil
	}
	patience := 20 * time.Second
	if err := s.Stop(ctx, &patience); err != nil {
		return fmt.Errorf("%s on host %s does not stop: %w", w.topology.Hosts[name].ServedBy(), name, err)
	}
	return nil
}
