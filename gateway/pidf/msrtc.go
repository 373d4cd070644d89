package pidf

import (
	"fmt"
	"strconv"
	"strings"

	"fedlab/gateway/im"
)

// readCategories reads OCS 2007's event categories: the state of the aggregateState, else of any other, and the note.
func readCategories(root *node) (im.Presence, error) {
	if root.name.Local != "categories" {
		return im.Presence{}, wrongRoot(root, "categories")
	}
	var state, note *node
	aggregate := false
	for _, c := range root.all("category") {
		switch c.attr("name") {
		case "state":
			s := c.find("state")
			if s == nil || s.find("availability") == nil { // a category without content is withdrawn
				continue
			}
			_, kind, _ := strings.Cut(":"+s.attr("type"), ":")
			if isAggregate := strings.HasSuffix(kind, "aggregateState"); state == nil || isAggregate && !aggregate {
				state, aggregate = s, isAggregate
			}
		case "note":
			if body := c.find("note").find("body"); body != nil {
				note = body
			}
		}
	}
	if state == nil {
		return im.Presence{}, fmt.Errorf("%w: no category with an availability", ErrNoState)
	}
	number, err := strconv.Atoi(state.find("availability").words())
	if err != nil {
		return im.Presence{}, fmt.Errorf("%w: availability %.20q", ErrNoState, state.find("availability").words())
	}
	show, open := availabilityShow(number)
	if !open {
		return im.Presence{Status: note.words(), Lang: note.attr("lang")}, nil
	}
	token := strings.ToLower(state.find("activity").attr("token"))
	if token == "off-work" || token == "out-of-office" {
		show = im.XA
	}
	d := im.Device{Show: show, Status: note.words(), Lang: note.attr("lang")}
	if d.Status == "" {
		d.Status = tokenWords(token)
	}
	return im.Presence{Devices: []im.Device{d}}, nil
}

// availabilityShow gives the show of an availability number; false for off line. The ranges are those of the server; numbers
// between the published values occur, so equality would not do.
func availabilityShow(n int) (im.Show, bool) {
	switch {
	case n < 3000 || n >= 18000:
		return im.Available, false
	case n < 4500:
		return im.Available, true
	case n < 6000: // available, idle
		return im.Away, true
	case n < 12000: // busy, busy and idle, do not disturb
		return im.DND, true
	}
	return im.Away, true // be right back, away
}

// tokenWords says in words what an activity token says beyond its availability.
func tokenWords(token string) string {
	switch token {
	case "on-the-phone":
		return "On the phone"
	case "in-a-conference":
		return "In a conference"
	case "in-a-meeting":
		return "In a meeting"
	case "in-presentation":
		return "Presenting"
	case "out-of-office":
		return "Out of office"
	case "off-work":
		return "Off work"
	case "be-right-back":
		return "Be right back"
	}
	return ""
}

// readLCS reads the document of LCS 2005: two aggregate numbers.
func readLCS(root *node) (im.Presence, error) {
	if root.name.Local != "presentity" && root.name.Local != "presence" {
		return im.Presence{}, wrongRoot(root, "presentity")
	}
	if p := root.find("presentity"); p != nil {
		root = p
	}
	availability, err := strconv.Atoi(root.find("availability").attr("aggregate"))
	if err != nil {
		return im.Presence{}, fmt.Errorf("%w: no aggregate availability", ErrNoState)
	}
	activity, err := strconv.Atoi(root.find("activity").attr("aggregate"))
	if err != nil {
		activity = 0
	}
	if availability < 100 {
		return im.Presence{}, nil
	}
	d := im.Device{Status: root.find("userInfo").find("note").words()}
	switch {
	case activity >= 500 && activity < 700: // on the phone, busy
		d.Show = im.DND
	case activity >= 100 && activity < 400, activity >= 700 && activity < 800: // away, out to lunch, idle, be right back
		d.Show = im.Away
	case availability < 200: // maybe there
		d.Show = im.Away
	}
	return im.Presence{Devices: []im.Device{d}}, nil
}

// readXPIDF reads the oldest of them: one atom with a status, and MSN's finer one beside it.
func readXPIDF(root *node) (im.Presence, error) {
	if root.name.Local != "presence" {
		return im.Presence{}, wrongRoot(root, "presence")
	}
	for _, atom := range root.all("atom") {
		address := atom.find("address")
		status := strings.ToLower(address.find("status").attr("status"))
		sub := address.find("msnsubstatus")
		if sub == nil {
			sub = address.find("msnstatus")
		}
		var d im.Device
		switch status {
		case "open":
		case "inuse":
			d.Show = im.DND
		case "closed":
			return im.Presence{}, nil
		default:
			continue
		}
		switch strings.ToLower(sub.attr("substatus")) {
		case "away", "idle", "berightback", "outtolunch":
			d.Show = im.Away
		case "busy", "onthephone":
			d.Show = im.DND
		}
		return im.Presence{Devices: []im.Device{d}}, nil
	}
	return im.Presence{}, fmt.Errorf("%w: no atom has a status", ErrNoState)
}
