package peers

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"sync"
	"time"

	"github.com/emiago/sipgo/sip"

	"fedlab/sim/trace"
)

// Phone is a SIP user agent behind a real proxy: single messages (RFC 3428), presence of its own by PUBLISH (RFC 3903), presence of others
// by SUBSCRIBE and NOTIFY (RFC 6665). It speaks UDP.
type Phone struct {
	PhoneConfig
	conn         net.PacketConn
	transport    *sip.TransportLayer
	transactions *sip.TransactionLayer
	running      sync.WaitGroup
	ctx          context.Context // ends with Close
	cancel       context.CancelFunc
	texts        chan text

	mu      sync.Mutex // guards what follows
	last    int
	etag    string            // of what is published
	watches map[string]*watch // by whom they watch
}

// PhoneConfig says whose phone it is.
type PhoneConfig struct {
	Address string         // alice@example.com
	Listen  netip.AddrPort // the phone's own
	Proxy   netip.AddrPort
	Host    string // in events: the machine that serves the user
	Trace   *trace.Recorder
}

// text is a message that waits for its turn: the next one is sent when there is an answer to the one before, so that they keep their order.
type text struct {
	to   string
	item trace.Item
}

// mostTexts bounds how many messages wait.
const mostTexts = 10_000

// answerTime is how long an answer may take: as long as a transaction lives (RFC 3261 §17.1.2.2) and a little more.
const answerTime = 35 * time.Second

// StartPhone starts a phone, and waits until its proxy answers or ctx ends.
func StartPhone(ctx context.Context, c PhoneConfig) (*Phone, error) {
	conn, err := net.ListenPacket("udp", c.Listen.String())
	if err != nil {
		return nil, fmt.Errorf("peers: the phone of %s cannot listen: %w", c.Address, err)
	}
	p := &Phone{PhoneConfig: c, conn: conn, watches: map[string]*watch{}, texts: make(chan text, mostTexts)}
	p.ctx, p.cancel = context.WithCancel(context.Background())
	log := slog.New(slog.DiscardHandler)
	p.transport = sip.NewTransportLayer(net.DefaultResolver, sip.NewParser(), nil, sip.WithTransportLayerLogger(log))
	p.transactions = sip.NewTransactionLayer(p.transport, sip.WithTransactionLayerLogger(log))
	p.transactions.OnRequest(p.requested)
	p.running.Go(func() {
		if err := p.transport.ServeUDP(conn); err != nil && !errors.Is(err, net.ErrClosed) {
			p.record(trace.Unexpected, p.Address, "", "the phone no longer listens: "+err.Error(), trace.Item{})
		}
	})
	p.running.Go(p.write)
	if err := p.ready(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("peers: the proxy of %s does not answer: %w", c.Address, err), p.Close())
	}
	return p, nil
}

// ready asks the proxy until it answers, whatever it says.
func (p *Phone) ready(ctx context.Context) error {
	for {
		if _, err := p.transport.GetConnection("udp", p.Listen.String()); err == nil { // else the phone itself is not listening yet
			asking, cancel := context.WithTimeout(ctx, time.Second)
			_, err := p.transact(asking, p.request(sip.OPTIONS, "ping@"+p.Proxy.Addr().String()))
			cancel()
			if err == nil {
				return nil
			}
		}
		select {
		case <-time.After(50 * time.Millisecond):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// Close ends the phone without a word to anybody, as when it loses power.
func (p *Phone) Close() error {
	p.cancel()
	p.transactions.Close()
	err := errors.Join(p.transport.Close(), p.conn.Close())
	p.running.Wait()
	if errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}

// request is a request outside of any dialog.
func (p *Phone) request(method sip.RequestMethod, to string) *sip.Request {
	uri := func(address string) sip.Uri {
		local, domain, _ := strings.Cut(address, "@")
		return sip.Uri{Scheme: "sip", User: local, Host: domain}
	}
	r := sip.NewRequest(method, uri(to))
	via := &sip.ViaHeader{ProtocolName: "SIP", ProtocolVersion: "2.0", Transport: "UDP", Host: p.Listen.Addr().String(), Port: int(p.Listen.Port())}
	via.Params.Add("branch", sip.GenerateBranchN(16))
	id, hops := sip.CallIDHeader(sip.GenerateTagN(24)), sip.MaxForwardsHeader(70)
	from := &sip.FromHeader{Address: uri(p.Address)}
	from.Params.Add("tag", sip.GenerateTagN(16))
	own := uri(p.Address)
	own.Host, own.Port = p.Listen.Addr().String(), int(p.Listen.Port())
	r.AppendHeader(via)
	r.AppendHeader(&hops)
	r.AppendHeader(from)
	r.AppendHeader(&sip.ToHeader{Address: uri(to)})
	r.AppendHeader(&id)
	r.AppendHeader(&sip.CSeqHeader{SeqNo: 1, MethodName: method})
	if method != sip.MESSAGE { // RFC 3428 §4 forbids it there
		r.AppendHeader(&sip.ContactHeader{Address: own})
	}
	r.SetTransport("UDP")
	r.SetDestination(p.Proxy.String())
	r.Laddr = sip.Addr{IP: p.Listen.Addr().AsSlice(), Port: int(p.Listen.Port()), Hostname: p.Listen.Addr().String()}
	r.SetBody(nil)
	return r
}

// transact sends a request and waits for the final answer.
func (p *Phone) transact(ctx context.Context, r *sip.Request) (*sip.Response, error) {
	tx, err := p.transactions.Request(ctx, r)
	if err != nil {
		return nil, err
	}
	defer tx.Terminate()
	for {
		select {
		case answer := <-tx.Responses():
			if !answer.IsProvisional() {
				return answer, nil
			}
		case <-tx.Done():
			return nil, cmp.Or(tx.Err(), sip.ErrTransactionTimeout)
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// ask sends a request and waits for the final answer. Without one the status is 408, as with RFC 3261 §8.1.3.1.
func (p *Phone) ask(ctx context.Context, r *sip.Request) (*sip.Response, int) {
	ctx, cancel := context.WithTimeout(ctx, answerTime)
	defer cancel()
	answer, err := p.transact(ctx, r)
	if err != nil {
		return nil, sip.StatusRequestTimeout
	}
	return answer, answer.StatusCode
}

// Send sends a message. What becomes of it is in the trace: nothing if all goes well, or an error that the phone showed.
func (p *Phone) Send(to, body string, _ bool) error {
	p.mu.Lock()
	p.last++
	i := trace.Item{Type: trace.Message, ID: fmt.Sprint(p.last), Body: body}
	p.mu.Unlock()
	p.record(trace.Sent, p.Address, to, string(i.Type), i)
	select {
	case p.texts <- text{to, i}:
		return nil
	default:
		return fmt.Errorf("peers: %d messages of %s wait for an answer to the one before", mostTexts, p.Address)
	}
}

// write sends messages one after the other.
func (p *Phone) write() {
	for {
		select {
		case <-p.ctx.Done():
			return
		case t := <-p.texts:
			r := p.request(sip.MESSAGE, t.to)
			r.AppendHeader(sip.NewHeader("Content-Type", "text/plain; charset=UTF-8"))
			r.SetBody([]byte(t.item.Body))
			if _, status := p.ask(p.ctx, r); status >= 300 && p.ctx.Err() == nil {
				t.item.Type, t.item.Code = trace.Error, status
				p.record(trace.Received, t.to, p.Address, fmt.Sprintf("error %d", status), t.item)
			}
		}
	}
}

// requested does what a request asks for.
func (p *Phone) requested(r *sip.Request, tx *sip.ServerTx) {
	defer tx.TerminateGracefully()
	switch r.Method {
	case sip.MESSAGE:
		p.message(r, tx)
	case sip.NOTIFY:
		p.notify(r, tx)
	default:
		p.answer(r, tx, sip.StatusMethodNotAllowed, "Method Not Allowed")
	}
}

// message shows a message.
func (p *Phone) message(r *sip.Request, tx *sip.ServerTx) {
	p.record(trace.Received, sender(r), p.Address, string(trace.Message), trace.Item{Type: trace.Message, Body: string(r.Body())})
	p.answer(r, tx, sip.StatusOK, "OK")
}

// sender is the address that a request comes from.
func sender(r *sip.Request) string {
	from := r.From()
	if from == nil {
		return ""
	}
	return from.Address.User + "@" + from.Address.Host
}

func (p *Phone) answer(r *sip.Request, tx *sip.ServerTx, status int, reason string) {
	if err := tx.Respond(sip.NewResponseFromRequest(r, status, reason, nil)); err != nil && p.ctx.Err() == nil {
		p.record(trace.Unexpected, p.Address, sender(r), fmt.Sprintf("%s cannot be answered: %v", r.Method, err), trace.Item{})
	}
}

// SetPresence publishes how the user can be reached; "unavailable" takes back what was published.
func (p *Phone) SetPresence(state, status string) error {
	p.record(trace.Sent, p.Address, "", string(trace.Presence)+" "+state, trace.Item{Type: trace.Presence, State: state, Body: status})
	p.mu.Lock()
	etag := p.etag
	p.mu.Unlock()
	r := p.request("PUBLISH", p.Address)
	r.AppendHeader(sip.NewHeader("Event", "presence"))
	if etag != "" {
		r.AppendHeader(sip.NewHeader("SIP-If-Match", etag))
	}
	if gone := state == "unavailable"; gone && etag == "" {
		return nil
	} else if gone {
		r.AppendHeader(sip.NewHeader("Expires", "0"))
	} else {
		r.AppendHeader(sip.NewHeader("Expires", "3600"))
		r.AppendHeader(sip.NewHeader("Content-Type", typePIDF))
		r.SetBody(document(p.Address, state, status))
	}
	answer, code := p.ask(p.ctx, r)
	if code >= 300 {
		return fmt.Errorf("peers: the proxy does not take the presence of %s: %d", p.Address, code)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.etag = ""
	if tag := answer.GetHeader("SIP-ETag"); tag != nil && state != "unavailable" {
		p.etag = tag.Value()
	}
	return nil
}

// Typing is nothing that single messages can carry.
func (p *Phone) Typing(to, state string) error { return ErrCannot }

// ErrCannot is returned for what a user agent of SIP/SIMPLE has no means for.
var ErrCannot = errors.New("peers: a phone behind a SIP proxy cannot do that")

func (p *Phone) record(kind, from, to, summary string, i trace.Item) {
	p.Trace.Record(trace.Event{Layer: trace.Client, Kind: kind, Host: p.Host, From: from, To: to, Summary: cmp.Or(summary, string(i.Type)), Item: i})
}
