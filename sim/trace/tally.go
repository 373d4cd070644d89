package trace

import (
	"strings"
	"time"
)

// Tally names a sort of messages of XMPP or SIP that one host has sent or received. They are counted, so that how many there were is
// known of those that are forgotten as well.
type Tally struct {
	Layer Layer
	Kind  string // Sent or Received
	Host  string
	Word  string // the first of the summary: "SUBSCRIBE", "200", "presence", "db:result"
}

// seconds is how many there were in each second that had any.
type seconds map[int64]int

// count counts a message. The caller holds r.mu.
func (r *Recorder) count(e Event) {
	if e.Layer != XMPP && e.Layer != SIP {
		return
	}
	word, _, _ := strings.Cut(e.Summary, " ")
	t := Tally{e.Layer, e.Kind, e.Host, word}
	if r.tallies[t] == nil {
		r.tallies[t] = seconds{}
	}
	r.tallies[t][e.At.Unix()]++
}

// Counted is how many of a sort there were.
type Counted struct {
	Total int
	Peak  int       // in one second, that of the clock
	At    time.Time // that second; zero if there were none
}

// Count says how many messages of a sort there were from a moment on, by whole seconds.
func (r *Recorder) Count(t Tally, since time.Time) Counted {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.tallies[t].from(since)
}

func (s seconds) from(since time.Time) Counted {
	var c Counted
	for second, n := range s {
		if second < since.Unix() {
			continue
		}
		c.Total += n
		if at := time.Unix(second, 0); n > c.Peak || n == c.Peak && at.Before(c.At) {
			c.Peak, c.At = n, at
		}
	}
	return c
}

// Tallies says how many messages there were of every sort.
func (r *Recorder) Tallies() map[Tally]Counted {
	r.mu.Lock()
	defer r.mu.Unlock()
	all := map[Tally]Counted{}
	for t, s := range r.tallies {
		all[t] = s.from(time.Time{})
	}
	return all
}
