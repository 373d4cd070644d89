package load

import (
	"bufio"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"fedlab/gateway/im"
	"fedlab/gateway/presence"
	"fedlab/gateway/store"
)

// rosters is what the XMPP users' server knows of their subscriptions to SIP users: user n watches SIP user n.
type rosters struct {
	mu       sync.Mutex
	accepted map[int]bool            // "subscribed" has come
	shown    map[int]map[string]bool // the devices that are shown as available
	waits    []wait
}

// wait is somebody who waits until what is known satisfies him.
type wait struct {
	until func() bool
	done  chan struct{}
}

func newRosters() *rosters {
	return &rosters{accepted: make(map[int]bool), shown: make(map[int]map[string]bool)}
}

// stanza takes a presence stanza of the gateway. To a client, unavailable from a bare address takes every device away.
func (r *rosters) stanza(e []byte) {
	if tagName(e) != "presence" {
		return
	}
	from, resource, _ := strings.Cut(attr(e, "from"), "/")
	n := numberOf(from)
	r.mu.Lock()
	defer r.mu.Unlock()
	switch kind := attr(e, "type"); {
	case kind == "subscribed":
		r.accepted[n] = true
	case kind == "":
		if r.shown[n] == nil {
			r.shown[n] = make(map[string]bool)
		}
		r.shown[n][resource] = true
	case kind == "unavailable" && resource == "":
		delete(r.shown, n)
	case kind == "unavailable":
		if delete(r.shown[n], resource); len(r.shown[n]) == 0 {
			delete(r.shown, n)
		}
	}
	r.waits = satisfied(r.waits)
}

// satisfied lets those go whose condition holds.
func satisfied(waits []wait) (left []wait) {
	for _, w := range waits {
		if w.until() {
			close(w.done)
		} else {
			left = append(left, w)
		}
	}
	return left
}

// when gives a channel that is closed once the condition holds, which is looked at under the lock.
func (r *rosters) when(until func() bool) <-chan struct{} {
	r.mu.Lock()
	defer r.mu.Unlock()
	w := wait{until, make(chan struct{})}
	r.waits = append(r.waits, w)
	r.waits = satisfied(r.waits)
	return w.done
}

// numberOf is the number in the local part of an address: 17 for u17@contoso.com.
func numberOf(address string) int {
	local, _, _ := strings.Cut(address, "@")
	n, err := strconv.Atoi(strings.TrimLeft(local, "xu"))
	if err != nil {
		return -1
	}
	return n
}

// presenceServer is the Edge as a presence server: it knows who is on line, and on which device.
type presenceServer struct {
	mu         sync.Mutex
	truth      func(n int) (device string, online bool)
	subscribed map[int]bool // SUBSCRIBE came since the last reset
	waits      []wait
}

// request answers SUBSCRIBE and tells the truth in a NOTIFY.
func (p *presenceServer) request(w *wire, m *sipMessage) bool {
	if m.method != "SUBSCRIBE" {
		return false
	}
	n := numberOf(address(m.to))
	w.answer(m, "200 OK", "Expires: "+m.expire+"\r\n", "")
	p.mu.Lock()
	p.subscribed[n] = true
	device, online := p.truth(n)
	p.waits = satisfied(p.waits)
	p.mu.Unlock()
	cseq, _, _ := strings.Cut(m.cseq, " ")
	number, _ := strconv.Atoi(cseq)
	w.send("NOTIFY", "sip:"+gatewayName+";transport=tls", tagged(m.to), m.from, m.callID, number,
		"Event: presence\r\nSubscription-State: active;expires="+m.expire+"\r\nContact: <sip:"+edgeName+":5061;transport=tls>\r\nContent-Type: application/pidf+xml\r\n",
		document(n, device, online))
	return true
}

func (p *presenceServer) reset(truth func(int) (string, bool)) {
	p.mu.Lock()
	p.truth, p.subscribed = truth, make(map[int]bool)
	p.mu.Unlock()
}

func (p *presenceServer) when(until func() bool) <-chan struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	w := wait{until, make(chan struct{})}
	p.waits = append(p.waits, w)
	p.waits = satisfied(p.waits)
	return w.done
}

// document is a presence document (RFC 3863).
func document(n int, device string, online bool) string {
	basic := "closed"
	if online {
		basic = "open"
	}
	return fmt.Sprintf(`<?xml version="1.0" encoding="UTF-8"?><presence xmlns="urn:ietf:params:xml:ns:pidf" entity="pres:u%d@%s"><tuple id="%s"><status><basic>%s</basic></status></tuple></presence>`,
		n, sipDomain, device, basic)
}

func ask(w *bufio.Writer, n int) {
	fmt.Fprintf(w, "<presence from='x%d@%s' to='u%d@%s' type='subscribe'/>", n, xmppDomain, n, sipDomain)
}

// The gateway is killed with SIGKILL in the middle of 10,000 subscriptions that are being set up. While it is dead, a third of
// the SIP users go off line and another third change their device. After its restart every subscription that an XMPP user was told
// had been accepted is in the store, is made again towards the Edge, and nobody is shown as available who is not there; and the
// ones that were not accepted yet can be asked for again.
func TestKilledInTheMiddleOfSubscriptions(t *testing.T) {
	people := sized(10000)
	d := deploy(t, "store: {path: fedgate.db}\n")
	r := newRosters()
	d.farm.take(r.stanza)
	p := &presenceServer{}
	p.reset(func(int) (string, bool) { return "desk", true })
	d.edge.take(p.request, func(*sipMessage) {})
	d.start()
	d.edge.up(t)

	half := r.when(func() bool { return len(r.accepted) >= people/2 })
	source := d.farm.dial(t, d.xmpp)
	asked := make(chan struct{})
	go func() {
		defer close(asked)
		for n := range people {
			ask(source, n)
			if n%50 == 49 && source.Flush() != nil {
				return // it was killed
			}
		}
	}()
	await(t, half, "half of the subscriptions")
	d.kill()
	<-asked
	d.farm.ended(t)

	r.mu.Lock()
	before, wereShown := make([]int, 0, people), len(r.shown)
	for n := range r.accepted {
		before = append(before, n)
	}
	r.mu.Unlock()
	kept := keptIn(t, d.dir+"/fedgate.db")
	missing := 0
	for _, n := range before {
		if !kept[n] {
			missing++
		}
	}

	truth := func(n int) (string, bool) {
		switch n % 3 {
		case 0:
			return "desk", false
		case 1:
			return "phone", true
		}
		return "desk", true
	}
	p.reset(truth)
	began := time.Now()
	d.start()
	again := p.when(func() bool { return containsAll(p.subscribed, before) })
	await(t, again, "the subscriptions to be made again")
	made := time.Since(began)
	right := r.when(func() bool { return wrong(r, before, truth) == 0 })
	await(t, right, "the truth to be shown")
	told := time.Since(began)
	t.Logf("killed with %d of %d accepted, %d of them shown as available; %d in the store, %d of the accepted missing there; after the restart %d were "+
		"subscribed again within %v and shown as they are within %v", len(before), people, wereShown, len(kept), missing, len(before),
		made.Round(time.Millisecond), told.Round(time.Millisecond))
	if missing > 0 {
		t.Errorf("%d subscriptions were accepted and are not in the store", missing)
	}

	all := make([]int, people)
	source = d.farm.dial(t, d.xmpp)
	for n := range people {
		all[n] = n
		r.mu.Lock()
		accepted := r.accepted[n]
		r.mu.Unlock()
		if !accepted {
			ask(source, n)
		}
	}
	check(t, source.Flush())
	await(t, r.when(func() bool { return len(r.accepted) == people && wrong(r, all, truth) == 0 }), "the rest of the subscriptions")
}

// wrong counts the people who are shown otherwise than they are.
func wrong(r *rosters, people []int, truth func(int) (string, bool)) int {
	count := 0
	for _, n := range people {
		device, online := truth(n)
		if shown := r.shown[n]; len(shown) > 1 || online != (len(shown) == 1) || online && !shown[device] && !shown[""] {
			count++
		}
	}
	return count
}

func containsAll(set map[int]bool, members []int) bool {
	if len(set) < len(members) {
		return false
	}
	for _, n := range members {
		if !set[n] {
			return false
		}
	}
	return true
}

// keptIn reads the store's file, as the gateway's next start will.
func keptIn(t *testing.T, path string) map[int]bool {
	t.Helper()
	s, err := store.Open(path)
	check(t, err)
	kept := make(map[int]bool)
	check(t, s.All(func(r store.Record) bool {
		if r.Watch == presence.Granted && r.XMPP == (im.Address{Local: "x" + strconv.Itoa(numberOf(r.SIP.Local)), Domain: xmppDomain}) {
			kept[numberOf(r.SIP.Local)] = true
		}
		return true
	}))
	check(t, s.Close())
	return kept
}
