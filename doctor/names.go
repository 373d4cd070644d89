package doctor

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"time"

	"fedlab/internal/network"
)

// lookup is the addresses of a name, or why there are none.
type lookup struct {
	done  chan struct{}
	name  string
	addrs []netip.Addr
	err   error
}

// missing reports whether the answer was that there is no such name or that it has no address.
func missing(err error) bool {
	var dns *net.DNSError
	return errors.As(err, &dns) && dns.IsNotFound
}

// Questions are datagrams, and on a bad line every third may be lost, and every third answer: so who gets none asks again.
const (
	askAgain = time.Second // after this time without an answer
	mostAsks = 8
)

// insist asks until an answer comes, be it that there is none of what was asked for, within the patience of a probe. The error is that of the first try.
func insist[T any](ctx context.Context, ask func(context.Context) (T, error)) (answer T, err error) {
	ctx, cancel := context.WithTimeout(ctx, Patience)
	defer cancel()
	type result struct {
		answer T
		err    error
	}
	results := make(chan result)
	again := time.NewTicker(askAgain)
	defer again.Stop()
	asked, open, answered := 0, 0, false
	try := func() {
		asked, open = asked+1, open+1
		go func() {
			answer, err := ask(ctx)
			results <- result{answer, err}
		}()
	}
	try()
	for {
		select {
		case r := <-results:
			open--
			switch {
			case answered:
			case r.err == nil || missing(r.err):
				answered, answer, err = true, r.answer, r.err
				cancel()
			case err == nil:
				err = r.err
			}
		case <-again.C:
			if !answered && asked < mostAsks && ctx.Err() == nil {
				try()
			}
		}
		if open == 0 && (answered || asked == mostAsks || ctx.Err() != nil) {
			return answer, err
		}
	}
}

// String is the lookup in words.
func (l *lookup) String() string {
	if l.err != nil {
		return fmt.Sprintf("address of %s: %v", l.name, l.err)
	}
	var words []string
	for _, a := range l.addrs {
		words = append(words, a.String())
	}
	return fmt.Sprintf("%s is %s", l.name, strings.Join(words, ", "))
}

// maxAddresses bounds how many addresses of one name are tried.
const maxAddresses = 8

// addresses looks a name up, once in an examination. An address is its own answer.
func (x *exam) addresses(ctx context.Context, name string) *lookup {
	name = strings.TrimSuffix(strings.ToLower(name), ".")
	x.mu.Lock()
	l, known := x.answers[name]
	if !known {
		l = &lookup{done: make(chan struct{}), name: name}
		x.answers[name] = l
	}
	x.mu.Unlock()
	if known {
		<-l.done
		return l
	}
	defer close(l.done)
	if a, err := netip.ParseAddr(name); err == nil {
		l.addrs = []netip.Addr{a}
		return l
	}
	addrs, err := insist(ctx, func(ctx context.Context) ([]netip.Addr, error) { return x.net.LookupNetIP(ctx, "ip", name) })
	for _, a := range addrs {
		if a = a.Unmap(); !slices.Contains(l.addrs, a) {
			l.addrs = append(l.addrs, a)
		}
	}
	slices.SortFunc(l.addrs, netip.Addr.Compare)
	l.addrs = l.addrs[:min(len(l.addrs), maxAddresses)]
	if l.err = err; err == nil && len(l.addrs) == 0 {
		l.err = &net.DNSError{Err: "no such host", Name: name, IsNotFound: true}
	}
	return l
}

// alias is the name that a name is an alias of, empty if it is none or that cannot be known.
func (x *exam) alias(ctx context.Context, name string) string {
	namer, ok := x.net.(network.CanonicalNamer)
	if !ok {
		return ""
	}
	ctx, cancel := context.WithTimeout(ctx, Patience)
	defer cancel()
	canonical, err := namer.LookupCNAME(ctx, name)
	if err != nil || canonical == "" || sameName(canonical, name) {
		return ""
	}
	return strings.TrimSuffix(canonical, ".")
}

// service is the answer to the question for a domain's servers.
type service struct {
	records []*net.SRV // by priority; equal ones by name, so that reports do not differ
	err     error
}

// String is the answer in words.
func (s service) String() string {
	if s.err != nil {
		return s.err.Error()
	}
	var words []string
	for _, r := range s.records {
		words = append(words, fmt.Sprintf("%d %d %d %s", r.Priority, r.Weight, r.Port, r.Target))
	}
	return strings.Join(words, ", ")
}

const (
	xmppSRV  = "_xmpp-server._tcp."
	xmppsSRV = "_xmpps-server._tcp." // TLS from the first byte (XEP-0368)
)

// service asks for the SRV records of a service of a domain: "xmpp-server", "xmpps-server", "sipfederationtls".
func (x *exam) service(ctx context.Context, what, domain string) service {
	return x.records(ctx, "_"+what+"._tcp."+domain)
}

// records asks for the SRV records of a name.
func (x *exam) records(ctx context.Context, name string) service {
	records, err := insist(ctx, func(ctx context.Context) ([]*net.SRV, error) {
		_, records, err := x.net.LookupSRV(ctx, "", "", name)
		return records, err
	})
	if err == nil && len(records) == 0 {
		err = &net.DNSError{Err: "no such host", Name: name, IsNotFound: true}
	}
	slices.SortStableFunc(records, func(a, b *net.SRV) int {
		if a.Priority != b.Priority {
			return int(a.Priority) - int(b.Priority)
		}
		return strings.Compare(a.Target, b.Target)
	})
	return service{records: records, err: err}
}

// declined reports whether the domain says that it has no such service (RFC 2782: "A Target of '.'").
func (s service) declined() bool {
	return s.err == nil && len(s.records) == 1 && (s.records[0].Target == "." || s.records[0].Target == "")
}

// confusable are characters that look alike in many fonts (field notes, "What goes wrong in the field").
var confusable = []string{"il1", "o0", "vy", "uv"}

// pairs of letters that look like another letter or are easily confused.
var confusablePairs = [][2]string{{"rn", "m"}, {"vv", "w"}, {"cl", "d"}}

// maxLookalikes bounds how many names are tried in place of one that does not exist.
const maxLookalikes = 24

// lookalikes are the names that a person could take for name: one character exchanged for one that looks like it.
func lookalikes(name string) []string {
	var all []string
	add := func(s string) {
		if s != name && !slices.Contains(all, s) && len(all) < maxLookalikes {
			all = append(all, s)
		}
	}
	for i := range len(name) {
		for _, set := range confusable {
			if strings.IndexByte(set, name[i]) < 0 {
				continue
			}
			for j := range len(set) {
				add(name[:i] + set[j:j+1] + name[i+1:])
			}
		}
		for _, p := range confusablePairs {
			for _, d := range [][2]string{p, {p[1], p[0]}} {
				if strings.HasPrefix(name[i:], d[0]) {
					add(name[:i] + d[1] + name[i+len(d[0]):])
				}
			}
		}
	}
	return all
}

// meant finds a name that exists and looks like one that does not. It is nil if there is none.
func (x *exam) meant(ctx context.Context, name string) *lookup {
	for _, l := range each(lookalikes(name), func(n string) *lookup { return x.addresses(ctx, n) }) {
		if l.err == nil {
			return l
		}
	}
	return nil
}

// nameless makes the finding for a name of ours that has no address: a resolver that fails, a name that looks like one that
// exists, or else the code that the caller has for it, with the name that a zone file was to have where that is plain.
func (x *exam) nameless(ctx context.Context, l *lookup, code string, evidence ...string) {
	evidence = append(evidence, l.String())
	if !missing(l.err) {
		x.find("dns.resolver-failing", l.name, evidence...)
		return
	}
	if short := x.doubled(ctx, l.name); short != nil {
		x.find(code, l.name, append(evidence, short...)...)
		return
	}
	if other := x.meant(ctx, l.name); other != nil {
		x.find("dns.lookalike", l.name, append(evidence, "probably meant: "+other.name, other.String())...)
		return
	}
	x.find(code, l.name, evidence...)
}

// isPrivate reports whether an address is one that the Internet does not route to: RFC 1918 and its like.
func isPrivate(a netip.Addr) bool {
	shared := netip.MustParsePrefix("100.64.0.0/10")
	return a.IsPrivate() || a.IsLoopback() || a.IsLinkLocalUnicast() || shared.Contains(a)
}
