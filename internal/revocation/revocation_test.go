package revocation_test

import (
	"crypto/x509"
	"errors"
	"strings"
	"testing"
	"time"

	"fedlab/internal/pki"
	"fedlab/internal/revocation"
)

func TestFind(t *testing.T) {
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	ours, err := pki.NewAuthority("ours", pki.AuthorityOptions{Issuing: true})
	must(err)
	namesake, err := pki.NewAuthority("ours", pki.AuthorityOptions{Issuing: true})
	must(err)
	good, err := ours.Issue(pki.Leaf{Subject: "good.example"})
	must(err)
	bad, err := ours.Issue(pki.Leaf{Subject: "bad.example"})
	must(err)
	since := time.Date(2010, 5, 1, 12, 0, 0, 0, time.UTC)
	list := func(a *pki.Authority, reason int, pairs ...*pki.Pair) *x509.RevocationList {
		t.Helper()
		var all []pki.Revoked
		for _, p := range pairs {
			all = append(all, pki.Revoked{Pair: p, Since: since, Reason: reason})
		}
		pem, err := a.List(all...)
		must(err)
		lists, err := revocation.Parse(pem)
		must(err)
		return lists[0]
	}
	chain := func(p *pki.Pair) []*x509.Certificate {
		return []*x509.Certificate{p.Leaf(), ours.Issuing(), ours.Root()}
	}
	for _, tt := range []struct {
		name  string
		pair  *pki.Pair
		lists []*x509.RevocationList
		want  string
	}{
		{"no list", bad, nil, ""},
		{"on the list", bad, []*x509.RevocationList{list(ours, 1, bad)}, "keyCompromise"},
		{"without a reason", bad, []*x509.RevocationList{list(ours, 0, bad)}, "the list gives no reason"},
		{"on the second list", bad, []*x509.RevocationList{list(ours, 4, good), list(ours, 4, bad)}, "superseded"},
		{"another is on the list", good, []*x509.RevocationList{list(ours, 1, bad)}, ""},
		{"taken off a list", bad, []*x509.RevocationList{list(ours, 8, bad)}, ""},
		{"a list of somebody with the same name", bad, []*x509.RevocationList{list(namesake, 1, bad)}, ""},
	} {
		e := revocation.Find(chain(tt.pair), tt.lists)
		switch {
		case (e == nil) != (tt.want == ""):
			t.Errorf("%s: %v", tt.name, e)
		case e == nil:
		case !errors.Is(e, revocation.ErrRevoked) || !e.Since.Equal(since) || e.Certificate != tt.pair.Leaf():
			t.Errorf("%s: %+v", tt.name, e)
		case !strings.Contains(e.Error(), tt.want) || !strings.Contains(e.Error(), "bad.example") || !strings.Contains(e.Error(), "2010-05-01 12:00 UTC"):
			t.Errorf("%s: %v", tt.name, e)
		}
	}
	if e := revocation.Find(chain(bad)[:1], []*x509.RevocationList{list(ours, 1, bad)}); e != nil {
		t.Errorf("a certificate alone, whose issuer nobody has seen: %v", e)
	}
}

func TestParse(t *testing.T) {
	a, err := pki.NewAuthority("ours", pki.AuthorityOptions{})
	if err != nil {
		t.Fatal(err)
	}
	list, err := a.List()
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name, file string
		lists      int
		bad        bool
	}{
		{"nothing", "", 0, false},
		{"no PEM", "revoked: all", 0, false},
		{"certificates only", string(a.RootPEM()), 0, false},
		{"a list among certificates", string(a.RootPEM()) + string(list) + string(a.RootPEM()), 1, false},
		{"two lists", string(list) + string(list), 2, false},
		{"no list in it", "-----BEGIN X509 CRL-----\nAAAA\n-----END X509 CRL-----\n", 0, true},
	} {
		lists, err := revocation.Parse([]byte(tt.file))
		if len(lists) != tt.lists || (err != nil) != tt.bad {
			t.Errorf("%s: %d lists, %v", tt.name, len(lists), err)
		}
	}
}
