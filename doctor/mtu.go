package doctor

import (
	"context"
	"crypto/tls"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"slices"
	"strings"
	"time"

	"fedlab/gateway/config"
	"fedlab/internal/network"
)

// A link on the way that carries less than both ends believe does no harm as long as whoever sends too much is told (RFC 1191, for IPv6 RFC 8201).
// Where that word is not sent, or a filter drops it, what is short passes and what is long vanishes, however often TCP sends it again. One long
// exchange without an answer says nothing yet: it counts when no long one gets through, and short ones do at the same time, again and again.

const (
	padding  = 1600 // bytes that make an exchange longer than any packet of 1500
	mostOf   = 2    // so many of the attempts have to count
	smallest = 536  // what every link carries in a segment. RFC 9293 §3.7.1
)

// exchange says something over a connection, with so many bytes of padding in it, and reports whether anything came back.
type exchange func(conn net.Conn, padding int) (answered bool)

// tried is what became of an exchange.
type tried struct {
	connected bool
	answered  bool // be it with the end of the connection
	arrived   bool // answered, or the other host's TCP has acknowledged of it what a first packet holds
}

// once has an exchange over a connection of its own.
func (x *exam) once(ctx context.Context, to netip.AddrPort, have exchange, padding int) tried {
	ctx, cancel := context.WithTimeout(ctx, Patience)
	defer cancel()
	conn, err := x.net.DialContext(ctx, "tcp", to.String())
	if err != nil {
		return tried{}
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })()
	answered := have(conn, padding)
	n, known := network.Unacknowledged(conn)
	return tried{connected: true, answered: answered, arrived: answered || known && n < padding}
}

func (t tried) isConnected() bool { return t.connected }
func (t tried) isAnswered() bool  { return t.answered }
func (t tried) hasArrived() bool  { return t.arrived }

// count is of how many something is true.
func count(all []tried, is func(tried) bool) int {
	return len(slices.DeleteFunc(slices.Clone(all), func(t tried) bool { return !is(t) }))
}

// sideBySide has two things tried at the same time, as often as a connection is ([attempts]).
func sideBySide(ctx context.Context, a, b func(context.Context) tried) (ofA, ofB []tried) {
	for _, pair := range each(attempts, func(after time.Duration) []tried {
		t := time.NewTimer(after)
		defer t.Stop()
		select {
		case <-t.C:
		case <-ctx.Done():
		}
		ctx, cancel := context.WithTimeout(ctx, Patience)
		defer cancel()
		return each([]func(context.Context) tried{a, b}, func(try func(context.Context) tried) tried { return try(ctx) })
	}) {
		ofA, ofB = append(ofA, pair[0]), append(ofB, pair[1])
	}
	return ofA, ofB
}

// sizes is what became of short and long exchanges with one address.
type sizes struct{ short, long []tried }

// compare has short and long exchanges side by side.
func (x *exam) compare(ctx context.Context, to netip.AddrPort, have exchange) (s sizes) {
	s.short, s.long = sideBySide(ctx, func(ctx context.Context) tried { return x.once(ctx, to, have, 0) }, func(ctx context.Context) tried { return x.once(ctx, to, have, padding) })
	return s
}

// swallowed reports whether nothing long arrives there, while what is short is answered.
func (s sizes) swallowed() bool {
	return s.answers(s.short) && count(s.long, tried.isConnected) >= mostOf && count(s.long, tried.hasArrived) == 0
}

func (sizes) answers(all []tried) bool { return count(all, tried.isAnswered) >= mostOf }

// words is the comparison in words.
func (s sizes) words(to netip.AddrPort, what string) string {
	return fmt.Sprintf("%s to %s: of %d short ones %d were answered; of %d with %d bytes of padding %d were acknowledged and %d answered", what, to,
		len(s.short), count(s.short, tried.isAnswered), len(s.long), padding, count(s.long, tried.hasArrived), count(s.long, tried.isAnswered))
}

const lostOurs = "what this machine sends gets lost when it is long"

// longStream finds that a longer opening of an XMPP stream gets lost on its way to a server that answered a short one with s, or that what this server
// says in TLS gets lost on its way back.
func (x *exam) longStream(ctx context.Context, to netip.AddrPort, o opening, s stream) []string {
	if s.err != nil || o.direct {
		return nil
	}
	plain := func(conn net.Conn, padding int) bool {
		answer := converse(ctx, conn, opening{from: o.from, to: o.to, padding: padding}, offer{})
		return len(answer.head) > 0 || outcomeOf(answer.err) != silent
	}
	if first := x.once(ctx, to, plain, padding); first.connected && !first.arrived {
		if c := x.compare(ctx, to, plain); c.swallowed() {
			return []string{lostOurs, c.words(to, "openings of an XMPP stream")}
		}
		return nil
	}
	if s.shaken == nil || outcomeOf(s.shaken.err) != silent {
		return nil
	}
	return x.unheard(ctx, to, func(ctx context.Context, conn net.Conn) *handshake {
		answer := converse(ctx, conn, o, offer{name: o.to, oldest: tls.VersionTLS12})
		return answer.shaken
	})
}

// longStreams looks at a server of each domain. Domains with the same server are looked at once.
func (x *exam) longStreams(ctx context.Context, farms []*farm, from string) {
	behind := map[netip.AddrPort][]*farm{}
	for _, f := range farms {
		for _, t := range f.targets {
			if t.stream != nil && t.stream == f.stream && !t.direct {
				behind[best(t.dials).to] = append(behind[best(t.dials).to], f)
			}
		}
	}
	each(slices.Collect(maps.Keys(behind)), func(to netip.AddrPort) bool {
		first := behind[to][0]
		o := opening{from: from, to: first.domain, tls: first.policy.TLS != config.TLSNever}
		if evidence := x.longStream(ctx, to, o, *first.stream); evidence != nil {
			for _, f := range behind[to] {
				x.find("net.mtu", f.domain, evidence...)
				if f.stream.why.code != "" {
					f.stream.why = fault{"net.mtu", evidence}
				}
			}
		}
		return true
	})
}

// whyNot finds out why no handshake comes about. Silence is no refusal: it may be that what is long gets lost; and a second handshake that comes about is
// noted in h in place of the first.
func (x *exam) whyNot(ctx context.Context, h *handshake, to *dialed, o offer) fault {
	if outcomeOf(h.err) == silent {
		if f := x.swallows(ctx, to.to, o); f.code != "" {
			return fault{f.code, append([]string{fmt.Sprintf("TLS handshake with %s: %v", to.to, h.err)}, f.evidence...)}
		}
		if second, err := x.again(ctx, to)(o); err == nil && second.err == nil {
			*h = *second
			return fault{}
		}
	}
	return h.whyNot(to.to.String(), o, x.again(ctx, to))
}

// longQuestion asks one of the questions that were answered again, in more than one packet. Where there is no answer to that, or was none to the
// others, it looks for the reason.
func (x *exam) longQuestion(ctx context.Context, h *handshake, to *dialed, o offer, answers []answer) fault {
	if len(answers) == 0 {
		return fault{}
	}
	quiet := func(a answer) bool { return a.err != nil && outcomeOf(a.err) == silent }
	for _, a := range answers {
		if a.err != nil && !quiet(a) {
			return fault{}
		}
		if quiet(a) {
			return x.swallows(ctx, to.to, o)
		}
	}
	long := answers[0].question
	long.padding = padding
	if !quiet(ask(ctx, h.conn, []question{long})[0]) {
		return fault{}
	}
	return x.swallows(ctx, to.to, o)
}

// swallows finds out whether a TLS server is silent because long packets get lost on the way to it, or on the way back.
func (x *exam) swallows(ctx context.Context, to netip.AddrPort, o offer) fault {
	s := x.compare(ctx, to, func(conn net.Conn, padding int) bool {
		if _, err := conn.Write(hello(padding)); err != nil {
			return outcomeOf(err) != silent
		}
		_, err := conn.Read(make([]byte, 256))
		return outcomeOf(err) != silent
	})
	words := s.words(to, "TLS ClientHellos that no server can accept")
	switch {
	case s.swallowed():
		return fault{"net.mtu", []string{lostOurs, words}}
	case !s.answers(s.long):
		return fault{}
	}
	evidence := x.unheard(ctx, to, func(ctx context.Context, conn net.Conn) *handshake { return shake(ctx, conn, o) })
	if evidence == nil {
		return fault{}
	}
	return fault{"net.mtu", append(evidence, words)}
}

// unheard finds out whether a server to which everything gets through is silent in a handshake because what it sends gets lost: an alert or a header is short and
// comes back, a certificate is long. Then it comes on connections on which the server may not send more than fits through any link, and on no other.
func (x *exam) unheard(ctx context.Context, to netip.AddrPort, over func(context.Context, net.Conn) *handshake) []string {
	dialer, ok := x.net.(network.SmallDialer)
	if !ok {
		return nil
	}
	certified := func(ctx context.Context, conn net.Conn, err error) tried {
		if err != nil {
			return tried{}
		}
		defer conn.Close()
		h := over(ctx, conn)
		if h == nil {
			return tried{}
		}
		h.close()
		return tried{connected: true, answered: len(h.chain) > 0 || outcomeOf(h.err) != silent}
	}
	usual, small := sideBySide(ctx,
		func(ctx context.Context) tried {
			conn, err := x.net.DialContext(ctx, "tcp", to.String())
			return certified(ctx, conn, err)
		},
		func(ctx context.Context) tried {
			conn, err := dialer.DialSmall(ctx, to, smallest)
			return certified(ctx, conn, err)
		})
	if count(usual, tried.isConnected) < mostOf || count(usual, tried.isAnswered) > 0 || count(small, tried.isAnswered) < mostOf {
		return nil
	}
	return []string{
		fmt.Sprintf("what %s sends gets lost when it is long", to),
		fmt.Sprintf("%d usual TLS handshakes, and no certificate came; it came in %d of %d on connections without packets of more than %d bytes", len(usual), count(small, tried.isAnswered), len(small), smallest),
	}
}

// hello is a ClientHello that offers nothing that exists, so that any server refuses it with an alert. RFC 5246 §7.4.1.2, for the padding RFC 7685
func hello(padding int) []byte {
	body := "\x03\x03" + strings.Repeat("doctor..", 4) + // version and random bytes
		"\x00" + // no session
		"\x00\x02\x0a\x0a" + // one cipher suite, reserved so that nobody has it. RFC 8701
		"\x01\x00" // no compression
	if padding > 0 {
		extension := "\x00\x15" + length(padding) + strings.Repeat("\x00", padding)
		body += length(len(extension)) + extension
	}
	message := "\x01\x00" + length(len(body)) + body
	return []byte("\x16\x03\x01" + length(len(message)) + message)
}

// length is a length in two bytes.
func length(n int) string { return string([]byte{byte(n >> 8), byte(n)}) }
