package xmpps2s

import (
	"crypto/rand"
	"encoding/hex"
	"encoding/xml"
	"strings"

	mstream "mellium.im/xmpp/stream"
)

// header is a stream header, either direction (RFC 6120 §4.7). Domains are as they stood on the wire; normalised they are
// compared elsewhere.
type header struct {
	from, to string
	id       string
	lang     string
	version  mstream.Version // zero if there was none
	dialback bool            // the dialback namespace is declared (XEP-0220 §2.4.1)
}

// modern reports whether the header's sender speaks XMPP 1.0, so that features are due.
func (h header) modern() bool { return h.version.Major >= 1 }

// append renders h. Our prefix for dialback is db: peers of the first generation compare text.
func (h header) append(b []byte) []byte {
	w := &writer{b: b}
	w.raw("<?xml version='1.0'?><stream:stream xmlns='jabber:server' xmlns:db='jabber:server:dialback'" +
		" xmlns:stream='http://etherx.jabber.org/streams'")
	w.attrAlways("from", h.from).attr("to", h.to).attr("id", h.id)
	if h.modern() {
		w.raw(" version='1.0'")
	}
	return w.raw(" xml:lang='en'>").b
}

// parseHeader reads a start tag as a stream header. The fault, if any, is what RFC 6120 §4.8 and §4.9 ask for; the header
// is as far as it could be read.
func parseHeader(start xml.StartElement) (header, *fault) {
	var h header
	h.from, _ = findAttr(start.Attr, "from")
	h.to, _ = findAttr(start.Attr, "to")
	h.id, _ = findAttr(start.Attr, "id")
	h.lang, _ = findAttr(start.Attr, "xml:lang")
	if v, ok := findAttr(start.Attr, "version"); ok {
		parsed, err := mstream.ParseVersion(v)
		if err != nil {
			return h, &fault{mstream.UnsupportedVersion, "version is not a number"}
		}
		h.version = parsed
	}
	content := ""
	for _, a := range start.Attr {
		switch {
		case a.Name.Space == "xmlns" && a.Value == nsDialback:
			h.dialback = true
		case a.Name.Space == "xmlns" && a.Name.Local == "db":
			return h, &fault{mstream.InvalidNamespace, "the prefix db stands for another namespace than dialback"}
		case a.Name.Space == "" && a.Name.Local == "xmlns":
			content = a.Value
		}
	}
	switch {
	case start.Name.Local != "stream":
		return h, &fault{mstream.BadFormat, "the first element is not a stream header"}
	case start.Name.Space != mstream.NS:
		return h, &fault{mstream.InvalidNamespace, "wrong stream namespace"}
	case content != nsServer && content != mstream.NS && content != "":
		return h, &fault{mstream.InvalidNamespace, "content namespace is not jabber:server"}
	}
	return h, nil
}

// newStreamID makes an identifier that nobody can guess: it is an input of the dialback key (RFC 6120 §4.7.3).
func newStreamID() string {
	var b [10]byte
	rand.Read(b[:]) // never fails (crypto/rand)
	return strings.ToUpper(hex.EncodeToString(b[:]))
}

// errorXML renders a stream error and the closing tag behind it (RFC 6120 §4.9.1).
func (f *fault) xml() []byte {
	w := &writer{}
	w.raw("<stream:error><").raw(f.condition.Err).raw(" xmlns='urn:ietf:params:xml:ns:xmpp-streams'/>")
	if f.text != "" {
		w.raw("<text xmlns='urn:ietf:params:xml:ns:xmpp-streams' xml:lang='en'>").text(f.text).raw("</text>")
	}
	return w.raw("</stream:error></stream:stream>").b
}
