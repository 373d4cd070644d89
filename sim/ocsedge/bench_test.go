package ocsedge

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"testing"

	"fedlab/internal/pki"
)

// loopback is this machine's own network, in which every name is this machine.
type loopback struct{}

func (loopback) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	return (&net.Dialer{}).DialContext(ctx, network, address)
}
func (loopback) Listen(ctx context.Context, network, address string) (net.Listener, error) {
	return (&net.ListenConfig{}).Listen(ctx, network, address)
}
func (loopback) LookupNetIP(context.Context, string, string) ([]netip.Addr, error) {
	return []netip.Addr{netip.MustParseAddr("127.0.0.1")}, nil
}
func (loopback) LookupSRV(_ context.Context, _, _, name string) (string, []*net.SRV, error) {
	return "", nil, &net.DNSError{Err: "no such host", Name: name, IsNotFound: true}
}

// BenchmarkInbound is what one MESSAGE in a session costs the fake, which shares its processor with what is measured.
func BenchmarkInbound(b *testing.B) {
	ca, err := pki.NewAuthority("private-ca", pki.AuthorityOptions{})
	if err != nil {
		b.Fatal(err)
	}
	issue := func(name string) tls.Certificate {
		p, err := ca.Issue(pki.Leaf{Subject: name})
		if err != nil {
			b.Fatal(err)
		}
		return p.TLS()
	}
	e, err := Start(b.Context(), Config{Network: loopback{}, Name: "sip.contoso.com", Federation: "127.0.0.1:0", Certificate: issue("sip.contoso.com"),
		Roots: pki.Roots(ca), Domains: []string{"contoso.com"}, Allow: map[string]string{"gmail.com": "xmpp.jds.local"}, Users: []User{{Address: "alice@contoso.com"}}})
	if err != nil {
		b.Fatal(err)
	}
	defer e.Close()
	c, err := tls.Dial("tcp", e.Addr().String(), &tls.Config{InsecureSkipVerify: true, Certificates: []tls.Certificate{issue("xmpp.jds.local")}})
	if err != nil {
		b.Fatal(err)
	}
	defer c.Close()
	r := newReader(bufio.NewReaderSize(c, 64<<10))
	write := func(s string) {
		if _, err := c.Write([]byte(strings.ReplaceAll(s, "\n", "\r\n"))); err != nil {
			b.Fatal(err)
		}
	}
	head := "Via: SIP/2.0/TLS xmpp.jds.local:5061;branch=z9hG4bK%s\nMax-Forwards: 70\nFrom: <sip:bob@gmail.com>;tag=a1\nTo: %s\nCall-ID: c1\nCSeq: %d %s\n"
	write(sized("INVITE sip:alice@contoso.com SIP/2.0\n"+fmt.Sprintf(head, "i", "<sip:alice@contoso.com>", 1, "INVITE")+peerAnswer, peerSDP))
	var ok *message
	for ok == nil || ok.status < 200 {
		if ok, _, err = r.next(); err != nil {
			b.Fatal(err)
		}
	}
	d := (&peer{}).dialog(ok, 1)
	start := func(method string) string { return method + " " + d.target + " SIP/2.0\n" + d.routes }
	write(sized(start("ACK")+fmt.Sprintf(head, "a", d.to, 1, "ACK"), ""))
	b.ResetTimer()
	go func() {
		for i := range b.N {
			text := sized(start("MESSAGE")+fmt.Sprintf(head, fmt.Sprint("m", i), d.to, i+2, "MESSAGE")+"Content-Type: text/plain\n", "hello")
			if _, err := c.Write([]byte(strings.ReplaceAll(text, "\n", "\r\n"))); err != nil {
				return
			}
		}
	}()
	for range b.N {
		if m, _, err := r.next(); err != nil || m.status != 200 {
			b.Fatal(m, err)
		}
	}
}
