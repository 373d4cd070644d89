package scenario

import (
	"fmt"
	"reflect"
	"slices"
	"strings"

	"fedlab/internal/strictyaml"
)

// Reference is every key of scenario and topology files in Markdown, made from the types that the files are read into. The quirks
// are those of the Library's Quirks, by the same names; their comments are not known here.
func Reference() (string, error) {
	all, err := readComments()
	if err != nil {
		return "", fmt.Errorf("scenario: reference: %w", err)
	}
	w := referenceWriter{comments: all}
	w.b.WriteString(`# Reference of the scenario language

This file is generated from the types of package lab/scenario; change the comments there and run "make generate". For an
introduction read [writing-scenarios.md](writing-scenarios.md).

Texts need quotes only where YAML would take them for something else. A duration is a number with its unit: 500ms, 30s, 5m, 24h.
"one or a list" means that a single value need not stand in a list.

`)
	w.write("Scenario files", reflect.TypeFor[Scenario]())
	fmt.Fprintf(&w.b, "Besides these keys a file may have `%s`. %s What consists of nothing but `$(variable)` becomes the variable's value, be it a number, a list or a mapping.\n\n", rowsKey, rowsComment)
	w.queue(reflect.TypeFor[Topology]())
	for len(w.next) > 0 {
		t := w.next[0]
		w.next = w.next[1:]
		title := t.Name()
		if t == reflect.TypeFor[Topology]() {
			title = "Topology files, and patches"
		}
		w.write(title, t)
	}
	return w.b.String(), nil
}

type referenceWriter struct {
	comments comments
	b        strings.Builder
	next     []reflect.Type
	seen     []reflect.Type
}

func (w *referenceWriter) queue(t reflect.Type) {
	if !slices.Contains(w.seen, t) {
		w.seen = append(w.seen, t)
		w.next = append(w.next, t)
	}
}

func (w *referenceWriter) write(title string, t reflect.Type) {
	fmt.Fprintf(&w.b, "## %s\n\n%s\n\n| key | value | meaning |\n|---|---|---|\n", title, w.comments[t.Name()])
	for _, f := range strictyaml.Fields(t) {
		key := "`" + f.Key + "`"
		if f.Needed() {
			key += " (needed)"
		}
		fmt.Fprintf(&w.b, "| %s | %s | %s |\n", key, w.words(shapeOf(f.Type, f)), strings.ReplaceAll(w.comments.of(t, f), "|", "\\|"))
	}
	w.b.WriteString("\n")
}

// words is a shape in words. Objects that it names are queued to be described.
func (w *referenceWriter) words(s *shape) string {
	switch s.kind {
	case "object":
		w.queue(s.object)
		link := fmt.Sprintf("[%s](#%s)", s.object.Name(), strings.ToLower(s.object.Name()))
		if s.object == reflect.TypeFor[Topology]() {
			link = "a patch on the [topology](#topology-files-and-patches)"
		}
		return link
	case "mapping":
		return "name: " + w.words(s.of)
	case "list":
		return "list of " + w.words(s.of)
	case "either":
		one, other := s.either[0], s.either[1]
		if other.kind == "list" {
			return w.words(one) + ", one or a list"
		}
		return w.words(one) + ", or " + w.words(other)
	case "free":
		return "switches"
	case "truth":
		return "`true` or `false`"
	case "whole number", "number":
		switch {
		case s.min != "" && s.max != "":
			return fmt.Sprintf("%s from %s to %s", s.kind, s.min, s.max)
		case s.min != "":
			return fmt.Sprintf("%s from %s", s.kind, s.min)
		}
		return s.kind
	}
	if len(s.oneOf) > 0 {
		return "`" + strings.Join(s.oneOf, "` `") + "`"
	}
	if s.example != "" {
		return s.kind + ", such as `" + s.example + "`"
	}
	return s.kind
}
