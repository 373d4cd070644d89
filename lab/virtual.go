package lab

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"fedlab/lab/scenario"
)

// This file alone knows how virtual time is had: from testing/synctest, whose bubbles need a *testing.T. An ordinary program
// gets one from testing.Main, a test has one. What runs in a bubble sees a clock that starts at 2000-01-01 00:00 UTC and
// moves when everybody waits.

// Clock runs f and returns when f and every goroutine that f started have ended. An error means that they have not: they
// wait for each other for ever, or f did not come to its end within the patience, which is wall time.
type Clock func(patience time.Duration, f func()) error

// stallLimit is the wall time after which a run counts as stalled. A scenario takes milliseconds; one that holds a
// mutex across a blocked write stops virtual time and would otherwise hang for ever.
const stallLimit = 60 * time.Second

// patience is the limit for a deployment: so much more for every hundred users of the farm's crowd.
func patience(t *scenario.Topology) time.Duration {
	limit := stallLimit
	for _, h := range t.Hosts {
		if h.GoogleTalk != nil && h.GoogleTalk.Crowd != nil {
			limit += stallLimit * time.Duration(h.GoogleTalk.Crowd.Users) / 100
		}
	}
	return limit
}

// ErrLeak means that goroutines were left behind when a scenario had ended.
var ErrLeak = errors.New("goroutines are left that nobody ends")

// ErrStalled means that virtual time stood still: a goroutine waits for a mutex that another holds across a blocked call.
var ErrStalled = errors.New("virtual time stands still")

// RealTime runs f by the machine's own clock.
func RealTime(_ time.Duration, f func()) error { f(); return nil }

// Main runs main with a clock of virtual time and ends the program with the exit code that main returns. Every call of the
// clock is a bubble with a time of its own; bubbles may run side by side. The program's flags have to be parsed before, and
// not with package flag, which belongs to package testing here.
func Main(main func(virtual Clock) int) {
	testing.Init()
	// Without arguments of its own: os.Args belongs to the program.
	if err := flag.CommandLine.Parse(nil); err != nil {
		panic(err)
	}
	everything := func(string, string) (bool, error) { return true, nil }
	testing.Main(everything, []testing.InternalTest{{Name: "lab", F: func(t *testing.T) {
		os.Exit(main(VirtualTime(t)))
	}}}, nil, nil)
}

// VirtualTime is the clock for a test.
func VirtualTime(t *testing.T) Clock {
	return func(patience time.Duration, f func()) error {
		done := make(chan error, 1)
		go func() { done <- bubble(t, f) }()
		watchdog := time.NewTimer(patience)
		defer watchdog.Stop()
		select {
		case err := <-done:
			return err
		case <-watchdog.C:
			return fmt.Errorf("%w after %v of wall time; these goroutines run or wait:\n%s", ErrStalled, patience, stacks())
		}
	}
}

// bubble runs f in a bubble. synctest panics in the goroutine that called it when the bubble's goroutines wait for each
// other for ever; that is a failure of one scenario, not of the program.
func bubble(t *testing.T, f func()) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%w: %v\n%s", ErrLeak, p, stacks())
		}
	}()
	synctest.Test(t, func(*testing.T) { f() })
	return nil
}

func stacks() []byte {
	buf := make([]byte, 1<<20)
	return buf[:runtime.Stack(buf, true)]
}
