package scenario

import (
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"fedlab/internal/strictyaml"
)

func (c *topologyChecker) host(name string) {
	h := c.Hosts[name]
	at := func(path ...string) *strictyaml.Node { return c.tree.At(append([]string{"hosts", name}, path...)...) }
	direct := c.interfaces("hosts", name, h.Interfaces)
	c.routes("hosts", name, h.Routes, direct)
	for _, segment := range sortedKeys(h.Addresses) {
		if c.interfaceNamed(segment, h.Interfaces, c.tree.KeyAt("hosts", name, "addresses", segment)) {
			for i, a := range h.Addresses[segment] {
				c.address(a, segment, "host "+name, at("addresses", segment, strconv.Itoa(i)))
			}
		}
	}
	for _, segment := range sortedKeys(h.Links) {
		c.interfaceNamed(segment, h.Interfaces, c.tree.KeyAt("hosts", name, "links", segment))
	}
	authority := func(a string, at *strictyaml.Node) {
		if _, ok := c.Authorities[a]; a != "" && !ok {
			c.Unknown(at, "authority", a, sortedKeys(c.Authorities))
		}
	}
	for i, a := range h.Authorities {
		authority(a, at("authorities", strconv.Itoa(i)))
	}
	for i, a := range h.ListsKnown {
		authority(a, at("lists_known", strconv.Itoa(i)))
	}
	for i, a := range h.IssuingKnown {
		authority(a, at("issuing_known", strconv.Itoa(i)))
	}
	for _, port := range sortedKeys(h.Says) {
		if n, err := strconv.Atoi(port); err != nil || n < 1 || n > 65535 {
			c.At(c.tree.KeyAt("hosts", name, "says", port), "%q is not a port", port)
		}
	}
	if h.Certificate != nil {
		authority(h.Certificate.Authority, at("certificate", "authority"))
	}
	if g := h.Gateway; g != nil {
		c.gateway(h, at("gateway"), name)
	}
	if h.GoogleTalk != nil {
		c.googleTalk(h.GoogleTalk, name, at("google_talk"))
	}
	if h.Partner != nil {
		c.partner(h, name, at("partner"))
	}
	if h.Edge != nil {
		c.edge(h, name, at("edge"))
	}
	if h.DNS != nil {
		if _, ok := c.Zones[h.DNS.View]; h.DNS.View != "" && !ok {
			c.Unknown(at("dns", "view"), "view", h.DNS.View, sortedKeys(c.Zones))
		}
	}
}

// interfaceNamed reports a segment that a machine does not stand on.
func (c *topologyChecker) interfaceNamed(segment string, interfaces map[string]netip.Prefix, at *strictyaml.Node) bool {
	if _, ok := interfaces[segment]; ok {
		return true
	}
	c.Unknown(at, "interface", segment, sortedKeys(interfaces))
	return false
}

func (c *topologyChecker) gateway(h Host, at *strictyaml.Node, name string) {
	if h.Certificate == nil {
		c.At(at, "host %s runs the gateway and has no certificate", name)
	}
	if cert := h.Gateway.Certificate; cert != nil {
		if _, ok := c.Authorities[cert.Authority]; cert.Authority != "" && !ok {
			c.Unknown(at.At("certificate", "authority"), "authority", cert.Authority, sortedKeys(c.Authorities))
		}
		if len(h.Gateway.Authorities) == 0 {
			c.At(at.KeyAt("certificate"), "with a certificate for XMPP belong the authorities that XMPP servers are verified against")
		}
	}
	for i, a := range h.Gateway.Authorities {
		if _, ok := c.Authorities[a]; !ok {
			c.Unknown(at.At("authorities", strconv.Itoa(i)), "authority", a, sortedKeys(c.Authorities))
		}
	}
	for _, domain := range sortedKeys(h.Gateway.SIP) {
		for i, hop := range h.Gateway.SIP[domain].NextHop {
			if hop != "srv" {
				hostPort(c.List, "next_hop", hop, "5061", at.At("sip", domain, "next_hop", strconv.Itoa(i)))
			}
		}
	}
}

func (c *topologyChecker) googleTalk(g *GoogleTalk, name string, at *strictyaml.Node) {
	for i, farmName := range g.Names {
		if slices.Contains(c.known.farm, farmName) {
			c.At(at.At("names", strconv.Itoa(i)), "%s is the name of another host of the farm as well", farmName)
		}
		c.known.farm = append(c.known.farm, farmName)
	}
	var domains []string
	for _, other := range c.Hosts {
		if other.GoogleTalk != nil {
			domains = append(domains, other.GoogleTalk.Domains...)
		}
	}
	c.users(g.Users, domains, name, at.At("users"))
	c.quirks("google_talk", g.Quirks)
	c.quirks("google_talk", g.FarmQuirks)
}

// partner checks what the fake could not be started with. Settings of two sides that do not fit are no mistake.
func (c *topologyChecker) partner(h Host, name string, at *strictyaml.Node) {
	p := h.Partner
	switch {
	case p.TLS == "never" && p.SASL == "required":
		c.At(at.At("sasl"), "sasl: required needs encryption, and tls: never forbids it")
	case p.TLS == "never" && p.DirectTLS != 0:
		c.At(at.At("direct_tls"), "streams that begin with TLS need it, and tls: never forbids it")
	case p.TLS == "never" && p.Trusted:
		c.At(at.At("trusted"), "certificates need encryption, and tls: never forbids it")
	case p.Dialback == "never" && (p.SASL == "never" || p.TLS == "never"):
		c.At(at.At("dialback"), "nothing is left to prove a domain by: allow dialback, or sasl with tls")
	case p.TLS != "never" && h.Certificate == nil:
		c.At(at, "host %s offers TLS and has no certificate; give it one, or set tls: never", name)
	}
	if p.ServedBy != "" {
		c.realServer(h, p.ServedBy, name, at, map[string]bool{
			"sasl": p.SASL == "never" && p.TLS != "never", "trusted": p.Trusted, "direct_tls": p.DirectTLS != 0, "newest_tls": p.NewestTLS != "", "down": p.Down, "quirks": p.Quirks != nil,
			"dialback": p.Dialback == "never" && p.SASL != "required",
		})
		if p.SASL == "required" && p.TLS != "required" {
			c.At(at.At("sasl"), "%s demands a certificate only of streams that it wants encrypted: set tls: required", p.ServedBy)
		}
		c.realUsers(p.Users, p.ServedBy, at.At("users"))
	}
	c.users(p.Users, p.Domains, name, at.At("users"))
	c.quirks("google_talk", p.Quirks)
}

func (c *topologyChecker) edge(h Host, name string, at *strictyaml.Node) {
	e := h.Edge
	if h.Certificate == nil {
		c.At(at, "host %s is an Access Edge and has no certificate", name)
	}
	var own []netip.Addr
	for segment, p := range h.Interfaces {
		own = append(append(own, p.Addr()), h.Addresses[segment]...)
	}
	for key, a := range map[string]netip.Addr{"federation": e.Federation, "second": e.Second, "internal": e.Internal} {
		if a.IsValid() && len(own) > 0 && !slices.Contains(own, a) {
			c.At(at.At(key), "%s is not an address of host %s", a, name)
		}
	}
	if e.ServedBy != "" {
		c.realServer(h, e.ServedBy, name, at, map[string]bool{"internal": e.Internal.IsValid(), "quirks": e.Quirks != nil})
		c.realUsers(e.Users, e.ServedBy, at.At("users"))
	}
	c.users(e.Users, e.Domains, name, at.At("users"))
	c.quirks("edge", e.Quirks)
}

// realServer reports what only a fake can be told.
func (c *topologyChecker) realServer(h Host, server, name string, at *strictyaml.Node, given map[string]bool) {
	for _, key := range sortedKeys(given) {
		if given[key] {
			c.At(at.KeyAt(key), "host %s is served by %s, and only a fake can be told %s", name, server, key)
		}
	}
	if len(h.Resolver) == 0 {
		c.At(at.KeyAt("served_by"), "host %s is served by %s, which needs a resolver", name, server)
	}
}

// realUsers reports what only the users of a fake can be.
func (c *topologyChecker) realUsers(users map[string]User, server string, at *strictyaml.Node) {
	for _, address := range sortedKeys(users) {
		u := users[address]
		for key, given := range map[string]bool{"contacts": len(u.Contacts) > 0, "state": u.State != "", "refuse": u.Refuse != "", "receipts": u.Receipts && server == "kamailio"} {
			if given {
				c.At(at.At(address).KeyAt(key), "%s is a user of %s, who begins without %s", address, server, key)
			}
		}
	}
}

// users checks people and remembers them.
func (c *topologyChecker) users(users map[string]User, domains []string, host string, at *strictyaml.Node) {
	for _, address := range sortedKeys(users) {
		key := at.KeyAt(address)
		if !isAddress(address) {
			c.At(key, "%q is not the address of a user, such as bob@gmail.com", address)
			continue
		}
		_, domain, _ := strings.Cut(address, "@")
		if !slices.Contains(domains, domain) {
			c.At(key, "%s is a user here, but the domains here are %s", address, strings.Join(domains, ", ")).Suggestion = strictyaml.Nearest(domain, domains)
		}
		if other, twice := c.known.users[address]; twice {
			c.At(key, "%s is also a user of host %s", address, other)
		}
		c.known.users[address] = host
		for i, contact := range users[address].Contacts {
			if !isAddress(contact) {
				c.At(at.At(address, "contacts", strconv.Itoa(i)), "%q is not the address of a user, such as bob@gmail.com", contact)
			}
		}
	}
}

// isAddress reports whether s is user@domain in lower case, without a resource.
func isAddress(s string) bool {
	local, domain, ok := strings.Cut(s, "@")
	return ok && local != "" && domain != "" && !strings.ContainsAny(domain, "@/ ") && !strings.ContainsAny(local, " /:") && strings.ToLower(s) == s
}
