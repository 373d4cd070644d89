package config

import (
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"fedlab/internal/strictyaml"
)

// NextHop says where the Access Edge of a SIP domain is: one host:port, or several in the order of preference, each of which carries
// its host's name in its certificate; or [BySRV] alone. In a file it is a text or a list of them.
type NextHop []string

// BySRV in place of a next hop leaves it to the SRV record _sipfederationtls._tcp of the domain, as open federation does.
const BySRV = "srv"

// SRV reports whether the SRV record names the hosts.
func (n NextHop) SRV() bool { return len(n) == 1 && n[0] == BySRV }

// SRVName is the name of the SRV record by which a SIP domain says where its Access Edge is.
func SRVName(domain string) string { return "_sipfederationtls._tcp." + domain }

// Show is the next hop of domain as logs and the status name it.
func (n NextHop) Show(domain string) string {
	if n.SRV() {
		return SRVName(domain)
	}
	return strings.Join(n, ", ")
}

// UnmarshalNode reads a text or a list of texts.
func (n *NextHop) UnmarshalNode(d *strictyaml.Decoder, node *strictyaml.Node) {
	if node.Kind == strictyaml.Sequence {
		d.Decode(node, (*[]string)(n))
		return
	}
	var one string
	if d.Decode(node, &one); node.Kind == strictyaml.Scalar {
		*n = NextHop{one}
	}
}

// nextHop checks each host of a next hop at its own place.
func (k *checker) nextHop(d SIPDomain, at *strictyaml.Node) {
	if at.Kind == strictyaml.Sequence && len(at.Items) == 0 {
		k.At(at, "next_hop names no host: write host:port of the Edge's federation listener, or srv")
	}
	for i, hop := range d.NextHop {
		at := at.At(strconv.Itoa(i))
		switch {
		case d.NextHop.SRV():
		case hop == BySRV:
			k.At(at, "next_hop: srv stands alone: either the SRV record names the hosts, or this list does")
		case slices.Contains(d.NextHop[:i], hop):
			k.At(at, "next_hop: %s stands here a second time", hop)
		default:
			k.host(hop, d.Pin, at)
		}
	}
}

func (k *checker) host(hop, pin string, at *strictyaml.Node) {
	host, port, err := net.SplitHostPort(hop)
	if err != nil {
		m := k.At(at, "next_hop %q is not host:port", hop)
		switch {
		case strings.EqualFold(hop, BySRV):
			m.Suggestion = BySRV
		case hop != "" && !strings.Contains(hop, ":"):
			m.Suggestion = hop + ":5061"
		}
		return
	}
	if _, ok := portNumber(port); !ok {
		k.At(at, "next_hop %q: %q is not a port; a port is a number from 1 to 65535", hop, port)
	}
	if _, err := netip.ParseAddr(host); err == nil {
		if pin == "" {
			k.At(at, "next_hop %q is an address: write the Edge's federation name, which its certificate has to carry, or add the pin of its certificate", hop)
		}
		return
	}
	k.name(at, "next_hop", host)
}
