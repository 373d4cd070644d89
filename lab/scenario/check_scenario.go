package scenario

import (
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"fedlab/internal/strictyaml"
)

// scenarioChecker finds steps and expectations that can never be meant.
type scenarioChecker struct {
	*strictyaml.List
	root  *strictyaml.Node
	known known
	codes []string

	stopped map[string]int // host that was stopped or killed, and not started again: in which line
}

func (c *scenarioChecker) findings(findings []Expected, at *strictyaml.Node) {
	seen := map[string]bool{}
	for i, f := range findings {
		here := at.At(strconv.Itoa(i))
		if f.Code != "" && c.codes != nil && !slices.Contains(c.codes, f.Code) {
			c.Unknown(here.At("code"), "finding", f.Code, c.codes)
		}
		if f.Code != "" && seen[f.Code+" "+f.From] {
			c.At(here, "finding %q stands here a second time", f.Code)
		}
		seen[f.Code+" "+f.From] = true
	}
}

func (c *scenarioChecker) step(s *Step, at *strictyaml.Node) {
	if at.Kind != strictyaml.Mapping {
		return
	}
	verbs := slices.DeleteFunc(slices.Clone(at.Entries), func(e strictyaml.Entry) bool {
		return !slices.ContainsFunc(strictyaml.Fields(reflect.TypeFor[Step]()), func(f strictyaml.Field) bool { return f.Key == e.Key.Text })
	})
	switch {
	case len(at.Entries) == 0:
		c.At(at, "a step needs one thing to do or to see, such as wait: 10s")
		return
	case len(verbs) > 1:
		c.At(verbs[1].Key, "a step is one thing to do or to see, and this has %d; begin each with a dash of its own", len(verbs))
		return
	case len(at.Entries) > 1 || len(verbs) == 0: // has been reported
		return
	case verbs[0].Value.Kind == strictyaml.Null:
		c.At(verbs[0].Key, "%s needs what it is about, and nothing stands behind it", verbs[0].Key.Text)
		return
	}
	verb := verbs[0].Value
	c.means(s, verb)
	switch {
	case s.Send != nil:
		c.send(s.Send, verb)
	case s.Expect != nil:
		c.expect(s.Expect, verb)
	case s.Typing != nil:
		c.pair(s.Typing.From, s.Typing.To, verb)
	case s.Close != nil:
		c.pair(s.Close.From, s.Close.To, verb)
		if c.speaksXMPP(s.Close.From) {
			c.At(verb.At("from"), "%s has no session that could be closed; only users of the pool have", s.Close.From)
		}
	case s.Presence != nil:
		c.acts(s.Presence.User, verb.At("user"))
		if h := c.serving(s.Presence.User); s.Presence.Client != "" && h.Edge != nil {
			c.At(verb.KeyAt("client"), "only Gmail's users have several clients here, and %s is not one", s.Presence.User)
		}
	case s.Subscribe != nil:
		c.pair(s.Subscribe.From, s.Subscribe.To, verb)
	case s.Approve != nil:
		c.pair(s.Approve.From, s.Approve.To, verb)
	case s.Deny != nil:
		c.pair(s.Deny.From, s.Deny.To, verb)
	case s.Unsubscribe != nil:
		c.pair(s.Unsubscribe.From, s.Unsubscribe.To, verb)
	case s.Arrive != nil:
		c.crowd("arrive", s.Arrive.Domain, verb)
		c.positive(s.Arrive.Over, "over", verb.At("over"))
	case s.Leave != nil:
		c.crowd("leave", s.Leave.Domain, verb)
		c.positive(s.Leave.Over, "over", verb.At("over"))
	case s.Live != nil:
		c.live(s.Live, verb)
	case s.Agree != nil:
		c.crowd("agree", "", verb)
		c.positive(s.Agree.Within, "within", verb.At("within"))
		if s.Agree.Returned > 0 && s.Agree.About == "presence" {
			c.At(verb.KeyAt("returned"), "returned needs messages, and this is about presence")
		}
	case s.Peak != nil:
		c.peak(s.Peak, verb)
	case s.Wait != nil:
		c.positive(s.Wait.Duration, "wait", verb)
	case s.Cut != nil:
		c.segment(s.Cut.Segment, verb.At("segment"))
	case s.Restore != nil:
		c.segment(s.Restore.Segment, verb.At("segment"))
	case s.Restart != nil:
		c.running(s.Restart.Host, verb.At("host"))
		c.positive(s.Restart.After, "after", verb.At("after"))
		delete(c.stopped, s.Restart.Host)
	case s.Stop != nil:
		c.running(s.Stop.Host, verb.At("host"))
		c.stopped[s.Stop.Host] = at.Pos().Line
	case s.Kill != nil:
		c.running(s.Kill.Host, verb.At("host"))
		c.stopped[s.Kill.Host] = at.Pos().Line
	case s.Start != nil:
		c.running(s.Start.Host, verb.At("host"))
		delete(c.stopped, s.Start.Host)
	case s.Stranger != nil:
		c.stranger(s.Stranger, verb)
	case s.Nslookup != nil:
		c.host(s.Nslookup.On, verb.At("on"))
		if (verb.Get("fails") == nil) == (verb.Get("answer") == nil) {
			c.At(verb, "nslookup needs either answer: or fails:")
		}
	case s.Telnet != nil:
		c.host(s.Telnet.From, verb.At("from"))
		if s.Telnet.To != "" {
			hostPort(c.List, "to", s.Telnet.To, "5269", verb.At("to"))
		}
		c.positive(s.Telnet.Within, "within", verb.At("within"))
	case s.Netstat != nil:
		c.host(s.Netstat.On, verb.At("on"))
		if verb.Get("shows") == nil && verb.Get("none") == nil {
			c.At(verb, "netstat needs shows: or none: with the states of sockets")
		}
	case s.Doctor != nil:
		c.findings(s.Doctor.Findings, verb.At("findings"))
	}
}

// means reports what a user behind a SIP/SIMPLE server has no means for: there are no sessions, and the server decides who watches.
func (c *scenarioChecker) means(s *Step, at *strictyaml.Node) {
	for _, does := range []struct {
		step bool
		user func() string
	}{
		{s.Typing != nil, func() string { return s.Typing.From }}, {s.Close != nil, func() string { return s.Close.From }},
		{s.Approve != nil, func() string { return s.Approve.From }}, {s.Deny != nil, func() string { return s.Deny.From }},
	} {
		if does.step && c.serving(does.user()).ServedBy() == "kamailio" {
			c.At(at.At("from"), "%s has a phone behind kamailio, which can send, publish a presence, subscribe and unsubscribe", does.user())
		}
	}
}

func (c *scenarioChecker) stranger(s *Stranger, at *strictyaml.Node) {
	c.host(s.From, at.At("from"))
	if s.To != "" {
		hostPort(c.List, "to", s.To, "5269", at.At("to"))
	}
	c.address(s.As, at.At("as"))
	c.address(s.Victim, at.At("victim"))
	c.positive(s.Within, "within", at.At("within"))
	if s.Count > 0 && !strings.HasPrefix(s.Try, "flood-") {
		c.At(at.KeyAt("count"), "count is for floods, and %s is none", s.Try)
	}
	ends := append([]string{"closed", "open"}, streamConditions...)
	if s.Ends != "" && !slices.Contains(ends, s.Ends) {
		c.Unknown(at.At("ends"), "end of an attempt", s.Ends, ends)
	}
}

// streamConditions are the conditions of stream errors (RFC 6120 §4.9.3).
var streamConditions = strings.Fields(`bad-format bad-namespace-prefix conflict connection-timeout host-gone host-unknown improper-addressing
	internal-server-error invalid-from invalid-namespace invalid-xml not-authorized not-well-formed policy-violation
	remote-connection-failed reset resource-constraint restricted-xml see-other-host system-shutdown undefined-condition
	unsupported-encoding unsupported-feature unsupported-stanza-type unsupported-version`)

// positive checks a duration that was given.
func (c *scenarioChecker) positive(d Duration, what string, at *strictyaml.Node) {
	if d < 0 || d == 0 && at.Kind == strictyaml.Scalar && strings.HasPrefix(at.Text, "0") {
		c.At(at, "%s has to be more than nothing, not %s", what, d)
	}
}

func (c *scenarioChecker) host(name string, at *strictyaml.Node) {
	if _, ok := c.known.topology.Hosts[name]; name != "" && !ok {
		c.Unknown(at, "host", name, sortedKeys(c.known.topology.Hosts))
	}
}

// running checks a host on which something runs.
func (c *scenarioChecker) running(name string, at *strictyaml.Node) {
	c.host(name, at)
	var running []string
	for _, host := range sortedKeys(c.known.topology.Hosts) {
		if h := c.known.topology.Hosts[host]; h.Gateway != nil || h.GoogleTalk != nil || h.Partner != nil || h.Edge != nil || h.DNS != nil {
			running = append(running, host)
		}
	}
	if _, ok := c.known.topology.Hosts[name]; ok && !slices.Contains(running, name) {
		c.At(at, "nothing runs on host %s that could be stopped or started; what runs is on %s", name, strings.Join(running, ", "))
	}
}

// user checks one who does or sees something: a person with a client.
func (c *scenarioChecker) user(address string, at *strictyaml.Node) {
	if _, ok := c.known.users[address]; address != "" && !ok {
		c.Unknown(at, "user", address, sortedKeys(c.known.users))
	}
}

// acts checks one who does something. Users of the pool are not signed in while their Edge is down; those of the farm have other machines.
func (c *scenarioChecker) acts(user string, at *strictyaml.Node) {
	c.user(user, at)
	if line := c.stopped[c.known.users[user]]; line > 0 && c.serving(user).Edge != nil {
		c.At(at, "%s can do nothing while host %s is stopped, as it is since line %d; write a start: before this", user, c.known.users[user], line)
	}
}

// address checks somebody who may exist or not.
func (c *scenarioChecker) address(address string, at *strictyaml.Node) {
	if address != "" && !isAddress(address) {
		m := c.At(at, "%q is not the address of a user, such as bob@gmail.com", address)
		if lower := strings.ToLower(address); isAddress(lower) {
			m.Suggestion = lower
		}
	}
}

// pair checks two people of whom the first does something.
func (c *scenarioChecker) pair(from, to string, at *strictyaml.Node) {
	c.acts(from, at.At("from"))
	c.address(to, at.At("to"))
}

// serving is the host that serves a user.
func (c *scenarioChecker) serving(user string) Host {
	return c.known.topology.Hosts[c.known.users[user]]
}

// speaksXMPP reports whether a user has an XMPP client.
func (c *scenarioChecker) speaksXMPP(user string) bool {
	h := c.serving(user)
	return h.GoogleTalk != nil || h.Partner != nil
}

func (c *scenarioChecker) segment(name string, at *strictyaml.Node) {
	if _, ok := c.known.topology.Segments[name]; name != "" && !ok {
		c.Unknown(at, "segment", name, sortedKeys(c.known.topology.Segments))
	}
}

func (c *scenarioChecker) send(s *Send, at *strictyaml.Node) {
	c.pair(s.From, s.To, at)
	if edge := c.serving(s.From).Edge; s.Receipt && edge != nil && edge.Quirks.Get("sends_pages") == nil {
		c.At(at.KeyAt("receipt"), "%s has an OCS client, which cannot ask for a receipt; the quirk sends_pages gives it one that can", s.From)
	}
	if s.Via == "" {
		return
	}
	if !slices.Contains(c.known.farm, s.Via) {
		c.Unknown(at.At("via"), "host of the farm", s.Via, c.known.farm)
	}
	if c.serving(s.From).Edge != nil {
		c.At(at.At("via"), "via names a host of the Google Talk farm, and %s is not a user of it", s.From)
	}
}

func (c *scenarioChecker) expect(x *Expect, at *strictyaml.Node) {
	c.user(x.At, at.At("at"))
	c.address(x.From, at.At("from"))
	c.positive(x.Within, "within", at.At("within"))
	kinds := 0
	for _, kind := range []string{"error", "typing", "presence", "subscription", "receipt"} {
		if at.Get(kind) != nil {
			kinds++
		}
	}
	switch {
	case x.At == "":
	case kinds > 1:
		c.At(at, "expect is about one thing that %s is shown, and this names %d; write an expect for each", x.At, kinds)
	case kinds == 0 && at.Get("body") == nil:
		c.At(at, "expect needs what %s is shown: body, error, typing, presence, subscription or receipt", x.At)
	case x.Body != "" && (x.Typing != "" || x.Presence != nil || x.Subscription != ""):
		c.At(at.KeyAt("body"), "only a message, an error or a receipt has a body")
	}
	if x.Count > 0 && x.Body == "" {
		c.At(at.KeyAt("count"), "count needs a body, which the numbers are put behind")
	}
	if x.Error != nil && x.Error.alone != "" {
		m := c.At(at.At("error"), "error has to be {code: …} for a SIP client, {condition: …} for an XMPP client, or {} for any error")
		switch code, err := strconv.Atoi(x.Error.alone); {
		case err != nil:
			m.Suggestion = fmt.Sprintf("{condition: %s}", x.Error.alone)
		case !c.speaksXMPP(x.At):
			m.Suggestion = fmt.Sprintf("{code: %d}", code)
		case conditionFor(code) != "":
			m.Suggestion = fmt.Sprintf("{%s}", conditionFor(code))
		}
	}
	if x.Error != nil && x.Error.Code != 0 && c.speaksXMPP(x.At) {
		c.At(at.At("error", "code"), "%s has an XMPP client, which shows a condition: and no code", x.At).Suggestion = conditionFor(x.Error.Code)
	}
}

// conditionFor is a condition that a SIP status may become (RFC 7247 §7).
func conditionFor(code int) string {
	condition := map[int]string{403: "forbidden", 404: "item-not-found", 408: "remote-server-timeout", 480: "recipient-unavailable", 503: "service-unavailable", 504: "remote-server-timeout"}[code]
	if condition == "" {
		return ""
	}
	return fmt.Sprintf("condition: %s", condition)
}
