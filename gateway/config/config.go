// Package config is the gateway's configuration: one strict YAML file, read by [Load] and [Parse].
//
// A mistake is reported with file, line, column, an excerpt and a suggestion, and all mistakes at once. Times are Go
// durations ("30s"), sizes are bytes. A zero field means the default that its comment names; [Parse] fills the defaults in.
package config

import (
	"crypto/tls"
	"crypto/x509"
	"time"
)

// Config is the whole file.
type Config struct {
	Hostname string   `yaml:"hostname" need:"true"` // the gateway's fully qualified name: handed out in SIP, and the certificate must carry it (step 6)
	SIP      SIP      `yaml:"sip" need:"true"`
	XMPP     XMPP     `yaml:"xmpp" need:"true"`
	DNS      []string `yaml:"dns"` // address:port of the DNS servers to ask, in order; default the system's resolver
	Store    Store    `yaml:"store"`
	Admin    Admin    `yaml:"admin"`
	Limits   Limits   `yaml:"limits"`
}

// SIP is the side of the Access Edge.
type SIP struct {
	Listen      string               `yaml:"listen"` // address:port; default ":5061"
	Certificate Certificate          `yaml:"certificate" need:"true"`
	Domains     map[string]SIPDomain `yaml:"domains" need:"true"` // the organisation's SIP domains; at least one
}

// SIPDomain is one SIP domain and the way to it.
type SIPDomain struct {
	NextHop NextHop `yaml:"next_hop" need:"true"`            // the Access Edge's federation listener: host:port, several of them, or srv
	MinTLS  string  `yaml:"min_tls" oneof:"1.0 1.1 1.2 1.3"` // "1.0", "1.1", "1.2" (default), "1.3": the oldest version accepted from this peer
	Pin     string  `yaml:"pin"`                             // SHA-256 fingerprint (hex, colons allowed) that takes the place of the chain where one cannot be verified
	Mode    Mode    `yaml:"mode" oneof:"session page"`       // default session
}

// Mode is how messages are sent to the users of a SIP domain. What comes in is understood in either form.
type Mode string

// The modes.
const (
	ModeSession Mode = "session" // in an INVITE session, as OCS and its successors want it
	ModePage    Mode = "page"    // as single MESSAGE requests (RFC 3428), for SIP/SIMPLE peers; no typing, at most 1300 bytes
)

// Certificate names the files of a certificate for mutual TLS. Paths are relative to the configuration file.
type Certificate struct {
	Cert        string `yaml:"cert" need:"true"` // PEM: the certificate, then its issuing certificates
	Key         string `yaml:"key" need:"true"`  // PEM: the private key
	Authorities string `yaml:"authorities"`      // PEM: the authorities that peers are verified against; default the system's
	Revoked     string `yaml:"revoked"`          // PEM: lists of revoked certificates (X509 CRL). What stands on them is refused; default nothing

	// Filled in by Load and Parse from the files.
	Pair  tls.Certificate        `yaml:"-"`
	Roots *x509.CertPool         `yaml:"-"` // nil: the system's
	Lists []*x509.RevocationList `yaml:"-"`
}

// XMPP is the side of the XMPP federation.
type XMPP struct {
	Listen         string                `yaml:"listen"`              // address:port; default ":5269"
	ListenTLS      string                `yaml:"listen_tls"`          // address:port for streams in TLS from the first byte (XEP-0368), such as ":5270"; default none
	Certificate    Certificate           `yaml:"certificate"`         // names the organisation's SIP domains: what XMPP servers verify. Default the one of the SIP side, and the system's authorities
	Domains        map[string]XMPPDomain `yaml:"domains" need:"true"` // who may be reached and may call in; nobody else
	DialbackSecret string                `yaml:"dialback_secret"`     // shared by gateways that stand side by side; default random at every start
	ConnectTimeout time.Duration         `yaml:"connect_timeout"`     // for one address to accept a TCP connection; default 10s
	StreamTimeout  time.Duration         `yaml:"stream_timeout"`      // for a stream to be ready for stanzas, all targets together; default 45s
}

// XMPPDomain is one XMPP domain, the names that share its route, and the security policy towards it.
type XMPPDomain struct {
	Also     []string       `yaml:"also"`                                 // further domains with the same policy, such as googlemail.com beside gmail.com
	TLS      TLSPolicy      `yaml:"tls" oneof:"never optional required"`  // default optional
	SASL     SASLPolicy     `yaml:"sasl" oneof:"never optional required"` // certificates as proof of who is who (SASL EXTERNAL); needs TLS. Default optional
	Dialback DialbackPolicy `yaml:"dialback" oneof:"never optional"`      // DNS as proof of who is who (XEP-0220); default optional
	Pin      string         `yaml:"pin"`                                  // SHA-256 fingerprint (hex, colons allowed) that takes the place of the chain where one cannot be verified
}

// SASLPolicy says whether certificates prove a domain.
type SASLPolicy string

// DialbackPolicy says whether dialback proves a domain.
type DialbackPolicy string

// The policies of proof. At least one way has to remain.
const (
	SASLNever    SASLPolicy = "never"
	SASLOptional SASLPolicy = "optional"
	SASLRequired SASLPolicy = "required"

	DialbackNever    DialbackPolicy = "never"
	DialbackOptional DialbackPolicy = "optional"
)

// TLSPolicy says whether streams with a domain are encrypted.
type TLSPolicy string

// The policies.
const (
	TLSNever    TLSPolicy = "never"
	TLSOptional TLSPolicy = "optional"
	TLSRequired TLSPolicy = "required"
)

// Store is where subscriptions are kept.
type Store struct {
	Path string `yaml:"path"` // default none: subscriptions do not survive a restart
}

// Admin is the listener for health, readiness and metrics.
type Admin struct {
	Listen string `yaml:"listen"` // default none
}

// Limits bound what a stranger can make the gateway hold.
type Limits struct {
	StanzaBytes  int           `yaml:"stanza_bytes" min:"10000" max:"16777216"` // largest XMPP stanza; default 65536, at least 10000 (RFC 6120 §13.12)
	MessageBytes int           `yaml:"message_bytes" min:"1300" max:"16777216"` // largest SIP message; default 65536
	Queue        int           `yaml:"queue" min:"1" max:"1000000"`             // messages that wait for one stream, link or session; default 1000
	Streams      int           `yaml:"streams" min:"1" max:"100000"`            // inbound XMPP streams from one address; default 100
	SessionIdle  time.Duration `yaml:"session_idle"`                            // an IM session without traffic is ended after; default 10m
	Outcome      time.Duration `yaml:"outcome"`                                 // a message is delivered or returned within; default 60s
}
