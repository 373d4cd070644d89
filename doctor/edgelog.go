package doctor

import (
	"regexp"
	"slices"
	"strings"
)

// What the Edge's own log says about requests that it refused. To the peer it says nothing but 504.
var (
	notAllowed = regexp.MustCompile(`the domain (\S+) is not on the Allow list`)
	presented  = regexp.MustCompile(`has a certificate for "([^"]*)"`)
	onInternal = regexp.MustCompile(`SIPPROXY_\S*: .*on the internal interface`)
)

// maxLogPerKey is how many lines of one sort are shown.
const maxLogPerKey = 3

// readLog looks for what only the Edge knows. A line may be older than the mistake that it tells of has been repaired: that a
// domain is missing is only a finding while it is missing, and other lines count only if they were written during the examination.
func (e Edge) readLog(x *exam, lines []string, before int) {
	shown := map[string]int{}
	find := func(code, subject, line string) {
		if key := code + " " + subject; shown[key] < maxLogPerKey {
			shown[key]++
			x.find(code, subject, "the Edge's log: "+line)
		}
	}
	for i, line := range slices.Backward(lines) {
		if m := notAllowed.FindStringSubmatch(line); m != nil && e.fromGateway(line) {
			domain := strings.ToLower(m[1])
			if _, listed := e.listed(domain); !listed {
				find("edge.domain-not-allowed", domain, line)
			}
		}
		if i >= before && onInternal.MatchString(line) {
			find("edge.internal-interface", e.Name, line)
		}
	}
}

func (e Edge) listed(domain string) (next string, ok bool) {
	for d, n := range e.Allow {
		if strings.EqualFold(d, domain) {
			return n, true
		}
	}
	return "", false
}

// fromGateway reports whether a line is about a peer that the Allow list knows as a next hop. Others may ask for what they
// like. With no next hop on the list anybody may be the gateway.
func (e Edge) fromGateway(line string) bool {
	m := presented.FindStringSubmatch(line)
	hops := e.nextHops()
	if m == nil || len(hops) == 0 {
		return true
	}
	for _, name := range strings.Split(m[1], ", ") {
		if slices.ContainsFunc(hops, func(s *gatewaySeen) bool { return sameName(s.name, name) }) {
			return true
		}
	}
	return false
}
