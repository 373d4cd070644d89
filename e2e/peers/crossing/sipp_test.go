//go:build peers

package crossing

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestSIPp has SIPp play an Access Edge. The distribution's SIPp has no TLS; stunnel stands in front of it, for each direction, with
// the Edge's certificate, and verifies the gateway's.
func TestSIPp(t *testing.T) {
	t.Parallel()
	for _, f := range []struct {
		scenario string
		listens  bool // SIPp waits for the gateway's first request
		bob      func(*world, *client)
	}{
		{"session-in", false, func(w *world, c *client) {
			c.shows(alice, "Hello from SIPp")
			c.await("Alice typing", func(e element) bool {
				if strings.Contains(e.Inner, "Hello from SIPp") {
					w.t.Error("the text that stands in the INVITE as well came twice")
				}
				return e.is("message", "chat", alice, "<composing")
			})
			c.send("<message to='%s' type='chat'><composing xmlns='http://jabber.org/protocol/chatstates'/></message>", alice)
			c.send("<message to='%s' type='chat'><active xmlns='http://jabber.org/protocol/chatstates'/><body>Hello back</body></message>", alice)
			c.await("Alice gone", func(e element) bool { return e.is("message", "chat", alice, "<gone") })
		}},
		{"session-out", true, func(w *world, c *client) {
			c.send("<message to='%s' type='chat'><active xmlns='http://jabber.org/protocol/chatstates'/><body>Hello to SIPp</body></message>", alice)
			c.await("Alice typing", func(e element) bool { return e.is("message", "chat", alice, "<composing") })
			c.shows(alice, "Hello from SIPp")
			w.recorded("session-out", "SIP/2.0 202") // SIPp takes for an error what comes before it
			c.send("<message to='%s' type='chat'><composing xmlns='http://jabber.org/protocol/chatstates'/></message>", alice)
			c.send("<message to='%s' type='chat'><active xmlns='http://jabber.org/protocol/chatstates'/><body>And again</body></message>", alice)
			c.send("<message to='%s' type='chat'><gone xmlns='http://jabber.org/protocol/chatstates'/></message>", alice)
		}},
		{"watch-in", false, func(w *world, c *client) {
			c.await("the request", func(e element) bool { return e.is("presence", "subscribe", alice) })
			c.send("<presence to='%s' type='subscribed'/>", alice)
			w.recorded("watch-in", "<basic>open</basic>")
			c.send("<presence><show>away</show></presence>") // at most one notification in five seconds, so one after the other
			w.recorded("watch-in", "away")
			c.send("<presence type='unavailable'/>")
		}},
		{"watch-out", true, func(w *world, c *client) {
			c.send("<presence to='%s' type='subscribe'/>", alice)
			c.await("the approval", func(e element) bool { return e.is("presence", "subscribed", alice) })
			c.await("Alice's presence", func(e element) bool { return e.is("presence", "", alice) })
			c.await("Alice busy", func(e element) bool { return e.is("presence", "", alice, "<show>dnd</show>") })
			c.await("Alice gone", func(e element) bool { return e.is("presence", "unavailable", alice) })
			c.send("<presence to='%s' type='unsubscribe'/>", alice)
		}},
	} {
		t.Run(f.scenario, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			c := w.startProsody(mode{open: true, tls: true})
			w.issue("edge", "sip."+ourDomain)
			var sipp *process
			if f.listens {
				sipp = w.startSIPp(f.scenario, w.at(edge)+":5060", "", "-t", "t1")
				w.startStunnel(true)
			} else {
				w.startStunnel(false)
			}
			w.startGateway("{}", "{next_hop: sip."+ourDomain+":5061}")
			if f.listens {
				w.gateway.says("link up")
			} else {
				sipp = w.startSIPp(f.scenario, w.at(edge)+":5070", w.at(front)+":5060", "-t", "t1")
			}
			f.bob(w, c)
			sipp.exits()
		})
	}
}

// startSIPp starts one call of a scenario: a listening one, or one that begins by itself and sends to an address.
func (w *world) startSIPp(scenario, local, to string, more ...string) *process {
	w.t.Helper()
	path, err := filepath.Abs(filepath.Join("testdata", scenario+".xml"))
	if err != nil {
		w.t.Fatal(err)
	}
	host, port, _ := strings.Cut(local, ":")
	errs, messages := filepath.Join(w.dir, scenario+".errors"), filepath.Join(w.dir, scenario+".messages")
	args := []string{"-sf", path, "-m", "1", "-i", host, "-p", port, "-nostdin", "-key", "edge", w.at(edge), "-timeout", "60s", "-timeout_error",
		"-trace_err", "-error_file", errs, "-trace_msg", "-message_file", messages}
	args = append(args, more...)
	if to != "" {
		args = append(args, to)
	}
	// Not in a table of processes of its own: its number there would be 1 each time, and makes up what has to be unique in SIP.
	p := start(w.t, w.dir, []string{"TERM=dumb"}, "sipp", args...)
	w.t.Cleanup(func() {
		if w.t.Failed() {
			for _, name := range []string{errs, messages} {
				text, _ := os.ReadFile(name)
				w.t.Logf("%s:\n%s", name, text)
			}
		}
	})
	if to == "" {
		w.listening(map[bool]string{true: "udp", false: "tcp"}[slices.Contains(more, "u1")], local)
	}
	return p
}

// recorded waits until text stands in the record of SIPp's messages.
func (w *world) recorded(scenario, text string) {
	w.t.Helper()
	for limit := time.Now().Add(patience); ; time.Sleep(20 * time.Millisecond) {
		if record, _ := os.ReadFile(filepath.Join(w.dir, scenario+".messages")); strings.Contains(string(record), text) {
			return
		}
		if time.Now().After(limit) {
			w.t.Fatalf("SIPp had no message with %q", text)
		}
	}
}

// startStunnel starts the TLS front of a SIP server that has none: towards the gateway always, and for the gateway if SIPp listens.
func (w *world) startStunnel(both bool) {
	w.t.Helper()
	config := fmt.Sprintf(`
foreground = yes
pid =
syslog = no
debug = info
cert = %[1]s/edge.pem
key = %[1]s/edge.key
CAfile = %[1]s/ca.pem
verifyChain = yes
[to the gateway]
client = yes
accept = %[2]s:5060
connect = %[3]s:5061
checkHost = xmpp.%[4]s
`, w.dir, w.at(front), w.at(gateway), ourDomain)
	if both {
		config += fmt.Sprintf("[from the gateway]\naccept = %[1]s:5061\nconnect = %[1]s:5060\nrequireCert = yes\n", w.at(edge))
	}
	p := w.run(nil, "stunnel4", w.file("stunnel.conf", config))
	p.says("Configuration successful")
}
