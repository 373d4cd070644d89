//go:build peers

package crossing

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"fedlab/internal/network"
	"fedlab/internal/pki"
	"fedlab/lab/peers"
	"fedlab/sim/dns"
	"fedlab/sim/ocsedge"
	"fedlab/sim/trace"
)

// Who is who in every world. The names are under example, as libunbound answers for everything under test itself.
const (
	ourDomain   = "contoso.example" // the SIP users' domain, for which the gateway speaks XMPP
	theirDomain = "peer.example"    // the XMPP server's
	alice       = "alice@contoso.example"
	anna        = "anna@contoso.example"
	bob         = "bob@peer.example"
)

// worlds counts the worlds of this run.
var worlds atomic.Int32

// world is a network on loopback addresses of its own: a name server, certificates, and what tests put beside them.
type world struct {
	t      *testing.T
	number int32
	dir    string
	names  string // address of the name server
	papers *pki.Authority

	gateway *process
	server  *process // the XMPP server
	edge    *ocsedge.Edge
	trace   *trace.Recorder
	told    int // events of trace that were waited for
}

// The machines: the last number of their addresses.
const (
	nameServer = 53
	gateway    = 40
	edge       = 33
	server     = 125
	front      = 34
)

// at is the address of a machine.
func (w *world) at(machine int) string { return fmt.Sprintf("127.79.%d.%d", w.number, machine) }

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{t: t, number: worlds.Add(1), dir: t.TempDir(), trace: trace.NewRecorder()}
	w.names = w.at(nameServer) + ":53"
	srv := func(host string) []string { return []string{"0 0 5269 " + host} }
	names, err := dns.Start(t.Context(), dns.Config{Network: network.OS{}, Listen: w.names, Trace: trace.NewRecorder(), Zones: map[string]map[string][]string{
		ourDomain:   {"_xmpp-server._tcp SRV": srv("xmpp"), "xmpp A": {w.at(gateway)}, "sip A": {w.at(edge)}},
		theirDomain: {"_xmpp-server._tcp SRV": srv("chat"), "chat A": {w.at(server)}},
	}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { names.Close() })
	if w.papers, err = pki.NewAuthority("peers", pki.AuthorityOptions{}); err != nil {
		t.Fatal(err)
	}
	w.file("ca.pem", string(w.papers.RootPEM()))
	w.file("resolv.conf", "nameserver "+w.at(nameServer)+"\n")
	return w
}

// issue makes a certificate and writes name.pem, name.key and name.both.pem.
func (w *world) issue(name string, names ...string) *pki.Pair {
	w.t.Helper()
	return w.keep(name)(w.papers.Issue(pki.Leaf{Subject: names[0], Names: names, Server: true, Client: true}))
}

// issueServer makes the XMPP server's certificate.
func (w *world) issueServer(m mode) {
	w.t.Helper()
	if m.self {
		w.keep("server")(pki.SelfSigned(pki.Leaf{Subject: theirDomain, Names: []string{theirDomain}, Server: true, Client: true}))
		return
	}
	w.issue("server", theirDomain)
}

func (w *world) keep(name string) func(*pki.Pair, error) *pki.Pair {
	return func(p *pki.Pair, err error) *pki.Pair {
		w.t.Helper()
		if err != nil {
			w.t.Fatal(err)
		}
		w.file(name+".pem", string(p.CertPEM))
		w.file(name+".key", string(p.KeyPEM))
		w.file(name+".both.pem", string(p.CertPEM)+string(p.KeyPEM))
		return p
	}
}

// file writes a file of the world and returns its path.
func (w *world) file(name, text string) string {
	w.t.Helper()
	path := filepath.Join(w.dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		w.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		w.t.Fatal(err)
	}
	return path
}

// run starts a server that others wrote. Whatever resolver it uses, it asks the world's name server and no other: for this process
// alone that one stands in /etc/resolv.conf. It has its own table of processes, so that the children that it makes end with it.
func (w *world) run(env []string, name string, args ...string) *process {
	w.t.Helper()
	const script = `mount --bind "$1" /etc/resolv.conf && shift && exec "$@"`
	isolated := []string{"--pid", "--fork", "--kill-child", "--mount", "--propagation", "private", "sh", "-c", script, "sh", filepath.Join(w.dir, "resolv.conf"), need(w.t, name)}
	p := start(w.t, w.dir, env, "unshare", append(isolated, args...)...)
	p.name = name
	return p
}

// listening waits until a server listens at an address. It looks and does not connect: SIPp takes a connection for a call.
func (w *world) listening(network, address string) {
	w.t.Helper()
	state := map[string]string{"tcp": "0A", "udp": "07"}[network]
	a := netip.MustParseAddrPort(address)
	ip := a.Addr().As4()
	want := fmt.Sprintf(" %02X%02X%02X%02X:%04X 00000000:0000 %s ", ip[3], ip[2], ip[1], ip[0], a.Port(), state)
	for limit := time.Now().Add(patience); ; time.Sleep(20 * time.Millisecond) {
		sockets, err := os.ReadFile("/proc/net/" + network)
		if err != nil {
			w.t.Fatal(err)
		}
		if strings.Contains(string(sockets), want) {
			return
		}
		if time.Now().After(limit) {
			w.t.Fatalf("nobody listens at %s", address)
		}
	}
}

// startServer starts an XMPP server that others wrote, waits until it has said that it is ready, and logs Bob in.
func (w *world) startServer(m mode, name string, configured func(peers.XMPPServer) peers.Run, ready ...string) *client {
	w.t.Helper()
	w.issueServer(m)
	s := peers.XMPPServer{
		Domains: []string{theirDomain}, Federation: netip.MustParseAddrPort(w.at(server) + ":5269"), Clients: netip.MustParseAddrPort(w.at(server) + ":5222"),
		Encryption: peers.Never, External: m.external, Names: netip.MustParseAddrPort(w.names), Folder: w.dir, Data: filepath.Join(w.dir, name),
	}
	switch {
	case m.tls:
		s.Encryption = peers.Required
	case m.open:
		s.Encryption = peers.Optional
	}
	w.file(name+"/.keep", "")
	w.server = w.serve(configured(s))
	for _, text := range ready {
		w.server.says(text)
	}
	return logIn(w.t, w.at(server)+":5222", theirDomain)
}

// serve starts a server that others wrote as it wants to be run.
func (w *world) serve(r peers.Run) *process {
	w.t.Helper()
	for name, text := range r.Files {
		w.file(name, text)
	}
	return w.run(r.Env, r.Command[0], r.Command[1:]...)
}

// startEdge puts the fake Edge with Alice and Anna behind it into the world.
func (w *world) startEdge() {
	w.t.Helper()
	pair := w.issue("edge", "sip."+ourDomain)
	var err error
	w.edge, err = ocsedge.Start(w.t.Context(), ocsedge.Config{
		Network: network.OS{DNS: []string{w.names}}, Host: "edge", Name: "sip." + ourDomain, Federation: w.at(edge) + ":5061",
		Certificate: pair.TLS(), Roots: pki.Roots(w.papers), Domains: []string{ourDomain}, Allow: map[string]string{theirDomain: "xmpp." + ourDomain},
		Users: []ocsedge.User{{Address: alice, Contacts: []string{bob}}, {Address: anna, Contacts: []string{bob}}},
		Trace: w.trace,
	})
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() {
		w.edge.Close()
		for _, e := range w.trace.Events() {
			if e.Kind == trace.Unexpected {
				w.t.Errorf("the Edge: %s\n%s", e, e.Data)
			}
		}
	})
}

// startGateway starts fedgate with this policy towards the XMPP server and this way to the SIP server, and waits until it is ready.
func (w *world) startGateway(policy, sip string) {
	w.t.Helper()
	w.issue("gateway", "xmpp."+ourDomain)
	w.issue("xmpp", ourDomain)
	path := w.file("fedgate.yaml", fmt.Sprintf(`
hostname: xmpp.%[1]s
dns: ["%[2]s"]
sip:
  listen: %[3]s:5061
  certificate: {cert: gateway.pem, key: gateway.key, authorities: ca.pem}
  domains:
    %[1]s: %[5]s
xmpp:
  listen: %[3]s:5269
  certificate: {cert: xmpp.pem, key: xmpp.key, authorities: ca.pem}
  domains:
    %[4]s: %[6]s
admin: {listen: "%[3]s:9469"}
limits: {outcome: 20s}
`, ourDomain, w.names, w.at(gateway), theirDomain, sip, policy))
	w.gateway = start(w.t, w.dir, nil, fedgate, "run", "-c", path, "--log-level", "debug")
	w.t.Cleanup(func() {
		if w.t.Failed() {
			w.t.Logf("the gateway's status: %s", w.status())
		}
	})
	w.gateway.says("gateway is ready")
}

// status is what the gateway says of itself.
func (w *world) status() string {
	client := http.Client{Timeout: 5 * time.Second}
	r, err := client.Get("http://" + w.at(gateway) + ":9469/status")
	if err != nil {
		return err.Error()
	}
	defer r.Body.Close()
	text, err := io.ReadAll(r.Body)
	if err != nil {
		return err.Error()
	}
	return string(text)
}

// sip has a SIP user do something at the Edge.
func (w *world) sip(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

// shown waits until a client of a SIP user, reached over the Edge, was shown something by somebody, later than what was waited for
// before.
func (w *world) shown(to, from string, sort trace.ItemType, what string, match func(trace.Item) bool) trace.Item {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.t.Context(), patience)
	defer cancel()
	e, err := w.trace.Await(ctx, w.told, func(e trace.Event) bool {
		return e.Layer == trace.Client && e.Kind == trace.Received && e.To == to && e.From == from && e.Item.Type == sort && match(e.Item)
	})
	if err != nil {
		w.t.Fatalf("%s was not shown %s %s from %s within %v; the Edge's trace:\n%s", to, sort, what, from, patience, w.edgeTrace())
	}
	return e.Item
}

func (w *world) edgeTrace() string {
	text := ""
	for _, e := range w.trace.Events() {
		if e.Layer == trace.Client || e.Layer == trace.SIP || e.Layer == trace.Log {
			text += e.String() + "\n"
		}
	}
	return text
}
