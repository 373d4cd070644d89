//go:build peers

package peers

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

// prosody writes a configuration and starts Prosody.
func (s *site) prosody() {
	s.peerLogFile = filepath.Join(s.dir, "prosody.log")
	tls := ""
	if s.mode.tls {
		tls = `"tls";`
	}
	config := fmt.Sprintf(`
run_as_root = true
daemonize = false
pidfile = "%[1]s/prosody.pid"
data_path = "%[1]s"
certificates = "%[1]s"
interfaces = { "127.0.0.1" }
s2s_ports = { %[2]d }
c2s_ports = { %[3]d }
modules_enabled = { "roster"; "saslauth"; "dialback"; "disco"; "ping"; "presence"; "message"; "iq"; "c2s"; "s2s"; %[4]s }
modules_disabled = { "http"; "admin_shell" }
allow_unencrypted_plain_auth = true
c2s_require_encryption = false
s2s_require_encryption = %[5]v
s2s_secure_auth = %[6]v
authentication = "internal_plain"
ssl = { cafile = "%[7]s" }
unbound = { resolvconf = false; hoststxt = false; forward = { "127.0.0.1@%[8]d" }; options = { ["do-not-query-localhost:"] = "no"; ["module-config:"] = "iterator" } }
log = { debug = "%[9]s" }
VirtualHost "peer.example"
	ssl = { certificate = "%[1]s/peer.example.crt"; key = "%[1]s/peer.example.key"; cafile = "%[7]s" }
`, s.dir, s.s2s, s.c2s, tls, s.mode.tls, s.mode.external, s.ca, s.dns.Port(), s.peerLogFile)
	file := s.file("prosody.cfg.lua", config)
	accounts := filepath.Join(s.dir, "peer%2eexample", "accounts")
	if err := os.MkdirAll(accounts, 0o755); err != nil {
		s.t.Fatal(err)
	}
	s.file("peer%2eexample/accounts/bob.dat", `return { ["password"] = "secret" }`)
	s.run(nil, "prosody", "--config", file, "-F")
}

func TestProsody(t *testing.T) {
	for _, m := range modes {
		t.Run(m.name, func(t *testing.T) {
			s := newSite(t, m)
			s.prosody()
			s.exercise(t)
		})
	}
}
