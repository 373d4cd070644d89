package ocsedge

import (
	"slices"
	"strconv"
	"strings"
	"time"
)

// dialog is what both ends of a SIP dialog have to keep (RFC 3261 §12): a session or a subscription.
type dialog struct {
	e         *Edge
	u         *user
	peer      string // user@domain of the other side
	callID    string
	localTag  string
	local     string // From value of our requests, tag and epid included
	remote    string // To value of our requests
	localSeq  uint32
	remoteSeq uint32
	inviteSeq uint32
	contact   string   // ours: the Request-URI that requests of the peer have to carry, to the last parameter
	routes    []string // the Route set that requests of the peer have to carry, to the last parameter
	target    string   // the peer's contact
	usable    bool     // the target is a name
	inside    func(*ask)
}

// calls is everything that is going on between users and peers.
type calls struct {
	made     int
	dialogs  map[string]*dialog
	answered recent              // client transactions that have ended
	acks     map[string]*message // of invitations that succeeded, by Call-ID and CSeq
	pending  map[string]*pendingACK
	invites  map[string]*session // by branch: what a CANCEL can end
}

type pendingACK struct{ timer *timer }

func newCalls() calls {
	return calls{dialogs: map[string]*dialog{}, acks: map[string]*message{}, pending: map[string]*pendingACK{}, invites: map[string]*session{}}
}

func dialogKey(callID, localTag string) string { return callID + "\x00" + localTag }

func (e *Edge) addDialog(d *dialog)    { e.calls.dialogs[dialogKey(d.callID, d.localTag)] = d }
func (e *Edge) removeDialog(d *dialog) { delete(e.calls.dialogs, dialogKey(d.callID, d.localTag)) }

// expectACK waits for the ACK of a refused invitation. RFC 3261 §17.2.1: Timer H.
func (c *calls) expectACK(a *ask) {
	e, key := a.l.e, ackKey(a.m)
	p := &pendingACK{}
	answered := time.Now()
	p.timer = e.after(transactionTime, func() {
		delete(c.pending, key)
		e.missed(a, answered, "no ACK for the refused %s")
	})
	c.pending[key] = p
}

// missed holds a missing ACK against the peer, if the peer was heard since: else it is the way that is cut.
func (e *Edge) missed(a *ask, since time.Time, format string) {
	if !a.l.dropped && a.l.heard.After(since) {
		e.unexpected(a.l, nil, format, a.m.summary())
	}
}

// acked takes the ACK of a refused invitation.
func (c *calls) acked(a *ask) bool {
	key := ackKey(a.m)
	p := c.pending[key]
	if p == nil {
		return false
	}
	p.timer.stop()
	delete(c.pending, key)
	return true
}

func ackKey(m *message) string {
	branch, _ := param(splitList(m.get("Via"))[0], "branch")
	return m.get("Call-ID") + " " + branch
}

// newDialog starts a dialog of a user with a peer, as its caller.
func (e *Edge) newDialog(u *user, peer string) *dialog {
	d := &dialog{e: e, u: u, peer: peer, callID: e.hex(20), localTag: e.hex(10), contact: u.gruu, localSeq: 1}
	d.local = u.display() + "<sip:" + u.Address + ">;tag=" + d.localTag + ";epid=" + u.epid
	d.remote = "<sip:" + peer + ">"
	d.inviteSeq = 1
	e.addDialog(d)
	return d
}

// accepted makes the callee's side of the dialog that a request of the peer asks for.
func (e *Edge) accepted(a *ask, u *user) *dialog {
	if a.tag == "" {
		a.tag = e.upper(32)
	}
	n, _, _ := a.m.cseq()
	d := &dialog{e: e, u: u, peer: a.from.uri.aor(), callID: a.m.get("Call-ID"), localTag: a.tag, localSeq: 1, remoteSeq: n, inviteSeq: n, contact: u.gruu}
	d.local = a.m.get("To") + ";tag=" + a.tag
	if a.epid != "" {
		d.local += ";epid=" + a.epid
	}
	d.remote = a.m.get("From")
	d.aim(e.judgeContactQuietly(a.m))
	d.routes = append(e.recordRoutes(), a.m.list("Record-Route")...)
	e.addDialog(d)
	return d
}

// mirror is what the answer to the request that made the dialog carries as Record-Route: the reverse of what the peer has to
// send as Route (RFC 3261 §12.1.2).
func (d *dialog) mirror() []field {
	var fs []field
	for _, r := range slices.Backward(d.routes) {
		fs = append(fs, field{"Record-Route", r})
	}
	return fs
}

// judgeContactQuietly reads a Contact that judgeMessage has judged already.
func (e *Edge) judgeContactQuietly(m *message) (string, bool) {
	a, err := parseAddress(m.get("Contact"))
	return a.whole, err == nil && !a.uri.numeric() && strings.Contains(a.uri.host, ".")
}

// aim sets where requests to the peer go.
func (d *dialog) aim(target string, usable bool) {
	d.target, d.usable = target, usable || (target != "" && d.e.quirks.UsesAddresses)
}

// recordRoutes are the values that the Edge and the pool put on a request that makes a dialog, the Edge's first. The signatures
// and tags outside of the brackets are what strict parsers lose (traces).
func (e *Edge) recordRoutes() []string {
	return []string{
		"<sip:" + e.cfg.Name + ":5061;transport=tls;epid=" + e.hex(4) + ";opaque=state:T:Ci.R" + e.hex(6) + ";lr;ms-key-info=AAEAA" + e.token(11) + ";ms-route-sig=" + e.token(27) + ">;ms-rrsig=" + e.token(27) + ";tag=" + e.upper(32),
		"<sip:pool01." + e.domains[0] + ":5061;transport=tls;ms-fe=fe01." + e.domains[0] + ";opaque=state:F:Ci.R" + e.hex(6) + ";lr;ms-route-sig=" + e.token(27) + ">;ms-rrsig=" + e.token(27) + ";tag=" + e.upper(32),
	}
}

// sendAndForget sends a request that is never answered, such as a BENOTIFY or an ACK.
func (d *dialog) sendAndForget(m *message) {
	e := d.e
	u, err := parseURI(d.target)
	if !d.usable || err != nil {
		return
	}
	e.connect(u.hop(), func(l *link, err error) {
		if err != nil {
			return
		}
		t := &clientTransaction{e: e, request: m, branch: e.branch()}
		e.launch(t, l)
		delete(l.waiting, t.key())
		e.calls.answered.add(t.key())
	})
}

// compose makes a request of the user inside d, without what depends on the connection.
func (d *dialog) compose(method string) *message {
	target := d.target
	if target == "" {
		target = "sip:" + d.peer
	}
	m := newRequest(method, target)
	if method == "ACK" {
		m.add("CSeq", strconv.FormatUint(uint64(d.inviteSeq), 10)+" ACK")
	} else {
		m.add("CSeq", strconv.FormatUint(uint64(d.localSeq), 10)+" "+method)
		d.localSeq++
	}
	m.fields = append([]field{
		{"From", d.local},
		{"To", d.remote},
		{"Call-ID", d.callID},
	}, m.fields...)
	if method != "ACK" && method != "BYE" {
		m.add("Contact", "<"+d.contact+">")
	}
	m.add("User-Agent", "UCCAPI/3.5.6907.0 OC/3.5.6907.0 (Microsoft Office Communicator 2007 R2)")
	return m
}

// ask sends a request that is outside of a dialog, or makes one, to the next hop for the peer's domain. A request that makes one
// carries the Edge's and the pool's Record-Route, which are the routes that the peer has to send.
func (d *dialog) ask(next string, m *message, timeout time.Duration, done func(*message, error)) *clientTransaction {
	var head []field
	for _, rr := range d.routes {
		head = append(head, field{"Record-Route", rr})
	}
	if host := nameOf(next); d.e.quirks.EdgeRoute && !strings.HasPrefix(next, srvPrefix) {
		head = append(head, field{"Route", "<sip:" + host + ":" + portOf(next) + ";transport=tls;lr>;ms-edge-route"})
	}
	m.fields = append(head, m.fields...)
	return d.e.request(next, m, timeout, done)
}

// request sends a request inside the dialog.
func (d *dialog) request(m *message, timeout time.Duration, done func(*message, error)) {
	e := d.e
	if !d.usable {
		err := reason{1007, "0xC3E93C5E", "SIPPROXY_E_ROUTING", "the peer's contact " + strconv.Quote(d.target) + " is not a name to route to"}
		e.log(err, "%s to %s", m.method, d.peer)
		done(nil, err)
		return
	}
	u, err := parseURI(d.target)
	if err != nil {
		done(nil, err)
		return
	}
	e.request(u.hop(), m, timeout, done)
}
