// Package xmpps2s is the gateway's XMPP side: it speaks server-to-server XMPP (RFC 6120) with the domains it is
// configured for, and nobody else.
//
// A [Server] listens for peers and dials them. XMPP between servers is one-way unless both sides agree otherwise: what a peer
// says to us comes in on streams that the peer opened, what we say goes out on streams of our own. With peers of version 1.0
// that know XEP-0288 a stream serves both, whichever side opened it (bidi.go); we offer it to all and take every offer, but
// prove no further domain of ours on a stream of theirs. A stream carries stanzas only for pairs of domains that were proven
// on it, by TLS certificates (SASL EXTERNAL) or by server dialback (XEP-0220), in which three roles meet:
//
//   - initiating: we open a stream, send a key in db:result and wait for "valid" (outgoing.go);
//   - receiving: a peer sends us its key; we open a connection of our own to the server that DNS names for the peer's
//     domain and ask it, in db:verify, whether the key is its own (verify.go);
//   - authoritative: anybody asks us whether a key is ours; we compute it again from our secret and compare (dialback.go).
//
// The way of a message out: [Server.Send] renders the stanza and puts it into the queue of its domain pair (link.go); the
// pair's one goroutine finds the peer's hosts (resolve.go), dials one after the other until a stream stands (dial.go,
// outgoing.go), and writes the queue in order. Whatever cannot be written is returned through its Outcome with the reason.
// The way of a message in: a stream is accepted (incoming.go), its bytes pass the guard (guard.go), which holds the limits
// before anything is parsed, its stanzas are checked against the verified pairs and given to the im.Sink (stanza.go).
//
// mellium.im/xmpp provides the session, with a Negotiator of ours, the XML token stream, stream errors and addresses. Two
// things are done beside it. Bytes are counted and restricted XML is refused beneath its decoder, because a limit that acts
// after parsing is none. And stanzas are rendered here and written by goroutines of ours, because dialback peers
// of the first generation match the text "db:", which encoding/xml cannot be made to write, and because mellium holds a mutex
// while it writes, so that a peer that stopped reading would stop all who want to send.
package xmpps2s
