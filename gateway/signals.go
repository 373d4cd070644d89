package gateway

import (
	"fedlab/gateway/im"
	"fedlab/gateway/route"
	"fedlab/gateway/xmpps2s"
)

// signals is the one way for presence from one side of the gateway to the other. What the route table refuses is dropped without
// a word, as RFC 6121 §8.5.1 wants it of presence for somebody unknown, and counted. It reaches the person it is addressed to
// and nobody else (RFC 8048 §8.2).
type signals struct {
	came  route.Side
	table *route.Table
	count *counters
	// Set before any signal comes.
	to    func(im.Signal, im.Outcome)
	again func(local, remote string) // what went to a domain and was lost can be told again
}

// Signal implements im.SignalSink. What the route table refuses has the outcome of what was taken: it is for nobody.
func (s *signals) Signal(g im.Signal, outcome im.Outcome) {
	if d := s.table.Decide(s.came, g.From, g.To); d.Reason != route.Served {
		s.count.refused(s.came, d.Reason)
		outcome(nil)
		return
	}
	s.count.signalled(s.came, g.Kind)
	s.to(g, outcome)
}

// HandlePresence implements xmpps2s.PresenceHandler.
func (s *signals) HandlePresence(p xmpps2s.Presence) {
	g := im.Signal{From: p.From, To: p.To, Kind: im.SignalKind(p.Type), Failure: p.Failure}
	switch g.Kind {
	case im.SignalAvailable:
		g.Device = im.Device{Show: im.Show(p.Show), Priority: p.Priority, Status: p.Status, Lang: p.Lang}
	case im.SignalUnavailable: // a show or priority has no meaning here: RFC 6121 §4.5.4
		g.Device = im.Device{Status: p.Status, Lang: p.Lang}
	}
	s.Signal(g, func(*im.Failure) {}) // XMPP's servers hear nothing of presence that is lost
}

// TellAgain implements xmpps2s.PresenceHandler.
func (s *signals) TellAgain(local, remote string) { s.again(local, remote) }

// toXMPP gives a signal to the XMPP side.
func toXMPP(server *xmpps2s.Server) func(im.Signal, im.Outcome) {
	return func(g im.Signal, outcome im.Outcome) {
		p := xmpps2s.Presence{From: g.From, To: g.To, Type: string(g.Kind), Failure: g.Failure}
		switch g.Kind {
		case im.SignalAvailable:
			p.Show, p.Priority, p.Status, p.Lang = string(g.Device.Show), g.Device.Priority, g.Device.Status, g.Device.Lang
		case im.SignalUnavailable:
			p.Status, p.Lang = g.Device.Status, g.Device.Lang
		}
		server.SendPresence(p, outcome)
	}
}
