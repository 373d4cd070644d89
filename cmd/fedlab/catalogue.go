package main

import (
	"encoding/json"
	"fmt"
	"os"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"fedlab/doctor"
	"fedlab/lab"
	"fedlab/lab/scenario"
	"fedlab/scenarios"
)

// library is the folder scenarios/ where there is one, so that an edited scenario is the one that runs; else the catalogue that
// the program carries.
func library() scenario.Library {
	const dir = "scenarios"
	if info, err := os.Stat(dir); err == nil && info.IsDir() {
		return scenario.Library{FS: os.DirFS(dir), Dir: dir, Codes: doctor.Codes(), Quirks: lab.Quirks()}
	}
	return scenario.Library{FS: scenarios.Files, Dir: "(built in)", Codes: doctor.Codes(), Quirks: lab.Quirks()}
}

func load(selectors []string) ([]*scenario.Scenario, error) { return library().Load(selectors...) }

func listCommand() *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use:   "list [PATH|NAME|FAMILY/…]…",
		Short: "List scenarios",
		RunE: func(c *cobra.Command, args []string) error {
			all, err := load(args)
			if err != nil {
				return err
			}
			if asJSON {
				e := json.NewEncoder(c.OutOrStdout())
				for _, s := range all {
					if err := e.Encode(map[string]any{"scenario": s.Name, "title": s.Title, "file": s.File, "topology": s.Topology, "step": s.FieldStep}); err != nil {
						return err
					}
				}
				return nil
			}
			t := tabwriter.NewWriter(c.OutOrStdout(), 0, 0, 2, ' ', 0)
			for _, s := range all {
				fmt.Fprintf(t, "%s\t%s\n", s.Name, s.Title)
			}
			return t.Flush()
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "one JSON object per scenario and line")
	return c
}

func checkCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "check FILE…",
		Short: "Say what is wrong with scenario files, without running them",
		Args:  cobra.MinimumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			all, err := load(args)
			if err != nil {
				return err
			}
			for _, s := range all {
				fmt.Fprintf(c.OutOrStdout(), "%s: ok\n", s.File)
			}
			return nil
		},
	}
}
