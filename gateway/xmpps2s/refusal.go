package xmpps2s

import (
	"net"
	"slices"
	"time"
)

// Why a peer that claimed to speak for a domain was not believed.
const (
	NotAllowed = "domain-not-allowed" // the domain is not one of those that may call in
	KeyInvalid = "key-invalid"        // the domain's own server says that the dialback key is none of its
	KeyUnknown = "key-unverified"     // the domain's own server could not be asked, or did not answer
	NotProven  = "not-proven"         // a stanza in the name of a domain that this stream has not proved
)

// Refusal is a claim of a peer that was not believed. It is forgotten when the same is proved later, so what is left is what
// still stands.
type Refusal struct {
	At        time.Time
	From      string // the peer's address, without port
	Domain    string // whom it claimed to speak for
	To        string // our domain
	Reason    string // one of the constants above
	Condition string // the XMPP condition that the peer was told, where there is one
	Times     int    // how often, with the same reason
}

// keptRefusals is how many different refusals are remembered. Strangers decide how many there are.
const keptRefusals = 32

// refused remembers that a peer was not believed.
func (s *Server) refused(conn net.Conn, p pair, reason, condition string) {
	r := Refusal{At: time.Now(), From: hostOf(conn), Domain: p.from, To: p.to, Reason: reason, Condition: condition, Times: 1}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.refusals = slices.DeleteFunc(s.refusals, func(old Refusal) bool {
		same := old.From == r.From && old.Domain == r.Domain && old.To == r.To && old.Reason == r.Reason
		if same {
			r.Times += old.Times
		}
		return same
	})
	if len(s.refusals) == keptRefusals {
		i := crowd(s.refusals)
		s.refusals = slices.Delete(s.refusals, i, i+1)
	}
	s.refusals = append(s.refusals, r)
}

// crowd is the oldest refusal of the address that has the most: who floods us pushes out nobody but himself.
func crowd(all []Refusal) int {
	count := map[string]int{}
	for _, r := range all {
		count[r.From]++
	}
	most := 0
	for i, r := range all {
		if count[r.From] > count[all[most].From] {
			most = i
		}
	}
	return most
}

// believed forgets what a proof contradicts: that this machine's key was wrong, or that it spoke without one, and that the domain's server
// does not answer.
func (s *Server) believed(conn net.Conn, p pair) {
	from := hostOf(conn)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.refusals = slices.DeleteFunc(s.refusals, func(old Refusal) bool {
		return old.Domain == p.from && (old.Reason == KeyUnknown || (old.Reason == KeyInvalid || old.Reason == NotProven) && old.From == from)
	})
}

// hostOf is the address at the other end of a connection.
func hostOf(conn net.Conn) string {
	address := conn.RemoteAddr().String()
	if host, _, err := net.SplitHostPort(address); err == nil {
		return host
	}
	return address
}
