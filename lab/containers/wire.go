package containers

import (
	"cmp"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"time"

	"fedlab/lab/scenario"
)

// cabled is a machine as far as cables are concerned: a router, a host, or several hosts that are one machine.
type cabled struct {
	name      string
	pid       int                       // of the process that holds its network namespace, on the machine of the engine
	addresses map[string][]netip.Prefix // by segment, the first is the one it calls from
	routes    map[string]netip.Addr
	state     scenario.State // of a router
}

func router(name string, r scenario.Router) cabled {
	return cabled{name: name, addresses: addresses(r.Interfaces, r.Addresses), routes: r.Routes, state: r.State}
}

func host(name string, h scenario.Host) cabled {
	return cabled{name: name, addresses: addresses(h.Interfaces, h.Addresses), routes: h.Routes}
}

// alike reports whether two hosts can be one machine.
func alike(a, b scenario.Host) bool {
	return slices.Equal(sorted(a.Interfaces), sorted(b.Interfaces)) && maps.Equal(a.Routes, b.Routes) && maps.Equal(a.HostsFile, b.HostsFile) &&
		slices.Equal(a.Resolver, b.Resolver)
}

func addresses(interfaces map[string]netip.Prefix, more map[string][]netip.Addr) map[string][]netip.Prefix {
	all := map[string][]netip.Prefix{}
	for segment, p := range interfaces {
		all[segment] = []netip.Prefix{p}
		for _, a := range more[segment] {
			all[segment] = append(all[segment], netip.PrefixFrom(a, p.Bits()))
		}
	}
	return all
}

// wiring is the script, for the switch, that lays every cable. The switch sees the processes of all machines.
func wiring(segments map[string]scenario.Segment, machines []cabled) string {
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	line("set -e")
	line("mount -o remount,rw /proc/sys") // for how long routers remember
	for i, segment := range sorted(segments) {
		line("ip link add s%d type bridge", i)
		line("ip link set s%d up", i)
		if slices.ContainsFunc(segments[segment].Prefixes, func(p netip.Prefix) bool { return p.Bits() == 0 }) {
			void(line, fmt.Sprintf("s%d", i), segment, machines)
		}
	}
	names := sorted(segments)
	port := 0
	for _, m := range machines {
		for _, segment := range sorted(m.addresses) {
			line("ip link add p%d type veth peer name %s netns %d", port, segment, m.pid)
			line("ip link set p%d master s%d up", port, slices.Index(names, segment))
			port++
		}
		line("nsenter -t %d -n sh -e <<'EOF'", m.pid)
		line("ip link set lo up")
		for _, segment := range sorted(m.addresses) {
			line("ip link set %s up", segment)
			everything := false
			for _, p := range m.addresses[segment] {
				line("ip addr add %s dev %s", p, segment)
				everything = everything || p.Bits() == 0
			}
			if everything { // the kernel makes no route of a prefix that is everything
				line("ip route add default dev %s", segment)
			}
		}
		for _, to := range sorted(m.routes) {
			line("ip route add %s via %s", to, m.routes[to])
		}
		line("EOF")
		b.WriteString(memory(m))
	}
	for i, segment := range names {
		if segments[segment].Link.Down {
			line("%s", cut(fmt.Sprintf("s%d", i)))
		}
	}
	return b.String()
}

// cut pulls every cable out of a bridge, and restore plugs them in again. The machines do not notice at their ends: a segment in the
// distance has failed.
func cut(bridge string) string {
	return fmt.Sprintf("[ -e /tmp/%[1]s ] || { ls /sys/class/net/%[1]s/brif > /tmp/%[1]s; for p in $(cat /tmp/%[1]s); do ip link set $p nomaster; done; }", bridge)
}

func restore(bridge string) string {
	return fmt.Sprintf("[ ! -e /tmp/%[1]s ] || { for p in $(cat /tmp/%[1]s); do ip link set $p master %[1]s; done; rm /tmp/%[1]s; }", bridge)
}

// void makes every address of a segment that nobody has silent, as most of the Internet is, where a segment of one's own would tell
// that nobody is there: the switch itself answers for them, and what it is sent it drops.
func void(line func(string, ...any), bridge, segment string, machines []cabled) {
	line("ip link add nobody%[1]s type veth peer name void%[1]s", bridge)
	line("ip link set nobody%[1]s up; ip link set void%[1]s up", bridge)
	line("for k in ip_forward conf/%[1]s/proxy_arp; do echo 1 > /proc/sys/net/ipv4/$k; done", bridge)
	line("for k in conf/all/rp_filter conf/%[1]s/rp_filter neigh/%[1]s/proxy_delay; do echo 0 > /proc/sys/net/ipv4/$k; done", bridge)
	line("ip route add default dev void%s", bridge)
	for _, m := range machines {
		for _, p := range m.addresses[segment] {
			line("ip route replace %s/32 dev %s", p.Addr(), bridge)
		}
	}
	line(`nft 'add table ip void; add chain ip void forward { type filter hook forward priority 0; }; add rule ip void forward oifname "void%s" drop'`, bridge)
}

// memory sets how long a router remembers connections.
func memory(m cabled) string {
	var b strings.Builder
	set := func(d scenario.Duration, keys ...string) {
		for _, key := range keys {
			if d > 0 {
				fmt.Fprintf(&b, "nsenter -t %d -n sh -c 'echo %d > /proc/sys/net/netfilter/nf_conntrack_%s'\n", m.pid, max(1, time.Duration(d)/time.Second), key)
			}
		}
	}
	set(m.state.Opening, "tcp_timeout_syn_sent", "tcp_timeout_syn_recv")
	set(m.state.Established, "tcp_timeout_established")
	set(m.state.Closing, "tcp_timeout_fin_wait", "tcp_timeout_time_wait", "tcp_timeout_close_wait", "tcp_timeout_last_ack")
	set(m.state.UDP, "udp_timeout", "udp_timeout_stream")
	return b.String()
}

// hostsText is a machine's hosts file.
func hostsText(file map[string]netip.Addr) []byte {
	var b strings.Builder
	b.WriteString("127.0.0.1 localhost\n")
	for _, name := range sorted(file) {
		fmt.Fprintf(&b, "%s %s\n", file[name], name)
	}
	return []byte(b.String())
}

// resolverText is a machine's resolv.conf.
func resolverText(servers []netip.Addr) []byte {
	var b strings.Builder
	for _, a := range servers {
		fmt.Fprintf(&b, "nameserver %s\n", a)
	}
	if len(servers) == 0 {
		b.WriteString("nameserver 127.0.0.1\n") // where nobody answers, as on a host that was given none
	}
	b.WriteString("options timeout:5 attempts:2\n")
	return []byte(b.String())
}

func sorted[K cmp.Ordered, V any](m map[K]V) []K { return slices.Sorted(maps.Keys(m)) }
