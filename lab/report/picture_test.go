package report

import (
	"bytes"
	"encoding/xml"
	"io"
	"slices"
	"strings"
	"testing"
	"time"
)

var deployment = Network{
	Segments: []Segment{{"internet", "0.0.0.0/0"}, {"perimeter", "10.11.12.0/24"}, {"corporate", "10.10.0.0/16"}},
	Nodes: []Node{
		{Name: "talk0", Role: "Google Talk", On: map[string]string{"internet": "74.125.45.125"}, Lines: []string{"xmpp-server.l.google.com"}},
		{Name: "firewall", Role: "router", On: map[string]string{"internet": "12.34.56.78", "perimeter": "10.11.12.1"}, Stopped: true},
		{Name: "xmpp", Role: "gateway", On: map[string]string{"perimeter": "10.11.12.40"}, Path: true, Planted: true},
		{Name: "edge", Role: "Access Edge", On: map[string]string{"perimeter": "10.11.12.33", "corporate": "10.10.10.50"}},
		{Name: "pool", On: map[string]string{"corporate": "10.10.10.20"}},
		{Name: "dc", On: map[string]string{"corporate": "10.10.10.21"}},
	},
}

var messages = Ladder{
	Lanes: []Lane{{"talk0", "Google Talk"}, {"firewall", "router"}, {"xmpp", "xmpp.jds.local"}},
	Arrows: []Arrow{
		{0, 0, 0, "client", `bob sends "<b>"`, "", false},
		{20 * time.Millisecond, 0, 1, "tcp", "SYN", "", false},
		{21 * time.Millisecond, 1, 1, "router", "dropped: no-answers", "rule no-answers", true},
		{time.Second, 0, 1, "tcp", "SYN", "", false},
		{2 * time.Second, 0, 1, "tcp", "SYN", "", false},
		{40 * time.Second, 0, 2, "xmpp", "stream", "<stream:stream>", false},
	},
}

func TestNoLineCrossesABoxAndNoBoxAnother(t *testing.T) {
	nodes, bars, _, _ := deployment.layout()
	for i, a := range nodes {
		for _, b := range nodes[i+1:] {
			if a.x < b.x+nodeWidth && b.x < a.x+nodeWidth && a.y < b.y+b.height && b.y < a.y+a.height {
				t.Errorf("%s and %s overlap", a.Name, b.Name)
			}
		}
		for k, segment := range sortedKeys(a.On) {
			reach := slices.IndexFunc(deployment.Segments, func(s Segment) bool { return s.Name == segment })
			if reach <= a.between {
				continue
			}
			for _, b := range nodes {
				if x := wireX(a.x, k); b.between > a.between && b.between < reach && x >= b.x && x <= b.x+nodeWidth {
					t.Errorf("the line of %s to %s crosses %s", a.Name, segment, b.Name)
				}
			}
		}
	}
	if len(bars) != 3 || !slices.IsSorted(bars) {
		t.Errorf("bars at %v", bars)
	}
}

func TestRepeatsAreFoldedAndSilencesCut(t *testing.T) {
	rows, _ := messages.layout()
	var got []string
	for _, r := range rows {
		switch {
		case r.silence > 0:
			got = append(got, "silence "+short(r.silence))
		case r.times > 1:
			got = append(got, r.arrow.Label+" twice")
		default:
			got = append(got, r.arrow.Label)
		}
	}
	want := []string{`bob sends "<b>"`, "SYN", "dropped: no-answers", "SYN twice", "silence 38.0s", "stream"}
	if !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
}

func TestPicturesAreXMLAndEscaped(t *testing.T) {
	ladder, details := messages.SVG()
	for _, svg := range []string{ladder, deployment.SVG()} {
		for d := xml.NewDecoder(strings.NewReader(svg)); ; {
			if _, err := d.Token(); err == io.EOF {
				break
			} else if err != nil {
				t.Fatalf("%v in %s", err, svg)
			}
		}
	}
	if strings.Count(ladder, "data-row=") != len(details) {
		t.Errorf("%d details for %d arrows", len(details), strings.Count(ladder, "data-row="))
	}
}

func TestPageLoadsNothing(t *testing.T) {
	var b bytes.Buffer
	p := Page{Run: runs[2], Story: "A story with </script> in it", Network: deployment, Ladder: messages,
		Findings: []Finding{{Code: "net.refused", Severity: "error", From: "outside", Subject: "12.34.56.78:5269", Evidence: []string{"connection refused"}, Meaning: "m", Remedy: "r", Steps: []int{3}}},
		Views:    []View{{"netstat -ano on xmpp", "  TCP  0.0.0.0:5061"}}, Captures: []string{"world.pcapng"}}
	if err := p.HTML(&b); err != nil {
		t.Fatal(err)
	}
	for _, forbidden := range []string{"http://", "https://", "src=", "@import", "A story with </script>"} {
		if strings.Contains(strings.ReplaceAll(b.String(), "http://www.w3.org/2000/svg", ""), forbidden) {
			t.Errorf("the page contains %s", forbidden)
		}
	}
	for _, wanted := range []string{"net.refused", "connection refused", "world.pcapng", "netstat -ano on xmpp", "--seed 1 ports/5269-rejected"} {
		if !strings.Contains(b.String(), wanted) {
			t.Errorf("the page lacks %s", wanted)
		}
	}
}
