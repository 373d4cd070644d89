package xmpps2s

import (
	"crypto/tls"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"fedlab/gateway/im"
)

func TestRace(t *testing.T) {
	row(t, "an address family that does not work delays little", nil, func(t *testing.T, l *lab) {
		l.w.hosts["xmpp-server.l.google.com"] = []netip.Addr{netip.MustParseAddr("2001:db8::1"), netip.MustParseAddr("2001:db8::2"), netip.MustParseAddr("192.0.2.1")}
		l.w.dropped["[2001:db8::1]:5269"], l.w.dropped["[2001:db8::2]:5269"] = true, true
		began := time.Now()
		out := l.send(im.Message{Body: "x"})
		l.accepted().expect("</message>")
		delivered(t, out)
		if took := time.Since(began); took > 500*time.Millisecond {
			t.Errorf("after %v", took)
		}
		if d := l.w.dialled(); len(d) != 2 || d[1] != gmailAddr {
			t.Errorf("dialled %v", d)
		}
	})
	row(t, "a loser of the race is tried again if the winner is of no use", nil, func(t *testing.T, l *lab) {
		l.w.hosts["xmpp-server.l.google.com"] = []netip.Addr{netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.9")}
		other, err := l.w.host("192.0.2.9").Listen(t.Context(), "tcp", ":5269")
		if err != nil {
			t.Fatal(err)
		}
		defer other.Close()
		out := l.send(im.Message{Body: "x"})
		l.accept().conn.Close()
		c, err := other.Accept()
		if err != nil {
			t.Fatal(err)
		}
		p := &peer{t: t, conn: c}
		p.answerHeader("")
		p.proves()
		p.expect("</message>")
		delivered(t, out)
	})
}

func TestRedirect(t *testing.T) {
	elsewhere := func(place string) string {
		return "<stream:error><see-other-host xmlns='urn:ietf:params:xml:ns:xmpp-streams'>" + place + "</see-other-host></stream:error></stream:stream>"
	}
	for _, place := range []string{"192.0.2.9:5270", "other.example.net:5270", "[2001:db8::9]:5270", "federation.example.net"} {
		row(t, "S30 see-other-host "+place+" keeps to and identities", nil, func(t *testing.T, l *lab) {
			l.w.hosts["other.example.net"] = []netip.Addr{netip.MustParseAddr("192.0.2.9")}
			l.w.srv["_xmpp-server._tcp.federation.example.net"] = []*net.SRV{{Target: "other.example.net.", Port: 5270}}
			address := "192.0.2.9"
			if strings.Contains(place, "::") {
				address = "[2001:db8::9]"
			}
			other, err := l.w.host("192.0.2.9").Listen(t.Context(), "tcp", address+":5270")
			if err != nil {
				t.Fatal(err)
			}
			defer other.Close()
			out := l.send(im.Message{Body: "x"})
			p := l.accept()
			p.answerHeader("")
			p.send(elsewhere(place))
			c, err := other.Accept()
			if err != nil {
				t.Fatal(err)
			}
			q := &peer{t: t, conn: c}
			if h := q.answerHeader(""); !strings.Contains(h, "to='gmail.com'") {
				t.Errorf("header %s", h)
			}
			q.proves()
			q.expect("</message>")
			delivered(t, out)
		})
	}
	row(t, "S30 at most five hops", nil, func(t *testing.T, l *lab) {
		out := l.send(im.Message{Body: "x"})
		hosts := []string{"192.0.2.2", "192.0.2.3", "192.0.2.4", "192.0.2.5", "192.0.2.6", "192.0.2.7", "192.0.2.8"}
		p := l.accept()
		for i, a := range hosts {
			ln, err := l.w.host(a).Listen(t.Context(), "tcp", a+":5269")
			if err != nil {
				t.Fatal(err)
			}
			defer ln.Close()
			p.answerHeader("")
			p.send(elsewhere(a))
			if i == 5 {
				break
			}
			c, err := ln.Accept()
			if err != nil {
				t.Fatal(err)
			}
			p = &peer{t: t, conn: c}
		}
		if f := want(t, out, im.RemoteServerTimeout); !strings.Contains(f.Text, "too often") {
			t.Errorf("text %q", f.Text)
		}
	})
	row(t, "S30 a redirect to nowhere", nil, func(t *testing.T, l *lab) {
		for _, place := range []string{"gmail.com:0", "a b", ":5269", "xmpp-server.l.google.com:5269"} {
			out := l.send(im.Message{Body: "x"})
			p := l.accept()
			p.answerHeader("")
			p.send(elsewhere(place))
			want(t, out, im.RemoteServerTimeout)
		}
	})
}

func TestDirectTLS(t *testing.T) {
	tlsRow(t, "XEP-0368 TLS from the first byte, with SNI and ALPN, and no STARTTLS inside", optional, func(t *testing.T, l *lab, c *certs) {
		l.w.srv["_xmpps-server._tcp.gmail.com"] = []*net.SRV{{Target: "xmpp-server.l.google.com.", Port: 5269, Priority: 1}}
		out := l.send(im.Message{Body: "x"})
		p := l.accept()
		conn := tls.Server(p.conn, &tls.Config{Certificates: []tls.Certificate{c.gmail}, NextProtos: []string{"xmpp-server"}})
		p.conn = conn
		p.answerHeader(" version='1.0'")
		p.send(offer(dialback))
		p.proves()
		p.expect("</message>")
		delivered(t, out)
		if s := conn.ConnectionState(); s.ServerName != "gmail.com" || s.NegotiatedProtocol != "xmpp-server" {
			t.Errorf("SNI %q, ALPN %q", s.ServerName, s.NegotiatedProtocol)
		}
		if s := l.s.Status().Links[0]; s.Proof != (Proof{By: "dialback in TLS", TLS: "TLS 1.3 direct"}) {
			t.Errorf("proof %+v", s.Proof)
		}
	})
	tlsRow(t, "XEP-0368 the next record if there is no TLS", optional, func(t *testing.T, l *lab, c *certs) {
		l.w.srv["_xmpps-server._tcp.gmail.com"] = []*net.SRV{{Target: "direct.google.com.", Port: 5270, Priority: 1}}
		l.w.hosts["direct.google.com"] = []netip.Addr{netip.MustParseAddr("192.0.2.99")}
		out := l.send(im.Message{Body: "x"})
		l.accepted().expect("</message>")
		delivered(t, out)
	})
	tlsRow(t, "XEP-0368 the same port without TLS, where the record for TLS has that of the other", optional, func(t *testing.T, l *lab, c *certs) {
		l.w.srv["_xmpps-server._tcp.gmail.com"] = []*net.SRV{{Target: "xmpp-server.l.google.com.", Port: 5269, Priority: 1}}
		out := l.send(im.Message{Body: "x"})
		l.accept().conn.Close() // what comes is no XML
		l.accepted().expect("</message>")
		delivered(t, out)
	})
	tlsRow(t, "XEP-0368 a target of . is no service, and no reason to use the domain's address", optional, func(t *testing.T, l *lab, c *certs) {
		l.w.srv["_xmpps-server._tcp.gmail.com"] = []*net.SRV{{Target: "."}}
		l.w.srv["_xmpp-server._tcp.gmail.com"] = nil
		l.w.hosts["gmail.com"] = []netip.Addr{netip.MustParseAddr("192.0.2.1")}
		want(t, l.send(im.Message{Body: "x"}), im.RemoteServerNotFound)
		if len(l.w.dialled()) != 0 {
			t.Errorf("dialled %v", l.w.dialled())
		}
	})
	row(t, "XEP-0368 is not asked for where the policy forbids TLS", nil, func(t *testing.T, l *lab) {
		out := l.send(im.Message{Body: "x"})
		l.accepted().expect("</message>")
		delivered(t, out)
		if slices.Contains(l.w.lookups, "_xmpps-server._tcp.gmail.com") {
			t.Errorf("looked up %v", l.w.lookups)
		}
	})
}
