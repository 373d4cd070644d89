package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"

	"github.com/spf13/cobra"

	"fedlab/lab"
	"fedlab/lab/report"
)

func runCommand(virtual lab.Clock) *cobra.Command {
	var (
		asJSON, realtime, verbose bool
		junit, dir, colour, pcap  string
		world                     string
		seed                      uint64
		repeat, parallel          int
	)
	c := &cobra.Command{
		Use:   "run [PATH|NAME|FAMILY/…]…",
		Short: "Run scenarios; without a name all of the catalogue but the families load and peers",
		Example: `  fedlab run
  fedlab run health/first-message-from-gmail
  fedlab run certificates/... --repeat 20
  fedlab run ./my-scenario.yaml`,
		RunE: func(c *cobra.Command, args []string) error {
			if repeat < 1 || parallel < 1 {
				return fmt.Errorf("--repeat and --parallel are at least 1")
			}
			all, err := load(args)
			if err != nil {
				return err
			}
			o := lab.Options{Clock: virtual, Seed: seed, Pcap: pcap}
			if realtime {
				o.Clock = lab.RealTime
			}
			switch world {
			case "virtual":
				for _, s := range all {
					if err := lab.OnVirtualNetwork(s.Deployed); err != nil {
						return fmt.Errorf("%s: %w", s.Name, err)
					}
				}
			case "containers":
				engine, err := openContainers(c.Context())
				if err != nil {
					return err
				}
				defer engine.Close()
				// Who interrupts does not want to wait for what the scenarios that run still wait for, in real time.
				defer context.AfterFunc(c.Context(), func() {
					if err := engine.Close(); err != nil {
						fmt.Fprintln(c.ErrOrStderr(), err)
					}
					os.Exit(exitUnused)
				})()
				o.Clock, o.World = lab.RealTime, engine.Build
			default:
				return fmt.Errorf("--world %q is none of virtual, containers", world)
			}
			if verbose {
				o.Log = c.ErrOrStderr()
			}
			terminal, err := newTerminal(c.OutOrStdout(), colour, len(all)*repeat)
			if err != nil {
				return err
			}
			var writing error
			results := lab.RunAll(c.Context(), all, o, repeat, parallel, func(r *lab.Result) {
				switch {
				case writing != nil, c.Context().Err() != nil && world == "containers": // it lost its machines
				case asJSON:
					writing = report.JSON(c.OutOrStdout(), r.Plain())
				default:
					writing = terminal.Done(r.Plain(), parallel)
				}
			})
			if writing != nil {
				return writing
			}
			if c.Context().Err() != nil && world == "containers" {
				return errors.New("interrupted; no container is left")
			}
			runs := make([]report.Run, len(results))
			failed := len(results) < len(all)*repeat
			for i, r := range results {
				runs[i] = r.Plain()
				failed = failed || !r.Passed()
			}
			if junit != "" {
				if err := writeFile(junit, func(w io.Writer) error { return report.JUnit(w, runs) }); err != nil {
					return err
				}
			}
			if dir != "" {
				if err := writeReport(dir, pcap, results); err != nil {
					return err
				}
			}
			if !asJSON {
				if err := terminal.Summary(runs); err != nil {
					return err
				}
			}
			if failed {
				return errFailed
			}
			return nil
		},
	}
	f := c.Flags()
	f.BoolVar(&asJSON, "json", false, "one JSON object per scenario and line")
	f.StringVar(&junit, "junit", "", "write a JUnit report to this `FILE`")
	f.StringVar(&dir, "report", "", "write a report of pages for a browser to this `DIR`")
	f.StringVar(&pcap, "pcap", "", "write captures for Wireshark to this `DIR`: a folder per scenario")
	f.StringVar(&colour, "color", "auto", "colour the table: auto, always or never")
	f.Uint64Var(&seed, "seed", 1, "what varies in the world varies with this number")
	f.IntVar(&repeat, "repeat", 1, "run everything this often; all runs have to agree")
	f.IntVar(&parallel, "parallel", runtime.GOMAXPROCS(0), "scenarios at the same time")
	f.StringVar(&world, "world", "virtual", "what the deployment is made of: virtual, or containers of a Docker engine (in real time)")
	f.BoolVar(&realtime, "realtime", false, "by the machine's clock, not in virtual time")
	f.BoolVarP(&verbose, "verbose", "v", false, "what the gateway and the fakes log, to standard error")
	return c
}

// newTerminal is what a run is shown on: with progress if it is a terminal and nobody's CI, with colour as the flag or the
// environment (https://no-color.org) want it.
func newTerminal(w io.Writer, colour string, total int) (*report.Terminal, error) {
	t := &report.Terminal{W: w, Total: total, Annotations: os.Getenv("GITHUB_ACTIONS") == "true"}
	if f, ok := w.(*os.File); ok && os.Getenv("CI") == "" {
		info, err := f.Stat()
		t.Live = err == nil && info.Mode()&os.ModeCharDevice != 0 && os.Getenv("TERM") != "dumb"
	}
	switch colour {
	case "auto":
		t.Colour = t.Live && os.Getenv("NO_COLOR") == ""
	case "always":
		t.Colour = true
	case "never":
	default:
		return nil, fmt.Errorf("--color %q is none of auto, always, never", colour)
	}
	return t, nil
}

// writeReport writes the pages of a report into a folder. Captures that were written as well are linked to.
func writeReport(dir, pcap string, results []*lab.Result) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	var runs []report.Run
	for _, r := range results {
		if r.Trace == nil && r.Passed() {
			continue // a repetition, which has no page of its own
		}
		p := r.Page()
		runs = append(runs, p.Run)
		if pcap != "" {
			var err error
			if p.Captures, err = captures(dir, filepath.Join(pcap, filepath.FromSlash(r.Scenario.Name))); err != nil {
				return err
			}
		}
		if err := writeFile(filepath.Join(dir, report.FileName(r.Scenario.Name)), p.HTML); err != nil {
			return err
		}
	}
	return writeFile(filepath.Join(dir, "index.html"), func(w io.Writer) error { return report.Index(w, runs) })
}

// captures are the capture files in a folder, as links from another.
func captures(from, folder string) ([]string, error) {
	files, err := filepath.Glob(filepath.Join(folder, "*.pcapng"))
	if err != nil {
		return nil, err
	}
	for i, f := range files {
		if files[i], err = relative(from, f); err != nil {
			return nil, err
		}
	}
	return files, nil
}

// relative is the link from a folder to a file.
func relative(from, file string) (string, error) {
	from, err := filepath.Abs(from)
	if err != nil {
		return "", err
	}
	if file, err = filepath.Abs(file); err != nil {
		return "", err
	}
	link, err := filepath.Rel(from, file)
	return filepath.ToSlash(link), err
}

// writeFile writes a file whole or says why not.
func writeFile(name string, write func(io.Writer) error) error {
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	if err := write(f); err != nil {
		f.Close()
		return err
	}
	return f.Close()
}
