//go:build peers

package peers

import (
	"net/netip"
	"testing"

	"fedlab/lab/peers"
)

// prosody starts Prosody.
func (s *site) prosody() {
	s.t.Helper()
	local := func(port int) netip.AddrPort {
		return netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), uint16(port))
	}
	server := peers.XMPPServer{
		Domains: []string{"peer.example"}, Federation: local(s.s2s), Clients: local(s.c2s), Encryption: peers.Never, External: s.mode.external,
		Names: s.dns, Folder: s.dir, Data: s.dir,
	}
	if s.mode.tls {
		server.Encryption = peers.Required
	}
	run := server.Prosody()
	for name, text := range run.Files {
		s.file(name, text)
	}
	s.run(run.Env, run.Command[0], run.Command[1:]...)
}

func TestProsody(t *testing.T) {
	for _, m := range modes {
		t.Run(m.name, func(t *testing.T) {
			s := newSite(t, m)
			s.prosody()
			s.exercise(t)
		})
	}
}
