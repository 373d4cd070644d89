package matrix

import (
	"strings"
	"testing"
)

// found makes findings of "gateway net.filtered, edge net.refused".
func found(list string) Findings {
	f := Findings{}
	for _, one := range strings.Split(list, ", ") {
		if from, code, ok := strings.Cut(one, " "); ok {
			f.Add(from, code)
		}
	}
	return f
}

func TestJudge(t *testing.T) {
	for _, tt := range []struct{ name, a, b, both, want string }{
		{"both", "gateway x", "edge y", "gateway x, edge y", "both"},
		{"the same", "gateway x", "gateway x", "gateway x", "both"},
		{"A hides B", "outside dns.srv-missing", "outside net.filtered", "outside dns.srv-missing", "hides B"},
		{"B hides A", "outside net.filtered", "outside dns.srv-missing", "outside dns.srv-missing", "hides A"},
		{"B hides a part of A", "outside net.filtered, edge y", "outside dns.srv-missing", "outside dns.srv-missing, edge y", "hides A"},
		{"hidden by what cannot hide it", "outside net.filtered", "edge y", "edge y", "wrong"},
		{"lost", "outside dns.srv-missing", "outside net.filtered", "outside net.filtered", "wrong"},
		{"nothing", "gateway x", "edge y", "", "wrong"},
		{"a part of each", "gateway x, edge x", "gateway y, edge y", "gateway x, edge y", "wrong"},
		{"something new", "gateway x", "edge y", "gateway x, edge y, outside z", "wrong"},
		{"the code from elsewhere", "gateway x", "edge y", "gateway x, edge y, edge x", "wrong"},
		{"explained", "outside dns.srv-port", "outside net.refused", "outside net.filtered", "rule"},
		{"explained the other way round", "outside net.refused", "outside dns.srv-port", "outside net.filtered", "rule"},
		{"explained with any other", "gateway gateway.hostname", "edge y", "gateway tls.name-mismatch, edge y", "rule"},
		{"more than is explained", "outside dns.srv-port", "outside net.refused", "outside net.filtered, gateway z", "wrong"},
	} {
		v := Judge(found(tt.a), found(tt.b), found(tt.both))
		got := "both"
		switch {
		case v.Wrong != "":
			got = "wrong"
		case v.Rule != nil:
			got = "rule"
		case v.HiddenA:
			got = "hides A"
		case v.HiddenB:
			got = "hides B"
		}
		if got != tt.want {
			t.Errorf("%s: %+v, want %s", tt.name, v, tt.want)
		}
	}
}

func TestAlike(t *testing.T) {
	var m Matrix
	for _, f := range [][3]string{
		{"a", "gateway x, edge y", "gateway x 1, edge y 1"},
		{"b", "gateway x", "gateway x 1"},
		{"c", "edge y, gateway x", "edge y 1, gateway x 1"},
		{"d", "outside net.filtered", "outside net.filtered 5269"},
		{"e", "outside net.filtered", "outside net.filtered 5269"},
		{"f", "outside net.filtered", "outside net.filtered 5296"},
	} {
		m = append(m, Fault{Name: f[0], Findings: found(f[1]), About: found(f[2])})
	}
	for from, want := range map[string]string{
		"gateway": "[d e f]: | [a b c]:gateway x", "edge": "[b d e f]: | [a c]:edge y", "outside": "[a b c]: | [d e]:outside net.filtered",
		Everywhere: "[a c]:gateway x, edge y | [d e]:outside net.filtered",
	} {
		var got []string
		for _, g := range m.Alike(from) {
			got = append(got, "["+strings.Join(g.Faults, " ")+"]:"+strings.Join(g.Found, ", "))
			if known := alike[g.words()]; from == Everywhere && g.Why != known {
				t.Errorf("%s is justified by %q", g.words(), g.Why)
			}
		}
		if strings.Join(got, " | ") != want {
			t.Errorf("from %s: %s, want %s", from, strings.Join(got, " | "), want)
		}
	}
	text := m.Text()
	for _, want := range []string{"fault  gateway  edge  outside", "the same from all three together: outside net.filtered 5269\n  d\n  e\n  because ", "the same from the edge: nothing"} {
		if !strings.Contains(text, want) {
			t.Errorf("the text lacks %q:\n%s", want, text)
		}
	}
}

// The file of what hides what is as the program writes it.
func TestHides(t *testing.T) {
	if FormatHidings(KnownHidings()) != hidesFile {
		t.Error("hides.txt is not what fedlab pairs --hides prints")
	}
	if !hides()[Hiding{"outside dns.srv-missing", "outside net.filtered"}] {
		t.Error("a record that is missing hides a port that is shut")
	}
}
