package xmpps2s

import (
	"context"
	"encoding/xml"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"mellium.im/xmpp"
	mstream "mellium.im/xmpp/stream"

	"fedlab/gateway/config"
	"fedlab/gateway/im"
	"fedlab/gateway/translate"
)

// played is a connection on which a peer has said its piece and closed.
type played struct {
	net.Conn
	in *strings.Reader
}

func (p played) Read(b []byte) (int, error)     { return p.in.Read(b) }
func (played) Write(b []byte) (int, error)      { return len(b), nil }
func (played) Close() error                     { return nil }
func (played) SetReadDeadline(time.Time) error  { return nil }
func (played) SetWriteDeadline(time.Time) error { return nil }
func (played) RemoteAddr() net.Addr             { return testAddr("192.0.2.1:1024") }

// FuzzStream feeds bytes to everything that reads a stream. What the guard lets pass must be what encoding/xml makes of it,
// and no limit may be exceeded.
func FuzzStream(f *testing.F) {
	for _, seed := range []string{
		oldHeader + " from='gmail.com' to='contoso.com'>" + "<db:result from='gmail.com' to='contoso.com'>k</db:result>",
		oldHeader + " to='contoso.com' version='1.0'><message from='a@gmail.com' to='b@contoso.com'><body>x &amp; y<![CDATA[ <z> ]]></body></message></stream:stream>",
		"<?xml version='1.0' encoding='UTF-8'?><a:stream xmlns:a='http://etherx.jabber.org/streams' xmlns='jabber:server' to='contoso.com'><a:error><host-unknown xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></a:error>",
		oldHeader + "><!-- c --><?p i?><!DOCTYPE x><b:c/><d e='f' e='g'/>&h;",
		oldHeader + " to='contoso.com'><stream:features/><x>" + strings.Repeat("<y>", 40),
		oldHeader + " to='contoso.com' version='1.0'><stream:error><host-unknown xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error></stream:stream>",
		"\ufeff" + oldHeader + ">", "\xfe\xff", "<", "<?", "<!", "</", "<a", "<a ", "<a b='", "&",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, input string) {
		cfg := &Config{WriteTimeout: time.Second}
		cfg.Limits.StanzaBytes = 10000
		st := newStream(cfg, played{in: strings.NewReader(input)})
		err := st.negotiate(context.Background(), xmpp.S2S|xmpp.Received, func(_ context.Context, st *stream) (bool, error) {
			h, err := st.readHeader(time.Time{})
			st.peers = h
			if err == nil && h.modern() {
				// What comes while the stream is negotiated is read by the session's decoder as it is.
				st.unread, err = st.next(time.Time{})
			}
			return true, err
		})
		for err == nil {
			var e *element
			if e, err = st.next(time.Time{}); err == nil {
				check(t, e, 1)
			}
		}
		var f *fault
		if errors.As(err, &f) && f.condition.Err == "" {
			t.Errorf("a fault without a condition: %v", f)
		}
	})
}

func check(t *testing.T, e *element, depth int) {
	if depth > maxDepth {
		t.Fatal("too deep")
	}
	if len(e.Attr) > maxAttrs {
		t.Fatal("too many attributes")
	}
	for _, k := range e.Kids {
		check(t, k, depth+1)
	}
}

// FuzzStanza reads one stanza from a verified peer and writes what is made of it: the answer must be one well-formed element
// whatever the peer said, and a message must survive the way through the gateway.
func FuzzStanza(f *testing.F) {
	for _, seed := range []string{
		"<message xmlns='jabber:server' from='bob@gmail.com/x' to='anna@contoso.com' id='1' type='chat'><body>Hi</body><thread>t</thread><active xmlns='http://jabber.org/protocol/chatstates'/></message>",
		"<message xmlns='jabber:server' type='error'><body>x</body><error code='503'><gone xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'>xmpp:a@b</gone></error></message>",
		"<iq xmlns='jabber:server' type='get' id='&quot;'><query xmlns='http://jabber.org/protocol/disco#info'/></iq>",
		"<presence xmlns='jabber:server' type='subscribe'><status xml:lang='de'>Hallo</status></presence>",
		"<message xmlns='jabber:server'><body>a</body><html xmlns='http://jabber.org/protocol/xhtml-im'><body xmlns='http://www.w3.org/1999/xhtml'><p title='x'>a<br/><b:c xmlns:b='urn:d'/></p></body></html></message>",
		"<message xmlns='jabber:server'><delay xmlns='urn:xmpp:delay' stamp='2010-05-17T12:00:00Z'/><received xmlns='urn:xmpp:receipts' id='1'/></message>",
	} {
		f.Add(seed)
	}
	from, to := im.Address{Local: "bob", Domain: "gmail.com"}, im.Address{Local: "anna", Domain: "contoso.com"}
	f.Fuzz(func(t *testing.T, input string) {
		r := &elementReader{tokens: xml.NewDecoder(strings.NewReader(input)), spaces: []string{mstream.NS, nsServer, nsDialback}}
		e, err := r.next()
		if err != nil {
			return
		}
		z := stanza{e, from, to}
		sent := &queueOnly{t: t}
		s := sent.server()
		switch e.Name.Local {
		case "message", "iq", "presence":
			s.receive(z)
		default:
			return
		}
		for _, m := range sent.messages {
			again := wellFormed(t, messageXML(m))
			back, ok := parseMessage(stanza{again, from, to})
			if !ok && m.Body != "" {
				t.Fatalf("%+v was lost", m)
			}
			if clean, _ := translate.SafeXMLText(m.Body); back.Body != clean {
				t.Fatalf("body %q became %q", m.Body, back.Body)
			}
		}
		if l := s.links[pair{"contoso.com", "gmail.com"}]; l != nil {
			for _, i := range l.queue {
				wellFormed(t, i.xml)
			}
		}
	})
}

// queueOnly is a sink that refuses everything, so that every message is answered.
type queueOnly struct {
	t        *testing.T
	messages []im.Message
}

func (q *queueOnly) Send(m im.Message, outcome im.Outcome) {
	q.messages = append(q.messages, m)
	outcome(&im.Failure{Condition: im.ItemNotFound, Text: m.Body})
}

func (q *queueOnly) server() *Server {
	s, err := New(Config{Network: newWorld().host("203.0.113.1"), Local: []string{"contoso.com"}, Domains: map[string]config.XMPPDomain{"gmail.com": {}}}, q)
	if err != nil {
		q.t.Fatal(err)
	}
	return s
}

func wellFormed(t *testing.T, b []byte) *element {
	t.Helper()
	d := xml.NewDecoder(strings.NewReader("<stream:stream xmlns='jabber:server' xmlns:stream='" + mstream.NS + "'>" + string(b)))
	d.Token()
	r := &elementReader{tokens: d, spaces: []string{mstream.NS, nsServer, nsDialback}}
	e, err := r.next()
	if err != nil {
		t.Fatalf("%s: %v", b, err)
	}
	if _, err := r.next(); err == nil || errors.Is(err, io.EOF) {
		t.Fatalf("more than one element: %s", b)
	}
	return e
}

// FuzzDialback reads dialback elements and answers them.
func FuzzDialback(f *testing.F) {
	f.Add("gmail.com", "contoso.com", "1", "valid", "k")
	f.Add("GMail.COM.", "xn--bcher-kva.example", "'", "error", "\x00<&>")
	f.Fuzz(func(t *testing.T, from, to, id, typ, key string) {
		w := &writer{}
		w.raw("<db:verify xmlns:db='jabber:server:dialback'").attr("from", from).attr("to", to).attr("id", id).attr("type", typ)
		e := wellFormed(t, w.raw(">").text(key).raw("</db:verify>").b)
		s := (&queueOnly{t: t}).server()
		answer := s.verifyXML(e)
		parsed := wellFormed(t, []byte(strings.Replace(string(answer), "<db:verify", "<db:verify xmlns:db='jabber:server:dialback'", 1)))
		if parsed.attr("from") != e.attr("to") || parsed.attr("to") != e.attr("from") || parsed.attr("id") != e.attr("id") {
			t.Errorf("%s answers %+v", answer, e)
		}
		if parsed.attr("type") == "valid" && strings.TrimSpace(e.text()) != dialbackKey(s.cfg.Secret, "gmail.com", "contoso.com", e.attr("id")) {
			if p, _ := dialbackPair(e); strings.TrimSpace(e.text()) != dialbackKey(s.cfg.Secret, p.from, p.to, e.attr("id")) {
				t.Errorf("%s is valid", key)
			}
		}
		dialbackPair(e)
		dialbackCondition(e)
	})
}
