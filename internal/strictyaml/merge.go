package strictyaml

import "fmt"

// Merge lays a patch over a tree, as RFC 7386 lays one JSON document over another: mappings are merged key by key, null
// removes a key, anything else replaces what was there. Neither tree is changed, and each node of the result keeps the
// file and place it was read from; a merged mapping stands where the patch has it.
//
// Removing what is not there changes nothing according to the RFC. It is reported here, because it is a misspelt key.
func Merge(base, patch *Node, l *List) *Node {
	if patch == nil {
		return base
	}
	if patch.Kind != Mapping {
		return patch
	}
	merged := &Node{Kind: Mapping, src: patch.src, line: patch.line, col: patch.col}
	if base != nil && base.Kind == Mapping {
		merged.Entries = append(merged.Entries, base.Entries...)
	}
	for _, e := range patch.Entries {
		i := merged.index(e.Key.Text)
		switch {
		case e.Value.Kind == Null && i < 0:
			m := &Mistake{Pos: e.Key.Pos(), Excerpt: e.Key.src.line(e.Key.line), within: merged}
			m.Message = fmt.Sprintf("null removes %q, but there is none to remove", clip(e.Key.Text))
			m.suggest(e.Key.Text, merged.Keys())
			l.Add(m)
		case e.Value.Kind == Null:
			merged.Entries = append(merged.Entries[:i:i], merged.Entries[i+1:]...)
		case i < 0:
			merged.Entries = append(merged.Entries, Entry{e.Key, Merge(nil, e.Value, l)})
		default:
			merged.Entries[i] = Entry{e.Key, Merge(merged.Entries[i].Value, e.Value, l)}
		}
	}
	return merged
}

// index is the position of a key, or -1.
func (n *Node) index(key string) int {
	for i, e := range n.Entries {
		if e.Key.Text == key {
			return i
		}
	}
	return -1
}
