package doctor

import (
	"slices"
	"testing"
)

func TestUndoubled(t *testing.T) {
	for name, want := range map[string]string{
		"xmpp.contoso.com.contoso.com": "xmpp.contoso.com",
		"contoso.com.contoso.com":      "contoso.com",
		"xmpp.a.b.c.a.b.c":             "xmpp.a.b.c",
		"xmpp.contoso.com":             "",
		"a.com.com":                    "", // a name of its own in the top-level domain com
		"xmpp.contoso.com.contoso.net": "",
		"com":                          "",
		"":                             "",
	} {
		if got := undoubled(name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
}

// A record that is missing is looked for under a dozen names at most, each once, and not under its own.
func TestStrays(t *testing.T) {
	for _, what := range []string{"xmpp-server", "sipfederationtls"} {
		seen := []string{"_" + what + "._tcp.contoso.com"}
		for _, s := range strays(what, "contoso.com") {
			if slices.Contains(seen, s.name) || s.why == "" {
				t.Errorf("%+v", s)
			}
			seen = append(seen, s.name)
		}
		if len(seen) < 10 || len(seen) > 13 {
			t.Errorf("%s: %d names", what, len(seen)-1)
		}
	}
}
