package peers

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/xml"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"time"

	"fedlab/sim/trace"
)

// XMPPUser is a user of a real XMPP server with a client that is logged in.
type XMPPUser struct {
	XMPPUserConfig
	stream  *Stream
	reading sync.WaitGroup

	client string // what the identifiers of this client begin with

	mu   sync.Mutex // guards what follows
	last int
	sent map[string]trace.Item // messages by their id
	seen map[string]bool       // whose presence the user has seen
}

// XMPPUserConfig says who a user is.
type XMPPUserConfig struct {
	Address  string // bob@example.org
	Server   string // host:port, where the server takes clients
	Host     string // in events: the machine that serves the user
	Receipts bool   // the client confirms messages when asked to (XEP-0184)
	Trace    *trace.Recorder
}

// The password of everybody: the accounts live as long as one run, on a server that nobody else reaches.
const password = "secret"

// StartXMPPUser logs a user in and makes the user available. It tries until it succeeds or ctx ends: a server that was just started
// listens after a while.
func StartXMPPUser(ctx context.Context, c XMPPUserConfig) (*XMPPUser, error) {
	u := &XMPPUser{XMPPUserConfig: c, client: strings.ToLower(rand.Text()[:8]), sent: map[string]trace.Item{}, seen: map[string]bool{}}
	local, domain, _ := strings.Cut(c.Address, "@")
	for {
		conn, err := new(net.Dialer).DialContext(ctx, "tcp", c.Server)
		if err == nil {
			u.stream, err = LogIn(conn, local, domain, password)
		}
		if err == nil {
			break
		}
		select {
		case <-time.After(100 * time.Millisecond):
		case <-ctx.Done():
			return nil, fmt.Errorf("%w; last: %w", ctx.Err(), err)
		}
	}
	// Who has asked for the roster is told of subscriptions (RFC 6121 §2.2).
	if err := u.stream.Send("<iq type='get' id='roster'><query xmlns='jabber:iq:roster'/></iq><presence/>"); err != nil {
		return nil, errors.Join(err, u.stream.Close())
	}
	there := make(chan error, 1)
	u.reading.Go(func() { u.read(there) })
	select {
	case err := <-there:
		if err == nil {
			return u, nil
		}
		return nil, errors.Join(fmt.Errorf("peers: %s is not available: %w", c.Address, err), u.Close())
	case <-ctx.Done():
		return nil, errors.Join(ctx.Err(), u.Close())
	}
}

// Close ends the client's connection, as when a laptop is shut.
func (u *XMPPUser) Close() error {
	err := u.stream.Close()
	u.reading.Wait()
	if errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}

// read shows what comes until the stream ends. The server's echo of the user's own presence says that the user is there.
func (u *XMPPUser) read(there chan<- error) {
	for {
		s, err := u.stream.Next()
		if err != nil {
			select {
			case there <- err:
			default: // it was there once, and nobody waits
			}
			return
		}
		if s.XMLName.Local == "presence" && s.From() == u.Address && s.Attr("type") == "" {
			select {
			case there <- nil:
			default:
			}
			continue
		}
		u.show(s)
	}
}

// content is what a stanza may hold that a client shows.
type content struct {
	Body    *string   `xml:"body"`
	Show    string    `xml:"show"`
	Status  string    `xml:"status"`
	Request *struct{} `xml:"urn:xmpp:receipts request"`
	Got     *struct {
		ID string `xml:"id,attr"`
	} `xml:"urn:xmpp:receipts received"`
	Error *struct {
		Conditions []struct{ XMLName xml.Name } `xml:",any"`
	} `xml:"error"`
	Others []struct{ XMLName xml.Name } `xml:",any"`
}

const nsChatStates = "http://jabber.org/protocol/chatstates"

func (u *XMPPUser) show(s Stanza) {
	var c content
	if err := xml.Unmarshal([]byte("<all>"+s.Inner+"</all>"), &c); err != nil {
		u.record(trace.Unexpected, s.From(), u.Address, "a stanza that cannot be read: "+err.Error(), trace.Item{})
		return
	}
	switch s.XMLName.Local {
	case "message":
		u.message(s, c)
	case "presence":
		u.presence(s, c)
	case "iq":
		u.request(s)
	}
}

func (u *XMPPUser) message(s Stanza, c content) {
	from, id := s.From(), s.Attr("id")
	received := func(i trace.Item) { u.record(trace.Received, from, u.Address, string(i.Type), i) }
	if s.Attr("type") == "error" {
		u.mu.Lock()
		m, mine := u.sent[id]
		u.mu.Unlock()
		if mine {
			received(trace.Item{Type: trace.Error, ID: id, Body: m.Body, Condition: c.condition()})
		}
		return
	}
	if c.Body != nil {
		received(trace.Item{Type: trace.Message, ID: id, Body: *c.Body})
	}
	for _, other := range c.Others {
		if other.XMLName.Space == nsChatStates && c.Body == nil {
			received(trace.Item{Type: trace.Typing, State: other.XMLName.Local})
		}
	}
	if c.Request != nil && u.Receipts {
		u.tell("<message type='chat' id='%s' to='%s'><received xmlns='urn:xmpp:receipts' id='%s'/></message>", u.id(trace.Item{}), escape(s.Attr("from")), escape(id))
	}
	if c.Got != nil {
		u.mu.Lock()
		m := u.sent[c.Got.ID]
		u.mu.Unlock()
		received(trace.Item{Type: trace.Receipt, ID: c.Got.ID, Body: m.Body})
	}
}

// condition is the defined condition of an error (RFC 6120 §8.3.3).
func (c content) condition() string {
	if c.Error != nil {
		for _, k := range c.Error.Conditions {
			if k.XMLName.Local != "text" && k.XMLName.Space == "urn:ietf:params:xml:ns:xmpp-stanzas" {
				return k.XMLName.Local
			}
		}
	}
	return "undefined-condition"
}

func (u *XMPPUser) presence(s Stanza, c content) {
	from := s.From()
	switch kind := s.Attr("type"); kind {
	case "subscribe", "subscribed", "unsubscribe", "unsubscribed":
		u.record(trace.Received, from, u.Address, string(trace.Subscription)+" "+kind, trace.Item{Type: trace.Subscription, State: kind})
	case "", "unavailable":
		if from == u.Address {
			return
		}
		u.mu.Lock()
		known := u.seen[from]
		u.seen[from] = true
		u.mu.Unlock()
		if kind != "" && !known { // nothing was known, and nothing is
			return
		}
		state := cmp.Or(kind, c.Show, "available")
		u.record(trace.Received, from, u.Address, string(trace.Presence)+" "+state, trace.Item{Type: trace.Presence, State: state, Body: c.Status})
	}
}

// request answers what others ask a client: it has nothing to offer.
func (u *XMPPUser) request(s Stanza) {
	switch {
	case s.Attr("type") == "get" || s.Attr("type") == "set" && s.Attr("from") != "" && s.From() != u.Address:
		u.tell("<iq type='error' id='%s' to='%s'><error type='cancel'><service-unavailable xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></iq>", escape(s.Attr("id")), escape(s.Attr("from")))
	case s.Attr("type") == "set": // the roster has changed
		u.tell("<iq type='result' id='%s'/>", escape(s.Attr("id")))
	}
}

// tell sends something that nobody waits for. If the connection is gone, reading ends too.
func (u *XMPPUser) tell(format string, args ...any) {
	_ = u.stream.Send(fmt.Sprintf(format, args...))
}

// id is an identifier for what the user sends; a message is remembered by it, for errors and receipts.
func (u *XMPPUser) id(i trace.Item) string {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.last++
	id := fmt.Sprintf("%s-%d", u.client, u.last)
	if i.Type == trace.Message {
		u.sent[id] = i
	}
	return id
}

// do records what the user does, and sends it.
func (u *XMPPUser) do(to string, i trace.Item, format string, args ...any) error {
	u.record(trace.Sent, u.Address, to, strings.TrimSpace(string(i.Type)+" "+i.State), i)
	if err := u.stream.Send(fmt.Sprintf(format, args...)); err != nil {
		return fmt.Errorf("peers: the client of %s has lost its server: %w", u.Address, err)
	}
	return nil
}

// Send sends a message, and with receipt asks to be told of delivery. It says that the client understands chat states (XEP-0085 §5.1).
func (u *XMPPUser) Send(to, body string, receipt bool) error {
	i := trace.Item{Type: trace.Message, Body: body}
	i.ID = u.id(i)
	request := ""
	if receipt {
		request = "<request xmlns='urn:xmpp:receipts'/>"
	}
	return u.do(to, i, "<message type='chat' id='%s' to='%s'><body>%s</body><active xmlns='%s'/>%s</message>", i.ID, escape(to), escape(body), nsChatStates, request)
}

// Typing tells what the user does in a conversation (XEP-0085): composing, paused, active, inactive, gone.
func (u *XMPPUser) Typing(to, state string) error {
	i := trace.Item{Type: trace.Typing, State: state}
	return u.do(to, i, "<message type='chat' id='%s' to='%s'><%s xmlns='%s'/></message>", u.id(i), escape(to), state, nsChatStates)
}

// SetPresence publishes how the user can be reached: available, away, chat, dnd, xa, unavailable.
func (u *XMPPUser) SetPresence(state, status string) error {
	kind, show := "", ""
	switch state {
	case "available":
	case "unavailable":
		kind = " type='unavailable'"
	default:
		show = "<show>" + state + "</show>"
	}
	if status != "" {
		show += "<status>" + escape(status) + "</status>"
	}
	return u.do("", trace.Item{Type: trace.Presence, State: state, Body: status}, "<presence%s>%s</presence>", kind, show)
}

// Subscription does one of subscribe, subscribed, unsubscribe and unsubscribed.
func (u *XMPPUser) Subscription(to, kind string) error {
	return u.do(to, trace.Item{Type: trace.Subscription, State: kind}, "<presence type='%s' to='%s'/>", kind, escape(to))
}

func (u *XMPPUser) record(kind, from, to, summary string, i trace.Item) {
	u.Trace.Record(trace.Event{Layer: trace.Client, Kind: kind, Host: u.Host, From: from, To: to, Summary: summary, Item: i})
}
