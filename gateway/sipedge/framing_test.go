package sipedge

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/emiago/sipgo/sip"
)

// framed is what a framer makes of data that comes in pieces of a size.
func framed(data []byte, size int) (ready string, refused []string, err error) {
	f := framer{max: 65536, refuse: func(_ []byte, method string, _ int, why string) { refused = append(refused, method+": "+why) }}
	for len(data) > 0 && err == nil {
		n := min(size, len(data))
		err = f.take(data[:n])
		data = data[n:]
	}
	return string(f.ready), refused, err
}

// TestFraming: one bad message among good ones is taken out, wherever the pieces end.
func TestFraming(t *testing.T) {
	good := "OPTIONS sip:gmail.com SIP/2.0\r\nVia: SIP/2.0/TLS a;branch=z9hG4bK1\r\nl: 2\r\n\r\nhi"
	for name, c := range map[string]struct {
		bad  string
		want string // refused
		end  bool   // of the connection
	}{
		"keep-alives":                   {"\r\n\r\n", "", false},
		"white space":                   {"MESSAGE  sip:a@b SIP/2.0\r\nContent-Length: 3\r\n\r\nbad", "MESSAGE: Bad Request: white space in the request line", false},
		"a tab":                         {"MESSAGE\tsip:a@b SIP/2.0\r\nContent-Length: 0\r\n\r\n", "MESSAGE: Bad Request: white space in the request line", false},
		"no URI":                        {"MESSAGE sip:a@b:port SIP/2.0\r\nContent-Length: 0\r\n\r\n", "MESSAGE: Bad Request: the Request-URI cannot be read", false},
		"a wildcard":                    {"MESSAGE * SIP/2.0\r\nContent-Length: 0\r\n\r\n", "MESSAGE: Bad Request: the Request-URI cannot be read", false},
		"brackets":                      {"message <sip:a@b> SIP/2.0\r\nContent-Length: 0\r\n\r\n", "MESSAGE: Bad Request: the Request-URI stands in brackets", false},
		"another scheme":                {"MESSAGE soap.beep://192.0.2.103:3002 SIP/2.0\r\nContent-Length: 0\r\n\r\n", "MESSAGE: Unsupported URI Scheme", false},
		"no header field":               {"MESSAGE sip:a@b SIP/2.0\r\nHello\r\nContent-Length: 3\r\n\r\nbad", "MESSAGE: Bad Request: a line is no header field", false},
		"a line that ends in between":   {"MESSAGE sip:a@b SIP/2.0\r\nA: b\rc\r\nContent-Length: 3\r\n\r\nbad", "MESSAGE: Bad Request: a line ends in the middle", false},
		"a continuation of nothing":     {"MESSAGE sip:a@b SIP/2.0\r\n and more\r\nContent-Length: 0\r\n\r\n", "MESSAGE: Bad Request: a line is no header field", false},
		"a folded length":               {"MESSAGE  sip:a@b SIP/2.0\r\nContent-Length:\r\n 3\r\n\r\nbad", "MESSAGE: Bad Request: white space in the request line", false},
		"too long":                      {"MESSAGE sip:a@b SIP/2.0\r\nContent-Length: 70000\r\n\r\n" + strings.Repeat("x", 70_000), "MESSAGE: Request Entity Too Large: 70050 bytes, 65536 can be taken", false},
		"a response of no status":       {"SIP/2.0 4294967301 OK\r\nContent-Length: 3\r\n\r\nbad", "", false},
		"a response like a request":     {"SIP/2.0 200 sip\r\nContent-Length: 3\r\n\r\nbad", "", false},
		"a response without an end":     {"SIP/2.0 200 OK\r\n\r\n", "", true},
		"no length":                     {"MESSAGE sip:a@b SIP/2.0\r\n\r\n", "MESSAGE: Bad Request: no Content-Length", true},
		"a negative length":             {"MESSAGE sip:a@b SIP/2.0\r\nContent-Length: -1\r\n\r\n", "MESSAGE: Bad Request: bad Content-Length", true},
		"two lengths":                   {"MESSAGE sip:a@b SIP/2.0\r\nContent-Length: 1\r\nl: 2\r\n\r\n", "MESSAGE: Bad Request: more than one Content-Length", true},
		"too long to wait for":          {"MESSAGE sip:a@b SIP/2.0\r\nContent-Length: 20000000\r\n\r\n", "MESSAGE: Request Entity Too Large: 20000053 bytes, 65536 can be taken", true},
		"HTTP":                          {"GET / HTTP/1.1\r\nHost: a\r\n\r\n", "", true},
		"a header field without an end": {"MESSAGE sip:a@b SIP/2.0\r\nA: " + strings.Repeat("x", 66_000), "", true},
	} {
		for _, size := range []int{1, 3, 1 << 20} {
			ready, refused, err := framed([]byte(good+c.bad+good), size)
			want := good + good
			switch {
			case name == "keep-alives":
				want = good + "\r\n\r\n" + good
			case c.end:
				want = good
			}
			if ready != want || strings.Join(refused, ", ") != c.want || errors.Is(err, errFraming) != c.end {
				t.Errorf("%s in pieces of %d: passed on %q, refused %q, error %v", name, size, ready, refused, err)
			}
		}
	}
	for uri, want := range map[string]int{"sip:a?b@c": 0, "sip:a@b?Route=c": 400, "sip:b?Route=c": 400, "SIPS:a@b": 0, "tel:+1": 0} {
		if code, why := badRequestLine("MESSAGE " + uri + " SIP/2.0"); code != want {
			t.Errorf("%s: %d %s", uri, code, why)
		}
	}
}

// FuzzFraming: what is passed on does not depend on the pieces that it came in, stands in what came, and is such as the parser can read.
func FuzzFraming(f *testing.F) {
	files, err := filepath.Glob("testdata/torture/*/*.dat")
	if err != nil || len(files) == 0 {
		f.Fatal(err)
	}
	for _, name := range files {
		data, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data, 7)
	}
	f.Fuzz(func(t *testing.T, data []byte, size int) {
		whole, refused, _ := framed(data, len(data)+1)
		pieces, again, _ := framed(data, max(1, size))
		if whole != pieces || len(refused) != len(again) {
			t.Fatalf("whole %q (%q)\npieces %q (%q)", whole, refused, pieces, again)
		}
		if len(strings.Trim(whole, "\r\n")) == 0 {
			return
		}
		raw := map[string]sip.HeaderParser{}
		for _, name := range []string{"content-length", "l"} {
			raw[name] = sip.DefaultHeadersParser()[name]
		}
		p := sip.NewParser(sip.WithHeadersParsers(raw))
		p.MaxMessageLength = 65536
		stream := p.NewSIPStream()
		if err := stream.ParseSIPStream([]byte(strings.TrimLeft(whole, "\r\n")), func(sip.Message) {}); err != nil && !errors.Is(err, sip.ErrParseSipPartial) {
			t.Errorf("%q: %v", whole, err)
		}
	})
}
