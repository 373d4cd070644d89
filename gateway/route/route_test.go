package route

import (
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"fedlab/gateway/im"
	"fedlab/gateway/translate"
)

func table(t testing.TB) *Table {
	t.Helper()
	table, err := New([]Domain{
		{Name: "contoso.com", Side: SIP},
		{Name: "fabrikam.com", Side: SIP},
		{Name: "gmail.com", Also: []string{"googlemail.com"}, Side: XMPP},
		{Name: "Jabber.ORG", Also: []string{"bücher.example"}, Side: XMPP},
	})
	if err != nil {
		t.Fatal(err)
	}
	return table
}

func TestDecide(t *testing.T) {
	tab := table(t)
	for _, c := range []struct {
		came      Side
		from, to  string
		reason    Reason
		to_       Side
		group     string
		condition im.Condition
	}{
		{XMPP, "bob@gmail.com/home", "alice@contoso.com", Served, SIP, "contoso.com", ""},
		{XMPP, "bob@googlemail.com", "alice@fabrikam.com", Served, SIP, "fabrikam.com", ""},
		{SIP, "alice@contoso.com", "bob@gmail.com", Served, XMPP, "gmail.com", ""},
		{SIP, "alice@contoso.com", "bob@GoogleMail.com", Served, XMPP, "gmail.com", ""},
		{SIP, "alice@contoso.com", "bob@xn--bcher-kva.example", Served, XMPP, "Jabber.ORG", ""},
		{SIP, "alice@contoso.com", "bob@jabber.org", Served, XMPP, "Jabber.ORG", ""},
		{SIP, "alice@contoso.com", "bob@yahoo.com", NotServed, "", "", im.RemoteServerNotFound},
		{XMPP, "bob@yahoo.com", "alice@contoso.com", Foreign, "", "", im.Forbidden},
		{XMPP, "alice@contoso.com", "anna@contoso.com", WrongSide, "", "", im.Forbidden},
		{SIP, "bob@gmail.com", "alice@contoso.com", WrongSide, "", "", im.Forbidden},
		{XMPP, "bob@gmail.com", "carol@jabber.org", SameSide, "", "", im.NotAllowed},
		{SIP, "alice@contoso.com", "fred@fabrikam.com", SameSide, "", "", im.NotAllowed},
		{XMPP, "gmail.com", "alice@contoso.com", NoPerson, "", "", im.ServiceUnavailable},
		{XMPP, "bob@gmail.com", "contoso.com", NoPerson, "", "", im.ServiceUnavailable},
		{XMPP, "bob@gmail.com.example", "alice@contoso.com", Foreign, "", "", im.Forbidden},
		{SIP, "alice@contoso.com", "bob@xgmail.com", NotServed, "", "", im.RemoteServerNotFound},
		{SIP, "alice@contoso.com", "bob@mail.gmail.com", NotServed, "", "", im.RemoteServerNotFound},
	} {
		from, err := translate.ParseJID(c.from)
		if err != nil {
			t.Fatal(err)
		}
		to, err := translate.ParseJID(c.to)
		if err != nil {
			t.Fatal(err)
		}
		d := tab.Decide(c.came, from, to)
		if d.Reason != c.reason || d.To != c.to_ || d.Group != c.group {
			t.Errorf("%s: %s to %s: %+v", c.came, from, to, d)
		}
		if (d.Why == nil) != (c.reason == Served) || d.Why != nil && (d.Why.Condition != c.condition || d.Why.Text == "") {
			t.Errorf("%s: %s to %s: told %v, want %s", c.came, from, to, d.Why, c.condition)
		}
	}
}

// Whatever is asked: a served message always crosses to the other side, and a refusal always says why.
func TestDecideNeverLoops(t *testing.T) {
	tab := table(t)
	domain := rapid.OneOf(rapid.SampledFrom([]string{"contoso.com", "fabrikam.com", "gmail.com", "googlemail.com", "xn--bcher-kva.example", ""}), rapid.String())
	rapid.Check(t, func(t *rapid.T) {
		came := rapid.SampledFrom([]Side{SIP, XMPP}).Draw(t, "came")
		from := im.Address{Local: rapid.StringN(0, 3, -1).Draw(t, "from"), Domain: domain.Draw(t, "from domain")}
		to := im.Address{Local: rapid.StringN(0, 3, -1).Draw(t, "to"), Domain: domain.Draw(t, "to domain")}
		d := tab.Decide(came, from, to)
		fromSide, _ := tab.Side(from.Domain)
		toSide, _ := tab.Side(to.Domain)
		crosses := fromSide == came && toSide != "" && toSide != came && from.Local != "" && to.Local != ""
		if crosses != (d.Reason == Served) || crosses != (d.To != "" && d.To != came) || crosses != (d.Why == nil) {
			t.Fatalf("%s: %v to %v: %+v", came, from, to, d)
		}
	})
}

func TestTableMistakes(t *testing.T) {
	_, err := New([]Domain{
		{Name: "contoso.com", Side: SIP}, {Name: "gmail.com", Also: []string{"Contoso.com."}, Side: XMPP},
		{Name: "a..b", Side: XMPP}, {Name: "gmail.com", Side: XMPP},
	})
	if err == nil {
		t.Fatal("mistakes were taken")
	}
	for _, want := range []string{"Contoso.com.", "a..b", "gmail.com"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q is not named in: %v", want, err)
		}
	}
	if got := table(t).Domains(XMPP); !slices.Equal(got, []string{"gmail.com", "googlemail.com", "jabber.org", "xn--bcher-kva.example"}) {
		t.Errorf("XMPP domains: %v", got)
	}
}
