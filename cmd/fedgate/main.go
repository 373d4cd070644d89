// Command fedgate is the XMPP–SIP gateway: it runs it, checks its configuration, and says what is wrong with its surroundings.
//
// Exit codes: 0 all is well; 1 the gateway failed, or the doctor found something; 2 the input could not be used.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"
)

// The exit codes.
const (
	exitWell   = 0
	exitFailed = 1
	exitInput  = 2
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends the process without waiting for the first one's orderly stop
	os.Exit(execute(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

// exitError is an error that decides the exit code.
type exitError struct {
	code int
	err  error // nil: everything was said already
}

func (e *exitError) Error() string {
	if e.err == nil {
		return ""
	}
	return e.err.Error()
}

func (e *exitError) Unwrap() error { return e.err }

// execute runs one command and returns its exit code. Errors of cobra itself (an unknown flag, a missing one) are bad input.
func execute(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	root := &cobra.Command{
		Use:           "fedgate",
		Short:         "The gateway between XMPP federation and a SIP Access Edge",
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.SetArgs(args)
	root.SetOut(stdout)
	root.SetErr(stderr)
	root.AddCommand(runCommand(), checkCommand(), doctorCommand(), healthCommand())
	err := root.ExecuteContext(ctx)
	if err == nil {
		return exitWell
	}
	if text := err.Error(); text != "" {
		fmt.Fprintln(stderr, text)
	}
	var exit *exitError
	if errors.As(err, &exit) {
		return exit.code
	}
	fmt.Fprintln(stderr, `Run "fedgate --help" for the commands and their flags.`)
	return exitInput
}

// configFlag adds the flag that every command needs.
func configFlag(cmd *cobra.Command) *string {
	path := cmd.Flags().StringP("config", "c", "", "the configuration `FILE`")
	if err := cmd.MarkFlagRequired("config"); err != nil {
		panic(err) // the flag stands one line above
	}
	return path
}
