package scenario

import (
	"fmt"
	"net"
	"net/netip"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"fedlab/internal/strictyaml"
)

// known is what the steps of a scenario can refer to.
type known struct {
	topology *Topology
	users    map[string]string // address: the host that serves it
	crowds   []string          // domains of the crowds
	farm     []string          // names of the farm's hosts
}

// topologyChecker finds what is well-formed in a topology and cannot be built. What can be built and does not work is no
// mistake: it is what scenarios are about.
type topologyChecker struct {
	*strictyaml.List
	*Topology
	tree  *strictyaml.Node
	known known
	taken map[string]string // "segment address": who has it

	quirkTypes map[string]any
}

func checkTopology(t *Topology, tree *strictyaml.Node, quirks map[string]any, l *strictyaml.List) known {
	c := topologyChecker{List: l, Topology: t, tree: tree, quirkTypes: quirks, known: known{topology: t, users: map[string]string{}}, taken: map[string]string{}}
	for _, name := range sortedKeys(t.Segments) {
		c.segment(name)
	}
	for _, name := range sortedKeys(t.Routers) {
		c.router(name)
	}
	for _, name := range sortedKeys(t.Zones) {
		for _, zone := range sortedKeys(t.Zones[name]) {
			c.zone(name, zone)
		}
	}
	for _, name := range sortedKeys(t.Hosts) {
		c.host(name)
	}
	c.crowds()
	return c.known
}

func (c *topologyChecker) segment(name string) {
	for i, p := range c.Segments[name].Prefixes {
		if p.IsValid() && p.Masked() != p {
			m := c.At(c.tree.At("segments", name, "prefixes", strconv.Itoa(i)), "%s has bits behind its prefix length", p)
			m.Suggestion = p.Masked().String()
		}
	}
}

// segmentNamed reports a segment that does not exist.
func (c *topologyChecker) segmentNamed(name string, at *strictyaml.Node) bool {
	if _, ok := c.Segments[name]; ok {
		return true
	}
	c.Unknown(at, "segment", name, sortedKeys(c.Segments))
	return false
}

// interfaces checks the addresses of a host or router, and returns what it reaches directly.
func (c *topologyChecker) interfaces(kind, name string, all map[string]netip.Prefix) []netip.Prefix {
	what := strings.TrimSuffix(kind, "s") + " " + name
	var direct []netip.Prefix
	if len(all) == 0 && c.tree.At(kind, name).Get("interfaces") != nil {
		c.At(c.tree.At(kind, name, "interfaces"), "%s has no interface: write segment: address/bits", what)
	}
	for _, segment := range sortedKeys(all) {
		if !c.segmentNamed(segment, c.tree.KeyAt(kind, name, "interfaces", segment)) || !all[segment].IsValid() {
			continue
		}
		c.address(all[segment].Addr(), segment, what, c.tree.At(kind, name, "interfaces", segment))
		direct = append(append(direct, all[segment].Masked()), c.Segments[segment].Prefixes...)
	}
	return direct
}

// address checks that an address lies in its segment and is nobody else's there.
func (c *topologyChecker) address(a netip.Addr, segment, what string, at *strictyaml.Node) {
	s := c.Segments[segment]
	if len(s.Prefixes) > 0 && !contained(a, s.Prefixes) {
		c.At(at, "%s has %s on segment %s, which is %s", what, a, segment, joined(s.Prefixes))
	}
	key := segment + " " + a.String()
	if other := c.taken[key]; other != "" {
		c.At(at, "%s has %s on segment %s, but %s has it already", what, a, segment, other)
		return
	}
	c.taken[key] = what
}

func contained(a netip.Addr, prefixes []netip.Prefix) bool {
	return slices.ContainsFunc(prefixes, func(p netip.Prefix) bool { return p.Contains(a) })
}

func joined[T fmt.Stringer](all []T) string {
	var texts []string
	for _, a := range all {
		texts = append(texts, a.String())
	}
	return strings.Join(texts, ", ")
}

// routes checks destinations and that next hops are on a segment the machine stands on.
func (c *topologyChecker) routes(kind, name string, routes map[string]netip.Addr, direct []netip.Prefix) {
	for _, to := range sortedKeys(routes) {
		if p, err := netip.ParsePrefix(to); to != "default" && (err != nil || p.Masked() != p) {
			m := c.At(c.tree.KeyAt(kind, name, "routes", to), "a route leads to default or to a prefix such as 10.10.0.0/16, not to %q", to)
			if err == nil {
				m.Suggestion = p.Masked().String()
			} else if a, err := netip.ParseAddr(to); err == nil {
				m.Suggestion = fmt.Sprintf("%s/%d", a, a.BitLen())
			}
		}
		if via := routes[to]; via.IsValid() && len(direct) > 0 && !contained(via, direct) {
			c.At(c.tree.At(kind, name, "routes", to), "the next hop %s is on none of its segments", via)
		}
	}
}

func (c *topologyChecker) router(name string) {
	r := c.Routers[name]
	direct := c.interfaces("routers", name, r.Interfaces)
	at := func(path ...string) *strictyaml.Node { return c.tree.At(append([]string{"routers", name}, path...)...) }
	if _, both := c.Hosts[name]; both {
		c.At(c.tree.KeyAt("routers", name), "%q is both a host and a router; give one of them another name", name)
	}
	var own []netip.Addr
	for segment, p := range r.Interfaces {
		own = append(own, p.Addr())
		for i, a := range r.Addresses[segment] {
			own = append(own, a)
			if a.IsValid() {
				c.address(a, segment, "router "+name, at("addresses", segment, strconv.Itoa(i)))
			}
		}
	}
	for _, segment := range sortedKeys(r.Addresses) {
		c.interfaceNamed(segment, r.Interfaces, c.tree.KeyAt("routers", name, "addresses", segment))
	}
	c.routes("routers", name, r.Routes, direct)
	for i, segment := range r.Masquerade {
		c.interfaceNamed(segment, r.Interfaces, at("masquerade", strconv.Itoa(i)))
	}
	for _, rule := range r.Rules.Keys {
		c.rule(r.Rules.Values[rule], r, at("rules", rule))
	}
	for _, forward := range r.Forwards.Keys {
		f := r.Forwards.Values[forward]
		if f.Address.IsValid() && !slices.Contains(own, f.Address) {
			c.At(at("forwards", forward, "address"), "%s is not an address of router %s; add it to its addresses", f.Address, name)
		}
	}
}

func (c *topologyChecker) rule(rule Rule, r Router, at *strictyaml.Node) {
	for key, segment := range map[string]string{"from": rule.From, "to": rule.To} {
		if segment != "" {
			c.interfaceNamed(segment, r.Interfaces, at.At(key))
		}
	}
	if rule.Port != 0 && rule.Protocol == "icmp" {
		c.At(at.At("port"), "icmp has no ports")
	}
	if rule.Delay != 0 && rule.Verdict != Delay {
		c.At(at.KeyAt("delay"), "delay needs verdict: delay")
	}
	if rule.Verdict == Delay && rule.Delay <= 0 {
		c.At(at.At("verdict"), "verdict delay needs a delay:")
	}
	for word := range strings.FieldsSeq(rule.Flags) {
		word = strings.TrimPrefix(word, "!")
		if known := []string{"FIN", "SYN", "RST", "PSH", "ACK", "URG"}; !slices.Contains(known, word) {
			c.Unknown(at.At("flags"), "TCP flag", word, known)
		}
	}
	if rule.SYNACK && !rule.Stateless {
		c.At(at.KeyAt("syn_ack"), "syn_ack needs stateless: true; the other rules judge only what begins a connection")
	}
}

// quirks checks the switches of a fake against what it has.
func (c *topologyChecker) quirks(fake string, n *strictyaml.Node) {
	if n == nil || n.Kind == strictyaml.Null || c.quirkTypes[fake] == nil {
		return
	}
	strictyaml.Decode(n, reflect.New(reflect.TypeOf(c.quirkTypes[fake])).Interface(), c.List)
}

// zone checks the records of a zone.
func (c *topologyChecker) zone(view, zone string) {
	for _, record := range sortedKeys(c.Zones[view][zone]) {
		key := c.tree.KeyAt("zones", view, zone, record)
		words := strings.Fields(record)
		if len(words) < 2 || len(words) > 3 {
			c.At(key, "a record's key is its name and its type, such as \"_xmpp-server._tcp SRV\", or with the TTL in seconds between them, not %q", record)
			continue
		}
		kind := words[len(words)-1]
		if _, err := strconv.ParseUint(words[1], 10, 31); len(words) == 3 && err != nil {
			c.At(key, "the TTL of a record is a number of seconds, not %q", words[1])
		}
		if types := []string{"A", "AAAA", "CNAME", "NS", "SOA", "SRV", "TXT"}; !slices.Contains(types, kind) {
			c.Unknown(key, "record type", kind, types)
			continue
		}
		at := c.tree.At("zones", view, zone, record)
		for i, value := range c.Zones[view][zone][record] {
			c.record(kind, value, at.At(strconv.Itoa(i)))
		}
	}
}

func (c *topologyChecker) record(kind, value string, at *strictyaml.Node) {
	switch kind {
	case "A", "AAAA":
		if a, err := netip.ParseAddr(value); err != nil || a.Is4() != (kind == "A") {
			c.At(at, "%q is not the address of an %s record", value, kind)
		}
	case "CNAME", "NS":
		c.target(value, at)
	case "SOA":
		fields := strings.Fields(value)
		if len(fields) != 7 {
			c.At(at, "an SOA record is \"server. mailbox. serial refresh retry expire minimum\", such as \"ns.contoso.com. hostmaster.contoso.com. 1 3600 600 86400 60\", not %q", value)
			return
		}
		c.target(fields[0], at)
		c.target(fields[1], at)
		for _, number := range fields[2:] {
			if _, err := strconv.ParseUint(number, 10, 32); err != nil {
				c.At(at, "the last five of an SOA record are whole numbers, the last four of them seconds, not %q", number)
			}
		}
	case "SRV":
		fields := strings.Fields(value)
		if len(fields) != 4 {
			c.At(at, "an SRV record is \"priority weight port target.\", such as \"5 0 5269 xmpp-server.l.google.com.\", not %q", value)
			return
		}
		for i, what := range []string{"priority", "weight", "port"} {
			if _, err := strconv.ParseUint(fields[i], 10, 16); err != nil {
				c.At(at, "the %s of an SRV record is a number from 0 to 65535, not %q", what, fields[i])
			}
		}
		c.target(fields[3], at)
	}
}

// target checks that a name ends in a dot: without one, a name server would put the zone's name behind it.
func (c *topologyChecker) target(name string, at *strictyaml.Node) {
	if !strings.HasSuffix(name, ".") {
		c.At(at, "%q has no final dot, so the zone's name would be added to it", name).Suggestion = name + "."
	}
}

// hostPort checks "host:port".
func hostPort(l *strictyaml.List, what, text, port string, at *strictyaml.Node) {
	_, p, err := net.SplitHostPort(text)
	if err != nil {
		m := l.At(at, "%s %q is not host:port", what, text)
		if words := strings.Fields(text); len(words) == 2 { // as telnet has it
			m.Suggestion = words[0] + ":" + words[1]
		} else if !strings.Contains(text, ":") {
			m.Suggestion = text + ":" + port
		}
		return
	}
	if n, err := strconv.Atoi(p); err != nil || n < 1 || n > 65535 {
		l.At(at, "%s %q: %q is not a port; a port is a number from 1 to 65535", what, text, p)
	}
}
