package translate

import (
	"errors"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"fedlab/gateway/im"
)

// Pairs that the specifications print, both ways.
func TestAddressVectors(t *testing.T) { t.Run("M02 M12", testAddressVectors) }

func testAddressVectors(t *testing.T) {
	for _, c := range []struct {
		source string
		sip    string
		jid    string
		addr   im.Address
	}{
		{"RFC 7247 §6.4, example", "sip:f%C3%BC@sip.example", "fü@sip.example", im.Address{Local: "fü", Domain: "sip.example"}},
		{"RFC 7247 §6.4, example", "sip:o'malley@sip.example", `o\27malley@sip.example`, im.Address{Local: "o'malley", Domain: "sip.example"}},
		{"RFC 7247 §6.4, example", "sip:foo@sip.example;gr=bar", "foo@sip.example/bar", im.Address{Local: "foo", Domain: "sip.example", Resource: "bar"}},
		{"RFC 7247 §6.5, example", "sip:m&m@xmpp.example", `m\26m@xmpp.example`, im.Address{Local: "m&m", Domain: "xmpp.example"}},
		{"RFC 7247 §6.5, example", "sip:tsch%C3%BCss@xmpp.example", "tschüss@xmpp.example", im.Address{Local: "tschüss", Domain: "xmpp.example"}},
		{"RFC 7247 §6.5, example", "sip:baz@xmpp.example;gr=qux", "baz@xmpp.example/qux", im.Address{Local: "baz", Domain: "xmpp.example", Resource: "qux"}},
		{"RFC 7247 Table 1: not in a sip user", "sip:%23%25%5B%5D%5E%60%7B%7C%7D@a.example", "#%[]^`{|}@a.example", im.Address{Local: "#%[]^`{|}", Domain: "a.example"}},
		{"XEP-0106 §4.3 example", `sip:tr%C3%A9ville%40musketeers.lit@smtp.gascon.fr`, `tréville\40musketeers.lit@smtp.gascon.fr`, im.Address{Local: "tréville@musketeers.lit", Domain: "smtp.gascon.fr"}},
		{"XEP-0106 §5.1 step 3", `sip:%5C3and%5C2is%5C5cool@example.com`, `\5c3and\2is\5c5cool@example.com`, im.Address{Local: `\3and\2is\5cool`, Domain: "example.com"}},
		{"XEP-0106 §5.2", `sip:%5C2plus%5C2is%5C4@example.com`, `\2plus\2is\4@example.com`, im.Address{Local: `\2plus\2is\4`, Domain: "example.com"}},
		{"XEP-0106 §5.2", `sip:foo%5Cbar@example.com`, `foo\bar@example.com`, im.Address{Local: `foo\bar`, Domain: "example.com"}},
		{"XEP-0106 §5.2", `sip:foob%5C41r@example.com`, `foob\41r@example.com`, im.Address{Local: `foob\41r`, Domain: "example.com"}},
		{"XEP-0106 §5.2", `sip:c%3A%5C5commas@example.com`, `c\3a\5c5commas@example.com`, im.Address{Local: `c:\5commas`, Domain: "example.com"}},
		{"XEP-0106 §6.1, 1", "sip:space%20cadet@example.com", `space\20cadet@example.com`, im.Address{Local: "space cadet", Domain: "example.com"}},
		{"XEP-0106 §6.1, 2", "sip:call%20me%20%22ishmael%22@example.com", `call\20me\20\22ishmael\22@example.com`, im.Address{Local: `call me "ishmael"`, Domain: "example.com"}},
		{"XEP-0106 §6.1, 3", "sip:at&t%20guy@example.com", `at\26t\20guy@example.com`, im.Address{Local: "at&t guy", Domain: "example.com"}},
		{"XEP-0106 §6.1, 5", "sip:/.fanboy@example.com", `\2f.fanboy@example.com`, im.Address{Local: "/.fanboy", Domain: "example.com"}},
		{"XEP-0106 §6.1, 6", "sip:%3A%3Afoo%3A%3A@example.com", `\3a\3afoo\3a\3a@example.com`, im.Address{Local: "::foo::", Domain: "example.com"}},
		{"XEP-0106 §6.1, 7", "sip:%3Cfoo%3E@example.com", `\3cfoo\3e@example.com`, im.Address{Local: "<foo>", Domain: "example.com"}},
		{"XEP-0106 §6.1, 8", "sip:user%40host@example.com", `user\40host@example.com`, im.Address{Local: "user@host", Domain: "example.com"}},
		{"XEP-0106 §6.1, 9", `sip:c%3A%5Cnet@example.com`, `c\3a\net@example.com`, im.Address{Local: `c:\net`, Domain: "example.com"}},
		{"XEP-0106 §6.1, 10", `sip:c%3A%5C%5Cnet@example.com`, `c\3a\\net@example.com`, im.Address{Local: `c:\\net`, Domain: "example.com"}},
		{"XEP-0106 §6.1, 11", `sip:c%3A%5Ccool%20stuff@example.com`, `c\3a\cool\20stuff@example.com`, im.Address{Local: `c:\cool stuff`, Domain: "example.com"}},
		{"XEP-0106 §6.3, sip, with the % written as RFC 3261 wants it", `sip:here's_a_wild_&_/cr%25zy/_address@example.com`, `here\27s_a_wild_\26_\2fcr%zy\2f_address@example.com`, im.Address{Local: `here's_a_wild_&_/cr%zy/_address`, Domain: "example.com"}},
		{"RFC 7622 §3.2.1: U-label in XMPP, A-label in SIP", "sip:bob@xn--bcher-kva.example", "bob@bücher.example", im.Address{Local: "bob", Domain: "xn--bcher-kva.example"}},
		{"a resource that is not ASCII", "sip:bob@gmail.com;gr=%C3%BC%3B", "bob@gmail.com/ü;", im.Address{Local: "bob", Domain: "gmail.com", Resource: "ü;"}},
		{"a domain alone", "sip:gmail.com", "gmail.com", im.Address{Domain: "gmail.com"}},
	} {
		if got, err := ParseSIP(c.sip); err != nil || got != c.addr {
			t.Errorf("%s: ParseSIP(%s) = %#v, %v; want %#v", c.source, c.sip, got, err, c.addr)
		}
		if got, err := ParseJID(c.jid); err != nil || got != c.addr {
			t.Errorf("%s: ParseJID(%s) = %#v, %v; want %#v", c.source, c.jid, got, err, c.addr)
		}
		if got := SIP(c.addr); got != c.sip {
			t.Errorf("%s: SIP(%#v) = %s, want %s", c.source, c.addr, got, c.sip)
		}
		if got := JID(c.addr); got != c.jid {
			t.Errorf("%s: JID(%#v) = %s, want %s", c.source, c.addr, got, c.jid)
		}
	}
}

// Spellings that are folded away.
func TestAddressSpellings(t *testing.T) {
	alice := im.Address{Local: "alice", Domain: "contoso.com"}
	for _, sip := range []string{
		"sip:alice@contoso.com", "SIP:Alice@CONTOSO.com", "sip:alice@contoso.com:5061;transport=tls", "sip:alice@contoso.com.",
		"sip:alice@contoso.com;opaque=user:epid:8Yx2;gruu", "sip:alice@contoso.com;gr", "sip:%61lice@contoso.com?Subject=x@y",
		"pres:alice@contoso.com", "im:alice@contoso.com", "sip:alice@contoso.com;gr=",
	} {
		if got, err := ParseSIP(sip); err != nil || got != alice {
			t.Errorf("ParseSIP(%s) = %#v, %v", sip, got, err)
		}
	}
	for _, jid := range []string{"alice@contoso.com", "ALICE@Contoso.COM", "alice@contoso.com."} {
		if got, err := ParseJID(jid); err != nil || got != alice {
			t.Errorf("ParseJID(%s) = %#v, %v", jid, got, err)
		}
	}
	full, err := ParseJID("alice@contoso.com/Talk.v104@x/Y")
	if err != nil || full.Resource != "Talk.v104@x/Y" || full.Bare() != alice {
		t.Errorf("a resource keeps case, @ and /: %#v, %v", full, err)
	}
	for u, a := range map[string]string{"BÜCHER.example": "xn--bcher-kva.example", "xn--bcher-kva.EXAMPLE": "xn--bcher-kva.example", "faß.de": "xn--fa-hia.de"} {
		if got, err := ParseDomain(u); err != nil || got != a {
			t.Errorf("ParseDomain(%s) = %s, %v, want %s", u, got, err, a)
		}
	}
}

func TestAddressRefused(t *testing.T) { t.Run("M11 M12", testAddressRefused) }

func testAddressRefused(t *testing.T) {
	long := strings.Repeat("a", 1024)
	for _, c := range []struct{ why, jid, sip string }{
		{"nothing", "", ""},
		{"empty local part", "@contoso.com", "sip:@contoso.com"},
		{"no domain", "alice@", "sip:alice@"},
		{"empty resource", "alice@contoso.com/", "sip:alice@contoso.com;gr=%"},
		{"RFC 7622 §3.3.1: excluded characters", `o'malley@contoso.com`, "sip:a:b@contoso.com"},
		{"RFC 7622 §3.1: over 1023 bytes", long + "@contoso.com", "sip:" + long + "@contoso.com"},
		{"over 1023 bytes once escaped", strings.Repeat(`\27`, 342) + "@contoso.com", "sip:" + strings.Repeat("'", 342) + "@contoso.com"},
		{"resource over 1023 bytes", "a@contoso.com/" + long, "sip:a@contoso.com;gr=" + long},
		{"control character", "a\x01b@contoso.com", "sip:a%00b@contoso.com"},
		{"line end", "a\r\nb@contoso.com", "sip:a%0D%0Ab@contoso.com"},
		{"space in a JID, broken percent sequence", "a b@contoso.com", "sip:a%2@contoso.com"},
		{"not UTF-8", "a\xff@contoso.com", "sip:a%FF@contoso.com"},
		{"XEP-0106: \\20 at an end", `\20a@contoso.com`, "sip:%20a@contoso.com"},
		{"XEP-0106: \\20 at an end", `a\20@contoso.com`, "sip:a%20@contoso.com"},
		{"XEP-0106: \\5c where nothing had to be escaped", `\5cfoo@contoso.com`, "sip:foo@bar@contoso.com"},
		{"full-width @ and backslash", "a＠b@contoso.com", "sip:a%EF%BC%BC27b@contoso.com"},
		{"domains that are none", "a@contoso..com", "sip:a@-contoso.com"},
		{"domains that are none", "a@con toso.com", "sip:a@contoso.com:port"},
		{"domains that are none", "a@" + strings.Repeat("a", 64) + ".com", "sip:a@xn--\x80.com"},
		{"IP literals", "a@[::1]", "sip:a@[::1]:5060"},
		{"another scheme", "a@b@c.example", "tel:+15551234"},
		{"no scheme, two @", "a@@c.example", "alice@contoso.com"},
		{"a look-alike dot turns into a real one only in a domain", "a@contoso。。com", "mailto:alice@contoso.com"},
	} {
		var want *AddressError
		if got, err := ParseJID(c.jid); !errors.As(err, &want) || !got.IsZero() {
			t.Errorf("%s: ParseJID(%.60q) = %#v, %v", c.why, c.jid, got, err)
		} else if f := want.Failure(); f.Condition != im.JIDMalformed || len(f.Text) > 400 {
			t.Errorf("%s: %v", c.why, f)
		}
		if got, err := ParseSIP(c.sip); !errors.As(err, &want) || !got.IsZero() {
			t.Errorf("%s: ParseSIP(%.60q) = %#v, %v", c.why, c.sip, got, err)
		}
	}
	if _, err := ParseSIP("sips:alice@contoso.com"); !errors.Is(err, ErrSecureOnly) { // M11, RFC 7247 §8
		t.Errorf("sips: %v", err)
	}
}

// Whatever one parser takes, both writers can say, and both parsers read the same address from it.
func TestAddressRoundTrips(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		local := rapid.OneOf(
			rapid.StringMatching(`[a-zA-Z0-9.'& \\/:<>@"!#$%()*+,;=?^_{|}~\[\]-]{1,24}`),
			rapid.StringMatching(`(\\(20|22|26|27|2f|3a|3c|3e|40|5c|5C|2F|41|)|[a-c2-7 ]){1,8}`),
			rapid.String(),
		).Draw(t, "local")
		domain := rapid.OneOf(rapid.SampledFrom([]string{"gmail.com", "bücher.example", "xn--fa-hia.de"}), rapid.StringMatching(`[a-zA-Z0-9ü.-]{1,12}`), rapid.String()).Draw(t, "domain")
		resource := rapid.String().Draw(t, "resource")
		var b strings.Builder
		b.WriteString("sip:")
		percentEncode(&b, local, "")
		b.WriteString("@" + domain)
		if resource != "" {
			b.WriteString(";gr=")
			percentEncode(&b, resource, "")
		}
		checkRoundTrip(t, b.String(), ParseSIP)
		checkRoundTrip(t, local+"@"+domain+"/"+resource, ParseJID)
		checkRoundTrip(t, escape(local)+"@"+domain, ParseJID)
	})
}

func checkRoundTrip(t interface {
	Helper()
	Fatalf(string, ...any)
}, input string, parse func(string) (im.Address, error)) {
	t.Helper()
	a, err := parse(input)
	if err != nil {
		return
	}
	jid, uri := JID(a), SIP(a)
	if got, err := ParseJID(jid); err != nil || got != a {
		t.Fatalf("%q is %#v, whose JID %q reads as %#v, %v", input, a, jid, got, err)
	}
	if got, err := ParseSIP(uri); err != nil || got != a {
		t.Fatalf("%q is %#v, whose URI %q reads as %#v, %v", input, a, uri, got, err)
	}
	for i := 0; i < len(uri); i++ {
		if c := uri[i]; c <= ' ' || c >= 0x7f || strings.IndexByte("<>\"", c) >= 0 {
			t.Fatalf("%q becomes a URI with the byte %q: %q", input, c, uri)
		}
	}
	if safe, ok := SafeXMLText(jid); !ok {
		t.Fatalf("%q becomes a JID that XML cannot carry: %q", input, safe)
	}
}

// XEP-0106 §4: escaping loses nothing, whatever the characters.
func TestEscapeRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := rapid.OneOf(rapid.String(), rapid.StringMatching(`(\\|[0-7a-f ]|\\5c|\\27){0,10}`)).Draw(t, "s")
		e := escape(s)
		if unescape(e) != s {
			t.Fatalf("%q escapes to %q, back %q", s, e, unescape(e))
		}
		if strings.ContainsAny(e, " \"&'/:<>@") {
			t.Fatalf("%q escapes to %q", s, e)
		}
	})
}

func FuzzParseJID(f *testing.F) {
	for _, s := range []string{"alice@contoso.com", `o\27malley@sip.example/Home`, "fü@bücher.example", `\5c3and\2is\5c5cool@example.com`, "a@b@c/d@e/f", "İ@x.example", "ａ＠b", "0.."} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) { checkRoundTrip(t, s, ParseJID) })
}

func FuzzParseSIP(f *testing.F) {
	for _, s := range []string{"sip:alice@contoso.com;opaque=user:epid:x;gruu", "sip:f%C3%BC@sip.example", "sip:foo@sip.example:5061;gr=bar?x=y", "sips:a@b.example", "sip:%40@x.example"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) { checkRoundTrip(t, s, ParseSIP) })
}

func BenchmarkParseJID(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		if _, err := ParseJID("bob@gmail.com/Talk.v104ABCDEF"); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkParseSIP(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		if _, err := ParseSIP("sip:alice@contoso.com;opaque=user:epid:8Yx2;gruu"); err != nil {
			b.Fatal(err)
		}
	}
}
