package xmpps2s

import (
	"strings"
	"testing"

	"fedlab/gateway/im"
)

// Who asks for whom is a matter of people, not of their devices.
func TestSubscriptionAddresses(t *testing.T) {
	for _, typ := range []string{"subscribe", "subscribed", "unsubscribe", "unsubscribed"} {
		row(t, "P01 "+typ, nil, func(t *testing.T, l *lab) {
			from, to := im.Address{Local: "anna", Domain: "contoso.com", Resource: "laptop"}, im.Address{Local: "bob", Domain: "gmail.com", Resource: "Talk1"}
			l.s.SendPresence(Presence{From: from, To: to, Type: typ}, nil)
			got := l.accepted().expect("</presence>")
			if !strings.Contains(got, "from='anna@contoso.com' to='bob@gmail.com' type='"+typ+"'") {
				t.Errorf("got %s", got)
			}
		})
	}
}
