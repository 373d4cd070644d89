package networktest

import (
	"context"
	"net/netip"
	"strings"

	"github.com/miekg/dns"

	"fedlab/internal/network"
)

// Names is what ServeDNS serves.
var Names = DNS{
	Host: "host.example.org", SRV: "example.org", Addr: netip.MustParseAddr("127.0.0.1"),
	Targets: []string{"first.example.org.", "second.example.org.", "third.example.org."},
	Missing: "missing.example.org", Empty: "empty.example.org", Broken: "broken.example.org", Silent: "silent.example.org",
}

// ServeDNS serves a small zone over UDP and TCP on one address of a network and returns where, and what stops it.
// addr is the address that Names.Host gets.
func ServeDNS(ctx context.Context, n network.PacketNetwork, address string, addr netip.Addr) (string, func(), error) {
	pc, err := n.ListenPacket(ctx, "udp", address)
	if err != nil {
		return "", nil, err
	}
	l, err := n.Listen(ctx, "tcp", pc.LocalAddr().String())
	if err != nil {
		pc.Close()
		return "", nil, err
	}
	started := make(chan struct{}, 2)
	done := make(chan struct{}, 2)
	var servers []*dns.Server
	for _, s := range []*dns.Server{{PacketConn: pc}, {Listener: l}} {
		s.Handler = dns.HandlerFunc(func(w dns.ResponseWriter, q *dns.Msg) { answer(w, q, addr) })
		s.NotifyStartedFunc = func() { started <- struct{}{} }
		servers = append(servers, s)
		go func() {
			s.ActivateAndServe()
			done <- struct{}{}
		}()
	}
	<-started
	<-started
	stop := func() {
		for _, s := range servers {
			s.Shutdown()
		}
		<-done
		<-done
	}
	return pc.LocalAddr().String(), stop, nil
}

func answer(w dns.ResponseWriter, q *dns.Msg, addr netip.Addr) {
	m := new(dns.Msg)
	m.SetReply(q)
	m.Authoritative = true
	name := strings.ToLower(q.Question[0].Name)
	add := func(rr string) {
		r, err := dns.NewRR(rr)
		if err != nil {
			panic(err) // a constant of this file
		}
		m.Answer = append(m.Answer, r)
	}
	switch {
	case name == Names.Silent+".":
		return
	case name == Names.Broken+".":
		m.Rcode, m.Authoritative = dns.RcodeServerFailure, false
	case name == Names.Empty+".":
	case name == Names.Host+".":
		if q.Question[0].Qtype == dns.TypeA {
			add(name + " 60 A " + addr.String())
		}
	case name == "_xmpp-server._tcp."+Names.SRV+".":
		if w.LocalAddr().Network() == "udp" { // too much for a datagram, says this server
			m.Truncated = true
			break
		}
		add(name + " 60 SRV 30 0 5269 third.example.org.")
		add(name + " 60 SRV 10 0 5269 first.example.org.")
		add(name + " 60 SRV 20 0 5269 second.example.org.")
	default:
		m.Rcode = dns.RcodeNameError
	}
	w.WriteMsg(m)
}
