package lab

import (
	"cmp"
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"fedlab/lab/report"
	"fedlab/lab/scenario"
	"fedlab/sim/trace"
)

// crowd is what the users of both crowds have said of themselves, and what their clients show. All of it is read from the trace.
type crowd struct {
	follower
	messages ledger
	users    []string                // of both
	contacts map[string][]string     // of each user
	served   map[string]string       // user: host
	watching map[string]bool         // users who are online, so that what their clients show has to be true
	said     map[string]string       // how a user is; nothing while nobody can know it
	last     map[string]string       // how a user was when last heard of
	shown    map[conversation]string // how from is, as the client of to shows it
	wrong    map[conversation]bool   // where it is not how from is
	written  int                     // messages that users of the crowds wrote, for their numbers
}

func newCrowd(t *scenario.Topology, r *trace.Recorder) *crowd {
	c := &crowd{contacts: map[string][]string{}, served: map[string]string{}, last: map[string]string{}}
	for _, host := range sorted(t.Hosts) {
		users := map[string]scenario.User{}
		if g := t.Hosts[host].GoogleTalk; g != nil {
			users = g.Users
		}
		if e := t.Hosts[host].Edge; e != nil {
			users = e.Users
		}
		for _, name := range t.Members(host) {
			c.users = append(c.users, name)
			c.served[name], c.contacts[name] = host, users[name].Contacts
		}
	}
	c.begin()
	c.follower = follower{trace: r, enter: c.enter, forget: c.begin}
	return c
}

// begin forgets everything that was seen.
func (c *crowd) begin() {
	c.messages = ledger{}
	c.watching, c.said, c.shown, c.wrong = map[string]bool{}, map[string]string{}, map[conversation]string{}, map[conversation]bool{}
}

// enter notes an event.
func (c *crowd) enter(e trace.Event) {
	c.messages.enter(e)
	if e.Layer != trace.Client || e.Item.Type != trace.Presence {
		return
	}
	switch {
	case e.Kind == trace.Sent && c.contacts[e.From] != nil:
		c.said[e.From], c.last[e.From], c.watching[e.From] = e.Item.State, e.Item.State, e.Item.State != gone
		c.look(e.From)
	case e.Kind == trace.Received && c.contacts[e.From] != nil:
		c.shown[conversation{e.From, e.To}] = e.Item.State
		c.compare(conversation{e.From, e.To})
	}
}

const gone = "unavailable"

// look compares everything that has to do with a user.
func (c *crowd) look(user string) {
	for _, other := range c.contacts[user] {
		c.compare(conversation{user, other})
		c.compare(conversation{other, user})
	}
}

// compare says of one pair whether what is shown is true.
func (c *crowd) compare(p conversation) {
	if c.watching[p.to] && c.said[p.from] != "" && cmp.Or(c.shown[p], gone) != c.said[p.from] {
		c.wrong[p] = true
	} else {
		delete(c.wrong, p)
	}
}

// down notes that a host does not run: of its users nobody knows how they are, and their clients show nothing.
func (c *crowd) down(t *scenario.Topology, host string) {
	if t.Hosts[host].Edge == nil { // a farm goes on with its other machines, and remembers
		return
	}
	c.catchUp()
	for user, on := range c.served {
		if on != host {
			continue
		}
		delete(c.said, user)
		delete(c.watching, user)
		for _, other := range c.contacts[user] {
			delete(c.shown, conversation{other, user})
		}
		c.look(user)
	}
}

// of are the users of a domain, or all, in the order of their numbers.
func (c *crowd) of(domain string) []string {
	return slices.DeleteFunc(slices.Clone(c.users), func(user string) bool { return domain != "" && !strings.HasSuffix(user, "@"+domain) })
}

// each does something for every user of a domain, evenly over a time.
func (p *play) each(ctx context.Context, domain string, over scenario.Duration, do func(user string) error) error {
	users := p.crowd.of(domain)
	began := time.Now()
	for i, user := range users {
		if err := pause(ctx, time.Until(began.Add(time.Duration(over)*time.Duration(i)/time.Duration(len(users))))); err != nil {
			return err
		}
		if err := do(user); err != nil {
			return fmt.Errorf("%s: %w", user, err)
		}
	}
	return nil
}

func (p *play) arrive(ctx context.Context, a *scenario.Arrive) error {
	p.crowd.catchUp()
	return p.each(ctx, a.Domain, a.Over, func(user string) error {
		state := p.crowd.last[user]
		if state == "" || state == gone {
			state = "available"
		}
		if err := p.shows(ctx, user, state); err != nil || p.scenario.Deployed.Hosts[p.crowd.served[user]].Edge == nil {
			return err
		}
		for _, contact := range p.crowd.contacts[user] {
			if err := p.world.People(ctx, &scenario.Step{Subscribe: &scenario.Subscription{From: user, To: contact}}); err != nil {
				return err
			}
		}
		return nil
	})
}

func (p *play) leave(ctx context.Context, l *scenario.Leave) error {
	return p.each(ctx, l.Domain, l.Over, func(user string) error { return p.shows(ctx, user, gone) })
}

func (p *play) shows(ctx context.Context, user, state string) error {
	return p.world.People(ctx, &scenario.Step{Presence: &scenario.Presence{User: user, State: state}})
}

// deed is something that a user does at some time of a life.
type deed struct {
	at time.Duration
	do func() error
}

const defaultPause = 20 * time.Second

// live lets the crowds live. Everything is drawn before, so that it does not depend on what happens.
func (p *play) live(ctx context.Context, l *scenario.Live) error {
	p.crowd.catchUp()
	whole := time.Duration(l.For)
	draw := func(n int) []time.Duration {
		all := make([]time.Duration, int(float64(n)*whole.Hours()+0.5))
		for i := range all {
			all[i] = time.Duration(p.random.Int64N(int64(whole)))
		}
		return all
	}
	var deeds []deed
	for _, user := range p.crowd.of(l.Domain) {
		for _, at := range draw(l.Sessions) {
			deeds = append(deeds, p.conversation(ctx, l, user, at)...)
		}
	}
	for _, user := range p.crowd.of("") {
		changes, state := draw(l.Changes), p.crowd.last[user]
		slices.Sort(changes)
		for _, at := range changes {
			others := slices.DeleteFunc([]string{"available", "away", "dnd"}, func(s string) bool { return s == state })
			state = others[p.random.IntN(len(others))]
			deeds = append(deeds, deed{at, p.change(ctx, user, state)})
		}
	}
	slices.SortStableFunc(deeds, func(a, b deed) int { return cmp.Compare(a.at, b.at) })
	began := time.Now()
	for _, d := range deeds {
		if err := pause(ctx, time.Until(began.Add(d.at))); err != nil {
			return err
		}
		if err := d.do(); err != nil {
			return err
		}
	}
	return pause(ctx, time.Until(began.Add(whole)))
}

func (p *play) change(ctx context.Context, user, state string) func() error {
	return func() error { return p.shows(ctx, user, state) }
}

// conversation is what a user and one of the contacts write to each other.
func (p *play) conversation(ctx context.Context, l *scenario.Live, user string, at time.Duration) []deed {
	contacts := p.crowd.contacts[user]
	from, to := user, contacts[p.random.IntN(len(contacts))]
	var deeds []deed
	for range max(l.Messages, 1) {
		p.crowd.written++
		body := filled(fmt.Sprintf("No. %08d.", p.crowd.written), l.Bytes)
		s := &scenario.Send{From: from, To: to, Body: body}
		deeds = append(deeds, deed{at, func() error { return p.world.Send(ctx, s, body) }})
		from, to = to, from
		at += cmp.Or(time.Duration(l.Pause), defaultPause)
	}
	return deeds
}

// filled is a text with more words behind it, until it has so many bytes.
func filled(text string, bytes int) string {
	const words = " Nothing else is new here, so that this is only as long as people write."
	for len(text) < bytes {
		text += words[:min(len(words), bytes-len(text))]
	}
	return strings.TrimSpace(text)
}

// agree waits until what the clients show is true.
func (p *play) agree(ctx context.Context, a *scenario.Agree) error {
	ctx, cancel := context.WithTimeout(ctx, within(a.Within))
	defer cancel()
	c := p.crowd
	for {
		c.catchUp()
		open, wrong := c.messages.open, len(c.wrong)
		if a.About == "presence" {
			open = 0
		}
		if a.About == "messages" {
			wrong = 0
		}
		switch returned := c.messages.returned; {
		case a.About != "presence" && returned > a.Returned:
			return fmt.Errorf("expected that at most %d messages are returned, and %d of %d were%s", a.Returned, returned, c.messages.most,
				before(p.world.Trace().Events(), p.world.Trace().Len()))
		case open == 0 && wrong == 0:
			return nil
		}
		if c.more(ctx) {
			continue
		}
		return fmt.Errorf("expected within %v that what everybody is shown is true; %d of %d messages are neither shown nor returned, and %d of %d times somebody is not seen as he is%s%s",
			within(a.Within), open, c.messages.most, wrong, c.pairs(), c.examples(wrong), before(p.world.Trace().Events(), p.world.Trace().Len()))
	}
}

// pairs is how often somebody's client shows somebody.
func (c *crowd) pairs() int {
	n := 0
	for _, contacts := range c.contacts {
		n += len(contacts)
	}
	return n
}

// examples are some of what is not true.
func (c *crowd) examples(wrong int) string {
	if wrong == 0 {
		return ""
	}
	var pairs []conversation
	for p := range c.wrong {
		pairs = append(pairs, p)
	}
	slices.SortFunc(pairs, byNames)
	var lines []string
	for _, p := range pairs[:min(len(pairs), 3)] {
		lines = append(lines, fmt.Sprintf("%s sees %s as %s, who is %s", p.to, p.from, cmp.Or(c.shown[p], "nothing"), c.said[p.from]))
	}
	return ": " + strings.Join(lines, "; ")
}

// peak judges how many messages of a sort have come.
func (p *play) peak(k *scenario.Peak) error {
	layer := trace.XMPP
	if p.scenario.Deployed.Hosts[k.At].Edge != nil {
		layer = trace.SIP
	}
	since := p.peaked
	p.peaked = time.Now()
	c := p.world.Trace().Count(trace.Tally{Layer: layer, Kind: trace.Received, Host: k.At, Word: k.Of}, since)
	switch {
	case c.Total < max(k.Total, 1):
		return fmt.Errorf("expected at least %d %s at %s, and there were %d", max(k.Total, 1), k.Of, k.At, c.Total)
	case c.Peak > k.Most:
		return fmt.Errorf("expected at most %d %s a second at %s, and there were %d at %s", k.Most, k.Of, k.At, c.Peak, c.At.UTC().Format("15:04:05"))
	}
	return nil
}

// figures are what was counted in a run with crowds.
func (c *crowd) figures() report.View {
	c.catchUp()
	var b strings.Builder
	fmt.Fprintf(&b, "%d users, %d times somebody on somebody's contact list\n", len(c.contacts), c.pairs())
	fmt.Fprintf(&b, "%d messages, %d of them returned\n\n", c.messages.most, c.messages.returned)
	all := c.trace.Tallies()
	var tallies []trace.Tally
	for t := range all {
		tallies = append(tallies, t)
	}
	slices.SortFunc(tallies, func(a, b trace.Tally) int {
		return cmp.Or(strings.Compare(a.Host, b.Host), strings.Compare(a.Kind, b.Kind), all[b].Total-all[a].Total, strings.Compare(a.Word, b.Word))
	})
	fmt.Fprintf(&b, "%-10s %-10s %-16s %10s %14s\n", "host", "", "", "in all", "most a second")
	for _, t := range tallies {
		fmt.Fprintf(&b, "%-10s %-10s %-16s %10d %14d\n", t.Host, t.Kind, t.Word, all[t].Total, all[t].Peak)
	}
	return report.View{Title: "what was counted", Text: b.String()}
}

// newRandom is the source of everything that crowds do by chance.
func newRandom(seed uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, 0xc20d)) }
