package lab

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"fedlab/lab/report"
	"fedlab/lab/scenario"
	"fedlab/sim/trace"
)

// play is a scenario being played in a world.
type play struct {
	world    World
	scenario *scenario.Scenario
	shown    map[string][]trace.Event // what users' clients have shown and no expectation has claimed, by user
	read     int                      // Seq of the last event of which shown knows
	views    []report.View            // what the field's tools showed, for the report

	strangers strangers

	crowd  *crowd
	random *rand.Rand
	peaked time.Time // when a step has last looked at a peak
}

// steps does the steps in their order and returns the first that failed. What comes after a failed step would say nothing.
func (p *play) steps(ctx context.Context) *Failure {
	for i := range p.scenario.Steps {
		s := &p.scenario.Steps[i]
		if err := p.step(ctx, s); err != nil {
			first, _, _ := strings.Cut(err.Error(), "; the last events before:")
			p.world.Trace().Record(trace.Event{Layer: trace.Step, Kind: trace.Failed, Summary: fmt.Sprintf("line %d: %s", s.Pos.Line, first)})
			return &Failure{s.Pos, err.Error()}
		}
	}
	return nil
}

func (p *play) step(ctx context.Context, s *scenario.Step) error {
	switch {
	case s.Send != nil:
		return p.send(ctx, s.Send)
	case s.Expect != nil:
		return p.expect(ctx, s.Expect)
	case s.Wait != nil:
		return pause(ctx, time.Duration(s.Wait.Duration))
	case s.Cut != nil:
		return p.world.Cut(ctx, s.Cut.Segment)
	case s.Restore != nil:
		return p.world.Restore(ctx, s.Restore.Segment)
	case s.Arrive != nil:
		return p.arrive(ctx, s.Arrive)
	case s.Leave != nil:
		return p.leave(ctx, s.Leave)
	case s.Live != nil:
		return p.live(ctx, s.Live)
	case s.Agree != nil:
		return p.agree(ctx, s.Agree)
	case s.Peak != nil:
		return p.peak(s.Peak)
	case s.Restart != nil:
		return p.restart(ctx, s.Restart)
	case s.Stop != nil:
		return p.stop(ctx, s.Stop.Host, p.world.StopHost)
	case s.Kill != nil:
		return p.stop(ctx, s.Kill.Host, p.world.KillHost)
	case s.Start != nil:
		return p.world.StartHost(ctx, s.Start.Host)
	case s.Change != nil:
		return p.world.Change(ctx, s.Change.Deployed)
	case s.Stranger != nil:
		p.strangers.try(ctx, p.world, s.Pos, s.Stranger)
		return nil
	case s.Nslookup != nil, s.Telnet != nil, s.Netstat != nil:
		views, err := p.world.Look(ctx, s)
		p.views = append(p.views, views...)
		return err
	case s.Doctor != nil:
		return p.doctor(ctx, s)
	}
	return p.world.People(ctx, s)
}

// stop ends what runs on a host, in one way or another.
func (p *play) stop(ctx context.Context, host string, end func(context.Context, string) error) error {
	err := end(ctx, host)
	p.crowd.down(p.scenario.Deployed, host)
	return err
}

// restart ends what runs on a host and starts it again.
func (p *play) restart(ctx context.Context, r *scenario.Restart) error {
	if err := p.stop(ctx, r.Host, p.world.StopHost); err != nil {
		return err
	}
	if err := pause(ctx, cmp.Or(time.Duration(r.After), time.Second)); err != nil {
		return err
	}
	return p.world.StartHost(ctx, r.Host)
}

func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (p *play) send(ctx context.Context, s *scenario.Send) error {
	for _, body := range bodies(s.Body, s.Count) {
		if err := p.world.Send(ctx, s, body); err != nil {
			return fmt.Errorf("%s cannot send: %w", s.From, err)
		}
	}
	return nil
}

// bodies are the texts of a run of count messages.
func bodies(body string, count int) []string {
	if count == 0 {
		return []string{body}
	}
	var all []string
	for i := range count {
		all = append(all, fmt.Sprintf("%s %d", body, i+1))
	}
	return all
}

const defaultWithin = 10 * time.Second

func within(d scenario.Duration) time.Duration {
	if d == 0 {
		return defaultWithin
	}
	return time.Duration(d)
}

func (p *play) expect(ctx context.Context, x *scenario.Expect) error {
	ctx, cancel := context.WithTimeout(ctx, within(x.Within))
	defer cancel()
	for _, body := range bodies(x.Body, x.Count) {
		matches := func(e trace.Event) bool {
			return (x.From == "" || e.From == x.From) && (shows(e.Item, body, x) || p.notified(e, body, x))
		}
		e, found := p.claim(ctx, x.At, matches)
		if x.Never {
			if found {
				return fmt.Errorf("expected that for %v %s is not shown %s, and it was: %s%s", within(x.Within), x.At, wanted(x, body),
					describe(e.Item), before(p.world.Trace().Events(), e.Seq+1))
			}
			continue
		}
		if !found {
			return fmt.Errorf("expected within %v: %s is shown %s; %s%s", within(x.Within), x.At, wanted(x, body),
				p.seen(x.At), before(p.world.Trace().Events(), p.world.Trace().Len()))
		}
	}
	return nil
}

// claim waits for something that a user's client shows and takes it, so that no other expectation is content with it.
func (p *play) claim(ctx context.Context, user string, matches func(trace.Event) bool) (trace.Event, bool) {
	for {
		for _, e := range p.world.Trace().Since(p.read) {
			p.read = e.Seq
			if e.Layer == trace.Client && e.Kind == trace.Received {
				p.shown[e.To] = append(p.shown[e.To], e)
			}
		}
		if i := slices.IndexFunc(p.shown[user], matches); i >= 0 {
			e := p.shown[user][i]
			p.shown[user] = slices.Delete(p.shown[user], i, i+1)
			return e, true
		}
		if _, err := p.world.Trace().Await(ctx, p.read, func(e trace.Event) bool { return e.To == user }); err != nil {
			return trace.Event{}, false
		}
	}
}

func shows(i trace.Item, body string, x *scenario.Expect) bool {
	switch {
	case x.Typing != "":
		return i.Type == trace.Typing && i.State == x.Typing
	case x.Presence != nil:
		return i.Type == trace.Presence && i.State == x.Presence.State && (x.Presence.Status == "" || i.Body == x.Presence.Status)
	case x.Subscription != "":
		return i.Type == trace.Subscription && i.State == x.Subscription
	case x.Receipt:
		return i.Type == trace.Receipt && (body == "" || i.Body == body)
	case x.Error == nil:
		return i.Type == trace.Message && i.Body == body
	}
	wantError := x.Error
	return i.Type == trace.Error &&
		(body == "" || i.Body == body) &&
		(wantError.Condition == "" || i.Condition == wantError.Condition) &&
		(wantError.Code == 0 || i.Code == wantError.Code)
}

// notified reports whether a SIP user is told of a late failure, by a notice in the window of the conversation.
func (p *play) notified(e trace.Event, body string, x *scenario.Expect) bool {
	if x.Error == nil || x.Error.Code != 0 || e.Item.Type != trace.Message {
		return false
	}
	events := p.world.Trace().Events()
	slices.SortStableFunc(events, func(a, b trace.Event) int { return a.At.Compare(b.At) }) // each keeps the Seq by which it is known here
	var messages ledger
	for _, e := range events {
		messages.enter(e)
	}
	about, is := messages.notices[e.Seq]
	return is && (body == "" || about == body) && strings.Contains(e.Item.Body, x.Error.Condition)
}

func wanted(x *scenario.Expect, body string) string {
	var b strings.Builder
	switch {
	case x.Typing != "":
		b.WriteString(x.Typing)
	case x.Presence != nil:
		b.WriteString(strings.TrimSpace("the presence " + x.Presence.State + " " + x.Presence.Status))
	case x.Subscription != "":
		b.WriteString("the question or answer " + x.Subscription)
	case x.Receipt:
		fmt.Fprintf(&b, "the receipt for %q", body)
	case x.Error == nil:
		fmt.Fprintf(&b, "the message %q", body)
	case x.Error.Condition != "":
		fmt.Fprintf(&b, "the error %s", x.Error.Condition)
	case x.Error.Code != 0:
		fmt.Fprintf(&b, "the error %d", x.Error.Code)
	default:
		b.WriteString("an error")
	}
	if x.Error != nil && body != "" {
		fmt.Fprintf(&b, " for %q", body)
	}
	if x.From != "" {
		b.WriteString(" from " + x.From)
	}
	return b.String()
}

// seen is what the user's client has shown so far that no step has claimed.
func (p *play) seen(user string) string {
	var items []string
	for _, e := range p.shown[user] {
		items = append(items, fmt.Sprintf("the %s %q from %s", e.Item.Type, describe(e.Item), e.From))
	}
	if len(items) == 0 {
		return "seen: nothing"
	}
	return "seen: " + strings.Join(items, ", ")
}

func (p *play) doctor(ctx context.Context, s *scenario.Step) error {
	found := p.world.Examine(ctx, s.Doctor.From)
	failures := judgeFindings(s.Pos, s.Doctor.Findings, found)
	if len(failures) == 0 {
		return nil
	}
	return errors.New(failures[0].Message)
}
