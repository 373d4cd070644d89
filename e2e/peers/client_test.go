//go:build peers

package peers

import (
	"encoding/base64"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"
)

// client is a user's client of the server under test: as much XMPP as sending and receiving takes.
type client struct {
	t    *testing.T
	conn net.Conn
	buf  string
}

// logIn opens a stream in clear, authenticates, binds a resource and becomes available.
func logIn(t *testing.T, address, domain, user, password string) *client {
	t.Helper()
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	c := &client{t: t, conn: conn}
	open := fmt.Sprintf("<?xml version='1.0'?><stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' to='%s' version='1.0'>", domain)
	c.send(open)
	c.until("</stream:features>")
	c.send("<iq type='set' id='register'><query xmlns='jabber:iq:register'><username>" + user + "</username><password>" + password + "</password></query></iq>")
	c.until("register")
	c.send("<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>" +
		base64.StdEncoding.EncodeToString([]byte("\x00"+user+"\x00"+password)) + "</auth>")
	c.until("<success")
	c.send(open)
	c.until("</stream:features>")
	c.send("<iq type='set' id='bind'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'><resource>here</resource></bind></iq>")
	c.until("</jid>")
	c.send("<iq type='set' id='session'><session xmlns='urn:ietf:params:xml:ns:xmpp-session'/></iq>")
	c.until("session")
	// Who has asked for the roster is told of subscriptions (RFC 6121 §2.2).
	c.send("<iq type='get' id='roster'><query xmlns='jabber:iq:roster'/></iq><presence/>")
	c.until("<presence")
	return c
}

func (c *client) send(s string) {
	c.t.Helper()
	if _, err := c.conn.Write([]byte(s)); err != nil {
		c.t.Fatal(err)
	}
}

// until reads until text has come, and returns what came up to it.
func (c *client) until(text string) string {
	c.t.Helper()
	c.conn.SetReadDeadline(time.Now().Add(2 * time.Minute))
	var b [4096]byte
	for {
		if before, after, ok := strings.Cut(c.buf, text); ok {
			c.buf = after
			return before + text
		}
		n, err := c.conn.Read(b[:])
		c.buf += string(b[:n])
		if err != nil {
			c.t.Fatalf("waiting for %q: %v; got %q", text, err, c.buf)
		}
	}
}
