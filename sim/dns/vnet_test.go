package dns_test

import (
	"errors"
	"net"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"fedlab/sim/dns"
	"fedlab/sim/vnet"
)

// On the virtual network, in virtual time: a stub resolver asks the perimeter's server, which asks the Internet's. A record that
// has changed is seen when its TTL ends, faults look as they do in the field, and an idle hour costs nothing.
func TestVirtualNetwork(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		host := func(address string, resolver ...string) vnet.HostConfig {
			h := vnet.HostConfig{Interfaces: map[string]netip.Prefix{"lan": netip.MustParsePrefix(address + "/24")}}
			for _, r := range resolver {
				h.Resolver = append(h.Resolver, netip.MustParseAddr(r))
			}
			return h
		}
		n, err := vnet.New(vnet.Topology{
			Segments: map[string]vnet.SegmentConfig{"lan": {Prefixes: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}, Link: vnet.LinkConfig{Latency: time.Millisecond}}},
			Hosts:    map[string]vnet.HostConfig{"ns": host("192.0.2.53"), "dc": host("192.0.2.10"), "client": host("192.0.2.40", "192.0.2.10")},
		}, vnet.Options{Seed: 1})
		if err != nil {
			t.Fatal(err)
		}
		defer n.Close()
		serve := func(name string, c dns.Config) *dns.Server {
			c.Network = n.Host(name)
			s, err := dns.Start(t.Context(), c)
			if err != nil {
				t.Fatal(err)
			}
			return s
		}
		farm := func(address string) map[string]map[string][]string {
			return map[string]map[string][]string{"l.google.com": {"xmpp-server 60 A": {address}}}
		}
		ns := serve("ns", dns.Config{Zones: farm("74.125.45.125")})
		defer ns.Close()
		dc := serve("dc", dns.Config{Forward: []netip.AddrPort{netip.MustParseAddrPort("192.0.2.53:53")}})
		defer dc.Close()
		look := func(want string) {
			t.Helper()
			got, err := n.Host("client").LookupNetIP(t.Context(), "ip4", "xmpp-server.l.google.com")
			if err != nil || len(got) != 1 || got[0].String() != want {
				t.Errorf("%v, %v; want %s", got, err, want)
			}
		}
		look("74.125.45.125")
		if err := ns.SetZones(farm("74.125.47.125")); err != nil {
			t.Fatal(err)
		}
		time.Sleep(59 * time.Second) // the clock is virtual: this is the TTL, not a wait for something
		look("74.125.45.125")
		time.Sleep(time.Second)
		look("74.125.47.125")

		for fault, want := range map[dns.Fault]func(*net.DNSError) bool{
			dns.NXDomain: func(e *net.DNSError) bool { return e.IsNotFound },
			dns.ServFail: func(e *net.DNSError) bool { return e.IsTemporary && !e.IsTimeout && !e.IsNotFound },
			dns.Silence:  func(e *net.DNSError) bool { return e.IsTimeout },
		} {
			if err := dc.SetFaults(dns.Faults{".": fault}); err != nil {
				t.Fatal(err)
			}
			_, err := n.Host("client").LookupNetIP(t.Context(), "ip4", "xmpp-server.l.google.com")
			var e *net.DNSError
			if !errors.As(err, &e) || !want(e) {
				t.Errorf("%s: %v", fault, err)
			}
		}
		if err := dc.SetFaults(dns.Faults{".": dns.Truncate}); err != nil {
			t.Fatal(err)
		}
		look("74.125.47.125")
		began := time.Now()
		time.Sleep(time.Hour)
		if d := time.Since(began); d != time.Hour {
			t.Errorf("an hour took %v", d)
		}
	})
}
