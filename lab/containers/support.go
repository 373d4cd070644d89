package containers

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"fedlab/lab/scenario"
)

// ErrUnsupported means that a topology asks for something that only the virtual network can do.
var ErrUnsupported = errors.New("this deployment cannot be made of containers")

// support says everything in t that cannot be done here. Latency and jitter are left out of the comparison: no verdict may hang on them.
func support(t *scenario.Topology) error {
	var missing []string
	no := func(format string, args ...any) { missing = append(missing, fmt.Sprintf(format, args...)) }
	for _, name := range sorted(t.Segments) {
		l := t.Segments[name].Link
		if l.Loss+l.Duplicate+l.Reorder > 0 || l.Bandwidth+l.MTU > 0 {
			no("segment %s: loss, duplicates, reordering, bandwidth and MTU of links", name)
		}
		for _, p := range t.Segments[name].Prefixes {
			if !p.Addr().Is4() {
				no("segment %s: IPv6", name)
			}
		}
		if len(name) > longestName {
			no("segment %s: its name is the name of interfaces, which have at most %d letters", name, longestName)
		}
	}
	for _, name := range sorted(t.Routers) {
		r := t.Routers[name]
		if r.NAT != (scenario.NAT{}) {
			no("router %s: another behaviour of NAT than Linux's", name)
		}
		if r.Silent || r.ClampMSS {
			no("router %s: its silence about packets that are too big, and a clamped MSS", name)
		}
		if r.State.DataOnly {
			no("router %s: keep-alive probes that do not count as traffic", name)
		}
		for _, rule := range r.Rules.Keys {
			v := r.Rules.Values[rule]
			if v.Verdict == scenario.Delay || v.Nth+v.First+v.Every > 0 || v.For > 0 {
				no("router %s, rule %s: delays, and rules about some packets only", name, rule)
			}
		}
	}
	everything := 0
	for _, name := range sorted(t.Segments) {
		if slices.ContainsFunc(t.Segments[name].Prefixes, func(p netip.Prefix) bool { return p.Bits() == 0 }) {
			everything++
		}
	}
	if everything > 1 {
		no("%d segments that are the whole Internet", everything)
	}
	var farm []string
	for _, name := range sorted(t.Hosts) {
		h := t.Hosts[name]
		if len(h.Links) > 0 {
			no("host %s: links of its own", name)
		}
		if len(h.Says) > 0 {
			no("host %s: services that have nothing to do with the federation", name)
		}
		if h.GoogleTalk != nil {
			farm = append(farm, name)
		}
	}
	// They are one container.
	if i := slices.IndexFunc(farm, func(name string) bool { return !alike(t.Hosts[farm[0]], t.Hosts[name]) }); i > 0 {
		no("hosts %s and %s of the farm: different segments, routes, hosts files or resolvers", farm[0], farm[i])
	}
	if len(missing) == 0 {
		return nil
	}
	return fmt.Errorf("%w: %s", ErrUnsupported, strings.Join(missing, "; "))
}

// longestName is how long the name of a network interface may be on Linux.
const longestName = 15
