package scenario

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strconv"

	"fedlab/internal/strictyaml"
)

// Schema is a JSON Schema (draft 2020-12) of scenario files for editors, made from the types that the files are read into.
func Schema() ([]byte, error) { return schema(reflect.TypeFor[Scenario]()) }

// TopologySchema is the same for the files in topologies/.
func TopologySchema() ([]byte, error) { return schema(reflect.TypeFor[Topology]()) }

// rowsKey is a key of scenario files that no Go type has, because it is gone when they are read. See expand.
const rowsKey = "rows"

const rowsComment = "Makes one scenario of each row: a mapping with a name, which ends the scenario's name, and variables, which stand as $(variable) anywhere else in the file."

func schema(root reflect.Type) ([]byte, error) {
	all, err := readComments()
	if err != nil {
		return nil, fmt.Errorf("scenario: schema: %w", err)
	}
	g := schemaWriter{comments: all, defs: map[string]any{
		"variable": map[string]any{"type": "string", "pattern": `\$\([^)]+\)`, "description": "a variable of a row"},
	}}
	// A topology may extend another, so what one file lacks may stand in the other.
	top := g.object(root, root == reflect.TypeFor[Topology]())
	if root == reflect.TypeFor[Scenario]() {
		top["properties"].(map[string]any)[rowsKey] = map[string]any{
			"type": "array", "minItems": 1, "description": rowsComment,
			"items": map[string]any{"type": "object", "required": []string{"name"}, "properties": map[string]any{"name": map[string]any{"type": []string{"string", "number"}}}},
		}
	}
	top["$schema"], top["$defs"] = "https://json-schema.org/draft/2020-12/schema", g.defs
	return json.MarshalIndent(top, "", "  ")
}

type schemaWriter struct {
	comments comments
	defs     map[string]any
}

// object is the schema of a struct.
func (g *schemaWriter) object(t reflect.Type, patch bool) map[string]any {
	properties := map[string]any{}
	var required []string
	for _, f := range strictyaml.Fields(t) {
		s := g.of(shapeOf(f.Type, f), patch)
		if patch {
			s = map[string]any{"anyOf": []any{s, map[string]any{"type": "null"}}}
		} else if f.Needed() {
			required = append(required, f.Key)
		}
		if text := g.comments.of(t, f); text != "" {
			s["description"] = text
		}
		properties[f.Key] = s
	}
	o := map[string]any{"type": "object", "additionalProperties": false, "properties": properties}
	if text := g.comments[t.Name()]; text != "" {
		o["description"] = text
	}
	if required != nil {
		o["required"] = required
	}
	if t == reflect.TypeFor[Step]() {
		o["minProperties"], o["maxProperties"] = 1, 1
	}
	return o
}

func (g *schemaWriter) of(s *shape, patch bool) map[string]any {
	switch s.kind {
	case "object":
		return orVariable(g.reference(s.object, patch || s.patch))
	case "mapping":
		values := g.of(s.of, patch)
		if patch {
			values = map[string]any{"anyOf": []any{values, map[string]any{"type": "null"}}}
		}
		return orVariable(map[string]any{"type": "object", "additionalProperties": values})
	case "list":
		return orVariable(map[string]any{"type": "array", "items": g.of(s.of, false)})
	case "either":
		var choices []any
		for _, e := range s.either {
			choices = append(choices, g.of(e, patch))
		}
		return map[string]any{"anyOf": choices}
	case "free":
		return orVariable(map[string]any{"type": "object"})
	case "duration":
		return orVariable(map[string]any{"type": "string", "pattern": `^-?([0-9]+(\.[0-9]+)?(ns|us|µs|ms|s|m|h))+$`})
	case "truth":
		return orVariable(map[string]any{"type": "boolean"})
	case "whole number", "number":
		n := map[string]any{"type": map[string]string{"whole number": "integer", "number": "number"}[s.kind]}
		for key, bound := range map[string]string{"minimum": s.min, "maximum": s.max} {
			if v, err := strconv.ParseFloat(bound, 64); err == nil {
				n[key] = v
			}
		}
		return orVariable(n)
	}
	if len(s.oneOf) > 0 {
		return orVariable(map[string]any{"enum": s.oneOf})
	}
	text := map[string]any{"type": []string{"string", "number", "boolean"}} // YAML's own idea of what is text
	if s.example != "" {
		text["examples"] = []string{s.example}
	}
	return text
}

func orVariable(s map[string]any) map[string]any {
	return map[string]any{"anyOf": []any{s, map[string]any{"$ref": "#/$defs/variable"}}}
}

// reference puts a struct among the definitions, once.
func (g *schemaWriter) reference(t reflect.Type, patch bool) map[string]any {
	name := t.Name()
	if patch {
		name += "Patch"
	}
	if _, done := g.defs[name]; !done {
		g.defs[name] = nil // a struct may hold itself
		g.defs[name] = g.object(t, patch)
	}
	return map[string]any{"$ref": "#/$defs/" + name}
}
