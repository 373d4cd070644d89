package im

// Show is how available somebody is who is there at all (RFC 6121 §4.7.2.1). The zero Show is plain availability.
type Show string

// The shows.
const (
	Available Show = ""
	Chat      Show = "chat" // wants to talk
	Away      Show = "away"
	DND       Show = "dnd" // busy
	XA        Show = "xa"  // away for long
)

// Device is what a person shows on one device that is on line.
type Device struct {
	Resource string // names the device; may be empty
	Show     Show
	Priority int    // -128 to 127
	Status   string // in the person's words
	Lang     string // BCP 47 tag of Status, if known
}

// Presence is all that is known of one person: the devices that are on line. Without any the person is off line, and Status and
// Lang may hold the words he left with.
type Presence struct {
	Devices []Device
	Status  string
	Lang    string
}

// Best is the device that speaks for the person where only one can: the most available, among equals the one of the highest
// priority, then the first by name. False if the person is off line.
func (p Presence) Best() (Device, bool) {
	var best Device
	for i, d := range p.Devices {
		if i == 0 || d.Better(best) {
			best = d
		}
	}
	return best, len(p.Devices) > 0
}

// Better is the order of [Presence.Best].
func (d Device) Better(than Device) bool {
	if a, b := d.Show.rank(), than.Show.rank(); a != b {
		return a < b
	}
	if d.Priority != than.Priority {
		return d.Priority > than.Priority
	}
	return d.Resource < than.Resource
}

// rank orders shows from most to least available: available before away before busy, as RFC 8048 §6.2 has it in its example.
func (s Show) rank() int {
	switch s {
	case Chat:
		return 0
	case Available:
		return 1
	case Away:
		return 2
	case XA:
		return 3
	}
	return 4
}
