package vnet

import (
	"io"
	"net/netip"
	"testing"
	"time"

	"fedlab/sim/trace"
)

// narrow is two hosts that know of nothing narrower than 1500, and a link of 1400 bytes between them:
//
//	a ── left ── filter ── middle ── near ══ narrow ══ far ── right ── b
func narrow() Topology {
	segment := func(n string, mtu int) SegmentConfig {
		return SegmentConfig{Prefixes: []netip.Prefix{netip.MustParsePrefix("10." + n + ".0.0/16"), netip.MustParsePrefix("2001:db8:" + n + "::/48")}, Link: LinkConfig{MTU: mtu}}
	}
	at := func(n, k string) netip.Prefix { return netip.MustParsePrefix("10." + n + ".0." + k + "/16") }
	six := func(n, k string) netip.Addr { return netip.MustParseAddr("2001:db8:" + n + "::" + k) }
	router := func(left, right string, routes map[string]netip.Addr) RouterConfig {
		return RouterConfig{
			Interfaces: map[string]netip.Prefix{left: at(number[left], "2"), right: at(number[right], "1")},
			Addresses:  map[string][]netip.Addr{left: {six(number[left], "2")}, right: {six(number[right], "1")}},
			Routes:     routes,
		}
	}
	to := func(pairs ...string) map[string]netip.Addr {
		routes := map[string]netip.Addr{}
		for i := 0; i < len(pairs); i += 3 {
			routes["10."+pairs[i]+".0.0/16"] = netip.MustParseAddr("10." + pairs[i+1] + ".0." + pairs[i+2])
			routes["2001:db8:"+pairs[i]+"::/48"] = six(pairs[i+1], pairs[i+2])
		}
		return routes
	}
	host := func(segment, k string, routes map[string]netip.Addr) HostConfig {
		n := number[segment]
		return HostConfig{Interfaces: map[string]netip.Prefix{segment: at(n, k)}, Addresses: map[string][]netip.Addr{segment: {six(n, k)}}, Routes: routes}
	}
	return Topology{
		Segments: map[string]SegmentConfig{"left": segment("1", 0), "middle": segment("2", 0), "narrow": segment("3", 1400), "right": segment("4", 0)},
		Routers: map[string]RouterConfig{
			"filter": router("left", "middle", to("3", "2", "2", "4", "2", "2")),
			"near":   router("middle", "narrow", to("1", "2", "1", "4", "3", "2")),
			"far":    router("narrow", "right", to("1", "3", "1", "2", "3", "1")),
		},
		Hosts: map[string]HostConfig{
			"a": host("left", "9", to("2", "1", "2", "3", "1", "2", "4", "1", "2")),
			"b": host("right", "9", to("1", "4", "1", "2", "4", "1", "3", "4", "1")),
		},
	}
}

var number = map[string]string{"left": "1", "middle": "2", "narrow": "3", "right": "4"}

// What becomes of packets that a link on the way does not carry, in either direction, is up to the routers at its ends and to who drops
// what they say. Small packets pass whatever they do.
func TestNarrowLink(t *testing.T) {
	for _, tt := range []struct {
		name           string
		change         func(filter, near, far *RouterConfig)
		there, back    bool // whether much gets through
		clamped, noted bool // the MSS is small from the beginning; a router notes that a packet was too big
	}{
		{"routers speak", func(_, _, _ *RouterConfig) {}, true, true, false, true},
		{"near is silent", func(_, near, _ *RouterConfig) { near.Silent = true }, false, true, false, true},
		{"far is silent", func(_, _, far *RouterConfig) { far.Silent = true }, true, false, false, true},
		{"a filter drops ICMP", func(filter, _, _ *RouterConfig) {
			filter.Rules = []Rule{{Name: "no-icmp", Protocol: "icmp", Stateless: true, Verdict: Drop}}
		}, false, true, false, true},
		{"a silent router clamps", func(_, near, far *RouterConfig) { near.Silent, far.Silent, near.ClampMSS = true, true, true }, true, true, true, false},
		{"another router clamps", func(_, near, far *RouterConfig) { near.Silent, far.Silent, far.ClampMSS = true, true, true }, true, true, true, false},
	} {
		for _, target := range []string{"10.4.0.9:1", "[2001:db8:4::9]:1"} {
			t.Run(tt.name+" "+target, func(t *testing.T) {
				topology := narrow()
				filter, near, far := topology.Routers["filter"], topology.Routers["near"], topology.Routers["far"]
				tt.change(&filter, &near, &far)
				topology.Routers["filter"], topology.Routers["near"], topology.Routers["far"] = filter, near, far
				world(t, topology, func(t *testing.T, n *Net, rec *trace.Recorder) {
					c, s := pair(t, n.Host("a"), n.Host("b"), target)
					for range 2 {
						write(t, c, "a short one")
						expectRead(t, s, "a short one")
						write(t, s, "and back")
						expectRead(t, c, "and back")
					}
					if clamped := c.c.mss < 1400 && s.c.mss < 1400; clamped != tt.clamped {
						t.Errorf("the MSS is %d and %d", c.c.mss, s.c.mss)
					}
					for _, way := range []struct {
						from, to *TCPConn
						passes   bool
					}{{c, s, tt.there}, {s, c, tt.back}} {
						write(t, way.from, string(make([]byte, 10_000)))
						way.to.SetReadDeadline(time.Now().Add(time.Minute))
						if k, err := io.ReadFull(way.to, make([]byte, 10_000)); (err == nil) != way.passes || err != nil && k > 0 {
							t.Errorf("%d of 10000 bytes came through, %v", k, err)
						}
					}
					noted := false
					for _, e := range rec.Events() {
						noted = noted || e.Layer == trace.Router && e.Conn == "MTU"
					}
					if noted != tt.noted {
						t.Errorf("a packet was too big: %v", noted)
					}
				})
			})
		}
	}
}

// Both can change while the router runs: what clamps does so for connections that begin later.
func TestNarrowLinkChanges(t *testing.T) {
	world(t, narrow(), func(t *testing.T, n *Net, rec *trace.Recorder) {
		passes := func() bool {
			c, s := pair(t, n.Host("a"), n.Host("b"), "10.4.0.9:1")
			defer c.Close()
			defer s.Close()
			write(t, c, string(make([]byte, 10_000)))
			s.SetReadDeadline(time.Now().Add(time.Minute))
			_, err := io.ReadFull(s, make([]byte, 10_000))
			return err == nil
		}
		near := n.Router("near")
		for _, step := range []struct {
			silent, clamp, want bool
		}{{false, false, true}, {true, false, false}, {true, true, true}, {true, false, false}, {false, false, true}} {
			near.SetSilent(step.silent)
			near.SetClampMSS(step.clamp)
			if got := passes(); got != step.want {
				t.Errorf("silent %v, clamping %v: passes %v", step.silent, step.clamp, got)
			}
		}
	})
}
