package doctor

var edgeEntries = []Entry{
	{
		Code: "edge.internal-interface", Severity: Error, From: []Vantage{FromGateway, FromEdge}, Steps: []int{5},
		Title:   "The next hop is the Edge's internal interface",
		Meaning: "The gateway is connected to the Edge's interface for the organisation's own servers, which does not take federation traffic. From the gateway it is recognised by answers that explain themselves with ms-diagnostics, which never crosses the federation boundary; the Edge's log says it plainly. One of the most common mistakes.",
		Remedy:  "Let the next hop be the Edge's federation name, and let that name resolve to its perimeter address.",
		Next:    "The HOSTS entry on the gateway; and that 5061 is open to the federation address.",
	},
	{
		Code: "edge.domain-not-allowed", Severity: Error, From: []Vantage{FromEdge}, Steps: []int{6},
		Title:   "The Edge's Allow list lacks the domain",
		Meaning: "The Edge refused requests from this domain because it is not on its Allow list and partner discovery is off. The gateway is told nothing but 504. In the other direction the Edge does not know where to send messages for it.",
		Remedy:  "Add the domain to the Allow list with the gateway's host name as its next hop. Each domain needs an entry of its own: googlemail.com is not gmail.com.",
		Next:    "That the name in the new entry is exactly the gateway's own (edge.next-hop-name).",
	},
	{
		Code: "edge.next-hop-name", Severity: Error, From: []Vantage{FromEdge}, Steps: []int{6},
		Title:   "The Allow list names the gateway by an alias",
		Meaning: "The name on the Allow list leads to the gateway, and the gateway is called something else: so say its certificate and the name that it hands out. The Edge compares the certificate with the Allow list, breaks off its own connections and answers the gateway's requests with 504.",
		Remedy:  "Put the gateway's actual host name on the Allow list. Three names have to be the same: the gateway's configured host name, the one in its certificate, and the entry of the Allow list.",
		Next:    "The entries of all other domains that go to the same gateway.",
	},
	{
		Code: "edge.refused", Severity: Error, From: []Vantage{FromGateway}, Steps: []int{6},
		Title:   "The Edge refuses requests from this domain and does not say why",
		Meaning: "The Edge took the connection and answered an OPTIONS in the name of this domain with a bare 504 or 403. That is what it says for everything that it does not trust: the domain is not on its Allow list, the entry has another name than the gateway's certificate, or the connection ends at its internal interface. Which of them stands only in its own log.",
		Remedy:  "Run the doctor on the Edge, or read the Edge's log for the time of this examination.",
		Next:    "edge.domain-not-allowed, edge.next-hop-name, edge.internal-interface.",
	},
	{
		Code: "edge.unavailable", Severity: Warning, From: []Vantage{FromGateway}, Steps: []int{5},
		Title:   "The Edge is there and does not serve at the moment",
		Meaning: "The session with the Edge came about, and the answer to OPTIONS was 503 or none in time: it is busy, starting, or has lost the pool behind it. Messages are tried again as it told us, and returned if that takes too long.",
		Remedy:  "Wait for the time that Retry-After names, then look at the Edge's services and at the pool.",
		Next:    "Whether it is slow for everybody: the load on the Edge, and its connection to the inside.",
	},
	{
		Code: "edge.address-down", Severity: Warning, From: []Vantage{FromGateway}, Steps: []int{5},
		Title:   "Some of the next hop's addresses cannot be reached",
		Meaning: "The next hop has several addresses, or several hosts that stand in for each other; those in the evidence take no connection, and another one does. Messages arrive. When the one that serves goes away too, nothing is left.",
		Remedy:  "Bring the Edge at that address back, or take the address out of the name's records and the host out of the next hop.",
		Next:    "Whether the firewall lets the gateway out to some of the addresses only; telnet to each of them on 5061.",
	},
	{
		Code: "gateway.address-down", Severity: Warning, From: []Vantage{FromOutside, FromEdge}, Steps: []int{1, 3, 6},
		Title:   "Some of the gateway's addresses cannot be reached",
		Meaning: "The name on the Allow list, or the names in the SRV record, have several addresses, of gateways that stand side by side or of one in IPv4 and IPv6; those in the evidence take no connection, and another one does. Messages arrive, later from those who try a dead address first. When the one that serves goes away too, nothing is left.",
		Remedy:  "Bring the gateway at that address back, or take the address out of the name's records, or the host out of the SRV record.",
		Next:    "Whether a firewall lets through to some of the addresses only; telnet to each of them, on 5061 from the Edge and on 5269 from outside. If it is the IPv6 address: the rules for IPv6 are often others than those for IPv4, and an AAAA record is often made before anything is let in.",
	},
	{
		Code: "gateway.hostname", Severity: Error, From: []Vantage{FromGateway, FromEdge}, Steps: []int{6},
		Title:   "The gateway's configured host name is not its real one",
		Meaning: "The Allow list and the certificate agree, and the gateway is configured with another name, which it hands out in SIP. The Edge will send what belongs to a conversation to a name that it does not know.",
		Remedy:  "Set hostname in the gateway's configuration to the name in the certificate and on the Allow list. A gateway that stands beside others keeps its own name, which then has to be in its certificate beside the Allow list's, and to lead to its address.",
		Next:    "All three names side by side, in the evidence.",
	},
	{
		Code: "gateway.domain-not-served", Severity: Error, From: []Vantage{FromOutside, FromEdge}, Steps: []int{6, 7},
		Title:   "The gateway is asked for a domain that it is not configured for",
		Meaning: "Somebody is told to bring traffic for this domain to the gateway, by an SRV record or by the Edge's Allow list, and the gateway does not have it in its configuration. It refuses politely and the sender is told.",
		Remedy:  "Add the domain to sip.domains or xmpp.domains of the gateway's configuration, or remove the record or entry that leads here.",
		Next:    "How the domain is spelt in both places.",
	},
	{
		Code: "gateway.unavailable", Severity: Warning, From: []Vantage{FromEdge}, Steps: []int{6},
		Title:   "The gateway takes the connection and does not answer",
		Meaning: "The TLS session with the gateway came about, and OPTIONS was not answered in time or with a server failure: it is starting, stopping or overloaded.",
		Remedy:  "Look at the gateway's log and its health page.",
		Next:    "Whether something else than the gateway listens on 5061.",
	},
}
