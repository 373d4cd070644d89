package googletalk

import (
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"fedlab/internal/network"
	"fedlab/sim/trace"
)

// Config is a farm as a scenario describes it.
type Config struct {
	Hosts    []Host          // the machines; at least one
	Domains  []string        // what the farm serves; default gmail.com and googlemail.com
	Users    []User          // whoever is not here does not exist
	Trace    *trace.Recorder // nil: no trace
	Seed     uint64          // decides what the specifications leave open
	Log      *slog.Logger    // nil: no log
	Quirks   Quirks          // zero: the farm of 2010
	Partner  *Partner        // not Google but a server of version 1.0 with TLS and SASL; nil: Google
	Timeouts Timeouts
}

// Host is one machine of the farm.
type Host struct {
	Name    string          // the machine's name in traces
	Names   []string        // the host names that DNS gives it
	Network network.Network // the network it stands in
	Listen  string          // default ":5269"
	Down    bool            // from the start, nothing listens and nothing is sent from here
	Quirks  *Quirks         // nil: the farm's
}

// User is an account with one person's client, signed in.
type User struct {
	Address  string   // bare: bob@gmail.com
	Contacts []string // bare addresses on the roster, subscribed both ways. Only they may write to the user
	Refuse   string   // the condition that every message to the user comes back with: resource-constraint for a full mailbox
	Receipts bool     // the user's clients confirm messages (XEP-0184); Google's own did not, others on Google accounts did
}

// Timeouts bound each wait. Zero fields have the defaults.
type Timeouts struct {
	Connect time.Duration // one TCP connection attempt; default 30s
	Header  time.Duration // from the connection to the peer's stream header; default 20s
	Setup   time.Duration // from the first message for a domain to the error its sender is shown; default 55s
	Verify  time.Duration // the whole of a verification on behalf of a peer; default 40s
	Write   time.Duration // one write; default 30s
	Close   time.Duration // from our closing tag to the end of the connection; default 5s
}

func (t Timeouts) withDefaults() Timeouts {
	set := func(d *time.Duration, value time.Duration) {
		if *d == 0 {
			*d = value
		}
	}
	set(&t.Connect, 30*time.Second)
	set(&t.Header, 20*time.Second)
	set(&t.Setup, 55*time.Second)
	set(&t.Verify, 40*time.Second)
	set(&t.Write, 30*time.Second)
	set(&t.Close, 5*time.Second)
	return t
}

// check returns c with its defaults and everything folded, or all that is wrong with it.
func (c Config) check() (Config, error) {
	var errs []error
	bad := func(format string, args ...any) {
		errs = append(errs, fmt.Errorf("googletalk: "+format, args...))
	}
	if len(c.Domains) == 0 {
		c.Domains = []string{"gmail.com", "googlemail.com"}
	}
	domains := make([]string, len(c.Domains))
	for i, d := range c.Domains {
		domains[i] = foldDomain(d)
	}
	c.Domains = domains
	if len(c.Hosts) == 0 {
		bad("a farm needs at least one host")
	}
	hosts := append([]Host(nil), c.Hosts...)
	seen := map[string]bool{}
	for i := range hosts {
		h := &hosts[i]
		if h.Quirks == nil {
			h.Quirks = &c.Quirks
		}
		if err := h.Quirks.check(); err != nil {
			bad("host %q: %w", h.Name, err)
		}
		if h.Listen == "" {
			h.Listen = ":5269"
		}
		if h.Network == nil {
			bad("host %q has no network", h.Name)
		}
		for _, name := range append([]string{h.Name}, h.Names...) {
			if seen[strings.ToLower(name)] {
				bad("the name %q stands for two hosts", name)
			}
		}
		for _, name := range append([]string{h.Name}, h.Names...) {
			seen[strings.ToLower(name)] = true
		}
	}
	c.Hosts = hosts
	for _, u := range c.Users {
		a, ok := parseJID(u.Address)
		if !ok || a.local == "" || a.resource != "" {
			bad("user %q is not an address like bob@gmail.com", u.Address)
		} else if !contains(domains, a.domain) {
			bad("user %q is in none of the farm's domains (%s)", u.Address, strings.Join(domains, ", "))
		}
		if _, ok := stanzaConditions[u.Refuse]; u.Refuse != "" && !ok {
			bad("user %s refuses with the unknown condition %q", u.Address, u.Refuse)
		}
		for _, contact := range u.Contacts {
			if k, ok := parseJID(contact); !ok || k.local == "" {
				bad("contact %q of %s is not an address", contact, u.Address)
			}
		}
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	c.Timeouts = c.Timeouts.withDefaults()
	if err := c.Partner.check(); err != nil {
		errs = append(errs, err)
	}
	return c, errors.Join(errs...)
}

func contains(list []string, s string) bool {
	for _, x := range list {
		if x == s {
			return true
		}
	}
	return false
}
