package gateway

import (
	"errors"

	"fedlab/gateway/config"
	"fedlab/gateway/im"
	"fedlab/gateway/route"
	"fedlab/gateway/silence"
	"fedlab/gateway/sipedge"
	"fedlab/gateway/xmpps2s"
)

// makeSides builds the two sides from the configuration and joins them.
func (g *Gateway) makeSides(o Options) error {
	c := g.config
	xmppNetwork, sipNetwork := silence.Watch(g.network), silence.Watch(g.network)
	shown := papersForXMPP(c)
	xmpp, err := xmpps2s.New(xmpps2s.Config{
		Network:        xmppNetwork,
		Listen:         c.XMPP.Listen,
		ListenTLS:      c.XMPP.ListenTLS,
		Domains:        c.XMPP.Expanded(),
		Local:          g.table.Domains(route.SIP),
		Secret:         c.XMPP.DialbackSecret,
		Certificate:    &shown.Pair,
		Roots:          shown.Roots,
		Revoked:        shown.Lists,
		ConnectTimeout: c.XMPP.ConnectTimeout,
		StreamTimeout:  c.XMPP.StreamTimeout,
		Limits:         c.Limits,
		Presence:       g.shownByXMPP,
		Seed:           o.Seed,
		Log:            g.log.With("side", "xmpp"),
	}, g.fromXMPP)
	if err != nil {
		return err
	}
	edge := sipedge.Config{
		Network:     sipNetwork,
		Hostname:    c.Hostname,
		Listen:      c.SIP.Listen,
		Certificate: c.SIP.Certificate.Pair,
		Roots:       c.SIP.Certificate.Roots,
		Revoked:     c.SIP.Certificate.Lists,
		Domains:     c.SIP.Domains,
		Foreign: func(domain string) bool {
			side, ok := g.table.Side(domain)
			return ok && side == route.XMPP
		},
		Presence:     g.shownBySIP,
		MessageBytes: c.Limits.MessageBytes,
		Queue:        c.Limits.Queue,
		SessionIdle:  c.Limits.SessionIdle,
		Outcome:      c.Limits.Outcome,
		Log:          g.log.With("side", "sip"),
	}
	if c.Store.Path != "" {
		g.keeper = &keeper{}
		edge.Store = g.keeper
	}
	sip, err := sipedge.New(edge, g.fromSIP)
	if err != nil {
		return err
	}
	g.join(xmppSide{xmpp, xmppNetwork}, sipSide{sip, sipNetwork})
	g.shownByXMPP.to, g.shownByXMPP.again = func(s im.Signal, _ im.Outcome) { sip.Signal(s) }, sip.TellAgain
	g.shownBySIP.to = toXMPP(xmpp)
	return nil
}

// papersForXMPP is what XMPP peers are shown, and whom of them to trust. Without a certificate for XMPP the one of the SIP side serves
// both. XMPP peers see it only where the policy towards them lets streams be encrypted; theirs are verified against the system's
// authorities then, as the private authority of the SIP side vouches for Edges alone.
func papersForXMPP(c *config.Config) *config.Certificate {
	if !c.XMPP.Certificate.Usable() {
		return &config.Certificate{Pair: c.SIP.Certificate.Pair}
	}
	return &c.XMPP.Certificate
}

// xmppSide is the XMPP side as the gateway sees it.
type xmppSide struct {
	*xmpps2s.Server
	network *silence.Network
}

// unsent counts the stanzas that wait for a stream, answers to senders among them.
func (s xmppSide) unsent() int {
	n := 0
	for _, l := range s.Status().Links {
		n += l.Queued
	}
	return n
}

func (s xmppSide) report(to *Status) {
	st := s.Status()
	to.XMPP.Incoming = st.Incoming
	for _, l := range st.Links {
		line := StreamStatus{From: l.From, To: l.To, Up: l.Up, Since: l.Since, Proof: l.Proof.By, TLS: l.Proof.TLS, Queued: l.Queued}
		for _, a := range l.Attempts {
			line.Attempts = append(line.Attempts, AttemptStatus{At: a.At, Target: a.Target, Address: a.Address, Error: a.Err, Policy: a.Policy})
		}
		to.XMPP.Streams = append(to.XMPP.Streams, line)
	}
	for _, r := range st.Refusals {
		to.XMPP.Refusals = append(to.XMPP.Refusals, ClaimStatus(r))
	}
	to.XMPP.Breaks = breaks(s.network)
}

// sipSide is the SIP side as the gateway sees it.
type sipSide struct {
	*sipedge.Edge
	network *silence.Network
}

// unsent is 0: the SIP side itself waits for its open transactions when it stops.
func (sipSide) unsent() int { return 0 }

func (s sipSide) report(to *Status) {
	st := s.Status()
	to.SIP.Sessions = st.Sessions
	to.SIP.Breaks = breaks(s.network)
	for _, l := range st.Links {
		line := LinkStatus{NextHop: l.NextHop, Domains: l.Domains, Dialled: l.Dialled, Accepted: l.Accepted, Attempts: l.Attempts, TLS: l.Version}
		if l.Remote != nil {
			line.Remote = l.Remote.String()
		}
		if l.LastErr != nil {
			line.LastError = l.LastErr.Error()
		}
		for _, p := range l.Places {
			a := AddressStatus{Target: p.Target, At: p.At, Rests: p.Rests}
			if p.Address.IsValid() {
				a.Address = p.Address.String()
			}
			if p.Err != nil {
				a.Error = p.Err.Error()
			}
			line.Addresses = append(line.Addresses, a)
		}
		to.SIP.Links = append(to.SIP.Links, line)
	}
	if r := st.LastRefusal; r != nil {
		to.SIP.LastRefusal = &RefusalStatus{At: r.At, From: r.From, Error: r.Err.Error(), NoCertificate: errors.Is(r.Err, sipedge.ErrNoCertificate), LetIn: r.LetIn}
	}
}

func breaks(n *silence.Network) []BreakStatus {
	all := []BreakStatus{}
	for _, b := range n.Breaks() {
		by := "peer"
		if b.Dialled {
			by = "gateway"
		}
		all = append(all, BreakStatus{At: b.At, Peer: b.Peer.String(), OpenedBy: by, Silence: int(b.Silence.Seconds()), How: b.How})
	}
	return all
}
