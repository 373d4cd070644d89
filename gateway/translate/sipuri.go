package translate

import (
	"errors"
	"fmt"
	"strings"

	"fedlab/gateway/im"
)

// ParseSIP reads a SIP URI (or im:, pres:) as the address of a person: sip:user@domain, with the value of gr= as the resource.
// Port, every other parameter (opaque, epid, transport, gruu, …) and headers are dropped: they say how to get there, not who
// it is. Local is empty if the URI has no user. The URI stands without angle brackets. RFC 7247 §6.4
//
// The user is folded to lower case, as OCS compares it, although RFC 3261 §19.1.4 does not. The error is an [*AddressError];
// for sips: it wraps [ErrSecureOnly].
func ParseSIP(uri string) (im.Address, error) {
	a, err := parseSIP(uri)
	if err != nil {
		return im.Address{}, addressError("SIP URI", uri, err)
	}
	return a, nil
}

func parseSIP(uri string) (a im.Address, err error) {
	if len(uri) > maxURI {
		return a, errors.New("longer than an address can be")
	}
	scheme, rest, ok := strings.Cut(uri, ":")
	if !ok {
		return a, errors.New("no scheme")
	}
	switch strings.ToLower(scheme) {
	case "sip", "im", "pres":
	case "sips":
		return a, ErrSecureOnly
	default:
		return a, fmt.Errorf("scheme %.20q is not a person's address", scheme)
	}
	if user, host, ok := strings.Cut(rest, "@"); ok {
		if a.Local, err = parseUser(user); err != nil {
			return a, err
		}
		rest = host
	}
	rest, _, _ = strings.Cut(rest, "?")
	host, params, _ := strings.Cut(rest, ";")
	if !strings.HasPrefix(host, "[") {
		var port string
		var hasPort bool
		if host, port, hasPort = strings.Cut(host, ":"); hasPort && !digits(port) {
			return a, fmt.Errorf("port %.20q", port)
		}
	}
	if a.Domain, err = ParseDomain(host); err != nil {
		return a, err
	}
	for params != "" {
		var param string
		param, params, _ = strings.Cut(params, ";")
		name, value, _ := strings.Cut(param, "=")
		if !strings.EqualFold(name, "gr") || value == "" { // gr without a value marks a temporary GRUU. RFC 7247 §6.3
			continue
		}
		if value, err = percentDecode(value); err != nil {
			return a, err
		}
		if a.Resource, err = prepareResource(value); err != nil {
			return a, err
		}
	}
	return a, nil
}

func parseUser(user string) (string, error) {
	if strings.Contains(user, ":") {
		return "", errors.New("a password in the address")
	}
	decoded, err := percentDecode(user)
	if err != nil {
		return "", err
	}
	if err := checkEnds(decoded); err != nil {
		return "", err
	}
	prepared, err := prepareLocal(escape(decoded))
	if err != nil {
		return "", err
	}
	local := unescape(prepared)
	if escape(local) != prepared {
		return "", errors.New("local part has no form in a JID")
	}
	return local, nil
}

// SIP writes a as a SIP URI, the resource as its gr parameter. It holds no character that could end the URI or the header field
// it stands in. The address must come from [ParseJID] or [ParseSIP]. RFC 7247 §6.5
func SIP(a im.Address) string {
	var b strings.Builder
	b.Grow(len(a.Local) + len(a.Domain) + 16)
	b.WriteString("sip:")
	if a.Local != "" {
		percentEncode(&b, a.Local, "-_.!~*'()&=+$,;?/") // RFC 3261 §25.1: unreserved and user-unreserved
		b.WriteByte('@')
	}
	b.WriteString(a.Domain)
	if a.Resource != "" {
		b.WriteString(";gr=")
		percentEncode(&b, a.Resource, "-_.!~*'()[]/:&+$") // RFC 3261 §25.1: paramchar
	}
	return b.String()
}

func percentEncode(b *strings.Builder, s, allowed string) {
	const upper = "0123456789ABCDEF"
	for i := 0; i < len(s); i++ {
		c := s[i]
		if c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.IndexByte(allowed, c) >= 0 {
			b.WriteByte(c)
			continue
		}
		b.WriteByte('%')
		b.WriteByte(upper[c>>4])
		b.WriteByte(upper[c&15])
	}
}

func percentDecode(s string) (string, error) {
	if !strings.Contains(s, "%") {
		return s, nil
	}
	var b strings.Builder
	b.Grow(len(s))
	for i := 0; i < len(s); i++ {
		if s[i] != '%' {
			b.WriteByte(s[i])
			continue
		}
		if i+2 >= len(s) || !hexDigit(s[i+1]) || !hexDigit(s[i+2]) {
			return "", errors.New("a % without two hexadecimal digits")
		}
		b.WriteByte(unhex(s[i+1])<<4 | unhex(s[i+2]))
		i += 2
	}
	return b.String(), nil
}

func hexDigit(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'a' && c <= 'f' || c >= 'A' && c <= 'F'
}

func unhex(c byte) byte {
	switch {
	case c <= '9':
		return c - '0'
	case c <= 'F':
		return c - 'A' + 10
	}
	return c - 'a' + 10
}

func digits(s string) bool {
	for i := 0; i < len(s); i++ {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return s != "" && len(s) <= 5
}
