package e2e

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"github.com/onsi/gomega/gbytes"
	"github.com/onsi/gomega/gexec"

	"fedlab/internal/pki"
)

// The deployment of the field notes, each machine a process on a loopback address of its own.
const (
	nameServer  = "127.77.0.53:5353"
	gatewaySIP  = "127.77.11.40:5061"
	gatewayXMPP = "127.77.11.40:5269"
	edgeAddress = "127.77.11.33:5061"
	farmAddress = "127.77.45.125:5269"

	dnsFile = `
listen: ` + nameServer + `
zones:
  gmail.com:
    _xmpp-server._tcp SRV: 5 0 5269 xmpp-server.l.google.com.
  l.google.com:
    xmpp-server A: 127.77.45.125
  contoso.com:
    _xmpp-server._tcp SRV: 0 0 5269 xmpp.contoso.com.
    xmpp A: 127.77.11.40
    sip A: 127.77.11.33
  jds.local:
    xmpp A: 127.77.11.40
`
	farmFile = `
dns: ["` + nameServer + `"]
hosts:
  talk0: {names: [xmpp-server.l.google.com], listen: "` + farmAddress + `"}
domains: [gmail.com]
users:
  bob@gmail.com: {contacts: [alice@contoso.com]}
`
	edgeFile = `
dns: ["` + nameServer + `"]
name: sip.contoso.com
federation: ` + edgeAddress + `
certificate: {cert: edge.pem, key: edge.key, authorities: authorities.pem}
domains: [contoso.com]
allow: {gmail.com: xmpp.jds.local}
users:
  alice@contoso.com: {contacts: [bob@gmail.com]}
`
	gatewayFile = `
hostname: xmpp.jds.local
dns: ["` + nameServer + `"]
sip:
  listen: ` + gatewaySIP + `
  certificate: {cert: gateway.pem, key: gateway.key, authorities: authorities.pem}
  domains:
    contoso.com: {next_hop: "sip.contoso.com:5061"}
xmpp:
  listen: ` + gatewayXMPP + `
  domains:
    gmail.com: {tls: never}
`
)

var _ = Describe("processes on the operating system's loopback", Ordered, func() {
	var dir, fedlab, fedgate string
	var farm, edge *fakeProcess

	BeforeAll(func() {
		var err error
		fedlab, err = gexec.Build("fedlab/cmd/fedlab")
		Expect(err).NotTo(HaveOccurred())
		fedgate, err = gexec.Build("fedlab/cmd/fedgate")
		Expect(err).NotTo(HaveOccurred())
		DeferCleanup(gexec.CleanupBuildArtifacts)

		dir = GinkgoT().TempDir()
		authority, err := pki.NewAuthority("private-ca", pki.AuthorityOptions{Issuing: true, Now: time.Now()})
		Expect(err).NotTo(HaveOccurred())
		files := map[string][]byte{
			"dns.yaml": []byte(dnsFile), "farm.yaml": []byte(farmFile), "edge.yaml": []byte(edgeFile), "fedgate.yaml": []byte(gatewayFile),
			"authorities.pem": authority.RootPEM(),
		}
		for file, name := range map[string]string{"edge": "sip.contoso.com", "gateway": "xmpp.jds.local"} {
			pair, err := authority.Issue(pki.Leaf{Subject: name, Server: true})
			Expect(err).NotTo(HaveOccurred())
			files[file+".pem"], files[file+".key"] = pair.CertPEM, pair.KeyPEM
		}
		for name, content := range files {
			Expect(os.WriteFile(filepath.Join(dir, name), content, 0o600)).To(Succeed())
		}

		startFake(fedlab, "dns", filepath.Join(dir, "dns.yaml"))
		farm = startFake(fedlab, "googletalk", filepath.Join(dir, "farm.yaml"))
		edge = startFake(fedlab, "ocsedge", filepath.Join(dir, "edge.yaml"))
		gateway := start(fedgate, "run", "-c", filepath.Join(dir, "fedgate.yaml"))
		Eventually(gateway.Err, "15s").Should(gbytes.Say("gateway is ready"))
		DeferCleanup(func() {
			gateway.Signal(syscall.SIGTERM)
			Eventually(gateway, "15s").Should(gexec.Exit(0), "the gateway stops cleanly on SIGTERM")
		})
	})

	It("carries a message from Gmail to OCS", func() {
		farm.send("bob@gmail.com", "alice@contoso.com", "Hello from Gmail")
		edge.shows("alice@contoso.com", "Hello from Gmail")
	})

	It("carries the answer back", func() {
		edge.send("alice@contoso.com", "bob@gmail.com", "Hello from OCS")
		farm.shows("bob@gmail.com", "Hello from OCS")
	})

	It("finds nothing wrong with it", func() {
		doctor := start(fedgate, "doctor", "-c", filepath.Join(dir, "fedgate.yaml"))
		Eventually(doctor, "60s").Should(gexec.Exit(0))
	})

	It("says where a configuration is wrong", func() {
		wrong := filepath.Join(dir, "wrong.yaml")
		Expect(os.WriteFile(wrong, []byte("hostname: xmpp.jds.local\nsipp:\n  listen: x\n"), 0o600)).To(Succeed())
		check := start(fedgate, "check", "-c", wrong)
		Eventually(check, "10s").Should(gexec.Exit(2))
		Expect(string(check.Err.Contents()) + string(check.Out.Contents())).To(ContainSubstring(wrong + `:2:1: unknown key "sipp" (did you mean "sip"?)`))
	})
})

func start(program string, args ...string) *gexec.Session {
	s, err := gexec.Start(exec.Command(program, args...), GinkgoWriter, GinkgoWriter)
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(func() { s.Kill().Wait() })
	return s
}

// fakeProcess is `fedlab serve`: it is driven by lines and tells its trace in lines.
type fakeProcess struct {
	in     io.Writer
	events chan fakeEvent
	seen   []fakeEvent
}

type fakeEvent struct{ Layer, Kind, Host, From, To, Summary, Type, Body, Condition string }

func startFake(fedlab, role, file string) *fakeProcess {
	command := exec.Command(fedlab, "serve", role, "-c", file)
	command.Stderr = GinkgoWriter
	in, err := command.StdinPipe()
	Expect(err).NotTo(HaveOccurred())
	out, err := command.StdoutPipe()
	Expect(err).NotTo(HaveOccurred())
	Expect(command.Start()).To(Succeed())
	f := &fakeProcess{in: in, events: make(chan fakeEvent, 10000)}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for lines := bufio.NewScanner(out); lines.Scan(); {
			fmt.Fprintf(GinkgoWriter, "%s: %s\n", role, lines.Bytes())
			var e fakeEvent
			if json.Unmarshal(lines.Bytes(), &e) == nil {
				f.events <- e
			}
		}
	}()
	DeferCleanup(func() {
		in.Close() // a fake ends with its standard input
		Eventually(ended, "15s").Should(BeClosed())
		Expect(command.Wait()).To(Succeed())
		Expect(f.all()).NotTo(ContainElement(HaveField("Kind", "unexpected")))
	})
	f.await("is ready", func(e fakeEvent) bool { return e.Kind == "ready" })
	return f
}

func (f *fakeProcess) send(from, to, body string) {
	line, err := json.Marshal(map[string]string{"from": from, "to": to, "body": body})
	Expect(err).NotTo(HaveOccurred())
	_, err = f.in.Write(append(line, '\n'))
	Expect(err).NotTo(HaveOccurred())
}

func (f *fakeProcess) shows(user, body string) {
	GinkgoHelper()
	f.await(fmt.Sprintf("shows %s %q", user, body), func(e fakeEvent) bool {
		return e.Layer == "client" && e.Kind == "received" && e.To == user && e.Type == "message" && e.Body == body
	})
}

func (f *fakeProcess) await(what string, match func(fakeEvent) bool) {
	GinkgoHelper()
	limit := time.After(30 * time.Second)
	for {
		select {
		case e := <-f.events:
			f.seen = append(f.seen, e)
			if match(e) {
				return
			}
		case <-limit:
			Fail(fmt.Sprintf("waited 30 s until the fake %s; it told %v", what, f.seen))
		}
	}
}

func (f *fakeProcess) all() []fakeEvent {
	for {
		select {
		case e := <-f.events:
			f.seen = append(f.seen, e)
		default:
			return f.seen
		}
	}
}
