package googletalk

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"strings"
)

// pair is an ordered pair of domains: stanzas flow from sender to target.
type pair struct{ sender, target string }

func (p pair) String() string { return p.sender + " > " + p.target }

// key is the dialback key for a stream from sender to target with this id. Nobody but the farm ever computes or judges it;
// the recipe is the recommended one. XEP-0185 §2
func (f *Farm) key(p pair, id string) string {
	return dialbackKey(f.secret, p.target, p.sender, id)
}

func dialbackKey(secret, receiving, originating, id string) string {
	digest := sha256.Sum256([]byte(secret))
	mac := hmac.New(sha256.New, []byte(hex.EncodeToString(digest[:])))
	mac.Write([]byte(receiving + " " + originating + " " + id))
	return hex.EncodeToString(mac.Sum(nil))
}

// key is the key that the machine sends.
func (b *boot) key(p pair, id string) string {
	q := b.machine.quirks
	key := b.farm.key(p, id)
	if q.WrongKey {
		key = dialbackKey("not the secret of the farm", p.target, p.sender, id)
	}
	if q.SpacedKey {
		key = "\n  " + key + "\n"
	}
	return key
}

// sameKey compares in constant time. White space around a key is an accident of formatting. XEP-0220 examples
func sameKey(a, b string) bool {
	return hmac.Equal([]byte(strings.TrimSpace(a)), []byte(strings.TrimSpace(b)))
}

// pairOf reads from and to of a dialback element that goes from the sender's side.
func pairOf(e *element) (pair, bool) {
	from, ok1 := parseJID(e.get("from"))
	to, ok2 := parseJID(e.get("to"))
	return pair{from.domain, to.domain}, ok1 && ok2 && from.local == "" && to.local == "" && from.resource == "" && to.resource == ""
}

// dialback is a db:result or db:verify as the farm writes it.
func (y style) dialback(name, from, to, id, kind, content string) frame {
	w := y.parties(tag("db:"+name), from, to).attr("id", id).attr("type", kind)
	f := frame{summary: "db:" + name + " " + from + " > " + to}
	if kind != "" {
		f.summary += " " + kind
	}
	if content == "" {
		f.data = w.empty()
	} else {
		f.data = w.wrap(content)
	}
	if y.newline {
		f.data += "\n"
	}
	return f
}

// dialbackError is the content of a dialback element of type error. XEP-0220 §2.5
func dialbackError(condition string) string {
	return `<error type="cancel">` + tag(condition).attr("xmlns", nsStanzas).empty() + `</error>`
}
