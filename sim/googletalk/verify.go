package googletalk

import (
	"context"
	"fmt"
)

// verdict is what the authoritative server said about a key.
type verdict struct {
	kind      string // valid, invalid or error
	condition string // of an error
	text      string
}

func (v verdict) String() string {
	if v.kind != "error" {
		return v.kind
	}
	return fmt.Sprintf("error %s (%s)", v.condition, v.text)
}

// ask is step 2 of a dialback: it asks the sender's domain, found by its name and never by the address the key came from,
// whether the key for our stream id is right, and reports what it said. XEP-0220 §2.1.2
func (b *boot) ask(p pair, id, key string, report func(verdict)) {
	ctx, cancel := context.WithTimeout(b.ctx, b.farm.cfg.Timeouts.Verify)
	defer cancel()
	if b.machine.quirks.VerifyOnLink {
		if l := b.linkFor(pair{p.target, p.sender}); l != nil {
			if v, ok := l.verify(ctx, p, id, key); ok {
				report(v)
				return
			}
		}
	}
	var failed *fault
	bad := b.reach(ctx, p.target, p.sender, func(s *stream, h header) bool {
		s.send(b.machine.style.dialback("verify", p.target, p.sender, id, "", escape(key)))
		deadline, _ := ctx.Deadline()
		s.conn.SetReadDeadline(deadline)
		for {
			e, err := s.next()
			if err != nil {
				s.leave(err)
				failed = timedOut("%s ended the stream before the answer", p.sender)
				return false
			}
			if e.is(nsStream, "error") {
				failed = timedOut("%s: %s", p.sender, summarize(e))
				s.finish()
				s.drain()
				return false
			}
			if v, ok := s.verifyAnswer(e, p, id); ok {
				report(v)
				s.finish()
				s.drain()
				return true
			}
		}
	})
	switch {
	case bad == nil:
	case failed != nil:
		report(verdict{kind: "error", condition: failed.condition, text: failed.text})
	default:
		report(verdict{kind: "error", condition: bad.condition, text: bad.text})
	}
}

// verifyAnswer reads an element that has to be step 3; the addresses have to be the mirror of those asked with, and the id
// has to be the same. (prosody commit ccb65fee1: Gmail refuses reversed ones)
func (s *stream) verifyAnswer(e *element, p pair, id string) (verdict, bool) {
	if !e.is(nsDialback, "verify") {
		s.unexpected(e.raw, "%s where only the answer to db:verify may come", e.local)
		return verdict{}, false
	}
	got, ok := pairOf(e)
	if !ok || got != p || e.get("id") != id {
		s.unexpected(e.raw, "db:verify answer is not for %v and the id that was asked", p)
		return verdict{}, false
	}
	switch kind := e.get("type"); kind {
	case "valid", "invalid":
		return verdict{kind: kind}, true
	case "error":
		v := verdict{kind: "error", condition: "remote-server-not-found", text: "the authoritative server answered with an error"}
		if k := e.child(nsServer, "error"); k == nil || condition(k) == "" {
			s.unexpected(e.raw, "db:verify error without a condition")
		}
		return v, true
	default:
		s.unexpected(e.raw, "db:verify answer of type %q", kind)
		return verdict{}, false
	}
}
