package e2e

import (
	"bufio"
	"bytes"
	"encoding/json"
	"encoding/xml"
	"errors"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"github.com/onsi/gomega/gbytes"
	"github.com/onsi/gomega/gexec"
)

var wall = regexp.MustCompile(` +[0-9]+ms`)

// asShown is a pattern of an output that a document shows: with any wall time, and any lines where a line is "…".
func asShown(lines []string) string {
	var b strings.Builder
	for _, line := range lines {
		if strings.TrimSpace(line) == "…" {
			b.WriteString(`(?:.*\n)*`)
			continue
		}
		var parts []string
		for _, part := range wall.Split(line, -1) {
			parts = append(parts, regexp.QuoteMeta(part))
		}
		b.WriteString(strings.Join(parts, ` +[0-9]+m?s`) + `\n`)
	}
	return "^" + b.String() + "$"
}

// What scripts and CI depend on.
var _ = Describe("the fedlab command", Ordered, func() {
	var fedlab, dir string
	BeforeAll(func() {
		var err error
		fedlab, err = gexec.Build("fedlab/cmd/fedlab")
		Expect(err).NotTo(HaveOccurred())
		DeferCleanup(gexec.CleanupBuildArtifacts)
		dir = GinkgoT().TempDir()
	})
	// done runs a command to its end and expects its exit code.
	done := func(code int, args ...string) *gexec.Session {
		GinkgoHelper()
		s := start(fedlab, args...)
		Eventually(s, "60s").Should(gexec.Exit(code))
		return s
	}
	written := func(name, content string) string {
		file := filepath.Join(dir, name)
		Expect(os.WriteFile(file, []byte(content), 0o600)).To(Succeed())
		return file
	}

	It("writes one JSON object per scenario and line", func() {
		s := done(0, "run", "--json", "--seed", "7", "health/first-message-from-gmail", "xmpp/all-targets-down")
		seen := map[string]map[string]any{}
		for lines := bufio.NewScanner(bytes.NewReader(s.Out.Contents())); lines.Scan(); {
			var line map[string]any
			Expect(json.Unmarshal(lines.Bytes(), &line)).To(Succeed())
			for _, key := range []string{"scenario", "title", "passed", "seed", "wall_ms", "virtual_ms", "findings", "failures"} {
				Expect(line).To(HaveKey(key))
			}
			seen[line["scenario"].(string)] = line
		}
		Expect(seen).To(HaveLen(2))
		waits := seen["xmpp/all-targets-down"]
		Expect(waits["passed"]).To(BeTrue())
		Expect(waits["seed"]).To(BeNumerically("==", 7))
		Expect(waits["virtual_ms"]).To(BeNumerically(">", 32000), "a time-out of 32 s is waited out")
		Expect(waits["wall_ms"]).To(BeNumerically("<", waits["virtual_ms"]))
		Expect(waits["findings"]).To(ConsistOf("xmpp.all-targets-down"))
		Expect(seen["health/first-message-from-gmail"]["findings"]).To(BeEmpty())
	})

	It("fails a scenario whose fault is repaired, says why, and how to repeat it", func() {
		file := written("repaired.yaml", `# Nothing is planted.
title: An alias in the certificate, repaired
topology: contoso
steps:
  - send: {from: bob@gmail.com, to: alice@contoso.com, body: Hello Alice}
  - expect: {at: bob@gmail.com, error: {condition: remote-server-timeout}, within: 60s}
findings:
  - tls.name-mismatch
`)
		junit := filepath.Join(dir, "junit.xml")
		s := done(1, "run", "--junit", junit, file)
		text := string(s.Out.Contents())
		Expect(text).To(ContainSubstring(file + `:6: expected within 1m0s: bob@gmail.com is shown the error remote-server-timeout; seen: nothing`))
		Expect(text).To(ContainSubstring(`edge client received bob@gmail.com > alice@contoso.com: message`), "the last events")
		Expect(text).To(ContainSubstring(file + `:8: expected the finding tls.name-mismatch, and the doctor made none`))
		Expect(text).To(ContainSubstring("fedlab run --seed 1 " + file))
		report, err := os.ReadFile(junit)
		Expect(err).NotTo(HaveOccurred())
		var suites struct {
			Suites []struct {
				Failures int `xml:"failures,attr"`
			} `xml:"testsuite"`
		}
		Expect(xml.Unmarshal(report, &suites)).To(Succeed())
		Expect(suites.Suites).To(HaveLen(1))
		Expect(suites.Suites[0].Failures).To(Equal(1))
	})

	It("refuses a misspelt key with its line and a suggestion", func() {
		file := written("misspelt.yaml", "title: Misspelt\ntopology: contoso\nsteps:\n  - snd: {from: bob@gmail.com, to: alice@contoso.com, body: x}\n")
		for _, args := range [][]string{{"run", file}, {"check", file}} {
			s := done(2, args...)
			Expect(string(s.Err.Contents())).To(ContainSubstring(file + ":4:5: unknown"))
			Expect(string(s.Err.Contents())).To(ContainSubstring(`did you mean "send"?`))
		}
	})

	It("carries its catalogue, where no folder scenarios/ is at hand", func() {
		Expect("scenarios").NotTo(BeADirectory())
		Expect(string(done(0, "list").Out.Contents())).To(ContainSubstring("certificates/wrong-cn"))
	})

	It("explains findings and says which are meant", func() {
		Expect(string(done(0, "explain", "net.return-path").Out.Contents())).To(ContainSubstring("What to do"))
		Expect(string(done(2, "explain", "net.return-pat").Err.Contents())).To(ContainSubstring("net.return-path"))
		Expect(string(done(0, "explain").Out.Contents())).To(ContainSubstring("net.return-path "))
	})

	// The tutorial's commands are typed one after the other, each ticket.yaml written before as it stands there.
	It("shows what the tutorial shows", func() {
		GinkgoT().Setenv("PATH", filepath.Dir(fedlab)+string(filepath.ListSeparator)+os.Getenv("PATH"))
		text, err := os.ReadFile("../docs/writing-scenarios.md")
		Expect(err).NotTo(HaveOccurred())
		at, typed := GinkgoT().TempDir(), 0
		for i, block := range strings.Split(string(text), "```") {
			if ticket, ok := strings.CutPrefix(block, "yaml\n# Ticket"); ok && i%2 == 1 {
				Expect(os.WriteFile(filepath.Join(at, "ticket.yaml"), []byte("# Ticket"+ticket), 0o600)).To(Succeed())
			}
			if i%2 == 0 || !strings.HasPrefix(block, "\n$ ") || strings.Contains(block, "--world containers") {
				continue
			}
			var commands, want []string
			for line := range strings.Lines(block[1:]) {
				if command, ok := strings.CutPrefix(line, "$ "); ok {
					commands = append(commands, command)
				} else {
					want = append(want, strings.TrimSuffix(line, "\n"))
				}
			}
			shell := exec.Command("sh", "-c", strings.Join(commands, ""))
			shell.Dir = at
			got, err := shell.CombinedOutput()
			var exit *exec.ExitError
			Expect(err == nil || errors.As(err, &exit)).To(BeTrue(), "%v", err)
			Expect(string(got)).To(MatchRegexp(asShown(want)))
			typed++
		}
		Expect(typed).To(Equal(4))
	})

	It("refuses a command that it does not have", func() {
		Expect(string(done(2, "rnu", "ports").Err.Contents())).To(ContainSubstring("run"))
	})

	It("gives a schema, a report and captures", func() {
		var schema map[string]any
		Expect(json.Unmarshal(done(0, "schema").Out.Contents(), &schema)).To(Succeed())
		done(0, "run", "--report", filepath.Join(dir, "report"), "--pcap", filepath.Join(dir, "report", "pcap"), "health/first-message-from-gmail")
		page, err := os.ReadFile(filepath.Join(dir, "report", "health-first-message-from-gmail.html"))
		Expect(err).NotTo(HaveOccurred())
		Expect(string(page)).To(ContainSubstring(`href="pcap/health/first-message-from-gmail/perimeter.pcapng"`))
		Expect(filepath.Join(dir, "report", "pcap", "health", "first-message-from-gmail", "perimeter.pcapng")).To(BeARegularFile())
	})

	It("watches nothing that is not there", func() {
		Expect(done(2, "watch", filepath.Join(dir, "nosuch.yaml")).Err).To(gbytes.Say("nosuch.yaml: no such file"))
		Expect(done(2, "watch", dir).Err).To(gbytes.Say("is a folder"))
	})

	It("says of a fake's file that is not YAML only that", func() {
		Expect(string(done(2, "serve", "dns", "-c", written("broken.yaml", "{{{")).Err.Contents())).To(And(ContainSubstring("not YAML"), Not(ContainSubstring("mapping"))))
	})

	It("watches a file and shows its page anew when it changes", func() {
		const scenario = "# A story.\ntitle: Before\ntopology: contoso\nsteps:\n  - wait: 1s\n"
		file := written("watched.yaml", scenario)
		s := start(fedlab, "watch", file)
		Eventually(s, "20s").Should(gbytes.Say("passed"))
		address := regexp.MustCompile(`http://\S+`).FindString(string(s.Out.Contents()))
		get := func(path string) string {
			GinkgoHelper()
			answer, err := http.Get(address + path)
			Expect(err).NotTo(HaveOccurred())
			defer answer.Body.Close()
			body, err := io.ReadAll(answer.Body)
			Expect(err).NotTo(HaveOccurred())
			return string(body)
		}
		Expect(get("/")).To(ContainSubstring("Before"))
		changed := make(chan string, 1)
		go func() {
			defer GinkgoRecover()
			changed <- get("/changes")
		}()
		Consistently(changed, "500ms").ShouldNot(Receive(), "nothing has changed yet")
		written("watched.yaml", strings.Replace(scenario, "Before", "Behind", 1))
		Eventually(changed, "20s").Should(Receive(Equal("data: changed\n\n")))
		Expect(get("/")).To(ContainSubstring("Behind"))
		s.Interrupt()
		Eventually(s, "10s").Should(gexec.Exit(0))
	})
})
