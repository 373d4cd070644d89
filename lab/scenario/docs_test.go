package scenario

import (
	"os"
	"strings"
	"testing"
)

// What docs/writing-scenarios.md shows can be copied: every scenario in it is in order.
func TestDocumentedScenariosParse(t *testing.T) {
	text, err := os.ReadFile("../../docs/writing-scenarios.md")
	if err != nil {
		t.Fatal(err)
	}
	blocks := strings.Split(string(text), "```yaml\n")[1:]
	if len(blocks) < 5 {
		t.Fatalf("only %d scenarios", len(blocks))
	}
	for _, b := range blocks {
		b, _, _ = strings.Cut(b, "```")
		if _, err := catalogue().Parse("ticket.yaml", []byte(b)); err != nil {
			t.Errorf("%v\nin\n%s", err, b)
		}
	}
}
