package imdn

import (
	"encoding/xml"
	"strconv"
	"strings"
)

// OCSReport says what became of one message, as OCS has it: the sender's side knows the message by the Message-Id in the 2xx to it,
// and Status is the SIP status that the recipient's side gave. Above 299 the message was not delivered. [MS-CONFIM] §2.2
type OCSReport struct {
	MessageID  string
	Recipients []OCSRecipient
}

// OCSRecipient is the fate of the message with one recipient.
type OCSRecipient struct {
	URI    string // without brackets
	Status int    // 100 to 699
}

// Delivered reports whether every recipient has got the message.
func (r OCSReport) Delivered() bool {
	for _, to := range r.Recipients {
		if to.Status < 200 || to.Status > 299 {
			return false
		}
	}
	return true
}

// Failed is the first recipient who has not got the message.
func (r OCSReport) Failed() (OCSRecipient, bool) {
	for _, to := range r.Recipients {
		if to.Status > 299 {
			return to, true
		}
	}
	return OCSRecipient{}, false
}

const nsOCS = "http://schemas.microsoft.com/rtc/2005/08/imdn"

type ocsDocument struct {
	XMLName   xml.Name `xml:"http://schemas.microsoft.com/rtc/2005/08/imdn imdn"`
	MessageID string   `xml:"http://schemas.microsoft.com/rtc/2005/08/imdn message-id"`
	Recipient []struct {
		URI    string   `xml:"uri,attr"`
		Status []string `xml:"http://schemas.microsoft.com/rtc/2005/08/imdn status"`
	} `xml:"http://schemas.microsoft.com/rtc/2005/08/imdn recipient"`
}

// ReadOCS reads an application/ms-imdn+xml. The error wraps [ErrMalformed].
func ReadOCS(body []byte) (OCSReport, error) {
	var d ocsDocument
	if err := readXML(body, &d); err != nil {
		return OCSReport{}, err
	}
	r := OCSReport{MessageID: strings.TrimSpace(d.MessageID)}
	if !ValidID(r.MessageID) {
		return OCSReport{}, malformed("message-id %.60q names no message", r.MessageID)
	}
	if len(d.Recipient) == 0 || len(d.Recipient) > maxReports {
		return OCSReport{}, malformed("a report about %d recipients", len(d.Recipient))
	}
	for _, to := range d.Recipient {
		uri := strings.Trim(to.URI, "<> \t\r\n") // the example of [MS-CONFIM] has it in brackets
		if len(to.Status) != 1 || uri == "" {
			return OCSReport{}, malformed("a recipient without URI or status")
		}
		status, err := strconv.Atoi(strings.TrimSpace(to.Status[0]))
		if err != nil || status < 100 || status > 699 {
			return OCSReport{}, malformed("status %.20q", to.Status[0])
		}
		r.Recipients = append(r.Recipients, OCSRecipient{uri, status})
	}
	return r, nil
}

// Bytes is the report as it goes out.
func (r OCSReport) Bytes() []byte {
	var b strings.Builder
	b.WriteString(`<?xml version="1.0" encoding="utf-8"?>` + "\r\n" + `<imdn xmlns="` + nsOCS + `"><message-id>` + escaped(r.MessageID) + `</message-id>`)
	for _, to := range r.Recipients {
		b.WriteString(`<recipient uri="` + escaped("<"+to.URI+">") + `"><status>` + strconv.Itoa(to.Status) + `</status></recipient>`)
	}
	b.WriteString("</imdn>\r\n")
	return []byte(b.String())
}
