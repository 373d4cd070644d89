package ocsedge

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/netip"
	"strings"
	"testing"
)

// nowhere is a network without anybody.
type nowhere struct{}

var errNowhere = errors.New("nowhere")

func (nowhere) DialContext(context.Context, string, string) (net.Conn, error) { return nil, errNowhere }
func (nowhere) Listen(context.Context, string, string) (net.Listener, error)  { return nil, errNowhere }
func (nowhere) LookupNetIP(context.Context, string, string) ([]netip.Addr, error) {
	return nil, errNowhere
}
func (nowhere) LookupSRV(context.Context, string, string, string) (string, []*net.SRV, error) {
	return "", nil, errNowhere
}

// FuzzEdge feeds a stranger's messages to an Edge that trusts him, by way of the loop's own functions. Whatever he says, the Edge
// stands, and every answer can be read.
func FuzzEdge(f *testing.F) {
	const invite = "INVITE sip:alice@contoso.com SIP/2.0\r\nVia: SIP/2.0/TLS a.b;branch=z9hG4bK1\r\nMax-Forwards: 70\r\nFrom: <sip:bob@gmail.com>;tag=a1\r\nTo: <sip:alice@contoso.com>\r\nCall-ID: c1\r\nCSeq: 1 INVITE\r\nContact: <sip:a.b:5061;transport=tls>\r\nContent-Type: application/sdp\r\nContent-Length: 26\r\n\r\nm=message 5060 sip null\r\n\r\n"
	f.Add([]byte(invite))
	f.Add([]byte(strings.ReplaceAll(invite, "INVITE", "MESSAGE")))
	f.Add([]byte(invite + strings.ReplaceAll(invite, "INVITE", "CANCEL") + strings.ReplaceAll(invite, "INVITE", "ACK")))
	f.Add([]byte("SUBSCRIBE sip:alice@contoso.com SIP/2.0\r\nVia: SIP/2.0/TLS a.b;branch=z9hG4bK2\r\nMax-Forwards: 70\r\nFrom: <sip:bob@gmail.com>;tag=a1\r\nTo: <sip:alice@contoso.com>\r\nCall-ID: c2\r\nCSeq: 1 SUBSCRIBE\r\nEvent: presence\r\nExpires: 60\r\nContact: <sip:a.b>\r\nContent-Length: 0\r\n\r\n"))
	f.Add([]byte("SIP/2.0 200 OK\r\nVia: SIP/2.0/TLS a.b;branch=z9hG4bK1\r\nFrom: <sip:a@b>;tag=1\r\nTo: <sip:a@b>\r\nCall-ID: c\r\nCSeq: 1 INVITE\r\nContent-Length: 0\r\n\r\n"))
	f.Add([]byte("MESSAGE sip:alice@contoso.com SIP/2.0\r\nVia: SIP/2.0/TLS a.b;branch=z9hG4bK3\r\nMax-Forwards: 70\r\nFrom: <sip:bob@gmail.com>;tag=a1\r\nTo: <sip:alice@contoso.com>\r\nCall-ID: c3\r\nCSeq: 1 MESSAGE\r\nContent-Type: message/cpim\r\nContent-Length: 131\r\n\r\nDateTime: 2000-01-01T00:00:00Z\r\nNS: i <urn:ietf:params:imdn>\r\ni.Message-ID: x\r\n\r\nContent-Type: text/plain\r\nContent-Length: 2\r\n\r\nhi"))
	f.Fuzz(func(t *testing.T, data []byte) {
		e := &Edge{
			cfg: Config{Network: nowhere{}, Name: "sip.contoso.com"}, slog: slog.New(slog.DiscardHandler), events: make(chan func(), 64), done: make(chan struct{}),
			settings: &settings{domains: []string{"contoso.com"}, allow: map[string]string{"gmail.com": "a.b"}, quirks: Quirks{TakesFirstText: true, PageMode: true, Reports: "delivered"}},
			rand:     rand.New(rand.NewPCG(1, 1)), links: map[*link]struct{}{}, hops: map[string]*hop{}, users: map[string]*user{}, partners: map[string]*partner{}, calls: newCalls(),
		}
		e.ctx, e.cancel = context.WithCancel(t.Context())
		defer e.wg.Wait()
		defer e.cancel()
		if err := e.setUsers([]User{{Address: "alice@contoso.com"}, {Address: "busy@contoso.com", State: Busy}}); err != nil {
			t.Fatal(err)
		}
		here, there := net.Pipe()
		defer here.Close()
		defer there.Close()
		l := &link{e: e, raw: here, names: []string{"a.b"}, local: "10.0.0.1:5061", remote: "10.0.0.2:1", queue: newQueue(), closed: make(chan struct{}), waiting: map[string]*clientTransaction{}}
		e.links[l] = struct{}{}
		for r := newReader(bytes.NewReader(data)); ; {
			m, raw, err := r.next()
			if err != nil {
				break
			}
			e.received(l, m, raw)
		}
		for _, b := range l.queue.take() {
			if _, _, err := newReader(bytes.NewReader(b)).next(); err != nil && err != io.EOF {
				t.Fatalf("the Edge says %q: %v", b, err)
			}
		}
	})
}
