package scenario

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"fedlab/internal/strictyaml"
)

// row is one scenario of a file: the file's tree with the row's variables in place.
type row struct {
	name string // empty: the file has no rows
	root *strictyaml.Node
}

// otherBraces is a variable as shells and templates write it.
var otherBraces = regexp.MustCompile(`\$?\{\{? *([\w-]+) *\}?\}`)

var variable = regexp.MustCompile(`\$\(([^)]*)\)`)

// expand makes one tree per row of a file, or the tree itself if it has no rows. A row is a mapping with a name and variables;
// $(variable) stands for its value anywhere else in the file. What consists of nothing but $(variable) becomes the value
// itself, be it a number, a list or a mapping.
func expand(root *strictyaml.Node, l *strictyaml.List) []row {
	rows := root.Get(rowsKey)
	if rows == nil {
		for _, e := range root.Entries {
			if e.Value.Kind == strictyaml.Sequence && strictyaml.Nearest(e.Key.Text, []string{rowsKey}) != "" {
				l.Unknown(e.Key, "key", e.Key.Text, []string{rowsKey})
				return nil // what is wrong with its variables follows from that
			}
		}
		return []row{{"", root}}
	}
	rest := root.Without(rowsKey)
	if rows.Kind != strictyaml.Sequence || len(rows.Items) == 0 {
		l.At(rows, "rows has to be a list of mappings, each with a name, not %s", rows.Kind)
		return nil
	}
	var all []row
	seen := map[string]bool{}
	for _, item := range rows.Items {
		name := item.Get("name")
		switch {
		case item.Kind != strictyaml.Mapping || name == nil || name.Kind != strictyaml.Scalar || name.Text == "":
			l.At(item, "a row has to be a mapping with a name, which ends the scenario's name")
			continue
		case strings.ContainsAny(name.Text, "/ \t\n"):
			l.At(name, "the name of a row may hold neither spaces nor slashes")
			continue
		case seen[name.Text]:
			l.At(name, "row %q stands here a second time", name.Text)
			continue
		}
		seen[name.Text] = true
		used := map[string]bool{"name": true}
		before := l.Len()
		tree := rest.Map(func(n *strictyaml.Node, key bool) *strictyaml.Node { return substitute(n, key, item, used, l) })
		for _, e := range item.Entries {
			if !used[e.Key.Text] {
				l.At(e.Key, "nothing in this file uses $(%s)", e.Key.Text)
			}
		}
		if l.Len() == before { // else what is wrong in it follows from that
			all = append(all, row{name.Text, tree})
		}
	}
	return all
}

// substitute replaces the variables in one scalar.
func substitute(n *strictyaml.Node, key bool, variables *strictyaml.Node, used map[string]bool, l *strictyaml.List) *strictyaml.Node {
	if m := otherBraces.FindStringSubmatch(n.Text); m != nil && variables.Get(m[1]) != nil {
		l.At(n, "a variable is written with round brackets, not %s", m[0]).Suggestion = fmt.Sprintf("$(%s)", m[1])
		used[m[1]] = true
	}
	if !strings.Contains(n.Text, "$(") {
		return n
	}
	value := func(name string) *strictyaml.Node {
		v := variables.Get(name)
		if v == nil {
			l.Unknown(n, fmt.Sprintf("variable for row %q:", variables.Get("name").Text), name, variables.Keys())
		}
		used[name] = true
		return v
	}
	if m := variable.FindStringSubmatch(n.Text); m != nil && m[0] == n.Text && !key {
		if v := value(m[1]); v != nil {
			return v
		}
		return n
	}
	return n.As(variable.ReplaceAllStringFunc(n.Text, func(s string) string {
		name := strings.TrimSuffix(strings.TrimPrefix(s, "$("), ")")
		v := value(name)
		if v == nil {
			return s
		}
		if !slices.Contains([]strictyaml.Kind{strictyaml.Scalar, strictyaml.Null}, v.Kind) {
			l.At(n, "$(%s) is %s here and can only stand alone", name, v.Kind)
		}
		return v.Text
	}))
}
