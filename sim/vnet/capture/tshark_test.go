//go:build peers

package capture

import (
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// Wireshark's own opinion: no malformed packet, no bad checksum, no fault in the TCP conversations that was not planted, and
// what is inside TLS in clear.
func TestTshark(t *testing.T) {
	dir := t.TempDir()
	if err := story(t).WriteDir(dir); err != nil {
		t.Fatal(err)
	}
	tshark := func(file string, args ...string) []string {
		t.Helper()
		out, err := exec.Command("tshark", append([]string{"-r", filepath.Join(dir, file+".pcapng"), "-o", "ip.check_checksum:TRUE",
			"-o", "tcp.check_checksum:TRUE", "-o", "udp.check_checksum:TRUE"}, args...)...).Output()
		if err != nil {
			t.Fatalf("tshark (Debian package tshark): %v\n%s", err, out)
		}
		return strings.Split(strings.TrimSpace(string(out)), "\n")
	}
	for _, file := range []string{"world", "inside", "internet", "lo.outer"} {
		bad := tshark(file, "-Y", "_ws.malformed || ip.checksum.status == 0 || tcp.checksum.status == 0 || udp.checksum.status == 0 || icmp.checksum.status == 0 || icmpv6.checksum.status == 0")
		if bad[0] != "" {
			t.Errorf("%s: malformed:\n%s", file, strings.Join(bad, "\n"))
		}
	}
	for file, planted := range map[string]string{"inside": "tcp.dstport == 23", "internet": "tcp.dstport == 22", "lo.outer": ""} {
		filter := "tcp.analysis.flags && !tcp.analysis.window_update"
		if planted != "" {
			filter += " && !(" + planted + ")"
		}
		if bad := tshark(file, "-Y", filter); bad[0] != "" {
			t.Errorf("%s: TCP:\n%s", file, strings.Join(bad, "\n"))
		}
		if methods := tshark(file, "-Y", "sip.Method", "-T", "fields", "-e", "sip.Method"); file != "lo.outer" && !slices.Contains(methods, "OPTIONS") {
			t.Errorf("%s: SIP methods %q", file, methods)
		}
	}
	if comments := tshark("internet", "-Y", "frame.comment contains policy", "-T", "fields", "-e", "frame.comment"); !strings.Contains(comments[0], "dropped by firewall") {
		t.Errorf("comments %q", comments)
	}
}
