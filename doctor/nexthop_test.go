package doctor_test

import (
	"strings"
	"testing"

	"fedlab/gateway/config"
)

// bySRV leaves the next hop to a record.
func (d *deployment) bySRV(record string) {
	d.sip.NextHop = config.NextHop{config.BySRV}
	d.zones["contoso.com"]["_sipfederationtls._tcp SRV"] = []string{record}
}

// TestNextHops: hosts that an SRV record names, and hosts that stand in for each other.
func TestNextHops(t *testing.T) {
	for name, tc := range map[string]planted{
		"by SRV, a host of the domain": {func(d *deployment) { d.bySRV("0 0 5061 sip.contoso.com.") }, ""},
		"by SRV, elsewhere, with the domain in the certificate": {func(d *deployment) {
			d.bySRV("0 0 5061 sip.example.com.")
			d.gatewayFile["sip.example.com"] = addr("10.11.12.33")
			d.edgeLeaf.Names = []string{"sip.contoso.com", "contoso.com"}
		}, ""},
		"by SRV, no record":  {func(d *deployment) { d.sip.NextHop = config.NextHop{config.BySRV} }, "dns.federation-srv gateway"},
		"by SRV, declined":   {func(d *deployment) { d.bySRV("0 0 0 .") }, "dns.federation-srv gateway"},
		"by SRV, no address": {func(d *deployment) { d.bySRV("0 0 5061 edge9.contoso.com.") }, "dns.srv-target-unresolvable gateway"},
		"by SRV, elsewhere": {func(d *deployment) { // its own name proves nothing about contoso.com
			d.bySRV("0 0 5061 sip.example.com.")
			d.gatewayFile["sip.example.com"] = addr("10.11.12.33")
			d.edgeLeaf.Names = []string{"sip.contoso.com", "sip.example.com"}
		}, "tls.name-mismatch gateway"},
		"one of two next hops is gone": {func(d *deployment) {
			d.sip.NextHop = config.NextHop{"edge9.contoso.com:5061", "sip.contoso.com:5061"}
			d.gatewayFile["edge9.contoso.com"] = addr("10.11.12.99")
		}, "edge.address-down gateway"},
		"both next hops are gone": {func(d *deployment) {
			d.sip.NextHop = config.NextHop{"edge9.contoso.com:5061", "sip.contoso.com:5061"}
			d.gatewayFile["edge9.contoso.com"], d.gatewayFile["sip.contoso.com"] = addr("10.11.12.99"), addr("10.11.12.98")
		}, "net.unreachable gateway"},
	} {
		t.Run(name, func(t *testing.T) {
			d := healthy()
			tc.change(d)
			codes, all := d.examine(t)
			if got := strings.Join(codes, ", "); got != tc.want {
				t.Errorf("found %s\n want %s\n%s", got, tc.want, text(t, all))
			}
		})
	}
}

// sideBySide makes the gateway one of several that the Edge knows by one name.
func (d *deployment) sideBySide(addresses ...string) {
	d.allow["gmail.com"] = "pool.jds.local"
	d.zones["jds.local"]["pool A"] = addresses
	d.gatewayLeaf.Names = []string{"xmpp.jds.local", "pool.jds.local"}
}

// TestSideBySide: several gateways behind the name on the Allow list, each of which hands out its own.
func TestSideBySide(t *testing.T) {
	for name, tc := range map[string]planted{
		"as it should be":               {func(d *deployment) { d.sideBySide("10.11.12.40") }, ""},
		"one is gone":                   {func(d *deployment) { d.sideBySide("10.11.12.40", "10.11.12.99") }, "gateway.address-down edge"},
		"its own name leads nowhere":    {func(d *deployment) { d.sideBySide("10.11.12.40"); d.edgeFile = nil }, "gateway.hostname edge"},
		"its own name leads to another": {func(d *deployment) { d.sideBySide("10.11.12.40"); d.edgeFile["xmpp.jds.local"] = addr("10.11.12.1") }, "gateway.hostname edge"},
		"its certificate has no own name": {func(d *deployment) {
			d.sideBySide("10.11.12.40")
			d.gatewayLeaf.Subject, d.gatewayLeaf.Names = "pool.jds.local", []string{"pool.jds.local"}
		}, "gateway.hostname edge, gateway.hostname gateway"},
	} {
		t.Run(name, func(t *testing.T) {
			d := healthy()
			tc.change(d)
			codes, all := d.examine(t)
			if got := strings.Join(codes, ", "); got != tc.want {
				t.Errorf("found %s\n want %s\n%s", got, tc.want, text(t, all))
			}
		})
	}
}
