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
