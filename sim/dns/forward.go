package dns

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"time"

	"fedlab/internal/network"

	"github.com/miekg/dns"
)

const (
	forwardTimeout = 2 * time.Second // for one server to answer one question
	forwardRounds  = 2               // how often the whole list is tried
	cacheLimit     = 1000            // answers kept
)

// forwarder asks other servers what the zones do not know and remembers the answers for as long as their TTLs allow.
type forwarder struct {
	network network.Network
	servers []netip.AddrPort

	mu    sync.Mutex
	cache map[dns.Question]cached
	order []dns.Question // oldest first
}

type cached struct {
	reply  *dns.Msg
	stored time.Time
	until  time.Time
}

func newForwarder(n network.Network, servers []netip.AddrPort) *forwarder {
	return &forwarder{network: n, servers: servers, cache: map[dns.Question]cached{}}
}

// ask returns the answer to q, from the cache or from the first server that gives one.
func (f *forwarder) ask(ctx context.Context, q dns.Question) (*dns.Msg, error) {
	q.Name = canonical(q.Name)
	if reply := f.cached(q, time.Now()); reply != nil {
		return reply, nil
	}
	var failures []error
	for range forwardRounds {
		for _, server := range f.servers {
			reply, err := f.exchange(ctx, server, q)
			if err == nil && reply.Rcode != dns.RcodeSuccess && reply.Rcode != dns.RcodeNameError {
				err = errors.New(dns.RcodeToString[reply.Rcode])
			}
			if err == nil {
				f.keep(q, reply, time.Now())
				return reply, nil
			}
			if ctx.Err() != nil {
				return nil, ctx.Err()
			}
			failures = append(failures, fmt.Errorf("asking %s: %w", server, err))
		}
	}
	return nil, errors.Join(failures...)
}

// exchange asks one server over UDP, and over TCP if the answer did not fit.
func (f *forwarder) exchange(ctx context.Context, server netip.AddrPort, q dns.Question) (*dns.Msg, error) {
	question := new(dns.Msg).SetQuestion(q.Name, q.Qtype)
	question.SetEdns0(maxUDP, false)
	reply, err := f.exchangeOver(ctx, "udp", server, question)
	if err == nil && reply.Truncated {
		reply, err = f.exchangeOver(ctx, "tcp", server, question)
	}
	return reply, err
}

func (f *forwarder) exchangeOver(ctx context.Context, protocol string, server netip.AddrPort, question *dns.Msg) (*dns.Msg, error) {
	ctx, cancel := context.WithTimeout(ctx, forwardTimeout)
	defer cancel()
	conn, err := f.network.DialContext(ctx, protocol, server.String())
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.SetDeadline(time.Unix(1, 0)) })()
	client := &dns.Client{Net: protocol, Timeout: forwardTimeout}
	reply, _, err := client.ExchangeWithConnContext(ctx, question, &dns.Conn{Conn: conn, UDPSize: maxUDP})
	return reply, err
}

// cached returns a copy of the answer with its TTLs counted down, nil if there is none or it has run out.
func (f *forwarder) cached(q dns.Question, now time.Time) *dns.Msg {
	f.mu.Lock()
	defer f.mu.Unlock()
	c, ok := f.cache[q]
	if !ok || !now.Before(c.until) {
		return nil
	}
	reply := c.reply.Copy()
	age := uint32(now.Sub(c.stored) / time.Second)
	for _, section := range [][]dns.RR{reply.Answer, reply.Ns, reply.Extra} {
		for _, rr := range section {
			if h := rr.Header(); h.Rrtype != dns.TypeOPT {
				h.Ttl -= min(age, h.Ttl)
			}
		}
	}
	return reply
}

func (f *forwarder) keep(q dns.Question, reply *dns.Msg, now time.Time) {
	ttl, ok := lifetime(reply)
	if !ok || ttl == 0 {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if _, ok := f.cache[q]; !ok {
		if len(f.order) == cacheLimit {
			delete(f.cache, f.order[0])
			f.order = f.order[1:]
		}
		f.order = append(f.order, q)
	}
	f.cache[q] = cached{reply: reply, stored: now, until: now.Add(time.Duration(ttl) * time.Second)}
}

// lifetime is how many seconds a reply may be kept: the smallest TTL of an answer, and for a negative one the SOA's
// (RFC 2308 §5). A negative answer without a SOA is not kept.
func lifetime(reply *dns.Msg) (seconds uint32, ok bool) {
	shortest := func(ttl uint32) {
		if !ok || ttl < seconds {
			seconds, ok = ttl, true
		}
	}
	for _, rr := range reply.Answer {
		shortest(rr.Header().Ttl)
	}
	for _, rr := range reply.Ns {
		if soa, isSOA := rr.(*dns.SOA); isSOA {
			shortest(min(soa.Hdr.Ttl, soa.Minttl))
		}
	}
	return seconds, ok
}
