package sipedge

import (
	"fmt"
	"sync"
	"time"

	"fedlab/gateway/im"
	"fedlab/gateway/session"
	"fedlab/gateway/translate"

	"github.com/emiago/sipgo/sip"
)

// remembered is how many delivered messages a conversation knows again when their failure is reported late.
const remembered = 20

// pair names a conversation: bare addresses.
type pair struct{ xmpp, sip im.Address }

// infoMoment is how long a message waits for the answer to an INFO in front of it.
const infoMoment = time.Second

// conversation is what an XMPP user and a SIP user have to do with each other. Package session decides, this carries out.
type conversation struct {
	e   *Edge
	key pair
	hop *hop

	mu        sync.Mutex
	state     session.State
	forgot    bool // it is out of the Edge's table; take a new one
	items     map[session.Item]*outgoing
	nextItem  session.Item
	dialogs   map[session.Dialog]*dialog
	pending   *inbound // the INVITE that Accept will take
	alarm     alarm
	device    string // the XMPP device heard from last. RFC 6121 §5.1
	thread    string // the XMPP side's name for the conversation
	recent    []sentOn
	composing bool          // what the SIP user was told last
	stateless bool          // the XMPP user's last message had no chat state, so his client wants none. XEP-0085 §5.1
	told      chan struct{} // closed when he has been told; nil if he never was

	reports ocsReports

	typist      bool // the SIP user types, as far as we know
	typistTimer *time.Timer
}

// outgoing is a message on its way to the SIP user.
type outgoing struct {
	msg     im.Message
	outcome im.Outcome
}

// sentOn is a message that was handed to the XMPP side.
type sentOn struct{ id, body string }

// step feeds the machine and carries out what it says. What leaves this conversation (outcomes, messages to the other side)
// is done after the lock is given back.
func (c *conversation) step(e session.Event) {
	c.mu.Lock()
	after := c.stepLocked(e)
	c.mu.Unlock()
	for _, f := range after {
		f()
	}
}

func (c *conversation) stepLocked(e session.Event) []func() {
	var actions []session.Action
	c.state, actions = session.Step(c.state, e, time.Now())
	var after []func()
	for _, a := range actions {
		if f := c.perform(a); f != nil {
			after = append(after, f)
		}
	}
	c.settle()
	return after
}

// settle sets the clock for what the machine waits for, or lets the conversation go.
func (c *conversation) settle() {
	if c.state.Done() && c.pending == nil {
		c.forgot = true
		c.stopTyping()
		c.e.alarms.set(&c.alarm, time.Time{})
		c.e.forget(c)
		return
	}
	c.e.alarms.set(&c.alarm, c.state.Wake())
}

func (c *conversation) wake() { c.step(session.Tick{}) }

func (c *conversation) perform(a session.Action) func() {
	switch a := a.(type) {
	case session.Invite:
		return c.invite(a.Dialog)
	case session.Accept:
		return c.accept(a.Dialog)
	case session.Cancel:
		if d := c.dialogs[a.Dialog]; d != nil {
			d.cancelOnce.Do(func() { close(d.cancel) })
		}
	case session.Bye:
		if d := c.takeDialog(a.Dialog); d != nil {
			return func() { c.e.follow(func() { c.e.sendBye(d) }) }
		}
	case session.Drop:
		c.takeDialog(a.Dialog)
	case session.Message:
		d, o := c.dialogs[a.Dialog], c.items[a.Item]
		return func() {
			if !c.e.follow(func() { c.sendMessage(d, a.Item, o) }) {
				c.step(session.Sent{Dialog: a.Dialog, Item: a.Item, Failure: stopping()})
			}
		}
	case session.Done:
		if o := c.items[a.Item]; o != nil {
			delete(c.items, a.Item)
			return func() { o.outcome(a.Failure) }
		}
	case session.Left:
		if c.stateless {
			return nil
		}
		gone := im.Message{From: c.key.sip, To: c.recipient(), Thread: c.thread, State: im.Gone}
		return func() { c.e.sink.Send(gone, func(*im.Failure) {}) }
	}
	return nil
}

// takeDialog forgets a dialog.
func (c *conversation) takeDialog(id session.Dialog) *dialog {
	d := c.dialogs[id]
	if d == nil {
		return nil
	}
	delete(c.dialogs, id)
	c.e.dropDialog(d)
	return d
}

// recipient is where messages for the XMPP user go: to the device he wrote from last, or to all of them. RFC 6121 §5.1
func (c *conversation) recipient() im.Address {
	to := c.key.xmpp
	to.Resource = c.device
	return to
}

// sendLocked takes a message of the XMPP user.
func (c *conversation) sendLocked(m im.Message, outcome im.Outcome) []func() {
	if m.From.Resource != "" {
		c.device = m.From.Resource
	}
	if m.Thread != "" {
		c.thread = m.Thread
	}
	c.stateless = m.State == ""
	c.composing = false // a message ends it without a word. RFC 3994 §3.2
	c.nextItem++
	item := c.nextItem
	c.items[item] = &outgoing{m, outcome}
	return c.stepLocked(session.Send{Item: item})
}

// typing sends what the XMPP user is doing, if the session is open. It is worth no retry.
func (c *conversation) typing(s im.ChatState) {
	c.mu.Lock()
	c.stateless = false
	active, _ := translate.Typing(s)
	d := c.dialogs[c.state.Dialog()]
	open := c.state.Phase() == session.Open && d != nil && active != c.composing
	before, told := c.told, make(chan struct{})
	if open {
		c.composing, c.told = active, told
	}
	c.mu.Unlock()
	if !open {
		return
	}
	if !c.e.follow(func() {
		defer close(told)
		c.await(before)
		l, err := c.linkFor(d)
		if err != nil {
			return
		}
		req := d.request(c.e, sip.INFO, 0, field{"Content-Type", translate.KeyboardActivityType})
		req.SetBody(translate.KeyboardActivity(active))
		_, _ = c.e.stack.do(c.e.work, l, req)
	}) {
		close(told)
	}
}

// await waits for an INFO to be answered, for a moment at most: what came behind it must not overtake it, lest somebody seems to
// type who has long sent what he typed.
func (c *conversation) await(told <-chan struct{}) {
	if told == nil {
		return
	}
	moment := time.NewTimer(infoMoment)
	defer moment.Stop()
	select {
	case <-told:
	case <-moment.C:
	case <-c.e.work.Done():
	}
}

// notice is a text of the gateway itself, shown to the SIP user in the session.
func (c *conversation) notice(text string) {
	m := im.Message{From: c.key.xmpp, To: c.key.sip, Body: text}
	c.e.Send(m, func(f *im.Failure) {
		if f != nil {
			c.e.log.Warn("a notice could not be shown", "to", c.key.sip.String(), "error", f)
		}
	})
}

// undelivered shows the SIP user that a message he was told had been taken did not arrive after all.
func (c *conversation) undelivered(id, body string, f *im.Failure) {
	c.mu.Lock()
	for _, r := range c.recent {
		if r.id == id && id != "" {
			body = r.body
		}
	}
	c.mu.Unlock()
	c.notice(lateFailure(body, f))
}

func lateFailure(body string, f *im.Failure) string {
	why := string(f.Condition)
	if f.Text != "" {
		why = f.Text
	}
	if body == "" {
		return "Your last message could not be delivered: " + why
	}
	return fmt.Sprintf("“%s” could not be delivered: %s", short(body, 100), why)
}

// short cuts a text between characters.
func short(s string, max int) string {
	n := 0
	for i := range s {
		if n == max {
			return s[:i] + "…"
		}
		n++
	}
	return s
}

func (c *conversation) remember(id, body string) {
	c.mu.Lock()
	c.recent = append(c.recent, sentOn{id, short(body, 200)})
	if len(c.recent) > remembered {
		c.recent = c.recent[1:]
	}
	c.mu.Unlock()
}

func stopping() *im.Failure {
	return &im.Failure{Condition: im.RecipientUnavailable, Text: "the gateway is being shut down"}
}
