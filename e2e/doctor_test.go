package e2e

import (
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"github.com/onsi/gomega/gbytes"
	"github.com/onsi/gomega/gexec"

	"fedlab/internal/pki"
	"fedlab/lab"
	"fedlab/lab/scenario"
)

// What the lab proves of the doctor has to hold for the program on a real machine: the same mistake, planted in real files for real
// processes, is found by the same codes as in the scenario of the catalogue.
var _ = Describe("fedgate doctor on the operating system's loopback", Ordered, func() {
	var fedlab, fedgate string

	BeforeAll(func() {
		var err error
		fedlab, err = gexec.Build("fedlab/cmd/fedlab")
		Expect(err).NotTo(HaveOccurred())
		fedgate, err = gexec.Build("fedlab/cmd/fedgate")
		Expect(err).NotTo(HaveOccurred())
		DeferCleanup(gexec.CleanupBuildArtifacts)
	})

	// The deployment of the other suite, on addresses of its own.
	elsewhere := strings.NewReplacer("127.77.", "127.78.")
	replace := func(file, old, with string) func(*deployment) {
		return func(d *deployment) {
			Expect(d.files).To(HaveKeyWithValue(file, ContainSubstring(old)))
			d.files[file] = []byte(strings.ReplaceAll(string(d.files[file]), old, with))
		}
	}
	wrongCN := func(d *deployment) { d.issue("gateway", "im.contoso.com") }
	missingCA := func(d *deployment) {
		other, err := pki.NewAuthority("public-ca", pki.AuthorityOptions{Now: time.Now()})
		Expect(err).NotTo(HaveOccurred())
		d.files["gateway-authorities.pem"] = other.RootPEM()
	}
	closedPort := replace("fedgate.yaml", "sip.contoso.com:5061", "sip.contoso.com:5016")
	deadResolver := replace("fedgate.yaml", "127.78.0.53:5353", "127.78.0.99:5353")
	wrongAllowList := func(d *deployment) {
		replace("edge.yaml", "allow: {gmail.com: xmpp.jds.local, ", "allow: {")(d)
		d.allow = []string{"--allow", "googlemail.com=xmpp.jds.local"}
	}
	stopped := func(d *deployment) { d.stopped = true }
	wrongPort := replace("dns.yaml", "_xmpp-server._tcp SRV: 0 0 5269 xmpp.contoso.com.", "_xmpp-server._tcp SRV: 0 0 5296 xmpp.contoso.com.")
	wrongName := replace("dns.yaml", "_xmpp-server._tcp SRV: 0 0 5269 xmpp.contoso.com.", "xmpp-server.tcp SRV: 0 0 5269 xmpp.contoso.com.")

	DescribeTable("finds what the lab finds", func(planted string, plant func(*deployment), from ...string) {
		d := newDeployment(elsewhere)
		plant(d)
		dir := GinkgoT().TempDir()
		for name, content := range d.files {
			Expect(os.WriteFile(filepath.Join(dir, name), content, 0o600)).To(Succeed())
		}
		at := func(name string) string { return filepath.Join(dir, name) }
		startFake(fedlab, "dns", at("dns.yaml"))
		startFake(fedlab, "googletalk", at("farm.yaml"))
		edge := startFake(fedlab, "ocsedge", at("edge.yaml"))
		if !d.stopped {
			gateway := start(fedgate, "run", "-c", at("fedgate.yaml"))
			Eventually(gateway.Err, "15s").Should(gbytes.Say("gateway is ready"))
			DeferCleanup(func() {
				gateway.Signal(syscall.SIGTERM)
				Eventually(gateway, "15s").Should(gexec.Exit(0), "the gateway stops cleanly on SIGTERM")
			})
		}

		for _, place := range from {
			args := []string{"-c", at("fedgate.yaml"), "--from", place}
			switch place {
			case "outside":
				args = append(args, "--address", "127.78.11.40")
			case "edge":
				// Why it refuses stands only in the Edge's own log, which an engineer has as a text file.
				var lines []string
				for _, e := range edge.all() {
					if e.Layer == "log" {
						lines = append(lines, e.Summary)
					}
				}
				Expect(os.WriteFile(at("edge.log"), []byte(strings.Join(lines, "\n")+"\n"), 0o600)).To(Succeed())
				args = append(append(args, d.allow...), "--cert", at("edge.pem"), "--key", at("edge.key"), "--authorities", at("authorities.pem"), "--log", at("edge.log"))
			}
			Expect(examine(fedgate, args...)).To(Equal(labFinds(planted, place)), "from "+place)
		}
	},
		Entry("a certificate with the wrong CN", "certificates/wrong-cn", wrongCN, "gateway"),
		Entry("an authority that is not installed", "certificates/authority-missing-on-gateway", missingCA, "gateway"),
		Entry("a port on which nobody listens", "one-way/ocs-to-gmail-only/port-5016", closedPort, "gateway"),
		Entry("a gateway that was not started", "ports/gateway-not-started", stopped, "gateway", "outside"),
		Entry("a resolver that is dead", "dns/resolver-failing/silence", deadResolver, "gateway"),
		Entry("an SRV record with the wrong port", "dns/srv-port", wrongPort, "outside"),
		Entry("an SRV record under a wrong name", "dns/srv-name", wrongName, "outside"),
		Entry("an Allow list without gmail.com", "edge/gmail-not-allowed", wrongAllowList, "gateway", "edge"),
	)
})

// deployment is the files of the deployment of the field notes.
type deployment struct {
	authority *pki.Authority
	files     map[string][]byte
	allow     []string // flags that say what the Edge has on its Allow list, if not what it should have
	stopped   bool     // the gateway does not run
}

// newDeployment has nothing wrong in it.
func newDeployment(elsewhere *strings.Replacer) *deployment {
	authority, err := pki.NewAuthority("private-ca", pki.AuthorityOptions{Issuing: true, Now: time.Now()})
	Expect(err).NotTo(HaveOccurred())
	d := &deployment{authority: authority, files: map[string][]byte{"authorities.pem": authority.RootPEM(), "gateway-authorities.pem": authority.RootPEM()}}
	also := strings.NewReplacer("{tls: never}", "{also: [googlemail.com], tls: never}", "zones:\n", "zones:\n  googlemail.com:\n    _xmpp-server._tcp SRV: 5 0 5269 xmpp-server.l.google.com.\n",
		"authorities: authorities.pem", "authorities: gateway-authorities.pem",
		"allow: {gmail.com: xmpp.jds.local}", "allow: {gmail.com: xmpp.jds.local, googlemail.com: xmpp.jds.local}",
		"domains: [gmail.com]", "domains: [gmail.com, googlemail.com]")
	for name, text := range map[string]string{"dns.yaml": also.Replace(dnsFile), "farm.yaml": also.Replace(farmFile), "edge.yaml": strings.ReplaceAll(also.Replace(edgeFile), "gateway-authorities.pem", "authorities.pem"), "fedgate.yaml": also.Replace(gatewayFile)} {
		d.files[name] = []byte(elsewhere.Replace(text))
	}
	d.issue("edge", "sip.contoso.com")
	d.issue("gateway", "xmpp.jds.local")
	return d
}

// issue makes the certificate of one machine.
func (d *deployment) issue(machine, subject string) {
	pair, err := d.authority.Issue(pki.Leaf{Subject: subject, Server: true})
	Expect(err).NotTo(HaveOccurred())
	d.files[machine+".pem"], d.files[machine+".key"] = pair.CertPEM, pair.KeyPEM
}

// examine runs the doctor and gives the codes that it finds.
func examine(fedgate string, args ...string) []string {
	GinkgoHelper()
	doctor := start(fedgate, append([]string{"doctor", "--json"}, args...)...)
	Eventually(doctor, "120s").Should(gexec.Exit())
	var report struct{ Findings []struct{ Code string } }
	Expect(json.Unmarshal(doctor.Out.Contents(), &report)).To(Succeed(), string(doctor.Err.Contents()))
	codes := map[string]bool{}
	for _, f := range report.Findings {
		codes[f.Code] = true
	}
	return slices.Sorted(maps.Keys(codes))
}

// labFinds is what the doctor finds from one vantage point when a scenario of the catalogue has been played.
func labFinds(name, from string) []string {
	GinkgoHelper()
	all, err := scenario.Library{FS: os.DirFS("../scenarios"), Dir: "../scenarios"}.Load(name)
	Expect(err).NotTo(HaveOccurred())
	Expect(all).To(HaveLen(1))
	r := lab.Run(all[0], lab.Options{Clock: lab.VirtualTime(suite), Seed: 1})
	Expect(r.Failures).To(BeEmpty())
	codes := map[string]bool{}
	for _, f := range r.Findings {
		if string(f.From) == from {
			codes[f.Code] = true
		}
	}
	Expect(codes).NotTo(BeEmpty())
	return slices.Sorted(maps.Keys(codes))
}
