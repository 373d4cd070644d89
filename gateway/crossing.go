package gateway

import (
	"sync"
	"sync/atomic"
	"time"

	"fedlab/gateway/im"
	"fedlab/gateway/route"
)

// crossing is the one way from one side of the gateway to the other: an im.Sink for the side that messages come from. It asks
// the route table, hands what is served to the other side, and sees to it that every message has exactly one outcome.
type crossing struct {
	came  route.Side
	table *route.Table
	to    im.Sink // set before any message comes
	count *counters

	mu       sync.Mutex // never held while an outcome or the other side is called
	stopping *im.Failure
	pending  map[*passage]struct{}
	idle     chan struct{} // closed when stopping and nothing is pending
}

func newCrossing(came route.Side, table *route.Table, count *counters) *crossing {
	return &crossing{came: came, table: table, count: count, pending: make(map[*passage]struct{})}
}

// passage is one message on its way through.
type passage struct {
	crossing *crossing
	outcome  im.Outcome
	kind     string
	since    time.Time
	done     atomic.Bool
}

// Send implements im.Sink.
func (c *crossing) Send(m im.Message, outcome im.Outcome) {
	p := &passage{crossing: c, outcome: outcome, kind: kindOf(&m), since: time.Now()}
	d := c.table.Decide(c.came, m.From, m.To)
	if d.Reason != route.Served {
		c.count.refused(c.came, d.Reason)
		p.tell(d.Why)
		return
	}
	c.mu.Lock()
	stopping := c.stopping
	if stopping == nil {
		c.pending[p] = struct{}{}
	}
	c.mu.Unlock()
	if stopping != nil {
		p.tell(stopping)
		return
	}
	c.to.Send(m, p.settle)
}

// settle is the outcome that the other side calls. Only the first call counts: at a stop the gateway settles what is left.
func (p *passage) settle(f *im.Failure) {
	if !p.done.CompareAndSwap(false, true) {
		return
	}
	p.tell(f)
	c := p.crossing
	c.mu.Lock()
	delete(c.pending, p)
	if c.idle != nil && len(c.pending) == 0 {
		close(c.idle)
		c.idle = nil
	}
	c.mu.Unlock()
}

func (p *passage) tell(f *im.Failure) {
	p.crossing.count.settled(p.crossing.came, p.kind, f, time.Since(p.since))
	p.outcome(f)
}

// refuse makes every further message come back with f. The channel is closed once no earlier message is on its way any more.
func (c *crossing) refuse(f *im.Failure) <-chan struct{} {
	idle := make(chan struct{})
	c.mu.Lock()
	defer c.mu.Unlock()
	c.stopping = f
	if len(c.pending) == 0 {
		close(idle)
	} else {
		c.idle = idle
	}
	return idle
}

// giveBack settles every message that is still on its way with f, and says how many there were.
func (c *crossing) giveBack(f *im.Failure) int {
	c.mu.Lock()
	left := make([]*passage, 0, len(c.pending))
	for p := range c.pending {
		left = append(left, p)
	}
	c.mu.Unlock()
	for _, p := range left {
		p.settle(f)
	}
	return len(left)
}

// waiting counts the messages on their way.
func (c *crossing) waiting() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.pending)
}

// kindOf names what a message carries, for the counters.
func kindOf(m *im.Message) string {
	switch {
	case m.Failure != nil:
		return "error"
	case m.Receipt != "":
		return "receipt"
	case m.Body == "":
		return "state"
	}
	return "message"
}
