package networktest

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"slices"
	"syscall"
	"testing"
	"time"
)

// dnsError fails the test unless err is a *net.DNSError about name with these properties.
func dnsError(t *testing.T, err error, name string, notFound, temporary, timeout bool) {
	t.Helper()
	var de *net.DNSError
	if !errors.As(err, &de) {
		t.Errorf("%v (%T) is not a *net.DNSError", err, err)
		return
	}
	if de.Name != name || de.IsNotFound != notFound || de.IsTemporary != temporary || de.IsTimeout != timeout {
		t.Errorf("%#v, want name %q, not found %v, temporary %v, timeout %v", de, name, notFound, temporary, timeout)
	}
}

func literal(t *testing.T, e Env) {
	got, err := e.Client.LookupNetIP(t.Context(), "ip", "192.0.2.7")
	if want := []netip.Addr{netip.MustParseAddr("192.0.2.7")}; err != nil || !slices.Equal(got, want) {
		t.Errorf("%v, %v", got, err)
	}
}

func lookup(t *testing.T, e Env) {
	for _, name := range []string{e.DNS.Host, e.DNS.Host + "."} {
		got, err := e.Client.LookupNetIP(t.Context(), "ip", name)
		if err != nil || !slices.Equal(got, []netip.Addr{e.DNS.Addr}) {
			t.Errorf("%s: %v, %v", name, got, err)
		}
	}
	got, err := e.Client.LookupNetIP(t.Context(), "ip4", e.DNS.Host)
	if err != nil || !slices.Equal(got, []netip.Addr{e.DNS.Addr}) {
		t.Errorf("ip4: %v, %v", got, err)
	}
	if got, err := e.Client.LookupNetIP(t.Context(), "ip6", e.DNS.Host); err == nil {
		t.Errorf("ip6: %v", got)
	}
}

func srv(t *testing.T, e Env) {
	cname, records, err := e.Client.LookupSRV(t.Context(), "xmpp-server", "tcp", e.DNS.SRV)
	if err != nil {
		t.Fatal(err)
	}
	if want := "_xmpp-server._tcp." + e.DNS.SRV + "."; cname != want {
		t.Errorf("canonical name %q, want %q", cname, want)
	}
	var targets []string
	for _, r := range records {
		targets = append(targets, r.Target)
	}
	if !slices.Equal(targets, e.DNS.Targets) {
		t.Errorf("targets %q, want %q", targets, e.DNS.Targets)
	}
	_, _, err = e.Client.LookupSRV(t.Context(), "xmpp-server", "tcp", e.DNS.Missing)
	dnsError(t, err, "_xmpp-server._tcp."+e.DNS.Missing, true, false, false)
}

func missing(t *testing.T, e Env) {
	_, err := e.Client.LookupNetIP(t.Context(), "ip", e.DNS.Missing)
	dnsError(t, err, e.DNS.Missing, true, false, false)
}

func empty(t *testing.T, e Env) {
	_, err := e.Client.LookupNetIP(t.Context(), "ip", e.DNS.Empty)
	dnsError(t, err, e.DNS.Empty, true, false, false)
}

func broken(t *testing.T, e Env) {
	_, err := e.Client.LookupNetIP(t.Context(), "ip", e.DNS.Broken)
	dnsError(t, err, e.DNS.Broken, false, true, false)
}

func silent(t *testing.T, e Env) {
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	_, err := e.Client.LookupNetIP(ctx, "ip", e.DNS.Silent)
	dnsError(t, err, e.DNS.Silent, false, true, true)
}

func dialByName(t *testing.T, e Env) {
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	_, err := e.Client.DialContext(ctx, "tcp", net.JoinHostPort(e.DNS.Host, "1"))
	is(t, "dial", err, syscall.ECONNREFUSED) // resolved, and nobody listens
	operation(t, err, "dial", false)
}

func dialMissing(t *testing.T, e Env) {
	_, err := e.Client.DialContext(t.Context(), "tcp", net.JoinHostPort(e.DNS.Missing, "1"))
	operation(t, err, "dial", false)
	dnsError(t, err, e.DNS.Missing, true, false, false)
}
