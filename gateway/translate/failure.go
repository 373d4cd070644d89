package translate

import (
	"fmt"

	"fedlab/gateway/im"
)

// StatusFor gives the SIP status and reason phrase that tell a SIP user why his request failed on the XMPP side. bare says
// whether the failure concerns the person (a bare JID) or one of the devices: the first takes a 6xx where the table gives a
// choice. The reason phrase is one safe line: the failure's text, or else the status's own. RFC 7247 §7.1, Table 2
//
// Choices taken: not-authorized and registration-required give 403, as 401 and 407 without a challenge are no SIP;
// service-unavailable gives 403, never 503, which would condemn the whole server (note 5); remote-server-not-found gives 404
// (note 4): RFC 6120 §10.4.3 uses it for a domain that has no server.
func StatusFor(f *im.Failure, bare bool) (code int, reason string) {
	if f == nil {
		return 200, "OK"
	}
	code = statusFor(f, bare)
	if reason = HeaderText(f.Text, maxReason); reason == "" {
		reason = phrases[code]
	}
	return code, reason
}

// maxReason bounds the reason phrase, in bytes.
const maxReason = 200

func statusFor(f *im.Failure, bare bool) int {
	one := func(full, person int) int {
		if bare {
			return person
		}
		return full
	}
	switch f.Condition {
	case im.BadRequest, im.Conflict, im.JIDMalformed, im.SubscriptionRequired, im.UndefinedCondition:
		return 400
	case im.FeatureNotImplemented:
		return one(405, 501)
	case im.Forbidden:
		return one(403, 603)
	case im.GoneAway:
		if f.NewPlace != "" {
			return 301
		}
		return 410
	case im.InternalServerError, im.ResourceConstraint:
		return 500
	case im.ItemNotFound:
		return one(404, 604)
	case im.NotAcceptable:
		return one(406, 606)
	case im.NotAllowed, im.NotAuthorized, im.PolicyViolation, im.RegistrationRequired, im.ServiceUnavailable:
		return 403
	case im.RecipientUnavailable:
		return one(480, 600)
	case im.Redirect:
		return 302
	case im.RemoteServerNotFound:
		return 404
	case im.RemoteServerTimeout:
		return 408
	case im.UnexpectedRequest:
		return 491
	}
	return 400 // an unknown condition counts as undefined-condition
}

// phrases are the reason phrases of the statuses that [StatusFor] gives. RFC 3261 §21
var phrases = map[int]string{
	301: "Moved Permanently", 302: "Moved Temporarily",
	400: "Bad Request", 403: "Forbidden", 404: "Not Found", 405: "Method Not Allowed", 406: "Not Acceptable",
	408: "Request Timeout", 410: "Gone", 480: "Temporarily Unavailable", 491: "Request Pending",
	500: "Server Internal Error", 501: "Not Implemented",
	600: "Busy Everywhere", 603: "Decline", 604: "Does Not Exist Anywhere", 606: "Not Acceptable",
}

// FailureFor gives the reason why a request failed, from the final status that SIP answered. text is for people: what was tried
// and what the peer said. The status stays in the Failure. For 301 and 302 the caller adds NewPlace from the Contact.
// RFC 7247 §7.2, Table 3; a status of 0 stands for no answer at all and counts as 408.
func FailureFor(status int, text string) *im.Failure {
	if text == "" {
		text = fmt.Sprintf("SIP answered %d", status)
		if status == 0 {
			text = "no answer from SIP"
		}
	}
	return &im.Failure{Condition: conditionFor(status), Text: text, Status: status}
}

func conditionFor(status int) im.Condition {
	switch status {
	case 0:
		return im.RemoteServerTimeout
	case 301, 410:
		return im.GoneAway
	case 401:
		return im.NotAuthorized
	case 403:
		return im.Forbidden
	case 404, 481, 484, 485, 604:
		return im.ItemNotFound
	case 405, 420, 439, 501:
		return im.FeatureNotImplemented
	case 380, 406, 415, 416, 421, 482, 483, 488, 505, 606:
		return im.NotAcceptable
	case 407:
		return im.RegistrationRequired
	case 408, 504:
		return im.RemoteServerTimeout
	case 413, 414, 440, 489, 513:
		return im.PolicyViolation
	case 423:
		return im.ResourceConstraint
	case 430, 480, 486, 487, 600, 603:
		return im.RecipientUnavailable
	case 491:
		return im.UnexpectedRequest
	case 502:
		return im.RemoteServerNotFound
	}
	switch status / 100 {
	case 3:
		return im.Redirect
	case 4:
		return im.BadRequest
	case 5:
		return im.InternalServerError
	case 6:
		return im.RecipientUnavailable
	}
	return im.UndefinedCondition // 1xx and 2xx are no failures
}

// ErrorType gives the type that an XMPP error of this condition carries: auth, cancel, modify or wait. RFC 6120 §8.3.3; where
// the text allows two, the one that keeps a client from repeating what cannot succeed.
func ErrorType(c im.Condition) string {
	switch c {
	case im.Forbidden, im.NotAuthorized, im.RegistrationRequired, im.SubscriptionRequired:
		return "auth"
	case im.BadRequest, im.JIDMalformed, im.NotAcceptable, im.PolicyViolation, im.Redirect:
		return "modify"
	case im.RecipientUnavailable, im.RemoteServerTimeout, im.ResourceConstraint, im.UnexpectedRequest:
		return "wait"
	}
	return "cancel"
}
