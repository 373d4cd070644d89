// Command fedlab is a laboratory for XMPP–SIP federation: it runs scenarios, in which the real gateway stands between fakes of
// what it federates with, on a virtual network and in virtual time, and tells what is wrong with a deployment.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"fedlab/lab"
)

// Exit codes, on which scripts depend.
const (
	exitPassed = 0 // everything passed
	exitFailed = 1 // a scenario failed
	exitUnused = 2 // the input could not be used
)

// errFailed ends the program with exitFailed; what failed has been said by then.
var errFailed = errors.New("a scenario failed")

func main() {
	lab.Main(run)
}

func run(virtual lab.Clock) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	root := &cobra.Command{
		Use:           "fedlab",
		Short:         "A laboratory for XMPP–SIP federation",
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.AddCommand(runCommand(virtual), watchCommand(virtual), listCommand(), checkCommand(), explainCommand(virtual), pairsCommand(virtual), schemaCommand(), serveCommand(), cleanUpCommand())
	err := root.ExecuteContext(ctx)
	switch {
	case err == nil:
		return exitPassed
	case errors.Is(err, errFailed):
		return exitFailed
	default:
		fmt.Fprintln(os.Stderr, err)
		return exitUnused
	}
}
