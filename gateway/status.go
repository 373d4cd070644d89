package gateway

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Status says how a gateway is. It is a plain value, for people, for the doctor and for JSON.
type Status struct {
	Hostname string     `json:"hostname"`
	State    State      `json:"state"`
	Since    time.Time  `json:"since"`   // when the state was entered
	Waiting  Waiting    `json:"waiting"` // messages whose outcome is not known yet
	XMPP     XMPPStatus `json:"xmpp"`
	SIP      SIPStatus  `json:"sip"`
}

// Waiting counts messages on their way, by direction.
type Waiting struct {
	XMPPToSIP int `json:"xmpp_to_sip"`
	SIPToXMPP int `json:"sip_to_xmpp"`
}

// XMPPStatus is the state of the XMPP side.
type XMPPStatus struct {
	Incoming int            `json:"incoming"` // streams that peers have open to us
	Streams  []StreamStatus `json:"streams"`  // ours to them, one a pair of domains
	Refusals []ClaimStatus  `json:"refusals"` // the latest claims of peers that were not believed, oldest first
	Breaks   []BreakStatus  `json:"breaks"`   // connections that broke in the middle of a silence, oldest first
}

// BreakStatus is a connection that stood, was silent for a minute or more, and was then found to be broken. It is forgotten when a
// connection with the same peer has lived through as long a silence. See package silence.
type BreakStatus struct {
	At       time.Time `json:"at"`
	Peer     string    `json:"peer"` // its address
	OpenedBy string    `json:"opened_by"`
	Silence  int       `json:"silence_seconds"`
	How      string    `json:"how"` // reset, timed out, nothing acknowledged
}

// ClaimStatus is a claim to speak for a domain that was not believed, and that was not proved since.
type ClaimStatus struct {
	At        time.Time `json:"at"` // the last time
	From      string    `json:"from"`
	Domain    string    `json:"domain"`
	To        string    `json:"to"`
	Reason    string    `json:"reason"` // domain-not-allowed, key-invalid, key-unverified, not-proven
	Condition string    `json:"condition,omitempty"`
	Times     int       `json:"times"`
}

// StreamStatus is the way from one of our domains to a peer's.
type StreamStatus struct {
	From     string          `json:"from"`
	To       string          `json:"to"`
	Up       bool            `json:"up"`
	Since    time.Time       `json:"since,omitzero"`  // when it came up or went down
	Proof    string          `json:"proof,omitempty"` // of the stream that is up: dialback, dialback in TLS, SASL EXTERNAL
	TLS      string          `json:"tls,omitempty"`   // its version, "direct" behind it if TLS came before XML; empty in clear
	Queued   int             `json:"queued"`
	Attempts []AttemptStatus `json:"attempts"` // the latest, oldest first
}

// AttemptStatus is one try to reach a server of a domain.
type AttemptStatus struct {
	At      time.Time `json:"at"`
	Target  string    `json:"target"`
	Address string    `json:"address,omitempty"`
	Error   string    `json:"error,omitempty"`  // empty: it worked
	Policy  bool      `json:"policy,omitempty"` // it failed because what one side demands, the other forbids or does not offer
}

// SIPStatus is the state of the SIP side.
type SIPStatus struct {
	Links       []LinkStatus   `json:"links"` // one a next hop
	Sessions    int            `json:"sessions"`
	LastRefusal *RefusalStatus `json:"last_refusal,omitempty"` // the last connection that was refused in the handshake
	Breaks      []BreakStatus  `json:"breaks"`                 // connections that broke in the middle of a silence, oldest first
}

// LinkStatus is the state of the links with one next hop.
type LinkStatus struct {
	NextHop   string   `json:"next_hop"`
	Domains   []string `json:"domains"`
	Dialled   bool     `json:"dialled"`  // our own link is up
	Accepted  int      `json:"accepted"` // links that the peer made
	Attempts  int      `json:"attempts"`
	TLS       string   `json:"tls,omitempty"`
	Remote    string   `json:"remote,omitempty"`
	LastError string   `json:"last_error,omitempty"`

	Addresses []AddressStatus `json:"addresses"` // every address that was tried
}

// AddressStatus is an address of a next hop, and what became of the last attempt to use it.
type AddressStatus struct {
	Target  string    `json:"target"`            // host:port
	Address string    `json:"address,omitempty"` // empty: the host has none
	At      time.Time `json:"at"`
	Error   string    `json:"error,omitempty"` // empty: it worked
	Rests   time.Time `json:"rests,omitzero"`  // it is tried after the others until then
}

// RefusalStatus is a connection that was refused.
type RefusalStatus struct {
	At            time.Time `json:"at"`
	From          string    `json:"from"`
	Error         string    `json:"error"`
	NoCertificate bool      `json:"no_certificate,omitempty"` // the peer presented none
	LetIn         time.Time `json:"let_in,omitzero"`          // when the same machine first got a link after that
}

// Status says how the gateway is at this moment.
func (g *Gateway) Status() Status {
	g.mu.Lock()
	s := Status{Hostname: g.config.Hostname, State: g.state, Since: g.since}
	g.mu.Unlock()
	s.Waiting = Waiting{XMPPToSIP: g.fromXMPP.waiting(), SIPToXMPP: g.fromSIP.waiting()}
	g.xmpp.report(&s)
	g.sip.report(&s)
	return s
}

// gauges registers what is read when metrics are asked for.
func (g *Gateway) gauges() {
	const help = "Messages on their way, whose outcome is not known yet."
	for _, c := range []*crossing{g.fromXMPP, g.fromSIP} {
		g.count.gauge("fedgate_messages_waiting", help, prometheus.Labels{"direction": direction(c.came)}, func() float64 { return float64(c.waiting()) })
	}
	g.count.gauge("fedgate_serving", "1 while messages are taken, else 0.", nil, func() float64 {
		if g.State() == Serving {
			return 1
		}
		return 0
	})
	read := func(value func(Status) int) func() float64 {
		return func() float64 { return float64(value(g.Status())) }
	}
	g.count.gauge("fedgate_xmpp_streams", "Verified streams, by who opened them.", prometheus.Labels{"opened_by": "peer"}, read(func(s Status) int { return s.XMPP.Incoming }))
	g.count.gauge("fedgate_xmpp_streams", "Verified streams, by who opened them.", prometheus.Labels{"opened_by": "gateway"}, read(func(s Status) (n int) {
		for _, l := range s.XMPP.Streams {
			if l.Up {
				n++
			}
		}
		return n
	}))
	g.count.gauge("fedgate_sip_next_hops_up", "Next hops that requests can be sent to.", nil, read(func(s Status) (n int) {
		for _, l := range s.SIP.Links {
			if l.Dialled || l.Accepted > 0 {
				n++
			}
		}
		return n
	}))
	g.count.gauge("fedgate_sip_next_hops", "Next hops that the configuration names.", nil, read(func(s Status) int { return len(s.SIP.Links) }))
	g.count.gauge("fedgate_sip_sessions", "IM sessions that are open.", nil, read(func(s Status) int { return s.SIP.Sessions }))
}
