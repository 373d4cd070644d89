package googletalk

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"fedlab/internal/network"
	"fedlab/sim/trace"
)

// Stranger is somebody on the Internet who means harm to an XMPP server: it claims to be another domain, or sends what no
// server should have to read. [Stranger.Try] makes one attempt and says what came back.
type Stranger struct {
	Network network.Network
	Target  string          // "host:port" of the server under attack
	Host    string          // the stranger's machine in traces
	Trace   *trace.Recorder // nil: no trace
	Seed    uint64          // decides what is random about an attempt

	Claim  string // the domain it claims to be: gmail.com
	Victim string // the domain that the server serves: contoso.com
	From   string // the user it would like to be: bob@gmail.com
	To     string // whom it would like to write to: alice@contoso.com

	Version string // what its stream headers say; "" none, "1.0"

	Patience time.Duration // how long it waits for the server to end the stream; default 2m
	Count    int           // of connections or elements where an attempt is a flood; default 200
}

// Attempt is one way to do harm.
type Attempt string

// The attempts.
const (
	ForgedFrom       Attempt = "forged-from"       // a message without any proof of the domain
	ForgedKey        Attempt = "forged-key"        // a dialback key that the domain's own servers do not know, then a message
	ForgedResult     Attempt = "forged-result"     // a db:result that says "valid" though nobody asked (XEP-0220 §3.1), then a message
	ForgedVerify     Attempt = "forged-verify"     // an answer "valid" to the verification of its own key, on its own stream
	ForgedSuccess    Attempt = "forged-success"    // SASL success and features from the wrong side, then a message
	FloodConnections Attempt = "flood-connections" // many connections that open a stream and say nothing
	FloodKeys        Attempt = "flood-keys"        // keys for very many domains on one stream
	FloodMessages    Attempt = "flood-messages"    // unproved messages as fast as they are taken
	NotXML           Attempt = "not-xml"           // an HTTP request
	TLSAtOnce        Attempt = "tls-at-once"       // a TLS handshake where XML is due
	RandomBytes      Attempt = "random-bytes"
	InvalidUTF8      Attempt = "invalid-utf8"
	Malformed        Attempt = "malformed"   // tags that do not match
	EntityBomb       Attempt = "entity-bomb" // a document type with nested entities
	Comment          Attempt = "comment"
	StreamError      Attempt = "stream-error"    // a stream error right after the header: legal, and the end
	GiantStanza      Attempt = "giant-stanza"    // one stanza without end
	GiantAttribute   Attempt = "giant-attribute" // one attribute without end
	GiantHeader      Attempt = "giant-header"    // a header without end
	Deep             Attempt = "deep"            // elements in elements without end
	SlowDrip         Attempt = "slow-drip"       // a stanza of which one byte comes every ten seconds
	Silence          Attempt = "silence"         // a connection and nothing on it
)

// Attempts lists them all.
func Attempts() []Attempt {
	return []Attempt{
		ForgedFrom, ForgedKey, ForgedResult, ForgedVerify, ForgedSuccess, FloodConnections, FloodKeys, FloodMessages, NotXML,
		TLSAtOnce, RandomBytes, InvalidUTF8, Malformed, EntityBomb, Comment, StreamError, GiantStanza, GiantAttribute,
		GiantHeader, Deep, SlowDrip, Silence,
	}
}

// Outcome is what came of an attempt.
type Outcome struct {
	Attempt     Attempt
	Accepted    bool     // the server called something valid that is not: an event of kind Unexpected says what
	StreamError string   // the condition of the server's stream error, if there was one
	Answers     []string // what else came back, one line each, at most a hundred
	Closed      bool     // the server ended the connection while the stranger was patient
	Refused     int      // of a flood: how many connections were not taken, or ended by the server
	Took        time.Duration
}

// String is the outcome on one line.
func (o Outcome) String() string {
	s := string(o.Attempt) + ": "
	switch {
	case o.Accepted:
		s += "accepted"
	case o.StreamError != "":
		s += "stream error " + o.StreamError
	case o.Closed:
		s += "closed"
	default:
		s += "still open"
	}
	return s
}

// maxAnswers bounds Outcome.Answers.
const maxAnswers = 100

// Try makes one attempt and returns when the server has ended it, the stranger's patience is at its end, or ctx is. It is an
// error if not even a connection could be had. Everything sent and received is in the trace; what a server must never do is
// there as Unexpected.
func (st Stranger) Try(ctx context.Context, a Attempt) (Outcome, error) {
	if st.Patience == 0 {
		st.Patience = 2 * time.Minute
	}
	if st.Count == 0 {
		st.Count = 200
	}
	if !slices.Contains(Attempts(), a) {
		return Outcome{}, fmt.Errorf("googletalk: no attempt %q", a)
	}
	ctx, cancel := context.WithTimeout(ctx, st.Patience)
	defer cancel()
	start := time.Now()
	o := Outcome{Attempt: a}
	var err error
	if a == FloodConnections {
		err = st.floodConnections(ctx, &o)
	} else {
		err = st.single(ctx, a, &o)
	}
	o.Took = time.Since(start)
	return o, err
}

// single is an attempt on one connection: one goroutine writes, this one reads.
func (st Stranger) single(ctx context.Context, a Attempt, o *Outcome) error {
	conn, err := st.Network.DialContext(ctx, "tcp", st.Target)
	if err != nil {
		return fmt.Errorf("googletalk: the stranger cannot reach %s: %w", st.Target, err)
	}
	v := &visit{Stranger: st, conn: conn, id: make(chan string, 1), over: make(chan struct{})}
	deadline, _ := ctx.Deadline()
	conn.SetDeadline(deadline)
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	var writer sync.WaitGroup
	writer.Go(func() {
		v.write(ctx, a)
	})
	err = v.read(o)
	close(v.over)
	o.Closed = ctx.Err() == nil && !errors.Is(err, os.ErrDeadlineExceeded)
	stop()
	conn.Close()
	writer.Wait()
	if !o.Closed && mustEnd(a) {
		v.record(trace.Unexpected, fmt.Sprintf("%s: not ended within %v", a, st.Patience), nil)
	}
	return nil
}

// mustEnd reports whether a server has to end the stream by itself. Keys and messages without proof may also be ignored, and
// idle streams may stay.
func mustEnd(a Attempt) bool {
	switch a {
	case ForgedFrom, ForgedKey, ForgedResult, ForgedVerify, ForgedSuccess, FloodKeys, FloodMessages:
		return false
	}
	return true
}

// visit is one connection of a stranger.
type visit struct {
	Stranger
	conn net.Conn
	id   chan string   // the server's stream id
	over chan struct{} // closed when reading has ended
	hide string        // what differs between equal runs and stays out of summaries; of the writer alone
}

// read takes down what the server says until the connection is over.
func (v *visit) read(o *Outcome) error {
	r := newReader(v.conn)
	e, err := r.header()
	if err != nil {
		return err
	}
	v.record(trace.Received, headerSummary(e.get("from"), e.get("to"), e.get("version")), e.raw)
	v.id <- e.get("id")
	for {
		e, err := r.next()
		if errors.Is(err, errStreamClosed) {
			v.record(trace.Received, "/stream", nil)
			// The connection has to end as well, and nothing may come before it does.
			_, err = io.Copy(io.Discard, v.conn)
			if err == nil {
				err = io.EOF
			}
			return err
		}
		if err != nil {
			return err
		}
		summary := summarize(e)
		v.record(trace.Received, summary, e.raw)
		if condition, ok := strings.CutPrefix(summary, "stream:error "); ok {
			o.StreamError = condition
			continue
		}
		if len(o.Answers) < maxAnswers {
			o.Answers = append(o.Answers, summary)
		}
		if e.space == nsDialback && e.get("type") == "valid" || e.is(nsSASL, "success") {
			o.Accepted = true
			v.record(trace.Unexpected, "a stranger's claim was accepted: "+summary, e.raw)
		}
	}
}

// write sends what the attempt consists of. Errors of writing are the server's right.
func (v *visit) write(ctx context.Context, a Attempt) {
	header := tag("stream:stream").attr("xmlns", nsServer).attr("xmlns:db", nsDialback).attr("xmlns:stream", nsStream).
		attr("from", v.Claim).attr("to", v.Victim).attr("version", v.Version).String()
	open := "<?xml version='1.0'?>" + header + ">"
	message := tag("message").attr("type", "chat").attr("from", v.From).attr("to", v.To).attr("id", "x1").
		wrap(bodyElement("forged by a stranger: " + string(a)))
	key := tag("db:result").attr("from", v.Claim).attr("to", v.Victim).wrap("0123456789abcdef")
	valid := func(name, from, to, id string) string {
		return tag("db:"+name).attr("from", from).attr("to", to).attr("id", id).attr("type", "valid").empty()
	}
	random := rand.New(rand.NewPCG(v.Seed, 1))
	switch a {
	case ForgedFrom:
		v.send(open, message)
	case ForgedKey:
		v.send(open, key, message)
	case ForgedResult:
		v.send(open, valid("result", v.Claim, v.Victim, ""), valid("result", v.Victim, v.Claim, ""), message)
	case ForgedVerify:
		v.send(open, key)
		select {
		case id := <-v.id:
			v.hide = id
			v.send(valid("verify", v.Claim, v.Victim, id), valid("verify", v.Victim, v.Claim, id), message)
		case <-v.over:
		}
	case ForgedSuccess:
		v.send(open, "<stream:features/>", tag("success").attr("xmlns", nsSASL).empty(), message)
	case FloodKeys:
		v.send(open)
		for i := range v.Count {
			// The pause keeps equal runs equal: how much of a burst is read before the connection is reset is chance.
			if !v.send(tag("db:result").attr("from", fmt.Sprintf("d%d.example", i)).attr("to", v.Victim).wrap("k")) || !v.pause(ctx, 10*time.Microsecond) {
				return
			}
		}
	case FloodMessages:
		v.send(open)
		for range v.Count {
			if !v.send(message) {
				return
			}
		}
	case NotXML:
		v.send("GET / HTTP/1.1\r\nHost: " + v.Victim + "\r\n\r\n")
	case TLSAtOnce:
		v.send("\x16\x03\x01\x00\x05\x01\x00\x00\x01\x03")
	case RandomBytes:
		junk := make([]byte, 4096)
		for i := range junk {
			junk[i] = byte(random.IntN(256))
		}
		junk[0] = 1 // and not by chance what another encoding begins with, which has an error of its own
		v.send(string(junk))
	case InvalidUTF8:
		v.send(open, "<message><body>\xff\xfe\xc0\x80</body></message>")
	case Malformed:
		v.send(open, "<message><body></message></body>")
	case EntityBomb:
		v.send("<?xml version='1.0'?><!DOCTYPE lolz [<!ENTITY a 'aaaaaaaaaa'><!ENTITY b '&a;&a;&a;&a;&a;&a;&a;&a;'>"+
			"<!ENTITY c '&b;&b;&b;&b;&b;&b;&b;&b;'>]>"+header+">", "<message><body>&c;</body></message>")
	case Comment:
		v.send(open, "<!-- a comment -->")
	case StreamError:
		v.send(open, "<stream:error>"+tag("undefined-condition").attr("xmlns", nsStreams).empty()+"</stream:error>", "</stream:stream>")
	case GiantStanza:
		v.send(open, "<message><body>")
		v.endless(strings.Repeat("x", 4096))
	case GiantAttribute:
		v.send(open, "<message to='")
		v.endless(strings.Repeat("x", 4096))
	case GiantHeader:
		v.send(header)
		for i := 0; v.raw(fmt.Sprintf(" a%d='%s'", i, strings.Repeat("x", 1000))); i++ {
		}
	case Deep:
		v.send(open)
		v.endless(strings.Repeat("<a>", 1000))
	case SlowDrip:
		v.send(open)
		for _, c := range message {
			if !v.raw(string(c)) || !v.pause(ctx, 10*time.Second) {
				return
			}
		}
	}
}

// send writes and records each piece; false when the connection is over.
func (v *visit) send(pieces ...string) bool {
	for _, p := range pieces {
		shown := p
		if v.hide != "" {
			shown = strings.ReplaceAll(p, v.hide, "…")
		}
		v.record(trace.Sent, fmt.Sprintf("stranger: %q", short(shown)), []byte(p))
		if !v.raw(p) {
			return false
		}
	}
	return true
}

func (v *visit) raw(p string) bool {
	_, err := v.conn.Write([]byte(p))
	return err == nil
}

// endless writes p over and over, up to 64 MB, which nobody should take.
func (v *visit) endless(p string) {
	for n := 0; n < 64<<20 && v.raw(p); n += len(p) {
	}
}

// invented is which of many invented domains was still taken when a limit was reached. It differs from run to run, and the
// summaries of two equal runs are equal.
var invented = regexp.MustCompile(`\bd\d+\.example\b`)

// pause waits; false when there is no more reason to.
func (v *visit) pause(ctx context.Context, d time.Duration) bool {
	select {
	case <-time.After(d):
		return true
	case <-v.over:
	case <-ctx.Done():
	}
	return false
}

func (v *visit) record(kind, summary string, data []byte) {
	e := trace.Event{
		Layer: trace.XMPP, Kind: kind, Host: v.Host, From: v.conn.LocalAddr().String(), To: v.conn.RemoteAddr().String(),
		Summary: invented.ReplaceAllString(summary, "d….example"), Data: data,
	}
	if kind != trace.Sent {
		e.From, e.To = e.To, e.From
	}
	v.Trace.Record(e)
}

// floodConnections opens Count connections, one after another, and holds them until the server ends them or patience does.
func (st Stranger) floodConnections(ctx context.Context, o *Outcome) error {
	var wg sync.WaitGroup
	var mu sync.Mutex
	refuse := func() {
		mu.Lock()
		defer mu.Unlock()
		o.Refused++
	}
	for range st.Count {
		conn, err := st.Network.DialContext(ctx, "tcp", st.Target)
		if err != nil {
			refuse()
			continue
		}
		stop := context.AfterFunc(ctx, func() { conn.Close() })
		wg.Go(func() {
			defer stop()
			defer conn.Close()
			v := &visit{Stranger: st, conn: conn}
			v.raw(fmt.Sprintf("<stream:stream xmlns='%s' xmlns:db='%s' xmlns:stream='%s' from='%s' to='%s'>",
				nsServer, nsDialback, nsStream, escape(st.Claim), escape(st.Victim)))
			io.Copy(io.Discard, conn)
			if ctx.Err() == nil {
				refuse()
			}
		})
	}
	wg.Wait()
	o.Closed = o.Refused == st.Count
	if o.Refused == 0 {
		st.Trace.Record(trace.Event{
			Layer: trace.XMPP, Kind: trace.Unexpected, Host: st.Host, To: st.Target,
			Summary: fmt.Sprintf("%s: all %d connections were taken and kept", FloodConnections, st.Count),
		})
	}
	return nil
}
