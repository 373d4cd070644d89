package googletalk

import (
	"fmt"
	"hash/fnv"
)

// style is how a machine writes what the specifications leave open. No capture of the farm's server-to-server headers is
// known, so each machine has a style of its own, by the seed: a peer that leans on one of them fails with another seed.
type style struct {
	declaration bool // an XML declaration before the header. RFC 6120 §11.5: SHOULD
	idFirst     bool // order of the header's attributes
	toFirst     bool // order of from and to in dialback elements and headers
	newline     bool // white space behind the header and behind elements. RFC 6120 §4.6.1: may stand anywhere between
}

func styleOf(seed uint64, host string) style {
	h := fnv.New64a()
	fmt.Fprintf(h, "style %d %s", seed, host)
	bits := h.Sum64()
	bits ^= bits >> 32
	return style{declaration: bits&1 != 0, idFirst: bits&2 != 0, toFirst: bits&4 != 0, newline: bits&8 != 0}
}

// parties writes from and to.
func (y style) parties(w *tagWriter, from, to string) *tagWriter {
	if y.toFirst {
		return w.attr("to", to).attr("from", from)
	}
	return w.attr("from", from).attr("to", to)
}

// header writes a stream header. The attributes' names and values are those of the client streams of the time.
func (y style) header(from, to, id, version string) string {
	w := tag("stream:stream")
	if y.idFirst {
		y.parties(w.attr("id", id), from, to)
	} else {
		y.parties(w, from, to).attr("id", id)
	}
	w.attr("version", version).attr("xmlns:stream", nsStream).attr("xmlns", nsServer).attr("xmlns:db", nsDialback)
	s := w.String() + ">"
	if y.declaration {
		s = `<?xml version="1.0"?>` + s
	}
	if y.newline {
		s += "\n"
	}
	return s
}
