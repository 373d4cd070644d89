package scenario

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"fedlab/internal/strictyaml"
)

// The types below read themselves: they have a short form beside the long one, or keep the order of the file.

// UnmarshalNode reads one number or a list of numbers.
func (s *Steps) UnmarshalNode(d *strictyaml.Decoder, n *strictyaml.Node) {
	items := []*strictyaml.Node{n}
	if n.Kind == strictyaml.Sequence {
		items = n.Items
	}
	for _, item := range items {
		var step int
		d.Decode(item, &step)
		*s = append(*s, step)
	}
}

// UnmarshalNode reads a code alone, or {code: …, from: …}.
func (e *Expected) UnmarshalNode(d *strictyaml.Decoder, n *strictyaml.Node) {
	type long Expected
	switch keys := n.Keys(); {
	case n.Kind == strictyaml.Scalar:
		e.Pos, e.Code = n.Pos(), n.Text
	case len(keys) == 1 && strings.Contains(keys[0], "."):
		m := d.At(n.KeyAt(keys[0]), "a finding has to be its code alone, or {code: …, from: …}")
		m.Suggestion = fmt.Sprintf("{code: %s, from: %s}", keys[0], n.Get(keys[0]).Text)
		if n.Get(keys[0]).Text == "" {
			m.Suggestion = keys[0]
		}
	default:
		d.Decode(n, (*long)(e))
	}
}

// UnmarshalNode reads a duration.
func (w *Wait) UnmarshalNode(d *strictyaml.Decoder, n *strictyaml.Node) {
	w.Duration.UnmarshalNode(d, n)
}

// UnmarshalNode keeps the patch.
func (c *Change) UnmarshalNode(d *strictyaml.Decoder, n *strictyaml.Node) {
	c.Pos = n.Pos()
	if d.Expect(n, strictyaml.Mapping) {
		c.Patch = n
	}
}

// UnmarshalNode keeps a code or condition that stands alone: what has to be written in its place depends on whose client shows it.
func (x *ExpectError) UnmarshalNode(d *strictyaml.Decoder, n *strictyaml.Node) {
	type long ExpectError
	if n.Kind == strictyaml.Scalar {
		x.alone = n.Text
		return
	}
	d.Decode(n, (*long)(x))
}

// UnmarshalNode reads a state alone, or {state: …, status: …}.
func (p *ExpectPresence) UnmarshalNode(d *strictyaml.Decoder, n *strictyaml.Node) {
	type long ExpectPresence
	if n.Kind == strictyaml.Scalar {
		n = strictyaml.One("state", n)
	}
	d.Decode(n, (*long)(p))
}

// UnmarshalNode reads a duration as Go writes it.
func (x *Duration) UnmarshalNode(d *strictyaml.Decoder, n *strictyaml.Node) {
	if duration, ok := d.Duration(n); ok {
		*x = Duration(duration)
	}
}

// String is the duration as files have it.
func (x Duration) String() string { return time.Duration(x).String() }

// UnmarshalNode reads one text or a list of texts.
func (v *Values) UnmarshalNode(d *strictyaml.Decoder, n *strictyaml.Node) {
	if n.Kind == strictyaml.Scalar {
		*v = make(Values, 1)
		d.Decode(n, &(*v)[0])
		return
	}
	d.Decode(n, (*[]string)(v))
}

// UnmarshalNode reads a mapping and remembers its order.
func (o *Ordered[T]) UnmarshalNode(d *strictyaml.Decoder, n *strictyaml.Node) {
	if n.Kind == strictyaml.Null {
		return
	}
	d.Decode(n, &o.Values)
	if n.Kind == strictyaml.Mapping {
		o.Keys = n.Keys()
	}
}

// headComment is the comment that a file begins with, as paragraphs without the comment signs.
func headComment(data []byte) string {
	var lines []string
	for line := range strings.Lines(string(data)) {
		comment, ok := strings.CutPrefix(strings.TrimSpace(line), "#")
		if !ok {
			break
		}
		lines = append(lines, strings.TrimPrefix(comment, " "))
	}
	return strings.TrimSpace(strings.Join(lines, "\n"))
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
