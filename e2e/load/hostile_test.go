package load

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"slices"
	"sync"
	"testing"
	"time"

	"fedlab/internal/pki"
)

// stranger is one kind of hostile connection. open does what it does first; then drip is written to it once a second.
type stranger struct {
	name string
	open func(net.Conn)
	drip string
}

// perAddress is how many connections each of the strangers' addresses makes: as many as the gateway lets one address have, so
// that it cannot get rid of them by that limit.
const perAddress = 100

// besiege opens so many connections of these kinds, from addresses of their own, says how many there are, and keeps them until the
// function that it returns is called.
func besiege(target string, count int, kinds []stranger) (open int, end func()) {
	var mu sync.Mutex
	var conns []net.Conn
	var kindOf []stranger
	var work sync.WaitGroup
	next := make(chan int)
	for range 50 {
		work.Go(func() {
			for n := range next {
				from := net.IPv4(127, 1, byte(n/perAddress/200), byte(n/perAddress%200+1))
				d := net.Dialer{LocalAddr: &net.TCPAddr{IP: from}, Timeout: 10 * time.Second}
				c, err := d.DialContext(context.Background(), "tcp", target)
				if err != nil {
					continue
				}
				kind := kinds[n%len(kinds)]
				_ = c.SetDeadline(time.Now().Add(5 * time.Second)) // of what is done at first
				if kind.open != nil {
					kind.open(c)
				}
				_ = c.SetDeadline(time.Time{})
				mu.Lock()
				conns, kindOf = append(conns, c), append(kindOf, kind)
				mu.Unlock()
			}
		})
	}
	for n := range count {
		next <- n
	}
	close(next)
	work.Wait()
	stop := make(chan struct{})
	var dripping sync.WaitGroup
	dripping.Go(func() {
		tick := time.NewTicker(time.Second)
		defer tick.Stop()
		for {
			for i, c := range conns {
				if kindOf[i].drip != "" {
					_ = c.SetWriteDeadline(time.Now().Add(time.Millisecond))
					_, _ = c.Write([]byte(kindOf[i].drip))
				}
			}
			select {
			case <-tick.C:
			case <-stop:
				return
			}
		}
	})
	return len(conns), func() {
		close(stop)
		dripping.Wait()
		for _, c := range conns {
			_ = c.Close()
		}
	}
}

// newcomer connects as the Edge does, which has nothing to do with the strangers, and asks whether the gateway is there.
func newcomer(t *testing.T, d *deployment) error {
	t.Helper()
	raw, err := net.DialTimeout("tcp", d.sip, 10*time.Second)
	if err != nil {
		return err
	}
	defer raw.Close()
	check(t, raw.SetDeadline(time.Now().Add(10*time.Second)))
	c := tls.Client(raw, &tls.Config{InsecureSkipVerify: true, Certificates: []tls.Certificate{d.edgeIdentity}}) // whom it meets is not the question
	link := &wire{e: d.edge, conn: c, in: bufio.NewReader(c), out: bufio.NewWriter(c)}
	link.send("OPTIONS", "sip:"+gatewayName, "<sip:"+sipDomain+">;tag=1", "<sip:"+gatewayName+">", "options", 1, "", "")
	link.flush()
	var answer sipMessage
	if err := answer.read(link.in); err != nil {
		return err
	}
	if answer.status != 200 {
		return fmt.Errorf("OPTIONS was answered %d", answer.status)
	}
	return nil
}

// Ten thousand connections of strangers, idle, dripping, talking garbage or without a certificate, cost bounded memory and do
// not disturb a neighbour's conversation.
func TestHostileConnections(t *testing.T) {
	const perSecond, long = 200, 1500 * time.Millisecond
	count := sized(10000)
	d := deploy(t, "")
	d.start()
	neighbour := d.converse(10)
	alone := neighbour.steady(t, perSecond, long, toSIP, toXMPP)
	before, _ := d.memory()
	t.Logf("alone: to SIP %v; to XMPP %v; %d MB", alone[toSIP], alone[toXMPP], before>>20)

	other, err := pki.NewAuthority("somebody else", pki.AuthorityOptions{})
	check(t, err)
	forged, err := other.Issue(pki.Leaf{Subject: edgeName, Names: []string{edgeName}, Server: true, Client: true})
	check(t, err)
	handshake := func(certificates ...tls.Certificate) func(net.Conn) {
		return func(c net.Conn) {
			s := tls.Client(c, &tls.Config{InsecureSkipVerify: true, Certificates: certificates}) // a stranger trusts anybody
			if s.Handshake() == nil {
				_, _ = s.Read(make([]byte, 1)) // the alert
			}
		}
	}
	say := func(text string) func(net.Conn) { return func(c net.Conn) { _, _ = c.Write([]byte(text)) } }
	garbage := string(slices.Repeat([]byte{0x16, 0x03, 0x01, 0xff, '<', 0x80}, 2000))
	for _, siege := range []struct {
		port, at string
		kinds    []stranger
		bytes    int64 // what may be held for each connection
	}{
		{"5269", d.xmpp, []stranger{
			{name: "idle"},
			{name: "drip", open: say("<?xml version='1.0'?>"), drip: " "},
			{name: "header, then idle", open: say(farmHeader + " version='1.0'>")},
			{name: "half a stanza", open: say(farmHeader + " version='1.0'><message><body>" + string(slices.Repeat([]byte("x"), 8000))), drip: "x"},
			{name: "garbage", open: say(garbage)},
		}, 64 << 10},
		{"5061", d.sip, []stranger{
			{name: "idle"},
			{name: "drip", drip: "\x16"},
			{name: "garbage", open: say(garbage)},
			{name: "TLS without a certificate", open: handshake()},
			{name: "TLS with somebody else's", open: handshake(forged.TLS())},
		}, 64 << 10},
	} {
		t.Run(siege.port, func(t *testing.T) {
			var open int
			var end func()
			var took time.Duration
			made := make(chan struct{})
			go func() {
				defer close(made)
				began := time.Now()
				open, end = besiege(siege.at, count, siege.kinds)
				took = time.Since(began)
			}()
			arriving := neighbour.steady(t, perSecond, long, toSIP, toXMPP)
			<-made
			defer end()
			held := neighbour.steady(t, perSecond, long, toSIP, toXMPP)
			after, most := d.memory()
			began := time.Now()
			late := newcomer(t, d)
			came := time.Since(began)
			t.Logf("%d of %d connections made in %v: %d MB, at most %d MB, so %d bytes a connection; neighbour while they come: to SIP %v; to XMPP %v; while they stay: to SIP %v; to XMPP %v; an Edge that comes meanwhile is let in within %v",
				open, count, took.Round(time.Millisecond), after>>20, most>>20, (after-before)/int64(count), arriving[toSIP], arriving[toXMPP], held[toSIP], held[toXMPP], came.Round(time.Millisecond))
			check(t, late)
			if open < count*9/10 {
				t.Errorf("only %d connections could be made", open)
			}
			if limit := before + int64(count)*siege.bytes; most > limit {
				t.Errorf("%d bytes of memory, more than %d", most, limit)
			}
			for way, l := range held {
				if l.p99 > 500*time.Millisecond || l.count < perSecond {
					t.Errorf("the neighbour's messages (%s): %v", [...]string{"to SIP", "to XMPP"}[way], l)
				}
			}
			if n := neighbour.failures(); n > 0 {
				t.Errorf("%d of the neighbour's messages were refused", n)
			}
		})
	}
}
