package im

// Signal is what one person's side tells another person about presence: what XMPP calls a presence stanza, as a plain value.
// Subscribe, Subscribed, Unsubscribe, Unsubscribed and Probe go from bare address to bare address.
type Signal struct {
	From, To Address
	Kind     SignalKind
	Device   Device   // with Available and Unavailable. From.Resource names the device; Device.Resource is not used
	Failure  *Failure // with SignalError: what went wrong
}

// SignalKind says what a Signal is for. The values are those of XMPP's type attribute (RFC 6121 §4.7.1).
type SignalKind string

// The kinds.
const (
	SignalAvailable    SignalKind = ""
	SignalUnavailable  SignalKind = "unavailable"
	SignalSubscribe    SignalKind = "subscribe"
	SignalSubscribed   SignalKind = "subscribed"
	SignalUnsubscribe  SignalKind = "unsubscribe"
	SignalUnsubscribed SignalKind = "unsubscribed"
	SignalProbe        SignalKind = "probe"
	SignalError        SignalKind = "error"
)

// SignalSink takes presence signals. Signal does not block; signals between the same two bare addresses stay in order. The outcome
// is nil when the next server has taken the signal, else why it is lost; nobody tells a person's presence again but he who told it.
type SignalSink interface {
	Signal(Signal, Outcome)
}
