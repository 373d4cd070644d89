package peers

import (
	"fmt"
	"net/netip"
	"strings"
)

// XMPPServer is an XMPP server of another organisation, whichever program it is.
type XMPPServer struct {
	Domains    []string
	Federation netip.AddrPort // where other servers reach it
	Clients    netip.AddrPort // where its users' clients reach it: in clear, and anybody may register
	Encryption Encryption     // of streams with other servers
	External   bool           // a certificate that can be verified is the only proof of a domain that it takes (SASL EXTERNAL); needs Required
	Names      netip.AddrPort // the name server

	// Folder holds the files of Run, and server.pem, server.key, server.both.pem (both in one) and ca.pem (whom it trusts). The server
	// only reads there.
	Folder string
	Data   string // a folder for what the server keeps
}

// Encryption says whether streams are encrypted.
type Encryption string

// The values of Encryption.
const (
	Never    Encryption = "never"
	Optional Encryption = "optional"
	Required Encryption = "required"
)

// Prosody is how the server is run if it is Prosody 0.12.
func (s XMPPServer) Prosody() Run {
	modules := ""
	if s.Encryption != Never {
		modules += ` "tls";`
	}
	if !s.External {
		modules += ` "dialback";`
	}
	var hosts strings.Builder
	for _, domain := range s.Domains {
		fmt.Fprintf(&hosts, "VirtualHost %q\n\tssl = { certificate = \"%[2]s/server.pem\"; key = \"%[2]s/server.key\"; cafile = \"%[2]s/ca.pem\" }\n", domain, s.Folder)
	}
	config := fmt.Sprintf(`run_as_root = true
daemonize = false
pidfile = "%[1]s/prosody.pid"
data_path = "%[1]s"
certificates = "%[2]s"
s2s_interfaces = { "%[3]s" }
s2s_ports = { %[4]d }
c2s_interfaces = { "%[5]s" }
c2s_ports = { %[6]d }
modules_enabled = { "roster"; "saslauth"; "disco"; "ping"; "presence"; "message"; "iq"; "c2s"; "s2s"; "register";%[7]s }
modules_disabled = { "http"; "admin_shell"; "s2s_auth_dane" }
allow_registration = true
allow_unencrypted_plain_auth = true
c2s_require_encryption = false
s2s_require_encryption = %[8]v
s2s_secure_auth = %[9]v
authentication = "internal_plain"
ssl = { cafile = "%[2]s/ca.pem" }
unbound = { resolvconf = false; hoststxt = false; forward = { "%[10]s@%[11]d" }; options = { ["do-not-query-localhost:"] = "no"; ["module-config:"] = "iterator" } }
log = { debug = "*console" }
%[12]s`, s.Data, s.Folder, s.Federation.Addr(), s.Federation.Port(), s.Clients.Addr(), s.Clients.Port(), modules,
		s.Encryption == Required, s.External, s.Names.Addr(), s.Names.Port(), hosts.String())
	return Run{
		Files:   map[string]string{"prosody.cfg.lua": config},
		Command: []string{"prosody", "--config", s.Folder + "/prosody.cfg.lua", "-F"},
	}
}
