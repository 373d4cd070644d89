package scenario

import (
	"path"
	"slices"
	"strings"

	"fedlab/internal/strictyaml"
)

// changeable is what can change on machines that run, as paths in a topology; "*" is any one key. What stands below changes too.
var changeable = []string{
	"segments/*/link",
	"routers/*/policy", "routers/*/rules", "routers/*/forwards", "routers/*/hairpin", "routers/*/state", "routers/*/silent", "routers/*/clamp_mss",
	"zones",
	"hosts/*/hosts_file", "hosts/*/resolver",
	"hosts/*/certificate", "hosts/*/authorities", "hosts/*/issuing_known", "hosts/*/lists_known",
	"hosts/*/gateway", "hosts/*/dns/faults",
	"hosts/*/google_talk/down", "hosts/*/partner/down",
	"hosts/*/edge/allow", "hosts/*/edge/quirks", "hosts/*/edge/users/*/state",
}

// checkChange reports what a patch on a running deployment, whose tree is given, cannot change.
func checkChange(tree, patch *strictyaml.Node, l *strictyaml.List) {
	var walk func(n *strictyaml.Node, at []string)
	walk = func(n *strictyaml.Node, at []string) {
		for _, e := range n.Entries {
			here := append(slices.Clone(at), e.Key.Text)
			switch whole, part := fits(here); {
			case len(here) == 2 && here[0] != "zones" && tree.Get(here[0]).Get(here[1]) == nil:
				l.Unknown(e.Key, "name in "+here[0], here[1], tree.At(here[0]).Keys())
			case whole:
			case part && e.Value.Kind == strictyaml.Mapping:
				walk(e.Value, here)
			default:
				l.At(e.Key, "%s cannot change while it runs; put it into the patch of a scenario", strings.Join(here, "."))
			}
		}
	}
	walk(patch, nil)
}

// fits reports whether a path can change as a whole, and whether something below it can.
func fits(at []string) (whole, part bool) {
	for _, pattern := range changeable {
		keys := strings.Split(pattern, "/")
		n := min(len(keys), len(at))
		matches := true
		for i := range n {
			ok, err := path.Match(keys[i], strings.ReplaceAll(at[i], "/", "-"))
			matches = matches && err == nil && ok
		}
		if matches {
			whole = whole || len(at) >= len(keys)
			part = part || len(at) < len(keys)
		}
	}
	return whole, part
}
