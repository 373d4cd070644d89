//go:build peers

package crossing

import "fmt"

// startEjabberd starts ejabberd for peer.example and logs Bob in. It runs as one Erlang node that no other can reach: no epmd, no
// distribution.
func (w *world) startEjabberd(m mode) *client {
	w.t.Helper()
	w.issueServer(m)
	starttls, dialback := "false", "mod_s2s_dialback: {}"
	switch {
	case m.external:
		starttls, dialback = "required", ""
	case m.tls:
		starttls = "required"
	case m.open:
		starttls = "optional"
	}
	config := w.file("ejabberd/ejabberd.yml", fmt.Sprintf(`
loglevel: debug
hosts: ["%[2]s"]
certfiles: ["%[1]s/server.both.pem"]
ca_file: "%[1]s/ca.pem"
acme: {auto: false}
s2s_use_starttls: %[4]s
listen:
  - {port: 5222, ip: "%[3]s", module: ejabberd_c2s, starttls: false}
  - {port: 5269, ip: "%[3]s", module: ejabberd_s2s_in}
access_rules: {everybody: {allow: all}}
modules:
  mod_roster: {}
  mod_ping: {}
  mod_disco: {}
  mod_register: {access: everybody, ip_access: everybody}
  %[5]s
registration_timeout: infinity
`, w.dir, theirDomain, w.at(server), starttls, dialback))
	w.file("ejabberd/spool/.keep", "")
	dir := w.dir + "/ejabberd"
	w.server = w.run([]string{
		"HOME=" + dir, "ERL_LIBS=/usr/lib/x86_64-linux-gnu", "ERL_CRASH_DUMP=/dev/null",
		"EJABBERD_CONFIG_PATH=" + config, "EJABBERD_LOG_PATH=" + dir + "/ejabberd.log",
	}, "erl", "-noinput", "-mnesia", "dir", `"`+dir+`/spool"`, "-s", "ejabberd")
	w.server.says("Start accepting TCP connections at " + w.at(server) + ":5269")
	w.server.says("Start accepting TCP connections at " + w.at(server) + ":5222")
	return logIn(w.t, w.at(server)+":5222", theirDomain)
}
