package vnet

import (
	"strings"
	"testing"
	"time"

	"fedlab/internal/network"
	"fedlab/internal/network/networktest"
	"fedlab/sim/trace"
)

// What sockets do here is what they do on the operating system: the same operations on both, and the same record of what
// happened. Nothing is written down in advance; both columns are filled by running.
func TestBehaviours(t *testing.T) {
	if n := len(networktest.Behaviours); n < 20 {
		t.Errorf("only %d behaviours", n)
	}
	for _, b := range networktest.Behaviours {
		t.Run(strings.ReplaceAll(b.Name, " ", "-"), func(t *testing.T) {
			var got, want string
			world(t, contoso(), func(t *testing.T, n *Net, _ *trace.Recorder) {
				virtual := &networktest.Stage{Network: n.Host("xmpp"), Settle: func() { time.Sleep(20 * time.Millisecond) }}
				got = virtual.Try(b)
			})
			// What is under way on the system has arrived after some time that only a busy machine makes longer.
			for settle := 20 * time.Millisecond; want != got && settle < 3*time.Second; settle *= 5 {
				system := &networktest.Stage{Network: network.OS{}, Settle: func() { time.Sleep(settle) }}
				want = system.Try(b)
			}
			if got != want {
				t.Errorf("\nsystem:  %s\nvirtual: %s", want, got)
			} else {
				t.Logf("%s", want)
			}
		})
	}
}
