package sipedge

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"fedlab/gateway/config"
	"fedlab/gateway/im"
	"fedlab/internal/network"
	"fedlab/internal/pki"
)

// lane is a minimal Edge over loopback TCP with TLS: it answers every request 200 and counts, as cheaply as it can.
type lane struct {
	conn  *tls.Conn
	lines *bufio.Reader
}

func (l *lane) next() (start, headers, body string, err error) {
	length := 0
	var b strings.Builder
	for {
		line, err := l.lines.ReadString('\n')
		if err != nil {
			return "", "", "", err
		}
		switch {
		case line == "\r\n" && start != "":
			if length > 0 {
				buf := make([]byte, length)
				if _, err := io.ReadFull(l.lines, buf); err != nil {
					return "", "", "", err
				}
				body = string(buf)
			}
			return start, b.String(), body, nil
		case line == "\r\n":
		case start == "":
			start = line
		default:
			if v, ok := strings.CutPrefix(line, "Content-Length: "); ok {
				length, _ = strconv.Atoi(strings.TrimSpace(v))
			} else if line[0] == 'V' || line[0] == 'F' || line[0] == 'T' || strings.HasPrefix(line, "C") && strings.HasPrefix(line[1:], "all-ID") || strings.HasPrefix(line, "CSeq") {
				b.WriteString(line)
			}
		}
	}
}

// realWorld is an Edge over the operating system's loopback, and the connection that it made to the tester's listener.
func realWorld(b *testing.B, sink im.Sink) (*Edge, *lane) {
	b.Helper()
	ca := must(pki.NewAuthority("bench-ca", pki.AuthorityOptions{}))
	certificate := func(name string) tls.Certificate {
		return must(ca.Issue(pki.Leaf{Subject: name, Names: []string{name}})).TLS()
	}
	listener := must(net.Listen("tcp", "127.0.0.1:0"))
	b.Cleanup(func() { _ = listener.Close() })
	e := must(New(Config{
		Network: network.OS{}, Hostname: gatewayName, Listen: "127.0.0.1:0", Certificate: certificate(gatewayName), Roots: pki.Roots(ca),
		Domains: map[string]config.SIPDomain{"contoso.com": {NextHop: config.NextHop{"localhost:" + strconv.Itoa(listener.Addr().(*net.TCPAddr).Port)}}},
		Foreign: func(d string) bool { return d == "gmail.com" }, Queue: 100_000,
	}, sink))
	ctx, cancel := context.WithCancel(context.Background())
	var group sync.WaitGroup
	group.Go(func() {
		if err := e.Run(ctx); err != nil {
			b.Error(err)
		}
	})
	b.Cleanup(func() { cancel(); group.Wait() })
	raw := must(listener.Accept())
	conn := tls.Server(raw, &tls.Config{Certificates: []tls.Certificate{certificate("localhost")}, ClientAuth: tls.RequireAnyClientCert})
	if err := conn.Handshake(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = raw.Close() })
	return e, &lane{conn, bufio.NewReaderSize(conn, 1<<16)}
}

func cpu() time.Duration {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkToSIP counts messages of 100 conversations through sessions to an Edge that answers at once, over mutual TLS on
// loopback. The Edge and the writer run in this process: cpu-us/op is theirs and ours together.
func BenchmarkToSIP(b *testing.B) {
	e, l := realWorld(b, &recorder{make(chan received, 1)})
	go func() {
		w := bufio.NewWriterSize(l.conn, 1<<16)
		for {
			start, headers, _, err := l.next()
			if err != nil {
				return
			}
			switch {
			case strings.HasPrefix(start, "ACK"):
				continue
			case strings.HasPrefix(start, "INVITE"):
				headers = strings.Replace(headers, "\r\nCall-ID", ";tag=0A1B2C\r\nCall-ID", 1)
				fmt.Fprintf(w, "SIP/2.0 200 OK\r\n%sContact: <sip:x@contoso.com;gruu>\r\nContent-Length: 0\r\n\r\n", headers)
			default:
				fmt.Fprintf(w, "SIP/2.0 200 OK\r\n%sContent-Length: 0\r\n\r\n", headers)
			}
			if l.lines.Buffered() == 0 {
				_ = w.Flush()
			}
		}
	}()
	const people = 100
	var done sync.WaitGroup
	began := cpu()
	b.ReportAllocs()
	b.ResetTimer()
	window := make(chan struct{}, 2000)
	for i := range b.N {
		done.Add(1)
		window <- struct{}{}
		to := im.Address{Local: "user" + strconv.Itoa(i%people), Domain: "contoso.com"}
		e.Send(im.Message{From: bob, To: to, Body: "a message of about fifty bytes, as people write them"}, func(f *im.Failure) {
			if f != nil {
				b.Error(f)
			}
			<-window
			done.Done()
		})
	}
	done.Wait()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "msg/s")
	b.ReportMetric(float64((cpu()-began).Microseconds())/float64(b.N), "cpu-us/op")
}

// sinkhole takes every message at once.
type sinkhole struct{ count chan struct{} }

func (s sinkhole) Send(_ im.Message, o im.Outcome) { o(nil); s.count <- struct{}{} }

// BenchmarkFromSIP counts messages of one session that an Edge sends without waiting, each answered 202.
func BenchmarkFromSIP(b *testing.B) {
	s := sinkhole{make(chan struct{}, 1<<16)}
	_, l := realWorld(b, s)
	send := func(w io.Writer, method, to string, cseq int, more, body string) {
		fmt.Fprintf(w, "%s sip:bob@gmail.com SIP/2.0\r\nVia: SIP/2.0/TLS localhost:5061;branch=z9hG4bK%d%s\r\nMax-Forwards: 68\r\nFrom: \"Anna\"<sip:anna@contoso.com>;tag=0c1f;epid=4f\r\nTo: <sip:bob@gmail.com>%s\r\nCall-ID: bench\r\nCSeq: %d %s\r\n%sContent-Length: %d\r\n\r\n%s",
			method, cseq, method, to, cseq, method, more, len(body), body)
	}
	send(l.conn, "INVITE", "", 1, "Contact: <sip:anna@contoso.com;gruu>\r\nContent-Type: application/sdp\r\n", edgeSDP)
	var tag string
	for tag == "" {
		start, headers, _, err := l.next()
		if err != nil {
			b.Fatal(err)
		}
		if strings.HasPrefix(start, "SIP/2.0 200") {
			tag = ";tag=" + parseNameAddr(strings.SplitN(strings.SplitN(headers, "To: ", 2)[1], "\r\n", 2)[0]).param("tag")
		}
	}
	send(l.conn, "ACK", tag, 1, "", "")
	go func() {
		for {
			if _, _, _, err := l.next(); err != nil {
				return
			}
		}
	}()
	began := cpu()
	b.ReportAllocs()
	b.ResetTimer()
	go func() {
		w := bufio.NewWriterSize(l.conn, 1<<14)
		for i := range b.N {
			send(w, "MESSAGE", tag, i+2, "Content-Type: text/plain; charset=UTF-8\r\n", "a message of about fifty bytes, as people write them")
		}
		_ = w.Flush()
	}()
	for range b.N {
		<-s.count
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "msg/s")
	b.ReportMetric(float64((cpu()-began).Microseconds())/float64(b.N), "cpu-us/op")
}
