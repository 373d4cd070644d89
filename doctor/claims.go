package doctor

import (
	"fmt"
	"slices"
	"time"
)

// claim is a peer's claim to speak for a domain that the gateway did not believe, and that was not proved since.
type claim struct {
	At        time.Time `json:"at"`
	From      string    `json:"from"`
	Domain    string    `json:"domain"`
	To        string    `json:"to"`
	Reason    string    `json:"reason"`
	Condition string    `json:"condition"`
	Times     int       `json:"times"`
}

// String is the claim in words.
func (c claim) String() string {
	s := fmt.Sprintf("%s claimed to speak for %s to %s: %s", c.From, c.Domain, c.To, c.Reason)
	if c.Condition != "" {
		s += " (" + c.Condition + ")"
	}
	return s + fmt.Sprintf(", %d times, last at %s", c.Times, day(c.At))
}

// refusal is a claim and what it means.
type refusal struct {
	claim
	code string
	why  string // further evidence; may be empty
}

// judge says what a claim means; nothing if that is found elsewhere.
//
// A wrong key from one of the domain's own servers is their mistake, or somebody between us and them; from anybody else it is a
// forged origin. That the domain's server could not be asked is a finding only while it can be reached otherwise.
func (c claim) judge(farms []*farm) []refusal {
	i := slices.IndexFunc(farms, func(f *farm) bool { return f.domain == c.Domain })
	switch c.Reason {
	case "domain-not-allowed":
		return []refusal{{c, "xmpp.domain-not-allowed", ""}}
	case "not-proven":
		return []refusal{{c, "xmpp.forged-origin", ""}}
	case "key-invalid":
		if i >= 0 && !farms[i].known() {
			return nil // who its servers are cannot be found out
		}
		if i >= 0 && farms[i].has(c.From) {
			return []refusal{{c, "xmpp.dialback", c.From + " is one of the servers that DNS names for " + c.Domain}}
		}
		return []refusal{{c, "xmpp.forged-origin", c.From + " is none of the servers that DNS names for " + c.Domain}}
	case "key-unverified":
		if i >= 0 && farms[i].stream != nil {
			return []refusal{{c, "xmpp.dialback", farms[i].stream.String()}}
		}
	}
	return nil
}

// few is how many claims of one sort are told one by one. More from one machine, or for one domain, are a flood: how many, the first and the last
// say all that there is to be known.
const few = 3

// refusals makes findings of claims: one for each domain, but one for a machine that claims many.
func (x *exam) refusals(all []refusal) {
	slices.SortStableFunc(all, func(a, b refusal) int { return a.At.Compare(b.At) })
	for _, r := range all {
		same := func(o refusal) bool { return o.code == r.code && o.From == r.From }
		if machine := only(all, same); distinct(machine, func(r refusal) string { return r.Domain }) > few {
			x.find(r.code, r.From, flood(machine, r.From+" claimed to speak for %d domains")...)
			continue
		}
		same = func(o refusal) bool { return o.code == r.code && o.Domain == r.Domain }
		if domain := only(all, same); len(domain) > few {
			x.find(r.code, r.Domain, flood(domain, "%d claims to speak for "+r.Domain)...)
			continue
		}
		x.find(r.code, r.Domain, r.String(), r.why)
	}
}

func only(all []refusal, want func(refusal) bool) []refusal {
	return slices.DeleteFunc(slices.Clone(all), func(r refusal) bool { return !want(r) })
}

func distinct(all []refusal, of func(refusal) string) int {
	seen := map[string]bool{}
	for _, r := range all {
		seen[of(r)] = true
	}
	return len(seen)
}

// flood is many claims in few words, the oldest first.
func flood(all []refusal, format string) []string {
	first, last := all[0], all[len(all)-1]
	return []string{
		fmt.Sprintf(format+" that the gateway remembers, the first and the last of which are these", len(all)),
		first.String(), first.why, last.String(), last.why,
	}
}
