package ocsedge

import (
	"bytes"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/emiago/sipgo/sip"
)

const sample = "INVITE sip:bob@gmail.com SIP/2.0\r\n" +
	"v: SIP/2.0/TLS 10.11.12.33:61022;branch=z9hG4bK5D1F0A77.3C1D9E8B7A605F41;ms-internal-info=\"c,b;Q\", SIP/2.0/TLS 10.10.10.20:5061;branch=z9hG4bK1\r\n" +
	"Max-Forwards : 68\r\n" +
	"Via: SIP/2.0/TLS 10.10.20.7:50211;ms-received-cid=2B3C00\r\n" +
	"From: \"Berg, Anna\"<sip:anna@contoso.com>;tag=0c1f;\r\n\tepid=4f1a\r\n" +
	"t: <sip:bob@gmail.com>\r\n" +
	"CSeq: 1 INVITE\r\n" +
	"l: 5\r\n\r\nhello"

func TestReader(t *testing.T) {
	check := func(t *testing.T, r io.Reader) {
		t.Helper()
		rd := newReader(r)
		for range 2 {
			m, raw, err := rd.next()
			if err != nil {
				t.Fatal(err)
			}
			if string(raw) != sample {
				t.Errorf("raw is %q", raw)
			}
			if vias := m.list("Via"); len(vias) != 3 || vias[2] != "SIP/2.0/TLS 10.10.20.7:50211;ms-received-cid=2B3C00" {
				t.Errorf("Via %q", vias)
			}
			if from, err := parseAddress(m.get("From")); err != nil || from.tag() != "0c1f" || from.uri.aor() != "anna@contoso.com" || from.display != "Berg, Anna" {
				t.Errorf("From %+v, %v", from, err)
			}
			if m.get("Max-Forwards") != "68" || string(m.body) != "hello" || m.summary() != "INVITE sip:bob@gmail.com" {
				t.Errorf("message %+v", m)
			}
		}
		if _, _, err := rd.next(); err != io.EOF {
			t.Errorf("at the end: %v", err)
		}
	}
	stream := sample + "\r\n\r\n" + sample + "\r\n" // keep-alives between and behind
	check(t, strings.NewReader(stream))
	check(t, iotest.OneByteReader(strings.NewReader(stream)))
	for i := range stream {
		check(t, io.MultiReader(strings.NewReader(stream[:i]), strings.NewReader(stream[i:])))
	}
	for i := 1; i < len(sample); i++ {
		if _, _, err := newReader(strings.NewReader(sample[:i])).next(); err != io.ErrUnexpectedEOF {
			t.Fatalf("cut after %q: %v", sample[:i], err)
		}
	}
}

func TestReaderRefuses(t *testing.T) {
	var syntax syntaxError
	for name, text := range map[string]string{
		"an HTTP request":        "GET / HTTP/1.1\r\n\r\n",
		"bare line feeds":        strings.ReplaceAll(sample, "\r\n", "\n"),
		"no Content-Length":      "BYE sip:a@b SIP/2.0\r\nTo: <sip:a@b>\r\n\r\n",
		"two Content-Lengths":    "BYE sip:a@b SIP/2.0\r\nl: 0\r\nContent-Length: 0\r\n\r\n",
		"a negative length":      "BYE sip:a@b SIP/2.0\r\nl: -1\r\n\r\n",
		"a giant length":         "BYE sip:a@b SIP/2.0\r\nl: 5120001\r\n\r\n",
		"a status out of range":  "SIP/2.0 700 No\r\nl: 0\r\n\r\n",
		"a header without name":  "BYE sip:a@b SIP/2.0\r\n: x\r\nl: 0\r\n\r\n",
		"folding at the start":   "BYE sip:a@b SIP/2.0\r\n x\r\nl: 0\r\n\r\n",
		"two spaces":             "BYE  sip:a@b SIP/2.0\r\nl: 0\r\n\r\n",
		"an endless line":        strings.Repeat("x", 70<<10),
		"endlessly many headers": "BYE sip:a@b SIP/2.0\r\n" + strings.Repeat("X: y\r\n", 20<<10),
	} {
		if m, _, err := newReader(strings.NewReader(text)).next(); !errors.As(err, &syntax) {
			t.Errorf("%s: %v, %v", name, m, err)
		}
	}
}

func TestAddresses(t *testing.T) {
	for in, want := range map[string]address{
		"<sip:xmpp.jds.local:5061;transport=tls>":             {uri: uri{"sip", "", "xmpp.jds.local", "5061", ";transport=tls"}, whole: "sip:xmpp.jds.local:5061;transport=tls"},
		"sip:bob@GMail.com;tag=1":                             {uri: uri{"sip", "bob", "GMail.com", "", ""}, whole: "sip:bob@GMail.com", params: ";tag=1"},
		"\"a <b>\" <sip:a@[::1]:5061;gr=x>;epid=1":            {display: "a <b>", uri: uri{"sip", "a", "[::1]", "5061", ";gr=x"}, whole: "sip:a@[::1]:5061;gr=x", params: ";epid=1"},
		"<sip:a;b@c.d;opaque=user:epid:Qx;gruu>;ms-rrsig=a=b": {uri: uri{"sip", "a;b", "c.d", "", ";opaque=user:epid:Qx;gruu"}, whole: "sip:a;b@c.d;opaque=user:epid:Qx;gruu", params: ";ms-rrsig=a=b"},
	} {
		if got, err := parseAddress(in); err != nil || got != want {
			t.Errorf("%s: %+v, %v", in, got, err)
		}
	}
	for _, bad := range []string{"", "bob", "<sip:bob@gmail.com", "<tel:+1>", "<sip:@x>", "<sip:>", "<sip:a@b> x"} {
		if got, err := parseAddress(bad); err == nil {
			t.Errorf("%q is read as %+v", bad, got)
		}
	}
	if got := splitList(`<sip:a,b@c>;x="1,2" , <sip:d@e>`); !slices.Equal(got, []string{`<sip:a,b@c>;x="1,2"`, "<sip:d@e>"}) {
		t.Errorf("%q", got)
	}
}

func FuzzReader(f *testing.F) {
	f.Add([]byte(sample))
	f.Add([]byte("SIP/2.0 200 OK\r\nVia: SIP/2.0/TLS a;branch=z9hG4bK1\r\nCSeq: 1 BYE\r\nContent-Length: 0\r\n\r\n"))
	f.Add([]byte("\r\n\r\nOPTIONS sip:a@b SIP/2.0\r\nl:1\r\n\r\nx"))
	f.Fuzz(func(t *testing.T, data []byte) {
		r := newReader(bytes.NewReader(data))
		for {
			m, raw, err := r.next()
			if err != nil {
				return
			}
			if len(raw) > len(data) || !bytes.Contains(data, m.body) {
				t.Fatalf("read more than there is: %q", raw)
			}
			m.summary()
			_, _ = sip.ParseMessage(raw) // the second opinion must not fall over either
			for _, f := range m.fields {
				a, err := parseAddress(f.value)
				if err == nil && a.uri.host == "" {
					t.Fatalf("an address without host: %q", f.value)
				}
				a.tag()
				splitList(f.value)
			}
			// What was read can be written, and reads the same.
			again, _, err := newReader(bytes.NewReader(m.bytes())).next()
			if err != nil {
				t.Fatalf("written: %q: %v", m.bytes(), err)
			}
			if !slices.Equal(again.fields, m.fields) || !bytes.Equal(again.body, m.body) {
				t.Fatalf("%q became %q", m.bytes(), again.bytes())
			}
		}
	})
}

func FuzzPIDF(f *testing.F) {
	f.Add([]byte(`<presence xmlns="urn:ietf:params:xml:ns:pidf" entity="sip:bob@gmail.com"><tuple id="t1"><status><basic>open</basic></status></tuple></presence>`))
	f.Add((&user{User: User{Address: "alice@contoso.com", Name: "Al<ice"}}).pidf(status{6500, "a & b"}))
	f.Fuzz(func(t *testing.T, data []byte) {
		if _, state, _, err := readPIDF(data); err == nil && state == "" {
			t.Fatal("a document without a state")
		}
		_, _ = keyboardActivity(data)
	})
}

func TestDocuments(t *testing.T) {
	u := &user{User: User{Address: "alice@contoso.com", Name: "Al<ice"}}
	for state, want := range map[string]string{"available": "available", "away": "away", "dnd": "dnd", "xa": "away", "unavailable": "unavailable", "5000": "away", "7500": "dnd", "9500": "dnd", "12500": "away", "0": "unavailable"} {
		n, err := availability(state)
		if err != nil {
			t.Fatal(err)
		}
		entity, got, note, err := readPIDF(u.pidf(status{n, "a & b"}))
		if err != nil || entity != "alice@contoso.com" || got != want || note != "a & b" {
			t.Errorf("%s is read back as %q %q %q, %v", state, entity, got, note, err)
		}
	}
	if _, err := availability("asleep"); err == nil {
		t.Error("asleep is a state")
	}
	const head = `<presence xmlns="urn:ietf:params:xml:ns:pidf" xmlns:r="urn:ietf:params:xml:ns:pidf:rpid" xmlns:dm="urn:ietf:params:xml:ns:pidf:data-model" entity="pres:bob@gmail.com">`
	for body, want := range map[string]string{
		`<tuple id="a"><status><basic>closed</basic></status></tuple><tuple id="b"><status><basic>open</basic></status></tuple>`:                                                             "available",
		`<tuple id="a"><status><basic>open</basic><show xmlns="jabber:client">xa</show></status></tuple>`:                                                                                    "xa",
		`<tuple id="a"><status><basic>open</basic><activities><activity>away</activity></activities></status></tuple>`:                                                                       "away",
		`<tuple id="a"><status><basic>open</basic></status></tuple><dm:person id="p"><r:activities><r:busy/></r:activities></dm:person>`:                                                     "dnd",
		`<tuple id="a"><status><basic>closed</basic></status></tuple><dm:person xmlns:dm="urn:ietf:params:xml:ns:pidf:data-model" id="p"><r:activities><r:away/></r:activities></dm:person>`: "unavailable",
		``: "unavailable",
	} {
		if _, got, _, err := readPIDF([]byte(head + body + "</presence>")); err != nil || got != want {
			t.Errorf("%s: %q, %v; want %q", body, got, err, want)
		}
	}
	for _, bad := range []string{"", "<presence/>", head, head + `<tuple id="a"><status><basic>maybe</basic></status></tuple></presence>`} {
		if _, got, _, err := readPIDF([]byte(bad)); err == nil {
			t.Errorf("%q is read as %q", bad, got)
		}
	}
}
