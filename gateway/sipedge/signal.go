package sipedge

import (
	"fedlab/gateway/im"
	"fedlab/gateway/presence"
)

// Signal takes presence signals of XMPP users for SIP users. What becomes of one is the business of the machines of package presence,
// which see to it that the SIP user is shown how things are.
func (e *Edge) Signal(s im.Signal) {
	key := pair{s.From.Bare(), s.To.Bare()}
	h := e.byDomain[s.To.Domain]
	if h == nil || e.presence == nil || s.From.Local == "" || s.To.Local == "" {
		return // RFC 6121 §8.5.1: dropped silently
	}
	switch s.Kind {
	case im.SignalSubscribe:
		e.watch(key, true, presence.Ask{})
	case im.SignalUnsubscribe:
		if !e.isWatching(key) {
			e.tellWatcher(key, presence.Tell{Kind: im.SignalUnsubscribed})
			return
		}
		e.watch(key, false, presence.Cancel{})
	case im.SignalProbe:
		e.watch(key, true, presence.Probe{})
	case im.SignalSubscribed:
		e.feedStep(key, presence.Approved{})
	case im.SignalUnsubscribed:
		e.feedStep(key, presence.Refused{})
	case im.SignalAvailable:
		d := s.Device
		d.Resource = s.From.Resource
		e.feedStep(key, presence.Shown{Device: d})
		e.watch(key, false, presence.Online{})
	case im.SignalUnavailable:
		d := im.Device{Resource: s.From.Resource, Status: s.Device.Status, Lang: s.Device.Lang}
		f := e.feedStep(key, presence.Shown{Device: d, Gone: true})
		if f != nil && !f.online() {
			e.watch(key, false, presence.Offline{})
		}
	case im.SignalError:
		e.presenceError(key, s)
	}
}

// presenceError: RFC 3921 §5.1.3 lets a server answer a probe or request with forbidden; other errors say that the person
// cannot be seen at the moment.
func (e *Edge) presenceError(key pair, s im.Signal) {
	if s.Failure == nil {
		return
	}
	switch s.Failure.Condition {
	case im.Forbidden, im.NotAuthorized, im.ItemNotFound:
		e.feedStep(key, presence.Refused{})
	default:
		e.feedStep(key, presence.Shown{Gone: true})
	}
}

func (e *Edge) isWatching(key pair) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.watches[key] != nil
}

func (e *Edge) feedStep(key pair, event presence.FeedEvent) *feeding {
	f := e.feed(key, nil, false)
	if f == nil || !f.step(event, nil) {
		return nil
	}
	return f
}

func (f *feeding) online() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.state.Online()
}
