package doctor

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"slices"
)

// judgeAddresses judges the addresses of one of the organisation's hosts and returns those to call.
//
// A private address (RFC 1918 and its like) is wrong on the Internet whatever the organisation's addresses are, unless they are known and it is among
// them, as where partners federate over a network of their own. It is the same finding as an address that is somebody else's, for the record is what has to
// be corrected in both cases. It is not called: who answers to it from here, or that nobody does, says nothing about the organisation.
func (o Outside) judgeAddresses(x *exam, l *lookup) (called []netip.Addr) {
	var private, foreign []netip.Addr
	for _, a := range l.addrs {
		ours := slices.Contains(o.Addresses, a)
		if !ours && len(o.Addresses) > 0 {
			foreign = append(foreign, a)
		}
		if !ours && isPrivate(a) {
			private = append(private, a)
		} else {
			called = append(called, a)
		}
	}
	if len(private) > 0 {
		x.find("dns.public-address", l.name, l.String(), fmt.Sprintf("the Internet does not route to %v: it is for use inside a network (RFC 1918 and its like), and was not called", private))
	}
	if len(foreign) > 0 {
		x.find("dns.public-address", l.name, l.String(), fmt.Sprintf("the organisation's addresses are %v", o.Addresses))
	}
	return called
}

// judgeTargets judges the hosts and addresses that take no connection. While another one does, messages arrive, and it is a warning. With an unusual
// port in the record and an open usual one, the record is wrong.
func (o Outside) judgeTargets(ctx context.Context, x *exam, targets []*target, asked string) {
	served := slices.ContainsFunc(targets, (*target).up)
	each(targets, func(t *target) bool {
		subject := net.JoinHostPort(t.name, fmt.Sprint(t.port))
		evidence := []string{t.lookup.String()}
		switch usual := x.usual(ctx, t); {
		case len(t.dials) == 0:
		case usual != nil:
			x.find("dns.srv-port", o.Domain, slices.Concat([]string{asked, usual.String()}, evidence, inWords(t.dials))...)
		case !served:
			x.find(best(t.dials).code(), subject, slices.Concat(evidence, inWords(t.dials), x.slip(ctx, t.dials))...)
		default:
			x.judgeDown(subject, t.lookup, t.dials)
		}
		return true
	})
}

// judgeDown makes the finding for addresses of ours that take no connection while another one does.
func (x *exam) judgeDown(subject string, l *lookup, dials []*dialed) {
	if down := down(dials); len(down) > 0 {
		x.find("gateway.address-down", subject, append([]string{l.String()}, down...)...)
	}
}

// usual is the probe of the usual port of a target that takes no connection on an unusual one, where that is open; else it is nil.
func (x *exam) usual(ctx context.Context, t *target) *dialed {
	if t.up() || len(t.dials) == 0 || t.port == xmppPort {
		return nil
	}
	var addrs []netip.Addr
	for _, d := range t.dials {
		addrs = append(addrs, d.to.Addr())
	}
	if d := best(x.reach(ctx, addrs, xmppPort)); d.outcome == connected {
		return d
	}
	return nil
}
