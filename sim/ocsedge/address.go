package ocsedge

import (
	"net"
	"net/netip"
	"strings"
)

// uri is a SIP URI taken apart. params is what follows the host and port, from the first semicolon on, as it stood.
type uri struct {
	scheme, user, host, port, params string
}

// parseURI takes a sip or sips URI apart.
func parseURI(s string) (uri, error) {
	scheme, rest, ok := strings.Cut(s, ":")
	scheme = strings.ToLower(scheme)
	if !ok || (scheme != "sip" && scheme != "sips") {
		return uri{}, syntaxError("URI " + s + ": neither sip nor sips")
	}
	rest, _, _ = strings.Cut(rest, "?")
	u := uri{scheme: scheme}
	if at := strings.IndexByte(rest, '@'); at >= 0 {
		u.user, _, _ = strings.Cut(rest[:at], ":")
		rest = rest[at+1:]
		if u.user == "" {
			return uri{}, syntaxError("URI " + s + ": nothing before the @")
		}
	}
	if i := strings.IndexByte(rest, ';'); i >= 0 {
		rest, u.params = rest[:i], rest[i:]
	}
	u.host = rest
	if i := strings.LastIndexByte(rest, ':'); i > strings.LastIndexByte(rest, ']') {
		u.host, u.port = rest[:i], rest[i+1:]
	}
	if u.host == "" || strings.ContainsAny(u.host, " <>\"@") {
		return uri{}, syntaxError("URI " + s + ": no host")
	}
	return u, nil
}

// aor is user@host in lower case: what OCS compares (trace).
func (u uri) aor() string { return strings.ToLower(u.user + "@" + u.host) }

// domain is the host in lower case.
func (u uri) domain() string { return strings.ToLower(u.host) }

// numeric says whether the host is an address instead of a name.
func (u uri) numeric() bool {
	_, err := netip.ParseAddr(strings.Trim(u.host, "[]"))
	return err == nil
}

// hop is where a request with this URI goes: host and port, by default 5061 (RFC 3261 §19.1.2 for TLS).
func (u uri) hop() string {
	port := u.port
	if port == "" {
		port = "5061"
	}
	return net.JoinHostPort(strings.ToLower(strings.Trim(u.host, "[]")), port)
}

// address is a name-addr or addr-spec with the parameters behind it.
type address struct {
	display string
	uri     uri
	whole   string // the URI as it stood
	params  string // of the header, from the first semicolon on
}

// parseAddress takes the value of From, To, Contact, Route or Record-Route apart.
func parseAddress(s string) (address, error) {
	var a address
	rest := s
	if open := indexOutsideQuotes(s, '<'); open >= 0 {
		end := strings.IndexByte(s[open:], '>')
		if end < 0 {
			return a, syntaxError("address " + s + ": no closing >")
		}
		a.display = strings.Trim(strings.TrimSpace(s[:open]), `"`)
		a.whole, a.params = s[open+1:open+end], strings.TrimSpace(s[open+end+1:])
	} else {
		// RFC 3261 §20.10: without brackets all parameters are the header's.
		a.whole = rest
		if i := strings.IndexByte(rest, ';'); i >= 0 {
			a.whole, a.params = strings.TrimSpace(rest[:i]), rest[i:]
		}
	}
	if a.params != "" && a.params[0] != ';' {
		return a, syntaxError("address " + s + ": " + a.params + " after the URI")
	}
	var err error
	a.uri, err = parseURI(a.whole)
	return a, err
}

// param returns the value of a parameter in ";a=b;c" form. Names do not mind case.
func param(params, name string) (string, bool) {
	for _, p := range strings.Split(params, ";") {
		k, v, _ := strings.Cut(p, "=")
		if strings.EqualFold(strings.TrimSpace(k), name) {
			return strings.TrimSpace(v), true
		}
	}
	return "", false
}

func (a address) tag() string { v, _ := param(a.params, "tag"); return v }

func indexOutsideQuotes(s string, want byte) int {
	quoted := false
	for i := 0; i < len(s); i++ {
		switch {
		case quoted && s[i] == '\\':
			i++
		case s[i] == '"':
			quoted = !quoted
		case s[i] == want && !quoted:
			return i
		}
	}
	return -1
}
