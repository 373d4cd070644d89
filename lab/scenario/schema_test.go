package scenario

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"fedlab/scenarios"
)

// Every file of the catalogue fits the schema, and files with mistakes of shape do not.
func TestSchema(t *testing.T) {
	scenario, topology := load(t, Schema), load(t, TopologySchema)
	files, err := fs.Glob(scenarios.Files, "*/*.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		data, err := fs.ReadFile(scenarios.Files, file)
		if err != nil {
			t.Fatal(err)
		}
		s := scenario
		if strings.HasPrefix(file, topologies+"/") {
			s = topology
		}
		if err := s.fits(s.root, document(t, data), ""); err != nil {
			t.Errorf("%s: %v", file, err)
		}
	}
	for _, name := range []string{"misspelt-key", "steps", "patch", "firewall", "verbs"} {
		data, err := os.ReadFile(filepath.Join("testdata/mistakes", name+".yaml"))
		if err != nil {
			t.Fatal(err)
		}
		if err := scenario.fits(scenario.root, document(t, data), ""); err == nil {
			t.Errorf("%s.yaml fits the schema", name)
		}
	}
}

func document(t *testing.T, data []byte) any {
	t.Helper()
	var v any
	if err := yaml.Unmarshal(data, &v); err != nil {
		t.Fatal(err)
	}
	return v
}

// jsonSchema is a validator for the part of JSON Schema that is generated here.
type jsonSchema struct{ root, defs map[string]any }

func load(t *testing.T, make func() ([]byte, error)) jsonSchema {
	t.Helper()
	data, err := make()
	if err != nil {
		t.Fatal(err)
	}
	var root map[string]any
	if err := json.Unmarshal(data, &root); err != nil {
		t.Fatal(err)
	}
	return jsonSchema{root, root["$defs"].(map[string]any)}
}

func (s jsonSchema) fits(schema map[string]any, v any, at string) error {
	if ref, ok := schema["$ref"].(string); ok {
		def, ok := s.defs[strings.TrimPrefix(ref, "#/$defs/")].(map[string]any)
		if !ok {
			return fmt.Errorf("%s: %s is not defined", at, ref)
		}
		return s.fits(def, v, at)
	}
	if choices, ok := schema["anyOf"].([]any); ok {
		var first error
		for _, c := range choices {
			err := s.fits(c.(map[string]any), v, at)
			if err == nil {
				return nil
			}
			if first == nil {
				first = err
			}
		}
		return first
	}
	if err := fitsType(schema, v); err != nil {
		return fmt.Errorf("%s: %w", at, err)
	}
	if pattern, ok := schema["pattern"].(string); ok && !regexp.MustCompile(pattern).MatchString(v.(string)) {
		return fmt.Errorf("%s: %q does not match %s", at, v, pattern)
	}
	if enum, ok := schema["enum"].([]any); ok && !slices.Contains(enum, any(fmt.Sprint(v))) {
		return fmt.Errorf("%s: %v is not one of %v", at, v, enum)
	}
	switch v := v.(type) {
	case []any:
		for i, item := range v {
			if err := s.fits(schema["items"].(map[string]any), item, fmt.Sprintf("%s/%d", at, i)); err != nil {
				return err
			}
		}
	case map[string]any:
		return s.fitsObject(schema, v, at)
	}
	return nil
}

func (s jsonSchema) fitsObject(schema, v map[string]any, at string) error {
	properties, _ := schema["properties"].(map[string]any)
	for key, value := range v {
		property, known := properties[key].(map[string]any)
		if !known {
			more, free := schema["additionalProperties"]
			if more == false {
				return fmt.Errorf("%s: key %s is not known", at, key)
			}
			if property, _ = more.(map[string]any); !free || property == nil {
				continue
			}
		}
		if err := s.fits(property, value, at+"/"+key); err != nil {
			return err
		}
	}
	required, _ := schema["required"].([]any)
	for _, key := range required {
		if _, ok := v[key.(string)]; !ok {
			return fmt.Errorf("%s: key %s is missing", at, key)
		}
	}
	if most, ok := schema["maxProperties"].(float64); ok && len(v) > int(most) {
		return fmt.Errorf("%s: %d keys", at, len(v))
	}
	return nil
}

func fitsType(schema map[string]any, v any) error {
	var allowed []any
	switch t := schema["type"].(type) {
	case nil:
		return nil
	case string:
		allowed = []any{t}
	case []any:
		allowed = t
	}
	is := "object"
	switch v := v.(type) {
	case nil:
		is = "null"
	case string:
		is = "string"
	case bool:
		is = "boolean"
	case []any:
		is = "array"
	case int:
		if low, ok := schema["minimum"].(float64); ok && float64(v) < low {
			return fmt.Errorf("%d is too small", v)
		}
		if high, ok := schema["maximum"].(float64); ok && float64(v) > high {
			return fmt.Errorf("%d is too large", v)
		}
		if is = "integer"; !slices.Contains(allowed, any(is)) {
			is = "number"
		}
	case float64:
		is = "number"
	}
	if !slices.Contains(allowed, any(is)) {
		return fmt.Errorf("%v is %s and not %v", v, is, allowed)
	}
	return nil
}

// docs/scenario-reference.md is what the types say, and every key says what it means.
func TestReferenceIsUpToDate(t *testing.T) {
	const file = "../../docs/scenario-reference.md"
	got, err := Reference()
	if err != nil {
		t.Fatal(err)
	}
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s is not what the types say; run: go test ./lab/scenario -update", file)
	}
	for line := range strings.Lines(got) {
		if strings.HasPrefix(line, "| `") && strings.HasSuffix(line, "|  |\n") {
			t.Errorf("a key without a comment: %s", line)
		}
	}
}
