//go:build peers

package crossing

import (
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"fedlab/lab/peers"
)

// element is a first-level element of a stream.
type element struct{ peers.Stanza }

// is reports whether the element has this name and type, comes from this bare address, and holds all of the texts.
func (e element) is(name, typ, from string, texts ...string) bool {
	if e.XMLName.Local != name || e.Attr("type") != typ || from != "" && e.From() != from {
		return false
	}
	for _, text := range texts {
		if !strings.Contains(e.Inner, text) {
			return false
		}
	}
	return true
}

// client is a user's client of an XMPP server: as much XMPP as these tests take.
type client struct {
	t        *testing.T
	stream   *peers.Stream
	received chan element
	seen     []element
}

// logIn registers bob, logs him in and makes him available.
func logIn(t *testing.T, address, domain string) *client {
	t.Helper()
	conn, err := net.DialTimeout("tcp", address, patience)
	if err != nil {
		t.Fatal(err)
	}
	stream, err := peers.LogIn(conn, "bob", domain, "secret")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { stream.Close() })
	c := &client{t: t, stream: stream, received: make(chan element, 10000)}
	go func() {
		defer close(c.received)
		for {
			e, err := stream.Next()
			if err != nil {
				return
			}
			c.received <- element{e}
		}
	}()
	c.send("<iq type='get' id='roster'><query xmlns='jabber:iq:roster'/></iq><presence/>")
	c.await("the roster", func(e element) bool { return e.Attr("id") == "roster" })
	return c
}

func (c *client) send(format string, args ...any) {
	c.t.Helper()
	if err := c.stream.Send(fmt.Sprintf(format, args...)); err != nil {
		c.t.Fatal(err)
	}
}

// await waits for an element that fits; others are passed over.
func (c *client) await(what string, match func(element) bool) element {
	c.t.Helper()
	limit := time.After(patience)
	for {
		select {
		case e, open := <-c.received:
			if !open {
				c.t.Fatalf("waiting for %s, the server closed the stream; it had sent %s", what, c.seen)
			}
			c.seen = append(c.seen, e)
			if match(e) {
				return e
			}
		case <-limit:
			c.t.Fatalf("the client waited %v for %s; it got %s", patience, what, c.seen)
		}
	}
}

// shows waits for a message with a text. White space behind it does not count: SIPp ends every body with a line break.
func (c *client) shows(from, body string) element {
	c.t.Helper()
	return c.await(fmt.Sprintf("%q from %s", body, from), func(e element) bool {
		_, rest, _ := strings.Cut(e.Inner, "<body>")
		text, _, found := strings.Cut(rest, "</body>")
		return found && strings.TrimSpace(text) == body && e.Attr("type") != "error" && e.is("message", e.Attr("type"), from)
	})
}
