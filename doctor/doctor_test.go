package doctor_test

import (
	"context"
	"crypto/tls"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"fedlab/doctor"
	"fedlab/gateway/config"
	"fedlab/internal/pki"
	"fedlab/sim/dns"
	"fedlab/sim/vnet"
)

// What is healthy has no finding, whoever looks.
func TestHealth(t *testing.T) {
	for name, change := range map[string]func(*deployment){
		"as deployed": func(*deployment) {},
		"names only in subjectAltName": func(d *deployment) {
			d.gatewayLeaf.Names, d.edgeLeaf.Names = []string{"xmpp.jds.local"}, []string{"sip.contoso.com"}
		},
		"both usages":                    func(d *deployment) { d.gatewayLeaf.Client, d.edgeLeaf.Client = true, true },
		"issuing certificates installed": func(d *deployment) { d.issuingKnown, d.alterEdge = true, (*pki.Pair).WithoutChain },
		"answers over TCP only":          func(d *deployment) { d.faults = dns.Faults{".": dns.Truncate} },
		"another port, open":             func(d *deployment) { d.srv("0 0 5270 xmpp.contoso.com."); d.forwards[0].Port = 5270 },
		"the organisation's addresses":   func(d *deployment) { d.addresses = []netip.Addr{addr("12.34.56.78")} },
		"farm with version and STARTTLS": func(d *deployment) {
			d.farm["talk0"] = says(header("version='1.0'") + "<stream:features><starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/></stream:features>")
		},
		"TLS 1.3":                           func(d *deployment) { d.edgeTLS, d.gatewayTLS = only(tls.VersionTLS13), only(tls.VersionTLS13) },
		"TLS 1.0 where it is allowed":       func(d *deployment) { d.sip.MinTLS, d.edgeTLS = "1.0", only(tls.VersionTLS10) },
		"a domain without SRV":              func(d *deployment) { d.zones["gmail.com"] = map[string][]string{"@ A": {"74.125.45.125"}} },
		"lines of strangers in the log":     func(d *deployment) { d.log = []string{notAllowed("spam.example", "mail.spam.example")} },
		"old lines of what is now repaired": func(d *deployment) { d.log = []string{notAllowed("gmail.com", "xmpp.jds.local")} },
		"a claim of long ago": func(d *deployment) {
			d.status = strings.Replace(claimed("gmail.com", "1.2.3.4", "key-invalid"), "2000-01-01T", "1999-12-31T", 1)
		},
		"a status that cannot be read":     func(d *deployment) { d.status = "<html>" },
		"an Edge that answers OPTIONS 405": func(d *deployment) { d.edgeSays = fixed("405 Method Not Allowed") },
	} {
		t.Run(name, func(t *testing.T) {
			d := healthy()
			change(d)
			if codes, all := d.examine(t); len(codes) > 0 {
				t.Errorf("findings: %s\n%s", strings.Join(codes, ", "), text(t, all))
			}
		})
	}
}

// planted is a mistake and what is found of it: "code from", in order.
type planted struct {
	change func(*deployment)
	want   string
}

// faults are the mistakes that can be planted in a deployment.
func faults(t *testing.T) map[string]planted {
	far := time.Date(1999, 6, 1, 0, 0, 0, 0, time.UTC) // the bubble's clock begins in 2000
	drop := func(r vnet.Rule) []vnet.Rule {
		r.Name, r.Protocol, r.Verdict = "fault", "tcp", vnet.Drop
		return []vnet.Rule{r}
	}
	return map[string]planted{
		"no SRV":                       {func(d *deployment) { delete(d.zones["contoso.com"], "_xmpp-server._tcp SRV") }, "dns.srv-missing outside"},
		"no SRV of theirs":             {func(d *deployment) { d.zones["gmail.com"] = map[string][]string{} }, "dns.srv-missing gateway"},
		"SRV target without address":   {func(d *deployment) { d.srv("0 0 5269 jabber.contoso.com.") }, "dns.srv-target-unresolvable outside"},
		"SRV target of theirs without": {func(d *deployment) { delete(d.zones["example.com"], "talk1 A") }, "dns.srv-target-unresolvable gateway"},
		"SRV target elsewhere": {func(d *deployment) {
			d.srv("0 0 5269 xmpp.example.com.")
			d.zones["example.com"]["xmpp A"] = []string{"12.34.56.78"}
		}, "dns.srv-target-foreign outside"},
		"SRV with another port": {func(d *deployment) { d.srv("0 0 5296 xmpp.contoso.com.") }, "dns.srv-port outside"},
		"SRV target is an alias": {func(d *deployment) {
			d.srv("0 0 5269 im.contoso.com.")
			d.zones["contoso.com"]["im CNAME"] = []string{"xmpp"}
		}, "dns.srv-cname outside"},
		"SRV declines": {func(d *deployment) { d.srv("0 0 0 .") }, "dns.srv-declined outside"},
		"lookalike": {func(d *deployment) {
			d.srv("0 0 5269 lm.contoso.com.")
			d.zones["contoso.com"]["im A"] = []string{"12.34.56.78"}
		}, "dns.lookalike outside"},
		"lookalike of the next hop": {func(d *deployment) {
			d.sip.NextHop, d.gatewayFile = config.NextHop{"s1p.contoso.com:5061"}, map[string]netip.Addr{}
		}, "dns.lookalike gateway"},
		"public address of another": {func(d *deployment) {
			d.zones["contoso.com"]["xmpp A"] = []string{"74.125.45.125"}
			d.addresses = []netip.Addr{addr("12.34.56.78")}
		}, "dns.public-address outside"},
		"zone that fails":         {func(d *deployment) { d.faults = dns.Faults{"gmail.com": dns.ServFail} }, "dns.resolver-failing gateway"},
		"resolver that is silent": {func(d *deployment) { d.faults = dns.Faults{".": dns.Silence} }, "dns.resolver-failing gateway, dns.resolver-failing outside"},
		"next hop without address": {func(d *deployment) {
			d.gatewayFile, d.zones["contoso.com"] = map[string]netip.Addr{}, without(d.zones["contoso.com"], "sip A")
		}, "dns.next-hop gateway"},
		"Allow list name, no address": {func(d *deployment) { d.edgeFile = map[string]netip.Addr{} }, "dns.next-hop edge"},
		"5269 in dropped":             {func(d *deployment) { d.rules = drop(vnet.Rule{From: "internet", Port: 5269}) }, "net.filtered outside"},
		"5269 in rejected": {func(d *deployment) {
			d.rules = drop(vnet.Rule{From: "internet", Port: 5269})
			d.rules[0].Verdict = vnet.Reject
		}, "net.refused outside"},
		"5269 out dropped": {func(d *deployment) { d.rules = drop(vnet.Rule{From: "perimeter", Port: 5269}) }, "net.filtered gateway"},
		"answers of 5269 dropped": {func(d *deployment) {
			d.rules = drop(vnet.Rule{From: "perimeter", Source: []netip.Prefix{prefix("10.11.12.40/32")}, Stateless: true, SYNACK: true})
		}, "net.filtered outside, net.return-path gateway"},
		"next hop that is gone":       {func(d *deployment) { d.gatewayFile["sip.contoso.com"] = addr("10.11.12.99") }, "net.unreachable gateway"},
		"next hop on another machine": {func(d *deployment) { d.gatewayFile["sip.contoso.com"] = addr("10.11.12.1") }, "net.refused gateway"},
		"forwarded to a stranger":     {func(d *deployment) { d.gatewayXMPP = says("SSH-2.0-OpenSSH_9.6\r\n") }, "nat.forward outside"},
		"forwarded to silence":        {func(d *deployment) { d.gatewayXMPP = silence }, "xmpp.no-stream outside"},
		"not served by the gateway":   {func(d *deployment) { d.gatewayXMPP = says(header("version='1.0'") + streamError("host-unknown")) }, "gateway.domain-not-served outside"},
		"hairpin not offered":         {func(d *deployment) { d.gatewayFile = map[string]netip.Addr{} }, "dns.split-view gateway, nat.hairpin gateway"},
		"hairpin offered":             {func(d *deployment) { d.gatewayFile, d.hairpin = map[string]netip.Addr{}, true }, "nat.hairpin-used gateway"},
		"single name, no hairpin":     {func(d *deployment) { d.singleName() }, "nat.hairpin edge, net.refused edge"},
		"single name, hairpin": {func(d *deployment) {
			d.singleName()
			d.hairpin = true
			d.forwards = append(d.forwards, vnet.Forward{Name: "loop", Address: addr("12.34.56.78"), Port: 5061, To: netip.MustParseAddrPort("10.11.12.40:5061")})
		}, "nat.hairpin-used edge"},
		"internal interface": {func(d *deployment) {
			d.edgeSays = fixed("504 Server time-out\r\nms-diagnostics: 1000;reason=\"Final handshake failed\"")
		}, "edge.internal-interface gateway"},
		"domain not allowed": {func(d *deployment) {
			d.allow = map[string]string{"jabber.org": "xmpp.jds.local"}
			d.edgeSays = fixed("504 Server time-out")
			d.log = []string{notAllowed("gmail.com", "xmpp.jds.local")}
		}, "edge.domain-not-allowed edge, edge.refused gateway"},
		"alias on the Allow list": {func(d *deployment) {
			d.allow["gmail.com"] = "im.jds.local"
			d.edgeFile["im.jds.local"] = addr("10.11.12.40")
			d.edgeSays = fixed("504 Server time-out")
		}, "edge.next-hop-name edge, edge.refused gateway"},
		"alias, and no name handed out": {func(d *deployment) {
			d.allow["gmail.com"] = "im.jds.local"
			d.edgeFile["im.jds.local"] = addr("10.11.12.40")
			d.edgeSays = fixed("504 Server time-out")
			d.gatewaySays = fixed("200 OK")
		}, "edge.next-hop-name edge, edge.refused gateway"},
		"Edge busy":                  {func(d *deployment) { d.edgeSays = fixed("503 Service Unavailable\r\nRetry-After: 30") }, "edge.unavailable gateway"},
		"Edge silent":                {func(d *deployment) { d.edgeSays = fixed("") }, "edge.unavailable gateway"},
		"gateway stopped":            {func(d *deployment) { d.stopped = true }, "gateway.not-running gateway, net.refused edge, net.refused outside"},
		"gateway silent":             {func(d *deployment) { d.gatewaySays = fixed("") }, "gateway.unavailable edge"},
		"gateway has not the domain": {func(d *deployment) { d.gatewaySays = fixed("404 Not Found") }, "gateway.domain-not-served edge"},
		"host name of its own": {func(d *deployment) {
			d.hostname = "gw.jds.local"
			d.gatewaySays = fixed("200 OK\r\nContact: <sip:gw.jds.local:5061>")
		}, "gateway.hostname edge, gateway.hostname gateway"},

		"gateway: wrong CN": {func(d *deployment) {
			d.gatewayLeaf.Subject = "im.contoso.com"
			d.edgeSays = fixed("504 Server time-out")
		}, "tls.name-mismatch edge, tls.name-mismatch gateway"},
		"gateway: wildcard":           {func(d *deployment) { d.gatewayLeaf.Subject = "*.jds.local"; d.edgeSays = fixed("504 Server time-out") }, "tls.name-mismatch edge, tls.name-mismatch gateway"},
		"gateway: expired":            {func(d *deployment) { d.gatewayLeaf.NotBefore, d.gatewayLeaf.NotAfter = far, far.AddDate(0, 1, 0) }, "tls.expired edge, tls.expired gateway"},
		"gateway: not yet valid":      {func(d *deployment) { d.gatewayLeaf.NotBefore = time.Date(2000, 1, 2, 0, 0, 0, 0, time.UTC) }, "tls.not-yet-valid edge, tls.not-yet-valid gateway"},
		"gateway: chain left out":     {func(d *deployment) { d.alterGateway = (*pki.Pair).WithoutChain }, "tls.chain-incomplete edge, tls.chain-incomplete gateway"},
		"gateway: client usage only":  {func(d *deployment) { d.gatewayLeaf.Server, d.gatewayLeaf.Client = false, true }, "tls.usage edge, tls.usage gateway"},
		"gateway: root missing":       {func(d *deployment) { d.otherRootAt = "gateway" }, "tls.rejected edge, tls.untrusted gateway"},
		"gateway: self-signed":        {func(d *deployment) { d.alterGateway = selfSigned(t, "xmpp.jds.local") }, "tls.untrusted edge, tls.untrusted gateway"},
		"gateway: key missing":        {func(d *deployment) { d.alterGateway, d.problem = (*pki.Pair).WithoutKey, config.ErrNoKey }, "tls.handshake edge, tls.no-key gateway"},
		"gateway: key of another":     {func(d *deployment) { d.alterGateway, d.problem = (*pki.Pair).WithoutKey, config.ErrKeyMismatch }, "tls.handshake edge, tls.key-mismatch gateway"},
		"gateway: no mutual TLS":      {func(d *deployment) { d.gatewayTLS = func(c *tls.Config) { c.ClientAuth = tls.NoClientCert } }, "tls.no-client-certificate edge"},
		"Edge: wrong CN":              {func(d *deployment) { d.edgeLeaf.Subject = "edge.jds.local" }, "tls.name-mismatch edge, tls.name-mismatch gateway"},
		"Edge: expired":               {func(d *deployment) { d.edgeLeaf.NotBefore, d.edgeLeaf.NotAfter = far, far.AddDate(0, 1, 0) }, "tls.expired edge, tls.expired gateway"},
		"Edge: not yet valid":         {func(d *deployment) { d.edgeLeaf.NotBefore = time.Date(2000, 1, 2, 0, 0, 0, 0, time.UTC) }, "tls.not-yet-valid edge, tls.not-yet-valid gateway"},
		"Edge: chain left out":        {func(d *deployment) { d.alterEdge = (*pki.Pair).WithoutChain }, "tls.chain-incomplete edge, tls.chain-incomplete gateway"},
		"Edge: client usage only":     {func(d *deployment) { d.edgeLeaf.Server, d.edgeLeaf.Client = false, true }, "tls.usage edge, tls.usage gateway"},
		"Edge: root missing":          {func(d *deployment) { d.otherRootAt = "edge" }, "tls.rejected gateway, tls.untrusted edge"},
		"Edge: root missing, TLS 1.3": {func(d *deployment) { d.otherRootAt, d.edgeTLS = "edge", only(tls.VersionTLS13) }, "tls.rejected gateway, tls.untrusted edge"},
		"Edge: self-signed":           {func(d *deployment) { d.alterEdge = selfSigned(t, "sip.contoso.com") }, "tls.untrusted edge, tls.untrusted gateway"},
		"Edge: key missing":           {func(d *deployment) { d.alterEdge = (*pki.Pair).WithoutKey }, "tls.handshake gateway, tls.no-key edge"},
		"Edge: TLS 1.0 only":          {func(d *deployment) { d.edgeTLS = only(tls.VersionTLS10) }, "tls.version gateway"},
		"Edge: no common cipher":      {func(d *deployment) { d.edgeTLS = weak; d.edgeLeaf.RSA = true }, "tls.cipher gateway"},
		"Edge: no mutual TLS":         {func(d *deployment) { d.edgeTLS = func(c *tls.Config) { c.ClientAuth = tls.NoClientCert } }, "tls.no-client-certificate gateway"},
		"Edge: pinned another":        {func(d *deployment) { d.sip.Pin = strings.Repeat("ab", 32) }, "tls.pin gateway"},

		"stranger calls in":                {func(d *deployment) { d.status = claimed("jabber.org", "198.51.100.9", "domain-not-allowed") }, "xmpp.domain-not-allowed gateway"},
		"spoofed dialback":                 {func(d *deployment) { d.status = claimed("gmail.com", "198.51.100.9", "key-invalid") }, "xmpp.forged-origin gateway"},
		"forged stanza":                    {func(d *deployment) { d.status = claimed("gmail.com", "74.125.45.125", "not-proven") }, "xmpp.forged-origin gateway"},
		"wrong key of theirs":              {func(d *deployment) { d.status = claimed("gmail.com", "74.125.47.125", "key-invalid") }, "xmpp.dialback gateway"},
		"key never verified":               {func(d *deployment) { d.status = claimed("gmail.com", "74.125.47.125", "key-unverified") }, "xmpp.dialback gateway"},
		"never verified, for all are down": {func(d *deployment) { clear(d.farm); d.status = claimed("gmail.com", "74.125.47.125", "key-unverified") }, "xmpp.all-targets-down gateway"},
		"preferred target down":            {func(d *deployment) { delete(d.farm, "talk0") }, "xmpp.target-down gateway"},
		"preferred target silent":          {func(d *deployment) { d.farm["talk0"] = silence }, "xmpp.target-down gateway"},
		"all targets down":                 {func(d *deployment) { clear(d.farm) }, "xmpp.all-targets-down gateway"},
		"all targets silent":               {func(d *deployment) { d.farm["talk0"], d.farm["talk1"] = silence, silence }, "xmpp.no-stream gateway"},
		"they demand TLS": {func(d *deployment) {
			d.farm["talk0"] = says(header("version='1.0'") + "<stream:features><starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'><required/></starttls></stream:features>")
		}, "xmpp.tls-policy gateway"},
		"we demand TLS":          {func(d *deployment) { d.xmpp.TLS = config.TLSRequired }, "xmpp.tls-policy gateway"},
		"proofs that do not fit": {func(d *deployment) { d.status = tried("accepts no certificate of ours", true) }, "xmpp.negotiation gateway"},
		"proofs that do not fit, and TLS neither": {func(d *deployment) {
			d.xmpp.TLS, d.status = config.TLSRequired, tried("offers no TLS", true)
		}, "xmpp.tls-policy gateway"},
		"they refuse": {func(d *deployment) { d.farm["talk0"] = says(header("") + streamError("policy-violation")) }, "xmpp.negotiation gateway"},
	}
}

// Each planted fault has its findings and no other, from whoever can see it.
func TestFaults(t *testing.T) {
	for name, tc := range faults(t) {
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

// Two mistakes at once: both are found, or the one that hides the other. A code that neither has alone is wrong.
func TestPairs(t *testing.T) {
	all := faults(t)
	for _, name := range []string{
		"Edge: no common cipher", // its RSA key takes longer than everything else of a pair
		// These change what others change as well, and together with those make a third mistake.
		"single name, hairpin", "single name, no hairpin", "public address of another", "all targets down", "never verified, for all are down",
		"preferred target silent", "they demand TLS", "we demand TLS",
	} {
		delete(all, name)
	}
	names := slices.Sorted(maps.Keys(all))
	for i, a := range names {
		t.Run(a, func(t *testing.T) {
			t.Parallel()
			for _, b := range names[i+1:] {
				d := healthy()
				all[a].change(d)
				all[b].change(d)
				if expiresFirst(d.gatewayLeaf) || expiresFirst(d.edgeLeaf) {
					continue // no certificate has expired and is not yet valid
				}
				codes, found := d.examine(t)
				alone := all[a].want + ", " + all[b].want
				strange := slices.DeleteFunc(codes, func(c string) bool {
					return slices.Contains(strings.Split(alone, ", "), c) || cannotTell(alone, c)
				})
				if len(found) == 0 || len(strange) > 0 {
					t.Errorf("%s + %s: %v (alone: %s)\n%s", a, b, strange, alone, text(t, found))
				}
			}
		})
	}
}

func expiresFirst(l pki.Leaf) bool { return !l.NotAfter.IsZero() && l.NotAfter.Before(l.NotBefore) }

// cannotTell are the pairs in which one mistake takes away what the other is told by, and what is found in its place.
func cannotTell(alone, code string) bool {
	for _, p := range []struct{ because, instead string }{
		{"gateway.hostname gateway", "tls.name-mismatch gateway"},                                  // who is right, host name or certificate? An Edge that does not serve does not say
		{"edge.next-hop-name edge", "tls.name-mismatch edge"},                                      // nor does a gateway without name and address
		{"tls.chain-incomplete gateway", "tls.untrusted gateway"},                                  // what completes the chain came from the other side, and is missing there as well
		{"tls.chain-incomplete edge", "tls.untrusted edge"},                                        //
		{"tls.", "tls.rejected gateway"},                                                           // each side sees less of why the other refuses it
		{"tls.", "tls.rejected edge"},                                                              //
		{"dns.resolver-failing gateway", "dns.resolver-failing edge"},                              // with everything in the HOSTS file nobody noticed
		{"dns.srv-target-unresolvable gateway, xmpp.target-down", "xmpp.all-targets-down gateway"}, // one target of two each
		{"dns.srv-port outside", "net.refused outside"},                                            // the wrong port refuses, the right one cannot be tried
	} {
		if strings.Contains(alone, p.because) && code == p.instead {
			return true
		}
	}
	return false
}

func text(t *testing.T, findings []doctor.Finding) string {
	t.Helper()
	var b strings.Builder
	if err := doctor.NewReport(nil, findings).Text(&b); err != nil {
		t.Error(err)
	}
	return b.String()
}

func (d *deployment) srv(value string) {
	d.zones["contoso.com"]["_xmpp-server._tcp SRV"] = []string{value}
}

// singleName gives the gateway one public name in place of a private and a public one.
func (d *deployment) singleName() {
	d.hostname, d.gatewayLeaf.Subject, d.allow["gmail.com"] = "xmpp.contoso.com", "xmpp.contoso.com", "xmpp.contoso.com"
	d.gatewaySays = fixed("200 OK\r\nContact: <sip:xmpp.contoso.com:5061>")
}

func without(zone map[string][]string, key string) map[string][]string {
	delete(zone, key)
	return zone
}

func fixed(answer string) func(string, string) string {
	return func(string, string) string { return answer }
}

func header(attributes string) string {
	return "<stream:stream xmlns='jabber:server' xmlns:stream='http://etherx.jabber.org/streams' from='gmail.com' id='2' " + attributes + ">"
}

func streamError(condition string) string {
	return "<stream:error><" + condition + " xmlns='urn:ietf:params:xml:ns:xmpp-streams'/><text xmlns='urn:ietf:params:xml:ns:xmpp-streams'>no</text></stream:error></stream:stream>"
}

func notAllowed(domain, peer string) string {
	return "2000-01-01T00:00:01.000Z ErrorId 1005 0xC3E93C5E SIPPROXY_E_ROUTING: the domain " + domain +
		" is not on the Allow list and partner discovery is off; INVITE From " + domain + "; the peer 10.11.12.40 has a certificate for \"" + peer + "\""
}

func claimed(domain, from, reason string) string {
	return `{"xmpp":{"refusals":[{"at":"2000-01-01T00:00:00Z","from":"` + from + `","domain":"` + domain + `","to":"contoso.com","reason":"` + reason + `","times":2}]}}`
}

// tried is the status of a gateway whose last attempt to reach gmail.com failed.
func tried(why string, policy bool) string {
	return fmt.Sprintf(`{"xmpp":{"streams":[{"from":"contoso.com","to":"gmail.com","up":false,"attempts":[{"at":"2000-01-01T00:00:00Z","target":"talk0:5269","error":%q,"policy":%v}]}]}}`, why, policy)
}

func only(version uint16) func(*tls.Config) {
	return func(c *tls.Config) { c.MinVersion, c.MaxVersion = version, version }
}

func weak(c *tls.Config) { c.CipherSuites = []uint16{tls.TLS_RSA_WITH_AES_128_CBC_SHA} }

func selfSigned(t *testing.T, name string) func(*pki.Pair) *pki.Pair {
	return func(*pki.Pair) *pki.Pair {
		p, err := pki.SelfSigned(pki.Leaf{Subject: name, Server: true})
		if err != nil {
			t.Error(err)
		}
		return p
	}
}

// An examination ends soon after its context does.
func TestCancel(t *testing.T) {
	d := healthy()
	d.faults = dns.Faults{".": dns.Silence}
	d.farm["talk0"] = silence
	d.run(t, func(t *testing.T, b *built) {
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		defer cancel()
		began := time.Now()
		b.gateway.Examine(ctx)
		b.edge.Examine(ctx)
		b.outside.Examine(ctx)
		if took := time.Since(began); took > 4*time.Second {
			t.Errorf("it took %v", took)
		}
	})
}

// The evidence is what was seen, in words that can be searched for.
func TestEvidence(t *testing.T) {
	for name, tc := range map[string]struct {
		change func(*deployment)
		code   string
		want   []string
	}{
		"lookalike": {func(d *deployment) {
			d.srv("0 0 5269 lm.contoso.com.")
			d.zones["contoso.com"]["im A"] = []string{"12.34.56.78"}
		}, "dns.lookalike", []string{"0 0 5269 lm.contoso.com.", "no such host", "probably meant: im.contoso.com"}},
		"refused": {func(d *deployment) { d.gatewayFile["sip.contoso.com"] = addr("10.11.12.1") }, "net.refused", []string{"sip.contoso.com is 10.11.12.1", "10.11.12.1:5061", "connection refused"}},
		"a rule with 5296": {func(d *deployment) {
			for _, port := range []int{5269, 6269} {
				d.rules = append(d.rules, vnet.Rule{Name: fmt.Sprint(port), From: "internet", Protocol: "tcp", Port: port, Verdict: vnet.Drop})
			}
		}, "net.filtered", []string{"12.34.56.78:5296", "so a rule lets 5296 through on this way; 5269 is meant"}},
		"wrong CN": {func(d *deployment) { d.gatewayLeaf.Subject = "im.contoso.com" }, "tls.name-mismatch", []string{"im.contoso.com", "xmpp.jds.local", "SHA-256"}},
		"stranger": {func(d *deployment) { d.gatewayXMPP = says("SSH-2.0-OpenSSH_9.6\r\n") }, "nat.forward", []string{"SSH-2.0-OpenSSH_9.6"}},
		"three names": {func(d *deployment) {
			d.hostname = "gw.jds.local"
			d.gatewaySays = fixed("200 OK\r\nContact: <sip:gw.jds.local:5061>")
		}, "gateway.hostname",
			[]string{"Allow list: xmpp.jds.local", "names in the certificate: xmpp.jds.local", "hands out: gw.jds.local"}},
	} {
		t.Run(name, func(t *testing.T) {
			d := healthy()
			tc.change(d)
			_, all := d.examine(t)
			i := slices.IndexFunc(all, func(f doctor.Finding) bool {
				return f.Code == tc.code && (tc.code != "gateway.hostname" || f.From == doctor.FromEdge)
			})
			if i < 0 {
				t.Fatalf("no %s", tc.code)
			}
			said := strings.Join(all[i].Evidence, "\n")
			for _, want := range tc.want {
				if !strings.Contains(said, want) {
					t.Errorf("the evidence does not say %q:\n%s", want, said)
				}
			}
		})
	}
}
