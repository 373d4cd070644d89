package googletalk

import "strings"

// jid is an XMPP address in parts, folded.
type jid struct{ local, domain, resource string }

// parseJID cuts at the first slash, then at the first @, and strips one trailing dot of the domain. RFC 7622 §3.2
func parseJID(s string) (jid, bool) {
	rest, resource, hasResource := strings.Cut(s, "/")
	local, domain, hasLocal := strings.Cut(rest, "@")
	if !hasLocal {
		local, domain = "", rest
	}
	domain = foldDomain(domain)
	if domain == "" || hasLocal && local == "" || hasResource && resource == "" {
		return jid{}, false
	}
	if len(local) > 1023 || len(domain) > 1023 || len(resource) > 1023 {
		return jid{}, false
	}
	if strings.ContainsAny(domain, "@ \t\r\n<>&'\"") || strings.ContainsAny(local, " \t\r\n<>&'\":") {
		return jid{}, false
	}
	return jid{strings.ToLower(local), domain, resource}, true
}

func (j jid) bare() string {
	if j.local == "" {
		return j.domain
	}
	return j.local + "@" + j.domain
}

func (j jid) String() string {
	if j.resource == "" {
		return j.bare()
	}
	return j.bare() + "/" + j.resource
}

func foldDomain(s string) string {
	return strings.TrimSuffix(strings.ToLower(strings.TrimSpace(s)), ".")
}

// accountKey names the account that an address leads to. gmail.com and googlemail.com are one set of users, and dots in their
// names do not count. (developers.google.com/talk/jep_extensions/jid_domain_change; the dots as Google's help had it)
func accountKey(j jid) string {
	if j.domain == "gmail.com" || j.domain == "googlemail.com" {
		return strings.ReplaceAll(j.local, ".", "") + "@gmail.com"
	}
	return j.bare()
}
