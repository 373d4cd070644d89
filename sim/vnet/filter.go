package vnet

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"
)

// Verdict is what a rule does with a packet.
type Verdict string

// The verdicts.
const (
	Pass   Verdict = "pass"
	Drop   Verdict = "drop"   // nobody is told
	Reject Verdict = "reject" // the sender is told: TCP by a reset, anything else by ICMP port unreachable
	Reset  Verdict = "reset"  // like Reject, but both ends of a TCP connection get a reset
	Delay  Verdict = "delay"  // passed after Rule.Delay
)

// Rule is one named rule of a packet filter. An empty field matches everything. The first rule that matches decides.
type Rule struct {
	Name       string
	From       string         // segment the packet comes from
	To         string         // segment the packet goes to; never matches what is for the router itself
	Protocol   string         // tcp, udp, icmp
	Source     []netip.Prefix // before source translation
	Target     []netip.Prefix // after port forwarding
	SourcePort int
	Port       int // destination port, after port forwarding

	// Stateless rules judge every packet, replies included; the others judge only what begins a connection.
	Stateless bool
	SYNACK    bool   // only TCP segments with SYN and ACK, the answer to a connection attempt; for stateless rules
	Flags     string // TCP control bits that must be set, or clear with a "!" before them: "SYN !ACK", "RST"

	Verdict Verdict
	Delay   time.Duration // for verdict Delay

	// A rule may act on some of the packets that match; the others go on to the next rule. Counting starts when the rule
	// is installed. Zero values place no limit.
	Nth   int           // only the nth packet
	First int           // only the first n
	Every int           // only every nth
	For   time.Duration // only for so long after the rule was installed
}

func validateRules(rules []Rule, segments map[string]netip.Prefix) error {
	var errs []error
	seen := map[string]bool{}
	for i, r := range rules {
		bad := func(format string, args ...any) {
			errs = append(errs, fmt.Errorf("rule %d (%s) "+format, append([]any{i + 1, r.Name}, args...)...))
		}
		if r.Name == "" {
			bad("has no name; verdicts are reported by name")
		}
		if seen[r.Name] {
			bad("has the name of an earlier rule")
		}
		seen[r.Name] = true
		for _, s := range []string{r.From, r.To} {
			if _, ok := segments[s]; !ok && s != "" && segments != nil {
				bad("names segment %q, where the router has no interface", s)
			}
		}
		if !slices.Contains([]string{"", "tcp", "udp", "icmp"}, r.Protocol) {
			bad("has protocol %q, which is none of tcp, udp, icmp", r.Protocol)
		}
		if !slices.Contains([]Verdict{Pass, Drop, Reject, Reset, Delay}, r.Verdict) {
			bad("has verdict %q, which is none of pass, drop, reject, reset, delay", r.Verdict)
		}
		if _, _, err := parseFlags(r.Flags); err != nil {
			bad("%v", err)
		}
		if r.SYNACK && !r.Stateless && segments != nil {
			bad("is about SYN ACK segments, which begin no connection: make it stateless")
		}
	}
	return errors.Join(errs...)
}

// parseFlags reads "SYN !ACK" into the bits that must be set and those that must be clear.
func parseFlags(s string) (set, clear tcpFlags, err error) {
	for _, word := range strings.Fields(s) {
		name, not := strings.CutPrefix(word, "!")
		i := slices.Index(flagNames[:], name)
		if i < 0 {
			return 0, 0, fmt.Errorf("has flag %q, which is none of %s", word, strings.Join(flagNames[:], ", "))
		}
		if not {
			clear |= 1 << i
		} else {
			set |= 1 << i
		}
	}
	return set, clear, nil
}

// rule is an installed rule with its counters.
type rule struct {
	Rule
	set, clear tcpFlags
	since      time.Duration
	seen       int // packets that matched
	hits       int // of those, packets that the rule acted on
}

// install makes rules effective at an instant. They are valid.
func install(rules []Rule, at time.Duration) []*rule {
	installed := make([]*rule, len(rules))
	for i, r := range rules {
		set, clear, _ := parseFlags(r.Flags)
		if r.SYNACK {
			set |= flagSYN | flagACK
		}
		installed[i] = &rule{Rule: r, set: set, clear: clear, since: at}
	}
	return installed
}

// subject is a packet as a filter sees it: on its way from one segment to another, after port forwarding and before source
// translation.
type subject struct {
	from, to string // to is empty for what is for the router itself
	proto    proto
	src, dst netip.AddrPort
	flags    tcpFlags
	begins   bool // the packet begins a connection
}

func (r *rule) matches(s *subject) bool {
	if !r.Stateless && !s.begins {
		return false
	}
	if r.From != "" && r.From != s.from || r.To != "" && r.To != s.to {
		return false
	}
	if r.Protocol != "" && r.Protocol != s.proto.String() {
		return false
	}
	if r.Port != 0 && r.Port != int(s.dst.Port()) || r.SourcePort != 0 && r.SourcePort != int(s.src.Port()) {
		return false
	}
	if (r.set|r.clear) != 0 && (s.proto != protoTCP || s.flags&r.set != r.set || s.flags&r.clear != 0) {
		return false
	}
	return within(r.Source, s.src.Addr()) && within(r.Target, s.dst.Addr())
}

func within(prefixes []netip.Prefix, a netip.Addr) bool {
	return len(prefixes) == 0 || slices.ContainsFunc(prefixes, func(p netip.Prefix) bool { return p.Contains(a) })
}

// acts counts a packet that matches and says whether the rule acts on it.
func (r *rule) acts(at time.Duration) bool {
	if r.For > 0 && at-r.since >= r.For {
		return false
	}
	r.seen++
	if r.Nth > 0 && r.seen != r.Nth || r.First > 0 && r.seen > r.First || r.Every > 0 && r.seen%r.Every != 0 {
		return false
	}
	r.hits++
	return true
}

// judge returns the first rule that matches the subject and acts on it, or nil.
func judge(rules []*rule, s *subject, at time.Duration) *rule {
	for _, r := range rules {
		if r.matches(s) && r.acts(at) {
			return r
		}
	}
	return nil
}

// hits returns the counters by name.
func hits(rules []*rule) map[string]int {
	counts := map[string]int{}
	for _, r := range rules {
		counts[r.Name] = r.hits
	}
	return counts
}
