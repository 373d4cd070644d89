package doctor_test

import (
	"testing"

	"fedlab/sim/vnet"
)

// A machine without IPv6 does not take it for a fault that a name has an IPv6 address as well, nor does it explain one by it.
func TestWithoutIPv6(t *testing.T) {
	six := func(zone, name string) func(*deployment) {
		return func(d *deployment) { d.zones[zone][name+" AAAA"] = []string{"2001:db8:12::40"} }
	}
	shut := func(d *deployment, from string, port int) {
		d.rules = append(d.rules, vnet.Rule{Name: "fault", From: from, Protocol: "tcp", Port: port, Verdict: vnet.Drop})
	}
	for name, tc := range map[string]told{
		"outside":           {six("contoso.com", "xmpp"), "", nil, nil},
		"outside, and shut": {func(d *deployment) { six("contoso.com", "xmpp")(d); shut(d, "internet", 5269) }, "net.filtered outside", []string{"TCP 12.34.56.78:5269"}, nil},
		"outside, and nothing else": {func(d *deployment) { six("contoso.com", "xmpp")(d); delete(d.zones["contoso.com"], "xmpp A") },
			"net.unreachable outside", []string{"TCP [2001:db8:12::40]:5269"}, nil},
		"the gateway, of the Edge": {func(d *deployment) {
			six("contoso.com", "sip")(d)
			d.gatewayFile, d.zones["contoso.com"]["sip A"] = nil, []string{"10.11.12.33"}
		}, "", nil, nil},
		"the gateway, of Gmail": {func(d *deployment) { six("example.com", "talk0")(d); six("example.com", "talk1")(d) }, "", nil, nil},
		"the gateway, of Gmail, and shut": {func(d *deployment) {
			six("example.com", "talk0")(d)
			six("example.com", "talk1")(d)
			shut(d, "perimeter", 5269)
		}, "net.filtered gateway", nil, nil},
		"the Edge": {func(d *deployment) { d.sideBySide("10.11.12.40"); six("jds.local", "pool")(d) }, "", nil, nil},
		"the Edge, and no hairpin": {func(d *deployment) {
			d.singleName()
			six("contoso.com", "xmpp")(d)
			shut(d, "perimeter", 5061)
		}, "nat.hairpin edge, net.filtered edge", nil, nil},
	} {
		t.Run(name, func(t *testing.T) { tc.check(t) })
	}
}
