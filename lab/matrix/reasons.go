package matrix

import (
	"maps"
	"slices"
)

// alike says why faults that are found by the same from everywhere must be. The key is what they are found by.
var alike = map[string]string{
	"edge nat.hairpin, edge net.filtered":               "a firewall that does not loop and one that loops and has no rule for it swallow the same packet. Only its rules tell; the remedy names both.",
	"edge net.filtered":                                 "they are one fault, made by two rules: one port is closed on one way. Which rule it is only the firewall's administrator sees; the evidence says where one lets a number through that is close.",
	"edge net.refused":                                  "the firewall's reset and that of a machine on which nothing listens are the same segment. The evidence has the address, which is the gateway's in one case and not in the other.",
	"gateway dns.resolver-failing":                      "whatever the name server does in place of answering, its forwarding is what has to be looked at. The evidence quotes the answer.",
	"gateway net.filtered":                              "silence is all that a filter lets one see. Whether the request was dropped or the answer only the other end can tell: there the connection hangs half open.",
	"gateway tls.name-mismatch, edge tls.name-mismatch": "an alias and a wildcard are both not the name; the evidence has the names in the certificate.",
	"gateway net.idle-timeout":                          "they are one fault, and differ in what the firewall does with what comes for a forgotten connection; the evidence says how connections broke.",
	"gateway xmpp.dialback":                             "a key that is refused and one that nobody confirms are both no proof; the evidence has the reason that the gateway noted.",
	"gateway xmpp.peer-certificate":                     "they are one fault: the certificate proves nothing. Whether it has run out, names something else, was revoked or comes from nobody that is known is in the evidence.",
	"gateway xmpp.negotiation, gateway xmpp.own-certificate, outside xmpp.own-certificate": "they are one fault: our certificate proves nothing. Why not is in the evidence.",
	"gateway xmpp.negotiation": "to the stream they are one fault: what the two sides accept as proof has nothing in common. The evidence has what each offers.",
	"gateway xmpp.tls-policy":  "they are one fault: one side demands TLS and the other forbids it. The evidence has what each wants.",
	"outside net.filtered":     "a port that is shut and one that is open under another number are both silent. The firewall's rules tell.",
	"outside net.refused":      "the firewall's reset and that of a machine on which nothing listens are the same segment. Not even the gateway's socket table tells, which sees no attempt in either case: the firewall's rules and forwards are next.",
}

// why is the justification of a group, or empty.
func why(g Alike) string { return alike[g.words()] }

// combinations are the rules of [Judge]. B may be empty: any fault.
var combinations = []Combined{
	{"gateway gateway.hostname", "gateway edge.refused", "gateway tls.name-mismatch, edge tls.name-mismatch",
		"four names stand against each other, and no Edge or gateway answers that would say which two belong together"},
	{"gateway gateway.hostname", "", "gateway tls.name-mismatch",
		"the configured name and the certificate's differ, and the Edge, whose answer would say which is right, does not give one"},
	{"gateway tls.rejected", "gateway tls.chain-incomplete", "",
		"the gateway misses the issuing certificate before it can see that it is refused, and the Edge misses the root before the issuing certificate"},
	{"gateway tls.untrusted", "gateway tls.chain-incomplete", "gateway tls.rejected",
		"the Edge, which has the root, now misses the issuing certificate; the gateway sees a refusal and not its reason"},
	{"gateway tls.rejected", "gateway tls.chain-incomplete", "edge tls.rejected",
		"the Edge, which misses the root, is refused as well: it does not send the issuing certificate along"},
	{"gateway tls.untrusted", "gateway tls.chain-incomplete", "",
		"without the root the gateway does not see that the issuing certificate is missing too; the Edge sees it, and why it is refused by that"},
	{"gateway tls.chain-incomplete", "gateway tls.chain-incomplete", "gateway tls.rejected, gateway tls.untrusted, edge tls.rejected, edge tls.untrusted",
		"what completes a chain comes from the other side's certificate, and is missing there as well: no more can be said than that nothing leads to a root"},
	{"gateway tls.rejected", "gateway tls.revoked", "",
		"a machine that finds its own certificate at fault knows why it is refused, and does not say that it is; the other one sees the first thing that is wrong with it"},
	{"edge tls.untrusted", "gateway tls.revoked", "edge tls.rejected",
		"without the root the Edge cannot tell whose list it has, not even for its own certificate: it sees that it is refused, and not why"},
	{"gateway tls.untrusted", "edge tls.revoked", "gateway tls.rejected",
		"without the root the gateway cannot tell whose list it has, not even for its own certificate: it sees that it is refused, and not why"},
	{"gateway tls.untrusted", "edge tls.revoked", "",
		"without the root the gateway does not see that the Edge's certificate is revoked; the Edge sees it, and so why it is refused"},
	{"gateway tls.chain-incomplete", "gateway tls.revoked", "",
		"a list is believed that the issuing certificate has signed: who misses that sees no more, and whose certificate it is sees that it is revoked before it asks what it sends along"},
	{"gateway dns.federation-srv", "", "",
		"without a next hop the gateway sees nothing of the Edge's certificate; the Edge sees what is wrong with it, and so why it is refused"},
	{"gateway edge.address-down", "gateway net.filtered", "gateway net.unreachable",
		"the Edge whose failure the other one made good is missed, now that the other one cannot be reached either"},
	{"gateway edge.address-down", "gateway nat.hairpin", "gateway net.unreachable",
		"the Edge whose failure the other one made good is missed, now that the other one cannot be reached either"},
	{"gateway tls.pin", "", "",
		"a pin takes the place of all that the gateway would check else; the Edge sees what is wrong with its certificate by itself"},
	{"gateway tls.name-mismatch", "edge edge.next-hop-name", "gateway gateway.hostname, edge gateway.hostname",
		"certificate and Allow list agree on the alias, and it is the configured name that stands alone"},
	{"edge tls.name-mismatch", "", "edge edge.next-hop-name",
		"the name on the Allow list and the certificate's differ, and the gateway, whose answer would say which is right, does not give one"},
	{"edge nat.hairpin-used", "edge net.refused", "edge nat.hairpin",
		"a gateway that refuses behind a firewall that loops, and a firewall that does not loop and says so, answer with the same reset"},
	{"outside dns.public-address", "outside gateway.address-down", "outside net.filtered",
		"the address that served has become one that the Internet does not route to, and what is left is silent"},
	{"outside dns.srv-port", "outside net.refused", "outside net.filtered",
		"the port in the record is dropped, and as 5269 does not take connections either, nothing says that the record is what is wrong"},
	{"outside dns.srv-port", "gateway net.return-path", "",
		"nobody gets as far as 5269, so no connection is half open there; and as 5269 does not answer, nothing says that the record is what is wrong"},
	{"outside xmpp.no-stream", "gateway net.return-path", "edge net.return-path",
		"the half-open connections are where the port is forwarded to, which is the Edge"},
	{"outside nat.forward", "gateway net.return-path", "",
		"the half-open connections are where the port is forwarded to, a machine at which nobody looks"},
	{"gateway net.filtered", "gateway xmpp.target-down", "gateway xmpp.all-targets-down",
		"one target refuses and the others are silent: all are down, and no longer for one reason"},
	{"gateway nat.hairpin-used", "gateway net.refused", "gateway dns.split-view, gateway nat.hairpin",
		"the firewall loops, and not to the wrong port: that is as silent as if it did not loop"},
	{"edge nat.hairpin-used", "outside net.mtu", "edge net.mtu",
		"traffic that the firewall turns around takes the same narrow way to the gateway as the Internet's"},
	{"outside dns.lookalike", "edge nat.hairpin", "edge dns.next-hop", "the Edge knows the gateway by the name that was mistyped"},
	{"outside dns.lookalike", "edge nat.hairpin-used", "edge dns.next-hop", "the Edge knows the gateway by the name that was mistyped"},
	{"outside net.filtered", "edge nat.hairpin-used", "edge nat.hairpin, edge net.filtered", "the Edge knows the gateway by the name whose address is wrong"},
	{"edge nat.hairpin", "edge nat.hairpin", "edge nat.hairpin-used", "each patch has what the other leaves out, and together they are the firewall that loops"},
	{"edge nat.hairpin", "edge gateway.domain-not-served", "edge tls.name-mismatch", "the Allow list sends a further domain to the gateway's former name, which its certificate no longer has"},
	{"edge nat.hairpin-used", "edge gateway.domain-not-served", "edge tls.name-mismatch", "the Allow list sends a further domain to the gateway's former name, which its certificate no longer has"},
}

// Combinations are what [Judge] explains pairs by.
func Combinations() []Combined { return slices.Clone(combinations) }

// Reasons are why faults look the same from everywhere, by what they are found by.
func Reasons() map[string]string { return maps.Clone(alike) }
