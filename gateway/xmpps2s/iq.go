package xmpps2s

import "fedlab/gateway/im"

// The namespaces of the requests that are answered.
const (
	nsPing  = "urn:xmpp:ping"                          // XEP-0199
	nsInfo  = "http://jabber.org/protocol/disco#info"  // XEP-0030
	nsItems = "http://jabber.org/protocol/disco#items" // XEP-0030
	nsVer   = "jabber:iq:version"                      // XEP-0092
	nsTime  = "urn:xmpp:time"                          // XEP-0202
)

// receiveIQ answers a request exactly once; results and errors are never answered (RFC 6120 §8.2.3).
func (s *Server) receiveIQ(z stanza) {
	switch z.el.attr("type") {
	case "get", "set":
	case "result", "error":
		s.pong(pair{z.to.Domain, z.from.Domain}, z.el.attr("id"))
		return
	default:
		s.bounce(z, &im.Failure{Condition: im.BadRequest, Text: "an iq is of type get, set, result or error"})
		return
	}
	var payload *element
	for _, k := range z.el.Kids {
		if k.Name.Local == "" {
			continue
		}
		if payload != nil {
			payload = nil
			break
		}
		payload = k
	}
	if z.el.attr("id") == "" || payload == nil {
		s.bounce(z, &im.Failure{Condition: im.BadRequest, Text: "an iq has an id and, as a request, exactly one child"})
		return
	}
	if result, ok := s.answerIQ(z, payload); ok {
		w := &writer{}
		z.open(w, "result")
		s.reply(z, w.raw(result).raw("</iq>").b)
		return
	}
	s.bounce(z, &im.Failure{Condition: im.ServiceUnavailable})
}

// answerIQ is the payload of the result to a request, if it is one that is answered. Only the gateway's own domains say
// anything; about a person nothing is revealed (RFC 6120 §8.3.3.19).
func (s *Server) answerIQ(z stanza, payload *element) (string, bool) {
	if z.el.attr("type") != "get" {
		return "", false
	}
	domain := z.to.Local == ""
	switch {
	case payload.is(nsPing, "ping") && domain:
		return "", true // XEP-0199 §4.3
	case payload.is(nsItems, "query"):
		return "<query xmlns='" + nsItems + "'/>", true
	case payload.is(nsInfo, "query") && domain && payload.attr("node") == "":
		return discoInfo, true
	case payload.is(nsVer, "query") && domain:
		return "<query xmlns='" + nsVer + "'><name>fedgate</name><version>" + version + "</version></query>", true
	case payload.is(nsTime, "time") && domain:
		return "<time xmlns='" + nsTime + "'><tzo>+00:00</tzo><utc>" + nowStamp() + "</utc></time>", true
	}
	return "", false
}

// discoInfo says what the gateway's domains are: a gateway to SIP, and an XMPP server.
const discoInfo = "<query xmlns='" + nsInfo + "'>" +
	"<identity category='gateway' type='sip' name='fedgate'/><identity category='server' type='im' name='fedgate'/>" +
	"<feature var='" + nsInfo + "'/><feature var='" + nsItems + "'/><feature var='" + nsPing + "'/>" +
	"<feature var='" + nsVer + "'/><feature var='" + nsTime + "'/></query>"
