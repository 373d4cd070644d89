package peers

import (
	"encoding/xml"
	"fmt"
	"strings"
)

const typePIDF = "application/pidf+xml"

// document is a presence document (RFC 3863) with the activity as RPID has it (RFC 4480 §3.2).
func document(address, state, status string) []byte {
	activity, note := "", ""
	switch state {
	case "dnd":
		activity = "<rpid:busy/>"
	case "away":
		activity = "<rpid:away/>"
	case "xa":
		activity = "<rpid:permanent-absence/>"
	}
	if activity != "" {
		activity = `<dm:person id="user"><rpid:activities>` + activity + `</rpid:activities></dm:person>`
	}
	if status != "" {
		note = "<note>" + escape(status) + "</note>"
	}
	return []byte(`<?xml version="1.0" encoding="UTF-8"?>
<presence xmlns="urn:ietf:params:xml:ns:pidf" xmlns:dm="urn:ietf:params:xml:ns:pidf:data-model" xmlns:rpid="urn:ietf:params:xml:ns:pidf:rpid" entity="sip:` +
		escape(address) + `"><tuple id="phone"><status><basic>open</basic></status>` + note + `</tuple>` + activity + `</presence>`)
}

// readDocument is the state in a presence document, in XMPP's words, and the note beside it. Of several tuples the first open one counts.
func readDocument(data []byte) (state, note string, err error) {
	type activities struct {
		All []struct{ XMLName xml.Name } `xml:",any"`
	}
	var d struct {
		XMLName xml.Name
		Note    string `xml:"note"`
		Tuples  []struct {
			Basic      string     `xml:"status>basic"`
			Show       string     `xml:"status>show"`
			Note       string     `xml:"note"`
			Activities activities `xml:"status>activities"`
		} `xml:"tuple"`
		Activities activities `xml:"person>activities"`
	}
	if err := xml.Unmarshal(data, &d); err != nil {
		return "", "", fmt.Errorf("the document cannot be read: %w", err)
	}
	if d.XMLName.Local != "presence" || len(d.Tuples) == 0 {
		return "", "", fmt.Errorf("the document is a %s with %d tuples (RFC 3863 §4.1)", d.XMLName.Local, len(d.Tuples))
	}
	note = d.Note
	for _, t := range d.Tuples {
		if t.Note != "" {
			note = t.Note
		}
		if strings.TrimSpace(t.Basic) != "open" {
			continue
		}
		if show := strings.TrimSpace(t.Show); show != "" {
			return show, note, nil
		}
		for _, a := range append(d.Activities.All, t.Activities.All...) {
			switch a.XMLName.Local {
			case "busy", "on-the-phone", "meeting", "presentation":
				return "dnd", note, nil
			case "away":
				return "away", note, nil
			case "permanent-absence", "vacation", "sleeping":
				return "xa", note, nil
			}
		}
		return "available", note, nil
	}
	return "unavailable", note, nil
}
