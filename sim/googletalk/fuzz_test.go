package googletalk

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/iotest"
)

var streams = []string{
	strings.ReplaceAll(headerFmt, "%s", "from='contoso.com' to='gmail.com' version='1.0'") +
		"<db:result from='contoso.com' to='gmail.com'>key</db:result> \n" +
		"<message from='alice@contoso.com' to='bob@gmail.com' type='chat' id='1'><body xml:lang='en'>a &lt; b<![CDATA[ & ]]></body>" +
		"<cha:active xmlns:cha='http://jabber.org/protocol/chatstates'/></message></stream:stream>",
	"<stream xmlns='http://etherx.jabber.org/streams'><message xmlns='jabber:server'/><x:y xmlns:x='urn:z' x:a='1' a='2'/></stream>",
	"\ufeff<?xml version='1.0' encoding='UTF-8'?><a><b></c></a>",
	"<!DOCTYPE x [<!ENTITY a 'b'>]><a>&a;</a>",
	"<a><!-- c --></a>", "<a xmlns:b=''/>", "<a b='1' b='2'/>", "<a><a><a>", "<a>\xff</a>", "",
}

// transcript is what the reader makes of a stream, in words.
func transcript(src io.Reader) string {
	r := newReader(src)
	var b strings.Builder
	e, err := r.header()
	for err == nil {
		fmt.Fprintf(&b, "%s %s %v %q %q\n", e.space, e.local, e.attrs, e.text, e.raw)
		e, err = r.next()
	}
	fmt.Fprint(&b, err)
	return b.String()
}

// However the network cuts a stream, the reader sees the same.
func TestReaderSplits(t *testing.T) {
	for _, s := range streams {
		whole := transcript(strings.NewReader(s))
		if got := transcript(iotest.OneByteReader(strings.NewReader(s))); got != whole {
			t.Errorf("%.40q byte by byte:\n%s\nwhole:\n%s", s, got, whole)
		}
		for i := range s {
			got := transcript(io.MultiReader(strings.NewReader(s[:i]), strings.NewReader(s[i:])))
			if got != whole {
				t.Fatalf("%.40q cut at %d:\n%s\nwhole:\n%s", s, i, got, whole)
			}
		}
	}
}

// Each element's own bytes are known exactly.
func TestReaderRaw(t *testing.T) {
	r := newReader(strings.NewReader(streams[0]))
	if _, err := r.header(); err != nil {
		t.Fatal(err)
	}
	e, err := r.next()
	if err != nil || string(e.raw) != "<db:result from='contoso.com' to='gmail.com'>key</db:result>" {
		t.Fatalf("%s, %v", e.raw, err)
	}
	e, err = r.next()
	if err != nil || !strings.HasPrefix(string(e.raw), "<message") || !strings.HasSuffix(string(e.raw), "</message>") {
		t.Fatalf("%s, %v", e.raw, err)
	}
	if body := e.child(nsServer, "body"); body.text != "a < b & " || string(body.raw) != "<body xml:lang='en'>a &lt; b<![CDATA[ & ]]></body>" {
		t.Errorf("body %q, raw %s", body.text, body.raw)
	}
	if state := e.child(nsChatStates, "active"); state == nil || string(state.raw) != "<cha:active xmlns:cha='http://jabber.org/protocol/chatstates'/>" {
		t.Errorf("state %+v", state)
	}
	if _, err = r.next(); !errors.Is(err, errStreamClosed) {
		t.Error(err)
	}
}

// Whatever a stranger sends, the reader ends, says why, and never hands out more than its bounds allow.
func FuzzReader(f *testing.F) {
	for _, s := range streams {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		r := newReader(bytes.NewReader(data))
		_, err := r.header()
		for err == nil {
			var e *element
			if e, err = r.next(); err == nil {
				if len(e.raw) > maxElement || !bytes.HasPrefix(e.raw, []byte("<")) || !bytes.Contains(data, e.raw) {
					t.Fatalf("raw %q", e.raw)
				}
				summarize(e)
			}
		}
		if transcript(bytes.NewReader(data)) != transcript(iotest.OneByteReader(bytes.NewReader(data))) {
			t.Error("the reader depends on how the network cuts")
		}
	})
}
