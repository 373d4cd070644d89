package containers

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"fedlab/lab/scenario"
)

// The script that lays the cables of contoso, held by a golden file: what it does is seen by make e2e-containers.
func TestWiring(t *testing.T) {
	contoso, err := library().Topology("contoso")
	if err != nil {
		t.Fatal(err)
	}
	var machines []cabled
	for _, name := range sorted(contoso.Routers) {
		r := contoso.Routers[name]
		r.State.Established = scenario.Duration(3600e9)
		machines = append(machines, router(name, r))
	}
	for _, name := range []string{"edge", "xmpp", "ns"} {
		machines = append(machines, host(name, contoso.Hosts[name]))
	}
	for i := range machines {
		machines[i].pid = 1000 + i
	}
	corporate := contoso.Segments["corporate"]
	corporate.Link.Down = true
	contoso.Segments["corporate"] = corporate
	got := []byte(wiring(contoso.Segments, machines))
	file := filepath.Join("testdata", "contoso.sh")
	if *update {
		if err := os.WriteFile(file, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestNameFiles(t *testing.T) {
	contoso, err := library().Topology("contoso")
	if err != nil {
		t.Fatal(err)
	}
	h := contoso.Hosts["xmpp"]
	if got, want := string(hostsText(h.HostsFile)), "127.0.0.1 localhost\n10.11.12.33 edge.jds.local\n10.11.12.33 sip.contoso.com\n"; got != want {
		t.Errorf("hosts: %q, want %q", got, want)
	}
	if got, want := string(resolverText(h.Resolver)), "nameserver 10.11.12.10\noptions timeout:5 attempts:2\n"; got != want {
		t.Errorf("resolv.conf: %q, want %q", got, want)
	}
}

// What containers cannot do is said before any is made.
func TestSupport(t *testing.T) {
	fresh := func() *scenario.Topology {
		contoso, err := library().Topology("contoso")
		if err != nil {
			t.Fatal(err)
		}
		return contoso
	}
	if err := support(fresh()); err != nil {
		t.Errorf("contoso: %v", err)
	}
	for want, spoil := range map[string]func(*scenario.Topology){
		"segment internet: loss": func(c *scenario.Topology) {
			s := c.Segments["internet"]
			s.Link.Loss = 0.1
			c.Segments["internet"] = s
		},
		"its name": func(c *scenario.Topology) { c.Segments["a-segment-with-a-long-name"] = scenario.Segment{} },
		"router firewall: another behaviour": func(c *scenario.Topology) {
			r := c.Routers["firewall"]
			r.NAT.Scramble = true
			c.Routers["firewall"] = r
		},
		"rule xmpp-in": func(c *scenario.Topology) {
			rule := c.Routers["firewall"].Rules.Values["xmpp-in"]
			rule.First = 3
			c.Routers["firewall"].Rules.Values["xmpp-in"] = rule
		},
		"host edge: links": func(c *scenario.Topology) {
			h := c.Hosts["edge"]
			h.Links = map[string]scenario.Attachment{"perimeter": {}}
			c.Hosts["edge"] = h
		},
		"hosts talk0 and talk1": func(c *scenario.Topology) {
			h := c.Hosts["talk1"]
			h.Resolver = nil
			c.Hosts["talk1"] = h
		},
	} {
		c := fresh()
		spoil(c)
		if err := support(c); !errors.Is(err, ErrUnsupported) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", want, err)
		}
	}
}
