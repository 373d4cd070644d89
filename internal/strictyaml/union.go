package strictyaml

import "slices"

// Union is one patch that does what two do, each laid over the same tree. It keeps null where [Merge] removes. Where the two set
// the same key to different values there is none: then conflict is the key's path, else it is empty. Either patch may be nil.
func Union(a, b *Node) (both *Node, conflict []string) {
	switch {
	case a == nil:
		return b, nil
	case b == nil || Equal(a, b):
		return a, nil
	case a.Kind != Mapping || b.Kind != Mapping:
		return nil, []string{}
	}
	all := *a
	all.Entries = slices.Clone(a.Entries)
	for _, e := range b.Entries {
		i := all.index(e.Key.Text)
		if i < 0 {
			all.Entries = append(all.Entries, e)
			continue
		}
		value, below := Union(all.Entries[i].Value, e.Value)
		if below != nil {
			return nil, append([]string{e.Key.Text}, below...)
		}
		all.Entries[i].Value = value
	}
	return &all, nil
}

// Equal reports whether two trees say the same, wherever they stand and in whatever order their keys do.
func Equal(a, b *Node) bool {
	if a.Kind != b.Kind || a.Text != b.Text || a.Quoted != b.Quoted || len(a.Entries) != len(b.Entries) {
		return false
	}
	for _, e := range a.Entries {
		if other := b.Get(e.Key.Text); other == nil || !Equal(e.Value, other) {
			return false
		}
	}
	return slices.EqualFunc(a.Items, b.Items, Equal)
}
