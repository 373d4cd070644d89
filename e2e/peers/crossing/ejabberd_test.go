//go:build peers

package crossing

import "fedlab/lab/peers"

// startEjabberd starts ejabberd for peer.example and logs Bob in.
func (w *world) startEjabberd(m mode) *client {
	w.t.Helper()
	return w.startServer(m, "ejabberd", peers.XMPPServer.Ejabberd,
		"Start accepting TCP connections at "+w.at(server)+":5269", "Start accepting TCP connections at "+w.at(server)+":5222")
}
