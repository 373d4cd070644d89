package doctor

import (
	"context"
	"encoding/json"
	"errors"
	"net/netip"
	"slices"
	"time"
)

// status is what the doctor reads of a running gateway's status, as its admin listener gives it out.
type status struct {
	XMPP struct {
		Streams  []way     `json:"streams"`
		Refusals []claim   `json:"refusals"`
		Breaks   []silence `json:"breaks"`
	} `json:"xmpp"`
	SIP callers `json:"sip"`
}

// recent is how long ago a claim may have been made. Nobody is bothered with what happened last week.
const recent = time.Hour

// errUnasked stands for the answer of a gateway that has no admin listener.
var errUnasked = errors.New("the configuration has no admin listener to ask")

// judgeStatus asks the running gateway what happened to it. The error is why it does not say.
func (g Gateway) judgeStatus(ctx context.Context, x *exam, farms []*farm) error {
	if g.Status == nil {
		return errUnasked
	}
	ctx, cancel := context.WithTimeout(ctx, Patience)
	defer cancel()
	data, err := g.Status(ctx)
	if err != nil {
		return err
	}
	var s status
	if err := json.Unmarshal(data, &s); err != nil {
		return err
	}
	for _, w := range s.XMPP.Streams {
		x.judgeWay(w, farms)
	}
	x.judgeCallers(s.SIP)
	x.judgeSilences(portOf(g.Config.XMPP.Listen, xmppPort), s.XMPP.Breaks)
	x.judgeSilences(portOf(g.Config.SIP.Listen, sipPort), s.SIP.Breaks)
	var refused []refusal
	for _, c := range s.XMPP.Refusals {
		if time.Since(c.At) <= recent {
			refused = append(refused, c.judge(farms)...)
		}
	}
	x.refusals(refused)
	return nil
}

// known reports whether the addresses of all the domain's servers are known.
func (f *farm) known() bool {
	return len(f.targets) > 0 && !slices.ContainsFunc(f.targets, func(t *target) bool { return t.lookup == nil || t.lookup.err != nil })
}

// has reports whether an address is that of one of the domain's servers.
func (f *farm) has(address string) bool {
	a, err := netip.ParseAddr(address)
	if err != nil {
		return false
	}
	return slices.ContainsFunc(f.targets, func(t *target) bool { return t.lookup != nil && slices.Contains(t.lookup.addrs, a.Unmap()) })
}
