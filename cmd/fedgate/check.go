package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"fedlab/gateway"
	"fedlab/gateway/config"
)

func checkCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "check -c FILE",
		Short: "Check a configuration and the files that it names; nothing is opened or sent",
		Args:  cobra.NoArgs,
	}
	path := configFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		c, err := config.Load(*path)
		if err != nil {
			return &exitError{exitInput, err}
		}
		if _, err := gateway.New(gateway.Options{Config: c, Network: hostNetwork(c)}); err != nil {
			return &exitError{exitInput, fmt.Errorf("%s: %w", *path, err)}
		}
		fmt.Fprintf(cmd.OutOrStdout(), "%s is in order: %s speaks SIP for %s and XMPP with %s\n", *path, c.Hostname,
			names(slices.Collect(maps.Keys(c.SIP.Domains))), names(slices.Collect(maps.Keys(c.XMPP.Expanded()))))
		return nil
	}
	return cmd
}

func names(list []string) string {
	slices.Sort(list)
	return strings.Join(list, ", ")
}
