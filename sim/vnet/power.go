package vnet

// power is whether a machine runs.
type power uint8

const (
	powerOn     power = iota
	powerOff          // nothing is sent, received or remembered
	powerPaused       // nothing is sent; what arrives waits
)

// pauseQueue is how many packets wait for a paused machine; further ones are lost.
const pauseQueue = 4096

// held is a packet that a paused machine did not send (out) or take.
type held struct {
	p   *packet
	in  *iface
	out bool
}

// PowerOff takes the machine off the network without a word: its programs find their sockets closed, and nobody else is told.
// Programs cannot open sockets until Boot.
func (h *Host) PowerOff() {
	h.node.net.lock()
	defer h.node.net.unlock()
	h.node.power = powerOff
	h.node.dropHeld()
	h.node.abandon()
}

// Boot starts a machine that was powered off, or restarts a running one: it knows nothing of its earlier connections and
// answers their segments with resets.
func (h *Host) Boot() {
	h.node.net.lock()
	defer h.node.net.unlock()
	h.node.dropHeld()
	h.node.abandon()
	h.node.power = powerOn
}

// Pause freezes the machine's network: nothing leaves it, and what arrives waits until Resume. Timers run on, as do the
// programs, which only seem to talk into the void.
func (h *Host) Pause() {
	h.node.net.lock()
	defer h.node.net.unlock()
	if h.node.power == powerOn {
		h.node.power = powerPaused
	}
}

// Resume ends Pause: what has waited goes out and is taken, in order.
func (h *Host) Resume() {
	nd := h.node
	nd.net.lock()
	defer nd.net.unlock()
	if nd.power != powerPaused {
		return
	}
	nd.power = powerOn
	waiting := nd.held
	nd.held = nil
	for _, w := range waiting {
		if !w.out {
			nd.net.deliver(w.p, w.in)
		} else if nd.output(w.p) != 0 {
			nd.net.release(w.p)
		}
	}
}

// hold keeps a packet of a paused machine.
func (nd *node) hold(w held) {
	if len(nd.held) >= pauseQueue {
		nd.net.release(w.p)
		return
	}
	nd.held = append(nd.held, w)
}

func (nd *node) dropHeld() {
	for _, w := range nd.held {
		nd.net.release(w.p)
	}
	nd.held = nil
}
