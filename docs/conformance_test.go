package docs_test

import (
	_ "embed"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

//go:generate go test -run TestConformance -update .

//go:embed conformance.txt
var conformance string

// how many rows each part of the table has; an id is never reused.
var rows = map[string]int{"S": 52, "P": 32, "M": 23, "E": 28}

var parts = []struct{ letter, title string }{
	{"S", "Streams and dialback (`gateway/xmpps2s`)"}, {"P", "Presence (`gateway/presence`, `gateway/pidf`, `gateway/sipedge`)"},
	{"M", "Messages and sessions (`gateway/translate`, `gateway/session`, `gateway/sipedge`)"}, {"E", "SIP events and connections (`gateway/sipedge`, `gateway/presence`)"},
}

var rowID = regexp.MustCompile(`\b[SPME][0-9][0-9]\b`)

// TestConformance holds that the conformance table has all rows, that each is held by a test or says why it is not, that no test names a row that
// does not exist, and that conformance.md is what the tests say.
func TestConformance(t *testing.T) {
	tests, all := rowTests(t)
	table := map[string]string{}
	seen := map[string]bool{}
	extensions, behind := "", []string{} // rows and tests
	for line := range strings.Lines(conformance) {
		if strings.HasPrefix(line, "#") {
			continue
		}
		cells := strings.Split(strings.TrimSpace(line), " | ")
		if strings.HasPrefix(line, "XEP-") && len(cells) == 3 {
			extensions += fmt.Sprintf("| %s | %s | %s |\n", cells[0], plain(cells[1]), plain(cells[2]))
			behind = append(behind, strings.Split(cells[2], ", ")...)
			continue
		}
		if len(cells) != 3 && len(cells) != 4 {
			t.Fatalf("not a row: %s", line)
		}
		id, status := cells[0], "held"
		if len(cells) == 4 {
			status = cells[3]
		}
		if seen[id] {
			t.Errorf("%s stands there twice", id)
		}
		seen[id] = true
		if open := strings.HasPrefix(status, "not held: "); !open && status != "held" && !strings.HasPrefix(status, "differs: ") || open == (len(tests[id]) > 0) {
			t.Errorf("%s (%s): tests %v", id, status, tests[id])
		}
		table[id[:1]] += fmt.Sprintf("| %s | %s | %s | %s | %s |\n", id, plain(cells[1]), cells[2], plain(status), strings.Join(tests[id], ", "))
		delete(tests, id)
	}
	for letter, n := range rows {
		for i := range n {
			if id := fmt.Sprintf("%s%02d", letter, i+1); !seen[id] {
				t.Errorf("%s has no row", id)
			}
		}
	}
	if len(seen) != 52+32+23+28 {
		t.Errorf("%d rows", len(seen))
	}
	for _, b := range behind {
		if !seen[b] && !slices.Contains(all, b) && !strings.HasPrefix(b, "not spoken: ") {
			t.Errorf("%s is neither a row nor a test", b)
		}
	}
	for id, in := range tests {
		t.Errorf("%v name %s, and there is no such row", in, id)
	}
	var doc strings.Builder
	doc.WriteString(`# Conformance

What the gateway keeps to, and the tests that hold it to that. A test says which rows it is behind: by the name of a subtest that begins with the id
(` + "`go test -run '/S31' ./gateway/xmpps2s`" + `), or in a comment on it. This file is generated from conformance.txt and the tests: go generate ./docs.
Against real servers and clients the suites in e2e/peers say what works; the whole of a gateway under what goes wrong in the field is in scenarios/.
`)
	for _, part := range parts {
		doc.WriteString("\n## " + part.title + "\n\n| id | requirement | source | status | tests |\n|---|---|---|---|---|\n" + table[part.letter])
	}
	doc.WriteString("\n## Extensions of XMPP\n\n| document | what of it | rows and tests |\n|---|---|---|\n" + extensions)
	if *update {
		if err := os.WriteFile("conformance.md", []byte(doc.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if have, err := os.ReadFile("conformance.md"); err != nil || string(have) != doc.String() {
		t.Errorf("conformance.md is not what the tests say (%v): run go generate ./docs", err)
	}
}

func plain(s string) string {
	return strings.NewReplacer("<", "&lt;", ">", "&gt;", "|", "\\|").Replace(s)
}

// rowTests finds the tests of the gateway that name rows, and the names of all tests.
func rowTests(t *testing.T) (tests map[string][]string, all []string) {
	tests = map[string][]string{}
	err := filepath.WalkDir("../gateway", func(path string, _ fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, "_test.go") {
			return err
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ParseComments)
		if err != nil {
			return err
		}
		for _, d := range file.Decls {
			f, ok := d.(*ast.FuncDecl)
			if !ok || !strings.HasPrefix(f.Name.Name, "Test") {
				continue
			}
			name := strings.TrimPrefix(filepath.ToSlash(filepath.Dir(path)), "../gateway/") + "." + f.Name.Name
			all = append(all, name)
			for _, id := range named(file, f) {
				if !slices.Contains(tests[id], name) {
					tests[id] = append(tests[id], name)
				}
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return tests, all
}

// named are the rows that a test names, in its comments and at the beginning of its strings.
func named(file *ast.File, f *ast.FuncDecl) (ids []string) {
	begin := f.Pos()
	if f.Doc != nil {
		begin = f.Doc.Pos()
	}
	for _, c := range file.Comments {
		if c.Pos() >= begin && c.End() <= f.End() {
			ids = append(ids, rowID.FindAllString(c.Text(), -1)...)
		}
	}
	ast.Inspect(f, func(n ast.Node) bool {
		if lit, ok := n.(*ast.BasicLit); ok && lit.Kind == token.STRING {
			text, _ := strconv.Unquote(lit.Value)
			if at := rowID.FindStringIndex(text); at != nil && at[0] == 0 {
				ids = append(ids, rowID.FindAllString(text, -1)...)
			}
		}
		return true
	})
	return ids
}
