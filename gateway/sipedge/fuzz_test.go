package sipedge

import (
	"strings"
	"testing"
)

// FuzzNameAddr: whatever stands in From or To, reading it neither panics nor finds an address with characters that could end
// the header field it is written back into.
func FuzzNameAddr(f *testing.F) {
	for _, s := range []string{`"Anna Berg"<sip:anna@contoso.com>;tag=0c;epid=4f`, `sip:a@b;tag=1`, `"a\"b;<,"<sip:x@y;z>;q="1;2"`, `<`, `">`, `"\`, "\x00<>;=,"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		a := parseNameAddr(s)
		if !strings.Contains(s, a.uri) {
			t.Errorf("%q has no %q", s, a.uri)
		}
		a.param("tag")
		for _, part := range splitList(s) {
			if len(part) > len(s) {
				t.Errorf("%q grew to %q", s, part)
			}
		}
	})
}

// FuzzVia: a Via that is read has a host, and its branch stands in it.
func FuzzVia(f *testing.F) {
	for _, s := range []string{`SIP/2.0/TLS 10.11.12.33:61022;branch=z9hG4bK5D.3C;branched=FALSE;ms-internal-info="cb,;"`, `SIP / 2.0 / TLS [2001:db8::1]:5061 ;branch=x`, "SIP/2.0/", ";", "SIP/2.0/TLS a:99999"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if v, ok := parseVia(s); ok && v.host == "" {
			t.Errorf("%q has no host", s)
		}
	})
}

// FuzzSDP: whatever an offer says, both answers about it are had.
func FuzzSDP(f *testing.F) {
	f.Add([]byte(edgeSDP))
	f.Add([]byte("m="))
	f.Add([]byte("m=message 5060 sip null\nm=audio 0 RTP/AVP 0"))
	f.Fuzz(func(t *testing.T, b []byte) { sdpMedia(b) })
}
