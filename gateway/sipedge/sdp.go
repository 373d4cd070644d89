package sipedge

import "strings"

// An IM session is described by SDP with one media line, "m=message <port> sip null". The port means nothing, and "sip" says
// that the messages travel as SIP MESSAGE in the dialog. [MS-SIP]; observed in OCS 2007 R2 and Lync traces

// sdpOffer describes our side. peer is what stands for null in an answer: the address of the person we speak for.
func sdpOffer(host, peer string) []byte {
	if peer == "" {
		peer = "null"
	}
	return []byte("v=0\r\no=- 0 0 IN IP4 " + host + "\r\ns=session\r\nc=IN IP4 " + host + "\r\nt=0 0\r\n" +
		"m=message 5060 sip " + peer + "\r\na=accept-types:" + accepted + "\r\n")
}

// sdpMedia says whether an SDP offers a message session, one by another transport (MSRP), and whether it offers anything else that is
// not refused (port 0).
func sdpMedia(sdp []byte) (message, msrp, other bool) {
	for line := range strings.Lines(string(sdp)) {
		rest, ok := strings.CutPrefix(line, "m=")
		if !ok {
			continue
		}
		f := strings.Fields(rest)
		switch {
		case len(f) < 3:
			other = true
		case f[0] == "message" && strings.EqualFold(f[2], "sip"), f[0] == "x-ms-message": // LCS 2005 writes the second
			message = true
		case f[0] == "message":
			msrp, other = true, other || f[1] != "0"
		case f[1] != "0":
			other = true
		}
	}
	return message, msrp, other
}
