package pidf

import (
	"fmt"
	"mime"
	"strconv"
	"strings"

	"fedlab/gateway/im"
	"fedlab/gateway/translate"
)

// Decode reads a presence document by the media type in contentType. lang is the Content-Language, for words without a language
// of their own. The errors are [ErrType], [ErrNoState] and mistakes in the XML.
//
// The resources are those that the sender's tuples name, for telling them apart; OCS has none.
func Decode(contentType, lang string, body []byte) (im.Presence, error) {
	kind, _, err := mime.ParseMediaType(contentType)
	if kind == "" {
		return im.Presence{}, fmt.Errorf("%w: %.80q: %v", ErrType, contentType, err)
	}
	var read func(*node) (im.Presence, error)
	switch kind {
	case "application/pidf+xml":
		read = readPIDF
	case "application/msrtc-event-categories+xml":
		read = readCategories
	case "text/xml+msrtc.pidf":
		read = readLCS
	case "application/xpidf+xml":
		read = readXPIDF
	default:
		return im.Presence{}, fmt.Errorf("%w: %.80s", ErrType, kind)
	}
	root, err := parse(body)
	if err != nil {
		return im.Presence{}, err
	}
	p, err := read(root)
	if err != nil {
		return im.Presence{}, err
	}
	lang = translate.LanguageTag(lang)
	tidy := func(words, tag *string) {
		*words, _ = translate.SafeXMLText(shorten(*words))
		if *tag = translate.LanguageTag(*tag); *tag == "" && *words != "" {
			*tag = lang
		}
	}
	tidy(&p.Status, &p.Lang)
	for i := range p.Devices {
		tidy(&p.Devices[i].Status, &p.Devices[i].Lang)
	}
	return p, nil
}

func wrongRoot(root *node, want string) error {
	return fmt.Errorf("%w: the root is <%.40s>, not <%s>", ErrNoState, root.name.Local, want)
}

// readPIDF reads RFC 3863 with what it knows of RPID, of RFC 8048 and of OCS's habits. Unknown elements are ignored.
func readPIDF(root *node) (im.Presence, error) {
	if root.name.Local != "presence" {
		return im.Presence{}, wrongRoot(root, "presence")
	}
	var p im.Presence
	person := im.Available
	personNote := root.find("note")
	for _, n := range root.all("person") {
		if s, ok := activities(n); ok {
			person = s
		}
		if note := n.find("note"); note != nil {
			personNote = note
		}
	}
	known := false
	for _, t := range root.all("tuple") {
		status := t.find("status")
		basic := strings.ToLower(status.find("basic").words())
		if basic != "open" && basic != "closed" {
			continue
		}
		known = true
		note := t.find("note")
		if note == nil {
			note = personNote
		}
		if basic == "closed" {
			p.Status, p.Lang = note.words(), note.attr("lang")
			continue
		}
		if len(p.Devices) >= maxDevices {
			continue
		}
		d := im.Device{Resource: resourceOf(t.attr("id")), Show: person, Status: note.words(), Lang: note.attr("lang")}
		d.Priority = priorityOf(t.find("contact").attr("priority"))
		if s, ok := activities(status); ok {
			d.Show = s
		} else if s, ok := activities(t); ok {
			d.Show = s
		}
		if s, ok := showOf(status.find("show", "jabber:client").words()); ok {
			d.Show = s
		}
		p.Devices = append(p.Devices, d)
	}
	if !known { // RFC 3922 §5.2.11: a document that has only notes says nothing
		return p, fmt.Errorf("%w: no tuple says open or closed", ErrNoState)
	}
	if len(p.Devices) > 0 {
		p.Status, p.Lang = "", ""
	}
	return p, nil
}

// resourceOf undoes [TupleID] where an id looks like one of ours.
func resourceOf(id string) string {
	rest, ours := strings.CutPrefix(id, "ID-")
	if !ours {
		return id
	}
	var b strings.Builder
	for i := 0; i < len(rest); i++ {
		if rest[i] != '_' {
			b.WriteByte(rest[i])
			continue
		}
		c, err := strconv.ParseUint(rest[i+1:min(i+3, len(rest))], 16, 8)
		if err != nil || i+3 > len(rest) {
			return id
		}
		b.WriteByte(byte(c))
		i += 2
	}
	if r := b.String(); TupleID(r) == id {
		return r
	}
	return id
}

func showOf(s string) (im.Show, bool) {
	switch show := im.Show(s); show {
	case im.Chat, im.Away, im.DND, im.XA:
		return show, true
	}
	return im.Available, false
}

// activities reads RPID activities: elements named for the activity (RFC 4480 §3.2), or <activity/> elements with its name as
// the drafts had it and OCS still has. Of several the least available counts.
func activities(n *node) (im.Show, bool) {
	var best im.Device
	found := false
	consider := func(token string) {
		if s, ok := activityShow(token); ok && (!found || best.Better(im.Device{Show: s})) {
			best, found = im.Device{Show: s}, true
		}
	}
	for _, a := range n.all("activities") {
		for _, c := range a.children {
			if c.name.Local == "activity" {
				consider(c.words())
			} else {
				consider(c.name.Local)
			}
		}
	}
	if input := n.find("user-input"); input != nil && !found && input.words() == "idle" {
		consider("idle")
	}
	return best.Show, found
}

// activityShow gives the show of one activity, of RPID or of OCS.
func activityShow(token string) (im.Show, bool) {
	switch strings.ToLower(strings.TrimSpace(token)) {
	case "away", "idle", "inactive", "be-right-back", "breakfast", "lunch", "dinner", "meal", "in-transit", "steering", "travel", "shopping":
		return im.Away, true
	case "busy", "appointment", "meeting", "in-a-meeting", "in-a-conference", "on-the-phone", "performance", "presentation", "in-presentation",
		"do-not-disturb", "dnd", "urgent-interruptions-only", "worship":
		return im.DND, true
	case "vacation", "holiday", "off-work", "out-of-office", "permanent-absence", "sleeping", "xa":
		return im.XA, true
	case "available", "online", "other", "working", "playing", "tv", "spectator", "looking-for-work":
		return im.Available, true
	}
	return im.Available, false
}
