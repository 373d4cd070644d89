package vnet

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"testing"
	"time"

	"fedlab/internal/network/networktest"
	"fedlab/sim/trace"
)

// The stub resolver's patience: two rounds over its servers, five seconds each; a server that is not there costs nothing, one
// that is silent costs its time; the hosts file costs nothing at all.
func TestResolver(t *testing.T) {
	serving, silent, refusing, unreachable := "10.11.12.10", "203.0.113.53", "10.11.12.33", "2001:db8:99::1"
	host := networktest.Names.Host
	for _, test := range []struct {
		name      string
		servers   []string
		host      string
		took      time.Duration
		timeout   bool
		wantAddrs bool
	}{
		{"at once", []string{serving}, host, 2 * time.Millisecond, false, true},
		{"the first is silent", []string{silent, serving}, host, 5 * time.Second, false, true},
		{"the first refuses", []string{refusing, serving}, host, 4 * time.Millisecond, false, true},
		{"the first cannot be reached", []string{unreachable, serving}, host, 2 * time.Millisecond, false, true},
		{"silence", []string{silent}, host, 10 * time.Second, true, false},
		{"two silent", []string{silent, "203.0.113.54"}, host, 20 * time.Second, true, false},
		{"hosts file", []string{silent}, "EDGE.jds.local.", 0, false, true},
		{"localhost", []string{silent}, "localhost", 0, false, true},
		{"no server", nil, host, 0, false, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			world(t, contoso(), func(t *testing.T, n *Net, _ *trace.Recorder) {
				_, stop, err := networktest.ServeDNS(t.Context(), n.Host("dc"), serving+":53", netip.MustParseAddr("192.0.2.80"))
				if err != nil {
					t.Fatal(err)
				}
				defer stop()
				var servers []netip.Addr
				for _, s := range test.servers {
					servers = append(servers, netip.MustParseAddr(s))
				}
				h := n.Host("xmpp")
				h.SetResolver(map[string]netip.Addr{"edge.jds.local": netip.MustParseAddr("10.11.12.33")}, servers)
				start := time.Now()
				addrs, err := h.LookupNetIP(t.Context(), "ip", test.host)
				if took := time.Since(start); took < test.took || took > test.took+5*time.Millisecond {
					t.Errorf("took %v, want %v", took, test.took)
				}
				if (len(addrs) > 0) != test.wantAddrs {
					t.Errorf("%v, %v", addrs, err)
				}
				var de *net.DNSError
				if !test.wantAddrs && (!errors.As(err, &de) || de.IsTimeout != test.timeout || de.IsNotFound || !de.IsTemporary) {
					t.Errorf("%#v", err)
				}
			})
		})
	}
}

// A name with several addresses is tried address by address; with both families, IPv6 gets a head start. RFC 8305
func TestDialFallback(t *testing.T) {
	addr := netip.MustParseAddr
	for _, test := range []struct {
		name, want string
		addrs      []netip.Addr
		took       time.Duration
	}{
		{"the second address", "10.11.12.10:1", []netip.Addr{addr("10.11.12.33"), addr("10.11.12.10")}, 4 * time.Millisecond},
		{"the other family when the first refuses", "10.11.12.10:1", []netip.Addr{addr("2001:db8:12::2"), addr("10.11.12.10")}, 4 * time.Millisecond},
		{"the other family when the first is silent", "10.11.12.10:1", []netip.Addr{addr("2001:db8:10::99"), addr("10.11.12.10")}, 302 * time.Millisecond},
	} {
		t.Run(test.name, func(t *testing.T) {
			world(t, contoso(), func(t *testing.T, n *Net, _ *trace.Recorder) {
				listen(t, n.Host("dc"), ":1")
				h := n.Host("xmpp")
				n.lock()
				h.resolver.names["many"] = test.addrs
				n.unlock()
				start := time.Now()
				c, err := h.DialContext(t.Context(), "tcp", "many:1")
				if err != nil {
					t.Fatal(err)
				}
				if got := c.RemoteAddr().String(); got != test.want {
					t.Errorf("connected to %s", got)
				}
				if took := time.Since(start); took < test.took || took > test.took+5*time.Millisecond {
					t.Errorf("took %v, want %v", took, test.took)
				}
			})
		})
	}
}

// Cancelling a lookup ends it at once, with the error of package net.
func TestResolverCancel(t *testing.T) {
	world(t, contoso(), func(t *testing.T, n *Net, _ *trace.Recorder) {
		n.Host("xmpp").SetResolver(nil, []netip.Addr{netip.MustParseAddr("203.0.113.53")})
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Second, cancel)
		start := time.Now()
		_, err := n.Host("xmpp").LookupNetIP(ctx, "ip", "example.org")
		if !errors.Is(err, context.Canceled) || time.Since(start) != time.Second {
			t.Errorf("%#v after %v", err, time.Since(start))
		}
	})
}
