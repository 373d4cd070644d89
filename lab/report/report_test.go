package report

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

var update = flag.Bool("update", false, "write the golden files anew")

var runs = []Run{
	{Scenario: "health/first-message", Title: "A first message", Seed: 1, Wall: 12 * time.Millisecond, Virtual: 2300 * time.Millisecond},
	{Scenario: "ports/5269-dropped", Title: "Inbound 5269 is dropped", Seed: 1, Wall: 31 * time.Millisecond, Virtual: 75 * time.Second, Findings: []string{"net.filtered"}},
	{Scenario: "ports/5269-rejected", Title: "Inbound 5269 is <rejected>", Seed: 1, Wall: 1234567 * time.Nanosecond, Virtual: 25 * time.Hour, Findings: []string{"net.filtered"},
		Failures: []Failure{{"scenarios/ports/5269-rejected.yaml", 12, "expected the finding net.refused, and the doctor made none; the last events before:\n    00:00:01.000  talk0 xmpp sent"}}},
}

func TestProgressFitsATerminalOf80Columns(t *testing.T) {
	var b bytes.Buffer
	term := Terminal{W: &b, Live: true, Total: 1000}
	for _, name := range []string{"health/a", "certificates/a-name-that-is-longer-than-most-of-them/and-a-row"} {
		for range 450 {
			b.Reset()
			if err := term.Done(Run{Scenario: name, Virtual: time.Hour, Failures: runs[2].Failures}, 16); err != nil {
				t.Fatal(err)
			}
			if line := strings.TrimPrefix(b.String(), clearLine); utf8.RuneCountInString(line) > 79 {
				t.Fatalf("%d columns: %s", utf8.RuneCountInString(line), line)
			}
		}
	}
}

func TestGolden(t *testing.T) {
	for _, c := range []struct {
		name  string
		write func(*bytes.Buffer) error
	}{
		{"table.txt", func(b *bytes.Buffer) error { return Table(b, runs) }},
		{"terminal.txt", func(b *bytes.Buffer) error {
			term := Terminal{W: b, Live: true, Colour: true, Annotations: true, Total: len(runs)}
			for i, r := range runs {
				if err := term.Done(r, 2-i); err != nil {
					return err
				}
				b.WriteByte('\n') // so that the lines that a terminal writes over each other can be read
			}
			return term.Summary(runs)
		}},
		{"quiet.txt", func(b *bytes.Buffer) error {
			term := Terminal{W: b, Total: len(runs)}
			for _, r := range runs {
				if err := term.Done(r, 0); err != nil {
					return err
				}
			}
			return term.Summary(runs)
		}},
		{"junit.xml", func(b *bytes.Buffer) error { return JUnit(b, runs) }},
		{"runs.json", func(b *bytes.Buffer) error {
			for _, r := range runs {
				if err := JSON(b, r); err != nil {
					return err
				}
			}
			return nil
		}},
		{"explained.txt", func(b *bytes.Buffer) error {
			for _, r := range runs {
				if err := Explain(b, r); err != nil {
					return err
				}
			}
			return nil
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			var got bytes.Buffer
			if err := c.write(&got); err != nil {
				t.Fatal(err)
			}
			file := filepath.Join("testdata", c.name)
			if *update {
				if err := os.WriteFile(file, got.Bytes(), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(got.Bytes(), want) {
				t.Errorf("%s differs (go test ./lab/report -update writes it anew)\n--- want\n%s\n--- got\n%s", file, want, got.Bytes())
			}
		})
	}
}
