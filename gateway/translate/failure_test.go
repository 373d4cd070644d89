package translate

import (
	"strings"
	"testing"
	"unicode/utf8"

	"pgregory.net/rapid"

	"fedlab/gateway/im"
)

// RFC 7247 §7.1, Table 2, each row for a device (full JID) and for a person (bare JID). M10
func TestStatusFor(t *testing.T) { t.Run("M10", testStatusFor) }

func testStatusFor(t *testing.T) {
	for _, c := range []struct {
		condition  im.Condition
		place      string
		full, bare int
	}{
		{im.BadRequest, "", 400, 400},
		{im.Conflict, "", 400, 400},
		{im.FeatureNotImplemented, "", 405, 501}, // note 1
		{im.Forbidden, "", 403, 603},             // note 2
		{im.GoneAway, "sip:new@contoso.com", 301, 301},
		{im.GoneAway, "", 410, 410}, // note 3
		{im.InternalServerError, "", 500, 500},
		{im.ItemNotFound, "", 404, 604},
		{im.JIDMalformed, "", 400, 400},
		{im.NotAcceptable, "", 406, 606},
		{im.NotAllowed, "", 403, 403},
		{im.NotAuthorized, "", 403, 403}, // deviates: 401 needs a challenge, RFC 3261 §21.4.2
		{im.PolicyViolation, "", 403, 403},
		{im.RecipientUnavailable, "", 480, 600},
		{im.Redirect, "sip:new@contoso.com", 302, 302},
		{im.RegistrationRequired, "", 403, 403}, // deviates: 407 needs a challenge, RFC 3261 §21.4.8
		{im.RemoteServerNotFound, "", 404, 404}, // note 4
		{im.RemoteServerTimeout, "", 408, 408},
		{im.ResourceConstraint, "", 500, 500},
		{im.ServiceUnavailable, "", 403, 403}, // note 5: never 503
		{im.SubscriptionRequired, "", 400, 400},
		{im.UndefinedCondition, "", 400, 400},
		{im.UnexpectedRequest, "", 491, 491},
		{"invented", "", 400, 400},
	} {
		for bare, want := range map[bool]int{false: c.full, true: c.bare} {
			got, reason := StatusFor(&im.Failure{Condition: c.condition, NewPlace: c.place}, bare)
			if got != want || reason == "" {
				t.Errorf("%s, bare %v: %d %q, want %d", c.condition, bare, got, reason, want)
			}
		}
		if kind := ErrorType(c.condition); !strings.Contains(" auth cancel modify wait ", " "+kind+" ") {
			t.Errorf("%s: type %q", c.condition, kind)
		}
	}
	if code, reason := StatusFor(&im.Failure{Condition: im.ItemNotFound, Text: "no such\r\nVia: user"}, true); code != 604 || reason != "no such Via: user" {
		t.Errorf("a text becomes one line of reason: %d %q", code, reason)
	}
}

// RFC 7247 §7.2, Table 3, every row. M09
func TestFailureFor(t *testing.T) { t.Run("M09", testFailureFor) }

func testFailureFor(t *testing.T) {
	rows := map[im.Condition][]int{
		im.Redirect:              {300, 302, 305, 399},
		im.GoneAway:              {301, 410},
		im.NotAcceptable:         {380, 406, 415, 416, 421, 482, 483, 488, 505, 606},
		im.BadRequest:            {400, 402, 493, 499},
		im.NotAuthorized:         {401},
		im.Forbidden:             {403},
		im.ItemNotFound:          {404, 481, 484, 485, 604},
		im.FeatureNotImplemented: {405, 420, 439, 501},
		im.RegistrationRequired:  {407},
		im.RemoteServerTimeout:   {408, 504, 0},
		im.PolicyViolation:       {413, 414, 440, 489, 513},
		im.ResourceConstraint:    {423},
		im.RecipientUnavailable:  {430, 480, 486, 487, 600, 603, 699},
		im.UnexpectedRequest:     {491},
		im.InternalServerError:   {500, 503, 599},
		im.RemoteServerNotFound:  {502},
		im.UndefinedCondition:    {100, 200, 700},
	}
	for want, codes := range rows {
		for _, code := range codes {
			if f := FailureFor(code, ""); f.Condition != want || f.Status != code || f.Text == "" {
				t.Errorf("%d: %+v, want %s", code, f, want)
			}
		}
	}
	if f := FailureFor(486, "busy"); f.Text != "busy" || f.Error() != "recipient-unavailable: busy" {
		t.Errorf("%v", f)
	}
}

// RFC 6120 §8.3.3: the type that each condition's paragraph names (or allows).
func TestErrorType(t *testing.T) {
	for kind, conditions := range map[string][]im.Condition{
		"auth":   {im.Forbidden, im.NotAuthorized, im.RegistrationRequired, im.SubscriptionRequired},
		"cancel": {im.Conflict, im.FeatureNotImplemented, im.GoneAway, im.InternalServerError, im.ItemNotFound, im.NotAllowed, im.RemoteServerNotFound, im.ServiceUnavailable, im.UndefinedCondition},
		"modify": {im.BadRequest, im.JIDMalformed, im.NotAcceptable, im.PolicyViolation, im.Redirect},
		"wait":   {im.RecipientUnavailable, im.RemoteServerTimeout, im.ResourceConstraint, im.UnexpectedRequest},
	} {
		for _, c := range conditions {
			if got := ErrorType(c); got != kind {
				t.Errorf("%s: %s, want %s", c, got, kind)
			}
		}
	}
}

// Whatever a stranger writes: one line, bounded, valid, and nothing that begins a header field.
func TestHeaderText(t *testing.T) {
	for in, want := range map[string]string{
		"": "", "plain": "plain", "a\r\nVia: x": "a Via: x", "  a \t\n b  ": "a b", "ü\x00\u0085x\u2028y": "ü x y", "\xff": "\ufffd",
	} {
		if got := HeaderText(in, 100); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		in, max := rapid.String().Draw(t, "in"), rapid.IntRange(0, 40).Draw(t, "max")
		got := HeaderText(in, max)
		if len(got) > max || !utf8.ValidString(got) || strings.ContainsAny(got, "\r\n\t\x00\x7f") || got != strings.TrimSpace(got) {
			t.Fatalf("%q, %d: %q", in, max, got)
		}
		if clean, ok := SafeXMLText(in); ok != (clean == in) {
			t.Fatalf("SafeXMLText(%q) = %q, %v", in, clean, ok)
		}
	})
}

// M01: RFC 7572 §4, §5 and RFC 7573 §4: thread <-> Call-ID; the grammar is RFC 3261 §25.1's.
func TestThreads(t *testing.T) { t.Run("M01 M13", testThreads) }

func testThreads(t *testing.T) {
	for thread, ok := range map[string]bool{
		"e0ffe42b28561960c6b12b944a092794b9683a38": true, "711609sa@example.com": true, "{a}/b?c": true,
		"": false, "a b": false, "a\r\nVia: x": false, "a@b@c": false, "@a": false, "a@": false, "ü": false, "a;b": false, "a,b": false, strings.Repeat("x", 256): false,
	} {
		if id, got := CallID(thread); got != ok || ok && (id != thread || Thread(id) != thread) {
			t.Errorf("%q: %q, %v", thread, id, got)
		}
	}
	for tag, want := range map[string]string{"en": "en", "de-CH-1996": "de-CH-1996", "en, fr": "en", "": "", "x\r\ny": "", "toolongsubtag": "", "-": ""} {
		if got := LanguageTag(tag); got != want {
			t.Errorf("language %q: %q, want %q", tag, got, want)
		}
	}
}
