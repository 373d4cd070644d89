package doctor

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"fedlab/gateway/config"
)

// Plan lists what Examine would do, without doing it: every question, connection and request that is known beforehand.
func (g Gateway) Plan() []string {
	var plan []string
	plan = append(plan,
		"read the configuration's own certificates: names against "+g.Config.Hostname+" and the SIP domains, dates, usage, chain, key",
		fmt.Sprintf("watch this machine's socket table for %v: half-open connections on ports %d and %d",
			Watch, portOf(g.Config.SIP.Listen, sipPort), portOf(g.Config.XMPP.Listen, xmppPort)))
	options := fmt.Sprintf("send %d SIP OPTIONS on that session, one for each XMPP domain, the first once more at length, and close it", min(len(g.Config.XMPP.Expanded()), maxQuestions))
	for _, n := range g.nextHops() {
		hosts := n.hosts
		if hosts == nil {
			plan = append(plan, wrongNames("sipfederationtls", n.domains[0]),
				"look up "+config.SRVName(n.domains[0])+" SRV, and for each host that it names:")
			hosts = []string{"the host"}
		}
		for _, target := range hosts {
			plan = append(plan,
				"look up the address of "+hostOf(target),
				"connect to "+target+" by TCP, up to three times, and once more for a TLS handshake with the gateway's certificate", options)
		}
	}
	policies := g.Config.XMPP.Expanded()
	for _, name := range slices.Sorted(maps.Keys(policies)) {
		records, begin := xmppSRV+name, ""
		if policies[name].TLS != config.TLSNever {
			records, begin = records+" SRV and "+xmppsSRV+name, "begin TLS if it is offered, "
		}
		plan = append(plan,
			"look up "+records+" SRV and the addresses of the targets",
			"connect to each target by TCP, up to three times; open an XMPP stream to "+name+" with the first that answers, without dialback, "+begin+"close it, and open it once more at length")
	}
	if g.Status != nil {
		plan = append(plan, "ask the running gateway for its status, on its admin listener")
	}
	return append(plan, longAgain, wrongNames("xmpp-server", "DOMAIN"), otherNames, everything, wrongPorts, promise)
}

// Plan lists what Examine would do, without doing it.
func (e Edge) Plan() []string {
	var plan []string
	if e.given() {
		plan = append(plan, "read the Edge's own certificate: names against "+e.Name+", dates, usage, chain, key")
	}
	plan = append(plan, fmt.Sprintf("watch this machine's socket table for %v: half-open connections on port %d", Watch, sipPort))
	for _, s := range e.nextHops() {
		target := fmt.Sprintf("%s:%d", s.name, s.port)
		plan = append(plan, "look up the address of "+s.name)
		if !e.given() {
			plan = append(plan, "connect to "+target+" by TCP, up to three times, and once more for a TLS handshake, which ends when the certificate has been seen")
			continue
		}
		plan = append(plan,
			"connect to "+target+" by TCP, up to three times, and once more for a TLS handshake with the Edge's certificate",
			fmt.Sprintf("send %d SIP OPTIONS on that session, one for each of %s, the first once more at length, and close it", min(len(s.domains), maxQuestions), strings.Join(s.domains, ", ")))
	}
	if e.Log != nil {
		plan = append(plan, fmt.Sprintf("read the Edge's own log, and what is written to it within %v", Watch))
	}
	return append(plan, longAgain, "where the certificate that is presented has other names, look up their addresses", otherNames, everything, wrongPorts, promise)
}

// Plan lists what Examine would do, without doing it.
func (o Outside) Plan() []string {
	return []string{
		"look up " + xmppSRV + o.Domain + " SRV, the addresses of its targets, and whether they are aliases",
		"connect to each target by TCP, up to three times; open an XMPP stream to " + o.Domain + ", without dialback, begin TLS if it is offered, close it, and open it once more at length",
		"the same for " + xmppsSRV + o.Domain + " SRV, with TLS first",
		longAgain,
		wrongNames("xmpp-server", o.Domain),
		"where nobody answers on another port that a record has, connect by TCP to 5269",
		otherNames,
		everything,
		wrongPorts,
		promise,
	}
}

// longAgain is what is done where something long gets no answer: see [exam.compare] and [exam.unheard].
const longAgain = "where only what is long gets no answer, try it three times side by side with what is short; in TLS, with ClientHellos that are refused, and up to six handshakes"

// wrongNames is what [exam.unpublished] does.
func wrongNames(what, domain string) string {
	var names []string
	for _, s := range strays(what, domain) {
		names = append(names, s.name)
	}
	return fmt.Sprintf("where there is no _%s._tcp.%s SRV, look for one under the names that are taken for it: %s", what, domain, strings.Join(names, ", "))
}

// otherNames is what [exam.nameless] does.
const otherNames = "where a name has no address, look up those that look like it, and it without the domain that stands in it twice"

// everything is what [handshake.whyNot] does.
const everything = "where no TLS handshake comes about, make another one with every version and cipher suite on offer"

// wrongPorts is what [exam.slip] does.
const wrongPorts = "where nobody answers on 5061 or 5269, connect by TCP to 5016 or 5296, in case a rule has that, and to a port a thousand above"

var promise = fmt.Sprintf("send no message to anybody; no single step takes longer than %v", Patience)
