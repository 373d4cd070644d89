//go:build peers

package crossing

import (
	"encoding/base64"
	"encoding/xml"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"
)

// element is a first-level element of a stream.
type element struct {
	XMLName xml.Name
	Attrs   []xml.Attr `xml:",any,attr"`
	Inner   string     `xml:",innerxml"`
}

func (e element) attr(name string) string {
	for _, a := range e.Attrs {
		if a.Name.Local == name {
			return a.Value
		}
	}
	return ""
}

// is reports whether the element has this name and type, comes from this bare address, and holds all of the texts.
func (e element) is(name, typ, from string, texts ...string) bool {
	bare, _, _ := strings.Cut(e.attr("from"), "/")
	if e.XMLName.Local != name || e.attr("type") != typ || from != "" && bare != from {
		return false
	}
	for _, text := range texts {
		if !strings.Contains(e.Inner, text) {
			return false
		}
	}
	return true
}

func (e element) String() string {
	s := "<" + e.XMLName.Local
	for _, a := range e.Attrs {
		s += fmt.Sprintf(" %s='%s'", a.Name.Local, a.Value)
	}
	return s + ">" + e.Inner
}

// client is a user's client of an XMPP server: as much XMPP as these tests take.
type client struct {
	t        *testing.T
	conn     net.Conn
	reader   io.Reader
	decoder  *xml.Decoder
	jid      string
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
	t.Cleanup(func() { conn.Close() })
	c := &client{t: t, conn: conn, reader: conn, received: make(chan element, 10000)}
	_ = conn.SetReadDeadline(time.Now().Add(patience))
	c.open(domain)
	c.send("<iq type='set' id='register'><query xmlns='jabber:iq:register'><username>bob</username><password>secret</password></query></iq>")
	if e := c.next(); !e.is("iq", "result", "") && !strings.Contains(e.Inner, "conflict") {
		t.Fatalf("registering: %s", e)
	}
	c.send("%s", "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>"+base64.StdEncoding.EncodeToString([]byte("\x00bob\x00secret"))+"</auth>")
	if e := c.next(); e.XMLName.Local != "success" {
		t.Fatalf("authenticating: %s", e)
	}
	c.open(domain)
	c.send("<iq type='set' id='bind'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'><resource>desk</resource></bind></iq>")
	if e := c.next(); !e.is("iq", "result", "", "<jid>") {
		t.Fatalf("binding: %s", e)
	}
	_ = conn.SetReadDeadline(time.Time{})
	go func() {
		defer close(c.received)
		for {
			e, err := c.read()
			if err != nil {
				return
			}
			c.received <- e
		}
	}()
	c.send("<iq type='get' id='roster'><query xmlns='jabber:iq:roster'/></iq><presence/>")
	c.await("the roster", func(e element) bool { return e.attr("id") == "roster" })
	return c
}

// open begins a stream.
func (c *client) open(domain string) {
	c.t.Helper()
	c.send("%s", "<?xml version='1.0'?><stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' to='"+domain+"' version='1.0'>")
	c.decoder = xml.NewDecoder(c.reader)
	for {
		token, err := c.decoder.Token()
		if err != nil {
			c.t.Fatal(err)
		}
		if _, ok := token.(xml.StartElement); ok {
			break
		}
	}
	if e := c.next(); e.XMLName.Local != "features" {
		c.t.Fatalf("in place of features: %s", e)
	}
}

func (c *client) read() (element, error) {
	for {
		token, err := c.decoder.Token()
		if err != nil {
			return element{}, err
		}
		switch start := token.(type) {
		case xml.EndElement:
			return element{}, io.EOF
		case xml.StartElement:
			var e element
			return e, c.decoder.DecodeElement(&e, &start)
		}
	}
}

func (c *client) next() element {
	c.t.Helper()
	e, err := c.read()
	if err != nil {
		c.t.Fatal(err)
	}
	return e
}

func (c *client) send(format string, args ...any) {
	c.t.Helper()
	_ = c.conn.SetWriteDeadline(time.Now().Add(patience))
	if _, err := fmt.Fprintf(c.conn, format, args...); err != nil {
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
		return found && strings.TrimSpace(text) == body && e.attr("type") != "error" && e.is("message", e.attr("type"), from)
	})
}
