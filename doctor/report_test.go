package doctor_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"fedlab/doctor"
)

var update = flag.Bool("update", false, "write the golden files")

// golden compares what a function writes with a file in testdata.
func golden(t *testing.T, name string, have []byte) {
	t.Helper()
	file := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(file, have, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil || !bytes.Equal(have, want) {
		t.Errorf("%s (%v): go test -update ./doctor writes it anew\n%s", file, err, have)
	}
}

func TestReport(t *testing.T) {
	everyone := []doctor.Vantage{doctor.FromGateway, doctor.FromEdge, doctor.FromOutside}
	findings := []doctor.Finding{
		{Code: "nat.hairpin-used", From: doctor.FromGateway, Subject: "sip.contoso.com", Evidence: []string{"sip.contoso.com is 12.34.56.79"}},
		{Code: "xmpp.target-down", From: doctor.FromGateway, Subject: "gmail.com", Evidence: []string{"xmpp-server.l.google.com: TCP 74.125.45.125:5269: connect: connection refused"}},
		{Code: "net.filtered", From: doctor.FromOutside, Subject: "xmpp.contoso.com:5269", Evidence: []string{"xmpp.contoso.com is 12.34.56.78", "TCP 12.34.56.78:5269: no answer within 10s (i/o timeout)"}},
		{Code: "dns.srv-target-foreign", From: doctor.FromOutside, Subject: "xmpp.example.net", Evidence: []string{"two\nlines & <signs>"}},
	}
	for name, r := range map[string]doctor.Report{
		"healthy": doctor.NewReport(everyone),
		"sick":    doctor.NewReport(everyone, findings[:2], findings[2:]),
	} {
		var text, object bytes.Buffer
		if err := r.Text(&text); err != nil {
			t.Fatal(err)
		}
		golden(t, name+".txt", text.Bytes())
		if err := r.JSON(&object); err != nil {
			t.Fatal(err)
		}
		if !json.Valid(object.Bytes()) {
			t.Errorf("%s: no valid JSON", name)
		}
		golden(t, name+".json", object.Bytes())
	}
}

// Every entry of the catalogue is complete.
func TestCatalogue(t *testing.T) {
	codes := doctor.Codes()
	if !slices.IsSorted(codes) || len(slices.Compact(slices.Clone(codes))) != len(codes) {
		t.Errorf("codes are not sorted or not unique: %v", codes)
	}
	for _, e := range doctor.Catalogue() {
		for what, text := range map[string]string{"title": e.Title, "meaning": e.Meaning, "remedy": e.Remedy, "next": e.Next} {
			if text == "" || what != "title" && !strings.HasSuffix(text, ".") && !strings.HasSuffix(text, "?") {
				t.Errorf("%s: %s %q is empty or no sentence", e.Code, what, text)
			}
		}
		if len(e.From) == 0 || !slices.Contains([]doctor.Severity{doctor.Error, doctor.Warning, doctor.Advice}, e.Severity) {
			t.Errorf("%s: vantage points %v, severity %q", e.Code, e.From, e.Severity)
		}
		for _, s := range e.Steps {
			if s < 1 || s > 8 {
				t.Errorf("%s: the field notes have no step %d", e.Code, s)
			}
		}
	}
}

func TestExplain(t *testing.T) {
	page, err := doctor.Explain("tls.name-mismatch")
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "explain.txt", []byte(page))
	for code, want := range map[string]string{
		"tls.name-missmatch": "did you mean tls.name-mismatch?", "hairpin": "did you mean nat.hairpin, nat.hairpin-used?", "TLS.Name_Mismatch": "did you mean tls.name-mismatch?", "something else entirely": "lists all", "": "lists all",
	} {
		if _, err := doctor.Explain(code); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", code, err, want)
		}
	}
}

// The plan says what will be done, in the order of the names, and promises that nobody is written to.
func TestPlan(t *testing.T) {
	healthy().run(t, func(t *testing.T, b *built) {
		var out strings.Builder
		for _, plan := range [][]string{b.gateway.Plan(), b.edge.Plan(), b.outside.Plan()} {
			out.WriteString("- " + strings.Join(plan, "\n- ") + "\n\n")
		}
		golden(t, "plan.txt", []byte(out.String()))
	})
}
