package load

import (
	"bufio"
	"fmt"
	"maps"
	"strings"
	"sync"
	"testing"
	"time"

	"fedlab/gateway/presence"
	"fedlab/gateway/store"
)

// audience is what both sides have seen of SIP users who watch XMPP users: SIP user n watches XMPP user n.
type audience struct {
	mu       sync.Mutex
	answered map[int]bool // the SUBSCRIBE was answered 200
	asked    map[int]bool // the XMPP user was asked
	active   map[int]bool // the SIP user was told that he may watch
	approve  *bufio.Writer
	waits    []wait
}

func (a *audience) reset() {
	a.mu.Lock()
	a.answered, a.asked, a.active = make(map[int]bool), make(map[int]bool), make(map[int]bool)
	a.mu.Unlock()
}

// stanza has every XMPP user approve at once.
func (a *audience) stanza(e []byte) {
	if tagName(e) != "presence" || attr(e, "type") != "subscribe" {
		return
	}
	n := numberOf(attr(e, "to"))
	a.mu.Lock()
	defer a.mu.Unlock()
	a.asked[n] = true
	fmt.Fprintf(a.approve, "<presence from='x%d@%s' to='u%d@%s' type='subscribed'/>", n, xmppDomain, n, sipDomain)
	_ = a.approve.Flush() // it fails when the gateway was killed
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

// The gateway is killed with SIGKILL in the middle of 10,000 subscriptions of SIP users, while XMPP users are asked and approve. What
// anybody was told by then is in the store: whose SUBSCRIBE was answered, who was asked, and who was told that he may watch.
// After the restart those may watch at once, nobody who approved for them is asked again, and the others can ask again.
func TestKilledInTheMiddleOfApprovals(t *testing.T) {
	people := sized(10000)
	all := make([]int, people)
	for n := range all {
		all[n] = n
	}
	d := deploy(t, "store: {path: fedgate.db}\n")
	a := &audience{}
	a.reset()
	d.farm.take(a.stanza)
	d.edge.take(a.notified, a.response)
	d.start()
	w := d.edge.up(t)
	a.approve = d.farm.dial(t, d.xmpp)

	half := a.when(func() bool { return len(a.active) >= people/2 })
	sent := make(chan struct{})
	go func() {
		defer close(sent)
		subscribe(w, "first", all)
	}()
	await(t, half, "half of the approvals")
	d.kill()
	<-sent
	d.farm.ended(t)

	a.mu.Lock()
	answered, asked, active := maps.Clone(a.answered), maps.Clone(a.asked), maps.Clone(a.active) // the last of what was sent may still be read
	a.mu.Unlock()
	kept := feedsIn(t, d.dir+"/fedgate.db")
	lost := 0
	for n := range all {
		switch {
		case active[n] && kept[n] != presence.Granted, (answered[n] || asked[n]) && kept[n] == presence.None:
			lost++
		}
	}
	if lost > 0 {
		t.Errorf("of %d subscriptions something was told that is not in the store", lost)
	}

	var before, rest []int
	for n := range all {
		if active[n] {
			before = append(before, n)
		} else {
			rest = append(rest, n)
		}
	}
	a.reset()
	linked := d.edge.next()
	began := time.Now()
	d.start()
	await(t, linked, "a link after the restart")
	source := d.farm.dial(t, d.xmpp)
	a.mu.Lock()
	a.approve = source
	a.mu.Unlock()
	w = d.edge.up(t)
	subscribe(w, "second", before)
	await(t, a.when(func() bool { return containsAll(a.active, before) }), "the permissions to hold")
	a.mu.Lock()
	again := len(a.asked)
	a.mu.Unlock()
	t.Logf("killed with %d of %d answered, %d asked, %d told that they may watch; %d in the store, %d subscriptions missing something there; after the restart "+
		"those told watch again within %v, and %d XMPP users were asked again", len(answered), people, len(asked), len(active), len(kept), lost,
		time.Since(began).Round(time.Millisecond), again)
	if again > 0 {
		t.Errorf("%d XMPP users who had approved were asked again", again)
	}
	subscribe(w, "third", rest)
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
