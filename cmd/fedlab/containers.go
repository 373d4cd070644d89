package main

import (
	"context"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"fedlab/lab/containers"
)

// openContainers finds the Docker engine, with this program as its own janitor.
func openContainers(ctx context.Context) (*containers.Engine, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	return containers.Open(ctx, self, "clean-up")
}

// cleanUpCommand is the janitor: it waits until the program that started it has ended, and removes the containers that are left.
func cleanUpCommand() *cobra.Command {
	return &cobra.Command{
		Use:    "clean-up RUN",
		Hidden: true,
		Args:   cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			if _, err := io.Copy(io.Discard, c.InOrStdin()); err != nil {
				return fmt.Errorf("standard input: %w", err)
			}
			// Not c.Context(): whoever ended that program may well end this one too.
			return containers.Sweep(context.Background(), args[0])
		},
	}
}
