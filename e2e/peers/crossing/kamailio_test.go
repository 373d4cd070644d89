//go:build peers

package crossing

import (
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"fedlab/lab/peers"
)

const phone = 21 // of Alice: SIPp, in clear behind Kamailio

// TestKamailio has Kamailio, a SIP/SIMPLE proxy and presence server, as the next hop of the SIP domain, and Prosody on the other
// side: single messages and presence, both ways.
func TestKamailio(t *testing.T) {
	t.Parallel()
	for name, do := range map[string]func(*world, *client){
		"messages": func(w *world, c *client) {
			reader := w.startPhone("phone-reads", "")
			c.send("<message to='%s' type='chat' id='k1'><body>Hello to Kamailio</body></message>", alice)
			reader.exits()
			w.startPhone("phone-writes", w.at(edge)+":5060", "-key", "text", "Hello from Kamailio").exits()
			c.shows(alice, "Hello from Kamailio")
		},
		"errors": func(w *world, c *client) {
			c.send("<message to='nobody@%s' type='chat' id='k2'><body>Hello?</body></message>", ourDomain)
			if e := c.await("an error", func(e element) bool { return e.Attr("id") == "k2" }); !e.is("message", "error", "nobody@"+ourDomain, "item-not-found") {
				w.t.Errorf("Bob wrote to nobody and was told %s", e)
			}
			busy := w.startPhone("phone-busy", "")
			c.send("<message to='%s' type='chat' id='k3'><body>Nobody there?</body></message>", alice)
			if e := c.await("an error", func(e element) bool { return e.Attr("id") == "k3" }); !e.is("message", "error", alice) {
				w.t.Errorf("Bob wrote to a busy phone and was told %s", e)
			}
			busy.exits()
			c.send("<message to='%s' type='chat' id='k4'><body>%s</body></message>", alice, strings.Repeat("too long ", 200))
			if e := c.await("an error", func(e element) bool { return e.Attr("id") == "k4" }); !e.is("message", "error", alice, "policy-violation") {
				w.t.Errorf("Bob wrote more than 1300 bytes and was told %s", e)
			}
		},
		"Bob watches Alice": func(w *world, c *client) {
			w.startPhone("phone-publishes", w.at(edge)+":5060").exits()
			c.send("<presence to='%s' type='subscribe'/>", alice)
			c.await("the approval", func(e element) bool { return e.is("presence", "subscribed", alice) })
			c.await("Alice's presence", func(e element) bool { return e.is("presence", "", alice, "at the desk") })
			record, err := os.ReadFile(filepath.Join(w.dir, "phone-publishes.messages"))
			if err != nil {
				w.t.Fatal(err)
			}
			tag := regexp.MustCompile(`SIP-ETag: *(\S+)`).FindSubmatch(record)
			if tag == nil {
				w.t.Fatalf("no SIP-ETag in %s", record)
			}
			w.startPhone("phone-unpublishes", w.at(edge)+":5060", "-key", "etag", string(tag[1])).exits()
			c.await("Alice gone", func(e element) bool { return e.is("presence", "unavailable", alice) })
			c.send("<presence to='%s' type='unsubscribe'/>", alice)
			c.await("the end of it", func(e element) bool { return e.is("iq", "set", "", "jabber:iq:roster", alice) })
		},
		"Alice watches Bob": func(w *world, c *client) {
			watcher := w.startPhone("phone-watches", w.at(edge)+":5060", "-default_behaviors", "all,-abortunexp")
			c.await("the request", func(e element) bool { return e.is("presence", "subscribe", alice) })
			c.send("<presence to='%s' type='subscribed'/>", alice)
			w.recorded("phone-watches", "<basic>open</basic>")
			c.send("<presence type='unavailable'/>")
			watcher.exits()
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			c := w.startProsody(mode{tls: true, external: true})
			w.startKamailio()
			w.startGateway("{tls: required, sasl: required}", "{next_hop: \"sip."+ourDomain+":5061\", mode: page}")
			w.gateway.says("link up")
			do(w, c)
		})
	}
}

// startPhone starts one call of Alice's phone: a listening one, or one that begins by itself.
func (w *world) startPhone(scenario, to string, args ...string) *process {
	w.t.Helper()
	return w.startSIPp(scenario, w.at(phone)+":5060", to, append(args, "-t", "u1")...)
}

// startKamailio starts Kamailio as the SIP server of contoso.example. It speaks TLS with the gateway and UDP with Alice's phone.
func (w *world) startKamailio() {
	w.t.Helper()
	w.issue("server", "sip."+ourDomain)
	tables := filepath.Join(w.dir, "kamailio-tables")
	if err := os.CopyFS(tables, os.DirFS(peers.Tables)); err != nil {
		w.t.Fatal(err)
	}
	w.serve(peers.SIPServer{
		Name: "sip." + ourDomain, Domains: []string{ourDomain}, Federation: netip.MustParseAddrPort(w.at(edge) + ":5061"),
		Inside: netip.MustParseAddrPort(w.at(edge) + ":5060"), Phones: map[string]netip.AddrPort{alice: netip.MustParseAddrPort(w.at(phone) + ":5060")},
		Hops: map[string]string{theirDomain: w.at(gateway) + ":5061"}, Folder: w.dir, Data: w.dir, Tables: tables,
	}.Kamailio())
	w.listening("tcp", w.at(edge)+":5061")
}
