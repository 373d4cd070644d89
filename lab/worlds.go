package lab

import (
	"context"
	"log/slog"
	"slices"
	"time"

	"fedlab/doctor"
	"fedlab/lab/report"
	"fedlab/lab/scenario"
	"fedlab/sim/googletalk"
	"fedlab/sim/trace"
)

// World is a deployed topology, running. Steps are done in it and judged by its trace, in the same way whatever it is made of: the
// virtual network of package vnet, or the containers of package containers.
type World interface {
	// Trace is what the taps and the users' clients have seen so far. It may get events late; each carries the time at which it happened.
	Trace() *trace.Recorder

	Send(ctx context.Context, s *scenario.Send, body string) error // one message
	People(ctx context.Context, s *scenario.Step) error            // what users do beside sending
	Look(ctx context.Context, s *scenario.Step) ([]report.View, error)
	Stranger(ctx context.Context, s *scenario.Stranger) (googletalk.Outcome, error) // returns when the attempt has ended
	Examine(ctx context.Context, from string) []doctor.Finding                      // from one vantage point, or from all if it is empty

	Cut(ctx context.Context, segment string) error
	Restore(ctx context.Context, segment string) error
	StopHost(ctx context.Context, host string) error
	KillHost(ctx context.Context, host string) error // takes the power from it
	StartHost(ctx context.Context, host string) error
	Change(ctx context.Context, t *scenario.Topology) error

	Views(ctx context.Context) []report.View // the socket tables at the end
	Captures(dir string) error               // after Close, if Options.Pcap asked for them
	Close() error                            // ends everything and waits for it
}

// Builder deploys a topology and starts everything on it. It returns nil with an error, and then has left nothing behind.
type Builder func(ctx context.Context, t *scenario.Topology, o Options, log *slog.Logger) (World, error)

// Virtual builds the world on the virtual network.
func Virtual(ctx context.Context, t *scenario.Topology, o Options, log *slog.Logger) (World, error) {
	w, err := build(ctx, t, o, log)
	if err != nil {
		return nil, err
	}
	return local{w}, nil
}

// local is the world in this process.
type local struct{ *world }

func (l local) Trace() *trace.Recorder { return l.trace }

func (l local) Send(ctx context.Context, s *scenario.Send, body string) error {
	return l.send(ctx, s, body)
}

func (l local) People(ctx context.Context, s *scenario.Step) error { return l.act(ctx, s) }

func (l local) Look(ctx context.Context, s *scenario.Step) ([]report.View, error) {
	return look(ctx, s, l.machine)
}

func (l local) Stranger(ctx context.Context, s *scenario.Stranger) (googletalk.Outcome, error) {
	return l.stranger(ctx, s)
}

func (l local) Examine(ctx context.Context, from string) []doctor.Finding {
	return l.examine(ctx, from)
}

func (l local) Cut(_ context.Context, segment string) error {
	l.net.Segment(segment).Cut()
	return nil
}

func (l local) Restore(_ context.Context, segment string) error {
	l.net.Segment(segment).Restore()
	return nil
}

func (l local) StopHost(_ context.Context, host string) error    { return l.stopHost(host) }
func (l local) KillHost(_ context.Context, host string) error    { return l.killHost(host) }
func (l local) StartHost(ctx context.Context, host string) error { return l.startHost(ctx, host) }

func (l local) Change(ctx context.Context, t *scenario.Topology) error { return l.change(ctx, t) }
func (l local) Views(context.Context) []report.View                    { return l.views() }
func (l local) Close() error                                           { return l.stop() }

func (l local) Captures(dir string) error { return l.capture.WriteDir(dir) }

// inOrder puts events into the order in which they happened. Machines of their own tell them late, each machine its own in order.
func inOrder(events []trace.Event) []trace.Event {
	byTime := func(a, b trace.Event) int { return a.At.Compare(b.At) }
	if slices.IsSortedFunc(events, byTime) {
		return events
	}
	slices.SortStableFunc(events, byTime)
	for i := range events {
		events[i].Seq = i + 1
	}
	return events
}

// follower reads a trace as it grows, in the order in which things happened.
type follower struct {
	trace  *trace.Recorder
	enter  func(trace.Event)
	forget func() // everything that was entered: it is entered again, since something that happened before was told late

	seen int
	last time.Time
}

// catchUp enters what has come.
func (f *follower) catchUp() {
	fresh := f.trace.Since(f.seen)
	if len(fresh) == 0 {
		return
	}
	f.seen = fresh[len(fresh)-1].Seq
	if slices.ContainsFunc(fresh, func(e trace.Event) bool { return e.At.Before(f.last) }) {
		f.forget()
		fresh = f.trace.Events()
	}
	fresh = inOrder(fresh)
	for _, e := range fresh {
		f.enter(e)
	}
	f.last = fresh[len(fresh)-1].At
}

// more waits until people have done or seen more than was entered. It is false when ctx has ended before.
func (f *follower) more(ctx context.Context) bool {
	_, err := f.trace.Await(ctx, f.seen, func(e trace.Event) bool { return e.Layer == trace.Client })
	return err == nil
}
