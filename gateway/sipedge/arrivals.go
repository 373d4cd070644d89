package sipedge

import (
	"hash/fnv"
	"net"
	"strconv"
	"strings"
	"sync"

	"github.com/emiago/sipgo/sip"
)

// inbound is a request of a peer, from the wire to its final answer.
type inbound struct {
	*message
	method  string // of the request line
	uri     string // the Request-URI
	version string
	link    *link
	toTag   string // ours, the same in every response

	tx       sip.ServerTransaction // once sipgo has made it
	key      string                // sipgo's name for the transaction
	mu       sync.Mutex
	answered bool
}

// cancelMethod stands for CANCEL inside sipgo, whose own handling of CANCEL answers for us, with headers that it has rewritten.
const cancelMethod sip.RequestMethod = "CANCEL (ours)"

// arrivals restores the order of a link's requests. sipgo hands each to a goroutine of its own, so that they overtake each
// other; here they are noted while sipgo's reader still has them in hand, and taken in that order.
type arrivals struct {
	mu       sync.Mutex
	queue    []*inbound // in order of arrival
	waiting  map[*sip.Request]*inbound
	live     map[string]bool // transactions that have no final answer yet
	draining bool
}

// announce notes a request. It says false if sipgo will not bring it: a retransmission, or what belongs to another request.
func (a *arrivals) announce(req *sip.Request, in *inbound) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.live[in.key] {
		return false
	}
	if a.live == nil {
		a.live, a.waiting = make(map[string]bool), make(map[*sip.Request]*inbound)
	}
	a.live[in.key] = true
	a.waiting[req] = in
	a.queue = append(a.queue, in)
	return true
}

// brought gives the request its transaction and handles, in order, all that have theirs. handle must not block. Only one
// goroutine at a time handles; others leave their requests to it.
func (a *arrivals) brought(req *sip.Request, tx sip.ServerTransaction, handle func(*inbound)) bool {
	a.mu.Lock()
	in := a.waiting[req]
	if in == nil {
		a.mu.Unlock()
		return false
	}
	delete(a.waiting, req)
	in.tx = tx
	if a.draining {
		a.mu.Unlock()
		return true
	}
	a.draining = true
	for len(a.queue) > 0 && a.queue[0].tx != nil {
		next := a.queue[0]
		a.queue[0] = nil
		a.queue = a.queue[1:]
		a.mu.Unlock()
		handle(next)
		a.mu.Lock()
	}
	a.draining = false
	a.mu.Unlock()
	return true
}

// finished forgets a transaction that has its final answer.
func (a *arrivals) finished(key string) {
	a.mu.Lock()
	delete(a.live, key)
	a.mu.Unlock()
}

// prepare gives sipgo what it needs to tell transactions apart, in types of its own, in front of the raw headers: it would read
// them itself, but stumbles over quoted parameters, comma lists and a Via without branch, which real peers send. As the Via's
// host it gets the link's address: where the link is gone sipgo looks the host up, and must find that there is nothing to find.
// It gives the message as it was.
func prepare(msg sip.Message, headers []sip.Header, method string) *message {
	m := readMessage(headers, msg.Body())
	branch := ""
	if len(m.vias) > 0 {
		if top, ok := parseVia(m.vias[0]); ok {
			branch = top.branch
		}
	}
	if !strings.HasPrefix(branch, sip.RFC3261BranchMagicCookie) || len(branch) <= len(sip.RFC3261BranchMagicCookie) {
		branch = oldBranch(m) // RFC 3261 §17.2.3, for RFC 2543 peers
	}
	host, _, _ := net.SplitHostPort(msg.Source())
	v := &sip.ViaHeader{ProtocolName: "SIP", ProtocolVersion: "2.0", Transport: "TLS", Host: host, Port: 5061}
	v.Params = sip.HeaderParams{{K: "branch", V: branch}}
	if m.method != "" {
		method = m.method
	}
	msg.PrependHeader(v, &sip.CSeqHeader{SeqNo: m.cseq, MethodName: sip.RequestMethod(method)})
	return m
}

// oldBranch names a transaction whose Via has no branch that can be relied on.
func oldBranch(m *message) string {
	h := fnv.New64a()
	for _, s := range append([]string{m.callID, m.from.param("tag"), strconv.Itoa(int(m.cseq)), m.method}, m.vias...) {
		_, _ = h.Write([]byte(s))
		_, _ = h.Write([]byte{0})
	}
	return sip.RFC3261BranchMagicCookie + "-old-" + strconv.FormatUint(h.Sum64(), 16)
}
