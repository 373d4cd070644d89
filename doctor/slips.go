package doctor

import (
	"context"
	"fmt"
	"net/netip"
)

// slips are the ports that are typed for others (field notes, "fat-fingered port numbers").
var slips = map[uint16]uint16{5269: 5296, 5061: 5016}

// control is how far from a port another lies that nobody has a rule for.
const control = 1000

// slip looks for a rule that comes close to the one that is missing, where nobody answers on a port: an answer on the port that is usually typed
// for it, be it a refusal, says that a filter lets that through. It says nothing if it lets through everything else as well.
func (x *exam) slip(ctx context.Context, dials []*dialed) []string {
	if len(dials) == 0 {
		return nil
	}
	d := best(dials)
	port, known := slips[d.to.Port()]
	if d.outcome != silent || !known {
		return nil
	}
	probes := each([]uint16{port, d.to.Port() + control}, func(port uint16) *dialed {
		return x.connect(ctx, netip.AddrPortFrom(d.to.Addr(), port))
	})
	answers := func(d *dialed) bool { return d.outcome == connected || d.outcome == refused }
	if !answers(probes[0]) || answers(probes[1]) {
		return nil
	}
	return []string{fmt.Sprintf("%s: so a rule lets %d through on this way; %d is meant", probes[0], port, d.to.Port())}
}
