// Package pidf reads and writes the documents in which SIP says who is there: im.Presence values on one side, bytes on the other.
//
// [Encode] writes PIDF (RFC 3863), the one format that every SIP client reads, with the finer states in three dialects beside
// each other: <show/> as RFC 8048 recommends, RPID for the person (RFC 4480), and the activities that OCS's family of clients
// looks for inside <status/>. [Decode] reads PIDF and what OCS sends besides: its event categories, the documents of LCS 2005,
// and XPIDF. It is pure: no clock, no network; what it cannot read is an error, never a guess that somebody is there.
//
// A document is always the complete state of a person (RFC 3856 §6.8): every device that is on line is in it, the most
// available first, as some clients look only at the first.
package pidf

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"fedlab/gateway/im"
	"fedlab/gateway/translate"
)

// Type is the media type of what [Encode] writes.
const Type = "application/pidf+xml"

// AcceptedTypes are what [Decode] reads, best first, as they stand in an Accept header field.
const AcceptedTypes = "application/pidf+xml, application/msrtc-event-categories+xml, text/xml+msrtc.pidf, application/xpidf+xml"

// Errors of [Decode].
var (
	// ErrType: a media type that is not read here.
	ErrType = errors.New("pidf: not a type of presence document")
	// ErrNoState: a document that says nothing about whether the person is there: the last one stays in force.
	ErrNoState = errors.New("pidf: a document without a state")
)

// maxDevices bounds the tuples of a document, read or written.
const maxDevices = 50

// maxNote bounds a note, in bytes.
const maxNote = 2000

// Encode writes the document for who, with the time at which the state was entered; two different documents in a row need
// different times (RFC 3863 §4.1.7).
//
// The entity is a sip: URI and not the pres: URI of RFC 3863 §4.1.1: clients of OCS's family compare it with the contact's SIP
// URI (ocs-sip: they strip "sip:" and no other scheme).
func Encode(who im.Address, p im.Presence, at time.Time) []byte {
	var b builder
	uri := translate.SIP(who.Bare())
	stamp := at.UTC().Format("2006-01-02T15:04:05.000Z")
	b.raw(`<?xml version="1.0" encoding="UTF-8"?>` + "\n")
	b.raw(`<presence xmlns="urn:ietf:params:xml:ns:pidf" xmlns:dm="urn:ietf:params:xml:ns:pidf:data-model" xmlns:rpid="urn:ietf:params:xml:ns:pidf:rpid" entity="`).text(uri).raw(`">`)
	devices := sorted(p.Devices)
	for _, d := range devices {
		b.raw(`<tuple id="`).raw(TupleID(d.Resource)).raw(`"><status><basic>open</basic>`)
		if d.Show != im.Available {
			b.raw(`<show xmlns="jabber:client">`).text(string(d.Show)).raw(`</show>`) // RFC 8048 §6.2
		}
		if a := activity(d.Show); a != "" {
			b.raw(`<activities xmlns="urn:ietf:params:xml:ns:pidf:status:rpid-status"><activity>` + a + `</activity></activities>`)
		}
		b.raw(`</status><contact`)
		if d.Priority >= 0 {
			b.raw(` priority="` + Priority(d.Priority) + `"`)
		}
		b.raw(`>`).text(uri).raw(`</contact>`)
		b.note(d.Status, d.Lang)
		b.raw(`<timestamp>` + stamp + `</timestamp></tuple>`)
	}
	if len(devices) == 0 { // RFC 3922 §6.3.2: a document has a tuple even when nobody is there
		b.raw(`<tuple id="` + TupleID("") + `"><status><basic>closed</basic></status><contact>`).text(uri).raw(`</contact>`)
		b.note(p.Status, p.Lang)
		b.raw(`<timestamp>` + stamp + `</timestamp></tuple>`)
	} else if a := activity(devices[0].Show); a != "" {
		b.raw(`<dm:person id="person"><rpid:activities><rpid:` + a + `/></rpid:activities></dm:person>`) // RFC 4480 §3.2
	}
	b.raw(`</presence>`)
	return []byte(b.String())
}

// activity is the RPID activity that stands for a show, empty for none. DND only means busy: it must not hold traffic back
// (RFC 8048 §6.2).
func activity(s im.Show) string {
	switch s {
	case im.Away, im.XA:
		return "away"
	case im.DND:
		return "busy"
	}
	return ""
}

func sorted(devices []im.Device) []im.Device {
	out := append([]im.Device(nil), devices...)
	for i := 1; i < len(out); i++ {
		for j := i; j > 0 && out[j].Better(out[j-1]); j-- {
			out[j], out[j-1] = out[j-1], out[j]
		}
	}
	return out[:min(len(out), maxDevices)]
}

// TupleID makes a tuple's id of a resource: a valid xs:ID, different for different resources. RFC 8048 §6.2, RFC 3863 §4.1.2
func TupleID(resource string) string {
	const hex = "0123456789abcdef"
	var b strings.Builder
	b.WriteString("ID-")
	for i := 0; i < len(resource); i++ {
		c := resource[i]
		if c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '.' || c == '-' {
			b.WriteByte(c)
			continue
		}
		b.WriteByte('_')
		b.WriteByte(hex[c>>4])
		b.WriteByte(hex[c&15])
	}
	return b.String()
}

// Priority writes an XMPP priority from 0 to 127 as a contact's priority from 0 to 1: 0 is 0, 127 is 1, and every one in between
// is different. Negative ones are not mapped. RFC 8048 §6.2, note 4
func Priority(p int) string {
	thousandths := min(max(p, 0), 127) * 1000 / 127
	switch {
	case thousandths == 0:
		return "0"
	case thousandths == 1000:
		return "1"
	}
	return fmt.Sprintf("0.%03d", thousandths)
}

// priorityOf undoes [Priority]; what is out of range counts as absent, which is the lowest. RFC 3922 §5.2.13, RFC 3863 §4.1.5
func priorityOf(s string) int {
	s = strings.TrimSpace(s)
	whole, fraction, _ := strings.Cut(s, ".")
	if len(fraction) > 3 || strings.Trim(fraction, "0123456789") != "" {
		return 0
	}
	switch whole {
	case "1":
		if strings.Trim(fraction, "0") == "" {
			return 127
		}
		return 0
	case "0":
		n := 0
		for i := range 3 {
			n *= 10
			if i < len(fraction) {
				n += int(fraction[i] - '0')
			}
		}
		return min((n*127+999)/1000, 126)
	}
	return 0
}

// builder writes XML.
type builder struct{ strings.Builder }

func (b *builder) raw(s string) *builder { b.WriteString(s); return b }

func (b *builder) text(s string) *builder {
	s, _ = translate.SafeXMLText(s)
	for _, r := range s {
		switch r {
		case '&':
			b.WriteString("&amp;")
		case '<':
			b.WriteString("&lt;")
		case '>':
			b.WriteString("&gt;")
		case '"':
			b.WriteString("&#34;")
		case '\r':
			b.WriteString("&#13;")
		default:
			b.WriteRune(r)
		}
	}
	return b
}

func (b *builder) note(words, lang string) {
	if words == "" {
		return
	}
	b.raw(`<note`)
	if lang = translate.LanguageTag(lang); lang != "" {
		b.raw(` xml:lang="` + lang + `"`)
	}
	b.raw(`>`).text(shorten(words)).raw(`</note>`)
}

// shorten cuts a note that is too long, between characters.
func shorten(s string) string {
	if len(s) <= maxNote {
		return s
	}
	return strings.ToValidUTF8(s[:maxNote], "")
}
