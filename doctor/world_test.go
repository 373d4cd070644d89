package doctor_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"net/netip"
	"net/textproto"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"fedlab/doctor"
	"fedlab/gateway/config"
	"fedlab/internal/pki"
	"fedlab/sim/dns"
	"fedlab/sim/vnet"
)

// deployment is a small world to be examined: plain values that a test changes before it is built. The servers in it are as
// simple as can be; the real gateway and the fakes are examined by the lab's scenarios.
type deployment struct {
	zones       map[string]map[string][]string // what everybody is told
	faults      dns.Faults
	gatewayFile map[string]netip.Addr // HOSTS
	edgeFile    map[string]netip.Addr
	rules       []vnet.Rule
	forwards    []vnet.Forward
	hairpin     bool

	hostname     string // of the gateway's configuration
	gatewayLeaf  pki.Leaf
	edgeLeaf     pki.Leaf
	alterGateway func(*pki.Pair) *pki.Pair // what happens to a certificate after it was issued
	alterEdge    func(*pki.Pair) *pki.Pair
	otherRootAt  string // "gateway" or "edge": another authority is installed there, the right one is not
	issuingKnown bool   // the issuing certificate is installed on both machines
	sip          config.SIPDomain
	xmpp         config.XMPPDomain
	problem      error

	xmppCertificate config.Certificate // of the gateway's configuration, for XMPP servers
	trusted         *x509.CertPool     // authorities that the outside trusts

	status  string // of the running gateway
	stopped bool   // the gateway does not run

	allow      map[string]string
	log        []string
	edgeTLS    func(*tls.Config) // of the Edge's listener
	gatewayTLS func(*tls.Config) // of the gateway's listener

	edgeSays    func(to, from string) string // status line and headers for an OPTIONS; empty: silence
	gatewaySays func(to, from string) string
	gatewayXMPP func(net.Conn) // what answers on the gateway's 5269
	farm        map[string]func(net.Conn)
	addresses   []netip.Addr // what the outside knows about the organisation

	network func(*vnet.Topology) // what is different on the way
	seed    uint64
}

func healthy() *deployment {
	talk := []string{"5 0 5269 talk0.example.com.", "20 0 5269 talk1.example.com."}
	return &deployment{
		zones: map[string]map[string][]string{
			"contoso.com": {"_xmpp-server._tcp SRV": {"0 0 5269 xmpp.contoso.com."}, "xmpp A": {"12.34.56.78"}, "sip A": {"12.34.56.79"}},
			"gmail.com":   {"_xmpp-server._tcp SRV": talk},
			"jds.local":   {},
			"example.com": {"talk0 A": {"74.125.45.125"}, "talk1 A": {"74.125.47.125"}},
		},
		gatewayFile: map[string]netip.Addr{"sip.contoso.com": addr("10.11.12.33")},
		edgeFile:    map[string]netip.Addr{"xmpp.jds.local": addr("10.11.12.40")},
		forwards: []vnet.Forward{
			{Name: "xmpp", Address: addr("12.34.56.78"), Port: 5269, To: netip.MustParseAddrPort("10.11.12.40:5269")},
			{Name: "sip", Address: addr("12.34.56.79"), Port: 5061, To: netip.MustParseAddrPort("10.11.12.33:5061")},
		},
		hostname:    "xmpp.jds.local",
		gatewayLeaf: pki.Leaf{Subject: "xmpp.jds.local", Server: true},
		edgeLeaf:    pki.Leaf{Subject: "sip.contoso.com", Server: true},
		sip:         config.SIPDomain{NextHop: config.NextHop{"sip.contoso.com:5061"}, MinTLS: "1.2"},
		xmpp:        config.XMPPDomain{TLS: config.TLSNever},
		allow:       map[string]string{"gmail.com": "xmpp.jds.local"},
		edgeSays:    func(string, string) string { return "200 OK" },
		gatewaySays: func(string, string) string { return "200 OK\r\nContact: <sip:xmpp.jds.local:5061;transport=tls>" },
		gatewayXMPP: says("<?xml version='1.0'?><stream:stream xmlns='jabber:server' xmlns:stream='http://etherx.jabber.org/streams' from='contoso.com' id='1' version='1.0'><stream:features/>"),
		farm: map[string]func(net.Conn){
			"talk0": says("<stream:stream xmlns='jabber:server' xmlns:stream='http://etherx.jabber.org/streams' from='gmail.com' id='2'>"),
			"talk1": says("<stream:stream xmlns='jabber:server' xmlns:stream='http://etherx.jabber.org/streams' from='gmail.com' id='2'>"),
		},
	}
}

// says is a server that waits for the first bytes, says its line and reads to the end.
func says(text string) func(net.Conn) {
	return func(c net.Conn) {
		if _, err := c.Read(make([]byte, 4096)); err != nil {
			return
		}
		_, _ = io.WriteString(c, text)
		_, _ = io.Copy(io.Discard, c)
	}
}

func silence(c net.Conn) { _, _ = io.Copy(io.Discard, c) }

func addr(s string) netip.Addr     { return netip.MustParseAddr(s) }
func prefix(s string) netip.Prefix { return netip.MustParsePrefix(s) }

// built is a running deployment and the three who look at it.
type built struct {
	gateway doctor.Gateway
	edge    doctor.Edge
	outside doctor.Outside
}

// examine builds d, has all three look at the same time and returns "code from" for each finding, and the findings.
func (d *deployment) examine(t *testing.T) ([]string, []doctor.Finding) {
	t.Helper()
	var codes []string
	var all []doctor.Finding
	d.run(t, func(t *testing.T, b *built) {
		looks := []func() []doctor.Finding{
			func() []doctor.Finding { return b.gateway.Examine(t.Context()) },
			func() []doctor.Finding { return b.edge.Examine(t.Context()) },
			func() []doctor.Finding { return b.outside.Examine(t.Context()) },
		}
		results := make([][]doctor.Finding, len(looks))
		var wg sync.WaitGroup
		began := time.Now()
		for i, look := range looks {
			wg.Go(func() { results[i] = look() })
		}
		wg.Wait()
		if took := time.Since(began); took > 90*time.Second {
			t.Errorf("the examination took %v", took)
		}
		all = slices.Concat(results...)
	})
	for _, f := range all {
		if c := f.Code + " " + string(f.From); !slices.Contains(codes, c) {
			codes = append(codes, c)
		}
		if _, ok := doctor.Lookup(f.Code); !ok {
			t.Errorf("finding %s is not in the catalogue", f.Code)
		} else if !slices.Contains(f.Entry().From, f.From) {
			t.Errorf("the catalogue does not say that %s is seen from %s", f.Code, f.From)
		}
		if f.Subject == "" || len(f.Evidence) == 0 {
			t.Errorf("finding without subject or evidence: %+v", f)
		}
	}
	slices.Sort(codes)
	return codes, all
}

// run builds d in a bubble, calls f and takes everything down.
func (d *deployment) run(t *testing.T, f func(*testing.T, *built)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		must := func(err error) {
			if err != nil {
				t.Fatal(err)
			}
		}
		host := func(address, router string) vnet.HostConfig {
			h := vnet.HostConfig{Interfaces: map[string]netip.Prefix{}, Resolver: []netip.Addr{addr("192.0.2.53")}}
			if router == "" {
				h.Interfaces["internet"] = prefix(address + "/0")
			} else {
				h.Interfaces["perimeter"], h.Routes = prefix(address+"/24"), map[string]netip.Addr{"default": addr(router)}
			}
			return h
		}
		gateway, edge := host("10.11.12.40", "10.11.12.1"), host("10.11.12.33", "10.11.12.1")
		gateway.HostsFile, edge.HostsFile = d.gatewayFile, d.edgeFile
		topology := vnet.Topology{
			Segments: map[string]vnet.SegmentConfig{
				"internet":  {Prefixes: []netip.Prefix{prefix("0.0.0.0/0")}, Link: vnet.LinkConfig{Latency: 20 * time.Millisecond}},
				"perimeter": {Prefixes: []netip.Prefix{prefix("10.11.12.0/24")}, Link: vnet.LinkConfig{Latency: time.Millisecond}},
			},
			Routers: map[string]vnet.RouterConfig{"firewall": {
				Interfaces: map[string]netip.Prefix{"internet": prefix("12.34.56.78/0"), "perimeter": prefix("10.11.12.1/24")},
				Addresses:  map[string][]netip.Addr{"internet": {addr("12.34.56.79")}},
				Rules:      d.rules, Masquerade: []string{"internet"}, Forwards: d.forwards, Hairpin: d.hairpin,
			}},
			Hosts: map[string]vnet.HostConfig{
				"xmpp": gateway, "edge": edge, "talk0": host("74.125.45.125", ""), "talk1": host("74.125.47.125", ""),
				"ns": host("192.0.2.53", ""), "outside": host("198.51.100.7", ""),
			},
		}
		if d.network != nil {
			d.network(&topology)
		}
		n, err := vnet.New(topology, vnet.Options{Seed: 1 + d.seed})
		must(err)
		defer n.Close()
		ns, err := dns.Start(t.Context(), dns.Config{Network: n.Host("ns"), Zones: d.zones, Faults: d.faults})
		must(err)
		defer ns.Close()

		authority, err := pki.NewAuthority("private-ca", pki.AuthorityOptions{Issuing: true})
		must(err)
		stranger, err := pki.NewAuthority("public-ca", pki.AuthorityOptions{})
		must(err)
		pair := func(leaf pki.Leaf, alter func(*pki.Pair) *pki.Pair) tls.Certificate {
			p, err := authority.Issue(leaf)
			must(err)
			if alter != nil {
				p = alter(p)
			}
			return p.TLS()
		}
		roots := func(at string) *x509.CertPool {
			if d.otherRootAt == at {
				return pki.Roots(stranger)
			}
			pool := pki.Roots(authority)
			if d.issuingKnown {
				pool.AddCert(authority.Issuing())
			}
			return pool
		}
		gatewayPair, edgePair := pair(d.gatewayLeaf, d.alterGateway), pair(d.edgeLeaf, d.alterEdge)

		var servers stubs
		defer servers.close()
		servers.sip(t, n.Host("edge"), listener(edgePair, roots("edge"), d.edgeTLS), d.edgeSays)
		if !d.stopped {
			servers.sip(t, n.Host("xmpp"), listener(gatewayPair, roots("gateway"), d.gatewayTLS), d.gatewaySays)
			servers.listen(t, n.Host("xmpp"), ":5269", d.gatewayXMPP)
		}
		for name, answer := range d.farm {
			servers.listen(t, n.Host(name), ":5269", answer)
		}
		var status func(context.Context) ([]byte, error)
		if d.status != "" {
			status = func(context.Context) ([]byte, error) { return []byte(d.status), nil }
		}
		f(t, &built{
			gateway: doctor.Gateway{Status: status, Network: n.Host("xmpp"), Problem: d.problem, Config: &config.Config{
				Hostname: d.hostname,
				SIP: config.SIP{Listen: ":5061", Certificate: config.Certificate{Cert: "gateway.pem", Key: "gateway.key", Pair: gatewayPair, Roots: roots("gateway")},
					Domains: map[string]config.SIPDomain{"contoso.com": d.sip}},
				XMPP: config.XMPP{Listen: ":5269", Certificate: d.xmppCertificate, Domains: map[string]config.XMPPDomain{"gmail.com": d.xmpp}},
			}},
			edge: doctor.Edge{Network: n.Host("edge"), Name: "sip.contoso.com", Allow: d.allow, Certificate: edgePair, Roots: roots("edge"),
				Log: func() []string { return d.log }},
			outside: doctor.Outside{Network: n.Host("outside"), Domain: "contoso.com", Addresses: d.addresses, Roots: d.trusted},
		})
	})
}

// listener is the TLS of a server that wants and verifies a client's certificate, but not its name.
func listener(pair tls.Certificate, roots *x509.CertPool, change func(*tls.Config)) *tls.Config {
	c := &tls.Config{
		Certificates: []tls.Certificate{pair}, ClientAuth: tls.RequireAnyClientCert, MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS12,
		VerifyConnection: func(s tls.ConnectionState) error {
			if len(s.PeerCertificates) == 0 {
				return nil
			}
			between := x509.NewCertPool()
			for _, c := range s.PeerCertificates[1:] {
				between.AddCert(c)
			}
			_, err := s.PeerCertificates[0].Verify(x509.VerifyOptions{Roots: roots, Intermediates: between, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}})
			return err
		},
	}
	if change != nil {
		change(c)
	}
	return c
}

// stubs are simple servers, and their end.
type stubs struct {
	mu    sync.Mutex
	ends  []io.Closer
	conns sync.WaitGroup
}

func (s *stubs) listen(t *testing.T, h *vnet.Host, address string, serve func(net.Conn)) {
	l, err := h.Listen(t.Context(), "tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	s.ends = append(s.ends, l)
	s.conns.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			s.mu.Lock()
			s.ends = append(s.ends, c)
			s.mu.Unlock()
			s.conns.Go(func() {
				defer c.Close()
				serve(c)
			})
		}
	})
}

func (s *stubs) close() {
	s.mu.Lock()
	ends := slices.Clone(s.ends)
	s.mu.Unlock()
	for _, e := range ends {
		_ = e.Close()
	}
	s.conns.Wait()
}

// sip answers OPTIONS on 5061. It fails the test if anything else is asked.
func (s *stubs) sip(t *testing.T, h *vnet.Host, c *tls.Config, answer func(to, from string) string) {
	s.listen(t, h, ":5061", func(raw net.Conn) {
		conn := tls.Server(raw, c)
		if conn.Handshake() != nil {
			return
		}
		r := textproto.NewReader(bufio.NewReader(conn))
		for {
			line, err := r.ReadLine()
			if err != nil {
				return
			}
			method, _, _ := strings.Cut(line, " ")
			if method != "OPTIONS" {
				t.Errorf("the doctor sent %q", line)
			}
			m, err := r.ReadMIMEHeader()
			if err != nil {
				t.Errorf("the doctor's request cannot be read: %v", err)
				return
			}
			text := answer(m.Get("To"), m.Get("From"))
			if text == "" {
				continue
			}
			fmt.Fprintf(conn, "SIP/2.0 %s\r\nVia: %s\r\nFrom: %s\r\nTo: %s;tag=1\r\nCall-ID: %s\r\nCSeq: %s\r\nContent-Length: 0\r\n\r\n",
				text, m.Get("Via"), m.Get("From"), m.Get("To"), m.Get("Call-Id"), m.Get("Cseq"))
		}
	})
}
