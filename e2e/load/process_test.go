package load

import (
	"bytes"
	"crypto/tls"
	"flag"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/miekg/dns"

	"fedlab/internal/pki"
)

// The names of the deployment: one XMPP domain, one SIP domain.
const (
	xmppDomain  = "gmail.com"
	sipDomain   = "contoso.com"
	gatewayName = "xmpp.jds.local"
	edgeName    = "sip.contoso.com"
)

// patience bounds every wait. It is long because the machine may be busy with other things.
const patience = 120 * time.Second

// deployment is the gateway's binary and files, and the peers it will meet.
type deployment struct {
	t             testing.TB
	dir, program  string
	sip, xmpp     string // where the gateway listens
	farm          *farm
	edge          *edge
	authority     *pki.Authority
	edgeIdentity  tls.Certificate
	extra         string // further lines of the gateway's configuration
	gateway       *exec.Cmd
	log           *tail
	gatewayExited chan struct{}
}

var built = struct {
	sync.Mutex
	dir, path string
}{}

// whole asks for the sizes that docs/figures.md gives figures for; without it the tests are a fifth as large, to be quick.
var whole = flag.Bool("whole", false, "tests: in their whole size, as `make bench` runs them")

// sized is how large a test of this whole size is.
func sized(n int) int {
	if *whole {
		return n
	}
	return n / 5
}

// TestMain removes the binary that the tests have built.
func TestMain(m *testing.M) {
	code := m.Run()
	if built.dir != "" {
		_ = os.RemoveAll(built.dir)
	}
	os.Exit(code)
}

// binary builds fedgate, once for all tests.
func binary(t testing.TB) string {
	t.Helper()
	built.Lock()
	defer built.Unlock()
	if built.path == "" {
		dir, err := os.MkdirTemp("", "fedgate")
		check(t, err)
		built.dir = dir
		path := filepath.Join(dir, "fedgate")
		if out, err := exec.Command("go", "build", "-o", path, "fedlab/cmd/fedgate").CombinedOutput(); err != nil {
			t.Fatalf("go build: %v\n%s", err, out)
		}
		built.path = path
	}
	return built.path
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// deploy prepares everything and starts the peers and the name server, but not the gateway. extra is further configuration.
func deploy(t testing.TB, extra string) *deployment {
	t.Helper()
	d := &deployment{t: t, dir: t.TempDir(), program: binary(t), sip: ownAddress(), xmpp: ownAddress(), extra: extra}
	var err error
	d.authority, err = pki.NewAuthority("private-ca", pki.AuthorityOptions{})
	check(t, err)
	pair, err := d.authority.Issue(pki.Leaf{Subject: gatewayName, Names: []string{gatewayName}, Server: true, Client: true})
	check(t, err)
	edgePair, err := d.authority.Issue(pki.Leaf{Subject: edgeName, Names: []string{edgeName}, Server: true, Client: true})
	check(t, err)
	d.edgeIdentity = edgePair.TLS()
	d.farm = newFarm(t)
	d.edge = newEdge(t, d.edgeIdentity)
	names := nameServer(t, d.farm.port(), d.edge.port())
	d.write("gateway.pem", pair.CertPEM)
	d.write("gateway.key", pair.KeyPEM)
	d.write("authorities.pem", d.authority.RootPEM())
	d.write("fedgate.yaml", fmt.Appendf(nil, `hostname: %s
dns: ["%s"]
sip:
  listen: %s
  certificate: {cert: gateway.pem, key: gateway.key, authorities: authorities.pem}
  domains:
    %s: {next_hop: "%s:%d"}
xmpp:
  listen: %s
  stream_timeout: 2s
  domains:
    %s: {tls: never}
%s`, gatewayName, names, d.sip, sipDomain, edgeName, d.edge.port(), d.xmpp, xmppDomain, extra))
	t.Cleanup(d.kill)
	return d
}

func (d *deployment) write(name string, content []byte) {
	d.t.Helper()
	check(d.t, os.WriteFile(filepath.Join(d.dir, name), content, 0o600))
}

// start runs the gateway and returns when it is ready.
func (d *deployment) start() {
	d.t.Helper()
	d.log = &tail{ready: make(chan struct{})}
	d.gateway = exec.Command(d.program, "run", "-c", filepath.Join(d.dir, "fedgate.yaml"), "--log-level", "info")
	d.gateway.Stderr = d.log
	check(d.t, d.gateway.Start())
	exited := make(chan struct{})
	d.gatewayExited = exited
	command := d.gateway
	go func() { _ = command.Wait(); close(exited) }()
	select {
	case <-d.log.ready:
	case <-exited:
		d.t.Fatalf("the gateway ended: %s", d.log)
	case <-time.After(patience):
		d.t.Fatalf("the gateway is not ready: %s", d.log)
	}
}

// kill ends the gateway as kill -9 does, and returns when it is gone.
func (d *deployment) kill() {
	if d.gateway == nil {
		return
	}
	_ = d.gateway.Process.Kill()
	<-d.gatewayExited
	d.gateway = nil
	if d.t.Failed() {
		d.t.Logf("the gateway's log ends with\n%s", d.log)
	}
}

// cpu is the processor time that the gateway's process has used, in user and kernel mode.
func (d *deployment) cpu() time.Duration {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", d.gateway.Process.Pid))
	check(d.t, err)
	fields := strings.Fields(string(b[bytes.LastIndexByte(b, ')')+2:])) // from the third field, proc(5)
	ticks := 0
	for _, f := range fields[11:13] {
		n, err := strconv.Atoi(f)
		check(d.t, err)
		ticks += n
	}
	return time.Duration(ticks) * (time.Second / 100) // USER_HZ
}

// memory is the resident memory of the gateway's process, in bytes: now, and the most there ever was.
func (d *deployment) memory() (now, most int64) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", d.gateway.Process.Pid))
	check(d.t, err)
	for line := range strings.Lines(string(b)) {
		name, value, _ := strings.Cut(line, ":")
		n, _ := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(value), " kB"), 10, 64)
		switch name {
		case "VmRSS":
			now = n << 10
		case "VmHWM":
			most = n << 10
		}
	}
	return now, most
}

// stop ends the gateway in order.
func (d *deployment) stop() {
	d.t.Helper()
	check(d.t, d.gateway.Process.Signal(syscall.SIGTERM))
	select {
	case <-d.gatewayExited:
		d.gateway = nil
	case <-time.After(patience):
		d.t.Fatalf("the gateway does not stop: %s", d.log)
	}
}

// tail keeps the end of the gateway's log, and notices when it says that it is ready.
type tail struct {
	ready chan struct{}

	mu   sync.Mutex
	said bool
	text []byte
}

// Write is called by the goroutine that reads the process's standard error.
func (l *tail) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.text = append(l.text, b...)
	if !l.said && bytes.Contains(l.text, []byte("gateway is ready")) {
		l.said = true
		close(l.ready)
	}
	if len(l.text) > 1<<16 {
		l.text = append(l.text[:0], l.text[len(l.text)-1<<13:]...)
	}
	return len(b), nil
}

func (l *tail) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return string(l.text[max(len(l.text)-4000, 0):])
}

// handedOut counts the addresses of ownAddress.
var handedOut atomic.Uint32

// ownAddress is a loopback address that nobody else in this machine listens on or calls from: a port that was free a moment
// ago may be the source port of somebody's connection by the time a process listens on it.
func ownAddress() string {
	return fmt.Sprintf("127.78.%d.%d:5269", os.Getpid()%254+1, handedOut.Add(1)%254+1)
}

// nameServer answers for the two peers.
func nameServer(t testing.TB, xmpp, sip int) string {
	t.Helper()
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	check(t, err)
	zone := map[string]string{
		"_xmpp-server._tcp." + xmppDomain + ". SRV": fmt.Sprintf("0 0 %d talk.%s.", xmpp, xmppDomain),
		"talk." + xmppDomain + ". A":                "127.0.0.1",
		edgeName + ". A":                            "127.0.0.1",
	}
	server := &dns.Server{PacketConn: conn, Handler: dns.HandlerFunc(func(w dns.ResponseWriter, q *dns.Msg) {
		a := new(dns.Msg)
		a.SetReply(q)
		question := strings.ToLower(q.Question[0].Name) + " " + dns.TypeToString[q.Question[0].Qtype]
		if value, ok := zone[question]; ok {
			name, kind, _ := strings.Cut(question, " ")
			rr, err := dns.NewRR(name + " 60 IN " + kind + " " + value)
			if err == nil {
				a.Answer = []dns.RR{rr}
			}
		}
		_ = w.WriteMsg(a)
	})}
	ended := make(chan struct{})
	go func() { _ = server.ActivateAndServe(); close(ended) }()
	t.Cleanup(func() { _ = conn.Close(); <-ended })
	return conn.LocalAddr().String()
}
