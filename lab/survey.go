package lab

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"time"

	"fedlab/internal/strictyaml"
	"fedlab/lab/scenario"
	"fedlab/sim/googletalk"
)

// Survey deploys a scenario, lets its users send what they send in it, and has the doctor look from everywhere. It judges neither
// the steps nor the findings, only what every run has to hold, and the result keeps no trace: thousands are surveyed at once.
func Survey(s *scenario.Scenario, o Options) *Result { return inside(s, o, survey) }

func survey(s *scenario.Scenario, o Options) *Result {
	r := &Result{Scenario: s, Seed: o.Seed}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	began := time.Now()
	w, err := build(ctx, s.Deployed, o, slog.New(slog.NewTextHandler(io.Discard, nil)))
	if err != nil {
		var mistakes *strictyaml.Errors
		r.contradictory = errors.As(err, &mistakes)
		r.Failures = append(r.Failures, Failure{whole(s), "the deployment cannot be built: " + err.Error()})
		return r
	}
	for _, step := range s.Talk() {
		if step.Wait != nil {
			settle(ctx, w.trace)
			_ = pause(ctx, time.Duration(step.Wait.Duration))
			continue
		}
		for _, body := range bodies(step.Send.Body, step.Send.Count) {
			// A user whose server does not run sends nothing.
			if err := w.send(ctx, step.Send, body); err != nil && !errors.Is(err, googletalk.ErrDown) {
				r.Failures = append(r.Failures, Failure{step.Pos, err.Error()})
			}
		}
	}
	settle(ctx, w.trace)
	r.Findings = w.examine(ctx, "")
	if err := w.stop(); err != nil {
		r.Failures = append(r.Failures, Failure{whole(s), "not everything stopped cleanly: " + err.Error()})
	}
	r.Virtual = time.Since(began)
	r.Failures = append(r.Failures, judgeAlways(whole(s), w.trace.Events())...)
	return r
}
