package containers

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"fedlab/lab/scenario"
)

// ruleset is a router's packet filter and address translation as a script for nft -f. It replaces what the router had; connections
// that it knows stay. Interfaces have the names of the segments.
//
// It means what package vnet does: rules are tried in order and the first that matches decides; those that are not stateless judge
// only what begins a connection; what no rule matches is passed if it belongs to a connection that was let through, else the
// policy decides.
func ruleset(r scenario.Router) string {
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	line("flush ruleset")
	line("table inet lab {")
	if len(r.Forwards.Keys) > 0 {
		line("	chain forwards {")
		line("		type nat hook prerouting priority dstnat; policy accept;")
		for _, name := range r.Forwards.Keys {
			f := r.Forwards.Values[name]
			from := ""
			if !r.Hairpin && !f.Hairpin {
				from = "iifname " + quote(home(r, f.Address)) + " "
			}
			line("		%s%s daddr %s %s dport %d dnat %s to %s comment %s", from, family(f.Address), f.Address, protocol(f.Protocol), f.Port, family(f.Address), f.To, quote(name))
		}
		line("	}")
	}
	if len(r.Masquerade)+len(r.Forwards.Keys) > 0 {
		line("	chain translate {")
		line("		type nat hook postrouting priority srcnat; policy accept;")
		for _, name := range r.Forwards.Keys {
			f := r.Forwards.Values[name]
			if !r.Hairpin && !f.Hairpin {
				continue
			}
			// Answers have to come back through the router, so both ends see its outside address. RFC 4787 §6 REQ-9
			for _, segment := range sorted(r.Interfaces) {
				line("		iifname %[1]s oifname %[1]s ct original %[2]s daddr %[3]s ct status dnat snat %[2]s to %[3]s comment %[4]s",
					quote(segment), family(f.Address), f.Address, quote(name+" from the inside"))
			}
		}
		for _, segment := range r.Masquerade {
			line("		oifname %s masquerade", quote(segment))
		}
		line("	}")
	}
	chain(line, r, "forward")
	chain(line, r, "input")
	line("}")
	return b.String()
}

// chain is the packet filter for one hook: what is passed on, or what is for the router itself.
func chain(line func(string, ...any), r scenario.Router, hook string) {
	line("	chain %s {", hook)
	line("		type filter hook %s priority filter; policy accept;", hook)
	closed := r.Policy == scenario.Drop || r.Policy == scenario.Reject
	strict := closed || len(r.Masquerade)+len(r.Forwards.Keys) > 0
	if strict {
		verdict := "drop"
		if r.State.Reset {
			verdict = "reject with tcp reset"
		}
		// A segment in the middle of a connection that the router does not know begins nothing.
		line(`		meta l4proto tcp ct state invalid %s comment "no such connection"`, verdict)
		line(`		meta l4proto tcp ct state new tcp flags & (syn | ack | rst) != syn %s comment "no such connection"`, verdict)
	}
	for _, name := range r.Rules.Keys {
		rule := r.Rules.Values[name]
		if hook == "input" && rule.To != "" {
			continue
		}
		match := conditions(rule)
		switch rule.Verdict {
		case scenario.Reject, scenario.Reset:
			if rule.Protocol != "udp" && rule.Protocol != "icmp" {
				line("		%scounter reject with tcp reset comment %s", onlyTCP(rule, match), quote(name))
			}
			if rule.Protocol != "tcp" {
				line("		%scounter reject comment %s", match, quote(name))
			}
		case scenario.Drop:
			line("		%scounter drop comment %s", match, quote(name))
		default:
			line("		%scounter accept comment %s", match, quote(name))
		}
	}
	if closed {
		line("		ct state established,related accept")
	}
	switch r.Policy {
	case scenario.Drop:
		line(`		counter drop comment "policy"`)
	case scenario.Reject:
		line(`		meta l4proto tcp counter reject with tcp reset comment "policy"`)
		line(`		counter reject comment "policy"`)
	}
	line("	}")
}

// conditions is the left side of a rule, with a space at its end.
func conditions(r scenario.Rule) string {
	var all []string
	add := func(format string, args ...any) { all = append(all, fmt.Sprintf(format, args...)) }
	if r.From != "" {
		add("iifname %s", quote(r.From))
	}
	if r.To != "" {
		add("oifname %s", quote(r.To))
	}
	addresses := func(side string, prefixes []netip.Prefix) {
		if len(prefixes) == 0 {
			return
		}
		var texts []string
		for _, p := range prefixes {
			texts = append(texts, p.Masked().String())
		}
		add("%s %s { %s }", family(prefixes[0].Addr()), side, strings.Join(texts, ", "))
	}
	addresses("saddr", r.Source)
	addresses("daddr", r.Target)
	switch {
	case r.Port != 0 || r.SourcePort != 0:
		ports := "th"
		if r.Protocol == "tcp" || r.Protocol == "udp" {
			ports = r.Protocol
		} else {
			add("meta l4proto { tcp, udp }")
		}
		if r.SourcePort != 0 {
			add("%s sport %d", ports, r.SourcePort)
		}
		if r.Port != 0 {
			add("%s dport %d", ports, r.Port)
		}
	case r.Protocol != "":
		add("meta l4proto %s", r.Protocol)
	}
	if set, all := flags(r); len(all) > 0 {
		if r.Protocol != "tcp" {
			add("meta l4proto tcp")
		}
		if len(set) == 0 {
			set = []string{"0x0"}
		}
		add("tcp flags & (%s) == %s", strings.Join(all, " | "), strings.Join(set, " | "))
	}
	if !r.Stateless {
		add("ct state new")
	}
	if len(all) == 0 {
		return ""
	}
	return strings.Join(all, " ") + " "
}

// flags are the TCP control bits that a rule wants set, and all that it looks at.
func flags(r scenario.Rule) (set, all []string) {
	for _, word := range strings.Fields(r.Flags) {
		name, clear := strings.CutPrefix(word, "!")
		name = strings.ToLower(name)
		all = append(all, name)
		if !clear {
			set = append(set, name)
		}
	}
	for _, name := range []string{"syn", "ack"} {
		if r.SYNACK && !slices.Contains(all, name) {
			set, all = append(set, name), append(all, name)
		}
	}
	return set, all
}

// onlyTCP is the left side of the half of a rule that is about TCP.
func onlyTCP(r scenario.Rule, match string) string {
	if r.Protocol == "tcp" {
		return match
	}
	return match + "meta l4proto tcp "
}

// home is the segment on which a router has an address.
func home(r scenario.Router, a netip.Addr) string {
	for _, segment := range sorted(r.Interfaces) {
		if r.Interfaces[segment].Addr() == a || slices.Contains(r.Addresses[segment], a) {
			return segment
		}
	}
	return ""
}

func protocol(p string) string {
	if p == "" {
		return "tcp"
	}
	return p
}

func family(a netip.Addr) string {
	if a.Is4() {
		return "ip"
	}
	return "ip6"
}

func quote(s string) string { return `"` + s + `"` }
