package doctor_test

import (
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"fedlab/doctor"
	"fedlab/gateway/config"
	"fedlab/internal/pki"
	"fedlab/sim/vnet"
)

// tunnel is a narrow link on the way between the gateway and the Internet, or between the gateway and the Edge.
type tunnel struct {
	toEdge        bool
	silentOutward bool // the router at the gateway's end says nothing
	silentInward  bool // the one at the other end
	clamps        bool
}

func (l tunnel) lay(t *vnet.Topology) {
	hop := func(perimeter, own string, silent bool) vnet.RouterConfig {
		return vnet.RouterConfig{
			Interfaces: map[string]netip.Prefix{"perimeter": prefix(perimeter + "/24"), "tunnel": prefix(own + "/30")}, Routes: map[string]netip.Addr{},
			Silent: silent, ClampMSS: l.clamps,
		}
	}
	t.Segments["tunnel"] = vnet.SegmentConfig{Prefixes: []netip.Prefix{prefix("10.11.14.0/30")}, Link: vnet.LinkConfig{MTU: 1400}}
	near, far := hop("10.11.12.3", "10.11.14.1", l.silentOutward), hop("10.11.12.4", "10.11.14.2", l.silentInward)
	t.Routers["near"], t.Routers["far"] = near, far
	far.Routes["10.11.12.40/32"] = addr("10.11.14.1")
	if l.toEdge {
		t.Hosts["xmpp"].Routes["10.11.12.33/32"], t.Hosts["edge"].Routes["10.11.12.40/32"] = addr("10.11.12.3"), addr("10.11.12.4")
		near.Routes["10.11.12.33/32"] = addr("10.11.14.2")
		return
	}
	t.Hosts["xmpp"].Routes["default"] = addr("10.11.12.3")
	near.Routes["default"], far.Routes["default"] = addr("10.11.14.2"), addr("10.11.12.1")
	firewall := t.Routers["firewall"]
	firewall.Routes = map[string]netip.Addr{"10.11.12.40/32": addr("10.11.12.4")}
	t.Routers["firewall"] = firewall
}

// manyNames make a certificate that does not fit into one packet.
func manyNames(first string) []string {
	names := []string{first}
	for i := range 40 {
		names = append(names, fmt.Sprintf("sip.branch-%02d.contoso.com", i))
	}
	return names
}

// A narrow link is found where somebody is not told, by whoever can prove it, and the evidence says whose packets get lost.
func TestNarrowLinks(t *testing.T) {
	const ours = "what this machine sends gets lost"
	theirs := func(address string) string { return "what " + address + " sends gets lost" }
	for name, tt := range map[string]struct {
		link   tunnel
		change func(*deployment)
		want   string
		said   []string // by the findings in their order
	}{
		"to the Internet":   {tunnel{silentOutward: true}, nil, "net.mtu gateway", []string{ours}},
		"from the Internet": {tunnel{silentInward: true}, nil, "net.mtu outside", []string{ours}},
		"to the Edge":       {tunnel{toEdge: true, silentOutward: true}, nil, "net.mtu gateway", []string{ours}},
		"from the Edge":     {tunnel{toEdge: true, silentInward: true}, nil, "net.mtu edge", []string{ours}},
		"from the Edge, whose certificate is long": {tunnel{toEdge: true, silentInward: true}, func(d *deployment) { d.edgeLeaf.Names = manyNames("sip.contoso.com") },
			"net.mtu edge, net.mtu gateway", []string{ours, theirs("10.11.12.33:5061")}},
		"from the gateway, whose certificate is long": {tunnel{toEdge: true, silentOutward: true}, func(d *deployment) { d.gatewayLeaf.Names = manyNames("xmpp.jds.local") },
			"net.mtu edge, net.mtu gateway", []string{theirs("10.11.12.40:5061"), ours}},
		"from the Internet, where servers encrypt": {tunnel{silentInward: true}, func(d *deployment) { d.encrypt(t, "gmail.com") },
			"net.mtu gateway, net.mtu outside", []string{theirs("74.125.45.125:5269"), ours}},
		"both ways":       {tunnel{toEdge: true, silentOutward: true, silentInward: true}, nil, "net.mtu edge, net.mtu gateway", []string{ours, ours}},
		"over a bad line": {tunnel{silentOutward: true}, func(d *deployment) { d.network = lossy(d.network, 0.05) }, "net.mtu gateway", []string{ours}},

		"routers that say so": {tunnel{}, nil, "", nil},
		"routers that say so, to the Edge": {tunnel{toEdge: true}, func(d *deployment) {
			d.edgeLeaf.Names, d.gatewayLeaf.Names = manyNames("sip.contoso.com"), manyNames("xmpp.jds.local")
		}, "", nil},
		"silent routers that clamp": {tunnel{silentOutward: true, silentInward: true, clamps: true}, nil, "", nil},
	} {
		t.Run(name, func(t *testing.T) {
			d := healthy()
			d.network = tt.link.lay
			if tt.change != nil {
				tt.change(d)
			}
			codes, all := d.examine(t)
			if strings.Join(codes, ", ") != tt.want {
				t.Fatalf("found %v, want %s\n%s", codes, tt.want, text(t, all))
			}
			slices.SortFunc(all, func(a, b doctor.Finding) int { return strings.Compare(string(a.From), string(b.From)) })
			for i, said := range tt.said {
				if evidence := strings.Join(all[i].Evidence, "\n"); !strings.Contains(evidence, said) {
					t.Errorf("the evidence from the %s does not say %q:\n%s", all[i].From, said, evidence)
				}
			}
		})
	}
}

// encrypt lets the farm's first server take up STARTTLS, with a certificate for a name.
func (d *deployment) encrypt(t *testing.T, name string) {
	x := newXMPPCertificates(t)
	d.xmpp.TLS, d.xmppCertificate = config.TLSOptional, config.Certificate{Cert: "xmpp.pem", Key: "xmpp.key", Pair: x.of(year, "contoso.com"), Roots: pki.Roots(x.authority)}
	d.farm["talk0"] = encrypts(&tls.Config{Certificates: []tls.Certificate{x.of(year, name)}})
}

// lossy makes every link lose a share of what it carries.
func lossy(also func(*vnet.Topology), share float64) func(*vnet.Topology) {
	return func(t *vnet.Topology) {
		if also != nil {
			also(t)
		}
		for name, s := range t.Segments {
			s.Link.Loss = share
			t.Segments[name] = s
		}
	}
}

// A handshake that meets with silence once is no finding: what is found is what is seen over the second one.
func TestSilentOnce(t *testing.T) {
	for refuses, want := range map[bool]string{false: "", true: "edge.refused gateway"} {
		d := healthy()
		var calls atomic.Int32
		d.edgeTLS = func(c *tls.Config) {
			c.GetConfigForClient = func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
				if calls.Add(1) == 1 {
					_, _ = io.Copy(io.Discard, hello.Conn)
				}
				return nil, nil
			}
		}
		if refuses {
			d.edgeSays = fixed("504 Server time-out")
		}
		if codes, all := d.examine(t); strings.Join(codes, ", ") != want {
			t.Errorf("found %v, want %s\n%s", codes, want, text(t, all))
		}
	}
}

// What only looks like it is not taken for it: a bad or slow line, and servers that do not like what is long or are silent by themselves.
func TestNotNarrow(t *testing.T) {
	for name, change := range map[string]func(*deployment){
		"a line that loses three in ten": func(d *deployment) { d.network = lossy(nil, 0.3) },
		"a line that loses half":         func(d *deployment) { d.network = lossy(nil, 0.5) },
		"a modem": func(d *deployment) {
			d.network = func(t *vnet.Topology) {
				s := t.Segments["internet"]
				s.Link.Bandwidth, s.Link.Latency = 9600, time.Second
				t.Segments["internet"] = s
			}
		},
		"servers that are silent about long openings": func(d *deployment) {
			answer := d.gatewayXMPP
			patient := func(c net.Conn) {
				opening := make([]byte, 8192)
				n, err := io.ReadAtLeast(c, opening, 100)
				if err != nil || n > 1000 {
					silence(c)
					return
				}
				left, right := net.Pipe()
				defer left.Close()
				go func() { defer right.Close(); answer(right) }()
				_, _ = left.Write(opening[:n])
				go func() { _, _ = io.Copy(left, c); left.Close() }()
				_, _ = io.Copy(c, left)
			}
			d.gatewayXMPP, d.farm["talk0"] = patient, patient
		},
		"a TLS server that is silent to those it could serve": func(d *deployment) {
			d.edgeTLS = func(c *tls.Config) {
				c.GetConfigForClient = func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
					if len(hello.CipherSuites) > 1 {
						_, _ = io.Copy(io.Discard, hello.Conn)
					}
					return nil, nil
				}
			}
		},
		"a filter that swallows whatever is said": func(d *deployment) {
			d.network = func(t *vnet.Topology) {
				tunnel{toEdge: true}.lay(t)
				near := t.Routers["near"]
				near.Rules = []vnet.Rule{{Name: "data", To: "tunnel", Protocol: "tcp", Port: 5061, Stateless: true, Flags: "ACK PSH", Verdict: vnet.Drop}}
				t.Routers["near"] = near
			}
		},
		"a TLS server that says nothing": func(d *deployment) { d.edgeTLS, d.edgeSays = nil, fixed("") },
	} {
		t.Run(name, func(t *testing.T) {
			for seed := range uint64(5) {
				d := healthy()
				d.seed = seed
				change(d)
				if codes, all := d.examine(t); slices.ContainsFunc(codes, func(c string) bool { return strings.HasPrefix(c, "net.mtu") }) {
					t.Errorf("seed %d: findings: %s\n%s", seed, strings.Join(codes, ", "), text(t, all))
				}
			}
		})
	}
}
