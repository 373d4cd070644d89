package doctor_test

import (
	"crypto/tls"
	"io"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"fedlab/doctor"
	"fedlab/gateway/config"
	"fedlab/internal/pki"
)

// encrypts is an XMPP server that offers STARTTLS and takes it up.
func encrypts(c *tls.Config) func(net.Conn) {
	return func(conn net.Conn) {
		b := make([]byte, 4096)
		if _, err := conn.Read(b); err != nil {
			return
		}
		_, _ = io.WriteString(conn, header("version='1.0'")+"<stream:features><starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/></stream:features>")
		if n, err := conn.Read(b); err != nil || !strings.Contains(string(b[:n]), "<starttls") {
			return
		}
		_, _ = io.WriteString(conn, "<proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>")
		t := tls.Server(conn, c)
		_ = t.Handshake()
		_, _ = io.Copy(io.Discard, t)
	}
}

// begins is an XMPP server that begins with TLS.
func begins(c *tls.Config) func(net.Conn) {
	return func(conn net.Conn) {
		t := tls.Server(conn, c)
		if t.Handshake() != nil {
			return
		}
		says(header("version='1.0'") + "<stream:features/>")(t)
	}
}

// xmppCertificates are those that a test of XMPP's certificates needs: of one authority, which the doctor is told to trust.
type xmppCertificates struct {
	t         *testing.T
	authority *pki.Authority
}

func newXMPPCertificates(t *testing.T) xmppCertificates {
	t.Helper()
	a, err := pki.NewAuthority("public-ca", pki.AuthorityOptions{Now: time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)})
	if err != nil {
		t.Fatal(err)
	}
	return xmppCertificates{t, a}
}

// of is a certificate for names, valid for so long from the beginning of a bubble.
func (x xmppCertificates) of(until time.Duration, names ...string) tls.Certificate {
	x.t.Helper()
	now := time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)
	p, err := x.authority.Issue(pki.Leaf{Subject: names[0], Names: names, Server: true, NotBefore: now.Add(-time.Hour * 24 * 365), NotAfter: now.Add(until)})
	if err != nil {
		x.t.Fatal(err)
	}
	return p.TLS()
}

const year = 365 * 24 * time.Hour

// What is found of certificates between XMPP servers depends on what hangs on them.
func TestXMPPCertificates(t *testing.T) {
	x := newXMPPCertificates(t)
	onlyCertificates := config.XMPPDomain{TLS: config.TLSRequired, SASL: config.SASLRequired, Dialback: config.DialbackNever}
	serves := func(c tls.Certificate) *tls.Config { return &tls.Config{Certificates: []tls.Certificate{c}} }
	for name, tt := range map[string]struct {
		policy config.XMPPDomain
		file   tls.Certificate // what our configuration has
		shown  *tls.Config     // what our gateway presents; nil: it offers no TLS
		theirs *tls.Config
		want   []string
	}{
		"all in order":                     {policy: onlyCertificates, file: x.of(year, "contoso.com"), shown: serves(x.of(year, "contoso.com")), theirs: serves(x.of(year, "gmail.com"))},
		"a wildcard for a sub-domain":      {policy: onlyCertificates, file: x.of(year, "contoso.com"), theirs: serves(x.of(year, "*.com")), want: []string{"xmpp.peer-certificate gateway"}},
		"theirs, which need not be good":   {file: x.of(year, "contoso.com"), theirs: serves(x.of(-time.Hour, "elsewhere.example"))},
		"theirs has run out":               {policy: onlyCertificates, file: x.of(year, "contoso.com"), theirs: serves(x.of(-time.Hour, "gmail.com")), want: []string{"xmpp.peer-certificate gateway"}},
		"theirs is not the pinned one":     {policy: config.XMPPDomain{Pin: strings.Repeat("00", 32)}, file: x.of(year, "contoso.com"), theirs: serves(x.of(year, "gmail.com")), want: []string{"xmpp.peer-certificate gateway"}},
		"renewed, and the old one shown":   {file: x.of(year, "contoso.com"), shown: serves(x.of(-time.Hour, "contoso.com")), want: []string{"xmpp.own-certificate outside"}},
		"of the host":                      {file: x.of(year, "xmpp.jds.local"), shown: serves(x.of(year, "xmpp.jds.local")), want: []string{"xmpp.own-certificate gateway"}},
		"of the host, and TLS is not used": {policy: config.XMPPDomain{TLS: config.TLSNever}, file: x.of(year, "xmpp.jds.local")},
		"ends in a week":                   {file: x.of(7*24*time.Hour, "contoso.com"), shown: serves(x.of(7*24*time.Hour, "contoso.com")), want: []string{"tls.expires-soon gateway", "tls.expires-soon outside"}},
		"theirs speaks an old version":     {file: x.of(year, "contoso.com"), theirs: &tls.Config{Certificates: []tls.Certificate{x.of(year, "gmail.com")}, MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS10}, want: []string{"tls.version gateway"}},
		"theirs offers TLS and has none":   {file: x.of(year, "contoso.com"), theirs: &tls.Config{}, want: []string{"tls.handshake gateway"}},
		"ours offers TLS and has none":     {file: x.of(year, "contoso.com"), shown: &tls.Config{}, want: []string{"tls.handshake outside"}},
	} {
		t.Run(name, func(t *testing.T) {
			d := healthy()
			d.xmpp, d.trusted = tt.policy, pki.Roots(x.authority)
			d.xmppCertificate = config.Certificate{Cert: "xmpp.pem", Key: "xmpp.key", Pair: tt.file, Roots: d.trusted}
			if tt.shown != nil {
				d.gatewayXMPP = encrypts(tt.shown)
			}
			if tt.theirs != nil {
				d.farm["talk0"] = encrypts(tt.theirs)
			} else {
				d.xmpp.TLS = config.TLSOptional // and they offer none
			}
			if tt.policy.TLS == config.TLSNever {
				d.xmpp.TLS = config.TLSNever
			}
			if codes, all := d.examine(t); !slices.Equal(codes, tt.want) {
				t.Errorf("found %q, want %q\n%s", codes, tt.want, text(t, all))
			}
		})
	}
}

// A certificate for XMPP that has no key is told apart from one for the Edge.
func TestXMPPCertificateWithoutKey(t *testing.T) {
	x := newXMPPCertificates(t)
	d := healthy()
	keyless := x.of(year, "contoso.com")
	keyless.PrivateKey = nil
	d.xmppCertificate = config.Certificate{Cert: "xmpp.pem", Key: "xmpp.key", Pair: keyless}
	d.problem = config.ErrNoKey
	_, all := d.examine(t)
	if len(all) != 1 || all[0].Code != "tls.no-key" || all[0].Subject != "contoso.com" || !strings.Contains(all[0].Evidence[0], "xmpp.key") {
		t.Errorf("found %+v", all)
	}
}

// Streams that begin with TLS are looked for where a record says that they are.
func TestDirectTLS(t *testing.T) {
	x := newXMPPCertificates(t)
	good := &tls.Config{Certificates: []tls.Certificate{x.of(year, "contoso.com")}, NextProtos: []string{"xmpp-server"}}
	for name, tt := range map[string]struct {
		record string
		serve  func(net.Conn)
		want   []string
	}{
		"in order":             {"0 0 5269 xmpp.contoso.com.", begins(good), nil},
		"it has run out":       {"0 0 5269 xmpp.contoso.com.", begins(&tls.Config{Certificates: []tls.Certificate{x.of(-time.Hour, "contoso.com")}}), []string{"xmpp.own-certificate outside"}},
		"streams in clear":     {"0 0 5269 xmpp.contoso.com.", says(header("version='1.0'")), []string{"xmpp.direct-tls outside"}},
		"the port is closed":   {"0 0 5270 xmpp.contoso.com.", begins(good), []string{"xmpp.direct-tls outside"}},
		"no address":           {"0 0 5269 elsewhere.contoso.com.", begins(good), []string{"xmpp.direct-tls outside"}},
		"it is not offered":    {"0 0 0 .", begins(good), nil},
		"a stale address":      {"0 0 5269 moved.contoso.com.", begins(good), []string{"gateway.address-down outside"}},
		"a private address":    {"0 0 5269 inside.contoso.com.", begins(good), []string{"dns.public-address outside"}},
		"TLS and then silence": {"0 0 5269 xmpp.contoso.com.", func(c net.Conn) { t := tls.Server(c, good); _ = t.Handshake(); silence(t) }, []string{"xmpp.direct-tls outside"}},
	} {
		t.Run(name, func(t *testing.T) {
			d := healthy()
			d.zones["contoso.com"]["_xmpps-server._tcp SRV"] = []string{tt.record}
			d.zones["contoso.com"]["moved A"], d.zones["contoso.com"]["inside A"] = []string{"12.34.56.78", "12.34.56.80"}, []string{"10.11.12.40"}
			d.trusted = pki.Roots(x.authority)
			d.gatewayXMPP = tt.serve
			_, all := d.examine(t)
			// The record for streams in clear leads to the same port here, and is not what this is about.
			all = slices.DeleteFunc(all, func(f doctor.Finding) bool { return f.Code == "nat.forward" || f.Code == "xmpp.no-stream" })
			var codes []string
			for _, f := range all {
				codes = append(codes, f.Code+" "+string(f.From))
			}
			if !slices.Equal(codes, tt.want) {
				t.Errorf("found %q, want %q\n%s", codes, tt.want, text(t, all))
			}
		})
	}
}

// Who has not been given the Edge's certificate looks at the gateway's and makes no session without one, which the gateway would take for the Edge's doing.
func TestEdgeWithoutItsCertificate(t *testing.T) {
	for name, tt := range map[string]struct {
		change func(*deployment)
		want   []string
	}{
		"in order":   {func(*deployment) {}, nil},
		"other name": {func(d *deployment) { d.gatewayLeaf.Subject = "im.contoso.com" }, []string{"tls.name-mismatch"}},
		"has expired": {func(d *deployment) {
			d.gatewayLeaf.NotBefore, d.gatewayLeaf.NotAfter = time.Date(1999, 1, 1, 0, 0, 0, 0, time.UTC), time.Date(1999, 12, 31, 0, 0, 0, 0, time.UTC)
		}, []string{"tls.expired"}},
	} {
		t.Run(name, func(t *testing.T) {
			d := healthy()
			tt.change(d)
			d.gatewayTLS = func(c *tls.Config) {
				c.ClientAuth = tls.RequestClientCert
				c.VerifyConnection = func(tls.ConnectionState) error {
					t.Error("a session is made without a certificate")
					return nil
				}
			}
			d.run(t, func(t *testing.T, b *built) {
				b.edge.Certificate = tls.Certificate{}
				var codes []string
				for _, f := range b.edge.Examine(t.Context()) {
					codes = append(codes, f.Code)
				}
				if !slices.Equal(codes, tt.want) {
					t.Errorf("found %q, want %q", codes, tt.want)
				}
			})
		})
	}
}
