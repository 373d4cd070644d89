package sipedge

import (
	"slices"
	"strconv"
	"strings"
	"sync"

	"fedlab/gateway/session"

	"github.com/emiago/sipgo/sip"
)

// dialog is one INVITE dialog with a SIP user, or the attempt at one. What came from the peer is kept as it stood on the wire.
type dialog struct {
	id       session.Dialog
	conv     *conversation
	callID   string
	localTag string
	ours     bool // we sent the INVITE

	cancel     chan struct{} // closed when our INVITE is taken back
	cancelOnce sync.Once
	acked      chan struct{} // closed when the ACK to our 200 has come
	ackOnce    sync.Once

	mu       sync.Mutex
	local    string   // our From in requests, tag included
	remote   string   // their To in requests, tag included
	target   string   // the remote target: their Contact's URI with all its parameters
	routes   []string // the route set, in order
	cseq     uint32   // of our last request
	peerCSeq uint32   // of theirs
	heard    bool     // they have sent one
	link     *link    // the link it used last
}

// dialogKey is how requests find a dialog. The local tag is ours and random: nobody can guess it.
func dialogKey(callID, localTag string) string { return callID + "\x00" + localTag }

// recordRoutes are the route set of a message, an element each: a comma list is taken apart, nothing else is touched.
func recordRoutes(m *message) []string { return m.list("record-route") }

// target of a message: the URI of its Contact, whole.
func contactURI(m *message) string {
	if c := m.get("contact", "m"); c != "" {
		return parseNameAddr(splitList(c)[0]).uri
	}
	return ""
}

// establish takes over the dialog's state from the 2xx to our INVITE. RFC 3261 §12.1.2
func (d *dialog) establish(res *answer, l *link) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.remote = res.to.raw
	d.routes = recordRoutes(res.message)
	slices.Reverse(d.routes)
	if t := contactURI(res.message); t != "" {
		d.target = t
	}
	d.link = l
}

// refresh takes a new remote target from a target refresh request or its 2xx. RFC 3261 §12.2
func (d *dialog) refresh(m *message) {
	if t := contactURI(m); t != "" {
		d.mu.Lock()
		d.target = t
		d.mu.Unlock()
	}
}

// inOrder notes the CSeq of a request of the peer; false if it is not higher than the last. RFC 3261 §12.2.2
func (d *dialog) inOrder(cseq uint32) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.heard && cseq <= d.peerCSeq { // empty until the peer's first request, whose number may be 0
		return false
	}
	d.peerCSeq, d.heard = cseq, true
	return true
}

// request builds a request in the dialog. cseq 0 takes the next number; ACK and CANCEL give that of the INVITE.
func (d *dialog) request(e *Edge, method sip.RequestMethod, cseq uint32, extra ...field) *sip.Request {
	d.mu.Lock()
	defer d.mu.Unlock()
	if cseq == 0 {
		d.cseq++
		cseq = d.cseq
	}
	target, routes := d.target, d.routes
	if len(routes) > 0 && !looseRouter(routes[0]) { // RFC 3261 §12.2.1.1: the first hop is a strict router of RFC 2543
		first := parseNameAddr(routes[0]).uri
		routes = append(slices.Clone(routes[1:]), "<"+target+">")
		target = first
	}
	req := e.newRequest(method, target, d.callID, d.local, d.remote, cseq)
	for _, r := range routes {
		req.AppendHeader(sip.NewHeader("Route", r))
	}
	for _, f := range extra {
		req.AppendHeader(sip.NewHeader(f.name, f.value))
	}
	return req
}

func looseRouter(route string) bool {
	_, params, _ := strings.Cut(parseNameAddr(route).uri, ";")
	_, lr := param(params, "lr")
	return lr
}

// newRequest builds a request with what every request has. Every name in it is our host's: an Edge ignores addresses.
func (e *Edge) newRequest(method sip.RequestMethod, uri, callID, from, to string, cseq uint32) *sip.Request {
	req := sip.NewRequest(method, rawURI(uri))
	v := &sip.ViaHeader{ProtocolName: "SIP", ProtocolVersion: "2.0", Transport: "TLS", Host: e.hostname, Port: e.port()}
	v.Params = sip.HeaderParams{{K: "branch", V: sip.RFC3261BranchMagicCookie + token(16)}}
	req.AppendHeader(v)
	req.AppendHeader(sip.NewHeader("Max-Forwards", "70"))
	req.AppendHeader(sip.NewHeader("From", from))
	req.AppendHeader(sip.NewHeader("To", to))
	req.AppendHeader(sip.NewHeader("Call-ID", callID))
	req.AppendHeader(&sip.CSeqHeader{SeqNo: cseq, MethodName: method})
	return req
}

// rawURI is a URI that sipgo writes as it stands: a GRUU loses nothing. sipgo keeps what it does not know uninterpreted.
func rawURI(s string) sip.Uri {
	scheme, rest, ok := strings.Cut(s, ":")
	if !ok {
		scheme, rest = "sip", s
	}
	var u sip.Uri
	_ = sip.ParseUri("raw:"+rest, &u)
	u.Scheme = scheme
	return u
}

// port is the one we listen on.
func (e *Edge) port() int { return int(e.listenPort.Load()) }

// contact is where the peer sends its requests in a dialog.
func (e *Edge) contact() string {
	return "<sip:" + e.hostname + ":" + strconv.Itoa(e.port()) + ";transport=tls>"
}
