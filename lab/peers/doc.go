// Package peers knows the servers that others wrote and that people run: Prosody and ejabberd on the XMPP side, Kamailio on the SIP side, all
// as Debian packages them. It says how each is run and configured ([XMPPServer], [SIPServer]), and is the clients of their users:
// [XMPPUser] and [Phone] do what steps ask for and write what they were shown into a trace, as the fakes' users do.
//
// The world of containers runs the servers in containers of their own, the suites in e2e/peers as processes on loopback; both have
// their configuration from here. Nothing here starts a server.
//
// Files: debian.go is what a distribution decides, prosody.go, ejabberd.go and kamailio.go the configurations; stream.go is a client's stream
// and xmpp.go its user; phone.go is a SIP user agent, subscription.go what it watches and document.go what it reads and writes of presence.
package peers
