package googletalk

import (
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"fedlab/sim/trace"
)

func (b *bubble) stranger() Stranger {
	return Stranger{
		Network: b.net.Host("outside"), Target: "12.34.56.78:5269", Host: "outside", Trace: b.trace, Seed: 1,
		Claim: "gmail.com", Victim: "contoso.com", From: "bob@gmail.com", To: "alice@contoso.com",
	}
}

// complaints is what the stranger, not the server, found wrong.
func (b *bubble) complaints() (list []string) {
	for _, e := range b.trace.Events() {
		if e.Kind == trace.Unexpected && e.Host == "outside" {
			list = append(list, e.Summary)
		}
	}
	return list
}

// A farm under attack: nothing forged is shown, and what has to end does. Where the farm itself is lenient (it holds idle and
// slow streams), the stranger says so.
func TestStranger(t *testing.T) {
	lenient := map[Attempt]string{SlowDrip: "not ended", FloodConnections: "taken and kept"}
	wantError := map[Attempt]string{
		ForgedFrom: "invalid-from", ForgedKey: "not-authorized", ForgedResult: "invalid-from", ForgedSuccess: "unsupported-stanza-type",
		FloodKeys: "policy-violation", FloodMessages: "invalid-from",
		ForgedVerify: "not-authorized", NotXML: "not-well-formed", Malformed: "not-well-formed", EntityBomb: "restricted-xml", Comment: "restricted-xml",
		InvalidUTF8: "not-well-formed", GiantStanza: "policy-violation", GiantAttribute: "policy-violation", GiantHeader: "policy-violation",
		Deep: "policy-violation",
	}
	for _, a := range Attempts() {
		t.Run(string(a), func(t *testing.T) {
			inBubble(t, nil, func(b *bubble) {
				o, err := b.stranger().Try(b.t.Context(), a)
				if err != nil {
					t.Fatal(err)
				}
				if o.Accepted || o.Took > 121*time.Second || o.StreamError != wantError[a] {
					t.Errorf("%v after %v, %v\n%s", o, o.Took, o.Answers, b.dump())
				}
				got := strings.Join(b.complaints(), "; ")
				if want := lenient[a]; want == "" && got != "" || !strings.Contains(got, want) {
					t.Errorf("complaints: %s", got)
				}
				for _, e := range b.trace.Events() {
					if e.Layer == trace.Client {
						t.Errorf("shown: %s", e)
					}
				}
			})
		})
	}
}

// A server that believes everything is found out.
func TestStrangerIsBelieved(t *testing.T) {
	inBubble(t, func(b *bubble) { b.peer.Hosts[0].Down = true }, func(b *bubble) {
		ln, err := b.net.Host("xmpp").Listen(b.t.Context(), "tcp", ":5269")
		if err != nil {
			t.Fatal(err)
		}
		defer ln.Close()
		done := make(chan struct{})
		go func() {
			defer close(done)
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			defer conn.Close()
			io.WriteString(conn, strings.ReplaceAll(headerFmt, "%s", "from='contoso.com' to='gmail.com' id='x'"))
			io.WriteString(conn, "<db:result from='contoso.com' to='gmail.com' type='valid'/>")
			io.Copy(io.Discard, conn)
		}()
		o, err := b.stranger().Try(b.t.Context(), ForgedKey)
		if err != nil || !o.Accepted || o.Closed {
			t.Errorf("%+v, %v", o, err)
		}
		if got := b.complaints(); len(got) != 1 || !strings.Contains(got[0], "claim was accepted") {
			t.Errorf("complaints: %v", got)
		}
		<-done
	})
	inBubble(t, func(b *bubble) { b.peer.Hosts[0].Down = true }, func(b *bubble) {
		if _, err := b.stranger().Try(b.t.Context(), Malformed); err == nil {
			t.Error("nobody listens, and the stranger does not say so")
		} else if op := new(net.OpError); !strings.Contains(err.Error(), "cannot reach") || op == nil {
			t.Error(err)
		}
		if _, err := b.stranger().Try(b.t.Context(), "nonsense"); err == nil {
			t.Error("an attempt that does not exist")
		}
	})
}
