// Package im is the vocabulary that both sides of the gateway share: addresses, messages, failures. Plain values, no
// protocol. The XMPP side and the SIP side never see each other's types; they meet here.
package im

import (
	"strings"
	"time"
)

// Address is a person's address, free of any protocol's escaping: Local holds the characters themselves ("o'malley"),
// folded to lower case; Domain is lower case, in A-labels. Resource names one of the person's devices and is mostly empty.
// Addresses are comparable. Package translate turns them into JIDs and SIP URIs and back.
type Address struct {
	Local    string
	Domain   string
	Resource string
}

// Bare is the address without its resource.
func (a Address) Bare() Address { a.Resource = ""; return a }

// IsZero reports whether a is no address at all.
func (a Address) IsZero() bool { return a == Address{} }

// String is for people and logs: user@domain/resource.
func (a Address) String() string {
	var b strings.Builder
	if a.Local != "" {
		b.WriteString(a.Local)
		b.WriteByte('@')
	}
	b.WriteString(a.Domain)
	if a.Resource != "" {
		b.WriteByte('/')
		b.WriteString(a.Resource)
	}
	return b.String()
}

// ChatState is what a person is doing in a conversation (XEP-0085; OCS KeyboardActivity; RFC 3994).
type ChatState string

// The chat states.
const (
	Active    ChatState = "active"
	Composing ChatState = "composing"
	Paused    ChatState = "paused"
	Inactive  ChatState = "inactive"
	Gone      ChatState = "gone"
)

// Message is one message between two people. A message with neither Body nor Receipt nor Failure only carries a State.
type Message struct {
	From, To Address
	ID       string // the sender's identifier; errors and receipts refer to it. May be empty
	Body     string // plain text
	HTML     string // the same text as XHTML, if the sender gave it; never without Body
	Subject  string
	Thread   string // names the conversation; opaque
	Lang     string // BCP 47 tag of Body, if known
	Normal   bool   // a single message (XMPP type normal) and not part of a chat
	State    ChatState
	Sent     time.Time // when it was written, if it was delayed on its way; else zero

	ReceiptWanted bool     // the sender asks to be told of delivery (XEP-0184)
	Receipt       string   // this message says that the message with this ID was delivered
	Failure       *Failure // this message says that the message with this ID could not be delivered
}

// Condition says why something could not be done, in the words of RFC 6120 §8.3.3, which both sides can express.
type Condition string

// The conditions.
const (
	BadRequest            Condition = "bad-request"
	Conflict              Condition = "conflict"
	FeatureNotImplemented Condition = "feature-not-implemented"
	Forbidden             Condition = "forbidden"
	GoneAway              Condition = "gone"
	InternalServerError   Condition = "internal-server-error"
	ItemNotFound          Condition = "item-not-found"
	JIDMalformed          Condition = "jid-malformed"
	NotAcceptable         Condition = "not-acceptable"
	NotAllowed            Condition = "not-allowed"
	NotAuthorized         Condition = "not-authorized"
	PolicyViolation       Condition = "policy-violation"
	RecipientUnavailable  Condition = "recipient-unavailable"
	Redirect              Condition = "redirect"
	RegistrationRequired  Condition = "registration-required"
	RemoteServerNotFound  Condition = "remote-server-not-found"
	RemoteServerTimeout   Condition = "remote-server-timeout"
	ResourceConstraint    Condition = "resource-constraint"
	ServiceUnavailable    Condition = "service-unavailable"
	SubscriptionRequired  Condition = "subscription-required"
	UndefinedCondition    Condition = "undefined-condition"
	UnexpectedRequest     Condition = "unexpected-request"
)

// Failure is why a message, subscription or request was not carried out. It is an error, and a value that each side turns
// into its own protocol's answer (RFC 7247 §7).
type Failure struct {
	Condition Condition
	Text      string // for people: what was tried, with what, and what happened
	NewPlace  string // with GoneAway or Redirect: the new address as a URI, if known
	Status    int    // the SIP status this came from, 0 if it did not come from SIP
}

// Error makes a Failure an error.
func (f *Failure) Error() string {
	if f.Text == "" {
		return string(f.Condition)
	}
	return string(f.Condition) + ": " + f.Text
}

// Outcome is how the fate of a message is told to the side it came from: nil when the next server has taken it, the reason
// when it was not delivered. It is called exactly once, from any goroutine, and does not block.
type Outcome func(*Failure)

// Sink takes messages. Send does not block: it queues the message or refuses it, and tells the outcome in either case.
// Messages between the same two bare addresses are delivered in the order of the calls. Both sides of the gateway are Sinks
// to each other.
type Sink interface {
	Send(Message, Outcome)
}
