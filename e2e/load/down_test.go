package load

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// fates is what became of numbered messages.
type fates struct {
	mu        sync.Mutex
	delivered map[int]int
	told      map[int]int // its sender was shown an error
	waits     []wait
}

func newFates() *fates { return &fates{delivered: make(map[int]int), told: make(map[int]int)} }

func (f *fates) note(in func(*fates) map[int]int, n int) {
	f.mu.Lock()
	in(f)[n]++
	f.waits = satisfied(f.waits)
	f.mu.Unlock()
}

func (f *fates) arrived(n int) { f.note(func(f *fates) map[int]int { return f.delivered }, n) }
func (f *fates) failed(n int)  { f.note(func(f *fates) map[int]int { return f.told }, n) }

// known gives a channel that is closed once the fate of so many messages is known.
func (f *fates) known(count int) <-chan struct{} {
	f.mu.Lock()
	defer f.mu.Unlock()
	w := wait{func() bool {
		both := 0
		for n := range f.told {
			if f.delivered[n] > 0 {
				both++
			}
		}
		return len(f.delivered)+len(f.told)-both >= count
	}, make(chan struct{})}
	f.waits = satisfied(append(f.waits, w))
	return w.done
}

// judge fails the test if a message came twice, or came although its sender was told that it did not.
func (f *fates) judge(t *testing.T, count int) {
	t.Helper()
	f.mu.Lock()
	defer f.mu.Unlock()
	for n := range count {
		if f.delivered[n]+f.told[n] != 1 {
			t.Errorf("message %d was delivered %d times and returned %d times", n, f.delivered[n], f.told[n])
		}
	}
}

// number is in the text of every message, and of what its sender is shown about it.
var number = regexp.MustCompile(`message number ([0-9]+),`)

func text(n int) string { return fmt.Sprintf("message number %d, of those that were sent", n) }

func numberIn(body string) int {
	if m := number.FindStringSubmatch(body); m != nil {
		n, _ := strconv.Atoi(m[1])
		return n
	}
	return -1
}

// watchFates lets both peers note what becomes of messages. fromSIP says which way they go.
func (d *deployment) watchFates(f *fates, fromSIP bool) {
	d.farm.take(func(e []byte) {
		if tagName(e) != "message" {
			return
		}
		switch n := numberIn(child(e, "body")); {
		case attr(e, "type") == "error" && !fromSIP:
			id, _ := strconv.Atoi(strings.TrimPrefix(attr(e, "id"), "m"))
			f.failed(id)
		case fromSIP && attr(e, "type") != "error":
			f.arrived(n)
		}
	})
	d.edge.take(func(w *wire, m *sipMessage) bool {
		if m.method == "MESSAGE" {
			switch n := numberIn(string(m.body)); {
			case fromSIP: // the gateway's own notice, in a session
				f.failed(n)
			default:
				f.arrived(n)
			}
		}
		return false
	}, func(m *sipMessage) {
		if fromSIP && m.status >= 300 && strings.HasSuffix(m.cseq, "MESSAGE") {
			n, _ := strconv.Atoi(strings.TrimPrefix(m.callID, "m"))
			f.failed(n)
		}
	})
}

// With one side's server down, nobody's message is answered with success and lost: it arrives when the server is back in time,
// or its sender is told. Down is: nothing listens, or connections are accepted and nothing is said.
func TestServerDown(t *testing.T) {
	count := sized(1000)
	for _, silent := range []bool{false, true} {
		for _, back := range []bool{false, true} {
			for _, fromSIP := range []bool{true, false} {
				way, kind, end := "XMPP to SIP", "refuses", "stays away"
				if fromSIP {
					way = "SIP to XMPP"
				}
				if silent {
					kind = "is silent"
				}
				if back {
					end = "comes back"
				}
				t.Run(strings.Join([]string{way, kind, end}, ", "), func(t *testing.T) {
					t.Parallel()
					d := deploy(t, "limits: {outcome: 3s}\n")
					f := newFates()
					d.watchFates(f, fromSIP)
					d.start()
					link := d.edge.up(t)
					if fromSIP {
						d.farm.down()
						if silent {
							d.farm.mute(true)
							d.farm.up(t)
						}
						for n := range count {
							link.send("MESSAGE", fmt.Sprintf("sip:x%d@%s", n, xmppDomain), fmt.Sprintf("<sip:u%d@%s>;tag=t%d", n, sipDomain, n),
								fmt.Sprintf("<sip:x%d@%s>", n, xmppDomain), fmt.Sprintf("m%d", n), 1, "Content-Type: text/plain\r\n", text(n))
						}
						link.flush()
					} else {
						source := d.farm.dial(t, d.xmpp)
						d.edge.down()
						if silent {
							d.edge.mute(true)
							d.edge.listen(t)
						}
						for n := range count {
							fmt.Fprintf(source, "<message from='x%d@%s/r' to='u%d@%s' type='chat' id='m%d'><body>%s</body></message>", n, xmppDomain, n, sipDomain, n, text(n))
						}
						check(t, source.Flush())
					}
					began := time.Now()
					if back {
						pause := time.NewTimer(time.Second / 2) // of the server: how long it is away
						<-pause.C
						if fromSIP {
							d.farm.down()
							d.farm.mute(false)
							d.farm.up(t)
						} else {
							d.edge.down()
							d.edge.mute(false)
							d.edge.listen(t)
						}
					}
					await(t, f.known(count), "the fate of every message")
					took := time.Since(began)
					d.stop() // what is still on its way arrives now
					f.judge(t, count)
					f.mu.Lock()
					t.Logf("%d messages: %d arrived, the senders of %d were told, within %v", count, len(f.delivered), len(f.told), took.Round(time.Millisecond))
					if back && !fromSIP && len(f.delivered) == 0 { // the SIP side's next hop is tried again for as long as messages wait
						t.Error("nothing arrived when the server was back in time")
					}
					f.mu.Unlock()
				})
			}
		}
	}
}
