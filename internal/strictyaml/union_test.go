package strictyaml

import (
	"strings"
	"testing"
)

// Two patches at once do what both do, in either order, or the place is named where they cannot.
func TestUnion(t *testing.T) {
	for _, tt := range []struct{ a, b, want, conflict string }{
		{"{x: {y: 1}}", "{x: {z: 2}}", "{x: {y: 1, z: 2}}", ""},
		{"{x: 1}", "{y: null}", "{x: 1, y: null}", ""},
		{"{x: {y: null}}", "{x: {y: null, z: 1}}", "{x: {y: null, z: 1}}", ""},
		{"{x: [1, 2]}", "{x: [1, 2]}", "{x: [1, 2]}", ""},
		{"{x: {y: 1}}", "{x: {y: 2}}", "", "x.y"},
		{"{x: {y: [1]}}", "{x: {y: [2]}}", "", "x.y"},
		{"{x: null}", "{x: {y: 1}}", "", "x"},
		{"{x: 1}", `{x: "1"}`, "", "x"},
	} {
		for _, order := range [][2]string{{tt.a, tt.b}, {tt.b, tt.a}} {
			var l List
			a, b := Parse("a", []byte(order[0]), &l), Parse("b", []byte(order[1]), &l)
			before := len(a.At("x").Keys())
			got, conflict := Union(a, b)
			if strings.Join(conflict, ".") != tt.conflict || (conflict == nil) != (tt.want != "") {
				t.Errorf("%v: conflict %v, want %q", order, conflict, tt.conflict)
			}
			if tt.want != "" && !Equal(got, Parse("want", []byte(tt.want), &l)) {
				t.Errorf("%v: not %s", order, tt.want)
			}
			if len(a.At("x").Keys()) != before {
				t.Errorf("%v: a patch was changed", order)
			}
			if err := l.Err(); err != nil {
				t.Fatal(err)
			}
		}
	}
	if both, conflict := Union(nil, nil); both != nil || conflict != nil {
		t.Error("two patches that are not there make one")
	}
}
