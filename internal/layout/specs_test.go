package layout

import (
	"bufio"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// citation is the one form in which code cites a specification: "RFC 6120 §4.9.3", "XEP-0220 §2.1".
var citation = regexp.MustCompile(`\b(RFC ?[0-9]{3,4}|XEP-[0-9]{4})\b`)

func TestEveryCitedDocumentIsInTheIndex(t *testing.T) {
	root := filepath.Join("..", "..")
	known := map[string]bool{}
	index, err := os.Open(filepath.Join(root, "specs", "index.txt"))
	if err != nil {
		t.Fatal(err)
	}
	defer index.Close()
	for lines := bufio.NewScanner(index); lines.Scan(); {
		if line := lines.Text(); line != "" && !strings.HasPrefix(line, "#") {
			columns := strings.Split(line, "|")
			if len(columns) != 4 {
				t.Fatalf("specs/index.txt: not four columns: %s", line)
			}
			known[strings.TrimSpace(columns[0])] = true
			if pkg := strings.TrimSpace(columns[2]); !exists(filepath.Join(root, pkg)) {
				t.Errorf("specs/index.txt: %s is answered for by %s, which does not exist", columns[0], pkg)
			}
		}
	}
	cited := 0
	err = filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || filepath.Ext(path) != ".go" {
			return err
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		for _, document := range citation.FindAllString(string(text), -1) {
			cited++
			if !known[strings.Replace(strings.Replace(document, "RFC ", "RFC", 1), "RFC", "RFC ", 1)] {
				t.Errorf("%s cites %s, which specs/index.txt does not name", path, document)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if cited == 0 {
		t.Error("nothing is cited at all: the search is broken")
	}
}

func exists(dir string) bool {
	_, err := os.Stat(dir)
	return err == nil
}
