package strictyaml

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Kind is what a node is.
type Kind int

// The kinds.
const (
	Null Kind = iota // nothing, or the word null
	Scalar
	Mapping
	Sequence
)

// String is the kind in the words that messages use.
func (k Kind) String() string {
	return [...]string{"nothing", "a single value", "a mapping", "a list"}[k]
}

// Node is one value in a file. Nodes are not changed once made; trees share them.
type Node struct {
	Kind    Kind
	Text    string  // of a Scalar: its text, without quotes; of a Null what stands there, if anything
	Quoted  bool    // of a Scalar: it was written in quotes, so it is no number, truth value or null
	Entries []Entry // of a Mapping: in the order of the file
	Items   []*Node // of a Sequence

	src       *source
	line, col int
}

// Entry is one key of a mapping and its value. Key is a Scalar.
type Entry struct{ Key, Value *Node }

// source is a file that nodes stand in.
type source struct {
	name  string
	lines []string
}

// line is the text of a line for an excerpt.
func (s *source) line(number int) string {
	if s == nil || number < 1 || number > len(s.lines) {
		return ""
	}
	return strings.ToValidUTF8(strings.TrimRight(s.lines[number-1], "\r"), "�")
}

// Pos is where the node stands. One that was not read from a file, but handed on by another process, stands nowhere.
func (n *Node) Pos() Pos {
	if n.src == nil {
		return Pos{}
	}
	return Pos{n.src.name, n.line, n.col}
}

// Get is the value of a key, or nil.
func (n *Node) Get(key string) *Node {
	if n == nil {
		return nil
	}
	for _, e := range n.Entries {
		if e.Key.Text == key {
			return e.Value
		}
	}
	return nil
}

// At follows a path of keys and list positions ("steps", "2", "send") as far as it leads and returns the node at its end,
// or the last one on the way if the rest is not there.
func (n *Node) At(path ...string) *Node {
	for _, step := range path {
		next := n.Get(step)
		if i, err := strconv.Atoi(step); next == nil && err == nil && i >= 0 && i < len(n.Items) {
			next = n.Items[i]
		}
		if next == nil {
			return n
		}
		n = next
	}
	return n
}

// KeyAt is like At, but returns the key instead of the value where the path ends at one.
func (n *Node) KeyAt(path ...string) *Node {
	if len(path) == 0 {
		return n
	}
	parent := n.At(path[:len(path)-1]...)
	for _, e := range parent.Entries {
		if e.Key.Text == path[len(path)-1] {
			return e.Key
		}
	}
	return parent.At(path[len(path)-1])
}

// Keys is the keys of a mapping, in order.
func (n *Node) Keys() []string {
	keys := make([]string, len(n.Entries))
	for i, e := range n.Entries {
		keys[i] = e.Key.Text
	}
	return keys
}

// Without is the mapping without some of its keys.
func (n *Node) Without(keys ...string) *Node {
	rest := *n
	rest.Entries = slices.DeleteFunc(slices.Clone(n.Entries), func(e Entry) bool { return slices.Contains(keys, e.Key.Text) })
	return &rest
}

// Map is the tree with every scalar and key replaced by what f makes of it; what f returns for a key has to be a scalar.
// The new nodes stand where the old ones did if f copies them with [Node.As].
func (n *Node) Map(f func(n *Node, key bool) *Node) *Node {
	mapped := *n
	switch n.Kind {
	case Null:
		return n
	case Scalar:
		return f(n, false)
	case Sequence:
		mapped.Items = make([]*Node, len(n.Items))
		for i, item := range n.Items {
			mapped.Items[i] = item.Map(f)
		}
	case Mapping:
		mapped.Entries = make([]Entry, len(n.Entries))
		for i, e := range n.Entries {
			mapped.Entries[i] = Entry{f(e.Key, true), e.Value.Map(f)}
		}
	}
	return &mapped
}

// One is a mapping of one key, for short forms that mean one. It stands where its value does.
func One(key string, value *Node) *Node {
	k := *value
	k.Kind, k.Text, k.Quoted, k.Entries, k.Items = Scalar, key, false, nil, nil
	return &Node{Kind: Mapping, src: value.src, line: value.line, col: value.col, Entries: []Entry{{&k, value}}}
}

// As is a scalar with another text at the same place.
func (n *Node) As(text string) *Node {
	other := *n
	other.Text = text
	return &other
}

// Parse reads a file. The name is for messages. An empty file is a Null. When the file is not YAML at all the mistake is on
// the list and the tree is a Null; when parts are refused the tree holds the rest.
func Parse(name string, data []byte, l *List) *Node {
	src := &source{name: name}
	whole := &Node{src: src}
	if len(data) > MaxBytes {
		l.At(whole, "the file has %d bytes; at most %d are read", len(data), MaxBytes)
		return whole
	}
	src.lines = strings.Split(strings.TrimPrefix(string(data), byteOrderMark), "\n")
	whole.line, whole.col = 1, 1
	if m := encodingMistake(src, data); m != nil {
		l.Add(m)
		return whole
	}
	root, second, err := parseYAML(data)
	if err != nil {
		l.Add(syntaxMistake(src, err))
		return whole
	}
	if second != nil {
		at := &Node{src: src, line: second.Line, col: second.Column}
		l.At(at, "a second document begins here; a file holds one")
	}
	if root == nil || len(root.Content) == 0 {
		return whole
	}
	c := converter{src: src, list: l}
	n := c.convert(root.Content[0], 0)
	if c.nodes > MaxNodes {
		l.At(whole, "the file has more than %d values", MaxNodes)
		return whole
	}
	return n
}

// parseYAML returns the first document and, if there is one, the second. The parser reports what it cannot read by
// panicking in places, which is no more than one more way to say so.
func parseYAML(data []byte) (first, second *yaml.Node, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("yaml: %v", r)
		}
	}()
	dec := yaml.NewDecoder(strings.NewReader(string(data)))
	var documents [2]yaml.Node
	for i := range documents {
		if err := dec.Decode(&documents[i]); err != nil {
			if errors.Is(err, io.EOF) {
				break
			}
			return nil, nil, err
		}
		if i == 0 {
			first = &documents[0]
		} else {
			second = &documents[1]
		}
	}
	return first, second, nil
}

// converter makes Nodes of the parser's.
type converter struct {
	src   *source
	list  *List
	nodes int
}

func (c *converter) convert(y *yaml.Node, depth int) *Node {
	n := &Node{src: c.src, line: y.Line, col: y.Column}
	c.nodes++
	if c.nodes > MaxNodes {
		return n
	}
	if depth > MaxDepth {
		c.list.At(n, "nested more than %d deep", MaxDepth)
		return n
	}
	if y.Anchor != "" {
		c.list.At(n, "anchors (&%s) are not understood here; write the value out", clip(y.Anchor))
	}
	if y.Style&yaml.TaggedStyle != 0 {
		c.list.At(n, "tags (%s) are not understood here; leave it out", clip(y.Tag))
	}
	switch y.Kind {
	case yaml.AliasNode:
		c.list.At(n, "aliases (*%s) are not understood here; write the value out", clip(y.Value))
	case yaml.ScalarNode:
		n.Text, n.Quoted = y.Value, y.Style&(yaml.DoubleQuotedStyle|yaml.SingleQuotedStyle|yaml.LiteralStyle|yaml.FoldedStyle) != 0
		if n.Quoted || y.ShortTag() != "!!null" {
			n.Kind = Scalar
		}
	case yaml.SequenceNode:
		n.Kind = Sequence
		for _, item := range y.Content {
			n.Items = append(n.Items, c.convert(item, depth+1))
		}
	case yaml.MappingNode:
		n.Kind = Mapping
		c.mapping(n, y, depth)
	}
	return n
}

func (c *converter) mapping(n *Node, y *yaml.Node, depth int) {
	seen := map[string]int{}
	for i := 0; i+1 < len(y.Content); i += 2 {
		key, value := y.Content[i], y.Content[i+1]
		k := &Node{Kind: Scalar, Text: key.Value, src: c.src, line: key.Line, col: key.Column}
		switch {
		case key.Kind != yaml.ScalarNode:
			c.list.At(k, "a key has to be a single word")
			continue
		case key.ShortTag() == "!!merge":
			c.list.At(k, "merge keys (<<) are not understood here; write the keys out")
			continue
		case seen[key.Value] != 0:
			c.list.At(k, "key %q stands here a second time; the first is on line %d", clip(key.Value), seen[key.Value])
			continue
		}
		seen[key.Value] = key.Line
		c.nodes++
		n.Entries = append(n.Entries, Entry{k, c.convert(value, depth+1)})
	}
}

// clip shortens a stranger's text for a message.
func clip(s string) string {
	const longest = 80
	if runes := []rune(s); len(runes) > longest {
		return string(runes[:longest]) + "…"
	}
	return s
}
