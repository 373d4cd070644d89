package main

import (
	"bytes"
	"encoding/binary"
	"io"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unicode/utf16"

	"fedlab/doctor"
	"fedlab/gateway/config"
	"fedlab/internal/pki"
)

// The Edge's key may be another certificate's, or under a passphrase: that is for the doctor to find, and no bad input.
func TestEdgeKeys(t *testing.T) {
	d := deploy(t)
	edge, err := d.authority.Issue(pki.Leaf{Subject: "sip.contoso.com", Server: true})
	if err != nil {
		t.Fatal(err)
	}
	cert := d.write(t, "edge.pem", string(edge.CertPEM))
	sealed := d.write(t, "sealed.key", "-----BEGIN ENCRYPTED PRIVATE KEY-----\nMIIB\n-----END ENCRYPTED PRIVATE KEY-----\n")
	for _, tc := range []struct {
		key      string
		has      bool
		mistaken string
	}{
		{d.write(t, "edge.key", string(edge.KeyPEM)), true, ""},
		{filepath.Join(d.dir, "gateway.key"), true, ""},
		{sealed, false, ""},
		{filepath.Join(d.dir, "none.key"), false, "none.key"},
	} {
		f := doctorFlags{config: d.config, from: "edge", cert: cert, key: tc.key}
		v, err := f.vantage(io.Discard)
		if tc.mistaken != "" {
			if err == nil || !strings.Contains(err.Error(), tc.mistaken) {
				t.Errorf("%s: %v", tc.key, err)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", tc.key, err)
			continue
		}
		if e := v.(doctor.Edge); len(e.Certificate.Certificate) == 0 || (e.Certificate.PrivateKey != nil) != tc.has {
			t.Errorf("%s: %d certificates, key %v", tc.key, len(e.Certificate.Certificate), e.Certificate.PrivateKey != nil)
		}
	}
	if _, err := config.ReadPair(sealed, sealed); err == nil || !strings.Contains(err.Error(), sealed) {
		t.Errorf("a key for a certificate: %v", err)
	}
}

// The Edge's log is read as Windows writes it, and no more of it than its end; what is written later comes behind what was there.
func TestEdgeLog(t *testing.T) {
	d := deploy(t)
	const first, second = "Größe: the domain gmail.com is not on the Allow list", "later"
	wide := func(order binary.AppendByteOrder) string {
		var b []byte
		for _, unit := range utf16.Encode([]rune("\ufeff" + first + "\r\n" + second + "\r\n")) {
			b = order.AppendUint16(b, unit)
		}
		return string(b)
	}
	for name, text := range map[string]string{"UTF-8": first + "\n" + second + "\n", "UTF-16LE": wide(binary.LittleEndian), "UTF-16BE": wide(binary.BigEndian)} {
		lines, err := edgeLog(d.write(t, "edge.log", text))
		if err != nil {
			t.Fatal(err)
		}
		for i, want := range []string{first, second} {
			if got := lines(); len(got) != 2 || strings.TrimSpace(got[i]) != want {
				t.Errorf("%s: %q, want %q", name, got, want)
			}
		}
	}

	long := strings.Repeat(strings.Repeat("x", 99)+"\n", maxLog/100+1000)
	lines, err := edgeLog(d.write(t, "edge.log", long))
	if err != nil {
		t.Fatal(err)
	}
	before := lines()
	if n := len(before); n > maxLog/100 || n < maxLog/100-2 || slices.ContainsFunc(before, func(l string) bool { return len(l) != 99 }) {
		t.Errorf("%d lines of a long log, the first of %d characters", n, len(before[0]))
	}
	d.write(t, "edge.log", long+second+"\n")
	if after := lines(); len(after) != len(before)+1 || after[len(before)] != second {
		t.Errorf("%d lines, then %d, the last %q", len(before), len(after), after[len(after)-1])
	}
	if _, err := edgeLog(d.dir); err == nil {
		t.Error("a folder is a log")
	}
}

// What is of use from another place only is refused, and all of it at once.
func TestMisplacedFlags(t *testing.T) {
	d := deploy(t)
	for _, tc := range []struct {
		args []string
		says []string
	}{
		{[]string{"--log", "x", "--address", "10.0.0.1"}, []string{"--log", "--from edge", "--address", "--from outside"}},
		{[]string{"--from", "outside", "--authorities", "x"}, []string{"--authorities", "--from edge"}},
		{[]string{"--from", "edge", "--address", "10.0.0.1"}, []string{"--address", "--from outside"}},
	} {
		var stdout, stderr bytes.Buffer
		if code := execute(t.Context(), append([]string{"doctor", "-c", d.config, "--dry-run"}, tc.args...), &stdout, &stderr); code != exitInput {
			t.Errorf("%v: exit code %d", tc.args, code)
		}
		for _, want := range tc.says {
			if !strings.Contains(stderr.String(), want) {
				t.Errorf("%v: no %q in\n%s", tc.args, want, stderr.String())
			}
		}
	}
}
