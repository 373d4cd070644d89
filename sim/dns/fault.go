package dns

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/miekg/dns"
)

// Fault is what is wrong with a name server or with some of its names.
type Fault string

// The faults.
const (
	NXDomain Fault = "nxdomain" // the name does not exist, says the server
	ServFail Fault = "servfail" // the server cannot find out
	Refused  Fault = "refused"  // the server does not serve the asker
	Silence  Fault = "silence"  // the question is read and never answered
	Truncate Fault = "truncate" // over UDP every answer is empty and says that it was truncated; TCP works
)

// Faults says which names have a fault. A key is a name, which also means everything below it ("." is everything), or a
// name and a type ("_xmpp-server._tcp.gmail.com SRV"), which means just that. The closest key decides. Names are absolute,
// with or without a dot at the end.
type Faults map[string]Fault

// faultKey is a key of Faults as it is looked up; kind is 0 for a name with everything below it.
type faultKey struct {
	name string
	kind uint16
}

func parseFaults(faults Faults) (map[faultKey]Fault, error) {
	parsed := map[faultKey]Fault{}
	for _, key := range slices.Sorted(maps.Keys(faults)) {
		fault := faults[key]
		if !slices.Contains([]Fault{NXDomain, ServFail, Refused, Silence, Truncate}, fault) {
			return nil, fmt.Errorf("sim/dns: fault of %q: there is no fault %q", key, fault)
		}
		name, kind, typed := strings.Cut(key, " ")
		k := faultKey{name: canonical(name)}
		if typed {
			var ok bool
			if k.kind, ok = dns.StringToType[strings.ToUpper(kind)]; !ok {
				return nil, fmt.Errorf("sim/dns: fault of %q: there is no record type %q", key, kind)
			}
		}
		parsed[k] = fault
	}
	return parsed, nil
}

// faultFor returns the fault that a question meets, empty if none.
func faultFor(faults map[faultKey]Fault, q dns.Question) Fault {
	name := canonical(q.Name)
	if f, ok := faults[faultKey{name, q.Qtype}]; ok {
		return f
	}
	for {
		if f, ok := faults[faultKey{name, 0}]; ok {
			return f
		}
		if name == "." {
			return ""
		}
		name = parent(name)
	}
}
