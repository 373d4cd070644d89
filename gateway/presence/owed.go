package presence

import (
	"slices"

	"fedlab/gateway/im"
)

// The events that both machines know.
type (
	// Lost: what the XMPP user was told did not reach his server.
	Lost struct{ Tell Tell }
	// Reached: his server can be reached (again).
	Reached struct{}
)

func (Lost) watchEvent()    {}
func (Reached) watchEvent() {}
func (Lost) feedEvent()     {}
func (Reached) feedEvent()  {}

// owed is what an XMPP user does not know of a SIP user whom he watches, as it was lost on its way to him. Not what was said then
// counts, but how things are when he can be told.
type owed struct {
	answer  bool        // to his request
	failure *im.Failure // which the answer was
	devices []string    // what he sees of these is not known; "" stands for any
}

// mostOwed bounds the devices that are told apart.
const mostOwed = 50

// with is what is owed and one thing more.
func (was *owed) with(t Tell) *owed {
	var o owed
	if was != nil {
		o = *was
	}
	switch t.Kind {
	case im.SignalAvailable, im.SignalUnavailable:
		name := t.Device.Resource
		if len(o.devices) >= mostOwed {
			name = ""
		}
		if !slices.Contains(o.devices, name) {
			o.devices = append(slices.Clone(o.devices), name)
		}
	case im.SignalSubscribed, im.SignalUnsubscribed, im.SignalError:
		o.answer, o.failure = true, t.Failure
	}
	return &o
}

// reached tells how things are where the XMPP user does not know it. He learns that he may see somebody before he sees him, and that
// he may not after he has seen him go (RFC 6121 §3.1.5, §3.3.3).
func (m *watcher) reached() {
	o := m.owed
	if o == nil {
		return
	}
	m.owed = nil
	if o.answer && m.auth == Granted {
		m.tell(im.SignalSubscribed)
	}
	shown := func(name string) int {
		return slices.IndexFunc(m.shown, func(d im.Device) bool { return d.Resource == name })
	}
	switch {
	case slices.Contains(o.devices, "") && shown("") < 0:
		m.tell(im.SignalUnavailable)
		for _, d := range m.shown {
			m.do(Tell{Kind: im.SignalAvailable, Device: d})
		}
	default:
		for _, name := range o.devices {
			if i := shown(name); i >= 0 {
				m.do(Tell{Kind: im.SignalAvailable, Device: m.shown[i]})
			} else {
				m.do(Tell{Kind: im.SignalUnavailable, Device: im.Device{Resource: name}})
			}
		}
	}
	switch {
	case !o.answer || m.auth != None:
	case o.failure != nil:
		m.do(Tell{Kind: im.SignalError, Failure: o.failure})
	default:
		m.tell(im.SignalUnsubscribed)
	}
}
