package vnet

import (
	"context"
	"io"
	"net"
	"testing"
	"testing/synctest"
	"time"
)

// BenchmarkTransfer moves a gigabyte through one TCP connection across a router that translates: bytes per second of wall time.
func BenchmarkTransfer(b *testing.B) {
	const size = 1 << 30
	for _, path := range []struct{ name, from, to, address string }{
		{"segment", "xmpp", "dc", "10.11.12.10:1"},
		{"translated", "talk", "xmpp", "12.34.56.78:5269"},
	} {
		b.Run(path.name, func(b *testing.B) {
			b.SetBytes(size)
			b.ReportAllocs()
			var packets uint64
			for b.Loop() {
				inBubble(b, func() {
					n, err := New(contoso(), Options{})
					if err != nil {
						b.Fatal(err)
					}
					defer n.Close()
					c, s := benchPair(b, n, path.from, path.to, path.address)
					go func() {
						chunk := make([]byte, 64<<10)
						for range size / len(chunk) {
							c.Write(chunk)
						}
						c.Close()
					}()
					if k, err := io.Copy(io.Discard, onlyReader{s}); k != size || err != nil {
						b.Errorf("%d bytes, %v", k, err)
					}
					s.Close()
					packets += n.serial
				})
			}
			b.ReportMetric(float64(packets)/b.Elapsed().Seconds(), "packets/s")
		})
	}
}

// BenchmarkIdle lets ten connections across routers idle for a day, with their keep-alive probes: virtual seconds per second
// of wall time.
func BenchmarkIdle(b *testing.B) {
	const day = 24 * time.Hour
	for b.Loop() {
		inBubble(b, func() {
			n, err := New(contoso(), Options{})
			if err != nil {
				b.Fatal(err)
			}
			defer n.Close()
			for range 10 {
				c, s := benchPair(b, n, "talk", "xmpp", "12.34.56.78:5269")
				defer c.Close()
				defer s.Close()
			}
			time.Sleep(day)
		})
	}
	b.ReportMetric(float64(b.N)*day.Seconds()/b.Elapsed().Seconds(), "virtual-s/s")
}

type onlyReader struct{ io.Reader }

// inBubble runs f in a bubble, for which a test is needed.
func inBubble(b *testing.B, f func()) {
	all := func(string, string) (bool, error) { return true, nil }
	test := testing.InternalTest{Name: b.Name(), F: func(t *testing.T) { synctest.Test(t, func(*testing.T) { f() }) }}
	if !testing.RunTests(all, []testing.InternalTest{test}) {
		b.Fail()
	}
}

func benchPair(b *testing.B, n *Net, from, to, address string) (c, s *TCPConn) {
	_, port, _ := net.SplitHostPort(address)
	ctx := context.Background() // the benchmark's own context is not of this bubble
	l, err := n.Host(to).Listen(ctx, "tcp", ":"+port)
	if err != nil {
		b.Fatal(err)
	}
	defer l.Close()
	client, err := n.Host(from).DialContext(ctx, "tcp", address)
	if err != nil {
		b.Fatal(err)
	}
	server, err := l.Accept()
	if err != nil {
		b.Fatal(err)
	}
	return client.(*TCPConn), server.(*TCPConn)
}
