package lab

import (
	"cmp"
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	"fedlab/lab/scenario"
	"fedlab/sim/googletalk"
)

// strangers are attempts at harm that go on beside the steps.
type strangers struct {
	all      sync.WaitGroup
	stops    []context.CancelFunc
	mu       sync.Mutex
	failures []Failure
}

// try begins an attempt.
func (s *strangers) try(ctx context.Context, w World, pos scenario.Pos, step *scenario.Stranger) {
	ctx, stop := context.WithCancel(ctx)
	s.stops = append(s.stops, stop)
	s.all.Go(func() {
		o, err := w.Stranger(ctx, step)
		message := ""
		switch got := ending(o); {
		case err != nil:
			message = err.Error()
		case got != step.Ends:
			message = fmt.Sprintf("expected that the attempt %s ends with %s, seen: %s after %v; answers: %s", step.Try, step.Ends, got,
				o.Took.Round(time.Millisecond), cmp.Or(strings.Join(o.Answers, ", "), "none"))
		default:
			return
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		s.failures = append(s.failures, Failure{pos, message})
	})
}

// stranger makes the attempt.
func (w *world) stranger(ctx context.Context, step *scenario.Stranger) (googletalk.Outcome, error) {
	h, err := w.machine(step.From)
	if err != nil {
		return googletalk.Outcome{}, err
	}
	as, victim := cmp.Or(step.As, "bob@gmail.com"), cmp.Or(step.Victim, "alice@contoso.com")
	_, claim, _ := strings.Cut(as, "@")
	_, domain, _ := strings.Cut(victim, "@")
	stranger := googletalk.Stranger{
		Network: h, Target: step.To, Host: step.From, Trace: w.trace, Seed: w.seed, Claim: claim, Victim: domain, From: as, To: victim,
		Version: strings.TrimPrefix(step.Version, "none"), Patience: time.Duration(step.Within), Count: step.Count,
	}
	return stranger.Try(ctx, googletalk.Attempt(step.Try))
}

// ending is what became of an attempt, in the words of scenarios.
func ending(o googletalk.Outcome) string {
	switch {
	case o.StreamError != "":
		return o.StreamError
	case o.Closed:
		return "closed"
	}
	return "open"
}

// ended waits until every attempt has come to its end, or cuts them short, and returns what was otherwise than expected.
func (s *strangers) ended(cut bool) []Failure {
	if !cut {
		s.all.Wait()
	}
	for _, stop := range s.stops {
		stop()
	}
	s.all.Wait()
	if cut {
		return nil
	}
	return s.failures
}
