package vnet

import (
	"net"
	"testing"
	"time"

	"golang.org/x/net/nettest"
)

// The tests of package net's connections, in real time, over plain, lossy, slow and translated paths.
func TestConn(t *testing.T) {
	fast := LinkConfig{Latency: 50 * time.Microsecond}
	for _, path := range []struct {
		name             string
		link             LinkConfig
		from, to, target string
	}{
		{"plain", fast, "xmpp", "dc", "10.11.12.10:1"},
		{"loopback", fast, "xmpp", "xmpp", "127.0.0.1:1"},
		{"lossy", LinkConfig{Latency: 50 * time.Microsecond, Loss: 0.2}, "xmpp", "dc", "10.11.12.10:1"},
		{"slow", LinkConfig{Latency: 5 * time.Millisecond, Bandwidth: 100_000_000}, "xmpp", "dc", "10.11.12.10:1"},
		{"translated", fast, "xmpp", "talk", "74.125.45.125:1"},
		{"forwarded", fast, "talk", "xmpp", "12.34.56.78:5269"},
		{"reordered", LinkConfig{Latency: 50 * time.Microsecond, Reorder: 0.2, Duplicate: 0.2, Jitter: 50 * time.Microsecond}, "xmpp", "dc", "10.11.12.10:1"},
	} {
		t.Run(path.name, func(t *testing.T) {
			t.Parallel()
			nettest.TestConn(t, func() (net.Conn, net.Conn, func(), error) {
				topology := contoso()
				for name, s := range topology.Segments {
					s.Link = path.link
					topology.Segments[name] = s
				}
				for name, h := range topology.Hosts {
					h.MinRTO = 5 * time.Millisecond // this is real time
					topology.Hosts[name] = h
				}
				n, err := New(topology, Options{Seed: 7})
				if err != nil {
					return nil, nil, nil, err
				}
				_, port, _ := net.SplitHostPort(path.target)
				l, err := n.Host(path.to).Listen(t.Context(), "tcp", ":"+port)
				if err != nil {
					return nil, nil, nil, err
				}
				c, err := n.Host(path.from).DialContext(t.Context(), "tcp", path.target)
				if err != nil {
					return nil, nil, nil, err
				}
				s, err := l.Accept()
				return c, s, n.Close, err
			})
		})
	}
}
