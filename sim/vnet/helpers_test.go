package vnet

import (
	"context"
	"io"
	"net"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"fedlab/sim/trace"
)

// contoso is the field notes' deployment, as far as packets are concerned, plus a host in the wild and IPv6 in the perimeter.
func contoso() Topology {
	pfx, addr := netip.MustParsePrefix, netip.MustParseAddr
	return Topology{
		Segments: map[string]SegmentConfig{
			"internet":  {Prefixes: []netip.Prefix{pfx("0.0.0.0/0")}, Link: LinkConfig{Latency: 20 * time.Millisecond}},
			"perimeter": {Prefixes: []netip.Prefix{pfx("10.11.12.0/24"), pfx("2001:db8:12::/64")}},
			"corporate": {Prefixes: []netip.Prefix{pfx("10.10.0.0/16"), pfx("2001:db8:10::/64")}},
		},
		Routers: map[string]RouterConfig{
			"firewall": {
				Interfaces: map[string]netip.Prefix{"internet": pfx("12.34.56.78/24"), "perimeter": pfx("10.11.12.1/24")},
				Addresses:  map[string][]netip.Addr{"internet": {addr("12.34.56.79")}},
				Routes:     map[string]netip.Addr{"10.10.0.0/16": addr("10.11.12.2")},
				Policy:     Drop,
				Rules: []Rule{
					{Name: "xmpp-in", From: "internet", Protocol: "tcp", Port: 5269, Target: []netip.Prefix{pfx("10.11.12.40/32")}, Verdict: Pass},
					{Name: "sip-in", From: "internet", Protocol: "tcp", Port: 5061, Target: []netip.Prefix{pfx("10.11.12.33/32")}, Verdict: Pass},
					{Name: "loop", From: "perimeter", To: "perimeter", Verdict: Pass},
					{Name: "out", From: "perimeter", To: "internet", Verdict: Pass},
				},
				Masquerade: []string{"internet"},
				Forwards: []Forward{
					{Name: "xmpp", Address: addr("12.34.56.78"), Port: 5269, To: netip.MustParseAddrPort("10.11.12.40:5269")},
					{Name: "sip", Address: addr("12.34.56.79"), Port: 5061, To: netip.MustParseAddrPort("10.11.12.33:5061")},
				},
			},
			"inner": {
				Interfaces: map[string]netip.Prefix{"perimeter": pfx("10.11.12.2/24"), "corporate": pfx("10.10.10.1/16")},
				Addresses:  map[string][]netip.Addr{"perimeter": {addr("2001:db8:12::2")}, "corporate": {addr("2001:db8:10::1")}},
				Routes:     map[string]netip.Addr{"default": addr("10.11.12.1")},
			},
		},
		Hosts: map[string]HostConfig{
			"xmpp": {
				Interfaces: map[string]netip.Prefix{"perimeter": pfx("10.11.12.40/24")},
				Addresses:  map[string][]netip.Addr{"perimeter": {addr("2001:db8:12::40")}},
				Routes:     map[string]netip.Addr{"default": addr("10.11.12.1"), "10.10.0.0/16": addr("10.11.12.2"), "2001:db8:10::/64": addr("2001:db8:12::2")},
				HostsFile:  map[string]netip.Addr{"Edge.jds.local": addr("10.11.12.33")},
				Resolver:   []netip.Addr{addr("10.11.12.10")},
			},
			"edge": {
				Interfaces: map[string]netip.Prefix{"perimeter": pfx("10.11.12.33/24"), "corporate": pfx("10.10.10.50/16")},
				Routes:     map[string]netip.Addr{"default": addr("10.11.12.1"), "10.11.12.40/32": addr("10.10.10.1")},
			},
			"pool": {
				Interfaces: map[string]netip.Prefix{"corporate": pfx("10.10.10.60/16")},
				Addresses:  map[string][]netip.Addr{"corporate": {addr("2001:db8:10::60")}},
				Routes:     map[string]netip.Addr{"default": addr("10.10.10.1"), "2001:db8:12::/64": addr("2001:db8:10::1")},
			},
			"dc":      {Interfaces: map[string]netip.Prefix{"perimeter": pfx("10.11.12.10/24")}, Routes: map[string]netip.Addr{"default": addr("10.11.12.1"), "10.10.0.0/16": addr("10.11.12.2")}},
			"talk":    {Interfaces: map[string]netip.Prefix{"internet": pfx("74.125.45.125/8")}},
			"outside": {Interfaces: map[string]netip.Prefix{"internet": pfx("198.51.100.7/24")}},
		},
	}
}

// world runs f with a network in a bubble, and closes the network.
func world(t *testing.T, topology Topology, f func(t *testing.T, n *Net, rec *trace.Recorder)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		rec := trace.NewRecorder()
		n, err := New(topology, Options{Seed: 1, Trace: rec})
		if err != nil {
			t.Fatal(err)
		}
		defer n.Close()
		f(t, n, rec)
		if events := rec.Events(); t.Failed() && len(events) < 60 {
			for _, e := range events {
				t.Log(e.At.Format("15:04:05.000000"), e)
			}
		}
	})
}

func listen(t *testing.T, h *Host, address string) net.Listener {
	t.Helper()
	l, err := h.Listen(t.Context(), "tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func dial(t *testing.T, h *Host, address string) *TCPConn {
	t.Helper()
	c, err := h.DialContext(context.Background(), "tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	return c.(*TCPConn)
}

func accept(t *testing.T, l net.Listener) *TCPConn {
	t.Helper()
	c, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	return c.(*TCPConn)
}

// pair connects a host to an address of another.
func pair(t *testing.T, from, to *Host, address string) (client, server *TCPConn) {
	t.Helper()
	_, port, _ := net.SplitHostPort(address)
	l := listen(t, to, ":"+port)
	defer l.Close()
	client = dial(t, from, address)
	return client, accept(t, l)
}

// expectRead reads exactly want.
func expectRead(t *testing.T, c net.Conn, want string) {
	t.Helper()
	got := make([]byte, len(want))
	if _, err := io.ReadFull(c, got); err != nil || string(got) != want {
		t.Fatalf("read %q, %v, want %q", got, err, want)
	}
}

func write(t *testing.T, c net.Conn, s string) {
	t.Helper()
	if _, err := c.Write([]byte(s)); err != nil {
		t.Fatal(err)
	}
}

func udpAddr(s string) *net.UDPAddr { return net.UDPAddrFromAddrPort(netip.MustParseAddrPort(s)) }

// seeded runs f with a network of a given seed, in a bubble.
func seeded(t *testing.T, topology Topology, seed uint64, f func(t *testing.T, n *Net)) {
	synctest.Test(t, func(t *testing.T) {
		n, err := New(topology, Options{Seed: seed})
		if err != nil {
			t.Fatal(err)
		}
		defer n.Close()
		f(t, n)
	})
}
