package config

import (
	"errors"
	"flag"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"fedlab/internal/pki"
)

var update = flag.Bool("update", false, "write the golden files anew")

const healthy = `
hostname: xmpp.jds.local
sip:
  listen: 10.11.12.40:5061
  certificate: {cert: gateway.pem, key: gateway.key, authorities: private-ca.pem}
  domains:
    contoso.com: {next_hop: sip.contoso.com:5061}
xmpp:
  listen: 10.11.12.40:5269
  domains:
    gmail.com: {also: [googlemail.com], tls: never}
    jabber.org: {tls: required}
dns: [10.11.12.10:53]
store: {path: fedgate.db}
admin: {listen: 127.0.0.1:9469}
`

// files is what readFile finds: a good certificate, and everything that goes wrong with one.
func files(t testing.TB) map[string][]byte {
	t.Helper()
	ca, err := pki.NewAuthority("private-ca", pki.AuthorityOptions{Issuing: true})
	if err != nil {
		t.Fatal(err)
	}
	pair, err := ca.Issue(pki.Leaf{Subject: "xmpp.jds.local", Server: true})
	if err != nil {
		t.Fatal(err)
	}
	other, err := ca.Issue(pki.Leaf{Subject: "other.jds.local", NotBefore: time.Now().Add(-48 * time.Hour), NotAfter: time.Now().Add(-24 * time.Hour)})
	if err != nil {
		t.Fatal(err)
	}
	return map[string][]byte{
		"etc/gateway.pem": pair.CertPEM, "etc/gateway.key": pair.KeyPEM, "etc/private-ca.pem": ca.RootPEM(),
		"etc/other.pem": other.CertPEM, "etc/other.key": other.KeyPEM,
		"etc/text": []byte("hello"), "etc/broken.pem": []byte("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"),
		"etc/locked.key": []byte("-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n"),
	}
}

func parse(files map[string][]byte, text string) (*Config, error) {
	return Parse("etc/fedgate.yaml", []byte(text), func(path string) ([]byte, error) {
		if data, ok := files[path]; ok {
			return data, nil
		}
		return nil, &fs.PathError{Op: "open", Path: path, Err: fs.ErrNotExist}
	})
}

func TestCertificateForXMPP(t *testing.T) {
	c, err := parse(files(t), strings.Replace(healthy, "xmpp:\n", "xmpp:\n  certificate: {cert: other.pem, key: other.key, authorities: private-ca.pem}\n", 1))
	if err != nil {
		t.Fatal(err)
	}
	if x := c.XMPP.Certificate; !x.Usable() || x.Roots == nil || x.Pair.Leaf.Subject.CommonName != "other.jds.local" {
		t.Errorf("got %+v", x)
	}
}

func TestNextHop(t *testing.T) {
	for text, want := range map[string]struct {
		hosts NextHop
		shown string
	}{
		"sip.contoso.com:5061":                          {NextHop{"sip.contoso.com:5061"}, "sip.contoso.com:5061"},
		"[edge1.contoso.com:5061, edge2.example:15061]": {NextHop{"edge1.contoso.com:5061", "edge2.example:15061"}, "edge1.contoso.com:5061, edge2.example:15061"},
		"srv": {NextHop{BySRV}, "_sipfederationtls._tcp.contoso.com"},
	} {
		c, err := parse(files(t), strings.Replace(healthy, "sip.contoso.com:5061", text, 1))
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		got := c.SIP.Domains["contoso.com"].NextHop
		if !reflect.DeepEqual(got, want.hosts) || got.Show("contoso.com") != want.shown || got.SRV() != (text == "srv") {
			t.Errorf("%s: %q, shown as %s", text, got, got.Show("contoso.com"))
		}
	}
}

// The lists of revoked certificates may stand in the file of the authorities.
func TestRevoked(t *testing.T) {
	all := files(t)
	a, err := pki.NewAuthority("private-ca", pki.AuthorityOptions{})
	if err != nil {
		t.Fatal(err)
	}
	list, err := a.List()
	if err != nil {
		t.Fatal(err)
	}
	all["etc/revoked.pem"] = append(a.RootPEM(), list...)
	c, err := parse(all, strings.Replace(healthy, "key: gateway.key", "key: gateway.key, revoked: revoked.pem", 1))
	if err != nil || len(c.SIP.Certificate.Lists) != 1 {
		t.Errorf("%v: %+v", err, c)
	}
}

func TestParse(t *testing.T) {
	c, err := parse(files(t), healthy)
	if err != nil {
		t.Fatal(err)
	}
	if !c.SIP.Certificate.Usable() || len(c.SIP.Certificate.Pair.Certificate) != 2 || c.SIP.Certificate.Roots == nil {
		t.Error("the certificate, its chain or the authorities were not read")
	}
	if len(c.XMPP.DialbackSecret) < 16 {
		t.Errorf("dialback secret %q", c.XMPP.DialbackSecret)
	}
	c.SIP.Certificate.Pair, c.SIP.Certificate.Roots, c.XMPP.DialbackSecret = Certificate{}.Pair, nil, ""
	want := &Config{
		Hostname: "xmpp.jds.local",
		SIP: SIP{
			Listen:      "10.11.12.40:5061",
			Certificate: Certificate{Cert: "gateway.pem", Key: "gateway.key", Authorities: "private-ca.pem"},
			Domains:     map[string]SIPDomain{"contoso.com": {NextHop: NextHop{"sip.contoso.com:5061"}, MinTLS: "1.2"}},
		},
		XMPP: XMPP{
			Listen: "10.11.12.40:5269",
			Domains: map[string]XMPPDomain{
				"gmail.com":  {Also: []string{"googlemail.com"}, TLS: TLSNever, SASL: SASLOptional, Dialback: DialbackOptional},
				"jabber.org": {TLS: TLSRequired, SASL: SASLOptional, Dialback: DialbackOptional},
			},
			ConnectTimeout: 10 * time.Second, StreamTimeout: 45 * time.Second,
		},
		DNS:    []string{"10.11.12.10:53"},
		Store:  Store{Path: "etc/fedgate.db"},
		Admin:  Admin{Listen: "127.0.0.1:9469"},
		Limits: Limits{StanzaBytes: 65536, MessageBytes: 65536, Queue: 1000, Streams: 100, SessionIdle: 10 * time.Minute, Outcome: time.Minute},
	}
	if !reflect.DeepEqual(c, want) {
		t.Errorf("got  %+v\nwant %+v", c, want)
	}
	expanded := c.XMPP.Expanded()
	if len(expanded) != 3 || expanded["googlemail.com"].TLS != TLSNever {
		t.Errorf("expanded: %+v", expanded)
	}
}

// Each row changes one thing of the healthy configuration.
func TestMistakes(t *testing.T) {
	all := files(t)
	tests := []struct {
		old, new string
		want     string // part of the message
		is       error
		config   bool // whether the doctor gets a configuration that it can work with
	}{
		{"hostname: xmpp.jds.local", "", `fedgate.yaml:3:1: this lacks the key "hostname"`, nil, false},
		{"hostname: xmpp.jds.local", "hostnam: xmpp.jds.local", `unknown key "hostnam" (did you mean "hostname"?)`, nil, false},
		{"xmpp.jds.local", "xmpp", `hostname "xmpp" is not fully qualified`, nil, false},
		{"xmpp.jds.local", "XMPP.jds.local", `(did you mean "xmpp.jds.local"?)`, nil, false},
		{"xmpp.jds.local", "10.11.12.40", `it is an address`, nil, false},
		{"xmpp.jds.local", "xmpp_gw.jds.local", `(did you mean "xmpp-gw.jds.local"?)`, nil, false},
		{"tls: never", "tls: nevr", `fedgate.yaml:11:46: unknown value of tls "nevr" (did you mean "never"?)`, nil, false},
		{"listen: 10.11.12.40:5269", "listen: 10.11.12.40:5269\n  listen_tls: 10.11.12.40", `fedgate.yaml:10:15: listen_tls "10.11.12.40" is not an address with a port, such as 10.11.12.40:5061 or :5061 for all addresses (did you mean "10.11.12.40:5270"?)`, nil, false},
		{"10.11.12.40:5061", "10.11.12.40", `(did you mean "10.11.12.40:5061"?)`, nil, false},
		{"10.11.12.40:5061", "10.11.12.40:70000", `"70000" is not a port`, nil, false},
		{"10.11.12.40:5269", "xmpp.jds.local:5269", `"xmpp.jds.local" is not an IP address`, nil, false},
		{"    contoso.com: {next_hop: sip.contoso.com:5061}", "    {}", `no SIP domain`, nil, false},
		{"sip.contoso.com:5061", "sip.contoso.com", `(did you mean "sip.contoso.com:5061"?)`, nil, false},
		{"sip.contoso.com:5061", "10.11.12.33:5061", `write the Edge's federation name`, nil, false},
		{"sip.contoso.com:5061", "[sip.contoso.com:5061, sip2.contoso.com]", `fedgate.yaml:7:52: next_hop "sip2.contoso.com" is not host:port (did you mean "sip2.contoso.com:5061"?)`, nil, false},
		{"sip.contoso.com:5061", "[sip.contoso.com:5061, sip.contoso.com:5061]", `fedgate.yaml:7:52: next_hop: sip.contoso.com:5061 stands here a second time`, nil, false},
		{"sip.contoso.com:5061", "[sip.contoso.com:5061, srv]", `fedgate.yaml:7:52: next_hop: srv stands alone`, nil, false},
		{"sip.contoso.com:5061", "SRV", `fedgate.yaml:7:29: next_hop "SRV" is not host:port (did you mean "srv"?)`, nil, false},
		{"sip.contoso.com:5061", "[]", `fedgate.yaml:7:29: next_hop names no host`, nil, false},
		{"sip.contoso.com:5061", "{host: sip.contoso.com}", `fedgate.yaml:7:29: next_hop has to be`, nil, false},
		{"5061}", `5061, pin: "AB:CD"}`, `pin is not a SHA-256 fingerprint`, nil, false},
		{"5061}", `5061, min_tls: 1.4}`, `unknown value of min_tls "1.4"`, nil, false},
		{"[googlemail.com]", "[jabber.org]", `jabber.org stands here a second time; the first is in xmpp.domains`, nil, false},
		{"[googlemail.com]", "[contoso.com]", `contoso.com is also one of sip.domains`, nil, false},
		{"[googlemail.com]", "[gôogle.com]", `write it in its xn-- form`, nil, false},
		{"domains:\n    gmail.com", "stream_timeout: -1s\n  domains:\n    gmail.com", `stream_timeout has to be more than nothing`, nil, false},
		{"domains:\n    gmail.com", "dialback_secret: short\n  domains:\n    gmail.com", `dialback_secret is too short`, nil, false},
		{"10.11.12.10:53", "10.11.12.10", `(did you mean "10.11.12.10:53"?)`, nil, false},
		{"admin:", "limits: {stanza_bytes: 100}\nadmin:", `stanza_bytes has to be from 10000 to`, nil, false},
		{"tls: never", "tls: never, pin: 12", `fedgate.yaml:11:58: pin is not a SHA-256 fingerprint`, nil, false},
		{"tls: never", "tls: never, sasl: required", `sasl: required needs encryption`, nil, false},
		{"tls: never", "tls: never, dialback: never", `nothing is left to prove gmail.com by`, nil, false},
		{"tls: required", "tls: required, sasl: never, dialback: never", `nothing is left to prove jabber.org by`, nil, false},
		{"cert: gateway.pem", "cert: missing.pem", `no certificate can be read from missing.pem: open etc/missing.pem`, ErrCertificate, true},
		{"cert: gateway.pem", "cert: missing.pem", `does not exist`, fs.ErrNotExist, true},
		{"cert: gateway.pem", "cert: broken.pem", `fedgate.yaml:5:23: cert: no certificate can be read from broken.pem`, ErrCertificate, true},
		{"cert: gateway.pem", "cert: gateway.key", `it is PEM, but of something else`, ErrCertificate, true},
		{"cert: gateway.pem", "cert: text", `it is not PEM`, ErrCertificate, true},
		{"key: gateway.key", "key: gateway.key, revoked: missing.pem", `no list of revoked certificates can be read from missing.pem: open etc/missing.pem`, ErrRevoked, false},
		{"key: gateway.key", "key: gateway.key, revoked: gateway.pem", `there is none in it, in PEM: -----BEGIN X509 CRL`, ErrRevoked, false},
		{"key: gateway.key", "key: missing.key", `a certificate without its key is of no use`, ErrNoKey, true},
		{"key: gateway.key", "key: gateway.pem", `no private key`, ErrNoKey, true},
		{"key: gateway.key", "key: locked.key", `under a passphrase`, ErrNoKey, true},
		{"key: gateway.key", "key: other.key", `other.key holds the key of another certificate than gateway.pem`, ErrKeyMismatch, true},
		{"authorities: private-ca.pem", "authorities: text", `authorities: no certificate`, ErrAuthorities, true},
		{"xmpp:\n", "xmpp:\n  certificate: {cert: other.pem, key: gateway.key}\n", `fedgate.yaml:9:39: key: gateway.key holds the key of another certificate than other.pem`, ErrKeyMismatch, true},
		{"xmpp:\n", "xmpp:\n  certificate: {cert: other.pem}\n", `certificate lacks the key "key"`, nil, false},
	}
	for _, tt := range tests {
		text := strings.Replace(healthy, tt.old, tt.new, 1)
		if text == healthy {
			t.Fatalf("%q is not in the healthy configuration", tt.old)
		}
		c, err := parse(all, text)
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%q for %q:\ngot  %v\nwant %s", tt.new, tt.old, err, tt.want)
			continue
		}
		if tt.is != nil && !errors.Is(err, tt.is) {
			t.Errorf("%q for %q: %v is not %v", tt.new, tt.old, err, tt.is)
		}
		if OnlyCertificates(err) != tt.config || tt.config && (c == nil || c.Hostname == "") {
			t.Errorf("%q for %q: only certificates: %v, config %+v", tt.new, tt.old, OnlyCertificates(err), c)
		}
		if strings.Contains(err.Error(), "dialback_secret: short") {
			t.Errorf("the secret is shown: %v", err)
		}
	}
}

// A certificate that names another host, or has expired, is for the doctor to explain: the configuration is read.
func TestWrongCertificatesAreRead(t *testing.T) {
	c, err := parse(files(t), strings.NewReplacer("gateway.pem", "other.pem", "gateway.key", "other.key").Replace(healthy))
	if err != nil || c.SIP.Certificate.Pair.Leaf.Subject.CommonName != "other.jds.local" {
		t.Errorf("%v", err)
	}
}

// A key that is missing leaves the certificate to be looked at.
func TestCertificateWithoutKey(t *testing.T) {
	c, err := parse(files(t), strings.Replace(healthy, "gateway.key", "none", 1))
	if !OnlyCertificates(err) || c.SIP.Certificate.Pair.Leaf == nil || c.SIP.Certificate.Usable() {
		t.Errorf("%v", err)
	}
}

func TestTenMistakesAtOnce(t *testing.T) {
	const text = `hostname: xmpp
sip:
  listen: 10.11.12.40
  certificate: {cert: gateway.pem, key: other.key}
  domains:
    Contoso.com: {next_hop: sip.contoso.com}
    fabrikam.com: {nexthop: sip.fabrikam.com:5061}
xmpp:
  listen: ":xmpp"
  domains:
    gmail.com: {also: [googlemail.com, contoso.com], tls: newer}
    googlemail.com: {}
limits: {session_idle: 600}
stores: {path: fedgate.db}
`
	_, err := parse(files(t), text)
	const golden = "testdata/mistakes.golden"
	got := err.Error() + "\n"
	if *update {
		if err := errors.Join(os.MkdirAll("testdata", 0o755), os.WriteFile(golden, []byte(got), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("got:\n%s\nwant:\n%s", got, want)
	}
}

func TestLoad(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "fedgate.yaml")
	if _, err := Load(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
	for name, data := range files(t) {
		if err := os.WriteFile(filepath.Join(dir, filepath.Base(name)), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(path, []byte(healthy), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Load(path); err != nil {
		t.Error(err)
	}
}

func FuzzParse(f *testing.F) {
	f.Add(healthy)
	f.Add(strings.Replace(healthy, "10.11.12.40:5061", "[::1]:0", 1))
	all := files(f)
	f.Fuzz(func(t *testing.T, text string) {
		c, err := parse(all, text)
		if c == nil && err == nil {
			t.Error("neither a configuration nor an error")
		}
	})
}
