package report

import (
	"fmt"
	"html"
	"slices"
	"strings"
)

// Network is what was deployed, as a picture: segments as bars, machines hanging between them.
type Network struct {
	Segments []Segment
	Nodes    []Node
}

// Segment is one bar.
type Segment struct {
	Name   string
	Prefix string
}

// Node is one machine.
type Node struct {
	Name    string
	Role    string            // gateway, Access Edge, Google Talk, name server, router; empty for a bare host
	On      map[string]string // segment: address
	Lines   []string          // names, forwards, rules: what one has to know of it
	Planted bool              // the scenario differs from its topology here
	Path    bool              // a message passed through
	Stopped bool              // a message got no further
}

// The geometry of the picture, in pixels.
const (
	nodeWidth  = 200
	nodeGap    = 14
	lineHeight = 15
	barHeight  = 22
	barGap     = 26 // between a bar and the machines
)

// placed is a machine with its place.
type placed struct {
	Node
	x, y, height int
	between      int // it stands below this segment
}

// layout places the machines in one row below the first of their segments, so that lines to further segments go straight
// down and cross no box. It returns where each segment's bar is, and the size of the picture.
func (n Network) layout() (nodes []placed, bars []int, width, height int) {
	index := func(segment string) int {
		return slices.IndexFunc(n.Segments, func(s Segment) bool { return s.Name == segment })
	}
	rows := make([][]placed, len(n.Segments))
	for _, node := range n.Nodes {
		first := len(n.Segments) - 1
		for segment := range node.On {
			if i := index(segment); i >= 0 {
				first = min(first, i)
			}
		}
		if first < 0 {
			continue
		}
		rows[first] = append(rows[first], placed{Node: node, height: (2 + len(node.Lines) + len(node.On)) * lineHeight, between: first})
	}
	y := 0
	var wires []int // x of lines that go further down
	for i := range n.Segments {
		bars = append(bars, y)
		y += barHeight + barGap
		tallest := 0
		// Machines that reach further down stand to the right of all that do not.
		slices.SortStableFunc(rows[i], func(a, b placed) int { return len(a.On) - len(b.On) })
		x := 0
		var down []int
		for _, p := range rows[i] {
			for slices.ContainsFunc(wires, func(w int) bool { return w >= x-nodeGap/2 && w <= x+nodeWidth+nodeGap/2 }) {
				x += nodeWidth + nodeGap // no line crosses a box
			}
			p.x, p.y = x, y
			for k, segment := range sortedKeys(p.On) {
				if index(segment) > i {
					down = append(down, wireX(x, k))
				}
			}
			x += nodeWidth + nodeGap
			tallest = max(tallest, p.height)
			width = max(width, x)
			nodes = append(nodes, p)
		}
		wires = append(wires, down...)
		y += tallest + barGap
	}
	return nodes, bars, max(width, nodeWidth+nodeGap), y
}

// wireX is where the line to a machine's kth segment meets the machine, which stands at x.
func wireX(x, k int) int { return x + 30 + 40*k }

// SVG draws the picture.
func (n Network) SVG() string {
	nodes, bars, width, height := n.layout()
	var b strings.Builder
	fmt.Fprintf(&b, `<svg class="network" xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" viewBox="0 0 %d %d" role="img" aria-label="The deployment: %s">`+"\n",
		width, height, width, height, html.EscapeString(n.words()))
	for _, p := range nodes {
		for k, segment := range sortedKeys(p.On) {
			i := slices.IndexFunc(n.Segments, func(s Segment) bool { return s.Name == segment })
			if i < 0 {
				continue
			}
			x := wireX(p.x, k)
			from, to := bars[i]+barHeight, p.y
			if i > p.between {
				from, to = p.y+p.height, bars[i]
			}
			fmt.Fprintf(&b, `<line class="wire" x1="%d" y1="%d" x2="%d" y2="%d"/>`+"\n", x, from, x, to)
		}
	}
	for i, s := range n.Segments {
		fmt.Fprintf(&b, `<g class="segment"><rect x="0" y="%d" width="%d" height="%d" rx="4"/><text x="10" y="%d">%s  %s</text></g>`+"\n",
			bars[i], width, barHeight, bars[i]+15, html.EscapeString(s.Name), html.EscapeString(s.Prefix))
	}
	for _, p := range nodes {
		class := "node"
		for _, mark := range []struct {
			on   bool
			name string
		}{{p.Planted, "planted"}, {p.Path, "path"}, {p.Stopped, "stopped"}} {
			if mark.on {
				class += " " + mark.name
			}
		}
		fmt.Fprintf(&b, `<g class="%s"><rect x="%d" y="%d" width="%d" height="%d" rx="6"/>`, class, p.x, p.y, nodeWidth, p.height)
		text := func(i int, class, s string) {
			fmt.Fprintf(&b, `<text class="%s" x="%d" y="%d">%s</text>`, class, p.x+10, p.y+18+i*lineHeight, html.EscapeString(clip(s, (nodeWidth-14)/7)))
		}
		head := p.Name
		if p.Role != "" {
			head += " · " + p.Role
		}
		text(0, "name", head)
		i := 1
		for _, segment := range sortedKeys(p.On) {
			text(i, "address", p.On[segment])
			i++
		}
		for _, line := range p.Lines {
			text(i, "line", line)
			i++
		}
		b.WriteString("</g>\n")
	}
	b.WriteString("</svg>\n")
	return b.String()
}

// words is the picture for those who cannot see it.
func (n Network) words() string {
	var parts []string
	for _, node := range n.Nodes {
		s := node.Name
		if node.Role != "" {
			s += " (" + node.Role + ")"
		}
		var at []string
		for _, segment := range sortedKeys(node.On) {
			at = append(at, segment+" "+node.On[segment])
		}
		parts = append(parts, s+" on "+strings.Join(at, ", "))
	}
	return strings.Join(parts, "; ")
}

func sortedKeys(m map[string]string) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
