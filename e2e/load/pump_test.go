package load

import (
	"fmt"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

// window is how many messages are on their way at a time where as many as possible are to go through: well below the 1000 that
// the gateway lets wait for one stream.
const window = 500

// pump counts messages, each once, and holds the sender back when too many are on their way.
type pump struct {
	seen    []atomic.Bool // by number
	count   atomic.Int64
	doubled atomic.Int64
	refused atomic.Int64
	room    chan struct{}
	all     chan struct{}
	over    sync.Once
}

func newPump(count int) *pump {
	return &pump{seen: make([]atomic.Bool, count), room: make(chan struct{}, 1), all: make(chan struct{})}
}

// arrived notes a message by its number.
func (p *pump) arrived(n int) {
	if n < 0 || n >= len(p.seen) {
		return
	}
	if p.seen[n].Swap(true) {
		p.doubled.Add(1)
		return
	}
	got := p.count.Add(1)
	if got%(window/8) == 0 {
		select {
		case p.room <- struct{}{}:
		default:
		}
	}
	if got == int64(len(p.seen)) {
		p.over.Do(func() { close(p.all) })
	}
}

// run calls send for every number, and flush before it waits; it returns when everything has arrived.
func (p *pump) run(t testing.TB, send func(n int), flush func()) {
	t.Helper()
	for n := range p.seen {
		for int64(n)-p.count.Load() >= window {
			flush()
			await(t, p.room, fmt.Sprintf("room for message %d; %d have arrived, %d were refused", n, p.count.Load(), p.refused.Load()))
		}
		send(n)
		if n%16 == 15 {
			flush()
		}
	}
	flush()
	await(t, p.all, "the last messages")
	if p.doubled.Load() > 0 || p.refused.Load() > 0 {
		t.Errorf("of %d messages %d came twice and %d were refused", len(p.seen), p.doubled.Load(), p.refused.Load())
	}
}

// beforeNumber is put before a message's number.
const beforeNumber = "a message of about fifty bytes, with the number "

func numberAfter(body string) int {
	rest, found := strings.CutPrefix(body, beforeNumber)
	if !found {
		return -1
	}
	n, err := strconv.Atoi(rest)
	if err != nil {
		return -1
	}
	return n
}

// pour sends so many messages one way as fast as they go through.
func (c *traffic) pour(t testing.TB, way, count int) {
	t.Helper()
	p := newPump(count)
	c.d.farm.take(func(e []byte) {
		if attr(e, "type") == "error" {
			p.refused.Add(1)
		} else if way == toXMPP {
			p.arrived(numberAfter(child(e, "body")))
		}
	})
	c.d.edge.take(func(_ *wire, m *sipMessage) bool {
		if way == toSIP && m.method == "MESSAGE" {
			p.arrived(numberAfter(string(m.body)))
		}
		return false
	}, func(m *sipMessage) {
		if m.status >= 300 {
			p.refused.Add(1)
		}
	})
	if way == toSIP {
		p.run(t, func(n int) {
			who := n % len(c.talks)
			fmt.Fprintf(c.source, "<message from='y%d@%s/r' to='v%d@%s' type='chat' id='m%d'><body>%s%d</body></message>", who, xmppDomain, who, sipDomain, n, beforeNumber, n)
		}, func() { _ = c.source.Flush() })
		return
	}
	link := c.d.edge.up(t)
	p.run(t, func(n int) {
		talk := &c.talks[n%len(c.talks)]
		talk.cseq++
		link.send("MESSAGE", "sip:"+gatewayName+":5061;transport=tls", talk.user, talk.to, talk.callID, talk.cseq, "Content-Type: text/plain; charset=UTF-8\r\n", beforeNumber+strconv.Itoa(n))
	}, link.flush)
}
