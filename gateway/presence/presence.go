// Package presence is the life of presence subscriptions between an XMPP user and a SIP user, as two pure machines.
//
// XMPP knows long-lived authorisations; SIP knows only short-lived SUBSCRIBE dialogs, whose acceptance implies one. So each
// direction of each pair has a machine that holds both: [Watch] where the XMPP user watches the SIP user (we subscribe), and
// [Feed] where the SIP user watches the XMPP user (we notify). Their step functions take what happened and the time, and say
// what to do; package sipedge carries it out. RFC 8048 §5
//
// What they promise: who is gone does not stay available (a dialog that cannot be refreshed ends in "unavailable"; what is lost on
// its way to the XMPP user is told again, as it then is); an authorisation survives every trouble but a refusal; a SIP user sees
// nothing of an XMPP user before he has approved.
package presence

import (
	"time"

	"fedlab/gateway/im"
)

// Auth is how far the permission to watch is.
type Auth uint8

// The permissions.
const (
	None    Auth = iota
	Asked        // the person has not decided
	Granted      // may watch
	Denied       // was refused
)

func (a Auth) String() string { return [...]string{"none", "asked", "granted", "denied"}[a] }

// Times of the machines.
const (
	subscribeFor = 8 * time.Hour    // RFC 3265 leaves it to us; OCS lives by 28800 s
	notifyWithin = 32 * time.Second // Timer N: RFC 6665 §4.1.2.4
	firstRetry   = 30 * time.Second
	longestRetry = 30 * time.Minute
	steadyAfter  = 5 * time.Minute // a dialog that stood so long has lasted
	throttle     = 5 * time.Second // RFC 3856 §6.10
	shortest     = time.Minute     // a shorter subscription is answered 423
	longest      = 24 * time.Hour
	defaultFor   = time.Hour // a SUBSCRIBE without Expires. RFC 3856 §6.4
	deniedFor    = time.Hour // a refusal is remembered so long; then the person may be asked again
)

// Action is something to do. The first group is for the SIP side, the second for the XMPP side.
type Action interface{ action() }

// The actions.
type (
	// Subscribe: send SUBSCRIBE, in a dialog of its own (New) or to refresh the one there is; report Answer. Expires 0 ends it.
	Subscribe struct {
		New     bool
		Expires time.Duration
	}
	// Forget: the dialog is over; answer whatever comes in it with 481.
	Forget struct{}
	// Accept: answer the SUBSCRIBE of this dialog 200 with Expires.
	Accept struct {
		ID      ID
		Expires time.Duration
	}
	// Reject: answer the SUBSCRIBE of this dialog with a failure.
	Reject struct {
		ID     ID
		Status int // 403 or 423
	}
	// Notify: send NOTIFY in this dialog; report NotifyFailed if it fails. State is active, pending or terminated.
	Notify struct {
		ID      ID
		State   string
		Reason  string        // with terminated
		Expires time.Duration // without
		Body    *im.Presence  // nil: empty
	}

	// Tell: send this signal to the XMPP user.
	Tell struct {
		Kind    im.SignalKind
		Device  im.Device // with available and unavailable; Resource names the SIP user's device
		Failure *im.Failure
	}
)

// ID names one SIP dialog in which a SIP user watches.
type ID uint64

func (Subscribe) action() {}
func (Forget) action()    {}
func (Accept) action()    {}
func (Reject) action()    {}
func (Notify) action()    {}
func (Tell) action()      {}

// MinExpires is what a 423 names.
const MinExpires = shortest

// retryAfter doubles the pause with every failure.
func retryAfter(failures int) time.Duration {
	return min(firstRetry<<min(max(failures-1, 0), 10), longestRetry)
}

// jittered is a pause a quarter shorter, longer, or between, as the seed has it. It is the finaliser of SplitMix64 that spreads seeds.
func jittered(pause time.Duration, seed uint64) time.Duration {
	z := seed * 0x9e3779b97f4a7c15
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	z ^= z >> 31
	return pause - pause/4 + time.Duration(z%uint64(pause/2+1))
}
