package ocsedge

import (
	"encoding/xml"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// The content types of presence, in the order in which the server looks for them in a watcher's Accept (MS-PRES §1.3.3).
const (
	typeCategories = "application/msrtc-event-categories+xml"
	typeMSRTC      = "text/xml+msrtc.pidf"
	typePIDF       = "application/pidf+xml"
)

// status is a user's presence as the pool knows it: an availability number (MSFT st:availability) and a note.
type status struct {
	availability int
	note         string
}

// availabilities are the numbers that clients publish for the states that the trace names.
func availability(state string) (int, error) {
	switch state {
	case "available", "chat":
		return 3500, nil
	case "dnd":
		return 6500, nil // busy
	case "away", "xa":
		return 15500, nil
	case "unavailable":
		return 18500, nil
	}
	n, err := strconv.Atoi(state)
	if err != nil || n < 0 || n > 99999 {
		return 0, fmt.Errorf("ocsedge: %q is neither a state (available, away, dnd, xa, unavailable) nor an availability number", state)
	}
	return n, nil
}

// open says whether a number means that somebody is there.
func (s status) open() bool { return s.availability >= 3000 && s.availability < 18000 }

// activity is the RPID activity of a number, "" for none (RFC 4480 §3.2; ranges of st:availability).
func (s status) activity() string {
	switch n := s.availability; {
	case n >= 6000 && n < 12000:
		return "busy"
	case n >= 4500 && n < 6000, n >= 12000 && n < 18000:
		return "away"
	}
	return ""
}

// document writes a user's presence in one of the three types.
func (u *user) document(kind string, s status, now time.Time) []byte {
	switch kind {
	case typeCategories:
		return u.categories(s, now)
	case typeMSRTC:
		return u.msrtc(s)
	}
	return u.pidf(s)
}

// pidf is the document for federated clouds: one tuple, with the activity and the display name inside of it (MS-PRES §1.3.3).
func (u *user) pidf(s status) []byte {
	basic, activity, note := "closed", "", ""
	if s.open() {
		basic = "open"
		if a := s.activity(); a != "" {
			activity = "<rpid:activities><rpid:" + a + "/></rpid:activities>"
		}
	}
	if s.note != "" {
		note = "<note>" + escape(s.note) + "</note>"
	}
	return []byte(`<?xml version="1.0" encoding="utf-8"?>` +
		`<presence xmlns="urn:ietf:params:xml:ns:pidf" xmlns:rpid="urn:ietf:params:xml:ns:pidf:rpid" xmlns:ci="urn:ietf:params:xml:ns:pidf:cipid" entity="sip:` + escape(u.Address) + `">` +
		`<tuple id="0"><status><basic>` + basic + `</basic></status>` + activity + `<ci:display-name>` + escape(u.Name) + `</ci:display-name>` + note + `</tuple></presence>`)
}

// msrtc is the document of Live Communications Server 2005 (MS-SIP §2.2.1). Which aggregates the server makes of a number is
// inferred from the meanings of both.
func (u *user) msrtc(s status) []byte {
	where, what := 0, 0
	switch n := s.availability; {
	case n >= 3000 && n < 4500:
		where, what = 300, 400
	case n >= 4500 && n < 6000:
		where, what = 300, 200
	case n >= 6000 && n < 12000:
		where, what = 300, 600
	case n >= 12000 && n < 15000:
		where, what = 300, 300
	case n >= 15000 && n < 18000:
		where, what = 300, 100
	}
	return fmt.Appendf(nil, `<presentity xmlns="http://schemas.microsoft.com/09/2002/sip/presence" uri="sip:%s"><availability aggregate="%d" description=""/><activity aggregate="%d" description=""/><displayName name="%s"/><devices><devicePresence epid="%s"><availability aggregate="%d" description=""/><activity aggregate="%d" description=""/></devicePresence></devices></presentity>`,
		escape(u.Address), where, what, escape(u.Name), u.epid, where, what)
}

// categories is the document of OCS 2007 and later (MS-PRES §2.2.2).
func (u *user) categories(s status, now time.Time) []byte {
	at := now.UTC().Format("2006-01-02T15:04:05.000")
	note := ""
	if s.note != "" {
		note = `<category name="note" instance="0" publishTime="` + at + `"><note xmlns="http://schemas.microsoft.com/2006/09/sip/note"><body type="personal">` + escape(s.note) + `</body></note></category>`
	}
	return []byte(`<categories xmlns="http://schemas.microsoft.com/2006/09/sip/categories" uri="sip:` + escape(u.Address) + `">` +
		`<category name="state" instance="1" publishTime="` + at + `" container="100" version="1" expireType="user"><state xmlns="http://schemas.microsoft.com/2006/09/sip/state" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xsi:type="aggregateState"><availability>` + strconv.Itoa(s.availability) + `</availability></state></category>` +
		`<category name="contactCard" instance="0" publishTime="` + at + `" container="100" version="1"><contactCard xmlns="http://schemas.microsoft.com/2006/09/sip/contactcard"><identity><name><displayName>` + escape(u.Name) + `</displayName></name><email>` + escape(u.Address) + `</email></identity></contactCard></category>` +
		note + `</categories>`)
}

// readPIDF reads a peer's document as clients of the OCS family do: the first tuple with a basic status counts, its activities
// in the status or in the tuple, else those of the person (RFC 3863 §4.1, RFC 4480 §3; code). The result is a state of the trace.
func readPIDF(body []byte) (entity, state, note string, err error) {
	type activities struct {
		Names []struct {
			XMLName xml.Name
			Text    string `xml:",chardata"`
		} `xml:",any"`
	}
	var doc struct {
		XMLName xml.Name `xml:"urn:ietf:params:xml:ns:pidf presence"`
		Entity  string   `xml:"entity,attr"`
		Tuples  []struct {
			Status struct {
				Basic      string       `xml:"urn:ietf:params:xml:ns:pidf basic"`
				Show       string       `xml:"jabber:client show"`
				Activities []activities `xml:"activities"`
			} `xml:"urn:ietf:params:xml:ns:pidf status"`
			Activities []activities `xml:"activities"`
			Notes      []string     `xml:"urn:ietf:params:xml:ns:pidf note"`
		} `xml:"urn:ietf:params:xml:ns:pidf tuple"`
		Notes  []string `xml:"urn:ietf:params:xml:ns:pidf note"`
		Person []struct {
			Activities []activities `xml:"activities"`
		} `xml:"person"`
	}
	if err := xml.Unmarshal(body, &doc); err != nil {
		return "", "", "", fmt.Errorf("not PIDF: %w", err)
	}
	entity = strings.ToLower(strings.TrimPrefix(strings.TrimPrefix(doc.Entity, "sip:"), "pres:"))
	entity, _, _ = strings.Cut(entity, ";")
	state = "unavailable"
	var doing []activities
	for _, t := range doc.Tuples {
		switch strings.TrimSpace(t.Status.Basic) {
		case "open":
			if state != "unavailable" {
				continue
			}
			state = "available"
			doing = append(t.Status.Activities, t.Activities...)
			switch show := strings.TrimSpace(t.Status.Show); show {
			case "away", "xa", "dnd", "chat":
				state = show
			}
		case "closed", "":
		default:
			return "", "", "", fmt.Errorf("basic status %q", t.Status.Basic)
		}
		if note == "" && len(t.Notes) > 0 {
			note = t.Notes[0]
		}
	}
	for _, p := range doc.Person {
		doing = append(doing, p.Activities...)
	}
	if note == "" && len(doc.Notes) > 0 {
		note = doc.Notes[0]
	}
	if state == "available" {
		for _, a := range doing {
			for _, n := range a.Names {
				name := n.XMLName.Local
				if name == "activity" {
					name = strings.TrimSpace(n.Text)
				}
				switch name {
				case "away", "out-to-lunch", "be-right-back", "idle":
					state = "away"
				case "extended-away", "vacation", "permanent-absence", "sleeping":
					state = "xa"
				case "busy", "dnd", "do-not-disturb", "on-the-phone", "meeting", "in-a-meeting", "presentation":
					state = "dnd"
				}
			}
		}
	}
	return entity, state, note, nil
}

func escape(s string) string {
	var b strings.Builder
	_ = xml.EscapeText(&b, []byte(s)) // a Builder does not fail
	return b.String()
}
