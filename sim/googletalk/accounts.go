package googletalk

import (
	"fmt"
	"maps"
	"slices"
	"sync"

	"fedlab/sim/trace"
)

// accounts is everybody who has an account with the farm, and their clients.
type accounts struct {
	farm *Farm

	mu    sync.Mutex
	byKey map[string]*account
}

// account is one user. The user is signed in with one client from the beginning, which has not yet shown its presence to
// anybody; [Farm.SetPresence] does that, and adds clients.
type account struct {
	address  jid
	contacts map[string]*contact     // by accountKey
	clients  []*client               // the first is the one that sends
	sent     map[string]*sentMessage // by id
	order    []string                // ids of sent, oldest first
	refuse   string                  // condition that messages to the user are refused with; "" none
	receipts bool                    // the clients confirm messages
	stored   []storedMessage         // came while all clients were away
}

// contact is somebody on a roster, and the state of the two subscriptions. RFC 3921 §9
type contact struct {
	address           jid
	to, from          bool // the user sees the contact; the contact sees the user
	askedOut, askedIn bool // and what is not answered yet
	directed          bool // got presence without being subscribed
}

// client is one place where a user is signed in.
type client struct {
	label    string // as the user calls it; "" the first
	resource string // as Google makes it
	state    string // available, away, chat, dnd, xa, unavailable
	status   string
	quiet    bool // has not shown its presence yet
}

// storedMessage is shown when the user is back.
type storedMessage struct {
	from, to string
	item     trace.Item
}

// sentMessage is a message that a user has sent and may yet be told has failed.
type sentMessage struct {
	host     string // of the machine that carried it
	from, to string // bare
	id, body string
	receipt  bool // asked for
	failed   bool
}

// maxRemembered is how many sent messages of a user an error can still refer to.
const maxRemembered = 10_000

func newAccounts(f *Farm) *accounts {
	as := &accounts{farm: f, byKey: map[string]*account{}}
	for _, u := range f.cfg.Users {
		j, _ := parseJID(u.Address)
		a := &account{
			address: j, contacts: map[string]*contact{}, sent: map[string]*sentMessage{},
			refuse: u.Refuse, receipts: u.Receipts,
			clients: []*client{{resource: f.resource(""), state: "available", quiet: true}},
		}
		for _, c := range u.Contacts {
			k, _ := parseJID(c)
			k.resource = ""
			a.contacts[accountKey(k)] = &contact{address: k, to: true, from: true}
		}
		as.byKey[accountKey(j)] = a
	}
	return as
}

// resource is a resource as Google makes it: what the client asked for and eight digits. Gmail's web chat asks for "gmail.".
// (captures of 2009 and 2010)
func (f *Farm) resource(label string) string {
	if label == "" {
		label = "gmail."
	}
	return label + f.hex(4)
}

// find is the account that an address leads to, or nil.
func (as *accounts) find(j jid) *account { return as.byKey[accountKey(j)] }

// mayWrite reports whether other is on a's roster: it has been let in, or the user has invited it.
func (as *accounts) mayWrite(a *account, other jid) bool {
	as.mu.Lock()
	defer as.mu.Unlock()
	c := a.contacts[accountKey(other)]
	return c != nil && (c.from || c.to || c.askedOut)
}

// contact is the roster entry for other, made if need be. The caller holds as.mu.
func (a *account) contact(other jid) *contact {
	key := accountKey(other)
	c := a.contacts[key]
	if c == nil {
		other.resource = ""
		c = &contact{address: other}
		a.contacts[key] = c
	}
	return c
}

// remember notes a message that a sends; false if its id is in use.
func (as *accounts) remember(a *account, m *sentMessage) bool {
	as.mu.Lock()
	defer as.mu.Unlock()
	if a.sent[m.id] != nil {
		return false
	}
	a.sent[m.id] = m
	a.order = append(a.order, m.id)
	if len(a.order) > maxRemembered {
		delete(a.sent, a.order[0])
		a.order = a.order[1:]
	}
	return true
}

// bounce shows the senders of lost messages what became of them.
func (as *accounts) bounce(lost []*outgoing, why *fault) {
	for _, o := range lost {
		as.farm.cfg.Log.Info("not delivered", "what", o.summary, "condition", why.condition, "reason", why.text)
		if o.message != nil {
			as.showError(o.message, why.condition, o.message.body)
		}
	}
}

// showError shows a user that a message failed. It is false if that was shown before.
func (as *accounts) showError(m *sentMessage, condition, body string) bool {
	as.mu.Lock()
	twice := m.failed
	m.failed = true
	as.mu.Unlock()
	if twice {
		return false
	}
	as.show(m.host, trace.Received, m.to, m.from, trace.Item{Type: trace.Error, ID: m.id, Body: body, Condition: condition})
	return true
}

// show records what a user's client sends or shows.
func (as *accounts) show(host, kind, from, to string, item trace.Item) {
	summary := string(item.Type)
	switch item.Type {
	case trace.Message:
		summary = fmt.Sprintf("%q", short(item.Body))
	case trace.Error:
		summary = fmt.Sprintf("error %s: %q", item.Condition, short(item.Body))
	default:
		if item.State != "" {
			summary += " " + item.State
		}
	}
	as.farm.cfg.Trace.Record(trace.Event{
		Layer: trace.Client, Kind: kind, Host: host, From: from, To: to, Summary: summary, Item: item,
	})
}

// sorted is the roster in a fixed order. The caller holds as.mu.
func (a *account) sorted() []*contact {
	keys := slices.Sorted(maps.Keys(a.contacts))
	list := make([]*contact, len(keys))
	for i, k := range keys {
		list[i] = a.contacts[k]
	}
	return list
}
