package scenario

import (
	"fmt"
	"strings"

	"fedlab/internal/strictyaml"
)

// Members are the users of the crowd on a host, in the order of their numbers; none if it has no crowd.
func (t *Topology) Members(host string) []string {
	h := t.Hosts[host]
	c, domain := (*Crowd)(nil), ""
	switch {
	case h.GoogleTalk != nil:
		c, domain = h.GoogleTalk.Crowd, t.farmDomain()
	case h.Edge != nil && len(h.Edge.Domains) > 0:
		c, domain = h.Edge.Crowd, h.Edge.Domains[0]
	}
	if c == nil || domain == "" {
		return nil
	}
	users := make([]string, max(c.Users, 0))
	for i := range users {
		users[i] = fmt.Sprintf("user%d@%s", i+1, domain)
	}
	return users
}

// farmDomain is the farm's first domain.
func (t *Topology) farmDomain() string {
	for _, name := range sortedKeys(t.Hosts) {
		if g := t.Hosts[name].GoogleTalk; g != nil && len(g.Domains) > 0 {
			return g.Domains[0]
		}
	}
	return ""
}

// side is the crowd of one side.
type side struct {
	crowd *Crowd
	host  string
	names []string
	users map[string]User // of the host
	at    *strictyaml.Node
}

// crowds checks the crowds, and makes their users.
func (c *topologyChecker) crowds() {
	var pool, farm *side
	for _, name := range sortedKeys(c.Hosts) {
		h := c.Hosts[name]
		var place **side
		s := side{host: name, names: c.Members(name)}
		switch {
		case h.GoogleTalk != nil && h.GoogleTalk.Crowd != nil:
			if h.GoogleTalk.Users == nil {
				h.GoogleTalk.Users = map[string]User{}
			}
			s.crowd, s.users, s.at, place = h.GoogleTalk.Crowd, h.GoogleTalk.Users, c.tree.At("hosts", name, "google_talk", "crowd"), &farm
		case h.Edge != nil && h.Edge.Crowd != nil:
			if h.Edge.Users == nil {
				h.Edge.Users = map[string]User{}
			}
			s.crowd, s.users, s.at, place = h.Edge.Crowd, h.Edge.Users, c.tree.At("hosts", name, "edge", "crowd"), &pool
		default:
			continue
		}
		if len(s.names) > 0 {
			_, domain, _ := strings.Cut(s.names[0], "@")
			c.known.crowds = append(c.known.crowds, domain)
		}
		if *place != nil {
			c.At(s.at, "host %s has a crowd as well; one of them has to be enough", (*place).host)
			return
		}
		*place = &s
	}
	switch {
	case pool == nil && farm == nil:
		return
	case pool == nil:
		c.At(farm.at, "a crowd's contacts are the crowd of the other side, and there is none: it needs a crowd of an edge")
		return
	case farm == nil:
		c.At(pool.at, "a crowd's contacts are the crowd of the other side, and there is none: it needs a crowd of a google_talk")
		return
	case len(pool.names) == 0 || len(farm.names) == 0: // told elsewhere
		return
	}
	pairs := pool.crowd.Users * pool.crowd.Contacts
	for _, s := range []*side{pool, farm} {
		other := map[*side]*side{pool: farm, farm: pool}[s]
		if s.crowd.Contacts > other.crowd.Users {
			c.At(s.at.At("contacts"), "%d contacts each need a crowd of at least as many on the other side, which has %d", s.crowd.Contacts, other.crowd.Users)
			return
		}
	}
	if others := farm.crowd.Users * farm.crowd.Contacts; others != pairs {
		m := c.At(farm.at.At("contacts"), "each pair of contacts has to be there on both sides: %d times %d here, and %d times %d on host %s",
			farm.crowd.Users, farm.crowd.Contacts, pool.crowd.Users, pool.crowd.Contacts, pool.host)
		if pairs%farm.crowd.Users == 0 {
			m.Suggestion = fmt.Sprint(pairs / farm.crowd.Users)
		}
		return
	}
	of := map[string][]string{}
	for i := range pairs {
		p, f := pool.names[i/pool.crowd.Contacts], farm.names[i%farm.crowd.Users]
		of[p], of[f] = append(of[p], f), append(of[f], p)
	}
	for _, s := range []*side{pool, farm} {
		for _, name := range s.names {
			if other, twice := c.known.users[name]; twice {
				c.At(s.at, "%s of the crowd is also a user of host %s", name, other)
				return
			}
			c.known.users[name] = s.host
			s.users[name] = User{Contacts: of[name]}
		}
	}
}

// crowd checks a step that is about crowds.
func (c *scenarioChecker) crowd(what, domain string, at *strictyaml.Node) {
	if len(c.known.crowds) == 0 {
		c.At(at, "%s is about crowds, and there are none: it needs a crowd of a google_talk and one of an edge", what)
		return
	}
	for _, known := range c.known.crowds {
		if domain == "" || domain == known {
			return
		}
	}
	c.Unknown(at.At("domain"), "domain of a crowd", domain, c.known.crowds)
}

func (c *scenarioChecker) live(l *Live, at *strictyaml.Node) {
	c.crowd("live", l.Domain, at)
	c.positive(l.For, "for", at.At("for"))
	c.positive(l.Pause, "pause", at.At("pause"))
	if l.Sessions == 0 && l.Changes == 0 {
		c.At(at, "live needs sessions: or changes:, else nothing happens")
	}
	for key, given := range map[string]bool{"messages": l.Messages > 0, "pause": l.Pause != 0, "bytes": l.Bytes > 0, "domain": l.Domain != ""} {
		if given && l.Sessions == 0 {
			c.At(at.KeyAt(key), "%s needs sessions:, which it is about", key)
		}
	}
}

func (c *scenarioChecker) peak(p *Peak, at *strictyaml.Node) {
	c.host(p.At, at.At("at"))
	if h, ok := c.known.topology.Hosts[p.At]; ok && h.GoogleTalk == nil && h.Partner == nil && h.Edge == nil {
		c.At(at.At("at"), "peak needs a host with a fake that counts: a google_talk, a partner or an edge, and %s has none", p.At)
	}
	if strings.ContainsAny(p.Of, " /") {
		c.At(at.At("of"), "a sort of messages has to be one word, such as SUBSCRIBE or presence, not %q", p.Of)
	}
}
