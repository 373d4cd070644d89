// Package ocsedge is a fake of an OCS 2007 R2 Access Edge with a pool and its users behind it.
//
// It behaves on the wire as the real one and judges its peer, the gateway, by what it sees. [Start] opens the federation
// listener and the internal interface. A request that comes in is checked as the Edge checks it: the certificate's chain in
// the handshake; on every request the certificate's name against the Allow list's next hop of the From domain; the Route set;
// then the pool looks for the user. Trust failures get a bare "504 Server time-out" and nothing else: the reason stands only
// in the Edge's own log ([Edge.Log], layer Log of the trace), with the HRESULT, Winsock or ErrorId names of the product.
//
// The other way round [Edge.Send] is a user's client: it opens an IM session (INVITE with the first text in Ms-Text-Format),
// sends that text again as MESSAGE unless the peer claims it, and goes on in the dialog. The Edge looks up the Allow list's
// next hop, dials it by name, and checks its certificate; whatever fails on the way is shown to the user as the status the
// pool would show, and in the Edge's log with its reason.
//
// What the peer does against the specifications, or against what an Edge relies on (Via, From and Route echoed byte for byte,
// the whole GRUU as Request-URI, names instead of addresses), is a trace event of kind Unexpected: the scenario fails on it.
//
// Goals: bytes as the real one sends them, headers that strict libraries choke on included; the same order of checks; every
// doubtful point a named switch in [Quirks] with its evidence. Limitations: no audio, video, conferences or file transfer;
// no compression; requests that the gateway must not send (REFER, SERVICE, REGISTER) are refused, not understood; route
// signatures are random tokens that are compared, not verified.
//
// Files: edge.go has the configuration and the one event loop that owns all state; link.go connections and tls.go their trust;
// message.go and address.go the reader; inbound.go the gate, partner.go partners without a configured next hop; transaction.go,
// dialog.go, session.go, text.go and client.go what is spoken; reports.go delivery
// reports; presence.go, watch.go, watcher.go and documents.go presence;
// judge.go what is held against the peer; quirks.go the switches.
//
// Sources are cited as in "MS-SIP §3.5", "RFC 3261 §12.2", "field notes, step 6", and "trace" or "code" where a fact was read
// from a real packet or from an interoperating client's source.
package ocsedge
