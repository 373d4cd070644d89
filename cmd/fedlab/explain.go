package main

import (
	"errors"
	"fmt"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"fedlab/doctor"
	"fedlab/lab"
)

func explainCommand(virtual lab.Clock) *cobra.Command {
	var all, asJSON bool
	c := &cobra.Command{
		Use:   "explain [CODE]",
		Short: "What a finding means, and what to do about it; without CODE, all of them; with --matrix, which fault is found by what",
		Args:  cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			switch {
			case all && len(args) == 0:
				return explainMatrix(c, virtual, asJSON)
			case all || asJSON:
				return errors.New("explain takes the CODE of a finding, or --matrix, which may be with --json")
			case len(args) == 0:
				t := tabwriter.NewWriter(c.OutOrStdout(), 0, 0, 2, ' ', 0)
				for _, e := range doctor.Catalogue() {
					fmt.Fprintf(t, "%s\t%s\n", e.Code, e.Title)
				}
				return t.Flush()
			}
			text, err := doctor.Explain(args[0])
			if err != nil {
				return err
			}
			_, err = c.OutOrStdout().Write([]byte(text))
			return err
		},
	}
	c.Flags().BoolVar(&all, "matrix", false, "plant every fault of the catalogue and show its findings by vantage point, and what looks the same")
	c.Flags().BoolVar(&asJSON, "json", false, "the matrix as JSON")
	return c
}
