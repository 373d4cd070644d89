//go:build peers

package crossing

import (
	"fmt"
)

// startProsody starts Prosody for peer.example and logs Bob in.
func (w *world) startProsody(m mode) *client {
	w.t.Helper()
	w.issueServer(m)
	tls := ""
	if m.tls || m.open {
		tls = `"tls";`
	}
	path := w.file("prosody.cfg.lua", fmt.Sprintf(`
run_as_root = true
daemonize = false
pidfile = "%[1]s/prosody.pid"
data_path = "%[1]s/prosody"
certificates = "%[1]s"
interfaces = { "%[2]s" }
s2s_ports = { 5269 }
c2s_ports = { 5222 }
modules_enabled = { "roster"; "saslauth"; "dialback"; "disco"; "ping"; "presence"; "message"; "iq"; "c2s"; "s2s"; "register"; %[3]s }
modules_disabled = { "http"; "admin_shell"; "s2s_auth_dane" }
allow_registration = true
allow_unencrypted_plain_auth = true
c2s_require_encryption = false
s2s_require_encryption = %[4]v
s2s_secure_auth = %[5]v
authentication = "internal_plain"
unbound = { resolvconf = false; hoststxt = false; forward = { "%[7]s" }; options = { ["do-not-query-localhost:"] = "no"; ["module-config:"] = "iterator" } }
log = { debug = "*console" }
VirtualHost "%[6]s"
	ssl = { certificate = "%[1]s/server.pem"; key = "%[1]s/server.key"; cafile = "%[1]s/ca.pem" }
`, w.dir, w.at(server), tls, m.tls, m.external, theirDomain, w.at(nameServer)))
	w.file("prosody/.keep", "")
	w.server = w.run(nil, "prosody", "--config", path, "-F")
	w.server.says("Activated service 'c2s'")
	return logIn(w.t, w.at(server)+":5222", theirDomain)
}
