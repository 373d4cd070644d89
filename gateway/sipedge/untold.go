package sipedge

import (
	"time"

	"fedlab/gateway/im"
	"fedlab/gateway/presence"
)

// What an XMPP user is told may be lost: his domain cannot be reached. The machine of the pair then remembers what he does not
// know, and says how things are as soon as the XMPP side asks for it. That is done for so many pairs in each of so short a time,
// lest presence fill the queue that messages wait in too.
const (
	retellBatch = 100
	retellPause = 50 * time.Millisecond
)

// tellWatcher tells an XMPP user something of a SIP user whom he watches, or wants to.
func (e *Edge) tellWatcher(key pair, a presence.Tell) {
	e.tell(key, a, true)
}

// tellWatched tells an XMPP user something of a SIP user who watches him, or wants to.
func (e *Edge) tellWatched(key pair, a presence.Tell) {
	e.tell(key, a, false)
}

// tell passes a signal of the SIP user on to the XMPP user. If it is lost, the machine of the watcher or of the watched gets to know.
func (e *Edge) tell(key pair, a presence.Tell, watcher bool) {
	s := im.Signal{From: key.sip, To: key.xmpp, Kind: a.Kind, Device: a.Device, Failure: a.Failure}
	s.From.Resource, s.Device.Resource = a.Device.Resource, ""
	e.presence.Signal(s, func(f *im.Failure) {
		if f == nil || !e.serving() {
			return
		}
		lost, known := presence.Lost{Tell: a}, false
		if watcher {
			known = e.watch(key, true, lost)
		} else {
			known = e.feedStep(key, lost) != nil
		}
		if !known {
			return
		}
		e.log.Debug("presence did not reach its reader", "from", key.sip.String(), "to", key.xmpp.String(), "kind", a.Kind, "error", f)
		e.mu.Lock()
		e.untold[key] = struct{}{}
		e.mu.Unlock()
	})
}

// TellAgain has the XMPP users of a domain told what they do not know of a SIP domain's. It does not wait for that.
func (e *Edge) TellAgain(sipDomain, xmppDomain string) {
	var keys []pair
	e.mu.Lock()
	for key := range e.untold {
		if key.sip.Domain == sipDomain && key.xmpp.Domain == xmppDomain {
			delete(e.untold, key)
			keys = append(keys, key)
		}
	}
	e.mu.Unlock()
	if len(keys) > 0 {
		e.spawn(func() { e.tellAgain(keys) })
	}
}

func (e *Edge) tellAgain(keys []pair) {
	pause := time.NewTicker(retellPause)
	defer pause.Stop()
	for i, key := range keys {
		if i%retellBatch == retellBatch-1 {
			select {
			case <-pause.C:
			case <-e.work.Done():
				return
			}
		}
		e.watch(key, false, presence.Reached{})
		e.feedStep(key, presence.Reached{})
	}
}
