package config

import (
	"encoding/hex"
	"maps"
	"net"
	"net/netip"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"fedlab/internal/strictyaml"
)

// checker finds what is well-formed and still wrong, each at its place.
type checker struct {
	*strictyaml.List
	root     *strictyaml.Node
	dir      string
	readFile func(string) ([]byte, error)
}

func (k *checker) check(c *Config) {
	if c.Hostname != "" {
		k.name(k.root.At("hostname"), "hostname", c.Hostname)
		if !strings.Contains(c.Hostname, ".") {
			k.At(k.root.At("hostname"), "hostname %q is not fully qualified: write it with its domain, as the certificate and the Edge's Allow list name it", c.Hostname)
		}
	}
	k.listen(c.SIP.Listen, "sip", "listen")
	k.listen(c.XMPP.Listen, "xmpp", "listen")
	k.listen(c.XMPP.ListenTLS, "xmpp", "listen_tls")
	k.listen(c.Admin.Listen, "admin", "listen")
	for i, server := range c.DNS {
		k.server(server, k.root.At("dns", strconv.Itoa(i)))
	}
	if c.Store.Path != "" {
		c.Store.Path = k.path(c.Store.Path)
	}
	k.sipDomains(c)
	k.xmppDomains(c)
	k.positive(c.XMPP.ConnectTimeout, "xmpp", "connect_timeout")
	k.positive(c.XMPP.StreamTimeout, "xmpp", "stream_timeout")
	k.positive(c.Limits.SessionIdle, "limits", "session_idle")
	k.positive(c.Limits.Outcome, "limits", "outcome")
	const shortest = 16
	if s := c.XMPP.DialbackSecret; s != "" && len(s) < shortest {
		k.At(k.root.At("xmpp", "dialback_secret"), "dialback_secret is too short: use at least %d characters, for example from \"openssl rand -hex 16\"", shortest)
	}
	k.certificate(&c.SIP.Certificate, "sip")
	k.certificate(&c.XMPP.Certificate, "xmpp")
}

// path is a path of the file, relative to the file's own directory.
func (k *checker) path(p string) string {
	if filepath.IsAbs(p) {
		return p
	}
	return filepath.Join(k.dir, p)
}

func (k *checker) positive(d time.Duration, path ...string) {
	if d < 0 {
		k.At(k.root.At(path...), "%s has to be more than nothing, not %s", path[len(path)-1], d)
	}
}

// listen checks an address to listen on. A name is refused: it may resolve to another address tomorrow.
func (k *checker) listen(address string, path ...string) {
	if address == "" {
		return
	}
	at, key := k.root.At(path...), path[len(path)-1]
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		m := k.At(at, "%s %q is not an address with a port, such as 10.11.12.40:5061 or :5061 for all addresses", key, address)
		if _, ipErr := netip.ParseAddr(address); ipErr == nil {
			m.Suggestion = net.JoinHostPort(address, map[string]string{"sip.listen": "5061", "xmpp.listen": "5269", "xmpp.listen_tls": "5270", "admin.listen": "9469"}[strings.Join(path, ".")])
		}
		return
	}
	if _, err := netip.ParseAddr(host); host != "" && err != nil {
		k.At(at, "%s %q: %q is not an IP address; write one of this machine's, or only :%s for all", key, address, host, port)
	}
	if _, ok := portNumber(port); !ok && port != "0" {
		k.At(at, "%s %q: %q is not a port; a port is a number from 1 to 65535", key, address, port)
	}
}

func (k *checker) server(address string, at *strictyaml.Node) {
	if _, err := netip.ParseAddrPort(address); err == nil {
		return
	}
	m := k.At(at, "dns: %q is not an address with a port, such as 10.11.12.10:53", address)
	if a, err := netip.ParseAddr(address); err == nil {
		m.Suggestion = netip.AddrPortFrom(a, 53).String()
	}
}

func portNumber(s string) (int, bool) {
	n, err := strconv.Atoi(s)
	return n, err == nil && n >= 1 && n <= 65535
}

func (k *checker) sipDomains(c *Config) {
	if c.SIP.Domains != nil && len(c.SIP.Domains) == 0 {
		k.At(k.root.At("sip", "domains"), "no SIP domain: name the organisation's, with the Edge's federation name as its next_hop")
	}
	for _, domain := range slices.Sorted(maps.Keys(c.SIP.Domains)) {
		d := c.SIP.Domains[domain]
		k.name(k.root.KeyAt("sip", "domains", domain), "domain", domain)
		if at := k.root.At("sip", "domains", domain); at.Get("next_hop") != nil {
			k.nextHop(d, at.Get("next_hop"))
		}
		d.Pin = k.pin(d.Pin, k.root.At("sip", "domains", domain, "pin"))
		c.SIP.Domains[domain] = d
	}
}

// pin checks a fingerprint and returns it as the gateway compares it: in lower case and without colons.
func (k *checker) pin(pin string, at *strictyaml.Node) string {
	pin = strings.ToLower(strings.ReplaceAll(pin, ":", ""))
	if raw, err := hex.DecodeString(pin); pin != "" && (err != nil || len(raw) != 32) {
		k.At(at, "pin is not a SHA-256 fingerprint: it has 64 hexadecimal digits, as \"openssl x509 -noout -fingerprint -sha256\" prints it")
	}
	return pin
}

func (k *checker) xmppDomains(c *Config) {
	if c.XMPP.Domains != nil && len(c.XMPP.Domains) == 0 {
		k.At(k.root.At("xmpp", "domains"), "no XMPP domain: name those who may be reached and may call in, such as gmail.com")
	}
	owner := map[string]string{} // name: the entry it belongs to
	claim := func(name, entry string, at *strictyaml.Node) {
		k.name(at, "domain", name)
		if _, both := c.SIP.Domains[name]; both {
			k.At(at, "%s is also one of sip.domains: a domain is either ours or theirs", name)
		}
		if other, taken := owner[name]; taken {
			k.At(at, "%s stands here a second time; the first is in %s", name, other)
			return
		}
		owner[name] = entry
	}
	names := slices.Sorted(maps.Keys(c.XMPP.Domains))
	for _, domain := range names {
		claim(domain, "xmpp.domains", k.root.KeyAt("xmpp", "domains", domain))
	}
	for _, domain := range names {
		d, at := c.XMPP.Domains[domain], k.root.At("xmpp", "domains", domain)
		d.Pin = k.pin(d.Pin, at.At("pin"))
		c.XMPP.Domains[domain] = d
		switch {
		case d.TLS == TLSNever && d.SASL == SASLRequired:
			k.At(at.At("sasl"), "sasl: required needs encryption, and tls: never forbids it")
		case d.Dialback == DialbackNever && (d.SASL == SASLNever || d.TLS == TLSNever):
			k.At(at.At("dialback"), "nothing is left to prove %s by: allow dialback, or sasl with tls", domain)
		}
		for i, also := range c.XMPP.Domains[domain].Also {
			claim(also, domain, k.root.At("xmpp", "domains", domain, "also", strconv.Itoa(i)))
		}
	}
}

// name checks a DNS name in the form that the gateway compares: lower case, A-labels, no final dot (RFC 1123 §2.1).
func (k *checker) name(at *strictyaml.Node, what, name string) {
	bad := func(why string) *strictyaml.Mistake { return k.At(at, "%s %q is not a DNS name: %s", what, name, why) }
	if _, err := netip.ParseAddr(name); err == nil {
		bad("it is an address")
		return
	}
	switch plain := strings.ToLower(strings.TrimSuffix(name, ".")); {
	case name == "":
		bad("it is empty")
		return
	case plain != name:
		k.At(at, "%s %q: write it in lower case and without a final dot", what, name).Suggestion = plain
		return
	case len(name) > 253:
		bad("it is longer than 253 characters")
		return
	}
	for label := range strings.SplitSeq(name, ".") {
		switch {
		case label == "":
			bad("it has an empty part between two dots")
		case len(label) > 63:
			bad("a part between two dots is longer than 63 characters")
		case strings.HasPrefix(label, "-") || strings.HasSuffix(label, "-"):
			bad("a part between two dots begins or ends with a hyphen")
		case strings.Trim(label, "abcdefghijklmnopqrstuvwxyz0123456789-") != "":
			if strings.IndexFunc(label, func(r rune) bool { return r > 127 }) >= 0 {
				bad("write it in its xn-- form")
			} else if m := bad("only letters, digits, hyphens and dots may stand in it"); strings.Contains(label, "_") {
				m.Suggestion = strings.ReplaceAll(name, "_", "-")
			}
		default:
			continue
		}
		return
	}
}
