// Package route says which domain goes to which side of the gateway, and who may write to whom.
//
// It is pure: a [Table] is made once from the configuration's domains, and [Table.Decide] answers for a pair of addresses, with a
// reason for people when the answer is no. What is not in the table is refused: the gateway serves the domains of its
// configuration and nobody else. RFC 8048 §8.2
package route

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"fedlab/gateway/im"
	"fedlab/gateway/translate"
)

// Side is one side of the gateway.
type Side string

// The sides. The zero Side is neither.
const (
	SIP  Side = "sip"
	XMPP Side = "xmpp"
)

// Reason says why a decision is what it is.
type Reason string

// The reasons. All but Served refuse.
const (
	Served    Reason = "served"
	NoPerson  Reason = "no-person"  // an address without a local part: a server, no person
	Foreign   Reason = "foreign"    // the sender's domain is not one that the side he wrote from speaks for
	NotServed Reason = "not-served" // the recipient's domain is in no list
	SameSide  Reason = "same-side"  // both live on the same side: the message would go back where it came from
	WrongSide Reason = "wrong-side" // the sender's domain lives on the other side: a loop, or a forgery
)

// Decision is the answer to one question.
type Decision struct {
	Reason Reason
	To     Side        // where the message goes, if Served
	Group  string      // the name of the recipient's domain group, if Served: the domain that the configuration lists it under
	Why    *im.Failure // what the sender is told, if not Served
}

// Domain is one domain group of a side: a name and the domains that share its route.
type Domain struct {
	Name string
	Also []string
	Side Side
}

// Table knows every domain of the configuration. It is immutable and safe for concurrent use.
type Table struct {
	domains map[string]entry
}

type entry struct {
	side  Side
	group string
}

// New makes a table. It refuses a domain that is none or that stands in it twice, all mistakes in one error.
func New(domains []Domain) (*Table, error) {
	t := &Table{domains: make(map[string]entry)}
	var mistakes []error
	for _, d := range domains {
		for _, name := range append([]string{d.Name}, d.Also...) {
			ascii, err := translate.ParseDomain(name)
			if err != nil {
				mistakes = append(mistakes, fmt.Errorf("%s domain %q: %w", d.Side, name, err))
				continue
			}
			if old, ok := t.domains[ascii]; ok {
				mistakes = append(mistakes, fmt.Errorf("%s domain %q stands also under %s domain %q: a domain has one route", d.Side, name, old.side, old.group))
				continue
			}
			t.domains[ascii] = entry{side: d.Side, group: d.Name}
		}
	}
	if err := errors.Join(mistakes...); err != nil {
		return nil, err
	}
	return t, nil
}

// Side tells where a domain lives. Domains are in lower-case A-labels, as in every [im.Address].
func (t *Table) Side(domain string) (Side, bool) {
	e, ok := t.domains[domain]
	return e.side, ok
}

// Domains lists the domains of a side, groups expanded, sorted.
func (t *Table) Domains(side Side) []string {
	var all []string
	for name, e := range t.domains {
		if e.side == side {
			all = append(all, name)
		}
	}
	slices.Sort(all)
	return all
}

// Decide says whether what came in on a side may go from one address to the other, and where it goes.
func (t *Table) Decide(came Side, from, to im.Address) Decision {
	sender, known := t.domains[from.Domain]
	recipient, served := t.domains[to.Domain]
	switch {
	case !known:
		return refuse(Foreign, im.Forbidden, "%s is not among the domains that may write through this gateway", shown(from))
	case sender.side != came:
		return refuse(WrongSide, im.Forbidden, "%s lives on the %s side, and this came from the %s side", shown(from), sender.side, came)
	case !served:
		return refuse(NotServed, im.RemoteServerNotFound, "%s is not among the domains that this gateway reaches", shown(to))
	case recipient.side == came:
		return refuse(SameSide, im.NotAllowed, "%s and %s both live on the %s side: this gateway would send the message back where it came from", shown(from), shown(to), came)
	case from.Local == "" || to.Local == "":
		return refuse(NoPerson, im.ServiceUnavailable, "messages go from person to person, and one of %q and %q is a domain alone", from, to)
	}
	return Decision{Reason: Served, To: recipient.side, Group: recipient.group}
}

func refuse(r Reason, c im.Condition, format string, args ...any) Decision {
	return Decision{Reason: r, Why: &im.Failure{Condition: c, Text: fmt.Sprintf(format, args...)}}
}

// shown is a domain as it may stand in a text: a stranger chose it.
func shown(a im.Address) string {
	if len(a.Domain) > 253 {
		return strings.ToValidUTF8(a.Domain[:253], "") + "…"
	}
	return a.Domain
}
