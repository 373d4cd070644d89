package dns_test

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"fedlab/sim/dns"
	"fedlab/sim/trace"

	mdns "github.com/miekg/dns"
)

// loopback is the operating system's network.
type loopback struct{ net.Resolver }

func (*loopback) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	return new(net.Dialer).DialContext(ctx, network, address)
}

func (*loopback) Listen(ctx context.Context, network, address string) (net.Listener, error) {
	return new(net.ListenConfig).Listen(ctx, network, address)
}

func (*loopback) ListenPacket(ctx context.Context, network, address string) (net.PacketConn, error) {
	return new(net.ListenConfig).ListenPacket(ctx, network, address)
}

var internet = map[string]map[string][]string{
	"gmail.com": {
		"_xmpp-server._tcp SRV": {
			"5 0 5269 xmpp-server.l.google.com.", "20 0 5269 xmpp-server1.l.google.com.", "20 0 5269 xmpp-server2.l.google.com.",
			"20 0 5269 xmpp-server3.l.google.com.", "20 0 5269 xmpp-server4.l.google.com.",
		},
		"@ A": {"74.125.45.100"},
	},
	"l.google.com": {
		"xmpp-server A": {"74.125.45.125"}, "xmpp-server1 A": {"74.125.155.125"}, "xmpp-server2 A": {"74.125.47.125"},
		"xmpp-server3 A": {"74.125.45.125"}, "xmpp-server4 A": {"74.125.45.125"}, "xmpp-server4 AAAA": {"2001:db8::125"},
	},
	"contoso.com": {
		"_xmpp-server._tcp SRV": {"0 0 5269 xmpp.contoso.com."},
		"xmpp 60 A":             {"12.34.56.78"},
		"im CNAME":              {"xmpp"},
		"forgot CNAME":          {"xmpp.contoso.com"}, // without a dot at the end it is relative
		"away CNAME":            {"www.example.org."},
		"ring1 CNAME":           {"ring2"},
		"ring2 CNAME":           {"ring1"},
		"*.wild A":              {"192.0.2.1"},
		"big TXT":               bigText(),
	},
}

func bigText() []string {
	var all []string
	for i := range 40 {
		all = append(all, fmt.Sprintf("%q", fmt.Sprintf("%d %s", i, strings.Repeat("x", 100))))
	}
	return all
}

func start(t *testing.T, c dns.Config) *dns.Server {
	t.Helper()
	c.Network, c.Listen = new(loopback), "127.76.1.53:0"
	s, err := dns.Start(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// ask asks one question, as "TYPE NAME", over a protocol.
func ask(t *testing.T, s *dns.Server, protocol, question string, edns uint16) (*mdns.Msg, error) {
	t.Helper()
	kind, name, _ := strings.Cut(question, " ")
	m := new(mdns.Msg).SetQuestion(mdns.Fqdn(name), mdns.StringToType[kind])
	if edns > 0 {
		m.SetEdns0(edns, false)
	}
	client := &mdns.Client{Net: protocol, Timeout: 300 * time.Millisecond}
	reply, _, err := client.Exchange(m, s.Addr().String())
	return reply, err
}

// tell is a reply on one line: the code, the answers, and in brackets what else there is.
func tell(m *mdns.Msg) string {
	words := []string{mdns.RcodeToString[m.Rcode]}
	for _, section := range [][]mdns.RR{m.Answer, m.Ns, m.Extra} {
		for _, rr := range section {
			switch h := rr.Header(); h.Rrtype {
			case mdns.TypeOPT:
			case mdns.TypeSOA:
				words = append(words, "SOA="+h.Name)
			default:
				words = append(words, strings.TrimSuffix(h.Name, ".")+"="+strings.TrimPrefix(rr.String(), h.String()))
			}
		}
	}
	if m.Truncated {
		words = append(words, "truncated")
	}
	if m.Authoritative {
		words = append(words, "aa")
	}
	return strings.Join(words, " ")
}

func TestAuthoritative(t *testing.T) {
	s := start(t, dns.Config{Zones: internet})
	for _, tc := range []struct{ question, want string }{
		{"A xmpp.contoso.com", "NOERROR xmpp.contoso.com=12.34.56.78 aa"},
		{"A XMPP.Contoso.COM", "NOERROR xmpp.contoso.com=12.34.56.78 aa"},
		{"A gmail.com", "NOERROR gmail.com=74.125.45.100 aa"},
		{"SRV _xmpp-server._tcp.contoso.com", "NOERROR _xmpp-server._tcp.contoso.com=0 0 5269 xmpp.contoso.com. xmpp.contoso.com=12.34.56.78 aa"},
		{"AAAA xmpp.contoso.com", "NOERROR SOA=contoso.com. aa"},
		{"A lm.contoso.com", "NXDOMAIN SOA=contoso.com. aa"},
		{"A _tcp.contoso.com", "NOERROR SOA=contoso.com. aa"},
		{"A im.contoso.com", "NOERROR im.contoso.com=xmpp.contoso.com. xmpp.contoso.com=12.34.56.78 aa"},
		{"CNAME im.contoso.com", "NOERROR im.contoso.com=xmpp.contoso.com. aa"},
		{"A forgot.contoso.com", "NXDOMAIN forgot.contoso.com=xmpp.contoso.com.contoso.com. SOA=contoso.com. aa"},
		{"A away.contoso.com", "NOERROR away.contoso.com=www.example.org. aa"},
		{"A any.thing.wild.contoso.com", "NOERROR any.thing.wild.contoso.com=192.0.2.1 aa"},
		{"A www.example.org", "REFUSED"},
	} {
		for _, protocol := range []string{"udp", "tcp"} {
			reply, err := ask(t, s, protocol, tc.question, 0)
			if err != nil {
				t.Errorf("%s over %s: %v", tc.question, protocol, err)
				continue
			}
			if got := tell(reply); got != tc.want {
				t.Errorf("%s over %s\n got %s\nwant %s", tc.question, protocol, got, tc.want)
			}
		}
	}
	if reply, err := ask(t, s, "udp", "A ring1.contoso.com", 0); err != nil || reply.Rcode != mdns.RcodeServerFailure {
		t.Errorf("a ring of CNAMEs: %v, %v", reply, err)
	}
	if reply, err := ask(t, s, "udp", "SRV _xmpp-server._tcp.gmail.com", 0); err != nil || len(reply.Answer) != 5 || reply.Truncated {
		t.Errorf("the five targets: %v, %v", reply, err)
	}
}

// What does not fit is truncated over UDP, to what the asker takes, and whole over TCP.
func TestSizes(t *testing.T) {
	s := start(t, dns.Config{Zones: internet})
	for _, tc := range []struct {
		protocol  string
		edns      uint16
		truncated bool
		most      int
	}{{"udp", 0, true, 512}, {"udp", 4096, true, 1232}, {"tcp", 0, false, 65535}} {
		reply, err := ask(t, s, tc.protocol, "TXT big.contoso.com", tc.edns)
		if err != nil {
			t.Fatal(err)
		}
		reply.Compress = true // as it was on the wire
		if reply.Truncated != tc.truncated || reply.Len() > tc.most || !tc.truncated && len(reply.Answer) != 40 {
			t.Errorf("%s with %d: truncated %v, %d bytes, %d records", tc.protocol, tc.edns, reply.Truncated, reply.Len(), len(reply.Answer))
		}
	}
}

func TestFaults(t *testing.T) {
	s := start(t, dns.Config{Zones: internet, Faults: dns.Faults{
		"contoso.com": dns.ServFail, "im.contoso.com": dns.NXDomain, "xmpp.contoso.com AAAA": dns.Silence, "gmail.com": dns.Truncate, "l.google.com.": dns.Refused,
	}})
	for _, tc := range []struct{ protocol, question, want string }{
		{"udp", "A xmpp.contoso.com", "SERVFAIL"},
		{"udp", "A im.contoso.com", "NXDOMAIN"},
		{"udp", "AAAA xmpp.contoso.com", ""},
		{"udp", "A gmail.com", "NOERROR truncated"},
		{"tcp", "A gmail.com", "NOERROR gmail.com=74.125.45.100 aa"},
		{"udp", "A xmpp-server.l.google.com", "REFUSED"},
	} {
		reply, err := ask(t, s, tc.protocol, tc.question, 0)
		got := ""
		if err == nil {
			got = tell(reply)
		}
		if got != tc.want {
			t.Errorf("%s over %s: %q, %v; want %q", tc.question, tc.protocol, got, err, tc.want)
		}
	}
	if err := s.SetFaults(nil); err != nil {
		t.Fatal(err)
	}
	if reply, err := ask(t, s, "udp", "A im.contoso.com", 0); err != nil || reply.Rcode != mdns.RcodeSuccess {
		t.Errorf("after the faults: %v, %v", reply, err)
	}
	if err := s.SetFaults(dns.Faults{".": "lazy"}); err == nil || !strings.Contains(err.Error(), "lazy") {
		t.Errorf("an unknown fault: %v", err)
	}
}

// The perimeter's server knows its own names and asks the Internet's for the rest; what it has cached outlives a change there.
func TestForward(t *testing.T) {
	ns := start(t, dns.Config{Zones: internet})
	dead := start(t, dns.Config{Faults: dns.Faults{".": dns.ServFail}})
	perimeter := map[string]map[string][]string{"jds.local": {"xmpp A": {"10.11.12.40"}, "farm CNAME": {"xmpp-server.l.google.com."}}}
	s := start(t, dns.Config{Zones: perimeter, Forward: []netip.AddrPort{dead.Addr(), ns.Addr()}})
	check := func(question, want string) {
		t.Helper()
		reply, err := ask(t, s, "udp", question, 1232)
		if err != nil {
			t.Errorf("%s: %v", question, err)
		} else if got := tell(reply); got != want {
			t.Errorf("%s\n got %s\nwant %s", question, got, want)
		}
	}
	check("A xmpp.jds.local", "NOERROR xmpp.jds.local=10.11.12.40 aa")
	check("A xmpp.contoso.com", "NOERROR xmpp.contoso.com=12.34.56.78")
	check("A nobody.contoso.com", "NXDOMAIN SOA=contoso.com.")
	check("A farm.jds.local", "NOERROR farm.jds.local=xmpp-server.l.google.com. xmpp-server.l.google.com=74.125.45.125")

	if err := ns.SetZones(map[string]map[string][]string{"contoso.com": {"xmpp A": {"192.0.2.9"}, "nobody A": {"192.0.2.9"}, "new A": {"192.0.2.9"}}}); err != nil {
		t.Fatal(err)
	}
	check("A xmpp.contoso.com", "NOERROR xmpp.contoso.com=12.34.56.78")
	check("A nobody.contoso.com", "NXDOMAIN SOA=contoso.com.")
	check("A new.contoso.com", "NOERROR new.contoso.com=192.0.2.9")

	orphan := start(t, dns.Config{Forward: []netip.AddrPort{dead.Addr()}})
	if reply, err := ask(t, orphan, "udp", "A xmpp.contoso.com", 0); err != nil || reply.Rcode != mdns.RcodeServerFailure {
		t.Errorf("without anybody to ask: %v, %v", reply, err)
	}
}

func TestZoneMistakes(t *testing.T) {
	_, err := dns.Start(t.Context(), dns.Config{Network: new(loopback), Listen: "127.76.1.53:0", Zones: map[string]map[string][]string{
		"contoso.com": {"xmpp": {"1.2.3.4"}, "bad A": {"1.2.3.400"}, "www.example.org. A": {"1.2.3.4"}, "x SRVV": {"0 0 5269 a."}},
	}})
	if err == nil {
		t.Fatal("accepted")
	}
	for _, want := range []string{`"xmpp": a record's key is`, `"1.2.3.400"`, "not in the zone", `"x SRVV"`} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%v\ndoes not mention %s", err, want)
		}
	}
}

func TestTrace(t *testing.T) {
	r := trace.NewRecorder()
	s := start(t, dns.Config{Zones: internet, Trace: r, Host: "ns"})
	for _, q := range []string{"A xmpp.contoso.com", "A lm.contoso.com", "AAAA xmpp.contoso.com"} {
		if _, err := ask(t, s, "udp", q, 0); err != nil {
			t.Fatal(err)
		}
	}
	var got []string
	for _, e := range r.Events() {
		if len(e.Data) == 0 || e.Layer != trace.DNS {
			t.Errorf("%+v", e)
		}
		got = append(got, e.Host+" "+e.Kind+" "+e.Summary)
	}
	want := []string{
		"ns received A xmpp.contoso.com", "ns sent A xmpp.contoso.com: 12.34.56.78",
		"ns received A lm.contoso.com", "ns sent A lm.contoso.com: NXDOMAIN",
		"ns received AAAA xmpp.contoso.com", "ns sent AAAA xmpp.contoso.com: no such record",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// Close ends a server that is waiting for a forwarder and has a TCP connection open.
func TestClose(t *testing.T) {
	silent := start(t, dns.Config{Faults: dns.Faults{".": dns.Silence}})
	s := start(t, dns.Config{Forward: []netip.AddrPort{silent.Addr()}})
	conn, err := net.Dial("tcp", s.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	asked := make(chan error)
	go func() {
		_, _, err := (&mdns.Client{Timeout: 300 * time.Millisecond}).Exchange(new(mdns.Msg).SetQuestion("x.", mdns.TypeA), s.Addr().String())
		asked <- err
	}()
	began := time.Now()
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if d := time.Since(began); d > time.Second {
		t.Errorf("closing took %v", d)
	}
	<-asked
	if c, err := net.Dial("tcp", s.Addr().String()); err == nil {
		c.Close()
		t.Error("still listening")
	}
}

// Whatever a zone says, it is a mistake or it can be asked for.
func FuzzZones(f *testing.F) {
	f.Add("contoso.com", "xmpp A", "12.34.56.78")
	f.Add("contoso.com", "_xmpp-server._tcp 60 SRV", "0 0 5269 xmpp")
	f.Add(".", "@ NS", "a.root-servers.net.")
	f.Add("contoso.com", "$INCLUDE file", "")
	f.Add("contoso.com", "$GENERATE 1-3 A", "192.0.2.$")
	f.Add("contoso.com", "a TXT", "( \"b\"\n c )")
	f.Add("contoso.com", "a A", "192.0.2.1\nb A 192.0.2.2")
	s, err := dns.Start(f.Context(), dns.Config{Network: new(loopback), Listen: "127.76.1.53:0"})
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { s.Close() })
	f.Fuzz(func(t *testing.T, zone, key, value string) {
		if err := s.SetZones(map[string]map[string][]string{zone: {key: {value}}}); err != nil && !strings.HasPrefix(err.Error(), "sim/dns: ") {
			t.Errorf("an error without its package: %v", err)
		}
	})
}
