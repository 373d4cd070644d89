package dns

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/miekg/dns"
)

// defaultTTL is the TTL, in seconds, of records whose key names none.
const defaultTTL = 300

// chaseLimit bounds how many CNAMEs are followed for one question.
const chaseLimit = 8

// zone is one zone ready to be asked. All names are absolute, in lower case and end with a dot.
type zone struct {
	origin string
	soa    *dns.SOA
	nodes  map[string]map[uint16][]dns.RR // a name that only has names below it is there with no records
}

// zoneSet is a consistent state of all zones; it is replaced as a whole.
type zoneSet map[string]*zone

// parseZones reads zones as [Config.Zones] describes them. Every mistake is reported, in the order of names.
func parseZones(zones map[string]map[string][]string) (zoneSet, error) {
	set := zoneSet{}
	var mistakes []string
	for _, name := range slices.Sorted(maps.Keys(zones)) {
		z, errs := parseZone(name, zones[name])
		for _, err := range errs {
			mistakes = append(mistakes, fmt.Sprintf("zone %s: %v", name, err))
		}
		set[z.origin] = z
	}
	if len(mistakes) > 0 {
		return nil, fmt.Errorf("sim/dns: %s", strings.Join(mistakes, "; "))
	}
	return set, nil
}

func parseZone(name string, records map[string][]string) (*zone, []error) {
	origin := canonical(name)
	z := &zone{origin: origin, nodes: map[string]map[uint16][]dns.RR{origin: {}}}
	var errs []error
	for _, key := range slices.Sorted(maps.Keys(records)) {
		for _, value := range records[key] {
			rr, err := parseRecord(origin, key, value)
			if err != nil {
				errs = append(errs, err)
				continue
			}
			z.add(rr)
		}
	}
	if soa, ok := first(z.nodes[origin][dns.TypeSOA]).(*dns.SOA); ok {
		z.soa = soa
	} else {
		z.soa = &dns.SOA{
			Hdr: dns.RR_Header{Name: origin, Rrtype: dns.TypeSOA, Class: dns.ClassINET, Ttl: defaultTTL},
			Ns:  join("ns", origin), Mbox: join("hostmaster", origin), Serial: 1, Refresh: 3600, Retry: 600, Expire: 86400, Minttl: 60,
		}
		z.add(z.soa)
	}
	return z, errs
}

// parseRecord reads one record: key is "NAME TYPE" or "NAME TTL TYPE", value the rest as in a zone file.
func parseRecord(origin, key, value string) (dns.RR, error) {
	fields := strings.Fields(key)
	ttl := fmt.Sprint(defaultTTL)
	switch len(fields) {
	case 2:
	case 3:
		ttl = fields[1]
	default:
		return nil, fmt.Errorf("%q: a record's key is \"NAME TYPE\" or \"NAME TTL TYPE\", as in \"_xmpp-server._tcp SRV\"", key)
	}
	owner, kind := fields[0], strings.ToUpper(fields[len(fields)-1])
	line := fmt.Sprintf("%s %s IN %s %s\n", owner, ttl, kind, value)
	parser := dns.NewZoneParser(strings.NewReader(line), origin, "")
	rr, ok := parser.Next()
	if err := parser.Err(); err != nil {
		return nil, fmt.Errorf("%q: %q: %w", key, value, err)
	}
	if !ok {
		return nil, fmt.Errorf("%q: %q is no record", key, value)
	}
	if _, more := parser.Next(); more || parser.Err() != nil {
		return nil, fmt.Errorf("%q: %q is more than one record", key, value)
	}
	if !dns.IsSubDomain(origin, rr.Header().Name) {
		return nil, fmt.Errorf("%q: the name is not in the zone", key)
	}
	return rr, nil
}

func (z *zone) add(rr dns.RR) {
	name := canonical(rr.Header().Name)
	for n := name; ; n = parent(n) { // names in between exist as well (RFC 1034 §4.3.2)
		if z.nodes[n] == nil {
			z.nodes[n] = map[uint16][]dns.RR{}
		}
		if n == z.origin || n == "." {
			break
		}
	}
	z.nodes[name][rr.Header().Rrtype] = append(z.nodes[name][rr.Header().Rrtype], rr)
}

// find returns the zone that name belongs to, nil if it is foreign.
func (s zoneSet) find(name string) *zone {
	for n := name; ; n = parent(n) {
		if z := s[n]; z != nil {
			return z
		}
		if n == "." {
			return nil
		}
	}
}

// node returns the records at name, from a wildcard if there is one for it (RFC 1034 §4.3.3).
func (z *zone) node(name string) (records map[uint16][]dns.RR, exists bool) {
	if records, exists = z.nodes[name]; exists {
		return records, true
	}
	encloser := parent(name)
	for z.nodes[encloser] == nil {
		encloser = parent(encloser)
	}
	wild, ok := z.nodes[join("*", encloser)]
	if !ok {
		return nil, false
	}
	records = map[uint16][]dns.RR{}
	for kind, rrs := range wild {
		for _, rr := range rrs {
			rr = dns.Copy(rr)
			rr.Header().Name = name
			records[kind] = append(records[kind], rr)
		}
	}
	return records, true
}

// answer fills reply with what the zones know about the question. open is a name outside the zones that a CNAME led to, or
// the question's own name if it is foreign; else it is empty and reply is complete.
func (s zoneSet) answer(reply *dns.Msg, q dns.Question) (open string) {
	name := canonical(q.Name)
	for range chaseLimit {
		z := s.find(name)
		if z == nil {
			return name
		}
		reply.Authoritative = true
		records, exists := z.node(name)
		if !exists {
			// RFC 2308 §2.1: with a chain of CNAMEs the code tells about its last name.
			reply.Rcode = dns.RcodeNameError
			reply.Ns = []dns.RR{z.soa}
			return ""
		}
		if rrs := records[q.Qtype]; len(rrs) > 0 {
			reply.Answer = append(reply.Answer, rrs...)
			s.addresses(reply, rrs)
			return ""
		}
		alias, ok := first(records[dns.TypeCNAME]).(*dns.CNAME)
		if !ok {
			reply.Ns = []dns.RR{z.soa} // RFC 2308 §2.2: the name exists, the type does not
			return ""
		}
		reply.Answer = append(reply.Answer, alias)
		name = canonical(alias.Target)
	}
	reply.Rcode = dns.RcodeServerFailure
	return ""
}

// addresses adds the addresses of the targets of SRV records (RFC 2782: "Additional Data"), as far as the zones know them.
func (s zoneSet) addresses(reply *dns.Msg, rrs []dns.RR) {
	for _, rr := range rrs {
		srv, ok := rr.(*dns.SRV)
		if !ok {
			continue
		}
		target := canonical(srv.Target)
		z := s.find(target)
		if z == nil {
			continue
		}
		records, _ := z.node(target)
		for _, kind := range []uint16{dns.TypeA, dns.TypeAAAA} {
			for _, address := range records[kind] {
				if !slices.ContainsFunc(reply.Extra, func(have dns.RR) bool { return dns.IsDuplicate(have, address) }) {
					reply.Extra = append(reply.Extra, address)
				}
			}
		}
	}
}

func first(rrs []dns.RR) dns.RR {
	if len(rrs) == 0 {
		return nil
	}
	return rrs[0]
}

// canonical is the form in which names are compared.
func canonical(name string) string { return dns.CanonicalName(name) }

// parent is the name one label up; the root's parent is the root.
func parent(name string) string {
	next, end := dns.NextLabel(name, 0)
	if end {
		return "."
	}
	return name[next:]
}

func join(label, origin string) string {
	if origin == "." {
		return label + "."
	}
	return label + "." + origin
}
