package ocsedge

import (
	"bufio"
	"bytes"
	"encoding/xml"
	"fmt"
	"net/textproto"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"fedlab/sim/trace"
)

// reportDelay is how long after a text its report goes out.
const reportDelay = time.Second

// The content types of reports, and of the envelope of RFC 3862.
const (
	cpimType   = "message/cpim"
	reportType = "application/ms-imdn+xml"
)

// envelope is a message/cpim that came.
type envelope struct {
	head    map[string]string // the envelope's own header fields; those of RFC 5438 with the prefix imdn, whatever stood there
	content textproto.MIMEHeader
	body    string
}

// openEnvelope takes an envelope apart: two blocks of header fields, an empty line behind each (RFC 3862 §2).
func openEnvelope(b []byte) (envelope, error) {
	e := envelope{head: map[string]string{}}
	head, rest, ok := strings.Cut(string(b), "\r\n\r\n")
	if !ok {
		return e, fmt.Errorf("no end of the envelope's header fields")
	}
	prefix := "\x00"
	for line := range strings.SplitSeq(head, "\r\n") {
		name, value, ok := strings.Cut(line, ": ")
		if !ok {
			return e, fmt.Errorf("the line %q is no header field of an envelope", line)
		}
		if p, found := strings.CutSuffix(value, " <urn:ietf:params:imdn>"); name == "NS" && found {
			prefix = p + "."
		}
		if local, ours := strings.CutPrefix(name, prefix); ours {
			name = "imdn." + local
		}
		if _, twice := e.head[name]; twice && name != "imdn.IMDN-Route" {
			return e, fmt.Errorf("%s stands there twice", name)
		}
		e.head[name] = value
	}
	r := bufio.NewReader(strings.NewReader(rest))
	content, err := textproto.NewReader(r).ReadMIMEHeader()
	if err != nil {
		return e, fmt.Errorf("the content's header fields: %w", err)
	}
	e.content = content
	_, e.body, _ = strings.Cut(rest, "\r\n\r\n")
	if n := content.Get("Content-Length"); n != strconv.Itoa(len(e.body)) {
		return e, fmt.Errorf("Content-Length %q for %d bytes", n, len(e.body))
	}
	return e, nil
}

// sealed is an envelope that goes out.
func sealed(from, to, head, kind, body string) []byte {
	return fmt.Appendf(nil, "From: <sip:%s>\r\nTo: <sip:%s>\r\nNS: imdn <urn:ietf:params:imdn>\r\n%s\r\nContent-Type: %s\r\n\r\n%s", from, to, head, kind, body)
}

// letter gives the body of a text outside of a session and its type; one that asks is remembered under id until it is reported on.
func (e *Edge) letter(u *user, peer string, t text) (id, kind string, body []byte) {
	kind = "text/plain; charset=UTF-8"
	if !t.asks {
		return "", kind, []byte(t.body)
	}
	id = e.hex(20)
	e.reported[id] = sentText{u, peer, t}
	return id, cpimType, sealed(u.Address, peer, "DateTime: "+time.Now().UTC().Format(time.RFC3339)+"\r\nimdn.Message-ID: "+id+
		"\r\nimdn.Disposition-Notification: positive-delivery, negative-delivery\r\n", kind, t.body)
}

// sentText is a text of a user that will be reported on.
type sentText struct {
	u    *user
	peer string
	text text
}

// enveloped takes an envelope that came outside of a session: a text, which may ask for a report, or a report.
func (e *Edge) enveloped(a *ask, u *user) {
	env, err := openEnvelope(a.m.body)
	if err == nil && env.head["imdn.Message-ID"] == "" {
		err = fmt.Errorf("no Message-ID") // RFC 5438 §6.3
	}
	if err != nil {
		e.unexpected(a.l, a.raw, "an envelope that cannot be opened: %v", err)
		e.answer(a, 400)
		return
	}
	if env.content.Get("Content-Disposition") == "notification" {
		e.reportedOn(a, u, env)
		return
	}
	wanted := strings.Split(env.head["imdn.Disposition-Notification"], ", ")
	if _, err := time.Parse(time.RFC3339, env.head["DateTime"]); err != nil { // RFC 5438 §7.1.1.2
		e.unexpected(a.l, a.raw, "an envelope that asks for a report: %v", err)
	}
	if kind := env.content.Get("Content-Type"); kind != "text/plain; charset=UTF-8" {
		e.unexpected(a.l, a.raw, "an envelope with %s", kind)
	}
	e.answer(a, 200)
	status, asked := "failed", "negative-delivery"
	if e.quirks.Reports == "delivered" {
		status, asked = "delivered", "positive-delivery"
		u.showMessage(a.from.uri.aor(), env.body)
	}
	if !slices.Contains(wanted, asked) {
		return
	}
	e.after(reportDelay, func() {
		e.mail(u, a.from.uri.aor(), cpimType, sealed(u.Address, a.from.uri.aor(), "imdn.Message-ID: "+e.hex(20)+"\r\n", "message/imdn+xml\r\nContent-Disposition: notification",
			`<?xml version="1.0" encoding="UTF-8"?><imdn xmlns="urn:ietf:params:xml:ns:imdn"><message-id>`+env.head["imdn.Message-ID"]+`</message-id><datetime>`+env.head["DateTime"]+
				`</datetime><recipient-uri>sip:`+u.Address+`</recipient-uri><delivery-notification><status><`+status+`/></status></delivery-notification></imdn>`), func(int) {})
	})
}

// delivery is the one element of a report that tells a message delivered or failed.
var delivery = regexp.MustCompile(`^<delivery-notification><status><(delivered|failed)/></status></delivery-notification>$`)

// reportedOn takes the peer's report on a text of a user: one, and nothing asked for in it (RFC 5438 §7.2.1).
func (e *Edge) reportedOn(a *ask, u *user, env envelope) {
	var r struct {
		XMLName   xml.Name `xml:"urn:ietf:params:xml:ns:imdn imdn"`
		MessageID string   `xml:"message-id"`
		DateTime  string   `xml:"datetime"`
		Delivery  struct {
			Inner string `xml:",innerxml"`
		} `xml:"delivery-notification"`
	}
	err := xml.Unmarshal([]byte(env.body), &r)
	sent, known := e.reported[r.MessageID]
	said := delivery.FindStringSubmatch("<delivery-notification>" + r.Delivery.Inner + "</delivery-notification>")
	switch {
	case err != nil || said == nil || env.content.Get("Content-Type") != "message/imdn+xml" || env.head["imdn.Disposition-Notification"] != "":
		e.unexpected(a.l, a.raw, "a report that is none: %v", err)
		e.answer(a, 400)
		return
	case !known || sent.u != u || sent.peer != a.from.uri.aor():
		e.unexpected(a.l, a.raw, "a report on a text %q that nobody wrote to %s, or a second one", r.MessageID, a.from.uri.aor())
		e.answer(a, 200)
		return
	}
	delete(e.reported, r.MessageID)
	e.answer(a, 200)
	if said[1] == "failed" {
		u.showError(sent.peer, sent.text, 0)
		return
	}
	u.showReceipt(sent.peer, sent.text)
}

// named gives a text that came in a session the name that its report will bear, and has that go out (MS-CONFIM §3.3.2.5; that a client
// does so between two people is not known of OCS's own).
func (s *session) named(status int) field {
	s.names++
	id := strconv.Itoa(s.names)
	s.e.after(reportDelay, func() {
		if s.ended {
			return
		}
		m := s.compose("MESSAGE")
		m.add("Content-Type", reportType)
		m.body = fmt.Appendf(nil, `<?xml version="1.0" encoding="utf-8"?> <imdn xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xmlns:xsd="http://www.w3.org/2001/XMLSchema" `+
			`xmlns="http://schemas.microsoft.com/rtc/2005/08/imdn"> <message-id>%s</message-id> <recipient uri="&lt;sip:%s&gt;"> <status>%d</status> </recipient> </imdn>`, id, s.u.Address, status)
		s.request(m, answerTime, func(*message, error) {})
	})
	return field{"Message-Id", id}
}

// reportedOn takes the peer's report on a text of the session's user.
func (s *session) reportedOn(a *ask) {
	var r struct {
		XMLName   xml.Name `xml:"http://schemas.microsoft.com/rtc/2005/08/imdn imdn"`
		MessageID string   `xml:"message-id"`
		Recipient []struct {
			URI    string `xml:"uri,attr"`
			Status int    `xml:"status"`
		} `xml:"recipient"`
	}
	err := xml.Unmarshal(bytes.TrimSpace(a.m.body), &r)
	if err != nil || len(r.Recipient) != 1 || r.Recipient[0].URI != "<sip:"+s.peer+">" || r.Recipient[0].Status < 200 {
		s.e.unexpected(a.l, a.raw, "a report that is none: %v", err)
		s.e.answer(a, 400)
		return
	}
	s.e.answer(a, 200)
	t, known := s.reported[r.MessageID]
	switch status := r.Recipient[0].Status; {
	case !known:
		s.e.unexpected(a.l, a.raw, "a report on a text %q that has no such name, or a second one", r.MessageID)
	case status >= 300:
		s.u.showError(s.peer, t, status)
	default:
		s.u.showReceipt(s.peer, t)
	}
	delete(s.reported, r.MessageID)
}

func (u *user) showReceipt(from string, t text) {
	u.show(from, trace.Item{Type: trace.Receipt, ID: t.id, Body: t.body})
}
