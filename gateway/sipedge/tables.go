package sipedge

import (
	"fedlab/gateway/im"
	"fedlab/gateway/session"
)

// converse finds or makes the conversation of two people.
func (e *Edge) converse(xmpp, sip im.Address, f func(*conversation)) {
	if hop := e.byDomain[sip.Domain]; hop != nil {
		var found *conversation
		e.with(pair{xmpp.Bare(), sip.Bare()}, hop, func(c *conversation) []func() { found = c; return nil }, func() {})
		if found != nil {
			f(found)
		}
	}
}

// with calls f with the conversation of two people, locked; it is made if there is none. What f gives back runs unlocked.
func (e *Edge) with(key pair, h *hop, f func(*conversation) []func(), full func()) {
	for {
		e.mu.Lock()
		c := e.talks[key]
		if c == nil {
			if len(e.talks) >= e.maxSessions {
				e.mu.Unlock()
				full()
				return
			}
			c = &conversation{
				e: e, key: key, hop: h, state: session.New(e.limits),
				items: make(map[session.Item]*outgoing), dialogs: make(map[session.Dialog]*dialog),
			}
			c.alarm.owner = c
			e.talks[key] = c
		}
		e.mu.Unlock()
		c.mu.Lock()
		if c.forgot {
			c.mu.Unlock()
			e.forget(c)
			continue
		}
		after := f(c)
		c.settle()
		c.mu.Unlock()
		for _, g := range after {
			g()
		}
		return
	}
}

func (e *Edge) forget(c *conversation) {
	e.mu.Lock()
	if e.talks[c.key] == c {
		delete(e.talks, c.key)
	}
	e.mu.Unlock()
}

func (e *Edge) addDialog(d *dialog) {
	e.mu.Lock()
	e.dialogs[dialogKey(d.callID, d.localTag)] = d
	e.byCall[d.callID] = append(e.byCall[d.callID], d)
	e.mu.Unlock()
}

func (e *Edge) dropDialog(d *dialog) {
	e.mu.Lock()
	defer e.mu.Unlock()
	delete(e.dialogs, dialogKey(d.callID, d.localTag))
	list := e.byCall[d.callID]
	for i, o := range list {
		if o == d {
			list = append(list[:i:i], list[i+1:]...)
			break
		}
	}
	if len(list) == 0 {
		delete(e.byCall, d.callID)
	} else {
		e.byCall[d.callID] = list
	}
}

func (e *Edge) dialog(callID, localTag string) *dialog {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.dialogs[dialogKey(callID, localTag)]
}
