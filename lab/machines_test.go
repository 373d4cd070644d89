package lab

import (
	"bytes"
	"encoding/json"
	"io"
	"log/slog"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"fedlab/doctor"
	"fedlab/internal/strictyaml"
	"fedlab/lab/scenario"
	"fedlab/scenarios"
	"fedlab/sim/googletalk"
	"fedlab/sim/ocsedge"
)

// What a machine is told of a topology is the topology, quirks included.
func TestTopologiesTravel(t *testing.T) {
	library := scenario.Library{FS: scenarios.Files, Dir: "scenarios", Codes: doctor.Codes(), Quirks: Quirks()}
	all, err := library.Load()
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range all {
		data, err := json.Marshal(Order{Do: DoDeploy, Topology: s.Deployed})
		if err != nil {
			t.Fatalf("%s: %v", s.Name, err)
		}
		var o Order
		if err := json.Unmarshal(data, &o); err != nil {
			t.Fatalf("%s: %v", s.Name, err)
		}
		for name, was := range s.Deployed.Hosts {
			is := o.Topology.Hosts[name]
			if was.Edge != nil {
				sameQuirks[ocsedge.Quirks](t, s.Name, was.Edge.Quirks, is.Edge.Quirks)
				edge := *was.Edge
				edge.Quirks = is.Edge.Quirks
				was.Edge = &edge
			}
			if was.GoogleTalk != nil {
				sameQuirks[googletalk.Quirks](t, s.Name, was.GoogleTalk.Quirks, is.GoogleTalk.Quirks)
				sameQuirks[googletalk.Quirks](t, s.Name, was.GoogleTalk.FarmQuirks, is.GoogleTalk.FarmQuirks)
				g := *was.GoogleTalk
				g.Quirks, g.FarmQuirks = is.GoogleTalk.Quirks, is.GoogleTalk.FarmQuirks
				was.GoogleTalk = &g
			}
			if !reflect.DeepEqual(was, is) {
				t.Errorf("%s: host %s is told as %+v, and is %+v", s.Name, name, is, was)
			}
		}
		told := *o.Topology
		told.Hosts = s.Deployed.Hosts
		if !reflect.DeepEqual(&told, s.Deployed) {
			t.Errorf("%s: the deployment without its hosts is told as\n%+v, and is\n%+v", s.Name, told, *s.Deployed)
		}
	}
}

func sameQuirks[Q any](t *testing.T, name string, was, is *strictyaml.Node) {
	t.Helper()
	var a, b Q
	if err := quirks(was, &a); err != nil {
		t.Errorf("%s: %v", name, err)
	}
	if err := quirks(is, &b); err != nil {
		t.Errorf("%s: after the journey: %v", name, err)
	}
	if !reflect.DeepEqual(a, b) {
		t.Errorf("%s: quirks %+v are told as %+v", name, a, b)
	}
}

const oneMachine = `
title: A farm on the loopback
topology: here
steps:
  - telnet: {from: talk, to: "127.0.0.77:5269"}
  - telnet: {from: talk, to: "127.0.0.78:5269"}
  - netstat: {on: talk, port: 1, shows: ESTABLISHED}
`

const here = `
title: One machine
segments:
  loopback: {prefixes: [127.0.0.0/8]}
hosts:
  talk:
    interfaces: {loopback: 127.0.0.77/8}
    google_talk: {names: [talk], domains: [gmail.com], users: {bob@gmail.com: {contacts: [alice@contoso.com]}}}
`

// A machine is driven by lines: it deploys, looks, says what went wrong, and ends with its trace told.
func TestServeMachines(t *testing.T) {
	var problems strictyaml.List
	tree := strictyaml.Parse("here.yaml", []byte(here), &problems)
	var topology scenario.Topology
	strictyaml.Decode(tree, &topology, &problems)
	var s scenario.Scenario
	strictyaml.Decode(strictyaml.Parse("one.yaml", []byte(oneMachine), &problems), &s, &problems)
	if err := problems.Err(); err != nil {
		t.Fatal(err)
	}
	orders := []Order{
		{ID: 1, Do: DoViews},
		{ID: 2, Do: DoDeploy, Own: []string{"talk"}, Topology: &topology},
		{ID: 3, Do: DoLook, Step: &s.Steps[0]},
		{ID: 4, Do: DoLook, Step: &s.Steps[1]},
		{ID: 5, Do: "dance"},
		{ID: 6, Do: DoLook, Step: &s.Steps[2]},
		{ID: 7, Do: DoClose},
	}
	in, lines := io.Pipe()
	out, w := io.Pipe()
	ended := make(chan error, 1)
	go func() {
		err := ServeMachines(t.Context(), in, w, slog.New(slog.DiscardHandler))
		w.Close()
		ended <- err
	}()
	answers := json.NewDecoder(out)
	want := map[int]string{1: "nothing is deployed", 4: "seen: refused", 5: `"dance"`, 6: "on talk; seen of port 1: none"}
	for _, o := range orders {
		data, err := json.Marshal(o)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.Copy(lines, bytes.NewReader(append(data, '\n'))); err != nil {
			t.Fatal(err)
		}
		var a *Answer
		for a == nil {
			var told Told
			if err := answers.Decode(&told); err != nil {
				t.Fatal(err)
			}
			a = told.Answer
		}
		if a.ID != o.ID || (a.Error == "") != (want[o.ID] == "") || !strings.Contains(a.Error, want[o.ID]) {
			t.Errorf("order %d, %s: answer %+v", o.ID, o.Do, a)
		}
		if o.Do == DoLook && (len(a.Views) != 1 || !regexp.MustCompile("^(telnet|netstat)").MatchString(a.Views[0].Title)) {
			t.Errorf("order %d: views %+v", o.ID, a.Views)
		}
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
}
