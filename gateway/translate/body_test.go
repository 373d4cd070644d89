package translate

import (
	"encoding/xml"
	"errors"
	"strings"
	"testing"
	"time"

	"fedlab/gateway/im"
)

func TestReadBody(t *testing.T) { t.Run("M04", testReadBody) }

func testReadBody(t *testing.T) {
	crlf := func(s string) string { return strings.ReplaceAll(s, "\n", "\r\n") }
	for _, c := range []struct{ name, kind, body, text, html string }{
		{"RFC 7572 §7: text/plain", "text/plain", "Art thou not Romeo, and a Montague?", "Art thou not Romeo, and a Montague?", ""},
		{"no type at all", "", "Hi", "Hi", ""},
		{"OCS's parameters", "text/plain; charset=UTF-8;msgr=WAAtAE0ATQBT", "grüße", "grüße", ""},
		{"an old charset", "text/plain; charset=iso-8859-1", "gr\xfc\xdfe", "grüße", ""},
		{"UTF-16 as Windows sends it", "text/plain; charset=utf-16le", "h\x00i\x00", "hi", ""},
		{"a byte that XML cannot carry", "text/plain", "a\x01b\x00c\xff", "a\ufffdb\ufffdc\ufffd", ""},
		{"RFC 7572 §7: text/html becomes XHTML and a plain body", "text/html", "<html><head><title>x</title></head><body><b>Hi</b> &amp; <i>bye</i><br>now</body></html>", "Hi & bye\nnow", "<strong>Hi</strong> &amp; <em>bye</em><br/>now"},
		{"text/rtf", "text/rtf", `{\rtf1\ansi{\fonttbl\f0\fswiss Helvetica;}\f0\pard Gr\'fc\u223\'dfe \{1\}\par there\par}`, "Grüße {1}\nthere", ""},
		{"the plain part of an alternative wins, the HTML one goes along", "multipart/alternative; boundary=b",
			crlf("--b\nContent-Type: text/html\n\n<p>Hello <script>x()</script>there</p>\n--b\nContent-Type: text/plain; charset=UTF-8\n\nHello\n--b--\n"), "Hello", "<p>Hello there</p>"},
		{"a part that is not understood is passed over", "multipart/alternative; boundary=\"x y\"",
			crlf("--x y\nContent-Type: application/x-ms-ink\n\nink\n--x y\nContent-Type: text/plain\nContent-Transfer-Encoding: quoted-printable\n\n=C3=BC=\n!\n--x y--\n"), "ü!", ""},
		{"a multipart that ends too early", "multipart/related; boundary=b", crlf("--b\n\nfirst\n--b\nContent-Type: text/pl"), "first", ""},
	} {
		got, err := ReadBody(c.kind, []byte(c.body))
		if err != nil || got.Text != c.text || got.HTML != c.html {
			t.Errorf("%s: %q, %q, %v; want %q, %q", c.name, got.Text, got.HTML, err, c.text, c.html)
		}
	}
	nested := "Content-Type: text/plain\r\n\r\nx"
	for _, b := range []string{"1", "2", "3", "4"} {
		nested = "Content-Type: multipart/mixed; boundary=" + b + "\r\n\r\n--" + b + "\r\n" + nested + "\r\n--" + b + "--\r\n"
	}
	for kind, body := range map[string]string{
		"text/x-msmsgsinvite":              "Application-Name: File Transfer",
		"image/gif":                        "GIF89a",
		"text/plain; charset=x-martian":    "?",
		"multipart/alternative":            "no boundary",
		"multipart/mixed; boundary=b":      "--b\r\n" + nested + "\r\n--b--\r\n",
		"multipart/related; boundary=b":    "--b\r\nContent-Type: image/gif\r\n\r\nGIF\r\n--b--\r\n",
		"/":                                "",
		"application/x-ms-mim; x=\"\r\n\"": "",
	} {
		if c, err := ReadBody(kind, []byte(body)); !errors.Is(err, ErrUnsupportedType) { // M04: these get 415
			t.Errorf("%s: %+v, %v", kind, c, err)
		}
	}
}

func TestXHTML(t *testing.T) {
	for _, c := range []struct{ name, in, out, text string }{
		{"XEP-0071 §9.1", `<p style='font-size:large'><em>Wow</em>, I&apos;m <span style='color:green'>green</span> with <strong>envy</strong>!</p>`,
			`<p style="font-size: large"><em>Wow</em>, I'm <span style="color: green">green</span> with <strong>envy</strong>!</p>`, "Wow, I'm green with envy!"},
		{"scripts and handlers vanish", `<p onclick="x()">a<script>b</script><a href="javascript:x()">c</a><a href="https://example.com/?a=1&amp;b=2">d</a></p>`,
			`<p>a<a>c</a><a href="https://example.com/?a=1&amp;b=2">d</a></p>`, "acd"},
		{"styles that load or overlay vanish", `<span style="color:red;background:url(http://x);position:fixed;font-family:Arial">x</span>`, `<span style="color: red; font-family: Arial">x</span>`, "x"},
		{"pictures become their words", `<img src="http://tracker/" alt="(smile)"/>`, "(smile)", "(smile)"},
		{"wrong nesting is mended", `<b>1<i>2</b>3</i><ul><li>4`, "<strong>1<em>2</em></strong>3<ul><li>4</li></ul>", "123\n4"},
		{"old HTML", `<FONT color="#ff0000">r</FONT><u>u</u><s>s</s>`, `<span style="color: #ff0000">r</span><span style="text-decoration: underline">u</span><span style="text-decoration: line-through">s</span>`, "rus"},
		{"characters that XML cannot carry", "a&#1;b\x02<!-- no -->", "a\ufffdb\ufffd", "a\ufffdb\ufffd"},
		{"markup in words stays words", "1 &lt; 2 &amp;&amp; &quot;x&quot;", "1 &lt; 2 &amp;&amp; &#34;x&#34;", `1 < 2 && "x"`},
	} {
		got := XHTML(c.in)
		if got != c.out || XHTML(got) != got {
			t.Errorf("%s:\n got %s\nthen %s\nwant %s", c.name, got, XHTML(got), c.out)
		}
		if text := PlainText(c.in); text != c.text {
			t.Errorf("%s: in words %q, want %q", c.name, text, c.text)
		}
	}
}

func FuzzXHTML(f *testing.F) {
	f.Add(`<p style="color:red">a<b>c</p>&#0;<a href=" javascript:x">`)
	f.Add("<svg><p></svg><textarea><title></p>")
	f.Add("<![CDATA[x]]><?xml?><!DOCTYPE x [<!ENTITY y 'z'>]>&y;")
	f.Fuzz(func(t *testing.T, s string) {
		got := XHTML(s)
		d := xml.NewDecoder(strings.NewReader("<body>" + got + "</body>"))
		depth := 0
		for {
			token, err := d.Token()
			if err != nil {
				if depth != 0 || err.Error() != "EOF" {
					t.Fatalf("%q becomes %q: %v", s, got, err)
				}
				break
			}
			switch token := token.(type) {
			case xml.StartElement:
				if depth++; depth > maxOpen+1 {
					t.Fatalf("too deep: %q", got)
				}
				for _, a := range token.Attr {
					if a.Name.Local != "href" && a.Name.Local != "style" {
						t.Fatalf("%q becomes %q", s, got)
					}
				}
			case xml.EndElement:
				depth--
			case xml.Comment, xml.ProcInst, xml.Directive:
				t.Fatalf("%q becomes %q", s, got)
			}
		}
		if again := XHTML(got); again != got {
			t.Fatalf("%q becomes %q, and that becomes %q", s, got, again)
		}
		if _, ok := SafeXMLText(PlainText(s)); !ok {
			t.Fatalf("%q in words is not fit for XML", s)
		}
	})
}

func FuzzReadBody(f *testing.F) {
	f.Add("text/rtf", []byte(`{\rtf1\ansi\uc2 \u-10179?\u-8704?x{\*\y z}\'4`))
	f.Add("multipart/alternative; boundary=b", []byte("--b\r\nContent-Type: text/html\r\n\r\n<p>\r\n--b--"))
	f.Add("text/plain; charset=utf-16", []byte{0xff, 0xfe, 0, 0xd8})
	f.Fuzz(func(t *testing.T, kind string, body []byte) {
		c, err := ReadBody(kind, body)
		if _, ok := SafeXMLText(c.Text + c.HTML); !ok {
			t.Fatalf("not fit for XML: %+v", c)
		}
		if err != nil && (c != Content{} || !errors.Is(err, ErrUnsupportedType)) {
			t.Fatalf("%+v with %v", c, err)
		}
		RTFText(body)
	})
}

// M16, M21: RFC 7573 Tables 3 and 4.
func TestTypingTables(t *testing.T) { t.Run("M16", testTypingTables) }

func testTypingTables(t *testing.T) {
	for state, want := range map[im.ChatState][2]bool{
		im.Active: {false, true}, im.Inactive: {false, true}, im.Paused: {false, true}, im.Composing: {true, true}, im.Gone: {false, false}, "": {false, false},
	} {
		if typing, say := Typing(state); typing != want[0] || say != want[1] {
			t.Errorf("%q: typing %v, say %v", state, typing, say)
		}
	}
	if ChatState(true) != im.Composing || ChatState(false) != im.Active {
		t.Error("Table 3")
	}
}

func TestReadTyping(t *testing.T) { t.Run("M21", testReadTyping) }

func testReadTyping(t *testing.T) {
	const head, ns = `<?xml version="1.0" encoding="UTF-8"?>`, `xmlns='urn:ietf:params:xml:ns:im-iscomposing'`
	for _, c := range []struct {
		body    string
		typing  bool
		lasting time.Duration
	}{
		{string(KeyboardActivity(true)), true, 0},
		{string(KeyboardActivity(false)), false, 0},
		{"<KeyboardActivity>\r\n  <status  status = 'type' />\r\n</KeyboardActivity>", true, 0},
		{`<KeyboardActivity><status status="dances"/></KeyboardActivity>`, false, 0},
		{string(IsComposing(true, 90*time.Second)), true, 90 * time.Second},
		{string(IsComposing(false, 0)), false, 0},
		{head + `<isComposing ` + ns + `><state>active</state></isComposing>`, true, 120 * time.Second}, // RFC 3994 §3.3
		{head + `<c:isComposing xmlns:c='urn:ietf:params:xml:ns:im-iscomposing'><c:state> active </c:state><c:refresh>60</c:refresh></c:isComposing>`, true, time.Minute},
		{head + `<isComposing ` + ns + `><state>pondering</state><refresh>60</refresh></isComposing>`, false, 0}, // RFC 3994 §3.2
		{head + `<isComposing ` + ns + `><state>active</state><refresh>-1</refresh></isComposing>`, true, 120 * time.Second},
	} {
		typing, lasting, err := ReadTyping([]byte(c.body))
		if err != nil || typing != c.typing || lasting != c.lasting {
			t.Errorf("%s: %v, %v, %v", c.body, typing, lasting, err)
		}
	}
	for _, bad := range []string{
		"", "type", "<KeyboardActivity/>", `<KeyboardActivity><status status="type">`, "<action>x</action>", "<isComposing><state>active</state></isComposing>",
		`<!DOCTYPE x [<!ENTITY e "e">]><KeyboardActivity><status status="type"/></KeyboardActivity>`,
		"<KeyboardActivity>" + strings.Repeat("<a/>", 300) + `<status status="type"/></KeyboardActivity>`,
	} {
		if typing, _, err := ReadTyping([]byte(bad)); !errors.Is(err, ErrNotTyping) || typing {
			t.Errorf("%.60s: %v, %v", bad, typing, err)
		}
	}
}

func FuzzReadTyping(f *testing.F) {
	f.Add(KeyboardActivity(true))
	f.Add(IsComposing(true, time.Minute))
	f.Fuzz(func(t *testing.T, b []byte) {
		if typing, lasting, err := ReadTyping(b); err != nil && (typing || lasting != 0) || lasting < 0 || lasting > 24*time.Hour {
			t.Fatal(typing, lasting, err)
		}
	})
}
