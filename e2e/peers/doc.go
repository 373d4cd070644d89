// Package peers tries the gateway's XMPP side with the XMPP servers that people run: Prosody and ejabberd from the
// distribution's packages, on this machine's loopback. Its tests need those packages and are built with the tag peers:
//
//	go test -tags peers ./e2e/peers
package peers
