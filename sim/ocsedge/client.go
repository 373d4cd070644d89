package ocsedge

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"fedlab/sim/trace"
)

// user is a User with a client that is signed in.
type user struct {
	User
	e        *Edge
	epid     string
	gruu     string
	sessions []*session

	published status
	watches   []*watch           // of this user
	watchers  []*watcher         // of this user's presence
	consents  map[string]consent // by watcher
}

func (u *user) display() string { return `"` + u.Name + `"` }

// setUsers makes the users of the configuration.
func (e *Edge) setUsers(users []User) error {
	for _, c := range users {
		c.Address = strings.ToLower(c.Address)
		local, domain, ok := strings.Cut(c.Address, "@")
		if !ok || local == "" || !slices.Contains(e.domains, domain) {
			return fmt.Errorf("ocsedge: user %q is not in a domain of the organisation (%s)", c.Address, strings.Join(e.domains, ", "))
		}
		if c.Name == "" {
			c.Name = strings.ToUpper(local[:1]) + local[1:]
		}
		u := &user{User: c, e: e, epid: e.hex(10), published: status{availability: 3500}, consents: map[string]consent{}}
		u.gruu = "sip:" + u.Address + ";opaque=user:epid:" + e.token(22) + ";gruu"
		e.users[c.Address] = u
	}
	return nil
}

// begin signs the users in: their clients subscribe to the presence of their contacts in other domains.
func (e *Edge) begin() {
	if !e.cfg.Presence {
		return
	}
	for _, address := range slices.Sorted(maps.Keys(e.users)) {
		u := e.users[address]
		for _, c := range lower(u.Contacts) {
			_, domain, _ := strings.Cut(c, "@")
			if u.State == Online && !slices.Contains(e.domains, domain) && u.watching(c) == nil {
				e.watch(u, c)
			}
		}
	}
}

// SendOptions is one text of a user.
type SendOptions struct {
	From string // a user of the pool
	To   string // bob@gmail.com
	Body string
	Type string // Content-Type of Body, which goes out as it is: text/html, text/rtf, multipart/alternative …; default text/plain
	ID   string // the client's own name for the text; in the trace, never on the wire

	// Receipt asks to be told of delivery, or of failure (RFC 5438). OCS's clients cannot: it takes one that sends pages.
	Receipt bool
}

// Send has a user write a text: into the session with that peer, or into a new one. It returns when the pool has taken it. What
// becomes of it is in the trace: nothing if all goes well, or an Error that the user's client received.
func (e *Edge) Send(ctx context.Context, o SendOptions) error {
	return e.act(ctx, o.From, func(u *user) error {
		peer := strings.ToLower(o.To)
		if _, err := parseURI("sip:" + peer); err != nil || !strings.Contains(peer, "@") {
			return fmt.Errorf("ocsedge: %q is not an address to write to", o.To)
		}
		if u.State == Offline || u.State == Left {
			return fmt.Errorf("%w: %s is not signed in", ErrNoUser, u.Address)
		}
		if o.Receipt && !e.quirks.SendsPages {
			return fmt.Errorf("ocsedge: the client of %s cannot ask for a receipt: quirk sends_pages gives it one that can", u.Address)
		}
		e.record(trace.Sent, u.Address, peer, trace.Item{Type: trace.Message, ID: o.ID, Body: o.Body})
		u.say(peer, text{id: o.ID, body: o.Body, kind: o.Type, asks: o.Receipt})
		return nil
	})
}

// Typing has a user begin to type to a peer, or stop. Nothing happens without a session: clients have nowhere to tell it.
func (e *Edge) Typing(ctx context.Context, from, to string, composing bool) error {
	return e.act(ctx, from, func(u *user) error {
		peer, status, state := strings.ToLower(to), "type", "composing"
		if !composing {
			status, state = "idle", "paused"
		}
		e.record(trace.Sent, u.Address, peer, trace.Item{Type: trace.Typing, State: state})
		if s := u.session(peer); s != nil && s.established {
			s.typing(status)
		}
		return nil
	})
}

// EndSession has a user close the window of the conversation with a peer: BYE in every session with it.
func (e *Edge) EndSession(ctx context.Context, from, to string) error {
	return e.act(ctx, from, func(u *user) error {
		for _, s := range slices.Clone(u.sessions) {
			if s.peer == strings.ToLower(to) && s.established {
				s.bye()
			}
		}
		return nil
	})
}

// SetState changes what a user's client does with what comes in. Offline and Left also end the user's sessions, without a word.
func (e *Edge) SetState(ctx context.Context, address string, state State) error {
	return e.act(ctx, address, func(u *user) error {
		u.State = state
		if state == Offline || state == Left {
			for _, s := range slices.Clone(u.sessions) {
				if s.invite != nil && !s.established {
					e.cancelInvite(s.invite)
				}
				s.fail(480)
			}
		}
		u.publish()
		return nil
	})
}

// act runs f for a user in the loop.
func (e *Edge) act(ctx context.Context, address string, f func(*user) error) error {
	return e.do(ctx, func() error {
		u := e.users[strings.ToLower(address)]
		if u == nil {
			return fmt.Errorf("%w: %q", ErrNoUser, address)
		}
		return f(u)
	})
}

// say writes a text to a peer.
func (u *user) say(peer string, t text) {
	s := u.session(peer)
	switch {
	case u.State == Internal:
		u.e.log(reason{1002, "0xC3E93C5E", "SIPPROXY_E_ROUTING", "From URI not allowed to use federated partners"}, "INVITE to %s: the user is shown 403", peer)
		u.showError(peer, t, 403)
	case u.e.quirks.SendsPages:
		u.e.page(u, peer, t)
	case s == nil:
		u.e.invite(u, peer, t)
	case !s.established:
		s.queue = append(s.queue, t)
	default:
		s.say(t)
	}
}

// session is the newest session with a peer, nil if there is none.
func (u *user) session(peer string) *session {
	for _, s := range slices.Backward(u.sessions) {
		if s.peer == peer {
			return s
		}
	}
	return nil
}

func (u *user) forget(s *session) {
	u.sessions = slices.DeleteFunc(u.sessions, func(o *session) bool { return o == s })
}

// show writes down what the user's client showed.
func (u *user) show(from string, item trace.Item) {
	u.e.record(trace.Received, from, u.Address, item)
}

func (u *user) showMessage(from, body string) {
	u.show(from, trace.Item{Type: trace.Message, Body: body})
}

func (u *user) showError(from string, t text, code int) {
	u.show(from, trace.Item{Type: trace.Error, ID: t.id, Body: t.body, Code: code})
}

// record writes what a client did or showed.
func (e *Edge) record(kind, from, to string, item trace.Item) {
	e.cfg.Trace.Record(trace.Event{Layer: trace.Client, Kind: kind, Host: e.cfg.Host, From: from, To: to, Summary: string(item.Type), Item: item})
}
