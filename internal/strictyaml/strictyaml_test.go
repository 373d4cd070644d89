package strictyaml

import (
	"errors"
	"flag"
	"net/netip"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

var update = flag.Bool("update", false, "write the golden files anew")

type place struct{ Pos Pos }

func (p *place) SetPos(at Pos) { p.Pos = at }

type number struct{ of int }

func (n *number) UnmarshalNode(d *Decoder, at *Node) {
	if d.Expect(at, Scalar) {
		if n.of = map[string]int{"one": 1, "two": 2}[at.Text]; n.of == 0 {
			d.Unknown(at, "number", at.Text, []string{"one", "two"})
		}
	}
}

type host struct {
	place
	Interfaces map[string]netip.Prefix `yaml:"interfaces" need:"true"`
	Resolver   []netip.Addr            `yaml:"resolver"`
	To         netip.AddrPort          `yaml:"to"`
	Port       int                     `yaml:"port" min:"1" max:"65535"`
	Up         *bool                   `yaml:"up"`
	Latency    time.Duration           `yaml:"latency"`
	Loss       float64                 `yaml:"loss" min:"0" max:"1"`
	Color      string                  `yaml:"color" oneof:"red green blue"`
	Number     number                  `yaml:"number"`
	Inner      *host                   `yaml:"inner"`
	Hidden     string
}

type file struct {
	Title string          `yaml:"title" need:"true"`
	Hosts map[string]host `yaml:"hosts"`
}

func read(t *testing.T, text string, into any) error {
	t.Helper()
	var l List
	Decode(Parse("file.yaml", []byte(text), &l), into, &l)
	return l.Err()
}

func TestDecode(t *testing.T) {
	var got file
	err := read(t, `
title: A world
hosts:
  xmpp:
    interfaces: {perimeter: 10.11.12.40/24}
    resolver: [10.11.12.10, "2001:db8::1"]
    to: 10.11.12.40:5269
    port: 5061
    up: false
    latency: 1m30s
    loss: 0.3
    color: green
    number: two
    inner: {interfaces: null}
`, &got)
	if err != nil {
		t.Fatal(err)
	}
	down := false
	want := file{Title: "A world", Hosts: map[string]host{"xmpp": {
		place:      place{Pos{"file.yaml", 5, 5}},
		Interfaces: map[string]netip.Prefix{"perimeter": netip.MustParsePrefix("10.11.12.40/24")},
		Resolver:   []netip.Addr{netip.MustParseAddr("10.11.12.10"), netip.MustParseAddr("2001:db8::1")},
		To:         netip.MustParseAddrPort("10.11.12.40:5269"),
		Port:       5061, Up: &down, Latency: 90 * time.Second, Loss: 0.3, Color: "green", Number: number{2},
		Inner: &host{place: place{Pos{"file.yaml", 14, 12}}},
	}}}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

// The messages are part of what users get, so they stand in a file that a reviewer can read.
func TestMistakesAreShownAtTheirPlaces(t *testing.T) {
	data, err := os.ReadFile("testdata/mistakes.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var l List
	var f file
	Decode(Parse("mistakes.yaml", data, &l), &f, &l)
	got := l.Err().Error() + "\n"
	const golden = "testdata/mistakes.golden"
	if *update {
		if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("got:\n%s\nwant:\n%s", got, want)
	}
}

func TestOneMistake(t *testing.T) {
	tests := []struct{ text, want string }{
		{"", `file.yaml:1:1: this has to be a mapping, not nothing`},
		{"title:", `title has to be a single value, not nothing`},
		{"title: [a]", `title has to be a single value, not a list`},
		{"title: a\n---\ntitle: b", `file.yaml:2:1: a second document begins here`},
		{"title: a\nhosts:\n\txmpp: 1", `file.yaml:3:2: this line is indented with a tab`},
		{"title: a\nhosts: {xmpp: ]", `this is not YAML`},
		{"hosts: {}", `this lacks the key "title"`},
		{"title: a\nhosts: {a: {interfaces: {p: 10.1.1.1}}}", `p: "10.1.1.1" is not an address with its prefix length`},
		{"title: a\nhosts: {a: {interfaces: {}, port: 08}}", `port has to be a whole number, not "08"`},
		{"title: a\nhosts: {a: {interfaces: {}, port: 0}}", `port has to be from 1 to 65535, not 0`},
		{"title: a\nhosts: {a: {interfaces: {}, number: ome}}", `unknown number "ome" (did you mean "one"?)`},
		{"title: a\nhosts: {a: {interfaces: {}, resolver: [x]}}", `"x" is not an IP address`},
		{"title: a\n? [1, 2]\n: x", `a key has to be a single word`},
		{"title: a\nHosts: {}", `unknown key "Hosts" (did you mean "hosts"?)`},
		{"title: a\nhidden: b", `unknown key "hidden"; known are hosts, title`},
		{strings.Repeat("a: {", MaxDepth+2) + strings.Repeat("}", MaxDepth+2), `nested more than 64 deep`},
		{strings.Repeat("a", MaxBytes+1), `at most 1048576 are read`},
		{"a: [" + strings.Repeat("1,", MaxNodes) + "]", `more than 100000 values`},
		{"title: f\xfcr", `file.yaml:1:9: byte 0xfc is not UTF-8; save the file as UTF-8`},
		{"\xff\xfet\x00", `file.yaml: the file is in UTF-16; save it as UTF-8`},
		{"title: a\x00", `file.yaml:1:9: byte 0x00 is a control character`},
		{"\ufefftitel: a", "file.yaml:1:1: unknown key \"titel\" (did you mean \"title\"?)\n    1 | titel: a\n      | ^"},
		{"title: a\nhosts: {a: {interfaces: {}, loss: 5%}}", `loss has to be a number, not "5%" (did you mean "0.05"?)`},
		{"title: a\nhosts: {a: {interfaces: {}, port: 2k}}", `port has to be a whole number, not "2k" (did you mean "2000"?)`},
		{"title: a\nhosts: {a: {interfaces: {}, port: \"80\"}}", `port has to be a whole number without quotes, not "80"`},
		{"title: a\nhosts: {a: {interfaces: {}, up: \"true\"}}", `up has to be true or false without quotes, not "true"`},
		{"title: a\nhosts: {a: {interfaces: {}, resolver: 10.0.0.1}}", `begin each of its entries with a dash (did you mean "[10.0.0.1]"?)`},
		{"title: a\nhosts: {a: {interfaces: {}, inner: x}}", `inner has to be a mapping, not a single value (did you mean "{interfaces: x}"?)`},
		{"one line", `this has to be a mapping, not a single value (did you mean "{title: one line}"?)`},
		{"title: a\nhosts: {a: {interfaces: {}, color:red}}", `file.yaml:2:29: unknown key "color:red"; write a space behind the colon of a key (did you mean "color: red"?)`},
		{"title: a\nhosts: {a: {interfaces: {}, color: red, or green}}", `file.yaml:2:41: unknown key "or green"; a text with a comma in it has to stand in quotes`},
		{"title: a\nhosts: {a: {interfaces: {}, inner:, port: 1, mtu: 1}}", `unknown key "mtu"; known are`},
		{"title: a\nhosts:\n  a:\n    inner:\n    interfaces: {}\n    also: 1", `unknown key "also"; known are`},
	}
	for _, tt := range tests {
		var f file
		err := read(t, tt.text, &f)
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%.60q:\ngot  %.400v\nwant %s", tt.text, err, tt.want)
		}
	}
}

// What is not YAML is reported where it begins to be none, and says what to write.
func TestSyntax(t *testing.T) {
	tests := []struct{ text, want string }{
		{"title: Ports: two of them", `1:13: this is not YAML: a text with ": " in it has to stand in quotes`},
		{"hosts: {a: b, c: d: e}", `1:19: this is not YAML: a text inside braces or brackets`},
		{"hosts: {a: What? No}", `1:16: this is not YAML: a text inside braces or brackets`},
		{"hosts: {a: b [c]}", `1:14: this is not YAML: a text inside braces or brackets`},
		{"hosts: {a: {b: c}, d: e}}", `1:25: this is not YAML: nothing is open that this } could close`},
		{"hosts: {a: [b}", `1:14: this is not YAML: this } cannot close the [ in column 12`},
		{"hosts: {a: b\ntitle: c", `1:8: this is not YAML: this { has to be closed by a }, and is not`},
		{"hosts: {a: b,\n  c: d, e: f: g}", `2:13: this is not YAML: a text inside braces or brackets`},
		{"hosts: {a: b,\n\n  c: [d", `3:6: this is not YAML: this [ has to be closed by a ], and is not`},
		{"hosts: {a: , b: [c, , d]}", `1:21: this is not YAML: nothing stands before this comma`},
		{"title: \"a", `1:8: this is not YAML: this quote has no end in its line`},
		{`title: "\"" b`, `1:13: this is not YAML: a quote or a bracket has ended the text before this`},
		{"title: 'it''s' me'", `1:16: this is not YAML: a quote or a bracket has ended the text before this`},
		{"title: @a", `1:8: this is not YAML: a text that begins with @ has to stand in quotes`},
		{"title: *.a # b: c: d", `1:8: this is not YAML: a text that begins with * has to stand in quotes`},
		{"a: b\ntitle:c\n\n# no\nd: e", `2:1: this is not YAML: the line has no key`},
		{"title\na: b", `1:1: this is not YAML: the line has no key`},
		{"a:\n  - b\n  -c", `3:3: this is not YAML: write a space behind the dash of a list`},
		{"a:\n    b: c\n  d: e", `3:3: this is not YAML: did not find expected key; write the keys of a mapping`},
		{"a: b\n  c: d", `2:3: this is not YAML: mapping values are not allowed in this context; write the keys of a mapping`},
	}
	for _, tt := range tests {
		var l List
		Parse("file.yaml", []byte(tt.text), &l)
		err := l.Err()
		if !errors.Is(err, ErrSyntax) || !strings.HasPrefix(err.Error(), "file.yaml:"+tt.want) {
			t.Errorf("%q:\ngot  %v\nwant %s", tt.text, err, tt.want)
		}
	}
}

// Of a long line the part around the place is shown.
func TestExcerptOfALongLine(t *testing.T) {
	var f file
	err := read(t, "title: a\nhosts: {"+strings.Repeat("a", 300)+": {interfaces: {}, prot: 1, color: "+strings.Repeat("b", 300)+"}}", &f)
	lines := strings.Split(err.Error(), "\n")
	if len(lines) < 3 || len([]rune(lines[1])) > 180 || strings.Index(lines[1], "prot") != strings.Index(lines[2], "^")+len("…")-1 {
		t.Errorf("got\n%v", err)
	}
}

func TestErrorsAreBoundedSortedAndFound(t *testing.T) {
	var f file
	err := read(t, "title: a\nhosts: {a: {interfaces: {}, "+strings.Repeat("b: 1, ", MaxMistakes+10)+"}, b: {}}", &f)
	var all *Errors
	if !errors.As(err, &all) || len(all.Mistakes) != MaxMistakes || all.More == 0 {
		t.Fatalf("got %d mistakes of %v", len(all.Mistakes), err)
	}
	if !slices.IsSortedFunc(all.Mistakes, func(a, b *Mistake) int { return a.Line*10000 + a.Col - b.Line*10000 - b.Col }) {
		t.Error("not sorted by place")
	}
	var one *Mistake
	if !errors.As(err, &one) || one.Line != 2 {
		t.Errorf("no mistake in %v", err)
	}
	if err := read(t, "a: ]", &f); !errors.Is(err, ErrSyntax) {
		t.Errorf("%v is not ErrSyntax", err)
	}
}

func TestMerge(t *testing.T) {
	tests := []struct{ base, patch, want string }{ // RFC 7386 Appendix A, as far as it does not remove what is not there
		{`{a: b}`, `{a: c}`, `{a: c}`},
		{`{a: b}`, `{b: c}`, `{a: b, b: c}`},
		{`{a: b}`, `{a: null}`, `{}`},
		{`{a: b, b: c}`, `{a: null}`, `{b: c}`},
		{`{a: [b]}`, `{a: c}`, `{a: c}`},
		{`{a: c}`, `{a: [b]}`, `{a: [b]}`},
		{`{a: {b: c}}`, `{a: {b: d, e: f}}`, `{a: {b: d, e: f}}`},
		{`{a: [{b: c}]}`, `{a: [1]}`, `{a: [1]}`},
		{`[a, b]`, `[c, d]`, `[c, d]`},
		{`{a: b}`, `[c]`, `[c]`},
		{`[1, 2]`, `{a: b}`, `{a: b}`},
		{`{}`, `{a: {bb: {ccc: 1}}}`, `{a: {bb: {ccc: 1}}}`},
	}
	for _, tt := range tests {
		var l List
		got := Merge(Parse("base", []byte(tt.base), &l), Parse("patch", []byte(tt.patch), &l), &l)
		if err := l.Err(); err != nil {
			t.Errorf("%s + %s: %v", tt.base, tt.patch, err)
		}
		if s := show(got); s != tt.want {
			t.Errorf("%s + %s = %s, want %s", tt.base, tt.patch, s, tt.want)
		}
	}
}

func show(n *Node) string {
	var parts []string
	switch n.Kind {
	case Mapping:
		for _, e := range n.Entries {
			parts = append(parts, e.Key.Text+": "+show(e.Value))
		}
		return "{" + strings.Join(parts, ", ") + "}"
	case Sequence:
		for _, item := range n.Items {
			parts = append(parts, show(item))
		}
		return "[" + strings.Join(parts, ", ") + "]"
	case Scalar:
		return n.Text
	}
	return "null"
}

func TestMergedNodesKnowTheirFiles(t *testing.T) {
	var l List
	base := Parse("topology.yaml", []byte("title: a\nhosts:\n  one: {interfaces: {}, port: none}\n  two: {interfaces: {}}\n"), &l)
	patch := Parse("scenario.yaml", []byte("hosts:\n  two:\n    port: lots\n  twoo: null\nnothing: {here: null}\n"), &l)
	var f file
	Decode(Merge(base, patch, &l), &f, &l)
	got := l.Err().Error()
	for _, want := range []string{
		`scenario.yaml:3:11: port has to be a whole number, not "lots"`,
		`scenario.yaml:4:3: null removes "twoo", but there is none to remove (did you mean "two"?)`,
		`topology.yaml:3:31: port has to be a whole number, not "none"`,
	} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in\n%s", want, got)
		}
	}
	if strings.Contains(got, `"here"`) {
		t.Errorf("what is removed below an unknown key is reported beside it:\n%s", got)
	}
}

func TestStructsWithoutTags(t *testing.T) {
	var got struct {
		IdleClose time.Duration
		MinTLS    uint16
		XMPPHosts []string
		hidden    bool
	}
	if err := read(t, "idle_close: 5m\nmin_tls: 771\nxmpp_hosts: [a]", &got); err != nil || got.IdleClose != 5*time.Minute || got.MinTLS != 771 || len(got.XMPPHosts) != 1 {
		t.Errorf("%+v, %v", got, err)
	}
	if err := read(t, "hidden: true", &got); err == nil || got.hidden {
		t.Errorf("an unexported field was set: %v", err)
	}
}

func TestNearest(t *testing.T) {
	known := []string{"hosts", "segments", "hosts_file", "remote-server-timeout", "A", "to", "bob@a.example"}
	for word, want := range map[string]string{
		"host": "hosts", "hsots": "hosts", "HOSTS": "hosts", "hosts-file": "hosts_file", "remote_server_timeot": "remote-server-timeout",
		"routers": "", "xylophone": "", "": "", "bbo@a.example": "bob@a.example", "bob@a.exmaple": "bob@a.example", "eve@a.example": "",
	} {
		if got := Nearest(word, known); got != want {
			t.Errorf("Nearest(%q) = %q, want %q", word, got, want)
		}
	}
}

// Whatever the bytes, reading ends, mistakes lie inside the file, and a tree that was read can be merged and decoded.
func FuzzDecode(f *testing.F) {
	mistakes, err := os.ReadFile("testdata/mistakes.yaml")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(mistakes, []byte("hosts: {xmpp: null}"))
	f.Add([]byte("a: &a [*a]"), []byte("? {}\n: |\n x"))
	f.Fuzz(func(t *testing.T, base, patch []byte) {
		var l List
		b, p := Parse("base", base, &l), Parse("patch", patch, &l)
		var into file
		Decode(Merge(b, p, &l), &into, &l)
		err := l.Err()
		if err == nil {
			return
		}
		var all *Errors
		if !errors.As(err, &all) {
			t.Fatalf("%T", err)
		}
		for _, m := range all.Mistakes {
			data := map[string][]byte{"base": base, "patch": patch}[m.File]
			if m.Line < 0 || m.Line > strings.Count(string(data), "\n")+2 || m.Message == "" {
				t.Errorf("%+v does not lie in its file", m)
			}
		}
		_ = err.Error()
	})
}
