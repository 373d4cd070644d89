package xmpps2s

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"fedlab/gateway/config"
	"fedlab/gateway/translate"
	"fedlab/internal/network"
)

// Config says whom the server speaks for, with whom, and within what limits. A zero field means the default that its comment
// names.
type Config struct {
	Network   network.Network
	Listen    string                       // address:port; default ":5269"
	ListenTLS string                       // address:port for streams in TLS from the first byte (XEP-0368); default none
	Domains   map[string]config.XMPPDomain // who may be reached and may call in, every name of a group by itself; nobody else
	Local     []string                     // the domains we speak for: the organisation's SIP domains

	Secret string // of the dialback keys; servers that stand side by side share it. Default random at every start

	// What [Server.Renew] replaces.
	Certificate *tls.Certificate       // for STARTTLS and SASL EXTERNAL; default none: streams stay in clear
	Roots       *x509.CertPool         // peers' certificates are verified against these; default the system's
	Revoked     []*x509.RevocationList // and refused if they stand on one of these

	ConnectTimeout  time.Duration // for one address to accept a TCP connection; default 10s
	HeaderTimeout   time.Duration // for a peer to send its stream header once connected; default 10s
	FeaturesTimeout time.Duration // for the features of a peer that announced version 1.0; without them dialback is tried; default 5s
	DialbackTimeout time.Duration // for a dialback answer, either of db:result or of db:verify; default 40s: who checks a key may first try a server of ours that is dead, for 30s
	StreamTimeout   time.Duration // for an outgoing stream to be ready for stanzas, all targets together; default 45s
	WriteTimeout    time.Duration // for a peer to take what we write; default 30s
	CloseTimeout    time.Duration // for a peer to answer our closing tag; default 5s
	ElementTimeout  time.Duration // for one stanza to arrive from its first byte to its last; default 60s
	AckTimeout      time.Duration // for the other host's TCP to acknowledge what was written; default 30s
	IdleTimeout     time.Duration // without a stanza, after which an outgoing stream is closed; default 10m
	PeerIdleTimeout time.Duration // without an element, after which an incoming stream is closed; default 1h
	PingInterval    time.Duration // without a stanza, after which a peer of version 1.0 is pinged; default 5m
	Backoff         time.Duration // the most to wait after the first failed attempt; it doubles with every further one; default 5s

	Limits config.Limits // StanzaBytes, Queue, Streams, Outcome

	// Seed orders equal SRV targets and spreads delays, so that a simulated world repeats itself; 0 is random. Secrets and
	// stream identifiers never depend on it.
	Seed uint64

	Presence PresenceHandler // what to do with presence; default: subscriptions are refused, the rest is dropped
	Log      *slog.Logger    // default: discard
}

// Bounds that no configuration needs to change.
const (
	maxDepth     = 32      // nesting of elements in a stanza
	maxAttrs     = 64      // attributes of one tag
	maxPairs     = 64      // domain pairs on one inbound stream
	maxStreams   = 20000   // incoming, of all addresses
	maxPending   = 16      // verifications under way for one inbound stream
	maxAnswers   = 64      // dialback answers and errors that wait for one inbound stream's writer
	maxAddresses = 32      // addresses tried for one domain
	maxRedirects = 5       // RFC 6120 §4.9.3.19
	maxBatch     = 256     // stanzas in one write
	maxSignals   = 250_000 // presence stanzas that wait for one stream: who comes online asks for everybody at once
	batchBytes   = 64 << 10

	maxBackoff     = 5 * time.Minute
	pingTimeout    = time.Minute
	firstLook      = 50 * time.Millisecond // at what was acknowledged
	lastLook       = time.Second           // between two looks, at most
	minStanzaBytes = 10000
)

// Errors of [New].
var (
	ErrNoNetwork = errors.New("xmpps2s: no network")
	ErrNoSink    = errors.New("xmpps2s: no sink for messages")
)

func (c *Config) fill() error {
	if c.Network == nil {
		return ErrNoNetwork
	}
	for _, d := range []struct {
		p   *time.Duration
		def time.Duration
	}{
		{&c.ConnectTimeout, 10 * time.Second}, {&c.HeaderTimeout, 10 * time.Second}, {&c.FeaturesTimeout, 5 * time.Second},
		{&c.DialbackTimeout, 40 * time.Second}, {&c.StreamTimeout, 45 * time.Second}, {&c.WriteTimeout, 30 * time.Second},
		{&c.CloseTimeout, 5 * time.Second}, {&c.ElementTimeout, time.Minute},
		{&c.AckTimeout, 30 * time.Second}, {&c.IdleTimeout, 10 * time.Minute}, {&c.PeerIdleTimeout, time.Hour},
		{&c.PingInterval, 5 * time.Minute}, {&c.Backoff, 5 * time.Second}, {&c.Limits.Outcome, time.Minute},
	} {
		if *d.p <= 0 {
			*d.p = d.def
		}
	}
	for _, n := range []struct {
		p   *int
		def int
	}{{&c.Limits.StanzaBytes, 65536}, {&c.Limits.Queue, 1000}, {&c.Limits.Streams, 100}} {
		if *n.p <= 0 {
			*n.p = n.def
		}
	}
	c.Limits.StanzaBytes = max(c.Limits.StanzaBytes, minStanzaBytes) // RFC 6120 §13.12
	if c.Listen == "" {
		c.Listen = ":5269"
	}
	if c.ListenTLS != "" && c.Certificate == nil {
		return fmt.Errorf("xmpps2s: streams in TLS are to come in at %s, but no certificate is configured", c.ListenTLS)
	}
	if c.Secret == "" {
		c.Secret = newStreamID() + newStreamID()
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	local := make([]string, 0, len(c.Local))
	for _, name := range c.Local {
		d, err := translate.ParseDomain(name)
		if err != nil {
			return fmt.Errorf("xmpps2s: our domain %q: %w", name, err)
		}
		local = append(local, d)
	}
	c.Local = local
	remote := make(map[string]config.XMPPDomain, len(c.Domains))
	for name, policy := range c.Domains {
		d, err := translate.ParseDomain(name)
		if err != nil {
			return fmt.Errorf("xmpps2s: XMPP domain %q: %w", name, err)
		}
		if policy.TLS == "" {
			policy.TLS = config.TLSOptional
		}
		if policy.TLS == config.TLSRequired && c.Certificate == nil {
			return fmt.Errorf("xmpps2s: TLS is required for %s, but no certificate is configured", d)
		}
		remote[d] = policy
	}
	c.Domains = remote
	return nil
}

func (c *Config) guardLimits() guardLimits {
	return guardLimits{bytes: c.Limits.StanzaBytes, depth: maxDepth, attrs: maxAttrs, element: c.ElementTimeout}
}
