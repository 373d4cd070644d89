package scenario

import (
	"net/netip"

	"fedlab/internal/strictyaml"
)

// Topology is everything that is deployed, and what a patch changes. It is a plain value: package lab builds the world from
// it. Names are the keys of the maps; places that refer to a host, segment, router or authority use them.
type Topology struct {
	Title       string               `yaml:"title"`       // what is deployed, in one line
	Extends     string               `yaml:"extends"`     // another topology that this one is a patch on
	Segments    map[string]Segment   `yaml:"segments"`    // the networks
	Routers     map[string]Router    `yaml:"routers"`     // what joins them
	Zones       map[string]View      `yaml:"zones"`       // the DNS, by view: who asks whom sees which zones
	Authorities map[string]Authority `yaml:"authorities"` // certificate authorities
	Hosts       map[string]Host      `yaml:"hosts"`       // the machines and what runs on them
}

// Segment is one network: everyone on it hears everyone directly.
type Segment struct {
	Prefixes []netip.Prefix `yaml:"prefixes" need:"true"` // the addresses on it; 0.0.0.0/0 is the whole Internet
	Link     Link           `yaml:"link"`
}

// Link is how a segment, or one host's attachment to it, carries packets.
type Link struct {
	Latency   Duration `yaml:"latency"`                   // one way; default 1ms on a segment, none on an attachment
	Jitter    Duration `yaml:"jitter"`                    // further delay, from nothing to this
	Loss      float64  `yaml:"loss" min:"0" max:"1"`      // share of packets lost
	Duplicate float64  `yaml:"duplicate" min:"0" max:"1"` // share of packets that arrive twice
	Reorder   float64  `yaml:"reorder" min:"0" max:"1"`   // share of packets that later ones overtake
	Bandwidth int      `yaml:"bandwidth" min:"1000"`      // bits per second; default unlimited
	Queue     int      `yaml:"queue" min:"1500"`          // bytes that wait for their turn when there is a bandwidth; default 65536
	MTU       int      `yaml:"mtu" min:"576" max:"65535"` // of a segment: largest packet; default 1500
	Down      bool     `yaml:"down"`                      // nothing passes
}

// Attachment is one host's own way to and from a segment.
type Attachment struct {
	Out Link `yaml:"out"` // from the host to the segment
	In  Link `yaml:"in"`  // from the segment to the host
}

// Router joins segments, filters and translates. Rules are tried in the order of their names in the file: the first that
// matches decides. What no rule matches is passed if it belongs to a connection that was let through, else Policy decides.
type Router struct {
	Interfaces map[string]netip.Prefix `yaml:"interfaces" need:"true"`          // segment: address/bits on it
	Addresses  map[string][]netip.Addr `yaml:"addresses"`                       // segment: further addresses the router answers for, used in forwards
	Routes     map[string]netip.Addr   `yaml:"routes"`                          // prefix or "default": next hop
	Policy     Verdict                 `yaml:"policy" oneof:"pass drop reject"` // for packets that no rule matches; default pass
	Rules      Ordered[Rule]           `yaml:"rules"`                           // the packet filter, tried in the order of the file
	Masquerade []string                `yaml:"masquerade"`                      // segments towards which the source becomes the router's own address
	Forwards   Ordered[Forward]        `yaml:"forwards"`                        // port forwarding
	NAT        NAT                     `yaml:"nat"`                             // how addresses are translated
	State      State                   `yaml:"state"`                           // how long connections are remembered
	Hairpin    bool                    `yaml:"hairpin"`                         // whether a forward also works from the inside
	Silent     bool                    `yaml:"silent"`                          // sends no ICMP errors, as with "no ip unreachables": who sends more than a link carries is not told
	ClampMSS   bool                    `yaml:"clamp_mss"`                       // lowers the MSS in SYNs that it passes on to what both links carry, so that neither end sends more
}

// NAT is how source addresses are translated, in the words of RFC 4787 §4.1 and §5. The default is what Linux does.
type NAT struct {
	Mapping   string `yaml:"mapping" oneof:"address-and-port-dependent address-dependent endpoint-independent"`   // whether a second connection keeps the outside port
	Filtering string `yaml:"filtering" oneof:"address-and-port-dependent address-dependent endpoint-independent"` // who may send to that port
	Scramble  bool   `yaml:"scramble"`                                                                            // choose outside ports without regard to the inside ones
}

// State is after what silence a router forgets a connection. The defaults are Linux's.
type State struct {
	Opening     Duration `yaml:"opening"`     // TCP, not answered yet; default 2m
	Established Duration `yaml:"established"` // TCP; default 120h
	Closing     Duration `yaml:"closing"`     // TCP, closed by both ends or reset; default 2m
	UDP         Duration `yaml:"udp"`         // default 30s, and 2m once answered
	Reset       bool     `yaml:"reset"`       // what comes for a forgotten connection is answered with a reset; default dropped
	DataOnly    bool     `yaml:"data_only"`   // TCP segments without data do not count as traffic: neither keep-alive probes nor acknowledgements
}

// Verdict is what a rule does with a packet.
type Verdict string

// The verdicts.
const (
	Pass   Verdict = "pass"
	Drop   Verdict = "drop"
	Reject Verdict = "reject" // TCP: a reset to the sender; else ICMP port unreachable
	Reset  Verdict = "reset"  // TCP: a reset to both ends, in the middle of a connection too
	Delay  Verdict = "delay"  // passed, but late
)

// Rule is one named rule of a packet filter. An empty field matches everything.
type Rule struct {
	From       string         `yaml:"from"`                            // segment the packet comes from
	To         string         `yaml:"to"`                              // segment the packet goes to
	Protocol   string         `yaml:"protocol" oneof:"tcp udp icmp"`   // default any
	Source     []netip.Prefix `yaml:"source"`                          // where the packet comes from, before translation
	Target     []netip.Prefix `yaml:"target"`                          // after port forwarding, as packet filters see it
	Port       int            `yaml:"port" min:"1" max:"65535"`        // destination port
	Stateless  bool           `yaml:"stateless"`                       // judges every packet, answers included; other rules judge only what begins a connection
	SYNACK     bool           `yaml:"syn_ack"`                         // with Stateless: only TCP segments with SYN and ACK, the answer to a connection attempt
	SourcePort int            `yaml:"source_port" min:"1" max:"65535"` // default any
	Flags      string         `yaml:"flags"`                           // TCP control bits that have to be set, or clear with a "!": "SYN !ACK", "RST"
	Delay      Duration       `yaml:"delay"`                           // of verdict delay

	// A rule may act on some of the packets that match; the rules behind it see the others. Counting starts when the rule is installed.
	Nth   int      `yaml:"nth" min:"1"`   // only the nth packet
	First int      `yaml:"first" min:"1"` // only the first so many
	Every int      `yaml:"every" min:"1"` // only every so many
	For   Duration `yaml:"for"`           // only for so long

	Verdict Verdict `yaml:"verdict" oneof:"pass drop reject reset delay" need:"true"` // what is done with the packet
}

// Forward sends what arrives for an outside address and port to an inside host.
type Forward struct {
	Address  netip.Addr     `yaml:"address" need:"true"`                  // outside address, one of the router's own
	Protocol string         `yaml:"protocol" oneof:"tcp udp"`             // default tcp
	Port     int            `yaml:"port" min:"1" max:"65535" need:"true"` // of the outside address
	To       netip.AddrPort `yaml:"to" need:"true"`                       // the inside host
	Hairpin  bool           `yaml:"hairpin"`                              // works from the inside although the router's hairpin is off
}

// View is the DNS as one group of askers sees it: zone name to its records.
type View map[string]Zone

// Zone is the records of a zone: "NAME TYPE" to values in zone-file text, NAME relative to the zone, "@" for its apex.
//
//	_xmpp-server._tcp SRV: 0 0 5269 xmpp.contoso.com.
//
// A zone without an SOA record gets one, whose last number says that an answer that there is nothing may be kept for a minute (RFC 2308).
type Zone map[string]Values

// Values is one string or a list of strings.
type Values []string

// Authority is a certificate authority: a root, and between it and the leaves an issuing authority if there is one.
type Authority struct {
	Issuing bool `yaml:"issuing"` // leaves are signed by an issuing certificate, which servers have to send along
}

// Host is one machine.
type Host struct {
	Interfaces   map[string]netip.Prefix `yaml:"interfaces" need:"true"` // segment: address/bits
	Addresses    map[string][]netip.Addr `yaml:"addresses"`              // segment: further addresses
	Links        map[string]Attachment   `yaml:"links"`                  // segment: how this host's own attachment carries packets, on top of the segment's link
	Routes       map[string]netip.Addr   `yaml:"routes"`                 // prefix or "default": next hop
	HostsFile    map[string]netip.Addr   `yaml:"hosts_file"`             // name: address; goes before DNS
	Resolver     []netip.Addr            `yaml:"resolver"`               // DNS servers it asks, in order
	Certificate  *Certificate            `yaml:"certificate"`            // its own
	Authorities  []string                `yaml:"authorities"`            // those it trusts
	IssuingKnown []string                `yaml:"issuing_known"`          // authorities whose issuing certificate is installed here as well
	ListsKnown   []string                `yaml:"lists_known"`            // authorities whose list of revoked certificates is installed here

	Says map[string]string `yaml:"says"` // port: what a service that has nothing to do with the federation says there to whoever connects

	// What runs on it: one of these, or nothing.
	Gateway    *Gateway    `yaml:"gateway"`
	GoogleTalk *GoogleTalk `yaml:"google_talk"`
	Partner    *Partner    `yaml:"partner"`
	Edge       *Edge       `yaml:"edge"`
	DNS        *DNS        `yaml:"dns"`
}

// Certificate is what to mint for a host, right or wrong.
type Certificate struct {
	Subject   string   `yaml:"subject"`                                                                                          // the CN
	Names     Values   `yaml:"names"`                                                                                            // DNS names in the subjectAltName; none: no subjectAltName
	Authority string   `yaml:"authority"`                                                                                        // who signs; empty: self-signed
	From      Duration `yaml:"from"`                                                                                             // start of validity relative to the start of the run; default -24h
	Until     Duration `yaml:"until"`                                                                                            // end of validity relative to the start of the run; default 8760h
	Usage     Values   `yaml:"usage" oneof:"server client any"`                                                                  // "any" is no extended key usage at all; "server", "client"; default server, like a Web Server certificate of the time
	Key       string   `yaml:"key" oneof:"missing other"`                                                                        // default its own; "missing"; "other": the key of another certificate. A gateway with either does not start
	SendChain *bool    `yaml:"send_chain"`                                                                                       // whether issuing certificates are sent along; default true
	Revoked   string   `yaml:"revoked" oneof:"unspecified key-compromise affiliation-changed superseded cessation-of-operation"` // the authority has taken it back an hour before the run, for this reason; who knows of it says lists_known. Default not revoked
}

// Gateway is a host that runs the gateway.
type Gateway struct {
	Hostname string                 `yaml:"hostname" need:"true"` // the name that it hands out in SIP
	SIP      map[string]GatewaySIP  `yaml:"sip"`                  // SIP domain: the way to it
	XMPP     map[string]GatewayXMPP `yaml:"xmpp"`                 // XMPP domain: policy

	Certificate *Certificate `yaml:"certificate"`                    // what XMPP servers see; default the host's own, which Edges see
	Authorities []string     `yaml:"authorities"`                    // those that XMPP servers are verified against; needed with certificate
	ListenTLS   int          `yaml:"listen_tls" min:"1" max:"65535"` // port for streams that begin with TLS (XEP-0368); default none

	DialbackSecret string `yaml:"dialback_secret"` // what gateways that stand side by side share, so that each knows the other's keys; default one of its own
}

// GatewaySIP is one SIP domain of the gateway's configuration.
type GatewaySIP struct {
	NextHop Values `yaml:"next_hop" need:"true"`            // host:port of the Edge's federation listener, several of them, or "srv": where the SRV record leads
	MinTLS  string `yaml:"min_tls" oneof:"1.0 1.1 1.2 1.3"` // oldest version accepted from it; default 1.2
	Pin     string `yaml:"pin"`                             // SHA-256 fingerprint in place of a chain
	Mode    string `yaml:"mode" oneof:"session page"`       // how messages go there: in sessions, as OCS wants them (default), or each by itself, as SIP/SIMPLE peers do
}

// GatewayXMPP is one XMPP domain of the gateway's configuration.
type GatewayXMPP struct {
	Also     Values `yaml:"also"`                                 // further domains with the same policy
	TLS      string `yaml:"tls" oneof:"never optional required"`  // whether streams are encrypted; default optional
	SASL     string `yaml:"sasl" oneof:"never optional required"` // certificates as proof of a domain; default optional
	Dialback string `yaml:"dialback" oneof:"never optional"`      // DNS as proof of a domain; default optional
	Pin      string `yaml:"pin"`                                  // SHA-256 fingerprint in place of a chain
}

// GoogleTalk is a host of the Google Talk farm. All hosts of a topology that have one form one farm.
type GoogleTalk struct {
	Names      Values           `yaml:"names" need:"true"` // the host names that stand for this machine
	Domains    []string         `yaml:"domains"`           // gmail.com, googlemail.com; set on any host, holds for the farm
	Users      map[string]User  `yaml:"users"`             // full address: the user; set on any host, holds for the farm
	Crowd      *Crowd           `yaml:"crowd"`             // many more users; set on one host, holds for the farm
	Down       bool             `yaml:"down"`              // nothing listens here
	Quirks     *strictyaml.Node `yaml:"quirks"`            // habits and faults of this machine, in place of the farm's
	FarmQuirks *strictyaml.Node `yaml:"farm_quirks"`       // habits and faults of all machines; set on any host
}

// Partner is the XMPP server of another organisation: an ordinary one of version 1.0, which may use TLS and certificates. With TLS it
// needs a certificate that names its domains.
type Partner struct {
	Domains   Values           `yaml:"domains" need:"true"`                  // what it serves
	Users     map[string]User  `yaml:"users"`                                // full address: the user
	TLS       string           `yaml:"tls" oneof:"never optional required"`  // whether streams are encrypted; default optional
	SASL      string           `yaml:"sasl" oneof:"never optional required"` // certificates as proof of a domain (SASL EXTERNAL); default optional
	Dialback  string           `yaml:"dialback" oneof:"never optional"`      // DNS as proof of a domain; default optional
	DirectTLS int              `yaml:"direct_tls" min:"1" max:"65535"`       // port for streams that begin with TLS, which it also uses where others have them (XEP-0368); default none
	NewestTLS string           `yaml:"newest_tls" oneof:"1.0 1.1 1.2 1.3"`   // newest version that it speaks; default all
	Trusted   bool             `yaml:"trusted"`                              // insists on a good certificate of the other side, beside dialback too
	Down      bool             `yaml:"down"`                                 // nothing listens here
	Quirks    *strictyaml.Node `yaml:"quirks"`                               // habits and faults
	ServedBy  string           `yaml:"served_by" oneof:"prosody ejabberd"`   // the server that others wrote; only the world of containers can run it; default a fake
}

// User is a person with a client.
type User struct {
	Contacts []string `yaml:"contacts"`                                                 // who is on the roster or contact list from the beginning
	State    string   `yaml:"state" oneof:"offline busy declines silent left internal"` // of a user of the pool: what the client does with what comes in; default takes it
	Refuse   string   `yaml:"refuse"`                                                   // of a user of the farm: the condition that every message to the user comes back with, such as resource-constraint
	Receipts bool     `yaml:"receipts"`                                                 // of a user of the farm: the client confirms messages when asked to
}

// Crowd is many users at once: user1, user2, user3 and so on of the first domain, in one farm and one Edge's pool. The two crowds are
// each other's contacts. With 25 contacts each, user1 of the pool has user1 to user25 of the farm, user2 the next 25, and so on, round
// and round.
type Crowd struct {
	Users    int `yaml:"users" need:"true" min:"1" max:"100000"`   // how many
	Contacts int `yaml:"contacts" need:"true" min:"1" max:"10000"` // of each of them; users times contacts is the same on both sides
}

// Edge is an Access Edge with the pool and the users behind it.
type Edge struct {
	Name       string            `yaml:"name" need:"true"`           // the federation name, which its certificate carries
	Federation netip.Addr        `yaml:"federation" need:"true"`     // address of the federation listener, port 5061
	Second     netip.Addr        `yaml:"second"`                     // federation address of a second Edge with the same name, certificate and pool, port 5061
	Internal   netip.Addr        `yaml:"internal"`                   // address of the internal interface, port 5061
	Domains    Values            `yaml:"domains" need:"true"`        // the organisation's SIP domains
	Allow      map[string]string `yaml:"allow"`                      // Allow list: federated domain to the name of its next hop
	Users      map[string]User   `yaml:"users"`                      // full address: the user
	Crowd      *Crowd            `yaml:"crowd"`                      // many more users, behind one Edge
	Quirks     *strictyaml.Node  `yaml:"quirks"`                     // habits and faults
	ServedBy   string            `yaml:"served_by" oneof:"kamailio"` // a SIP/SIMPLE server that others wrote, in place of Edge and pool; only the world of containers can run it; default a fake
}

// ServedBy is the server that others wrote that a host runs, empty if it runs none.
func (h Host) ServedBy() string {
	switch {
	case h.Partner != nil:
		return h.Partner.ServedBy
	case h.Edge != nil:
		return h.Edge.ServedBy
	}
	return ""
}

// DNS is a host that answers DNS.
type DNS struct {
	View    string            `yaml:"view" need:"true"`                                          // the zones it serves
	Forward []netip.Addr      `yaml:"forward"`                                                   // where it asks for everything else
	Faults  map[string]string `yaml:"faults" oneof:"nxdomain servfail refused silence truncate"` // name, or "NAME TYPE", with everything below it ("." is all): what is wrong with it
}
