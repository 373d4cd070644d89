package xmpps2s

import (
	"fedlab/gateway/im"
)

// PresenceHandler is told of presence. Its methods must not block.
type PresenceHandler interface {
	// HandlePresence takes a presence stanza from a verified origin. Calls come from the goroutine of the stream that the stanza
	// came in on, in order.
	HandlePresence(Presence)

	// TellAgain asks for the present state of those whose presence from local, a domain of ours, to remote was lost, as its
	// outcomes said before: a stream stands again. What is lost of that in its turn is asked for again, in growing intervals.
	TellAgain(local, remote string)
}

// Presence is a presence stanza between two addresses (RFC 6121 §4.7).
type Presence struct {
	From, To im.Address
	ID       string
	Type     string // "", unavailable, subscribe, subscribed, unsubscribe, unsubscribed, probe, error
	Show     string // "", away, chat, dnd, xa
	Status   string
	Lang     string
	Priority int // -128 to 127
	Failure  *im.Failure
}

// receivePresence hands presence to the handler.
func (s *Server) receivePresence(z stanza) {
	p, f := parsePresence(z)
	if f != nil {
		s.bounce(z, f)
		return
	}
	if s.cfg.Presence != nil {
		s.cfg.Presence.HandlePresence(p)
		return
	}
	// Without a handler nobody's presence can be seen: a request is denied at once, so that the peer's user is not left
	// waiting (RFC 6121 §3.1.5), and all else needs no answer.
	switch p.Type {
	case "subscribe", "probe":
		s.SendPresence(Presence{From: p.To.Bare(), To: p.From.Bare(), Type: "unsubscribed"}, nil)
	}
}

// SendPresence queues a presence stanza for the stream of its domain pair. Subscription stanzas go from bare to bare address
// (RFC 6121 §3.1.2). The outcome, which may be nil, is told once: nil when the peer's host has acknowledged the stanza, or, where
// the network does not tell that, when it was written; else why it is lost. [PresenceHandler.TellAgain] follows a loss that is
// not for good.
func (s *Server) SendPresence(p Presence, outcome im.Outcome) {
	switch p.Type {
	case "subscribe", "subscribed", "unsubscribe", "unsubscribed":
		p.From, p.To = p.From.Bare(), p.To.Bare()
	}
	s.queue(pair{p.From.Domain, p.To.Domain}, item{xml: presenceXML(p), outcome: outcome, shows: true})
}
