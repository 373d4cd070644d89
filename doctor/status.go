package doctor

import (
	"context"
	"encoding/json"
	"fmt"
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

// claim is a peer's claim to speak for a domain that the gateway did not believe, and that was not proved since.
type claim struct {
	At        time.Time `json:"at"`
	From      string    `json:"from"`
	Domain    string    `json:"domain"`
	To        string    `json:"to"`
	Reason    string    `json:"reason"`
	Condition string    `json:"condition"`
	Times     int       `json:"times"`
}

// String is the claim in words.
func (c claim) String() string {
	s := fmt.Sprintf("%s claimed to speak for %s to %s: %s", c.From, c.Domain, c.To, c.Reason)
	if c.Condition != "" {
		s += " (" + c.Condition + ")"
	}
	return s + fmt.Sprintf(", %d times, last at %s", c.Times, day(c.At))
}

// recent is how long ago a claim may have been made. Nobody is bothered with what happened last week.
const recent = time.Hour

// judgeStatus asks the running gateway whom it did not believe. A gateway that does not run, or has no admin listener, says nothing.
//
// A wrong key from one of the domain's own servers is their mistake, or somebody between us and them; from anybody else it is a
// forged origin. That the domain's server could not be asked is a finding only while it can be reached otherwise.
func (g Gateway) judgeStatus(ctx context.Context, x *exam, farms []*farm) {
	if g.Status == nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, Patience)
	defer cancel()
	data, err := g.Status(ctx)
	var s status
	if err != nil || json.Unmarshal(data, &s) != nil {
		return
	}
	for _, w := range s.XMPP.Streams {
		x.judgeWay(w, farms)
	}
	x.judgeCallers(s.SIP)
	x.judgeSilences(portOf(g.Config.XMPP.Listen, xmppPort), s.XMPP.Breaks)
	x.judgeSilences(portOf(g.Config.SIP.Listen, sipPort), s.SIP.Breaks)
	for _, c := range s.XMPP.Refusals {
		if time.Since(c.At) > recent {
			continue
		}
		i := slices.IndexFunc(farms, func(f *farm) bool { return f.domain == c.Domain })
		switch c.Reason {
		case "domain-not-allowed":
			x.find("xmpp.domain-not-allowed", c.Domain, c.String())
		case "not-proven":
			x.find("xmpp.forged-origin", c.Domain, c.String())
		case "key-invalid":
			if i >= 0 && !farms[i].known() {
				continue // who its servers are cannot be found out, and that is found elsewhere
			}
			if i >= 0 && farms[i].has(c.From) {
				x.find("xmpp.dialback", c.Domain, c.String(), c.From+" is one of the servers that DNS names for "+c.Domain)
			} else {
				x.find("xmpp.forged-origin", c.Domain, c.String(), c.From+" is none of the servers that DNS names for "+c.Domain)
			}
		case "key-unverified":
			if i >= 0 && farms[i].stream != nil {
				x.find("xmpp.dialback", c.Domain, c.String(), farms[i].stream.String())
			}
		}
	}
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
