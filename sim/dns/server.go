// Package dns is the name server of the lab: authoritative for the zones of one view, and a resolver for everything else if
// it is told where to ask.
//
// [Start] runs one over any network.PacketNetwork, UDP and TCP on the same port, speaking real DNS messages. Views are had by
// starting several servers with different zones: the Internet's, and the perimeter's with a forwarder to the former. Zones and
// [Faults] may change while it runs. Every question and every answer is an event of the trace.
//
// Goals: what stub resolvers and nslookup ask (A, AAAA, SRV, CNAME chains, negative answers with SOA, truncation and TCP,
// EDNS0 sizes), a cache that honours TTLs, and the ways in which name servers fail in the field. Limitations: no
// delegation, no zone transfer, no DNSSEC, class IN only.
package dns

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"fedlab/internal/network"
	"fedlab/sim/trace"

	"github.com/miekg/dns"
)

const (
	maxUDP       = 1232             // the largest answer over UDP, whatever the asker would take (DNS flag day 2020)
	writeTimeout = 5 * time.Second  // for a TCP peer to take an answer
	idleTimeout  = 10 * time.Second // a TCP connection without a question is closed after
	concurrency  = 256              // questions worked on at the same time; more are dropped
)

// Config is what a server serves and where. Network is needed; everything else may be zero.
type Config struct {
	Network network.PacketNetwork
	Listen  string // default ":53"

	// Zones are zone name to records: "NAME TYPE" or "NAME TTL TYPE" to values, everything as in a zone file. NAME is relative
	// to the zone, "@" its apex; a name in a value is relative as well unless it ends with a dot. TTL is in seconds, default 300.
	// A zone without a SOA record gets one.
	Zones   map[string]map[string][]string
	Forward []netip.AddrPort // who is asked for names outside the zones, in order; none: such questions are refused
	Faults  Faults

	Host  string // the machine's name in the trace
	Trace *trace.Recorder
}

// Server is a running name server. Its methods are safe for concurrent use.
type Server struct {
	host    string
	trace   *trace.Recorder
	addr    netip.AddrPort
	zones   atomic.Pointer[zoneSet]
	faults  atomic.Pointer[map[faultKey]Fault]
	forward *forwarder // nil: none

	ctx     context.Context // ends when Close is called
	cancel  context.CancelFunc
	servers []*dns.Server
	serving sync.WaitGroup
	busy    chan struct{} // a slot per question being worked on
}

// Start listens and serves until Close is called or ctx ends. When it returns without error both listeners are open. ctx's end
// alone closes the listeners; Close has to be called as well, to wait.
func Start(ctx context.Context, c Config) (*Server, error) {
	if c.Listen == "" {
		c.Listen = ":53"
	}
	s := &Server{host: c.Host, trace: c.Trace, busy: make(chan struct{}, concurrency)}
	if err := s.SetZones(c.Zones); err != nil {
		return nil, err
	}
	if err := s.SetFaults(c.Faults); err != nil {
		return nil, err
	}
	if len(c.Forward) > 0 {
		s.forward = newForwarder(c.Network, c.Forward)
	}
	listener, err := c.Network.Listen(ctx, "tcp", c.Listen)
	if err != nil {
		return nil, fmt.Errorf("sim/dns: listening on %s: %w", c.Listen, err)
	}
	s.addr = addrPort(listener.Addr())
	// With port 0 the system chose one for TCP; UDP takes the same.
	host, _, err := net.SplitHostPort(c.Listen)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("sim/dns: listening on %s: %w", c.Listen, err), listener.Close())
	}
	packets, err := c.Network.ListenPacket(ctx, "udp", net.JoinHostPort(host, fmt.Sprint(s.addr.Port())))
	if err != nil {
		return nil, errors.Join(fmt.Errorf("sim/dns: listening on %s: %w", c.Listen, err), listener.Close())
	}
	s.ctx, s.cancel = context.WithCancel(ctx)
	s.serve(&dns.Server{Listener: boundedListener{listener}})
	s.serve(&dns.Server{PacketConn: packets})
	s.serving.Go(func() {
		<-s.ctx.Done()
		for _, d := range s.servers {
			_ = d.Shutdown() // fails harmlessly if it has ended by itself
		}
	})
	return s, nil
}

// serve starts d and returns when it reads.
func (s *Server) serve(d *dns.Server) {
	ready := make(chan struct{})
	d.Handler = dns.HandlerFunc(s.handle)
	d.UDPSize = 4096
	// The library polls: it wakes up at this interval only to see whether it has been shut down, which also wakes it by itself.
	d.ReadTimeout = 24 * time.Hour
	d.IdleTimeout = func() time.Duration { return idleTimeout }
	d.NotifyStartedFunc = func() { close(ready) }
	s.servers = append(s.servers, d)
	s.serving.Go(func() {
		// It ends by Shutdown, without an error, or because the network went away, and then there is nobody to tell.
		_ = d.ActivateAndServe()
	})
	<-ready
}

// Addr is the address of the TCP listener; UDP has the same port.
func (s *Server) Addr() netip.AddrPort { return s.addr }

// SetZones replaces all zones at once. With an error nothing changes. What others have cached stays with them.
func (s *Server) SetZones(zones map[string]map[string][]string) error {
	set, err := parseZones(zones)
	if err != nil {
		return err
	}
	s.zones.Store(&set)
	return nil
}

// SetFaults replaces all faults at once. With an error nothing changes.
func (s *Server) SetFaults(faults Faults) error {
	parsed, err := parseFaults(faults)
	if err != nil {
		return err
	}
	s.faults.Store(&parsed)
	return nil
}

// Close stops listening, gives up what is being forwarded and returns when everything has ended. It may be called again.
func (s *Server) Close() error {
	s.cancel()
	s.serving.Wait()
	return nil
}

func (s *Server) handle(w dns.ResponseWriter, r *dns.Msg) {
	select {
	case s.busy <- struct{}{}:
		defer func() { <-s.busy }()
	default:
		return
	}
	s.record(trace.Received, w.RemoteAddr(), w.LocalAddr(), r, ask(r))
	reply := s.reply(r, isTCP(w))
	if reply == nil {
		return
	}
	size := dns.MaxMsgSize
	if !isTCP(w) {
		size = dns.MinMsgSize
		if opt := r.IsEdns0(); opt != nil {
			size = min(max(int(opt.UDPSize()), dns.MinMsgSize), maxUDP)
		}
	}
	if r.IsEdns0() != nil {
		reply.SetEdns0(maxUDP, false)
	}
	reply.Truncate(size)
	s.record(trace.Sent, w.LocalAddr(), w.RemoteAddr(), reply, ask(r)+": "+tell(reply))
	_ = w.WriteMsg(reply) // an asker that has gone away needs no answer
}

// reply is the answer to a question, nil for silence.
func (s *Server) reply(r *dns.Msg, overTCP bool) *dns.Msg {
	reply := new(dns.Msg).SetReply(r)
	reply.RecursionAvailable = s.forward != nil
	if len(r.Question) != 1 || r.Question[0].Qclass != dns.ClassINET {
		reply.Rcode = dns.RcodeNotImplemented
		return reply
	}
	q := r.Question[0]
	switch faultFor(*s.faults.Load(), q) {
	case Silence:
		return nil
	case NXDomain:
		reply.Rcode = dns.RcodeNameError
		return reply
	case ServFail:
		reply.Rcode = dns.RcodeServerFailure
		return reply
	case Refused:
		reply.Rcode = dns.RcodeRefused
		return reply
	case Truncate:
		if !overTCP {
			reply.Truncated = true
			return reply
		}
	}
	open := s.zones.Load().answer(reply, q)
	switch {
	case open == "":
	case s.forward == nil:
		if len(reply.Answer) == 0 {
			reply.Rcode = dns.RcodeRefused
		}
	default:
		s.complete(reply, dns.Question{Name: open, Qtype: q.Qtype, Qclass: q.Qclass})
	}
	return reply
}

// complete adds to reply what the forwarder finds out about q.
func (s *Server) complete(reply *dns.Msg, q dns.Question) {
	found, err := s.forward.ask(s.ctx, q)
	if err != nil {
		reply.Rcode = dns.RcodeServerFailure
		return
	}
	reply.Authoritative = false
	reply.Rcode = found.Rcode
	reply.Answer = append(reply.Answer, found.Answer...)
	reply.Ns = found.Ns
	for _, rr := range found.Extra {
		if rr.Header().Rrtype != dns.TypeOPT {
			reply.Extra = append(reply.Extra, rr)
		}
	}
}

func (s *Server) record(kind string, from, to net.Addr, m *dns.Msg, summary string) {
	if s.trace == nil {
		return
	}
	data, err := m.Pack()
	if err != nil {
		data = nil // a question that was read and cannot be written again: the summary has to do
	}
	s.trace.Record(trace.Event{Layer: trace.DNS, Kind: kind, Host: s.host, From: from.String(), To: to.String(), Summary: summary, Data: data})
}

// ask is a question in words: "SRV _xmpp-server._tcp.gmail.com".
func ask(m *dns.Msg) string {
	if len(m.Question) == 0 {
		return "no question"
	}
	q := m.Question[0]
	return dns.Type(q.Qtype).String() + " " + strings.TrimSuffix(strings.ToLower(q.Name), ".")
}

// tell is an answer in words: its records, or why there are none.
func tell(m *dns.Msg) string {
	var words []string
	for _, rr := range m.Answer {
		words = append(words, strings.TrimPrefix(rr.String(), rr.Header().String()))
	}
	switch {
	case m.Truncated:
		words = append(words, "truncated")
	case m.Rcode != dns.RcodeSuccess:
		words = append(words, dns.RcodeToString[m.Rcode])
	case len(words) == 0:
		words = append(words, "no such record")
	}
	return strings.Join(words, ", ")
}

func isTCP(w dns.ResponseWriter) bool { return strings.HasPrefix(w.RemoteAddr().Network(), "tcp") }

func addrPort(a net.Addr) netip.AddrPort {
	ap, err := netip.ParseAddrPort(a.String())
	if err != nil {
		return netip.AddrPort{}
	}
	return ap
}

// boundedListener gives every write of its connections a deadline. The library has none for TCP, so a peer that does not read
// would keep it from ending.
type boundedListener struct{ net.Listener }

func (l boundedListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return boundedConn{c}, nil
}

type boundedConn struct{ net.Conn }

func (c boundedConn) Write(p []byte) (int, error) {
	if err := c.SetWriteDeadline(time.Now().Add(writeTimeout)); err != nil {
		return 0, err
	}
	return c.Conn.Write(p)
}
