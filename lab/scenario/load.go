package scenario

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"fedlab/internal/strictyaml"
)

// Library is a folder of scenarios: FAMILY/NAME.yaml, and the topologies that they are patches on in topologies/NAME.yaml.
type Library struct {
	FS    fs.FS
	Dir   string   // what the folder is called in messages
	Codes []string // the codes that findings can have; nil: any

	// Quirks are structs, by the place of the quirks in a topology: "google_talk" and "edge". The quirks of a topology are
	// checked against their fields; what has no struct here is not checked. They are passed in because the language does not
	// know the fakes.
	Quirks map[string]any
}

// topologies is the folder of a library that holds no scenarios.
const topologies = "topologies"

// outOfDefault are the families that run only if they are asked for: load takes minutes, and peers has real servers, which the virtual network
// cannot run.
var outOfDefault = []string{"load", "peers"}

// ErrNoScenario is returned for a name that no scenario or family has.
var ErrNoScenario = errors.New("scenario: no such scenario")

// Load reads the scenarios that the selectors name, sorted by name and each once. A selector is a name ("dns/srv-missing"; with
// its row if the file has rows), a family ("dns", "dns/", "dns/..." or "dns/…"), or the path of a file, inside the library or not.
// Without selectors it is all but the families load and peers.
//
// All mistakes of all files are returned at once, as a *strictyaml.Errors. A selector that selects nothing is an ErrNoScenario.
func (l Library) Load(selectors ...string) ([]*Scenario, error) {
	r := reader{library: l, topologies: map[string]*strictyaml.Node{}}
	names, err := l.names()
	if err != nil {
		return nil, fmt.Errorf("scenario: cannot read the scenarios in %s: %w", l.Dir, err)
	}
	if len(selectors) == 0 {
		for _, name := range names {
			if !slices.Contains(outOfDefault, path.Dir(name)) {
				selectors = append(selectors, name)
			}
		}
	}
	selected := map[string]*Scenario{}
	var unknown []error
	for _, selector := range selectors {
		found, err := r.selected(selector, names)
		if err != nil {
			unknown = append(unknown, err)
		}
		for _, s := range found {
			selected[s.Name+"\x00"+s.File] = s
		}
	}
	if err := errors.Join(append(unknown, r.list.Err())...); err != nil {
		return nil, err
	}
	var all []*Scenario
	for _, key := range sortedKeys(selected) {
		all = append(all, selected[key])
	}
	return all, nil
}

// Parse reads one scenario file that is not in the library, but uses its topologies. It is more than one scenario if the file has rows.
func (l Library) Parse(file string, data []byte) ([]*Scenario, error) {
	r := reader{library: l, topologies: map[string]*strictyaml.Node{}}
	all := r.parse(nameOf(file), file, data)
	if err := r.list.Err(); err != nil {
		return nil, err
	}
	return all, nil
}

// Topology reads a topology of the library as it is, without any scenario's patch.
func (l Library) Topology(name string) (*Topology, error) {
	r := reader{library: l, topologies: map[string]*strictyaml.Node{}}
	tree := r.topology(name, strictyaml.Parse("topology", []byte(name), &r.list))
	if tree == nil {
		return nil, r.list.Err()
	}
	t, _ := r.check(tree)
	return t, r.list.Err()
}

// names is the names of the scenarios in the library, without rows.
func (l Library) names() ([]string, error) {
	files, err := fs.Glob(l.FS, "*/*.yaml")
	if err != nil {
		return nil, err
	}
	var names []string
	for _, f := range files {
		if !strings.HasPrefix(f, topologies+"/") {
			names = append(names, strings.TrimSuffix(f, ".yaml"))
		}
	}
	if len(names) == 0 {
		return nil, fs.ErrNotExist
	}
	return names, nil
}

// nameOf is FAMILY/NAME of a file anywhere.
func nameOf(file string) string {
	file = strings.TrimSuffix(filepath.ToSlash(file), ".yaml")
	family := path.Base(path.Dir(file))
	if family == "." || family == "/" || family == ".." {
		return path.Base(file)
	}
	return family + "/" + path.Base(file)
}

// reader reads scenarios. It keeps the trees of the topologies, which many scenarios share.
type reader struct {
	library    Library
	list       strictyaml.List
	topologies map[string]*strictyaml.Node // nil while one is being read
	files      map[string][]*Scenario
}

// selected reads what one selector stands for.
func (r *reader) selected(selector string, names []string) ([]*Scenario, error) {
	if strings.HasSuffix(selector, ".yaml") || strings.HasSuffix(selector, ".yml") {
		data, err := os.ReadFile(selector)
		if err != nil {
			return nil, fmt.Errorf("scenario: cannot read %s: %w", selector, err)
		}
		return r.parse(nameOf(selector), selector, data), nil
	}
	family := strings.TrimRight(strings.TrimSuffix(strings.TrimSuffix(selector, "..."), "…"), "/")
	var all []*Scenario
	found := false
	for _, name := range names {
		row, ofRow := strings.CutPrefix(selector, name+"/")
		switch {
		case name == selector, path.Dir(name) == family:
			found = true
			all = append(all, r.named(name)...)
		case ofRow:
			for _, s := range r.named(name) {
				if strings.TrimPrefix(s.Name, name+"/") == row {
					found = true
					all = append(all, s)
				}
			}
		}
	}
	if found {
		return all, nil
	}
	return nil, fmt.Errorf("%w, family or file: %q%s", ErrNoScenario, selector, r.instead(selector, family, names))
}

// instead says what is probably meant by a selector that selects nothing, which may name a family: a family rather than a scenario, and a
// scenario's whole name rather than its last part.
func (r *reader) instead(selector, family string, names []string) string {
	var families, bases []string
	whole := map[string]string{}
	for _, name := range names {
		families, bases = append(families, path.Dir(name)), append(bases, path.Base(name))
		whole[path.Base(name)] = name
	}
	word := strings.TrimPrefix(family, filepath.ToSlash(r.library.Dir)+"/")
	near := strictyaml.Nearest(word, slices.Compact(families))
	if strings.Contains(word, "/") {
		near = cmp.Or(strictyaml.Nearest(word, names), near)
	}
	if near = cmp.Or(near, whole[strictyaml.Nearest(word, bases)]); near != "" {
		return fmt.Sprintf(" (did you mean %q?)", near)
	}
	if info, err := os.Stat(selector); err == nil && info.IsDir() {
		return fmt.Sprintf("; it is a folder of this machine, whose files have to be named: %s", filepath.Join(selector, "*.yaml"))
	}
	return ""
}

// named reads a scenario of the library, once.
func (r *reader) named(name string) []*Scenario {
	if all, done := r.files[name]; done {
		return all
	}
	if r.files == nil {
		r.files = map[string][]*Scenario{}
	}
	file := name + ".yaml"
	data, err := fs.ReadFile(r.library.FS, file)
	if err != nil {
		r.list.Add(&strictyaml.Mistake{Pos: Pos{File: r.shown(file)}, Message: "cannot be read: " + err.Error(), Cause: err})
		return nil
	}
	r.files[name] = r.parse(name, r.shown(file), data)
	return r.files[name]
}

// shown is a library's file as messages call it.
func (r *reader) shown(file string) string {
	return filepath.Join(r.library.Dir, filepath.FromSlash(file))
}

// parse reads a scenario file. Mistakes go to the list.
func (r *reader) parse(name, file string, data []byte) []*Scenario {
	before := r.list.Len()
	root := strictyaml.Parse(file, data, &r.list)
	if root.Kind != strictyaml.Mapping {
		if r.list.Len() == before {
			r.list.At(root, "a scenario has to be a mapping that begins with title: and topology:, not %s", root.Kind)
		}
		return nil
	}
	root = r.patched(root)
	if root == nil {
		return nil
	}
	var all []*Scenario
	for _, row := range expand(root, &r.list) {
		s := &Scenario{Name: name, File: file, Story: headComment(data)}
		if row.name != "" {
			s.Name += "/" + row.name
		}
		strictyaml.Decode(row.root, s, &r.list)
		r.deploy(s, row.root)
		all = append(all, s)
	}
	return all
}

// patched is a scenario's tree without the parts of a topology that belong into its patch and stand beside it, which are reported. A file
// that names no topology is one, and nil.
func (r *reader) patched(root *strictyaml.Node) *strictyaml.Node {
	var scenarios []string
	for _, f := range strictyaml.Fields(reflect.TypeFor[Scenario]()) {
		scenarios = append(scenarios, f.Key)
	}
	var beside []string
	for _, f := range strictyaml.Fields(reflect.TypeFor[Topology]()) {
		if root.Get(f.Key) == nil || slices.Contains(scenarios, f.Key) {
			continue
		}
		if root.Get("topology") == nil {
			r.list.At(root, "this is a topology and no scenario; a scenario needs topology: with the name of one, and steps:")
			return nil
		}
		r.list.At(root.KeyAt(f.Key), "unknown key %q; it belongs one level deeper, into patch", f.Key).Suggestion = fmt.Sprintf("patch: {%s: …}", f.Key)
		beside = append(beside, f.Key)
	}
	return root.Without(beside...)
}

// deploy finds the topology of a scenario, applies the patch, and checks both.
func (r *reader) deploy(s *Scenario, root *strictyaml.Node) {
	at := root.Get("topology")
	if s.Topology == "" || at == nil {
		return
	}
	base := r.topology(s.Topology, at)
	if base == nil {
		return
	}
	if s.Patch != nil && s.Patch.Kind != strictyaml.Mapping && s.Patch.Kind != strictyaml.Null {
		r.list.At(s.Patch, "patch has to be a mapping in the shape of a topology, not %s", s.Patch.Kind)
		return
	}
	tree := base
	if s.Patch != nil && s.Patch.Kind == strictyaml.Mapping {
		tree = strictyaml.Merge(base, r.placed(s.Patch, base), &r.list)
	}
	var known known
	s.Deployed, known = r.check(tree)
	c := scenarioChecker{List: &r.list, root: root, known: known, codes: r.library.Codes, stopped: map[string]int{}}
	for i := range s.Steps {
		c.step(&s.Steps[i], root.At("steps", strconv.Itoa(i)))
		if change := s.Steps[i].Change; change != nil && change.Patch != nil {
			patch := r.placed(change.Patch, tree)
			before := r.list.Len()
			checkChange(tree, patch, &r.list)
			tree = strictyaml.Merge(tree, patch, &r.list)
			if r.list.Len() > before {
				change.Deployed = r.decode(tree) // that the parts do not fit together follows from that
				continue
			}
			change.Deployed, c.known = r.check(tree)
		}
	}
	c.findings(s.Findings, root.At("findings"))
}

// placed is a patch without what stands at the wrong place of it, which is reported: a machine that is not under hosts or routers, and one
// that the deployment does not have and that is too little for a new one.
func (r *reader) placed(patch, base *strictyaml.Node) *strictyaml.Node {
	whole := *patch
	whole.Entries = nil
	for _, e := range patch.Entries {
		kind := e.Key.Text
		for _, k := range []string{"hosts", "routers", "segments"} {
			if base.Get(k).Get(e.Key.Text) != nil && base.Get(e.Key.Text) == nil {
				r.list.At(e.Key, "%s is one of the %s", e.Key.Text, k).Suggestion = fmt.Sprintf("%s: {%s: …}", k, e.Key.Text)
				kind = ""
			}
		}
		if (kind == "hosts" || kind == "routers") && e.Value.Kind == strictyaml.Mapping {
			e.Value = r.known(kind, e.Value, base)
		}
		if kind != "" {
			whole.Entries = append(whole.Entries, e)
		}
	}
	return &whole
}

// known is the machines of a patch without those that are neither in the deployment nor whole.
func (r *reader) known(kind string, machines, base *strictyaml.Node) *strictyaml.Node {
	all := *machines
	all.Entries = nil
	for _, e := range machines.Entries {
		if e.Value.Kind == strictyaml.Mapping && base.Get(kind).Get(e.Key.Text) == nil && e.Value.Get("interfaces") == nil {
			r.list.Unknown(e.Key, "name in "+kind, e.Key.Text, base.Get(kind).Keys())
			continue
		}
		all.Entries = append(all.Entries, e)
	}
	return &all
}

// check decodes and checks the tree of a deployment.
func (r *reader) check(tree *strictyaml.Node) (*Topology, known) {
	t := r.decode(tree)
	return t, checkTopology(t, tree, r.library.Quirks, &r.list)
}

// decode fills a Topology from its tree.
func (r *reader) decode(tree *strictyaml.Node) *Topology {
	var t Topology
	strictyaml.Decode(tree, &t, &r.list)
	return &t
}

// topology is the tree of a topology with what it extends merged into it, or nil. at is where its name stands.
func (r *reader) topology(name string, at *strictyaml.Node) *strictyaml.Node {
	if tree, known := r.topologies[name]; known {
		if tree == nil {
			r.list.At(at, "topology %q cannot be used: it has mistakes, or extends itself", name)
		}
		return tree
	}
	data, err := fs.ReadFile(r.library.FS, path.Join(topologies, name+".yaml"))
	if err != nil {
		files, _ := fs.Glob(r.library.FS, topologies+"/*.yaml") // the pattern is well-formed
		var known []string
		for _, f := range files {
			known = append(known, strings.TrimSuffix(path.Base(f), ".yaml"))
		}
		r.list.Unknown(at, "topology", name, known)
		return nil
	}
	r.topologies[name] = nil
	before := r.list.Len()
	tree := strictyaml.Parse(r.shown(path.Join(topologies, name+".yaml")), data, &r.list)
	if tree.Kind != strictyaml.Mapping {
		if r.list.Len() == before {
			r.list.At(tree, "a topology has to be a mapping that begins with title:, not %s", tree.Kind)
		}
		return nil
	}
	if extends := tree.Get("extends"); extends != nil {
		base := r.topology(extends.Text, extends)
		if base == nil {
			return nil
		}
		tree = strictyaml.Merge(base, tree.Without("extends"), &r.list)
	}
	r.topologies[name] = tree
	return tree
}
