package peers

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
)

// SIPServer is Kamailio 5.6 as the SIP/SIMPLE proxy and presence server of an organisation. It speaks TLS with other organisations, whose
// certificates it verifies, and UDP with its users' phones.
type SIPServer struct {
	Name       string                    // its name in its certificate and in SIP
	Domains    []string                  // the organisation's
	Federation netip.AddrPort            // where other organisations reach it
	Inside     netip.AddrPort            // where the phones reach it
	Phones     map[string]netip.AddrPort // by the address of the user; nobody else exists
	Hops       map[string]string         // federated domain: host:port of its next hop

	Folder string // with the files of Run, and server.pem, server.key and ca.pem
	Data   string // a folder for what the server keeps
	Tables string // a folder with the tables of Debian's package, or a copy of it; see Tables
}

// Tables is where Debian's package keeps the tables that Kamailio looks for.
const Tables = "/usr/share/kamailio/dbtext/kamailio"

// Kamailio is how the server is run.
func (s SIPServer) Kamailio() Run {
	profile := fmt.Sprintf("method = TLSv1.2+\nverify_certificate = yes\nrequire_certificate = yes\ncertificate = %[1]s/server.pem\nprivate_key = %[1]s/server.key\nca_list = %[1]s/ca.pem\n", s.Folder)
	var aliases, ways strings.Builder
	for _, domain := range s.Domains {
		fmt.Fprintf(&aliases, "alias=%q\n", domain)
	}
	for _, domain := range slices.Sorted(maps.Keys(s.Hops)) {
		fmt.Fprintf(&ways, "if ($rd == %q) {\n\t\t$du = \"sip:%s;transport=tls\";\n\t\tt_relay();\n\t} else ", domain, s.Hops[domain])
	}
	for _, user := range slices.Sorted(maps.Keys(s.Phones)) {
		local, domain, _ := strings.Cut(user, "@")
		fmt.Fprintf(&ways, "if ($rU == %q && $rd == %q) {\n\t\t$du = \"sip:%s\";\n\t\tt_relay();\n\t} else ", local, domain, s.Phones[user])
	}
	config := fmt.Sprintf(`#!KAMAILIO
debug=2
log_stderror=yes
fork=yes
children=2
tcp_children=2
enable_tls=yes
auto_aliases=no
rev_dns=no
dns=no
use_dns_cache=no
listen=udp:%[1]s
listen=tls:%[2]s advertise "%[3]s":%[4]d
%[5]salias="%[3]s:%[4]d"
mpath="%[6]s/kamailio/modules/"
loadmodule "tm.so"
loadmodule "sl.so"
loadmodule "rr.so"
loadmodule "pv.so"
loadmodule "maxfwd.so"
loadmodule "textops.so"
loadmodule "siputils.so"
loadmodule "tls.so"
loadmodule "db_text.so"
loadmodule "presence.so"
loadmodule "presence_xml.so"
modparam("tls", "config", "%[7]s/kamailio-tls.cfg")
modparam("presence|presence_xml", "db_url", "text://%[8]s")
modparam("presence", "server_address", "sip:%[3]s:%[4]d;transport=tls")
modparam("presence", "subs_db_mode", 0)
modparam("presence", "publ_cache", 2)
modparam("presence_xml", "force_active", 1)
request_route {
	if (!mf_process_maxfwd_header("10")) {
		sl_send_reply("483", "Too Many Hops");
		exit;
	}
	if (has_totag() && loose_route()) {
		t_relay();
		exit;
	}
	if (is_method("PUBLISH|SUBSCRIBE") && uri == myself) {
		if (!t_newtran()) {
			sl_reply_error();
			exit;
		}
		if (is_method("PUBLISH")) {
			handle_publish();
		} else {
			handle_subscribe();
		}
		exit;
	}
	if (has_totag()) {
		if (!is_method("ACK")) sl_send_reply("481", "No Such Dialog");
		exit;
	}
	if (!is_method("MESSAGE|OPTIONS")) record_route();
	%[9]s{
		sl_send_reply("404", "Not Found");
	}
}
`, s.Inside, s.Federation, s.Name, s.Federation.Port(), aliases.String(), libraries(), s.Folder, s.Tables, ways.String())
	return Run{
		Files: map[string]string{
			"kamailio.cfg":     config,
			"kamailio-tls.cfg": "[server:default]\n" + profile + "[client:default]\n" + profile,
		},
		Command: []string{"kamailio", "-f", s.Folder + "/kamailio.cfg", "-DD", "-E", "-P", s.Data + "/kamailio.pid", "-Y", s.Data, "-m", "64", "-M", "8"},
	}
}
