package peers

import (
	"fmt"
	"strings"
)

// Ejabberd is how the server is run if it is ejabberd 23: as one Erlang node that no other can reach, without epmd and distribution.
func (s XMPPServer) Ejabberd() Run {
	starttls, dialback := map[Encryption]string{Never: "false", Optional: "optional", Required: "required"}[s.Encryption], "mod_s2s_dialback: {}"
	if s.External {
		dialback = ""
	}
	config := fmt.Sprintf(`loglevel: debug
hosts: ["%[1]s"]
certfiles: ["%[2]s/server.both.pem"]
ca_file: "%[2]s/ca.pem"
acme: {auto: false}
s2s_use_starttls: %[3]s
listen:
  - {port: %[4]d, ip: "%[5]s", module: ejabberd_c2s, starttls: false}
  - {port: %[6]d, ip: "%[7]s", module: ejabberd_s2s_in}
access_rules: {everybody: {allow: all}}
modules:
  mod_roster: {}
  mod_ping: {}
  mod_disco: {}
  mod_register: {access: everybody, ip_access: everybody}
  %[8]s
registration_timeout: infinity
`, strings.Join(s.Domains, `", "`), s.Folder, starttls, s.Clients.Port(), s.Clients.Addr(), s.Federation.Port(), s.Federation.Addr(), dialback)
	return Run{
		Files: map[string]string{"ejabberd.yml": config},
		Env: []string{
			"HOME=" + s.Data, "ERL_LIBS=" + libraries(), "ERL_CRASH_DUMP=/dev/null",
			"EJABBERD_CONFIG_PATH=" + s.Folder + "/ejabberd.yml", "EJABBERD_LOG_PATH=" + s.Data + "/ejabberd.log",
		},
		Command: []string{"erl", "-noinput", "-mnesia", "dir", `"` + s.Data + `/spool"`, "-s", "ejabberd"},
	}
}
