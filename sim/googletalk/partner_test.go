package googletalk

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"strings"
	"testing"
	"time"

	"fedlab/internal/pki"
	"fedlab/sim/trace"
)

// partner is a copy of p with a certificate for domain, by an authority that everybody trusts.
func (w *world) partner(ca *pki.Authority, p *Partner, domain string) *Partner {
	if p == nil {
		return nil
	}
	q := *p
	if q.usesTLS() {
		pair, err := ca.Issue(pki.Leaf{Subject: domain, Names: []string{domain}, Server: true, Client: true})
		if err != nil {
			w.t.Fatal(err)
		}
		q.Certificate, q.Roots = pair.TLS(), pki.Roots(ca)
	}
	return &q
}

// Every combination of two partners' settings either works both ways or is told to the sender, as XEP-0238 has it, and
// neither of the two breaks a rule.
func TestPartners(t *testing.T) {
	settings := map[string]*Partner{
		"google":        nil,
		"none":          {},
		"optional":      {TLS: TLSOptional},
		"required":      {TLS: TLSRequired},
		"external":      {TLS: TLSOptional, External: true},
		"both required": {TLS: TLSRequired, External: true},
		"no dialback":   {TLS: TLSRequired, External: true, NoDialback: true},
		"trusted":       {TLS: TLSRequired, Trusted: true},
	}
	for nameA, a := range settings {
		for nameB, b := range settings {
			t.Run(nameA+" to "+nameB, func(t *testing.T) {
				inBubble(t, func(w *bubble) {
					ca, err := pki.NewAuthority("public-ca", pki.AuthorityOptions{Now: time.Now()})
					if err != nil {
						t.Fatal(err)
					}
					w.gmail.Partner, w.peer.Partner = w.partner(ca, a, "gmail.com"), w.partner(ca, b, "contoso.com")
				}, func(w *bubble) {
					must(t, w.farm.Send(w.t.Context(), SendOptions{From: "bob@gmail.com", To: "alice@contoso.com", Body: "hello", Via: "talk0"}))
					secured := a.usesTLS() && b.usesTLS()
					external := secured && a.External && b.External
					works := (secured || !requires(a) && !requires(b)) && (external || !refusesDialback(a) && !refusesDialback(b))
					if works {
						w.within(10*time.Second, "the message", shows("alice@contoso.com", trace.Message, "hello"))
					} else {
						w.within(60*time.Second, "the error", shows("bob@gmail.com", trace.Error, "remote-server-timeout"))
					}
					w.noSurprises()
					handshakes, keys := 0, 0
					for _, e := range w.trace.Events() {
						if e.Layer == trace.TLS && e.Kind == trace.Passed {
							handshakes++
						}
						if e.Kind == trace.Sent && strings.HasPrefix(e.Summary, "db:result gmail.com > contoso.com") {
							keys++
						}
					}
					if works && secured != (handshakes > 0) {
						t.Errorf("%d handshakes", handshakes)
					}
					if works && external != (keys == 0) {
						t.Errorf("%d keys, EXTERNAL %v", keys, external)
					}
				})
			})
		}
	}
}

func refusesDialback(p *Partner) bool { return p != nil && p.NoDialback }

func requires(p *Partner) bool { return p != nil && p.TLS == TLSRequired }

// Certificates that do not prove the domain.
func TestPartnerCertificates(t *testing.T) {
	ca, err := pki.NewAuthority("public-ca", pki.AuthorityOptions{})
	if err != nil {
		t.Fatal(err)
	}
	other, err := pki.NewAuthority("other-ca", pki.AuthorityOptions{})
	if err != nil {
		t.Fatal(err)
	}
	p := &Partner{Roots: pki.Roots(ca)}
	leaf := func(by *pki.Authority, l pki.Leaf) tls.ConnectionState {
		pair, err := by.Issue(l)
		if err != nil {
			t.Fatal(err)
		}
		return tls.ConnectionState{PeerCertificates: []*x509.Certificate{pair.Leaf()}}
	}
	for _, c := range []struct {
		name  string
		state tls.ConnectionState
		want  string
	}{
		{"none", tls.ConnectionState{}, "no certificate"},
		{"name", leaf(ca, pki.Leaf{Subject: "x", Names: []string{"contoso.com"}, Server: true}), ""},
		{"only in the CN", leaf(ca, pki.Leaf{Subject: "contoso.com", Server: true}), ""},
		{"CN beside another name", leaf(ca, pki.Leaf{Subject: "contoso.com", Names: []string{"x.com"}}), "is for x.com"},
		{"wildcard", leaf(ca, pki.Leaf{Subject: "x", Names: []string{"*.com"}}), ""},
		{"wildcard of the domain", leaf(ca, pki.Leaf{Subject: "x", Names: []string{"*.contoso.com"}}), "is for *.contoso.com"},
		{"another authority", leaf(other, pki.Leaf{Subject: "contoso.com", Names: []string{"contoso.com"}}), "unknown authority"},
		{"expired", leaf(ca, pki.Leaf{Subject: "contoso.com", Names: []string{"contoso.com"}, NotBefore: time.Now().Add(-48 * time.Hour), NotAfter: time.Now().Add(-time.Hour)}), "expired"},
	} {
		err := p.judge(c.state, "contoso.com")
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s: %v, want %q", c.name, err, c.want)
		}
	}
}

// Settings that cannot be meant.
func TestConfigMistakes(t *testing.T) {
	w := newWorld(t)
	host := []Host{{Name: "talk0", Network: w.machine("talk0")}}
	for want, c := range map[string]Config{
		"at least one host":            {},
		"has no network":               {Hosts: []Host{{Name: "talk0"}}},
		"stands for two hosts":         {Hosts: []Host{host[0], host[0]}},
		"not an address like":          {Hosts: host, Users: []User{{Address: "bob"}}},
		"in none of the farm's":        {Hosts: host, Users: []User{{Address: "bob@example.com"}}},
		"contact \"alice\" of":         {Hosts: host, Users: []User{{Address: "bob@gmail.com", Contacts: []string{"alice"}}}},
		"unknown condition":            {Hosts: host, Users: []User{{Address: "bob@gmail.com", Refuse: "full"}}},
		"IdleError":                    {Hosts: host, Quirks: Quirks{IdleError: "reset"}},
		"cannot be negative":           {Hosts: host, Quirks: Quirks{KeepAlive: -1}},
		"quirk Probe":                  {Hosts: host, Quirks: Quirks{Probe: "maybe"}},
		"needs a certificate":          {Hosts: host, Partner: &Partner{TLS: TLSRequired}},
		"not none, optional or":        {Hosts: host, Partner: &Partner{TLS: "maybe"}},
		"can neither use SASL":         {Hosts: host, Partner: &Partner{External: true}},
		"nor begin with it":            {Hosts: host, Partner: &Partner{Direct: ":5270"}},
		"that refuses dialback needs":  {Hosts: host, Partner: &Partner{NoDialback: true}},
		"cannot listen on 300.0.0.1:1": {Hosts: []Host{{Name: "talk0", Network: host[0].Network, Listen: "300.0.0.1:1"}}},
	} {
		f, err := Start(t.Context(), c)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
		if f != nil {
			f.Close()
		}
	}
	f := w.farm(nil)
	for want, err := range map[string]error{
		"no user":                f.Send(t.Context(), SendOptions{From: "eve@gmail.com", To: "alice@contoso.com"}),
		"not a user's address":   f.Send(t.Context(), SendOptions{From: "gmail.com", To: "alice@contoso.com"}),
		"not an address that":    f.Send(t.Context(), SendOptions{From: "bob@gmail.com", To: "@"}),
		"cannot carry":           f.Send(t.Context(), SendOptions{From: "bob@gmail.com", To: "alice@contoso.com", Body: "\x00"}),
		"no host \"talk9\"":      f.Send(t.Context(), SendOptions{From: "bob@gmail.com", To: "alice@contoso.com", Via: "talk9"}),
		"not a chat state":       f.Typing(t.Context(), TypingOptions{From: "bob@gmail.com", To: "alice@contoso.com", State: "typing"}),
		"not a state of presenc": f.SetPresence(t.Context(), PresenceOptions{User: "bob@gmail.com", State: "busy"}),
		"no host \"talk8\"":      errors.Join(f.SetDown("talk8", true), f.Restart("talk8")),
		"subscriptions inside":   f.Subscribe(t.Context(), SubscriptionOptions{User: "bob@gmail.com", Contact: "eve@gmail.com"}),
	} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}
