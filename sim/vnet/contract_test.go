package vnet

import (
	"net/netip"
	"testing"

	"fedlab/internal/network/networktest"
	"fedlab/sim/trace"
)

// The virtual network keeps the same contract as the operating system's: on one segment, and across two routers.
func TestContract(t *testing.T) {
	for _, where := range []struct{ client, server, address string }{
		{"xmpp", "dc", "10.11.12.10"},
		{"pool", "dc", "10.11.12.10"},
		{"dc", "dc", "127.0.0.1"},
	} {
		t.Run(where.client+" to "+where.server, func(t *testing.T) {
			networktest.Run(t, func(t *testing.T, test func(*testing.T, networktest.Env)) {
				topology := contoso()
				h := topology.Hosts[where.client]
				h.Resolver = []netip.Addr{netip.MustParseAddr("10.11.12.10")}
				topology.Hosts[where.client] = h
				world(t, topology, func(t *testing.T, n *Net, _ *trace.Recorder) {
					names := networktest.Names
					names.Addr = netip.MustParseAddr(where.address)
					_, stop, err := networktest.ServeDNS(t.Context(), n.Host("dc"), "10.11.12.10:53", names.Addr)
					if err != nil {
						t.Fatal(err)
					}
					defer stop()
					test(t, networktest.Env{Client: n.Host(where.client), Server: n.Host(where.server), Address: where.address,
						Filtered: "203.0.113.1:5269", Unassigned: "10.11.12.99", DNS: names})
				})
			})
		})
	}
}
