// Package googletalk is a fake of the Google Talk farm as it federated in 2010: five host names on three machines that speak
// XMPP to other servers with dialback and nothing else. It stands in for the real one in scenarios, and judges the peer.
//
// A [Farm] is several machines ([Host]), each with a network of its own, and the users of one or more domains. Each machine
// listens on 5269. What a peer sends there is read strictly: whatever a correct server would not have sent is a trace event
// of kind Unexpected, with the bytes, and fails the scenario. A user's message leaves from one of the machines, any of them,
// over a stream that this machine opens itself; what comes back as an error is shown to the user.
//
// The life of a message from bob@gmail.com to alice@contoso.com:
//
//  1. [Farm.Send] plays bob's client. The farm picks a machine ([SendOptions].Via, else one that depends on bob and the seed).
//  2. The machine's link for the pair gmail.com, contoso.com queues it (link.go). If there is no stream, one is set up:
//     _xmpp-server._tcp.contoso.com is looked up and its targets are tried in order (resolve.go), a header without version
//     goes out, then the dialback key (dialback.go).
//  3. The peer asks any machine of the farm whether the key is right; all know the secret (inbound.go).
//  4. Once the peer says "valid" the queue is sent. If that does not come to pass, bob is shown an error within
//     [Timeouts].Setup.
//
// And of one that comes in: the peer opens a stream, sends its key, the machine that got it dials back to the sender's domain
// and asks there (verify.go), answers, and from then on takes stanzas of that pair of domains. A message reaches a user who
// has its sender among the contacts; anybody else gets service-unavailable (deliver.go).
//
// Users also type, show presence on several clients, subscribe to contacts, approve and deny, and ask for receipts
// (people.go, presence.go). Hosts go down and come back ([Farm.SetDown], [Farm.Restart]).
//
// Two further things live here because they speak the same protocol. With [Config].Partner the farm is not Google but a
// server of version 1.0 with TLS and SASL EXTERNAL as configured (partner.go, negotiate.go). A [Stranger] is no server at
// all: it makes one attempt to forge, to flood or to break the peer, and says what came back (stranger.go).
//
// # Goals and limits
//
// What the farm puts on the wire follows captures and reports of the time where there are any; each such habit, and each
// fault that can be planted, is a named switch in [Quirks] with its evidence. Where nothing is known it follows RFC 3920.
// The package shares no protocol code with the gateway, and writes its own bytes: a shared mistake would prove nothing.
// There is no client connection: users are played by method calls. Group chat, voice, archive and mail notification, which
// never crossed to other servers usefully, are not there.
//
// Everything runs on the [network.Network] it is given and takes time only from package time, so a farm works in a
// testing/synctest bubble and on a real network alike.
package googletalk
