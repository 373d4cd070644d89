package xmpps2s

import (
	"fmt"
	"testing"
)

// What a peer claimed and could not prove stands in the status, until it is proved.
func TestRefusals(t *testing.T) {
	bubble(t, nil, func(t *testing.T, l *lab) {
		reasons := func(want ...string) {
			t.Helper()
			var got []string
			for _, r := range l.s.Status().Refusals {
				got = append(got, r.Domain+" "+r.Reason)
				if r.From == "" || r.To != "contoso.com" || r.At.IsZero() || r.Times == 0 {
					t.Errorf("%+v", r)
				}
			}
			if len(got) != len(want) {
				t.Fatalf("refusals %q, want %q", got, want)
			}
			for i := range got {
				if got[i] != want[i] {
					t.Errorf("refusals %q, want %q", got, want)
				}
			}
		}
		p := l.connect()
		p.old()
		p.send("<db:result from='jabber.org' to='contoso.com'>key</db:result>")
		p.expect("</db:result>")
		reasons("jabber.org " + NotAllowed)

		l.prove(p, "gmail.com", "contoso.com", "invalid")
		p.expect("</stream:stream>")
		reasons("jabber.org "+NotAllowed, "gmail.com "+KeyInvalid)

		v := l.verified()
		reasons("jabber.org " + NotAllowed)
		v.send("<message from='eve@jabber.org' to='anna@contoso.com'><body>I am not who you think</body></message>")
		v.expect("</stream:stream>")
		reasons("jabber.org "+NotAllowed, "jabber.org "+NotProven)

		forged := "<message from='eve@gmail.com' to='anna@contoso.com'><body>I am not who you think</body></message>"
		old := l.connect()
		old.old()
		old.send(forged) // a peer of the first generation may do so; it is no error and counts as a claim until the proof
		l.prove(old, "gmail.com", "contoso.com", "valid")
		reasons("jabber.org "+NotAllowed, "jabber.org "+NotProven)

		modern := l.connect()
		modern.modern()
		modern.send(forged)
		modern.expect("not-authorized")
		reasons("jabber.org "+NotAllowed, "jabber.org "+NotProven, "gmail.com "+NotProven)
	})
}

// One address that claims ever more domains does not push out what others claimed.
func TestCrowd(t *testing.T) {
	var all []Refusal
	for i := range 6 {
		all = append(all, Refusal{From: fmt.Sprintf("192.0.2.%d", i%4)})
	}
	if i := crowd(all); i != 0 {
		t.Errorf("%d of %v", i, all)
	}
	all = append(all, Refusal{From: "192.0.2.3"}, Refusal{From: "192.0.2.3"})
	if i := crowd(all); i != 3 {
		t.Errorf("%d of %v", i, all)
	}
}
