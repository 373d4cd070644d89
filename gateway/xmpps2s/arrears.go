package xmpps2s

import (
	"time"

	"fedlab/gateway/im"
)

// arrears is presence of a domain pair that was lost on its way. A message that is lost goes back to its sender, who may write
// it again. Presence says how things are, and nobody would say it again before they change: who was shown as available would stay
// so after he is gone. So a link in arrears comes up again by itself, in its own growing intervals, and then has the present
// state told.
type arrears struct {
	owing bool
	due   time.Time // not to be told again before
	last  time.Time // the last loss
	times int       // losses in a row, each after the last telling
}

// calm is for how long nothing has to be lost for the next loss to count as the first one.
const calm = 3 * maxBackoff

// fail tells the sender of a stanza that it is lost. He is told before the arrears are noted: what he is to tell again he has to
// know when he is asked to.
func (l *link) fail(i item, f *im.Failure) {
	i.tell(f)
	if !i.shows || l.s.cfg.Presence == nil {
		return
	}
	l.mu.Lock()
	now, o := time.Now(), &l.owed
	if !o.owing {
		if now.Sub(o.last) > calm {
			o.times = 0
		}
		o.owing, o.due = true, now
		if o.times > 0 { // it may be what is told that ends the streams
			o.due = now.Add(l.s.backOff(o.times - 1))
		}
		o.times++
	}
	o.last = now
	l.mu.Unlock()
	l.rouse()
}

// due is when what is in arrears may be told again, zero if nothing is.
func (l *link) due() time.Time {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.owed.owing {
		return time.Time{}
	}
	return l.owed.due
}

// repay reports whether the present state is to be told now; what is lost of it is in arrears anew.
func (l *link) repay() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.owed.owing || time.Now().Before(l.owed.due) {
		return false
	}
	l.owed.owing = false
	return true
}
