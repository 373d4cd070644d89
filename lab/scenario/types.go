package scenario

import (
	"embed"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"reflect"
	"strings"

	"fedlab/internal/strictyaml"
)

//go:generate go test . -run TestReferenceIsUpToDate -update

// The comments of these files are the descriptions in the schema and in the reference, so that neither can differ from the code.
//
//go:embed scenario.go steps.go topology.go
var sources embed.FS

// comments are the doc comments of the language's types: "Host" of a type, "Host.Routes" of a field.
type comments map[string]string

func readComments() (comments, error) {
	all := comments{}
	files, err := fs.Glob(sources, "*.go")
	if err != nil {
		return nil, err
	}
	for _, name := range files {
		text, err := fs.ReadFile(sources, name)
		if err != nil {
			return nil, err
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, text, parser.ParseComments)
		if err != nil {
			return nil, err
		}
		for _, d := range file.Decls {
			general, ok := d.(*ast.GenDecl)
			if !ok {
				continue
			}
			for _, s := range general.Specs {
				if spec, ok := s.(*ast.TypeSpec); ok {
					all.add(spec, general.Doc)
				}
			}
		}
	}
	return all, nil
}

func (c comments) add(spec *ast.TypeSpec, doc *ast.CommentGroup) {
	c[spec.Name.Name] = sentence(doc)
	s, ok := spec.Type.(*ast.StructType)
	if !ok {
		return
	}
	for _, f := range s.Fields.List {
		for _, name := range f.Names {
			c[spec.Name.Name+"."+name.Name] = sentence(f.Comment) // a comment above a field is a heading for several
		}
	}
}

// of is the comment of a field; where it has none, what the comment of its type says.
func (c comments) of(t reflect.Type, f strictyaml.Field) string {
	if text := c[t.Name()+"."+f.Name]; text != "" {
		return text
	}
	element := f.Type
	for element.Kind() == reflect.Pointer || element.Kind() == reflect.Slice {
		element = element.Elem()
	}
	text, _, _ := strings.Cut(c[element.Name()]+" ", ". ")
	return strings.TrimSuffix(strings.TrimSpace(text), ".")
}

// sentence is a comment as one line.
func sentence(g *ast.CommentGroup) string {
	return strings.Join(strings.Fields(g.Text()), " ")
}

// shape is what a Go type looks like in a file.
type shape struct {
	kind    string // "text", "number", "whole number", "truth", "duration", "one of", "mapping", "list", "object", "either", "free"
	of      *shape // of a mapping or list: its values
	either  []*shape
	object  reflect.Type // of an object: the struct
	patch   bool         // of an object: everything may be left out, and null removes
	oneOf   []string
	min     string
	max     string
	example string
}

var textual = map[string]string{"netip.Addr": "10.11.12.40", "netip.Prefix": "10.11.12.0/24", "netip.AddrPort": "10.11.12.40:5269"}

// shapeOf is the shape of a field's type. The tags are the field's.
func shapeOf(t reflect.Type, f strictyaml.Field) *shape {
	text := &shape{kind: "text", oneOf: f.OneOf()}
	switch t {
	case reflect.TypeFor[Duration](), reflect.TypeFor[Wait]():
		return &shape{kind: "duration"}
	case reflect.TypeFor[Steps]():
		step := &shape{kind: "whole number", min: f.Tag.Get("min"), max: f.Tag.Get("max")}
		return &shape{kind: "either", either: []*shape{step, {kind: "list", of: step}}}
	case reflect.TypeFor[Values]():
		return &shape{kind: "either", either: []*shape{text, {kind: "list", of: text}}}
	case reflect.TypeFor[Expected]():
		return &shape{kind: "either", either: []*shape{{kind: "text", example: "dns.srv-missing"}, {kind: "object", object: t}}}
	case reflect.TypeFor[ExpectPresence]():
		state, _ := t.FieldByName("State")
		return &shape{kind: "either", either: []*shape{shapeOf(state.Type, strictyaml.Field{StructField: state}), {kind: "object", object: t}}}
	case reflect.TypeFor[Change]():
		return &shape{kind: "object", object: reflect.TypeFor[Topology](), patch: true}
	case reflect.TypeFor[*strictyaml.Node]():
		if f.Key == "patch" {
			return &shape{kind: "object", object: reflect.TypeFor[Topology](), patch: true}
		}
		return &shape{kind: "free"}
	}
	if strings.HasPrefix(t.Name(), "Ordered[") {
		values, _ := t.FieldByName("Values")
		return shapeOf(values.Type, f)
	}
	if example, ok := textual[t.String()]; ok {
		return &shape{kind: "text", example: example}
	}
	switch t.Kind() {
	case reflect.Pointer:
		return shapeOf(t.Elem(), f)
	case reflect.Struct:
		return &shape{kind: "object", object: t}
	case reflect.Map:
		return &shape{kind: "mapping", of: shapeOf(t.Elem(), f)}
	case reflect.Slice:
		return &shape{kind: "list", of: shapeOf(t.Elem(), f)}
	case reflect.Bool:
		return &shape{kind: "truth"}
	case reflect.Int:
		return &shape{kind: "whole number", min: f.Tag.Get("min"), max: f.Tag.Get("max")}
	case reflect.Float64:
		return &shape{kind: "number", min: f.Tag.Get("min"), max: f.Tag.Get("max")}
	}
	return text
}
