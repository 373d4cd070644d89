// Package crossing tries the whole gateway, as the process that people run, between servers that others wrote: Prosody and
// ejabberd on one side, SIPp and Kamailio on the other, all from the distribution's packages. Where no other SIP server is meant
// the fake Edge stands there.
//
// Its tests need those packages (install.sh in the directory above) and are built with the tag peers:
//
//	make test-peers
//
// Every world has loopback addresses of its own, 127.79.N.x, a name server that only it asks, and files in a temporary directory.
// All servers are children of the test and end with it, however it ends.
package crossing
