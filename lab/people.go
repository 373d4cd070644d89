package lab

import (
	"cmp"
	"context"
	"errors"
	"fmt"

	"fedlab/lab/scenario"
	"fedlab/sim/googletalk"
	"fedlab/sim/ocsedge"
)

// errNobody is returned when no fake serves a user. The parser lets no such user act.
var errNobody = errors.New("no fake serves this user")

// send makes a user of either side send one message.
func (w *world) send(ctx context.Context, s *scenario.Send, body string) error {
	if p := w.people[s.From]; p != nil {
		return p.Send(s.To, body, s.Receipt)
	}
	if edge := w.edgeOf(s.From); edge != nil {
		return edge.Send(ctx, ocsedge.SendOptions{From: s.From, To: s.To, Body: body, Receipt: s.Receipt})
	}
	farm := w.farmOf(s.From)
	if farm == nil {
		return fmt.Errorf("%s: %w", s.From, errNobody)
	}
	return farm.Send(ctx, googletalk.SendOptions{From: s.From, To: s.To, Body: body, Via: s.Via, Receipt: s.Receipt})
}

// people does what users do beside sending.
func (w *world) act(ctx context.Context, s *scenario.Step) error {
	if p, do := w.personIn(s); p != nil {
		return do()
	}
	switch {
	case s.Typing != nil:
		state := cmp.Or(s.Typing.State, "composing")
		if edge := w.edgeOf(s.Typing.From); edge != nil {
			return edge.Typing(ctx, s.Typing.From, s.Typing.To, state == "composing")
		}
		return w.farmOf(s.Typing.From).Typing(ctx, googletalk.TypingOptions{From: s.Typing.From, To: s.Typing.To, State: state})
	case s.Close != nil:
		return w.edgeOf(s.Close.From).EndSession(ctx, s.Close.From, s.Close.To)
	case s.Presence != nil:
		state := cmp.Or(s.Presence.State, "available")
		if edge := w.edgeOf(s.Presence.User); edge != nil {
			return edge.SetPresence(ctx, s.Presence.User, state, s.Presence.Status)
		}
		return w.farmOf(s.Presence.User).SetPresence(ctx, googletalk.PresenceOptions{User: s.Presence.User, Client: s.Presence.Client, State: state, Status: s.Presence.Status})
	case s.Subscribe != nil:
		return w.subscription(ctx, s.Subscribe, (*ocsedge.Edge).Subscribe, (*googletalk.Farm).Subscribe)
	case s.Unsubscribe != nil:
		return w.subscription(ctx, s.Unsubscribe, (*ocsedge.Edge).Unsubscribe, (*googletalk.Farm).Unsubscribe)
	case s.Approve != nil:
		return w.subscription(ctx, s.Approve, allow(true), (*googletalk.Farm).Approve)
	case s.Deny != nil:
		return w.subscription(ctx, s.Deny, allow(false), (*googletalk.Farm).Deny)
	}
	return errors.New("a step without anything to do") // the parser lets none through
}

// allow is an Edge user's answer to who wants to see the user.
func allow(yes bool) func(*ocsedge.Edge, context.Context, string, string) error {
	return func(e *ocsedge.Edge, ctx context.Context, user, peer string) error {
		return e.Approve(ctx, user, peer, yes)
	}
}

// subscription does what the four verbs about seeing one another have in common.
func (w *world) subscription(ctx context.Context, s *scenario.Subscription,
	pool func(e *ocsedge.Edge, ctx context.Context, user, peer string) error,
	farm func(f *googletalk.Farm, ctx context.Context, o googletalk.SubscriptionOptions) error,
) error {
	if edge := w.edgeOf(s.From); edge != nil {
		return pool(edge, ctx, s.From, s.To)
	}
	return farm(w.farmOf(s.From), ctx, googletalk.SubscriptionOptions{User: s.From, Contact: s.To})
}
