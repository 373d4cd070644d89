package doctor

import (
	"fmt"
	"slices"
	"time"
)

// way is the way from one of our domains to a peer's.
type way struct {
	From     string    `json:"from"`
	To       string    `json:"to"`
	Up       bool      `json:"up"`
	Attempts []attempt `json:"attempts"`
}

// attempt is the gateway's own try to reach a server of a domain.
type attempt struct {
	At      time.Time `json:"at"`
	Target  string    `json:"target"`
	Address string    `json:"address"`
	Error   string    `json:"error"`
	Policy  bool      `json:"policy"`
}

// judgeWay finds a way that the settings of the two sides leave no room for. Nothing is said where opening a stream showed the reason already,
// or where the servers are out of reach now: then something else is in the way first.
func (x *exam) judgeWay(w way, farms []*farm) {
	if w.Up || len(w.Attempts) == 0 {
		return
	}
	last := w.Attempts[len(w.Attempts)-1]
	i := slices.IndexFunc(farms, func(f *farm) bool { return f.domain == w.To })
	if !last.Policy || time.Since(last.At) > recent || i < 0 || farms[i].stream == nil || farms[i].refuses() {
		return
	}
	said := fmt.Sprintf("from %s to %s by %s (%s): %s; last at %s", w.From, w.To, last.Target, last.Address, last.Error, day(last.At))
	x.find("xmpp.negotiation", w.To, said, farms[i].policies())
}
