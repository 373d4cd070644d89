package load

import (
	"bufio"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"

	"fedlab/gateway/presence"
	"fedlab/gateway/store"
)

// audience is what both sides have seen of SIP users who watch XMPP users: SIP user n watches XMPP user n.
type audience struct {
	mu       sync.Mutex
	answered map[int]bool  // the SUBSCRIBE was answered 200
	asked    map[int]bool  // the XMPP user was asked
	active   map[int]bool  // the SIP user was told that he may watch
	approve  *bufio.Writer // where XMPP users who are asked approve at once; nil: they have not decided
	waits    []wait
}

// live begins a life of the gateway, of which nothing has been seen yet, and gives its links with both sides.
func (a *audience) live(d *deployment, approve bool) (*wire, *bufio.Writer) {
	a.mu.Lock()
	a.answered, a.asked, a.active, a.approve = make(map[int]bool), make(map[int]bool), make(map[int]bool), nil
	a.mu.Unlock()
	linked := d.edge.next()
	d.start()
	await(d.t, linked, "a link from the gateway")
	source := d.farm.dial(d.t, d.xmpp)
	if approve {
		a.mu.Lock()
		a.approve = source
		a.mu.Unlock()
	}
	return d.edge.up(d.t), source
}

// approval is what an XMPP user says to the SIP user who has asked.
func approval(w *bufio.Writer, n int) {
	fmt.Fprintf(w, "<presence from='x%d@%s' to='u%d@%s' type='subscribed'/>", n, xmppDomain, n, sipDomain)
}

func (a *audience) stanza(e []byte) {
	if tagName(e) != "presence" || attr(e, "type") != "subscribe" {
		return
	}
	n := numberOf(attr(e, "to"))
	a.mu.Lock()
	defer a.mu.Unlock()
	a.asked[n] = true
	if a.approve != nil {
		approval(a.approve, n)
		_ = a.approve.Flush() // it fails when the gateway was killed
	}
	a.waits = satisfied(a.waits)
}

// notified takes a NOTIFY, which is answered as every request is.
func (a *audience) notified(_ *wire, m *sipMessage) bool {
	if m.method == "NOTIFY" && strings.HasPrefix(m.state, "active") {
		a.mu.Lock()
		a.active[numberOf(address(m.to))] = true
		a.waits = satisfied(a.waits)
		a.mu.Unlock()
	}
	return false
}

func (a *audience) response(m *sipMessage) {
	if m.status == 200 && strings.HasSuffix(m.cseq, "SUBSCRIBE") {
		a.mu.Lock()
		a.answered[numberOf(address(m.from))] = true
		a.waits = satisfied(a.waits)
		a.mu.Unlock()
	}
}

func (a *audience) when(until func() bool) <-chan struct{} {
	a.mu.Lock()
	defer a.mu.Unlock()
	w := wait{until, make(chan struct{})}
	a.waits = satisfied(append(a.waits, w))
	return w.done
}

// subscribe has SIP users watch, each in a dialog of its own whose name begins with life.
func subscribe(w *wire, life string, users []int) {
	for i, n := range users {
		w.send("SUBSCRIBE", fmt.Sprintf("sip:x%d@%s", n, xmppDomain), fmt.Sprintf("<sip:u%d@%s>;tag=%s", n, sipDomain, life), fmt.Sprintf("<sip:x%d@%s>", n, xmppDomain),
			fmt.Sprintf("%s-%d", life, n), 1, "Event: presence\r\nAccept: application/pidf+xml\r\nExpires: 3600\r\nContact: <sip:"+edgeName+":5061;transport=tls>\r\n", "")
		if i%50 == 49 {
			w.flush()
		}
	}
	w.flush()
}

// The gateway is killed with SIGKILL twice: in the middle of 10,000 SIP users who ask to watch, and in the middle of the approvals.
// What anybody was told by then is in the store: whose SUBSCRIBE was answered, who was asked, who was told that he may watch.
// Those may watch at once after the second restart, and nobody who approved for them is asked again.
func TestKilledInTheMiddleOfApprovals(t *testing.T) {
	people := sized(10000)
	all := make([]int, people)
	for n := range all {
		all[n] = n
	}
	d := deploy(t, "store: {path: fedgate.db}\n")
	a := &audience{}
	d.farm.take(a.stanza)
	d.edge.take(a.notified, a.response)
	// until subscribes people and kills the gateway when a condition holds. It gives what was seen of this life, and what is in the store.
	until := func(w *wire, life string, users []int, half func() bool) (seen *audience, kept map[int]presence.Auth) {
		reached := a.when(half)
		sent := make(chan struct{})
		go func() {
			defer close(sent)
			subscribe(w, life, users)
		}()
		await(t, reached, "half of the "+life+" subscriptions")
		d.kill()
		<-sent
		d.farm.ended(t)
		a.mu.Lock()
		seen = &audience{answered: maps.Clone(a.answered), asked: maps.Clone(a.asked), active: maps.Clone(a.active)} // the last of what was sent may still be read
		a.mu.Unlock()
		return seen, feedsIn(t, d.dir+"/fedgate.db")
	}

	w, _ := a.live(d, false)
	first, kept := until(w, "first", all, func() bool { return len(a.answered) >= people/2 })
	var before []int
	missing := 0
	for n := range all {
		if first.answered[n] || first.asked[n] {
			before = append(before, n)
			if kept[n] != presence.Asked {
				missing++
			}
		}
	}
	t.Logf("killed with %d of %d answered and %d asked: %d in the store, %d missing there", len(first.answered), people, len(first.asked), len(kept), missing)
	if missing > 0 {
		t.Errorf("%d subscriptions were answered, or people asked for them, and are not in the store", missing)
	}

	w, source := a.live(d, true)
	for _, n := range before { // they decide now on what they were asked before
		approval(source, n)
	}
	check(t, source.Flush())
	second, kept := until(w, "second", before, func() bool { return len(a.active) >= len(before)/2 })
	missing = 0
	for n := range second.active {
		if kept[n] != presence.Granted {
			missing++
		}
	}
	t.Logf("killed with %d of %d told that they may watch: %d of the permissions missing in the store", len(second.active), len(before), missing)
	if missing > 0 {
		t.Errorf("%d were told that they may watch, and the store does not know it", missing)
	}

	w, _ = a.live(d, true)
	granted := slices.Collect(maps.Keys(second.active))
	subscribe(w, "third", granted)
	await(t, a.when(func() bool { return containsAll(a.active, granted) }), "the permissions to hold")
	a.mu.Lock()
	again := len(a.asked)
	a.mu.Unlock()
	if again > 0 {
		t.Errorf("%d XMPP users who had approved were asked again", again)
	}
	rest := slices.DeleteFunc(all, func(n int) bool { return second.active[n] })
	subscribe(w, "fourth", rest)
	await(t, a.when(func() bool { return len(a.active) == people }), "the rest of the subscriptions")
}

// feedsIn reads the store's file, as the gateway's next start will.
func feedsIn(t *testing.T, path string) map[int]presence.Auth {
	t.Helper()
	s, err := store.Open(path)
	check(t, err)
	kept := make(map[int]presence.Auth)
	check(t, s.All(func(r store.Record) bool {
		kept[numberOf(r.SIP.Local)] = r.Feed
		return true
	}))
	check(t, s.Close())
	return kept
}
