package load

import (
	"bufio"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// traffic sends numbered messages through the gateway both ways and measures how long each took from one peer's hand to the other's.
type traffic struct {
	d      *deployment
	source *bufio.Writer // XMPP
	talks  []talk        // sessions that SIP users have opened

	mu    sync.Mutex
	sent  map[string]time.Time // by the text
	took  [2][]time.Duration   // to SIP, to XMPP
	waits []wait
	wrong int // final responses other than 2xx, and error stanzas
}

// talk is a session that a SIP user has opened.
type talk struct {
	user, to, callID string // to is the To line with the gateway's tag
	cseq             int
}

const (
	toSIP = iota
	toXMPP
)

// converse opens a stream, and so many sessions of SIP users.
func (d *deployment) converse(sessions int) *traffic {
	d.t.Helper()
	c := &traffic{d: d, sent: make(map[string]time.Time)}
	link := d.edge.up(d.t)
	c.source = d.farm.dial(d.t, d.xmpp)
	opened := make(chan struct{})
	tags := make(map[string]string)
	d.edge.take(nil, func(m *sipMessage) {
		if m.status == 200 && strings.HasSuffix(m.cseq, "INVITE") {
			link.send("ACK", "sip:"+gatewayName, m.from, m.to, m.callID, 1, "", "")
			if tags[m.callID] = m.to; len(tags) == sessions {
				close(opened)
			}
		}
	})
	for n := range sessions {
		link.send("INVITE", fmt.Sprintf("sip:x%d@%s", n, xmppDomain), sipUser(n), fmt.Sprintf("<sip:x%d@%s>", n, xmppDomain), fmt.Sprintf("talk%d", n), 1,
			"Contact: <sip:"+edgeName+":5061;transport=tls;gruu>\r\nContent-Type: application/sdp\r\n", sdp)
	}
	link.flush()
	await(d.t, opened, "the sessions")
	for n := range sessions {
		id := fmt.Sprintf("talk%d", n)
		c.talks = append(c.talks, talk{user: sipUser(n), to: tags[id], callID: id, cseq: 1})
	}
	return c.again()
}

// again looks at what arrives as steady wants it.
func (c *traffic) again() *traffic {
	d := c.d
	d.farm.take(func(e []byte) {
		if tagName(e) != "message" || !strings.HasPrefix(child(e, "body"), "to ") {
			return
		}
		if attr(e, "type") == "error" {
			c.fail()
		} else {
			c.arrived(toXMPP, child(e, "body"))
		}
	})
	d.edge.take(func(w *wire, m *sipMessage) bool {
		if m.method == "MESSAGE" {
			c.arrived(toSIP, string(m.body))
		}
		return false
	}, func(m *sipMessage) {
		if m.status >= 300 {
			c.fail()
		}
	})
	return c
}

func sipUser(n int) string { return fmt.Sprintf("<sip:u%d@%s>;tag=t%d;epid=4f", n, sipDomain, n) }

// sdp is an OCS user's offer of an IM session.
const sdp = "v=0\r\no=- 0 0 IN IP4 10.10.20.7\r\ns=session\r\nc=IN IP4 10.10.20.7\r\nt=0 0\r\nm=message 5060 sip null\r\n"

func (c *traffic) arrived(way int, body string) {
	now := time.Now()
	c.mu.Lock()
	defer c.mu.Unlock()
	at, ok := c.sent[body]
	if !ok {
		return // what was sent before this measurement
	}
	delete(c.sent, body)
	c.took[way] = append(c.took[way], now.Sub(at))
	if len(c.waits) > 0 {
		c.waits = satisfied(c.waits)
	}
}

func (c *traffic) fail() {
	c.mu.Lock()
	c.wrong++
	c.mu.Unlock()
}

func (c *traffic) failures() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.wrong
}

// send sends one message, to be flushed.
func (c *traffic) send(way, n int) {
	body := fmt.Sprintf("to %d: a message of about fifty bytes, number %d", way, n)
	c.mu.Lock()
	c.sent[body] = time.Now()
	c.mu.Unlock()
	if way == toSIP {
		who := n % len(c.talks)
		fmt.Fprintf(c.source, "<message from='y%d@%s/r' to='v%d@%s' type='chat' id='m%d'><body>%s</body></message>", who, xmppDomain, who, sipDomain, n, body)
		return
	}
	t := &c.talks[n%len(c.talks)]
	t.cseq++
	c.d.edge.up(c.d.t).send("MESSAGE", "sip:"+gatewayName+":5061;transport=tls", t.user, t.to, t.callID, t.cseq, "Content-Type: text/plain; charset=UTF-8\r\n", body)
}

func (c *traffic) flush(way int) {
	if way == toSIP {
		_ = c.source.Flush()
	} else {
		c.d.edge.up(c.d.t).flush()
	}
}

// latencies are what a measurement gives: of messages each way.
type latencies struct {
	count         int
	p50, p99, max time.Duration
}

func (l latencies) String() string {
	return fmt.Sprintf("p50 %v, p99 %v, max %v of %d", l.p50.Round(10*time.Microsecond), l.p99.Round(10*time.Microsecond), l.max.Round(10*time.Microsecond), l.count)
}

func summary(took []time.Duration) latencies {
	if len(took) == 0 {
		return latencies{}
	}
	slices.Sort(took)
	return latencies{len(took), took[len(took)/2], took[len(took)*99/100], took[len(took)-1]}
}

// steady sends so many messages a second for a time, evenly spaced, both ways or one, and waits for the last to arrive.
func (c *traffic) steady(t testing.TB, perSecond int, long time.Duration, ways ...int) (all [2]latencies) {
	t.Helper()
	c.mu.Lock()
	c.took = [2][]time.Duration{}
	c.mu.Unlock()
	began := time.Now()
	due := func() int { return int(time.Since(began).Seconds() * float64(perSecond)) }
	tick := time.NewTicker(min(time.Second/time.Duration(perSecond), time.Millisecond))
	defer tick.Stop()
	for n := 0; time.Since(began) < long; {
		<-tick.C
		until := due()
		for _, way := range ways {
			for k := n; k < until; k++ {
				c.send(way, k)
			}
			c.flush(way)
		}
		n = until
	}
	c.settled(t)
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, way := range ways {
		all[way] = summary(c.took[way])
	}
	return all
}

// settled waits until everything that was sent has arrived.
func (c *traffic) settled(t testing.TB) {
	t.Helper()
	w := wait{func() bool { return len(c.sent) == 0 }, make(chan struct{})}
	c.mu.Lock()
	c.waits = satisfied(append(c.waits, w))
	c.mu.Unlock()
	await(t, w.done, "the messages that were sent")
}
