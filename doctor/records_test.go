package doctor_test

import (
	"net/netip"
	"slices"
	"strings"
	"testing"

	"fedlab/doctor"
	"fedlab/gateway/config"
	"fedlab/sim/vnet"
)

// told is a mistake, what is found of it ("code from", in order), and what the evidence of the one finding with the first code says and does not say.
type told struct {
	change func(*deployment)
	want   string
	says   []string
	not    []string
}

func (tc told) check(t *testing.T) {
	t.Helper()
	d := healthy()
	tc.change(d)
	codes, all := d.examine(t)
	if got := strings.Join(codes, ", "); got != tc.want {
		t.Fatalf("found %s\n want %s\n%s", got, tc.want, text(t, all))
	}
	if len(all) == 0 {
		return
	}
	code, _, _ := strings.Cut(tc.want, " ")
	i := slices.IndexFunc(all, func(f doctor.Finding) bool { return f.Code == code })
	said := strings.Join(all[i].Evidence, "\n")
	for _, want := range tc.says {
		if !strings.Contains(said, want) {
			t.Errorf("the evidence does not say %q:\n%s", want, said)
		}
	}
	for _, not := range tc.not {
		if strings.Contains(said, not) {
			t.Errorf("the evidence says %q:\n%s", not, said)
		}
	}
}

// made moves the SRV record of XMPP servers to another name, which is relative to the zone.
func made(name string) func(*deployment) {
	return func(d *deployment) {
		delete(d.zones["contoso.com"], "_xmpp-server._tcp SRV")
		d.zones["contoso.com"][name+" SRV"] = []string{"0 0 5269 xmpp.contoso.com."}
	}
}

// federation does the same with the record of Access Edges.
func federation(name string) func(*deployment) {
	return func(d *deployment) {
		d.sip.NextHop = config.NextHop{config.BySRV}
		d.zones["contoso.com"][name+" SRV"] = []string{"0 0 5061 sip.contoso.com."}
	}
}

// TestOwnerNames: the record was made, and not under the name that is asked for. One with a use of its own is told and is no mistake.
func TestOwnerNames(t *testing.T) {
	misnamed, lacking := "dns.srv-name outside", "dns.srv-missing outside"
	for name, tc := range map[string]told{
		"an underscore":          {made("xmpp-server._tcp"), misnamed, []string{"no such host", "probably meant: xmpp-server._tcp.contoso.com SRV 0 0 5269 xmpp.contoso.com.", "underscore"}, nil},
		"the other underscore":   {made("_xmpp-server.tcp"), misnamed, []string{"_xmpp-server.tcp.contoso.com"}, nil},
		"both underscores":       {made("xmpp-server.tcp"), misnamed, []string{"xmpp-server.tcp.contoso.com"}, nil},
		"UDP":                    {made("_xmpp-server._udp"), misnamed, []string{"_xmpp-server._udp.contoso.com", "UDP"}, nil},
		"the domain twice":       {made("_xmpp-server._tcp.contoso.com"), misnamed, []string{"_xmpp-server._tcp.contoso.com.contoso.com", "dot at the end"}, nil},
		"for the host":           {made("_xmpp-server._tcp.xmpp"), misnamed, []string{"_xmpp-server._tcp.xmpp.contoso.com", "in place of the domain"}, nil},
		"for clients":            {made("_xmpp-client._tcp"), lacking, []string{"_xmpp-client._tcp.contoso.com has records", "clients look there"}, []string{"probably meant"}},
		"for TLS from the start": {made("_xmpps-server._tcp"), lacking + ", xmpp.direct-tls outside", []string{"_xmpps-server._tcp.contoso.com has records", "XEP-0368"}, []string{"probably meant"}},
		"of old":                 {made("_jabber._tcp"), lacking, []string{"_jabber._tcp.contoso.com has records"}, []string{"probably meant"}},
		"no service, for clients": {func(d *deployment) {
			made("_xmpp-client._tcp")(d)
			d.zones["contoso.com"]["_xmpp-client._tcp SRV"] = []string{"0 0 0 ."}
		}, lacking, nil, []string{"_xmpp-client"}},
		"under any other name": {made("_xmpp-sever._tcp"), lacking, nil, []string{"sever"}},
		"for clients, and misnamed": {func(d *deployment) {
			made("_xmpp-server._udp")(d)
			d.zones["contoso.com"]["_xmpp-client._tcp SRV"] = []string{"0 0 5222 xmpp.contoso.com."}
		}, misnamed, []string{"probably meant: _xmpp-server._udp", "_xmpp-client._tcp.contoso.com has records"}, nil},
		"in the right place as well": {func(d *deployment) {
			d.zones["contoso.com"]["_xmpp-server._udp SRV"] = []string{"0 0 5269 xmpp.contoso.com."}
		}, "", nil, nil},
		"theirs": {func(d *deployment) {
			d.zones["gmail.com"] = map[string][]string{"_xmpp-server._udp SRV": {"0 0 5269 talk0.example.com."}}
		}, "dns.srv-name gateway", []string{"_xmpp-server._udp.gmail.com", "UDP"}, nil},

		"the Edge's, right":            {federation("_sipfederationtls._tcp"), "", nil, nil},
		"the Edge's, cut short":        {federation("_sipfederation._tcp"), "dns.srv-name gateway", []string{"_sipfederation._tcp.contoso.com SRV 0 0 5061 sip.contoso.com."}, nil},
		"the Edge's, over TLS":         {federation("_sipfederationtls._tls"), "dns.srv-name gateway", []string{"the protocol is _tcp"}, nil},
		"the Edge's, for the host":     {federation("_sipfederationtls._tcp.sip"), "dns.srv-name gateway", []string{"in place of the domain"}, nil},
		"the Edge's, for clients":      {federation("_sip._tls"), "dns.federation-srv gateway", []string{"_sip._tls.contoso.com has records"}, []string{"probably meant"}},
		"the Edge's, for those inside": {federation("_sipinternaltls._tcp"), "dns.federation-srv gateway", []string{"_sipinternaltls._tcp.contoso.com has records"}, nil},

		"target twice":       {func(d *deployment) { d.srv("0 0 5269 xmpp.contoso.com") }, "dns.srv-target-unresolvable outside", []string{"xmpp.contoso.com.contoso.com", "probably meant: xmpp.contoso.com is 12.34.56.78"}, nil},
		"target twice, gone": {func(d *deployment) { d.srv("0 0 5269 talk.contoso.com") }, "dns.srv-target-unresolvable outside", []string{"talk.contoso.com.contoso.com"}, []string{"probably meant"}},
		"their target twice": {func(d *deployment) {
			d.zones["example.com"]["_xmpp-server._tcp SRV"] = nil
			d.zones["gmail.com"]["_xmpp-server._tcp SRV"] = []string{"5 0 5269 talk0.example.com.", "20 0 5269 talk1.example.com.example.com."}
		},
			"dns.srv-target-unresolvable gateway", []string{"probably meant: talk1.example.com is 74.125.47.125"}, nil},
		"the Edge's target twice": {func(d *deployment) { d.bySRV("0 0 5061 sip.contoso.com") }, "dns.srv-target-unresolvable gateway", []string{"probably meant: sip.contoso.com is 10.11.12.33"}, nil},
	} {
		t.Run(name, func(t *testing.T) { tc.check(t) })
	}
}

// TestPublicAddresses: addresses of ours on the Internet that are wrong, or that nobody answers at.
func TestPublicAddresses(t *testing.T) {
	a := func(addresses ...string) func(*deployment) {
		return func(d *deployment) { d.zones["contoso.com"]["xmpp A"] = addresses }
	}
	also := func(changes ...func(*deployment)) func(*deployment) {
		return func(d *deployment) {
			for _, change := range changes {
				change(d)
			}
		}
	}
	known := func(addresses ...netip.Addr) func(*deployment) {
		return func(d *deployment) { d.addresses = addresses }
	}
	two := func(d *deployment) {
		d.zones["contoso.com"]["_xmpp-server._tcp SRV"] = []string{"0 0 5269 xmpp.contoso.com.", "10 0 5269 xmpp2.contoso.com."}
		d.zones["contoso.com"]["xmpp2 A"] = []string{"12.34.56.80"}
	}
	shut := func(d *deployment) {
		d.rules = []vnet.Rule{{Name: "fault", From: "internet", Protocol: "tcp", Port: 5269, Verdict: vnet.Drop}}
	}
	for name, tc := range map[string]told{
		"private":                      {a("10.11.12.40"), "dns.public-address outside", []string{"xmpp.contoso.com is 10.11.12.40", "does not route to [10.11.12.40]"}, []string{"organisation's addresses"}},
		"private, addresses known":     {also(a("10.11.12.40"), known(addr("12.34.56.78"))), "dns.public-address outside", []string{"does not route to [10.11.12.40]", "organisation's addresses are [12.34.56.78]"}, nil},
		"private and public":           {a("10.11.12.40", "12.34.56.78"), "dns.public-address outside", []string{"does not route to [10.11.12.40]"}, []string{"12.34.56.78]"}},
		"private, and that is the way": {also(a("10.11.12.40"), known(addr("10.11.12.40"))), "net.filtered outside", []string{"TCP 10.11.12.40:5269"}, nil},
		"link-local, shared, loopback": {a("169.254.1.1", "100.64.1.1", "127.0.0.1"), "dns.public-address outside", []string{"[100.64.1.1 127.0.0.1 169.254.1.1]"}, nil},
		"one of two is stale":          {a("12.34.56.78", "12.34.56.80"), "gateway.address-down outside", []string{"TCP 12.34.56.80:5269", "no answer"}, []string{"12.34.56.78:5269"}},
		"one of two hosts is gone":     {two, "gateway.address-down outside", []string{"xmpp2.contoso.com is 12.34.56.80", "TCP 12.34.56.80:5269"}, nil},
		"both hosts are gone":          {also(two, shut), "net.filtered outside", []string{"TCP 12.34.56.78:5269"}, nil},
		"one of two hosts has a wrong port": {also(two, func(d *deployment) {
			d.zones["contoso.com"]["_xmpp-server._tcp SRV"] = []string{"0 0 5269 xmpp.contoso.com.", "10 0 5296 xmpp2.contoso.com."}
			d.zones["contoso.com"]["xmpp2 A"] = []string{"12.34.56.78"}
		}), "dns.srv-port outside", []string{"5296"}, nil},
		"one of two hosts is private": {also(two, func(d *deployment) { d.zones["contoso.com"]["xmpp2 A"] = []string{"10.11.12.41"} }), "dns.public-address outside", []string{"[10.11.12.41]"}, nil},
	} {
		t.Run(name, func(t *testing.T) { tc.check(t) })
	}
}
