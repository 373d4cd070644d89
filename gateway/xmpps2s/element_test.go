package xmpps2s

import (
	"encoding/xml"
	"errors"
	"io"
	"strings"
	"testing"

	mstream "mellium.im/xmpp/stream"
)

// TestCutStream: a connection that ends in the middle is not taken for bad XML: ejabberd ends so when it stops, and the operator
// should read that. Bad XML stays bad XML.
func TestCutStream(t *testing.T) {
	const head = "<stream:stream xmlns='jabber:server' xmlns:stream='http://etherx.jabber.org/streams'>"
	for text, cut := range map[string]bool{"": true, "<message><bo": true, "<message><body>": true, "<message><body></message>": false, "<message a='<'": false} {
		d := xml.NewDecoder(strings.NewReader(head + text))
		if _, err := d.Token(); err != nil {
			t.Fatal(err)
		}
		r := &elementReader{tokens: d, spaces: []string{mstream.NS, nsServer, nsDialback}}
		_, err := r.next()
		var f *fault
		if got := errors.Is(err, io.ErrUnexpectedEOF); got != cut || errors.As(err, &f) == cut {
			t.Errorf("%q: %v", text, err)
		}
	}
}
