package doctor

import (
	"context"
	"strings"
)

// stray is a name at which an SRV record may stand while nothing stands where it is looked for.
type stray struct {
	name string
	why  string // it is not found there, in words
	use  bool   // the name has a use of its own: what stands there may be right, and the record that is missing is missing beside it
}

// relatives are names, without the domain, that are taken for a service's: those of other services, and slips of the pen.
// XMPP: RFC 6120 §3.2.1, XEP-0368, and jabberd, which looked for _jabber before there was a standard. SIP: what Office Communicator looks for,
// and what is left out.
var relatives = map[string][]stray{
	"xmpp-server": {
		{"_xmpp-client._tcp", "users' clients look there, other servers do not", true},
		{"_xmpps-server._tcp", "only servers that begin with TLS (XEP-0368) look there", true},
		{"_jabber._tcp", "servers looked there before XMPP was a standard", true},
	},
	"sipfederationtls": {
		{"_sip._tls", "users' clients look there from outside, other organisations do not", true},
		{"_sipinternaltls._tcp", "users' clients look there inside", true},
		{"_sipfederation._tcp", "its end is missing: tls", false},
		{"_sipfederationtls._tls", "the protocol is _tcp, whatever runs over it", false},
	},
}

// machines are the hosts for which a service's record is made in place of the domain.
var machines = map[string][]string{"xmpp-server": {"xmpp", "im", "jabber"}, "sipfederationtls": {"sip"}}

// strays are the names under which the record of a service of a domain is looked for where it is missing. They are a dozen at most.
func strays(what, domain string) []stray {
	right := "_" + what + "._tcp"
	all := []stray{
		{what + "._tcp", "an underscore is missing", false},
		{"_" + what + ".tcp", "an underscore is missing", false},
		{what + ".tcp", "the underscores are missing", false},
		{"_" + what + "._udp", "it is for UDP", false},
		{right + "." + domain, "the domain stands in it twice: the dot at the end of the name is missing in the zone file", false},
	}
	for _, host := range machines[what] {
		all = append(all, stray{right + "." + host, "it was made for a host in place of the domain", false})
	}
	all = append(all, relatives[what]...)
	for i := range all {
		all[i].name += "." + domain
	}
	return all
}

// unpublished makes the finding for a domain that has no SRV record of a service. A record that was made under another name by mistake is a finding
// of its own, for who made it believes that it is there, and has to rename it. One that has a use of its own is told as evidence: beside it another
// one has to be made, and that is what code says.
func (x *exam) unpublished(ctx context.Context, code, what, domain string, evidence ...string) {
	all := strays(what, domain)
	for i, found := range each(all, func(s stray) service { return x.records(ctx, s.name) }) {
		switch s := all[i]; {
		case found.err != nil || found.declined():
		case s.use:
			evidence = append(evidence, s.name+" has records: "+found.String()+"; "+s.why)
		default:
			code = "dns.srv-name"
			evidence = append(evidence, "probably meant: "+s.name+" SRV "+found.String()+"; "+s.why)
		}
	}
	x.find(code, domain, evidence...)
}

// undoubled is a name without what stands twice at its end: xmpp.contoso.com for xmpp.contoso.com.contoso.com, which a zone file makes of a name
// without a dot behind it. It is empty if nothing does. A single label twice is no domain.
func undoubled(name string) string {
	labels := strings.Split(name, ".")
	n := len(labels)
	for k := n / 2; k >= 2; k-- {
		if strings.Join(labels[n-k:], ".") == strings.Join(labels[n-2*k:n-k], ".") {
			return strings.Join(labels[:n-k], ".")
		}
	}
	return ""
}

// doubled says of a name that does not exist that it would without what stands twice at its end. It says nothing if it would not.
func (x *exam) doubled(ctx context.Context, name string) []string {
	short := undoubled(name)
	if short == "" {
		return nil
	}
	l := x.addresses(ctx, short)
	if l.err != nil {
		return nil
	}
	return []string{"probably meant: " + l.String() + "; the domain stands in the other name twice, as when the dot at its end is missing in the zone file"}
}
