package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"fedlab/gateway/config"
)

// healthPatience is how long a working gateway may take to say that it works.
const healthPatience = 3 * time.Second

func healthCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "health -c FILE",
		Short: "Say whether the gateway of this machine works: for a container's health check",
		Long: `Ask the gateway that runs on this machine, at the address admin: {listen: …} of its configuration, whether it is ready.

Exit codes: 0 it is, 1 it is not or does not answer, 2 the configuration cannot be used or names no such address.`,
		Args: cobra.NoArgs,
	}
	path := configFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		c, err := config.Load(*path)
		if err != nil && (c == nil || !config.OnlyCertificates(err)) {
			return &exitError{exitInput, err}
		}
		if c.Admin.Listen == "" {
			return &exitError{exitInput, fmt.Errorf("%s: there is no admin: {listen: …}, so nobody can be asked", *path)}
		}
		ctx, cancel := context.WithTimeout(cmd.Context(), healthPatience)
		defer cancel()
		answer, err := askAdmin(ctx, hostNetwork(c), c.Admin.Listen, "/readyz")
		if err != nil {
			return &exitError{exitFailed, errors.Join(errors.New("the gateway is not ready"), err)}
		}
		_, err = cmd.OutOrStdout().Write(answer)
		return err
	}
	return cmd
}
