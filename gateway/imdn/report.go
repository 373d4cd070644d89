package imdn

import (
	"bytes"
	"encoding/xml"
	"io"
	"mime"
	"mime/multipart"
	"strings"
	"time"
)

// Category is what a report is about. RFC 5438 §5
type Category string

// The categories.
const (
	Delivery   Category = "delivery"
	Processing Category = "processing"
	Display    Category = "display"
)

// Report says what became of one message: a message/imdn+xml.
type Report struct {
	MessageID string // of the message
	DateTime  string // of the message, RFC 3339
	Recipient string // URI; may be empty
	Original  string // URI that the sender wrote to; may be empty
	Category  Category
	Status    string // delivered, failed, forbidden, error; processed, stored; displayed
}

// Delivered reports whether the message has reached its recipient: what was displayed was delivered.
func (r Report) Delivered() bool {
	return r.Category == Delivery && r.Status == "delivered" || r.Category == Display && r.Status == "displayed"
}

// Failed reports whether the message was not delivered. "forbidden" and "error" say only that nothing is told.
func (r Report) Failed() bool { return r.Category == Delivery && r.Status == "failed" }

// statuses of the categories. RFC 5438 §11.1
var statuses = map[Category][]string{
	Delivery:   {"delivered", "failed", "forbidden", "error"},
	Processing: {"processed", "stored", "forbidden", "error"},
	Display:    {"displayed", "forbidden", "error"},
}

const nsReport = "urn:ietf:params:xml:ns:imdn"

type document struct {
	XMLName    xml.Name       `xml:"urn:ietf:params:xml:ns:imdn imdn"`
	MessageID  string         `xml:"urn:ietf:params:xml:ns:imdn message-id"`
	DateTime   string         `xml:"urn:ietf:params:xml:ns:imdn datetime"`
	Recipient  string         `xml:"urn:ietf:params:xml:ns:imdn recipient-uri"`
	Original   string         `xml:"urn:ietf:params:xml:ns:imdn original-recipient-uri"`
	Delivery   []notification `xml:"urn:ietf:params:xml:ns:imdn delivery-notification"`
	Processing []notification `xml:"urn:ietf:params:xml:ns:imdn processing-notification"`
	Display    []notification `xml:"urn:ietf:params:xml:ns:imdn display-notification"`
}

type notification struct {
	Status struct {
		All []struct{ XMLName xml.Name } `xml:",any"`
	} `xml:"urn:ietf:params:xml:ns:imdn status"`
}

// ReadReports reads the content of a notification: one report, or several that somebody on the way has put together (RFC 5438 §8.3).
// The error wraps [ErrMalformed].
func ReadReports(contentType string, body []byte) ([]Report, error) {
	kind, params, err := mime.ParseMediaType(contentType)
	if err != nil {
		return nil, malformed("Content-Type %.60q", contentType)
	}
	switch kind {
	case ReportType:
		r, err := readReport(body)
		return []Report{r}, err
	case "multipart/mixed":
		return readAll(body, params["boundary"])
	}
	return nil, malformed("a notification of type %.60s", kind)
}

func readAll(body []byte, boundary string) ([]Report, error) {
	if boundary == "" {
		return nil, malformed("a multipart without a boundary")
	}
	var all []Report
	parts := multipart.NewReader(bytes.NewReader(body), boundary)
	for range maxReports {
		p, err := parts.NextPart()
		if err != nil {
			break // the example of RFC 5438 §8.3 has no end either
		}
		if kind, _, err := mime.ParseMediaType(p.Header.Get("Content-Type")); err != nil || kind != ReportType {
			continue
		}
		content, err := io.ReadAll(p)
		if err != nil && len(content) == 0 {
			break
		}
		r, err := readReport(bytes.TrimSpace(content))
		if err != nil {
			return nil, err
		}
		all = append(all, r)
	}
	if len(all) == 0 {
		return nil, malformed("a notification without a report")
	}
	return all, nil
}

func readReport(body []byte) (Report, error) {
	var d document
	if err := readXML(body, &d); err != nil {
		return Report{}, err
	}
	r := Report{MessageID: strings.TrimSpace(d.MessageID), DateTime: strings.TrimSpace(d.DateTime), Recipient: strings.TrimSpace(d.Recipient), Original: strings.TrimSpace(d.Original)}
	if !ValidID(r.MessageID) {
		return Report{}, malformed("message-id %.60q names no message", r.MessageID)
	}
	if _, err := time.Parse(time.RFC3339, r.DateTime); err != nil {
		return Report{}, malformed("datetime %.60q is no time", r.DateTime)
	}
	said := 0
	for category, notes := range map[Category][]notification{Delivery: d.Delivery, Processing: d.Processing, Display: d.Display} {
		for _, n := range notes {
			said++
			r.Category, r.Status = category, n.status(category)
		}
	}
	if said != 1 || r.Status == "" {
		return Report{}, malformed("a report that says nothing, or too much")
	}
	return r, nil
}

// status is the one element that says it; extensions may stand beside it. Empty if there is none, or more than one.
func (n notification) status(of Category) string {
	found := ""
	for _, e := range n.Status.All {
		for _, s := range statuses[of] {
			if e.XMLName.Space != nsReport || e.XMLName.Local != s {
				continue
			}
			if found != "" {
				return ""
			}
			found = s
		}
	}
	return found
}

// Bytes is the report as it goes out. RFC 5438 §11.1
func (r Report) Bytes() []byte {
	var b strings.Builder
	leaf := func(name, value string) {
		if value != "" {
			b.WriteString("<" + name + ">" + escaped(value) + "</" + name + ">")
		}
	}
	b.WriteString(`<?xml version="1.0" encoding="UTF-8"?>` + "\r\n" + `<imdn xmlns="` + nsReport + `">`)
	leaf("message-id", r.MessageID)
	leaf("datetime", r.DateTime)
	leaf("recipient-uri", r.Recipient)
	leaf("original-recipient-uri", r.Original)
	b.WriteString("<" + string(r.Category) + "-notification><status><" + r.Status + "/></status></" + string(r.Category) + "-notification></imdn>\r\n")
	return []byte(b.String())
}
