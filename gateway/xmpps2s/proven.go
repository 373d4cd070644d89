package xmpps2s

import mstream "mellium.im/xmpp/stream"

// isProven reports whether any pair is valid.
func (in *incoming) isProven() bool {
	in.mu.Lock()
	defer in.mu.Unlock()
	for _, valid := range in.pairs {
		if valid {
			return true
		}
	}
	return false
}

// prove marks p as valid, unless its sender has too many streams already.
func (in *incoming) prove(p pair) bool {
	in.mu.Lock()
	defer in.mu.Unlock()
	if !in.domains[p.from] {
		if !in.s.count(p.from, 1) {
			return false
		}
		in.domains[p.from] = true
	}
	in.pairs[p] = true
	return true
}

// release gives back what prove counted.
func (in *incoming) release() {
	in.mu.Lock()
	defer in.mu.Unlock()
	for d := range in.domains {
		in.s.count(d, -1)
	}
	clear(in.domains)
}

// may reports whether stanzas of p are allowed on this stream, and the fault that answers them if not.
func (in *incoming) may(p pair) *fault {
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.pairs[p] {
		return nil
	}
	any, sender := false, false
	for q, valid := range in.pairs {
		any = any || valid
		sender = sender || valid && q.from == p.from
	}
	switch {
	case !any:
		return &fault{mstream.NotAuthorized, "a stanza before the stream was authenticated"}
	case sender:
		return &fault{mstream.HostUnknown, "this stream is not authenticated for " + p.to}
	}
	return &fault{mstream.InvalidFrom, "this stream is not authenticated for " + p.from}
}
