package doctor

import (
	"cmp"
	"fmt"
	"slices"
	"time"
)

// silence is a connection of the running gateway that was found to be broken after nothing had passed for a while.
type silence struct {
	At       time.Time `json:"at"`
	Peer     string    `json:"peer"`
	OpenedBy string    `json:"opened_by"`
	Seconds  int       `json:"silence_seconds"`
	How      string    `json:"how"`
}

func (s silence) lasted() time.Duration { return time.Duration(s.Seconds) * time.Second }

// String is the break in words.
func (s silence) String() string {
	return fmt.Sprintf("a connection with %s, opened by the %s, broke after nothing had passed for %v: %s; %s", s.Peer, s.OpenedBy, s.lasted(), s.How, day(s.At))
}

const (
	yesterday  = 24 * time.Hour  // how long ago a connection may have broken: whoever is silent for half an hour does not break often
	together   = time.Minute     // what breaks within this time broke at once
	scatter    = 3 * time.Minute // how far silences lie apart that end by one clock: it takes up to so long until a dead connection is noticed
	mostBreaks = 4               // are shown
)

// judgeSilences finds that something on the way forgets connections on which nothing passes. The gateway's record holds no break after a silence that
// another connection with the same peer has lived through since, so what remains is to tell it from machines that crash and lines that are cut: those
// break what was silent for long and what was not at the same moment, and do not come back after the same silence.
func (x *exam) judgeSilences(port uint16, all []silence) {
	all = slices.DeleteFunc(slices.Clone(all), func(s silence) bool { return time.Since(s.At) > yesterday })
	alone := slices.DeleteFunc(slices.Clone(all), func(s silence) bool {
		return slices.ContainsFunc(all, func(o silence) bool {
			return s.At.Sub(o.At).Abs() <= together && (s.lasted()-o.lasted()).Abs() > together
		})
	})
	if len(alone) == 0 {
		return
	}
	shortest := slices.MinFunc(alone, func(a, b silence) int { return cmp.Compare(a.Seconds, b.Seconds) })
	alike := slices.DeleteFunc(alone, func(s silence) bool { return s.lasted()-shortest.lasted() > scatter })
	slices.SortFunc(alike, func(a, b silence) int { return a.At.Compare(b.At) })
	last := alike[len(alike)-1]
	if last.At.Sub(alike[0].At) <= together {
		return // once is no habit
	}
	evidence := []string{fmt.Sprintf("%d connections broke after a silence of %v or little more, and none with the same peer has outlived one since", len(alike), shortest.lasted())}
	for _, s := range alike[max(0, len(alike)-mostBreaks):] {
		evidence = append(evidence, s.String())
	}
	x.find("net.idle-timeout", fmt.Sprintf("port %d", port), evidence...)
}
