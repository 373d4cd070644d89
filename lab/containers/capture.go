package containers

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
)

// capturesAt is where the switch keeps captures.
const capturesAt = "/captures"

// startCaptures begins to capture on each segment, and returns when all do.
func (w *world) startCaptures(ctx context.Context) error {
	var b strings.Builder
	fmt.Fprintf(&b, "set -e; mkdir -p %s; cd %s\n", capturesAt, capturesAt)
	for _, segment := range sorted(w.topology.Segments) {
		fmt.Fprintf(&b, "dumpcap -q -i %s -w %s.pcapng 2> %s.log & echo $! >> pids\n", w.bridge(segment), segment, segment)
	}
	// It names its file when it has opened the interface.
	fmt.Fprintf(&b, "for i in $(seq 100); do [ $(grep -l ^File: *.log | wc -l) = %d ] && exit 0; sleep 0.1; done; cat *.log; exit 1\n", len(w.topology.Segments))
	if _, err := w.toSwitch.sh(ctx, b.String()); err != nil {
		return fmt.Errorf("no capture: %w", err)
	}
	return nil
}

// fetchCaptures ends the captures and brings them here.
func (w *world) fetchCaptures(ctx context.Context) error {
	script := "cd " + capturesAt + "; kill -INT $(cat pids); for p in $(cat pids); do while [ -d /proc/$p ]; do sleep 0.05; done; done"
	if _, err := w.toSwitch.sh(ctx, script); err != nil {
		return fmt.Errorf("the captures do not end: %w", err)
	}
	for _, segment := range sorted(w.topology.Segments) {
		if err := w.fetchCapture(ctx, segment+".pcapng"); err != nil {
			return err
		}
	}
	return nil
}

func (w *world) fetchCapture(ctx context.Context, name string) error {
	from, err := w.toSwitch.CopyFileFromContainer(ctx, capturesAt+"/"+name)
	if err != nil {
		return err
	}
	defer from.Close()
	to, err := os.Create(filepath.Join(w.disks, name))
	if err != nil {
		return err
	}
	_, err = io.Copy(to, from)
	return errors.Join(err, to.Close())
}

// Captures implements lab.World: one file a segment. It is called once, after Close.
func (w *world) Captures(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	for _, segment := range sorted(w.topology.Segments) {
		data, err := os.ReadFile(filepath.Join(w.disks, segment+".pcapng"))
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(dir, segment+".pcapng"), data, 0o644); err != nil {
			return err
		}
	}
	return os.RemoveAll(w.disks)
}
