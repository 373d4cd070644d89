package vnet

import (
	"errors"
	"net"
	"syscall"
	"testing"
	"time"

	"fedlab/sim/trace"
)

// A machine that dies says nothing: its peer finds out when it next has something to say and the machine is back, by a reset.
func TestDieAndBoot(t *testing.T) {
	world(t, contoso(), func(t *testing.T, n *Net, _ *trace.Recorder) {
		pool := n.Host("pool")
		c, s := pair(t, n.Host("xmpp"), pool, "10.10.10.60:1")
		pool.PowerOff()
		if _, err := s.Read(make([]byte, 1)); !errors.Is(err, net.ErrClosed) {
			t.Errorf("the dead machine's own program: %v", err)
		}
		if _, err := pool.Listen(t.Context(), "tcp", ":2"); !errors.Is(err, syscall.ENETDOWN) {
			t.Errorf("listen on a dead machine: %v", err)
		}
		write(t, c, "hello?")
		time.Sleep(5 * time.Second)
		if sockets, _ := n.Host("xmpp").Sockets(); len(sockets) != 1 || sockets[0].State != "ESTABLISHED" {
			t.Errorf("the survivor: %v", sockets)
		}
		pool.Boot()
		if _, err := c.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("after the boot: %v", err)
		}
		pair(t, n.Host("xmpp"), pool, "10.10.10.60:1")
	})
}

// A pause costs time and nothing else.
func TestPause(t *testing.T) {
	world(t, contoso(), func(t *testing.T, n *Net, _ *trace.Recorder) {
		pool := n.Host("pool")
		c, s := pair(t, n.Host("xmpp"), pool, "10.10.10.60:1")
		pool.Pause()
		write(t, c, "ping")
		write(t, s, "pong")
		c.SetReadDeadline(time.Now().Add(time.Minute))
		if _, err := c.Read(make([]byte, 1)); err == nil {
			t.Error("a paused machine talks")
		}
		c.SetReadDeadline(time.Time{})
		pool.Resume()
		expectRead(t, s, "ping")
		expectRead(t, c, "pong")
	})
}
