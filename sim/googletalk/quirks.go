package googletalk

import (
	"fmt"
	"time"
)

// Quirks are the habits of the real farm that a peer has to live with, and faults to plant. The zero value is the farm of
// 2010. Evidence stands beside each; "guess" says that there is none and the switch is a modelling choice, "fault" that it
// plants what the field reported broken or what a test of peers needs. [Host].Quirks replaces them for one machine.
// The yaml tags are the names in topologies.
type Quirks struct {
	// BareHeaders names the hosts whose stream headers carry neither from nor to. nil means the host that carries
	// xmpp-server2.l.google.com; an empty list means none.
	// Evidence: bjc/prosody plugins/mod_dialback.lua, a comment that names gmail. Which hosts: guess.
	BareHeaders []string `yaml:"bare_headers"`

	// VerifyOnLink asks the peer's db:verify on the farm's own outgoing stream to that domain, if it has one, and not on a
	// connection made for it. Guess: XEP-0220 §2.2.1 allows both.
	VerifyOnLink bool `yaml:"verify_on_link"`

	// CloseAfterVerify ends a stream on which nothing but db:verify was asked right after the answer.
	// Evidence: RFC 3920 §8.3 step 9 says SHOULD.
	CloseAfterVerify bool `yaml:"close_after_verify"`

	// AcceptForeignTarget also connects to SRV targets outside the domain of the record.
	// Evidence for the refusal: field notes, step 1.
	AcceptForeignTarget bool `yaml:"accept_foreign_target"`

	// DialbackErrors answers a failed dialback with type='error' and keeps the stream, as later servers do. The farm of 2010
	// ends the stream, as RFC 3920 §8.3 has it. Evidence: guess.
	DialbackErrors bool `yaml:"dialback_errors"`

	// OneStream sends for all of the farm's domains over one stream to a foreign domain.
	// Evidence: guess; RFC 3920 §8.3 says that a peer SHOULD accept it.
	OneStream bool `yaml:"one_stream"`

	// EchoKey repeats the key in the answers to db:result and db:verify. Evidence: bjc/prosody plugins/mod_dialback.lua does.
	EchoKey bool `yaml:"echo_key"`

	// SpacedKey puts white space around the keys the farm sends. Evidence: the examples of XEP-0220 are written so.
	SpacedKey bool `yaml:"spaced_key"`

	// IdleClose ends streams of either direction on which nothing passed for so long; 0 means never. IdleError is the stream
	// error it does so with; empty means a closing tag alone. Evidence: guess; the real value is unknown.
	// connection-timeout is what RFC 3920 servers send, policy-violation what RFC 6120 §4.6 suggests.
	IdleClose time.Duration `yaml:"idle_close"`
	IdleError string        `yaml:"idle_error"`

	// KeepAlive sends a space on every stream at this interval; 0 means never.
	// Evidence: pastebin.com/ruZj38Uv, 2011: peers that send one about every 30 s.
	KeepAlive time.Duration `yaml:"keep_alive"`

	// LoseOnBreak loses what was under way when a connection breaks, as XMPP servers without stream management do. Otherwise the
	// farm sends again what the other host's TCP has not acknowledged, so that a message is late rather than lost.
	// Evidence: guess; the real farm's behaviour is unknown, and a scenario can tell apart who lost what only if it does not.
	LoseOnBreak bool `yaml:"lose_on_break"`

	// GiveUp breaks a connection on which nothing that was written is acknowledged for so long; 0 leaves that to TCP, which takes a
	// quarter of an hour. Evidence: guess; servers that set TCP_USER_TIMEOUT (RFC 5482) do, to some seconds or minutes.
	GiveUp time.Duration `yaml:"give_up"`

	// Plain leaves away what Google's clients and servers add to messages (nos:x, arc:record, invented prefixes).
	// Evidence for the additions: gist conorh/305568 of 2010-02-16.
	Plain bool `yaml:"plain"`

	// Probe is the answer to a presence probe from somebody who is not subscribed: "error" (default; RFC 3921 §5.1.3:
	// forbidden or not-authorized), "unsubscribed" (RFC 6121 §4.3.2) or "silence". Evidence: guess, by the server's age.
	Probe string `yaml:"probe" oneof:"error unsubscribed silence"`

	// RepeatPresence sends each presence twice. Evidence: prosody commit 89fb8fa9f, 2009-05-08.
	RepeatPresence bool `yaml:"repeat_presence"`

	// DropSubscribe loses subscription requests from other domains.
	// Evidence: February to April 2013, operators list, 2013-March/001640.
	DropSubscribe bool `yaml:"drop_subscribe"`

	// DropMessages loses messages from other domains without a word, though the user looks online.
	// Evidence: contacts that were moved to Hangouts, May 2013; XSF blog of 2 March 2015.
	DropMessages bool `yaml:"drop_messages"`

	// AppsClash lists peers' domains that are enabled for Talk inside Google Apps: their streams are ended with the error text
	// of the time. Evidence: blogs.perficient.com 2012/11/06.
	AppsClash []string `yaml:"apps_clash"`

	// StreamError ends every stream that a peer opens with this condition, right after the header. Fault.
	StreamError string `yaml:"stream_error"`

	// Silent accepts connections and never says anything: the host hangs, or a middlebox answers for it. Fault.
	Silent bool `yaml:"silent"`

	// NoResult never answers a peer's key. NoVerify never says whether a key is the farm's. Faults.
	NoResult bool `yaml:"no_result"`
	NoVerify bool `yaml:"no_verify"`

	// WrongKey sends keys that no member of the farm confirms, as a machine does that does not know the secret. Fault.
	WrongKey bool `yaml:"wrong_key"`

	// ReversedResult answers db:result with from and to the wrong way round. Fault.
	// Evidence: servers did so until prosody commit ccb65fee1, 2008-11-19.
	ReversedResult bool `yaml:"reversed_result"`
}

func (q Quirks) check() error {
	if q.IdleClose < 0 || q.KeepAlive < 0 {
		return fmt.Errorf("googletalk: quirks IdleClose %v and KeepAlive %v cannot be negative", q.IdleClose, q.KeepAlive)
	}
	if q.IdleError != "" && q.IdleClose == 0 {
		return fmt.Errorf("googletalk: quirk IdleError is %q, but IdleClose does not say when", q.IdleError)
	}
	switch q.Probe {
	case "", "error", "unsubscribed", "silence":
	default:
		return fmt.Errorf("googletalk: quirk Probe is %q, not error, unsubscribed or silence", q.Probe)
	}
	return nil
}

// bareHeaders reports whether the host with these names leaves from and to out of its headers.
func (q Quirks) bareHeaders(h Host) bool {
	list := q.BareHeaders
	if list == nil {
		list = []string{"xmpp-server2.l.google.com"}
	}
	if contains(list, h.Name) {
		return true
	}
	for _, n := range h.Names {
		if contains(list, n) {
			return true
		}
	}
	return false
}
