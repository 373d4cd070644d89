package imdn

import (
	"bytes"
	"errors"
	"reflect"
	"strconv"
	"strings"
	"testing"
)

// The examples of the specifications, as they stand there.
const (
	rfc5438Ask = `From: Alice <im:alice@example.com>
To: Bob <im:bob@example.com>
NS: imdn <urn:ietf:params:imdn>
imdn.Message-ID: 34jk324j
DateTime: 2006-04-04T12:16:49-05:00
imdn.Disposition-Notification: positive-delivery, negative-delivery
Content-type: text/plain
Content-length: 12

Hello World
`
	rfc5438Head = `From: Bob <im:bob@example.com>
To: Alice <im:alice@example.com>
NS: imdn <urn:ietf:params:imdn>
imdn.Message-ID: d834jied93rf
`
	rfc5438Delivered = `<?xml version="1.0" encoding="UTF-8"?>
<imdn xmlns="urn:ietf:params:xml:ns:imdn">
      <message-id>34jk324j</message-id>
      <datetime>2008-04-04T12:16:49-05:00</datetime>
     <recipient-uri>im:bob@example.com</recipient-uri>
      <original-recipient-uri
        >im:bob@example.com</original-recipient-uri>
      <delivery-notification>
         <status>
            <delivered/>
         </status>
      </delivery-notification>
    </imdn>
`
	rfc3862 = `From: MR SANDERS <im:piglet@100akerwood.com>
To: Depressed Donkey <im:eeyore@100akerwood.com>
DateTime: 2000-12-13T13:40:00-08:00
Subject: the weather will be fine today
Subject:;lang=fr beau temps prevu pour aujourd'hui
NS: MyFeatures <mid:MessageFeatures@id.foo.com>
MyFeatures.WackyMessageOption: Use-silly-font

Content-type: text/xml; charset=utf-8
Content-ID: <1234567890@foo.com>

<body>
Here is the text of my message.
</body>
`
	msConfim = `<?xml version="1.0" encoding="utf-8"?> <imdn xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xmlns:xsd="http://www.w3.org/2001/XMLSchema" xmlns="http://schemas.microsoft.com/rtc/2005/08/imdn"> <message-id>2</message-id> <recipient uri="&lt;sip:bob@contoso.com;opaque=user:epid:d7NL6_mHNFSL3I1rbITi2gAA;gruu&gt;"> <status>408</status> <entry> <key>ms-diagnostics</key> <value>6001;source="server.microsoft.com"; reason="Request Timeout";component="ImMcu" </value> </entry> </recipient> </imdn>`
)

var (
	rfc5438Displayed = strings.NewReplacer("delivery-", "display-", "delivered", "displayed").Replace(rfc5438Delivered)
	rfc5438Processed = strings.NewReplacer("delivery-", "processing-", "delivered", "processed").Replace(rfc5438Delivered)
	rfc5438Report    = rfc5438Head + "Content-type: message/imdn+xml\nContent-Disposition: notification\nContent-length: ...\n\n" + rfc5438Delivered
	rfc5438Several   = rfc5438Head + "Content-type: multipart/mixed;\n                   boundary=\"imdn-boundary\"\nContent-Disposition: notification\nContent-length: ...\n\n" +
		"--imdn-boundary\nContent-type: message/imdn+xml\n\n" + rfc5438Delivered + "\n--imdn-boundary\nContent-type: message/imdn+xml\n\n" + rfc5438Displayed + "\n--imdn-boundary\n"
)

// TestEnvelope: M22. The examples of RFC 5438 §7.1.1.3 and §7.2.1.1 and of RFC 3862 §5, with line ends of either kind.
func TestEnvelope(t *testing.T) {
	for name, c := range map[string]struct {
		body string
		want Envelope
	}{
		"RFC 5438 §7.1.1.3, reports are wanted": {rfc5438Ask, Envelope{
			From: "im:alice@example.com", To: "im:bob@example.com", DateTime: "2006-04-04T12:16:49-05:00", MessageID: "34jk324j",
			Delivered: true, Failed: true, ContentType: "text/plain", Body: []byte("Hello World\n"),
		}},
		"RFC 5438 §7.2.1.1, a report": {rfc5438Report, Envelope{
			From: "im:bob@example.com", To: "im:alice@example.com", MessageID: "d834jied93rf",
			Notification: true, ContentType: "message/imdn+xml", Body: []byte(rfc5438Delivered),
		}},
		"RFC 5438 §8.3, several reports": {rfc5438Several, Envelope{
			From: "im:bob@example.com", To: "im:alice@example.com", MessageID: "d834jied93rf",
			Notification: true, ContentType: `multipart/mixed; boundary="imdn-boundary"`, Body: []byte(rfc5438Several[strings.Index(rfc5438Several, "--imdn"):]),
		}},
		"RFC 3862 §5": {rfc3862, Envelope{
			From: "im:piglet@100akerwood.com", To: "im:eeyore@100akerwood.com", DateTime: "2000-12-13T13:40:00-08:00",
			Subject: "the weather will be fine today", ContentType: "text/xml; charset=utf-8", Body: []byte("<body>\nHere is the text of my message.\n</body>\n"),
		}},
		"RFC 5438 §6.1, any prefix, and routes": {"NS: x <urn:ietf:params:imdn>\nx.Message-ID: a\nx.IMDN-Record-Route: <sip:one@example.com>\nx.IMDN-Record-Route: Two <sip:two@example.com>\nx.Original-To: <im:list@example.com>\n" +
			"imdn.Message-ID: not ours\nx.Disposition-Notification: display;urgent, negative-delivery\n\n\ntext", Envelope{
			MessageID: "a", Failed: true, RecordRoutes: []string{"sip:one@example.com", "sip:two@example.com"}, OriginalTo: "im:list@example.com", Body: []byte("text"),
		}},
		"RFC 3862 §3, escapes": {`Subject: one\\two\"three\u00e9\nfour` + "\n\n\nx", Envelope{Subject: `one\two"threeé four`, Body: []byte("x")}},
		"base64":               {"\nContent-Type: text/plain\nContent-Transfer-Encoding: base64\n\naGVs\nbG8=\n", Envelope{ContentType: "text/plain", Body: []byte("hello")}},
		"quoted-printable":     {"\nContent-Transfer-Encoding: quoted-printable\n\nh=C3=A9\n", Envelope{Body: []byte("hé\n")}},
	} {
		for ends, body := range map[string]string{"LF": c.body, "CRLF": strings.ReplaceAll(c.body, "\n", "\r\n")} {
			t.Run(name+" "+ends, func(t *testing.T) {
				got, err := ReadEnvelope([]byte(body))
				if err != nil {
					t.Fatal(err)
				}
				got.Body = bytes.ReplaceAll(got.Body, []byte("\r\n"), []byte("\n"))
				if !reflect.DeepEqual(got, c.want) {
					t.Errorf("got  %+v\nwant %+v", got, c.want)
				}
			})
		}
	}
}

// TestBadEnvelope: what is not allowed is refused, and what must be understood is named.
func TestBadEnvelope(t *testing.T) {
	const ask = "NS: imdn <urn:ietf:params:imdn>\n"
	for name, c := range map[string]struct {
		body string
		want error
	}{
		"RFC 3862 §4, Require":       {"NS: MyFeatures <mid:MessageFeatures@id.foo.com>\nRequire: MyFeatures.VitalMessageOption\nMyFeatures.VitalMessageOption: Confirmation-requested\n\n\nx", ErrRequired},
		"nothing":                    {"", ErrMalformed},
		"no content":                 {"From: <im:a@b>\n", ErrMalformed},
		"no end of the content's":    {"\nContent-Type: text/plain\n", ErrMalformed},
		"no header field":            {"Hello World\n\n\n", ErrMalformed},
		"From twice":                 {"From: <im:a@b>\nFrom: <im:c@d>\n\n\nx", ErrMalformed},
		"no address":                 {"From: alice\n\n\nx", ErrMalformed},
		"a line in a line":           {"Subject: a\rFrom: <im:b@c>\n\n\nx", ErrMalformed},
		"Message-ID with a space":    {ask + "imdn.Message-ID: a b\n\n\nx", ErrMalformed},
		"Message-ID without end":     {ask + "imdn.Message-ID: " + strings.Repeat("x", 129) + "\n\n\nx", ErrMalformed},
		"a flood of routes":          {ask + strings.Repeat("imdn.IMDN-Record-Route: <sip:a@b>\n", 9) + "\n\nx", ErrMalformed},
		"a flood of header fields":   {strings.Repeat("Subject: x\n", 129) + "\n\nx", ErrMalformed},
		"DateTime":                   {"DateTime: yesterday\n\n\nx", ErrMalformed},
		"a bad escape":               {`Subject: \x` + "\n\n\nx", ErrMalformed},
		"half a surrogate":           {`Subject: \ud800` + "\n\n\nx", ErrMalformed},
		"content of unknown coding":  {"\nContent-Transfer-Encoding: x-gzip\n\nx", ErrMalformed},
		"content that is no base64":  {"\nContent-Transfer-Encoding: base64\n\n*", ErrMalformed},
		"broken UTF-8 in the header": {"Subject: \xff\n\n\nx", ErrMalformed},
		"two wishes":                 {ask + "imdn.Disposition-Notification: display\nimdn.Disposition-Notification: display\n\n\nx", ErrMalformed},
		"a namespace without URI":    {"NS: imdn\n\n\nx", ErrMalformed},
	} {
		if e, err := ReadEnvelope([]byte(c.body)); !errors.Is(err, c.want) {
			t.Errorf("%s: %+v, %v", name, e, err)
		}
	}
	if _, err := ReadEnvelope([]byte("NS: imdn <urn:ietf:params:imdn>\nRequire: imdn.Message-ID, Subject\n\n\nx")); err != nil {
		t.Error("what is known may be required:", err)
	}
}

// TestReport: M22. The examples of RFC 5438 §7.2.1.1, §7.2.1.2, §8.1 and §8.3.
func TestReport(t *testing.T) {
	want := Report{MessageID: "34jk324j", DateTime: "2008-04-04T12:16:49-05:00", Recipient: "im:bob@example.com", Original: "im:bob@example.com"}
	say := func(c Category, status string) Report { r := want; r.Category, r.Status = c, status; return r }
	several, err := ReadEnvelope([]byte(rfc5438Several))
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		kind, body string
		want       []Report
	}{
		"delivered": {ReportType, rfc5438Delivered, []Report{say(Delivery, "delivered")}},
		"failed":    {ReportType + "; charset=utf-8", strings.ReplaceAll(rfc5438Delivered, "<delivered/>", "<failed/><x:why xmlns:x='urn:x'/>"), []Report{say(Delivery, "failed")}},
		"displayed": {ReportType, rfc5438Displayed, []Report{say(Display, "displayed")}},
		"processed": {ReportType, rfc5438Processed, []Report{say(Processing, "processed")}},
		"several":   {several.ContentType, string(several.Body), []Report{say(Delivery, "delivered"), say(Display, "displayed")}},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := ReadReports(c.kind, []byte(c.body))
			if err != nil || !reflect.DeepEqual(got, c.want) {
				t.Fatalf("got  %+v (%v)\nwant %+v", got, err, c.want)
			}
			for _, r := range got {
				again, err := readReport(r.Bytes())
				if err != nil || again != r {
					t.Errorf("written and read again: %+v (%v)", again, err)
				}
				if delivered := r.Category != Processing && name != "failed"; r.Delivered() != delivered || r.Failed() != (name == "failed") {
					t.Errorf("%+v: delivered %v, failed %v", r, r.Delivered(), r.Failed())
				}
			}
		})
	}
	for _, silent := range []string{"forbidden", "error"} { // say nothing of the message
		if r := say(Delivery, silent); r.Delivered() || r.Failed() {
			t.Errorf("%s says something", silent)
		}
	}
}

func TestBadReport(t *testing.T) {
	change := func(old, new string) string { return strings.Replace(rfc5438Delivered, old, new, 1) }
	for name, body := range map[string]string{
		"empty": "", "no XML": "delivered", "cut off": rfc5438Delivered[:200], "two": rfc5438Delivered + rfc5438Delivered, "text behind": rfc5438Delivered + "x",
		"another namespace":    change("urn:ietf:params:xml:ns:imdn", "urn:example"),
		"a document type":      change("<imdn", "<!DOCTYPE imdn [<!ENTITY a 'b'>]><imdn"),
		"no message-id":        change("<message-id>34jk324j</message-id>", ""),
		"a message-id of two":  change("34jk324j", "34jk 324j"),
		"no time":              change("2008-04-04T12:16:49-05:00", "Friday"),
		"nothing said":         change("<delivered/>", ""),
		"a status of another":  change("<delivered/>", "<displayed/>"),
		"two statuses":         change("<delivered/>", "<delivered/><failed/>"),
		"two notifications":    change("<delivery-notification>", "<display-notification><status><displayed/></status></display-notification><delivery-notification>"),
		"longer than it may":   change("34jk324j", "34jk324j"+strings.Repeat(" ", maxDocument)),
		"declared as UTF-16":   change("UTF-8", "UTF-16"),
		"an entity of its own": change("im:bob", "&bob;"),
	} {
		if r, err := ReadReports(ReportType, []byte(body)); !errors.Is(err, ErrMalformed) {
			t.Errorf("%s: %+v, %v", name, r, err)
		}
	}
	for _, kind := range []string{"", "text/plain", "multipart/mixed", "multipart/mixed; boundary=x"} {
		if r, err := ReadReports(kind, []byte("--x\r\nContent-Type: text/plain\r\n\r\nhello\r\n--x--\r\n")); !errors.Is(err, ErrMalformed) {
			t.Errorf("%q: %+v, %v", kind, r, err)
		}
	}
}

// TestOCSReport: the example of [MS-CONFIM] §2.2, and what is refused.
func TestOCSReport(t *testing.T) {
	got, err := ReadOCS([]byte(msConfim))
	want := OCSReport{"2", []OCSRecipient{{"sip:bob@contoso.com;opaque=user:epid:d7NL6_mHNFSL3I1rbITi2gAA;gruu", 408}}}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Fatalf("got  %+v (%v)\nwant %+v", got, err, want)
	}
	for status, c := range map[int]struct{ delivered, failed bool }{180: {false, false}, 200: {true, false}, 202: {true, false}, 300: {false, true}, 480: {false, true}} {
		r := OCSReport{`"2"<&>`, []OCSRecipient{{"sip:bob@contoso.com", status}}}
		again, err := ReadOCS(r.Bytes())
		if err != nil || !reflect.DeepEqual(again, r) {
			t.Errorf("written and read again: %+v (%v)", again, err)
		}
		if _, failed := again.Failed(); again.Delivered() != c.delivered || failed != c.failed {
			t.Errorf("%d: delivered %v, failed %v", status, again.Delivered(), failed)
		}
	}
	for name, body := range map[string]string{
		"RFC 5438's": rfc5438Delivered, "nobody": strings.Replace(msConfim, "recipient", "x", 2), "empty": "",
		"no status": strings.Replace(msConfim, "<status>408</status>", "", 1), "no number": strings.Replace(msConfim, "408", "late", 1),
		"no SIP": strings.Replace(msConfim, "408", strconv.Itoa(1000), 1), "no message-id": strings.Replace(msConfim, ">2<", "><", 1),
	} {
		if r, err := ReadOCS([]byte(body)); !errors.Is(err, ErrMalformed) {
			t.Errorf("%s: %+v, %v", name, r, err)
		}
	}
}
