// Package sipedge is the SIP side of the gateway: it speaks with Access Edges (OCS 2007 R2 and its successors) over mutual TLS.
//
// [New] checks a [Config] and makes an [Edge]; [Edge.Run] listens, keeps a link to every next hop and returns when all that it
// started has ended. Messages for SIP users come in by [Edge.Send]; messages from SIP users go out to the im.Sink given to New.
//
// Life of a message to a SIP user: Send finds or makes its conversation (conversation.go), whose machine (package session) says
// INVITE; dialog.go builds the request, hop.go gives a live link of the next hop, sipgo's client transaction sends it; the 200
// opens the dialog, the message follows as MESSAGE, and its final response becomes the message's outcome. The other way round:
// sipgo reads a request from a link, arrivals.go restores the order in which requests came, inbound.go checks it and hands the
// text to the sink; the outcome becomes the SIP response.
//
// Delivery reports (package imdn): wishes.go is what SIP users want to be told of their messages, awaited.go what we have asked to be told
// for XMPP users. Both become, or come from, the receipts and errors of XMPP. memory.go bounds what is remembered meanwhile.
//
// Presence goes the same ways: [Edge.Signal] takes what XMPP users say, Config.Presence gets what SIP users show. watch.go holds the
// SUBSCRIBE dialogs that we keep for XMPP users, feed.go those in which SIP users watch; package presence decides in both, and
// keep.go sees to it that permissions outlive a restart. page.go is for peers without sessions, health.go for links that look
// alive and are not.
//
// What sipgo does here, and what it does not. It parses the messages and runs the transactions; what it could not parse, and would end
// the connection for, it is not given (framing.go). It does not dial (we do, through the Network, with our own verification, and feed
// it finished connections), and it writes no header that came from a peer: its typed headers lose what stands after '>' in a
// Record-Route and mangle quoted Via parameters, so every header is kept as it stood on the wire (message.go) and echoed from there.
//
// Locks: no lock is held while anything blocks. Writes to a connection only enqueue; one goroutine per link writes.
package sipedge
