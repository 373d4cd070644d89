package doctor

import (
	"bufio"
	"bytes"
	"io"
	"net"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

// Whatever answers on 5061, reading it ends, and what is taken for an answer has a status.
func FuzzAnswer(f *testing.F) {
	f.Add([]byte("SIP/2.0 200 OK\r\nCall-ID: 1\r\nContent-Length: 0\r\n\r\n"))
	f.Add([]byte("\r\n\r\nSIP/2.0 504 Server time-out\r\ni: 1\r\nl: 3\r\n\r\nabcSIP/2.0 200 OK\r\n\r\n"))
	f.Add([]byte("OPTIONS sip:x SIP/2.0\r\nContent-Length: 99999999\r\n\r\n"))
	f.Add([]byte("HTTP/1.1 400 Bad Request\r\n\r\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		r := bufio.NewReader(bytes.NewReader(data))
		for range len(data) + 1 {
			a, err := readAnswer(r)
			if err != nil {
				return
			}
			if a.status != 0 && (a.status < 100 || a.status > 699) {
				t.Errorf("status %d", a.status)
			}
			_ = a.String()
			if h := a.contactHost(); strings.ContainsAny(h, ">;,") {
				t.Errorf("contact host %q", h)
			}
		}
		t.Error("reading does not end")
	})
}

// Whatever answers on 5269, reading it ends, and silence, strangers and streams are told apart.
func FuzzStream(f *testing.F) {
	for _, seed := range []string{
		"<?xml version='1.0'?><stream:stream xmlns='jabber:server' xmlns:stream='http://etherx.jabber.org/streams' id='1' version='1.0'><stream:features><starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'><required/></starttls></stream:features>",
		"<stream:stream xmlns:stream='http://etherx.jabber.org/streams'><stream:error><host-unknown xmlns='urn:ietf:params:xml:ns:xmpp-streams'/><text>no &lt;</text></stream:error></stream:stream>",
		"SSH-2.0-OpenSSH_9.6\r\n", "\x15\x03\x01\x00\x02\x02\x0a", "", "<a><b><c>", "<!DOCTYPE x [<!ENTITY a 'b'>]><x>&a;</x>",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		s, _ := readStream(&canned{Reader: bytes.NewReader(data)})
		if s.err == nil && !bytes.Contains(data, []byte(nsStreams)) {
			t.Errorf("taken for a stream: %q", data)
		}
		if s.foreign() && len(data) == 0 {
			t.Error("silence is taken for a stranger")
		}
		if text := tame(s.String()); text == "" || utf8.RuneCountInString(text) > longest+2 || strings.ContainsAny(text, "\n\x1b") {
			t.Errorf("described as %q", text)
		}
	})
}

// canned is a connection from which comes what is in the Reader.
type canned struct {
	io.Reader
	net.Conn
}

func (c *canned) Read(p []byte) (int, error)    { return c.Reader.Read(p) }
func (*canned) SetReadDeadline(time.Time) error { return nil }

func TestLookalikes(t *testing.T) {
	for name, want := range map[string]string{
		"lm.contoso.com": "im.contoso.com", "im.contoso.com": "lm.contoso.com", "xmpp.c0ntoso.com": "xmpp.contoso.com", "mail.corn.com": "mail.com.com",
	} {
		found := false
		for _, l := range lookalikes(name) {
			found = found || l == want
		}
		if !found {
			t.Errorf("%s is not among the lookalikes of %s: %v", want, name, lookalikes(name))
		}
	}
	if all := lookalikes(strings.Repeat("il1o0.", 40)); len(all) != maxLookalikes {
		t.Errorf("%d lookalikes of a long name", len(all))
	}
}
