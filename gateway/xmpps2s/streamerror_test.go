package xmpps2s

import (
	"encoding/xml"
	"errors"
	"strings"
	"testing"

	mstream "mellium.im/xmpp/stream"
)

// A peer may end the stream with an error at any moment, also while it is being negotiated, where elements are read one by
// one. RFC 6120 §4.9.1.1
func TestStreamErrorOfThePeerIsRead(t *testing.T) {
	for _, input := range []string{
		"<e:error xmlns:e='http://etherx.jabber.org/streams'><host-unknown xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></e:error>",
		"<e:error xmlns:e='http://etherx.jabber.org/streams'><host-unknown xmlns='urn:ietf:params:xml:ns:xmpp-streams'/><text xmlns='urn:ietf:params:xml:ns:xmpp-streams'>gone</text></e:error>",
	} {
		// While a stream is negotiated mellium hands over its tokens, and not the decoder that knows what is open.
		r := &elementReader{tokens: struct{ xml.TokenReader }{xml.NewDecoder(strings.NewReader(input))}, spaces: []string{mstream.NS}}
		_, err := r.next()
		var e mstream.Error
		if !errors.As(err, &e) || e.Err != "host-unknown" {
			t.Errorf("%s was read as %v", input, err)
		}
	}
	r := &elementReader{tokens: struct{ xml.TokenReader }{xml.NewDecoder(strings.NewReader("<e:error xmlns:e='http://etherx.jabber.org/streams'><host-unknown"))}, spaces: []string{mstream.NS}}
	if _, err := r.next(); err == nil {
		t.Error("half an error was read")
	}
}
