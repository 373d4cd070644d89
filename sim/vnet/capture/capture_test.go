package capture

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"io"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
	"github.com/gopacket/gopacket/pcapgo"

	"fedlab/internal/pki"
	"fedlab/sim/vnet"
)

// story runs a little of everything in a bubble and returns its capture: TLS through a port forwarding, a refused and a dropped
// connection, UDP with an ICMP error, IPv6, and a link that loses packets.
func story(t *testing.T) *Capture {
	pfx, addr := netip.MustParsePrefix, netip.MustParseAddr
	topology := vnet.Topology{
		Segments: map[string]vnet.SegmentConfig{
			"internet": {Prefixes: []netip.Prefix{pfx("0.0.0.0/0")}, Link: vnet.LinkConfig{Latency: 20 * time.Millisecond}},
			"inside":   {Prefixes: []netip.Prefix{pfx("10.0.0.0/24"), pfx("2001:db8::/64")}},
		},
		Routers: map[string]vnet.RouterConfig{"firewall": {
			Interfaces: map[string]netip.Prefix{"internet": pfx("192.0.2.1/24"), "inside": pfx("10.0.0.1/24")},
			Policy:     vnet.Drop,
			Rules: []vnet.Rule{
				{Name: "sip-in", From: "internet", Port: 5061, Verdict: vnet.Pass},
				{Name: "no-telnet", From: "inside", Port: 23, Verdict: vnet.Reject},
				{Name: "out", From: "inside", Verdict: vnet.Pass},
			},
			Masquerade: []string{"internet"},
			Forwards:   []vnet.Forward{{Name: "sip", Address: addr("192.0.2.1"), Port: 5061, To: netip.MustParseAddrPort("10.0.0.2:5061")}},
		}},
		Hosts: map[string]vnet.HostConfig{
			"server": {Interfaces: map[string]netip.Prefix{"inside": pfx("10.0.0.2/24")}, Addresses: map[string][]netip.Addr{"inside": {addr("2001:db8::2")}},
				Routes: map[string]netip.Addr{"default": addr("10.0.0.1")}},
			"inner": {Interfaces: map[string]netip.Prefix{"inside": pfx("10.0.0.3/24")}, Addresses: map[string][]netip.Addr{"inside": {addr("2001:db8::3")}}},
			"outer": {Interfaces: map[string]netip.Prefix{"internet": pfx("198.51.100.7/24")}},
		},
	}
	var c *Capture
	synctest.Test(t, func(t *testing.T) {
		n, err := vnet.New(topology, vnet.Options{Seed: 3})
		if err != nil {
			t.Fatal(err)
		}
		defer n.Close()
		c = Start(n)
		server, inner, outer := n.Host("server"), n.Host("inner"), n.Host("outer")

		authority, err := pki.NewAuthority("test", pki.AuthorityOptions{})
		if err != nil {
			t.Fatal(err)
		}
		leaf, err := authority.Issue(pki.Leaf{Subject: "server.example", Names: []string{"server.example"}, Server: true})
		if err != nil {
			t.Fatal(err)
		}
		roots := x509.NewCertPool()
		roots.AddCert(authority.Root())
		l, err := server.Listen(t.Context(), "tcp", ":5061")
		if err != nil {
			t.Fatal(err)
		}
		done := make(chan struct{})
		go func() {
			defer close(done)
			for range 2 {
				conn, err := l.Accept()
				if err != nil {
					return
				}
				s := tls.Server(conn, &tls.Config{Certificates: []tls.Certificate{leaf.TLS()}})
				io.Copy(s, s)
				s.Close()
			}
		}()
		for host, target := range map[*vnet.Host]string{outer: "192.0.2.1:5061", inner: "[2001:db8::2]:5061"} {
			conn, err := host.DialContext(t.Context(), "tcp", target)
			if err != nil {
				t.Fatal(err)
			}
			s := tls.Client(conn, &tls.Config{ServerName: "server.example", RootCAs: roots, KeyLogWriter: c.KeyLog()})
			if _, err := s.Write([]byte("OPTIONS sip:server.example SIP/2.0\r\nVia: SIP/2.0/TLS inner\r\nCSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n")); err != nil {
				t.Fatal(err)
			}
			s.CloseWrite()
			io.Copy(io.Discard, s)
			s.Close()
		}
		<-done
		server.DialContext(t.Context(), "tcp", "198.51.100.7:23")          // rejected by a rule
		outer.DialContext(t.Context(), "tcp", "198.51.100.7:9")            // refused on loopback
		server.DialContext(t.Context(), "tcp", "198.51.100.7:9")           // refused beyond the translation
		u, err := server.DialContext(t.Context(), "udp", "198.51.100.7:9") // port unreachable, through the translation
		if err != nil {
			t.Fatal(err)
		}
		u.Write([]byte("anyone?"))
		u.Read(make([]byte, 1))
		u6, err := inner.DialContext(t.Context(), "udp", "[2001:db8::2]:9")
		if err != nil {
			t.Fatal(err)
		}
		u6.Write([]byte("odd"))
		u6.Read(make([]byte, 1))
		outer.DialContext(t.Context(), "tcp", "192.0.2.1:22") // dropped by the policy
		u.Close()
		u6.Close()
		time.Sleep(2 * time.Minute)
	})
	return c
}

// Every packet decodes without an error, with correct checksums; interfaces, times, comments and secrets are there.
func TestCapture(t *testing.T) {
	c := story(t)
	if got, want := c.Segments(), []string{"inside", "internet", "lo.outer"}; !slices.Equal(got, want) {
		t.Errorf("segments %q, want %q", got, want)
	}
	var file bytes.Buffer
	if err := c.Write(&file); err != nil {
		t.Fatal(err)
	}
	r, err := pcapgo.NewNgReader(&file, pcapgo.DefaultNgReaderOptions)
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]int{}
	comments := map[string]bool{}
	var last time.Time
	for {
		data, info, opts, err := r.ReadPacketDataWithOptions()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if info.Timestamp.Before(last) || info.Timestamp.UTC().Year() != 2000 {
			t.Errorf("packet at %v after one at %v", info.Timestamp, last)
		}
		last = info.Timestamp
		for _, s := range opts.Comments {
			comments[s] = true
		}
		p := gopacket.NewPacket(data, layers.LayerTypeEthernet, gopacket.Default)
		if e := p.ErrorLayer(); e != nil {
			t.Errorf("packet does not decode: %v\n%v", e.Error(), p)
		}
		for _, l := range p.Layers() {
			seen[l.LayerType().String()]++
			if s, ok := l.(interface {
				SetNetworkLayerForChecksum(gopacket.NetworkLayer) error
			}); ok {
				s.SetNetworkLayerForChecksum(p.NetworkLayer())
			}
		}
		if err, bad := p.VerifyChecksums(); err != nil || len(bad) > 0 {
			t.Errorf("checksums: %v, %v in\n%v", err, bad, p)
		}
	}
	for _, layer := range []string{"IPv4", "IPv6", "TCP", "UDP", "ICMPv4", "ICMPv6"} {
		if seen[layer] == 0 {
			t.Errorf("no %s among %v", layer, seen)
		}
	}
	for _, part := range []string{"dropped by firewall, policy", "rejected by firewall, no-telnet", "translated by firewall to 198.51.100.7:49152 > 10.0.0.2:5061"} {
		found := false
		for s := range comments {
			found = found || strings.Contains(s, part)
		}
		if !found {
			t.Errorf("no comment %q among %v", part, comments)
		}
	}
	if i, err := r.Interface(1); err != nil || i.Name != "internet" {
		t.Errorf("second interface %+v, %v", i, err)
	}
	if !strings.Contains(c.secrets.String(), "CLIENT_HANDSHAKE_TRAFFIC_SECRET") {
		t.Error("no TLS secrets")
	}
}
