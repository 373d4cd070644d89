package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"

	"fedlab/lab"
	"fedlab/lab/matrix"
	"fedlab/lab/scenario"
)

// explainMatrix plants every single fault and shows what it is found by.
func explainMatrix(c *cobra.Command, virtual lab.Clock, asJSON bool) error {
	all, err := load(nil)
	if err != nil {
		return err
	}
	m, _, failures := lab.Matrix(c.Context(), all, lab.Options{Clock: virtual, Seed: 1}, runtime.GOMAXPROCS(0))
	if asJSON {
		e := json.NewEncoder(c.OutOrStdout())
		err = e.Encode(struct {
			Faults matrix.Matrix  `json:"faults"`
			Alike  []matrix.Alike `json:"alike"`
		}{m, m.AllAlike()})
	} else {
		_, err = io.WriteString(c.OutOrStdout(), m.Text())
	}
	if err != nil {
		return err
	}
	return sayFailures(c, failures)
}

// sayFailures says why something failed, if it did.
func sayFailures(c *cobra.Command, failures []lab.Failure) error {
	for _, f := range failures {
		fmt.Fprintln(c.ErrOrStderr(), f)
	}
	if len(failures) > 0 {
		return errFailed
	}
	return nil
}

func pairsCommand(virtual lab.Clock) *cobra.Command {
	var (
		o       = lab.Options{Clock: virtual}
		sample  int
		verbose bool
		hides   bool
	)
	c := &cobra.Command{
		Use:   "pairs",
		Short: "Plant every two faults of the catalogue at once, and see that each is found or hidden by the other",
		Args:  cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			library := library()
			all, err := library.Load()
			if err != nil {
				return err
			}
			if os.Getenv("GOGC") == "" {
				debug.SetGCPercent(400) // little is live, as a pair leaves nothing but what was found; a seventh of the time went into collecting
			}
			var each func(scenario.Pair, matrix.Verdict)
			if verbose {
				each = func(p scenario.Pair, v matrix.Verdict) { fmt.Fprintln(c.OutOrStdout(), sayPair(p, v)) }
			}
			r, err := lab.Pairs(c.Context(), library, all, o, runtime.GOMAXPROCS(0), sample, each)
			if err != nil {
				return err
			}
			if hides {
				_, err := io.WriteString(c.OutOrStdout(), matrix.FormatHidings(r.Hidings))
				return err
			}
			fmt.Fprintf(c.OutOrStdout(), "%d pairs of faults, %d of which exclude each other; %d run\n%d with all findings of both, %d in which one hides something of the other, %d explained by name, %d wrong\n",
				r.Pairs, r.Conflicts, r.Run, r.Both, r.Hidden, r.Listed, len(r.Failures))
			return sayFailures(c, r.Failures)
		},
	}
	f := c.Flags()
	f.IntVar(&sample, "sample", 0, "run only so many pairs, which the seed chooses")
	f.Uint64Var(&o.Seed, "seed", 1, "what varies in the world varies with this number")
	f.BoolVar(&hides, "hides", false, "print what hides what: lab/matrix/hides.txt")
	f.BoolVarP(&verbose, "verbose", "v", false, "one line a pair")
	return c
}

// sayPair is one pair in a line.
func sayPair(p scenario.Pair, v matrix.Verdict) string {
	said := "both found"
	switch {
	case v.Wrong != "":
		said = "WRONG: " + v.Wrong
	case v.Rule != nil:
		said = v.Rule.Why
	case v.HiddenA:
		said = p.B.Name + " hides something of " + p.A.Name
	case v.HiddenB:
		said = p.A.Name + " hides something of " + p.B.Name
	}
	return p.Name() + ": " + said
}
