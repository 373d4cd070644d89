package peers

import (
	"encoding/base64"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"time"
)

// Stanza is a first-level element of a client's stream.
type Stanza struct {
	XMLName xml.Name
	Attrs   []xml.Attr `xml:",any,attr"`
	Inner   string     `xml:",innerxml"`
}

// Attr is the value of an attribute, empty if there is none.
func (s Stanza) Attr(name string) string {
	for _, a := range s.Attrs {
		if a.Name.Local == name {
			return a.Value
		}
	}
	return ""
}

// From is the bare address that the stanza comes from.
func (s Stanza) From() string {
	bare, _, _ := strings.Cut(s.Attr("from"), "/")
	return bare
}

func (s Stanza) String() string {
	text := "<" + s.XMLName.Local
	for _, a := range s.Attrs {
		text += fmt.Sprintf(" %s='%s'", a.Name.Local, a.Value)
	}
	return text + ">" + s.Inner
}

// Stream is a client's stream with its XMPP server (RFC 6120, RFC 6121), in clear. One goroutine may read while others send.
type Stream struct {
	conn    net.Conn
	decoder *xml.Decoder
	sending sync.Mutex
}

// patience bounds every answer while a stream is opened, and every write.
const patience = 30 * time.Second

// LogIn registers a user in band (XEP-0077) if the server does not know the user yet, authenticates, and binds a resource. The user is not
// available yet. The stream has conn, also if it fails.
func LogIn(conn net.Conn, user, domain, password string) (*Stream, error) {
	s := &Stream{conn: conn}
	if err := s.logIn(user, domain, password); err != nil {
		return nil, errors.Join(fmt.Errorf("peers: %s@%s cannot log in: %w", user, domain, err), conn.Close())
	}
	return s, nil
}

func (s *Stream) logIn(user, domain, password string) error {
	if err := s.conn.SetReadDeadline(time.Now().Add(patience)); err != nil {
		return err
	}
	if err := s.open(domain); err != nil {
		return err
	}
	result := func(e Stanza) bool { return e.Attr("type") == "result" }
	register := fmt.Sprintf("<iq type='set' id='register'><query xmlns='jabber:iq:register'><username>%s</username><password>%s</password></query></iq>", escape(user), escape(password))
	if err := s.ask("registering", register, func(e Stanza) bool { return result(e) || strings.Contains(e.Inner, "conflict") }); err != nil {
		return err
	}
	plain := base64.StdEncoding.EncodeToString([]byte("\x00" + user + "\x00" + password))
	if err := s.ask("authenticating", "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>"+plain+"</auth>", func(e Stanza) bool { return e.XMLName.Local == "success" }); err != nil {
		return err
	}
	if err := s.open(domain); err != nil {
		return err
	}
	if err := s.ask("binding", "<iq type='set' id='bind'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'><resource>desk</resource></bind></iq>", result); err != nil {
		return err
	}
	return s.conn.SetReadDeadline(time.Time{})
}

// open begins a stream.
func (s *Stream) open(domain string) error {
	if err := s.Send("<?xml version='1.0'?><stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' to='" + escape(domain) + "' version='1.0'>"); err != nil {
		return err
	}
	s.decoder = xml.NewDecoder(s.conn)
	for {
		token, err := s.decoder.Token()
		if err != nil {
			return err
		}
		if _, ok := token.(xml.StartElement); ok {
			break
		}
	}
	return s.answer("opening a stream", func(e Stanza) bool { return e.XMLName.Local == "features" })
}

// ask sends something whose answer has to fit.
func (s *Stream) ask(what, text string, fits func(Stanza) bool) error {
	if err := s.Send(text); err != nil {
		return err
	}
	return s.answer(what, fits)
}

func (s *Stream) answer(what string, fits func(Stanza) bool) error {
	e, err := s.Next()
	if err == nil && !fits(e) {
		err = fmt.Errorf("%s: the server answers %s", what, e)
	}
	return err
}

// Next waits for the server's next stanza. It returns io.EOF when the server ends the stream.
func (s *Stream) Next() (Stanza, error) {
	for {
		token, err := s.decoder.Token()
		if err != nil {
			return Stanza{}, err
		}
		switch start := token.(type) {
		case xml.EndElement:
			return Stanza{}, io.EOF
		case xml.StartElement:
			var e Stanza
			return e, s.decoder.DecodeElement(&e, &start)
		}
	}
}

// Send sends XML as it is.
func (s *Stream) Send(text string) error {
	s.sending.Lock()
	defer s.sending.Unlock()
	if err := s.conn.SetWriteDeadline(time.Now().Add(patience)); err != nil {
		return err
	}
	_, err := io.WriteString(s.conn, text)
	return err
}

// Close ends the connection.
func (s *Stream) Close() error { return s.conn.Close() }

// escape is text as it stands in XML.
func escape(text string) string {
	var b strings.Builder
	_ = xml.EscapeText(&b, []byte(text)) // a strings.Builder takes everything
	return b.String()
}
