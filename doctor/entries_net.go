package doctor

var netEntries = []Entry{
	{
		Code: "net.filtered", Severity: Error, From: []Vantage{FromOutside, FromGateway, FromEdge}, Steps: []int{2, 3, 5, 6, 7},
		Title:   "Connections are dropped without an answer",
		Meaning: "A connection attempt got no answer at all, neither yes nor no. That is what a firewall does which drops packets, and what a machine does that is switched off. Messages in this direction are returned after the time-out.",
		Remedy:  "Let the port through on the way: 5269 between the Internet and the gateway, in both directions; 5061 between gateway and Edge, in both directions. Compare the port in the rule digit by digit: 5296 and 5016 are the usual slips.",
		Next:    "telnet to the port from both sides of each firewall on the way. If the attempt arrives and the answer does not, it is net.return-path, which the called machine shows.",
	},
	{
		Code: "net.refused", Severity: Error, From: []Vantage{FromOutside, FromGateway, FromEdge}, Steps: []int{2, 3, 5, 6},
		Title:   "Connections are refused",
		Meaning: "The answer to the connection attempt was a reset: the machine is there and nobody listens on that port, or a firewall rejects in its name. The address may also be that of the wrong machine.",
		Remedy:  "Check that the service is running and listens on this address and port (netstat -ano: LISTENING), then the firewall's rule, then where the address is forwarded to.",
		Next:    "From next to the machine: if it is refused there as well, it is the service and not the firewall.",
	},
	{
		Code: "net.unreachable", Severity: Error, From: []Vantage{FromOutside, FromGateway, FromEdge}, Steps: []int{2, 5, 6, 7},
		Title:   "There is no way to the address",
		Meaning: "A router on the way, or this machine itself, says that the address cannot be reached: a missing route, a machine that is off, or a stale address.",
		Remedy:  "Check the routes on this machine, and whether the address is still the right one.",
		Next:    "If it is an address from DNS that has changed, it heals when the cached record's TTL ends.",
	},
	{
		Code: "net.return-path", Severity: Error, From: []Vantage{FromGateway, FromEdge}, Steps: []int{2, 3},
		Title:   "Requests come in, the answers do not get back",
		Meaning: "The socket table shows connections that were asked for and answered by this machine and never established (SYN_RECEIVED): the answer is lost on its way back. To the other side it looks as if the port were filtered.",
		Remedy:  "Look for a filter that drops what leaves this port, or for a return route through another firewall than the one that the request came through, which does not know the connection.",
		Next:    "The default gateway of this machine, and every firewall with two ways around it.",
	},
	{
		Code: "net.idle-timeout", Severity: Warning, From: []Vantage{FromGateway},
		Title:   "Something on the way forgets connections on which nothing passes",
		Meaning: "Connections that stood broke again and again after the same silence, and new ones come about at once. A firewall or a translator forgets them and tells neither end. The first message after a pause comes late, or is lost by a server that does not notice; the gateway notices, and its senders are told.",
		Remedy:  "Raise the time after which the firewall forgets idle TCP connections on this port, to two hours and more (RFC 5382 §5 asks for 2 h 4 min), and let keep-alive probes count as traffic.",
		Next:    "Everything between the two machines that remembers connections: firewalls, translators, load balancers, proxies that take the connection for others. A peer that resets its own idle connections looks the same; its operators know.",
	},
	{
		Code: "net.mtu", Severity: Error, From: []Vantage{FromGateway, FromEdge, FromOutside},
		Title:   "Large packets do not get through",
		Meaning: "Short exchanges are answered, and the same ones longer than a packet vanish, every time. A link on the way carries less than 1500 bytes, as PPPoE, VPNs and tunnels do, and the router in front of it does not say so, or its word (ICMP fragmentation needed, RFC 1191; IPv6: packet too big, RFC 8201) is dropped by a filter. So telnet connects and short messages pass, long ones are returned after a time-out, with what was written just behind them, and most TLS handshakes hang. The evidence says whether it is what this machine sends that gets lost, or what the other one does.",
		Remedy:  "Whoever runs the routers and firewalls on the way: let ICMP type 3 code 4 (IPv6: ICMPv6 type 2) be sent and pass, or have the router at the narrow link clamp the MSS of the TCP connections that it passes on (iptables: TCPMSS --clamp-mss-to-pmtu; Cisco: ip tcp adjust-mss). Until then, on the machine whose packets get lost: net.ipv4.tcp_mtu_probing=1 on Linux, for IPv6 as well, or the smaller MTU on its interface.",
		Next:    "From the machine whose packets get lost, ping -M do -s 1472 ADDRESS (Windows: ping -f -l 1472), with smaller numbers until answers come; 28 more is what the way carries. tracepath names the router behind which it gets narrow.",
	},
	{
		Code: "nat.forward", Severity: Error, From: []Vantage{FromOutside}, Steps: []int{3},
		Title:   "Somebody else answers behind the public address",
		Meaning: "The port is open, and what answers does not speak XMPP. The firewall forwards to the wrong inside machine or port, or the address belongs to something else.",
		Remedy:  "Correct the forwarding on the external firewall: the public address, port 5269, goes to the gateway, port 5269.",
		Next:    "The first bytes of the answer, in the evidence, often say who it is.",
	},
	{
		Code: "nat.hairpin", Severity: Error, From: []Vantage{FromGateway, FromEdge}, Steps: []int{4, 6},
		Title:   "Traffic has to leave and come back in, and the firewall does not do that",
		Meaning: "The other machine is in the same perimeter and is called by a public address. The firewall would have to turn the traffic around (a NAT hairpin), and the connection does not come about.",
		Remedy:  "Best: let the name resolve to the perimeter address here. With one single public name for the gateway: have the external firewall loop the traffic back, and let 5061 in for it, where normally only 5269 comes in.",
		Next:    "dns.split-view, if it is made as well: with that repaired nothing has to loop.",
	},
	{
		Code: "nat.hairpin-used", Severity: Advice, From: []Vantage{FromGateway, FromEdge}, Steps: []int{4, 6},
		Title:   "Traffic to a machine next door goes through the firewall and back",
		Meaning: "It works. It is the least desirable way all the same: it depends on a service of the firewall that many do not offer or lose with an update, and opens 5061 to the outside address.",
		Remedy:  "Let the name resolve to the perimeter address on this machine, with a HOSTS entry.",
		Next:    "Whether the rule that lets the looped traffic in can then be removed.",
	},
}
