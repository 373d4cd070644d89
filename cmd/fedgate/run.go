package main

import (
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"sync"
	"syscall"

	"github.com/spf13/cobra"

	"fedlab/gateway"
	"fedlab/gateway/config"
)

func runCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "run -c FILE",
		Short: "Run the gateway until SIGTERM or SIGINT",
		Long: `Run the gateway until SIGTERM or SIGINT. At a stop, messages that are on their way get some seconds to arrive;
what does not arrive is returned to its sender. The log goes to standard error.

SIGHUP reads the configuration again and takes the certificates, authorities and lists of revoked
certificates of both sides from it, without an interruption.`,
		Args: cobra.NoArgs,
	}
	path := configFlag(cmd)
	format := cmd.Flags().String("log-format", "text", "how log lines are written: text or json")
	level := cmd.Flags().String("log-level", "info", "the least that is logged: debug, info, warn or error")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		log, err := logger(cmd.ErrOrStderr(), *format, *level)
		if err != nil {
			return err
		}
		c, err := config.Load(*path)
		if err != nil {
			return &exitError{exitInput, err}
		}
		g, err := gateway.New(gateway.Options{Config: c, Network: hostNetwork(c), Log: log})
		if err != nil {
			return &exitError{exitInput, fmt.Errorf("%s: %w", *path, err)}
		}
		endRenewing := renewOnHangup(g, *path, log)
		endPacing := paceCollector(cmd.Context())
		err = g.Run(cmd.Context())
		endPacing()
		endRenewing()
		if err != nil {
			return &exitError{exitFailed, err}
		}
		log.Info("gateway has stopped")
		return nil
	}
	return cmd
}

// renewOnHangup renews the gateway's certificates at each SIGHUP, until the function that it returns is called. A file that is not
// in order changes nothing.
func renewOnHangup(g *gateway.Gateway, path string, log *slog.Logger) (end func()) {
	hangups := make(chan os.Signal, 1)
	signal.Notify(hangups, syscall.SIGHUP)
	var work sync.WaitGroup
	work.Go(func() {
		for range hangups {
			c, err := config.Load(path)
			if err != nil {
				log.Error("the configuration is not in order: the old certificate stays", "error", err)
				continue
			}
			g.Renew(c)
		}
	})
	return func() {
		signal.Stop(hangups)
		close(hangups)
		work.Wait()
	}
}

func logger(w io.Writer, format, level string) (*slog.Logger, error) {
	var o slog.HandlerOptions
	var l slog.Level
	if err := l.UnmarshalText([]byte(level)); err != nil {
		return nil, fmt.Errorf("--log-level %q: it is one of debug, info, warn, error", level)
	}
	o.Level = l
	switch format {
	case "text":
		return slog.New(slog.NewTextHandler(w, &o)), nil
	case "json":
		return slog.New(slog.NewJSONHandler(w, &o)), nil
	}
	return nil, fmt.Errorf("--log-format %q: it is one of text, json", format)
}
