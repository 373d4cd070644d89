package doctor

var xmppEntries = []Entry{
	{
		Code: "xmpp.target-down", Severity: Warning, From: []Vantage{FromGateway}, Steps: []int{7},
		Title:   "Some of the domain's servers cannot be reached",
		Meaning: "The SRV record names several servers; those in the evidence take no connection or give no stream, and another one does. Messages take longer and arrive.",
		Remedy:  "Nothing here: the other domain's operators see it too. If it lasts, check whether the firewall lets out to some of the addresses only.",
		Next:    "telnet to each of the targets on 5269.",
	},
	{
		Code: "xmpp.all-targets-down", Severity: Error, From: []Vantage{FromGateway}, Steps: []int{7},
		Title:   "None of the domain's servers can be reached",
		Meaning: "No server of the domain takes a connection. They refuse, or they are silent while servers of other domains answer, so it is not our firewall. Senders get an error in bounded time.",
		Remedy:  "Wait for the other domain's operators, or tell them.",
		Next:    "Whether the addresses are current: a stale cached answer shows the same.",
	},
	{
		Code: "xmpp.no-stream", Severity: Error, From: []Vantage{FromGateway, FromOutside}, Steps: []int{2, 7},
		Title:   "The port is open and nobody speaks XMPP",
		Meaning: "The connection came about and no XMPP stream did: silence, or an answer that is none. A device in between may take connections for a machine that is off, or something else listens on the port.",
		Remedy:  "Look at what the firewall or proxy on the way does with this port: it has to pass it, not to answer for others.",
		Next:    "The same from another network. Seen from outside, whether the gateway's socket table shows the connection.",
	},
	{
		Code: "xmpp.tls-policy", Severity: Error, From: []Vantage{FromGateway}, Steps: []int{2, 7},
		Title:   "The two sides do not agree on encryption",
		Meaning: "The other side demands TLS and our configuration forbids it towards this domain, or we require it and they do not offer it. Streams end with an error and senders are told.",
		Remedy:  "Set tls of this domain in the gateway's configuration to what the other side does: never, optional or required.",
		Next:    "Google Talk of 2010 speaks no TLS between servers; most others demand it.",
	},
	{
		Code: "xmpp.dialback", Severity: Error, From: []Vantage{FromGateway}, Steps: []int{2},
		Title:   "A server of the domain calls in and cannot prove that it is one",
		Meaning: "The running gateway refused a connection because dialback failed: the domain's own server says that the key is none of its, although the caller is one of the domain's servers, or it could not be asked although it can be reached now. Messages from the domain do not arrive.",
		Remedy:  "If the key is wrong, the domain's operators have to give all their servers the same dialback secret. If the server could not be asked, look at the path from the gateway to the domain's servers on 5269 at that time.",
		Next:    "The gateway's log lines with dialback in them; they name the pair of domains and the condition.",
	},
	{
		Code: "xmpp.forged-origin", Severity: Warning, From: []Vantage{FromGateway}, Steps: []int{2},
		Title:   "Somebody claims to be a domain that he is not",
		Meaning: "A machine that is none of the domain's servers presented a dialback key that the domain's own server does not know, or a stanza in the name of a domain that its stream has not proved. The gateway refused, and nothing was delivered.",
		Remedy:  "Nothing has to be done for safety. If it goes on, the firewall can drop the address in the evidence.",
		Next:    "Whether the address belongs to the domain after all: a new server that DNS does not name yet looks the same.",
	},
	{
		Code: "xmpp.domain-not-allowed", Severity: Warning, From: []Vantage{FromGateway}, Steps: []int{7},
		Title:   "A domain calls in that is not in the configuration",
		Meaning: "A server wants to bring messages from a domain that is not on the gateway's list of XMPP domains. The gateway refused, and the sender was told.",
		Remedy:  "If the domain is a partner, add it to xmpp.domains; a second name of a known one, such as googlemail.com beside gmail.com, goes under also. On the Edge it needs an entry in the Allow list as well.",
		Next:    "How the domain is spelt in the configuration.",
	},
	{
		Code: "xmpp.negotiation", Severity: Error, From: []Vantage{FromGateway}, Steps: []int{7},
		Title:   "The two sides find no stream that both accept",
		Meaning: "A server of the domain answered the opening of a stream with an error, named in the evidence; or one side demands a proof of who is who, by certificate or by dialback, that the other side forbids or does not offer. Senders are told.",
		Remedy:  "host-unknown: the server does not serve the domain that was asked for. policy-violation or not-authorized: it does not federate with ours, or wants another proof. Set tls, sasl and dialback of this domain to something that the other side's operators offer; where certificates are the proof, ours has to name the SIP domain and come from an authority that they trust.",
		Next:    "The table of combinations in docs/running-the-gateway.md, and whether the SRV record leads to the right servers.",
	},
}
