package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"fedlab/gateway/config"
	"fedlab/internal/pki"
)

// deployment is a directory with a configuration and the certificates it names.
type deployment struct {
	dir, config      string
	sip, xmpp, admin string
	authority        *pki.Authority
}

func deploy(t *testing.T) deployment {
	t.Helper()
	d := deployment{dir: t.TempDir(), sip: ownAddress(), xmpp: ownAddress(), admin: ownAddress()}
	var err error
	if d.authority, err = pki.NewAuthority("private-ca", pki.AuthorityOptions{}); err != nil {
		t.Fatal(err)
	}
	pair, err := d.authority.Issue(pki.Leaf{Subject: "xmpp.jds.local", Names: []string{"xmpp.jds.local"}, Server: true, Client: true})
	if err != nil {
		t.Fatal(err)
	}
	d.write(t, "gateway.pem", string(pair.CertPEM))
	d.write(t, "gateway.key", string(pair.KeyPEM))
	d.write(t, "private-ca.pem", string(d.authority.RootPEM()))
	d.config = d.write(t, "fedgate.yaml", fmt.Sprintf(`hostname: xmpp.jds.local
sip:
  listen: %s
  certificate: {cert: gateway.pem, key: gateway.key, authorities: private-ca.pem}
  domains:
    contoso.com: {next_hop: "sip.contoso.com:1"}
xmpp:
  listen: %s
  domains:
    gmail.com: {also: [googlemail.com], tls: never}
dns: ["127.0.0.1:1"]
store: {path: fedgate.db}
admin: {listen: "%s"}
`, d.sip, d.xmpp, d.admin))
	return d
}

func (d deployment) write(t *testing.T, name, content string) string {
	t.Helper()
	path := filepath.Join(d.dir, name)
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// handedOut counts the addresses of ownAddress.
var handedOut atomic.Uint32

// ownAddress is a loopback address that nobody else in this machine listens on or calls from: a port that was free a moment
// ago may be the source port of somebody's connection by the time a process listens on it.
func ownAddress() string {
	return fmt.Sprintf("127.79.%d.%d:5269", os.Getpid()%254+1, handedOut.Add(1)%254+1)
}

func build(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "fedgate")
	if out, err := exec.Command("go", "build", "-o", path, ".").CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	return path
}

// The binary runs on the machine's own network: it answers an XMPP stream and a TLS client, says that it is ready, and SIGTERM
// ends it with exit code 0.
func TestRunOnLoopback(t *testing.T) {
	d := deploy(t)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var log bytes.Buffer
	cmd := exec.CommandContext(ctx, build(t), "run", "-c", d.config, "--log-format", "json")
	cmd.Stderr = &log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	exited := make(chan error, 1)
	go func() { exited <- cmd.Wait() }()
	defer func() { cancel(); <-exited }()

	awaitReady(t, ctx, d.admin, exited, &log)
	var stdout, stderr bytes.Buffer
	if code := execute(ctx, []string{"health", "-c", d.config}, &stdout, &stderr); code != exitWell || stdout.String() != "serving\n" {
		t.Errorf("health: exit code %d, %q, %s", code, stdout.String(), stderr.String())
	}

	x := dial(t, d.xmpp)
	fmt.Fprint(x, "<?xml version='1.0'?><stream:stream xmlns='jabber:server' xmlns:db='jabber:server:dialback' "+
		"xmlns:stream='http://etherx.jabber.org/streams' from='gmail.com' to='contoso.com' version='1.0'>")
	if got := readUntil(t, x, "<stream:features", "</stream:stream>"); !strings.Contains(got, "from='contoso.com'") || !strings.Contains(got, "<stream:features") {
		t.Errorf("the XMPP side answers %q", got)
	}
	x.Close()

	roots := x509.NewCertPool()
	roots.AddCert(d.authority.Root())
	edge, err := d.authority.Issue(pki.Leaf{Subject: "sip.contoso.com", Names: []string{"sip.contoso.com"}, Server: true, Client: true})
	if err != nil {
		t.Fatal(err)
	}
	s := tls.Client(dial(t, d.sip), &tls.Config{ServerName: "xmpp.jds.local", RootCAs: roots, Certificates: []tls.Certificate{edge.TLS()}})
	if err := s.HandshakeContext(ctx); err != nil {
		t.Fatalf("the SIP side's handshake: %v", err)
	}
	fmt.Fprint(s, "OPTIONS sip:xmpp.jds.local SIP/2.0\r\nVia: SIP/2.0/TLS sip.contoso.com:5061;branch=z9hG4bK1\r\nMax-Forwards: 70\r\n"+
		"From: <sip:sip.contoso.com>;tag=1\r\nTo: <sip:xmpp.jds.local>\r\nCall-ID: 1\r\nCSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n")
	if got := readUntil(t, s, "\r\n\r\n"); !strings.HasPrefix(got, "SIP/2.0 200 ") {
		t.Errorf("the SIP side answers %q", got)
	}
	s.Close()

	renew(t, ctx, cmd.Process, d, roots)

	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := <-exited; err != nil {
		t.Errorf("SIGTERM ends it with %v", err)
	}
	exited <- nil
	for _, want := range []string{`"msg":"gateway is ready"`, `"msg":"gateway has stopped"`} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("no %s in the log:\n%s", want, log.String())
		}
	}
	if t.Failed() {
		t.Log(log.String())
	}
}

// renew replaces the certificate's file and holds that SIGHUP brings it into use on both sides, but not before.
func renew(t *testing.T, ctx context.Context, process *os.Process, d deployment, roots *x509.CertPool) {
	t.Helper()
	pair, err := d.authority.Issue(pki.Leaf{Subject: "xmpp.jds.local", Names: []string{"xmpp.jds.local", "renewed.jds.local"}, Server: true, Client: true})
	if err != nil {
		t.Fatal(err)
	}
	d.write(t, "gateway.pem", string(pair.CertPEM))
	d.write(t, "gateway.key", string(pair.KeyPEM))
	names := func(conn net.Conn) int {
		c := tls.Client(conn, &tls.Config{ServerName: "xmpp.jds.local", RootCAs: roots})
		defer c.Close()
		if err := c.HandshakeContext(ctx); err != nil {
			t.Fatal(err)
		}
		return len(c.ConnectionState().PeerCertificates[0].DNSNames)
	}
	toSIP := func() int { return names(dial(t, d.sip)) }
	toXMPP := func() int {
		c := dial(t, d.xmpp)
		fmt.Fprint(c, "<?xml version='1.0'?><stream:stream xmlns='jabber:server' xmlns:db='jabber:server:dialback' "+
			"xmlns:stream='http://etherx.jabber.org/streams' from='example.org' to='contoso.com' version='1.0'>")
		readUntil(t, c, "</stream:features>")
		fmt.Fprint(c, "<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>")
		readUntil(t, c, "<proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>")
		return names(c)
	}
	if toSIP() != 1 || toXMPP() != 1 {
		t.Error("the new certificate is in use before anybody asked for it")
	}
	if err := process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	for tick := time.NewTicker(20 * time.Millisecond); toSIP() != 2 || toXMPP() != 2; {
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatal("SIGHUP did not bring the new certificate into use")
		}
	}
}

func awaitReady(t *testing.T, ctx context.Context, address string, exited chan error, log *bytes.Buffer) {
	t.Helper()
	for tick := time.NewTicker(20 * time.Millisecond); ; <-tick.C {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+address+"/readyz", nil)
		if err != nil {
			t.Fatal(err)
		}
		if resp, err := http.DefaultClient.Do(request); err == nil {
			resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return
			}
		}
		select {
		case err := <-exited:
			exited <- err
			t.Fatalf("it ended before it was ready: %v\n%s", err, log)
		case <-ctx.Done():
			t.Fatal("it did not become ready")
		default:
		}
	}
}

func dial(t *testing.T, address string) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	if err := c.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	return c
}

func readUntil(t *testing.T, c net.Conn, any ...string) string {
	t.Helper()
	var got []byte
	buf := make([]byte, 4096)
	for {
		n, err := c.Read(buf)
		got = append(got, buf[:n]...)
		for _, want := range any {
			if bytes.Contains(got, []byte(want)) {
				return string(got)
			}
		}
		if err != nil {
			t.Fatalf("read %q, then %v", got, err)
		}
	}
}

// Bad input is refused with exit code 2, and with the place where there is one; nothing is printed on standard output.
func TestExitCodes(t *testing.T) {
	d := deploy(t)
	good, err := os.ReadFile(d.config)
	if err != nil {
		t.Fatal(err)
	}
	change := func(name, old, new string) string {
		changed := strings.Replace(string(good), old, new, 1)
		if changed == string(good) {
			t.Fatalf("%q is not in the configuration", old)
		}
		return d.write(t, name, changed)
	}
	for _, c := range []struct {
		name string
		args []string
		code int
		says []string
	}{
		{"a good one", []string{"check", "-c", d.config}, 0, nil},
		{"help", []string{"--help"}, 0, nil},
		{"a misspelt key", []string{"check", "-c", change("key.yaml", "  domains:", "  domans:")}, 2, []string{"key.yaml:5:3", "domans", `"domains"`}},
		{"two mistakes at once", []string{"run", "-c", change("two.yaml", "tls: never}", "tls: nevr, aslo: []}")}, 2, []string{"two.yaml:10:", "nevr", "aslo"}},
		{"no key file", []string{"check", "-c", change("nokey.yaml", "gateway.key", "other.key")}, 2, []string{"nokey.yaml:4:", "other.key"}},
		{"a domain on both sides", []string{"check", "-c", change("both.yaml", "gmail.com:", "contoso.com:")}, 2, []string{"contoso.com"}},
		{"no such file", []string{"run", "-c", filepath.Join(d.dir, "none.yaml")}, 2, []string{"none.yaml"}},
		{"the health of none", []string{"health", "-c", d.config}, 1, []string{"not ready", "refused"}},
		{"no file", []string{"run"}, 2, []string{"config", "--help"}},
		{"an unknown command", []string{"rum"}, 2, []string{"rum", "--help"}},
		{"an unknown flag", []string{"run", "--conf", "x"}, 2, []string{"--conf", "--help"}},
		{"an unknown format", []string{"run", "-c", d.config, "--log-format", "xml"}, 2, []string{"xml", "json"}},
		{"the doctor with a bad file", []string{"doctor", "-c", change("dr.yaml", "  domains:", "  domans:")}, 2, []string{"dr.yaml:5:3"}},
		{"the doctor from nowhere", []string{"doctor", "-c", d.config, "--from", "moon"}, 2, []string{"moon", "outside"}},
		{"the doctor about another domain", []string{"doctor", "-c", d.config, "--from", "outside", "--domain", "x.example"}, 2, []string{"x.example", "contoso.com"}},
		{"the doctor without a configuration", []string{"doctor"}, 2, []string{"--config", "--from outside", "--domain"}},
		{"the doctor outside, about nothing", []string{"doctor", "--from", "outside"}, 2, []string{"--domain", "--config"}},
		{"the doctor outside, about an address", []string{"doctor", "--from", "outside", "--domain", "https://contoso.com"}, 2, []string{"--domain", "https://contoso.com"}},
		{"the doctor on an Edge of which nothing is known", []string{"doctor", "--from", "edge"}, 2, []string{"--config", "--name", "--allow"}},
		{"the doctor on an Edge without an Allow list", []string{"doctor", "--from", "edge", "--name", "sip.contoso.com"}, 2, []string{"--allow gmail.com="}},
		{"the doctor on an Edge without a name", []string{"doctor", "--from", "edge", "--allow", "gmail.com=xmpp.jds.local"}, 2, []string{"--name sip."}},
		{"half a certificate", []string{"doctor", "-c", d.config, "--from", "edge", "--cert", "x.pem"}, 2, []string{"--key"}},
		{"a wrong Allow entry", []string{"doctor", "-c", d.config, "--from", "edge", "--allow", "gmail.com"}, 2, []string{"DOMAIN=NEXTHOP"}},
		{"a store that is none", []string{"run", "-c", change("store.yaml", "fedgate.db", "gateway.pem")}, 1, []string{"gateway.pem", "damaged", "backup"}},
		{"an address in use", []string{"run", "-c", inUse(t, d, string(good))}, 1, []string{"address already in use"}},
	} {
		var stdout, stderr bytes.Buffer
		if code := execute(t.Context(), c.args, &stdout, &stderr); code != c.code {
			t.Errorf("%s: exit code %d, want %d\n%s", c.name, code, c.code, stderr.String())
		}
		for _, want := range c.says {
			if !strings.Contains(stderr.String(), want) {
				t.Errorf("%s: no %q in\n%s", c.name, want, stderr.String())
			}
		}
		if (c.code == 0) == (stdout.Len() == 0) {
			t.Errorf("%s: standard output %q", c.name, stdout.String())
		}
	}
}

func inUse(t *testing.T, d deployment, good string) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
			t.Error(err)
		}
	})
	return d.write(t, "inuse.yaml", strings.Replace(good, d.sip, l.Addr().String(), 1))
}

// The doctor finds something in a deployment whose DNS answers nothing, in words and as JSON, with exit code 1; and says so of a
// certificate that cannot be used where run and check refuse to begin.
func TestDoctor(t *testing.T) {
	d := deploy(t)
	if err := os.Remove(filepath.Join(d.dir, "gateway.key")); err != nil {
		t.Fatal(err)
	}
	var stdout, stderr bytes.Buffer
	if code := execute(t.Context(), []string{"doctor", "-c", d.config, "--json"}, &stdout, &stderr); code != exitFailed {
		t.Errorf("exit code %d\n%s", code, stderr.String())
	}
	var report struct {
		From     []string
		Findings []struct{ Code, Severity, Remedy string }
	}
	if err := json.Unmarshal(stdout.Bytes(), &report); err != nil {
		t.Fatalf("%v in\n%s", err, stdout.String())
	}
	codes := make(map[string]bool)
	for _, f := range report.Findings {
		codes[f.Code] = true
		if f.Remedy == "" || f.Severity == "" {
			t.Errorf("%+v", f)
		}
	}
	if strings.Contains(stdout.String(), "?") || !strings.Contains(stdout.String(), "gateway.key: no such file") {
		t.Errorf("the mistake in the configuration is not one line of evidence:\n%s", stdout.String())
	}
	if !strings.Contains(stderr.String(), "refused") {
		t.Errorf("that the gateway's status is not known is not said: %q", stderr.String())
	}
	if len(report.From) != 1 || report.From[0] != "gateway" || !hasPrefix(codes, "tls.") || !hasPrefix(codes, "dns.") {
		t.Errorf("report: %s", stdout.String())
	}
}

// From outside, and on the Edge's machine, no configuration of the gateway is needed: the flags say it all.
func TestDoctorWithoutConfiguration(t *testing.T) {
	for _, c := range []struct {
		args []string
		does []string
	}{
		{[]string{"--from", "outside", "--domain", "Contoso.com."}, []string{"look up _xmpp-server._tcp.contoso.com SRV"}},
		{[]string{"--from", "edge", "--name", "sip.contoso.com", "--allow", "gmail.com=xmpp.jds.local", "--allow", "jabber.org=xmpp.jds.local:5062"},
			[]string{"half-open connections on port 5061", "connect to xmpp.jds.local:5061", "connect to xmpp.jds.local:5062", "ends when the certificate has been seen"}},
	} {
		var stdout, stderr bytes.Buffer
		if code := execute(t.Context(), append([]string{"doctor", "--dry-run"}, c.args...), &stdout, &stderr); code != exitWell {
			t.Errorf("%v: exit code %d\n%s", c.args, code, stderr.String())
		}
		for _, want := range c.does {
			if !strings.Contains(stdout.String(), want) {
				t.Errorf("%v: no %q in\n%s", c.args, want, stdout.String())
			}
		}
	}
}

func hasPrefix(codes map[string]bool, prefix string) bool {
	for c := range codes {
		if strings.HasPrefix(c, prefix) {
			return true
		}
	}
	return false
}

// The documentation knows every key of the configuration, and its example is a configuration.
func TestDocumentation(t *testing.T) {
	page, err := os.ReadFile("../../docs/running-the-gateway.md")
	if err != nil {
		t.Fatal(err)
	}
	text := string(page)
	for _, key := range keys(reflect.TypeFor[config.Config](), "") {
		last := key[strings.LastIndex(key, ".")+1:]
		if !strings.Contains(text, "`"+key+"`") && !strings.Contains(text, "`"+last+"` |") {
			t.Errorf("the documentation does not know %s", key)
		}
	}
	_, example, _ := strings.Cut(text, "```yaml\n")
	example, _, ok := strings.Cut(example, "```")
	if !ok {
		t.Fatal("no example")
	}
	d := deploy(t)
	path := d.write(t, "example.yaml", example)
	var stdout, stderr bytes.Buffer
	if code := execute(t.Context(), []string{"check", "-c", path}, &stdout, &stderr); code != exitWell {
		t.Errorf("the example: %s", stderr.String())
	}
}

// keys lists the keys of a configuration type, as paths.
func keys(of reflect.Type, prefix string) []string {
	switch of.Kind() {
	case reflect.Map:
		return keys(of.Elem(), prefix+".NAME")
	case reflect.Struct:
	default:
		return []string{strings.TrimPrefix(prefix, ".")}
	}
	var all []string
	for i := range of.NumField() {
		if tag := of.Field(i).Tag.Get("yaml"); tag != "" && tag != "-" {
			all = append(all, keys(of.Field(i).Type, prefix+"."+tag)...)
		}
	}
	return all
}
