//go:build peers

package crossing

import "fedlab/lab/peers"

// startProsody starts Prosody for peer.example and logs Bob in.
func (w *world) startProsody(m mode) *client {
	w.t.Helper()
	return w.startServer(m, "prosody", peers.XMPPServer.Prosody, "Activated service 'c2s'")
}
