package xmpps2s

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"strings"

	"fedlab/gateway/translate"
)

// pair is an ordered pair of domains, in lower-case A-labels: who says something to whom.
type pair struct{ from, to string }

// reversed is the pair of the opposite direction.
func (p pair) reversed() pair { return pair{p.to, p.from} }

func (p pair) String() string { return p.from + " to " + p.to }

// dialbackKey is the key that a stream of the originating domain shows to the receiving domain (XEP-0185 §2). The HMAC key is
// the digest's hexadecimal text, not its bytes.
func dialbackKey(secret, receiving, originating, streamID string) string {
	digest := sha256.Sum256([]byte(secret))
	mac := hmac.New(sha256.New, []byte(hex.EncodeToString(digest[:])))
	mac.Write([]byte(receiving + " " + originating + " " + streamID))
	return hex.EncodeToString(mac.Sum(nil))
}

// verifyXML answers db:verify as the authoritative server: the key is computed again, so that any server that knows the
// secret can answer (XEP-0220 §2.2.2). domains in the answer are copied as they came.
func (s *Server) verifyXML(e *element) []byte {
	from, to, id := e.attr("from"), e.attr("to"), e.attr("id")
	local, lerr := translate.ParseDomain(to)
	remote, rerr := translate.ParseDomain(from)
	switch {
	case lerr != nil || !s.local[local]:
		return dialbackXML("verify", to, from, id, "error", "item-not-found")
	case rerr == nil:
		key := dialbackKey(s.cfg.Secret, remote, local, id)
		if hmac.Equal([]byte(key), []byte(strings.TrimSpace(e.text()))) {
			return dialbackXML("verify", to, from, id, "valid", "")
		}
	}
	s.log.Warn("a dialback key is not ours", "asked by", from, "for", to)
	return dialbackXML("verify", to, from, id, "invalid", "")
}

// dialbackXML renders an answer: db:result or db:verify with a type, and a condition if the type is error (XEP-0220 §2.5).
func dialbackXML(name, from, to, id, typ, condition string) []byte {
	w := &writer{}
	w.raw("<db:").raw(name).attrAlways("from", from).attrAlways("to", to).attr("id", id).attr("type", typ)
	if condition == "" {
		return w.raw("/>").b
	}
	w.raw("><error type='").raw(dialbackErrorTypes[condition]).raw("'><").raw(condition)
	w.raw(" xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></db:").raw(name)
	return w.raw(">").b
}

// dialbackErrorTypes are the error types of the dialback conditions (XEP-0220 §2.5).
var dialbackErrorTypes = map[string]string{
	"item-not-found": "cancel", "remote-connection-failed": "cancel", "remote-server-not-found": "cancel",
	"remote-server-timeout": "wait", "policy-violation": "modify", "not-authorized": "auth", "forbidden": "auth",
	"not-acceptable": "modify", "resource-constraint": "wait",
}

// keyXML renders a question: db:result with our key, or db:verify with a peer's.
func keyXML(name, from, to, id, key string) []byte {
	w := &writer{}
	w.raw("<db:").raw(name).attrAlways("from", from).attrAlways("to", to).attr("id", id).raw(">").text(key)
	return w.raw("</db:").raw(name).raw(">").b
}

// dialbackPair reads the domains of a dialback element; ok is false if either is no domain name.
func dialbackPair(e *element) (p pair, ok bool) {
	from, err := translate.ParseDomain(e.attr("from"))
	if err != nil {
		return pair{}, false
	}
	to, err := translate.ParseDomain(e.attr("to"))
	return pair{from, to}, err == nil
}

// dialbackCondition is the condition inside a dialback element of type error, or "".
func dialbackCondition(e *element) string {
	for _, k := range e.Kids {
		if k.Name.Local != "error" {
			continue
		}
		for _, c := range k.Kids {
			if c.Name.Local != "" && c.Name.Local != "text" {
				return c.Name.Local
			}
		}
	}
	return ""
}
