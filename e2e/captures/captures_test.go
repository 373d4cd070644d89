//go:build peers

package captures

import (
	"encoding/hex"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"fedlab/doctor"
	"fedlab/lab"
	"fedlab/lab/scenario"
	"fedlab/sim/trace"
)

var library = scenario.Library{FS: os.DirFS("../../scenarios"), Dir: "../../scenarios", Codes: doctor.Codes(), Quirks: lab.Quirks()}

// tshark returns the lines that tshark prints about a file. Checksums are verified.
func tshark(t *testing.T, file string, args ...string) []string {
	t.Helper()
	args = append([]string{"-r", file, "-o", "ip.check_checksum:TRUE", "-o", "tcp.check_checksum:TRUE", "-o", "udp.check_checksum:TRUE"}, args...)
	var stderr strings.Builder
	command := exec.Command("tshark", args...)
	command.Stderr = &stderr
	out, err := command.Output()
	if err != nil {
		t.Fatalf("tshark (make test-peers installs it): %v\n%s", err, stderr.String())
	}
	return slices.DeleteFunc(strings.Split(string(out), "\n"), func(line string) bool { return strings.TrimSpace(line) == "" })
}

// played runs the catalogue with captures and returns the results, and the folder of the captures.
func played(t *testing.T, selectors ...string) ([]*lab.Result, string) {
	t.Helper()
	all, err := library.Load(selectors...)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	results := lab.RunAll(t.Context(), all, lab.Options{Clock: lab.VirtualTime(t), Seed: 1, Pcap: dir}, 1, 2, nil)
	for _, r := range results {
		for _, f := range r.Failures {
			t.Errorf("%s: %s", r.Scenario.Name, f)
		}
	}
	return results, dir
}

// Two at a time, as there are cores.
func each(results []*lab.Result, do func(*lab.Result)) {
	next := make(chan *lab.Result)
	var workers sync.WaitGroup
	for range 2 {
		workers.Go(func() {
			for r := range next {
				do(r)
			}
		})
	}
	for _, r := range results {
		next <- r
	}
	close(next)
	workers.Wait()
}

// segments are the captures of a run's segments. In the one of the whole world a packet stands once per segment that it crosses,
// which looks like repetition.
func segments(t *testing.T, dir string, r *lab.Result) []string {
	files, err := filepath.Glob(filepath.Join(dir, filepath.FromSlash(r.Scenario.Name), "*.pcapng"))
	if err != nil {
		t.Error(err)
	}
	return slices.DeleteFunc(files, func(f string) bool { return filepath.Base(f) == "world.pcapng" })
}

func TestEveryCaptureIsSound(t *testing.T) {
	results, dir := played(t)
	const badSum = `ip.checksum.status=="Bad" or tcp.checksum.status=="Bad" or udp.checksum.status=="Bad"`
	each(results, func(r *lab.Result) {
		unsound := badSum + " or _ws.malformed"
		if strings.HasPrefix(r.Scenario.Name, "xmpp/strangers/") {
			unsound = badSum // what a stranger sends is malformed on purpose
		}
		_, tunnel := r.Scenario.Deployed.Segments["tunnel"]
		for _, file := range segments(t, dir, r) {
			filter := unsound
			if tunnel && filepath.Base(file) == "perimeter.pcapng" {
				// The tunnel begins and ends there, so packets cross it twice. The second time looks like repetition, over which reassembly trips.
				filter = badSum + " or _ws.malformed and not tcp.analysis.retransmission and not tcp.analysis.out_of_order"
			}
			if bad := tshark(t, file, "-Y", filter); len(bad) > 0 {
				t.Errorf("%s, %s: %d unsound packets, the first: %s", r.Scenario.Name, filepath.Base(file), len(bad), bad[0])
			}
		}
	})
}

// Where a scenario plants no fault and restarts nothing, Wireshark's analysis of TCP has nothing to remark.
func TestHealthyConnectionsLookHealthy(t *testing.T) {
	results, dir := played(t, "health")
	results = slices.DeleteFunc(results, func(r *lab.Result) bool {
		return r.Scenario.Patch.Get("routers") != nil || slices.ContainsFunc(r.Scenario.Steps, func(s scenario.Step) bool {
			return s.Restart != nil || s.Stop != nil || s.Cut != nil || s.Change != nil
		})
	})
	if len(results) < 5 {
		t.Fatalf("only %d scenarios are left to judge", len(results))
	}
	// Keep-alives are what an idle connection sends, and their answers look like repeated ones where the probe took another way;
	// a port is used again after two minutes of a day.
	const remarks = `tcp.analysis.flags and !tcp.analysis.keep_alive and !tcp.analysis.keep_alive_ack and !tcp.analysis.duplicate_ack and !tcp.analysis.window_update and !tcp.analysis.reused_ports`
	each(results, func(r *lab.Result) {
		for _, file := range segments(t, dir, r) {
			if bad := tshark(t, file, "-Y", remarks); len(bad) > 0 {
				t.Errorf("%s, %s: %d remarks, the first: %s", r.Scenario.Name, filepath.Base(file), len(bad), bad[0])
			}
		}
	})
}

// The ladder of a report and the capture of the same run tell of the same messages in the same order.
func TestLadderAndCaptureAgree(t *testing.T) {
	results, dir := played(t, "health/first-message-from-gmail", "health/first-message-to-gmail")
	for _, r := range results {
		folder := filepath.Join(dir, filepath.FromSlash(r.Scenario.Name))
		ladder := func(layer string) []string {
			var labels []string
			for _, a := range r.Page().Ladder.Arrows {
				if a.Layer == layer {
					labels = append(labels, a.Label)
				}
			}
			return labels
		}

		var sip []string
		// All SIP crosses the perimeter, whichever way it takes.
		for _, line := range tshark(t, filepath.Join(folder, "perimeter.pcapng"), "-Y", "sip", "-T", "fields", "-e", "ip.src", "-e", "sip.Method", "-e", "sip.Status-Code", "-e", "sip.CSeq.method") {
			f := append(strings.Split(line, "\t"), "", "", "")
			for i, method := range strings.Split(f[3], ",") {
				if code := strings.Split(f[2]+",,,,", ",")[i]; code != "" {
					method = code + " " + method
				}
				sip = append(sip, method)
			}
		}
		var drawn []string
		for _, label := range ladder("sip") {
			first, _, _ := strings.Cut(label, " ")
			if open := strings.LastIndexByte(label, '('); strings.HasSuffix(label, ")") {
				first += " " + label[open+1:len(label)-1]
			}
			drawn = append(drawn, first)
		}
		// The capture has a message when it is on the wire, the fake when it has read it: messages that cross may change places.
		slices.Sort(sip)
		slices.Sort(drawn)
		if len(drawn) == 0 || !slices.Equal(drawn, sip) {
			t.Errorf("%s: SIP in the ladder %q, in the capture %q", r.Scenario.Name, drawn, sip)
		}

		inOrder(t, r, filepath.Join(folder, "internet.pcapng"))
	}
}

// inOrder holds that every XMPP message of the trace stands in the capture, each sender's in the order of the trace.
func inOrder(t *testing.T, r *lab.Result, file string) {
	t.Helper()
	flows := map[string]string{} // "from > to": all that was sent
	for _, line := range tshark(t, file, "-Y", "tcp.port==5269 and tcp.len>0", "-T", "fields", "-e", "ip.src", "-e", "tcp.srcport", "-e", "ip.dst", "-e", "tcp.dstport", "-e", "tcp.payload") {
		f := strings.Split(line, "\t")
		payload, err := hex.DecodeString(f[4])
		if err != nil {
			t.Fatal(err)
		}
		flows[f[0]+":"+f[1]+" > "+f[2]+":"+f[3]] += string(payload)
	}
	compared := 0
	for _, e := range r.Trace {
		if e.Layer != trace.XMPP || e.Kind != trace.Sent && e.Kind != trace.Received || len(e.Data) == 0 {
			continue
		}
		key := e.From + " > " + e.To
		at := strings.Index(flows[key], string(e.Data))
		if at < 0 {
			t.Errorf("%s: the capture lacks, or has in another order, %s", r.Scenario.Name, e)
			continue
		}
		flows[key] = flows[key][at+len(e.Data):]
		compared++
	}
	if compared < 5 {
		t.Errorf("%s: only %d messages of XMPP to compare", r.Scenario.Name, compared)
	}
}
