package config

import (
	"cmp"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"fedlab/internal/strictyaml"
)

// Load reads a configuration file and the files of certificates that it names. See [Parse].
func Load(path string) (*Config, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("config: cannot read the configuration: %w", err)
	}
	return Parse(path, data, os.ReadFile)
}

// Parse reads a configuration. The name is for messages; the files that it names are read with readFile, and relative paths
// are relative to the directory of name.
//
// All mistakes are returned at once, as a *strictyaml.Errors. A certificate that cannot be used is a mistake whose cause is
// [ErrCertificate], [ErrNoKey], [ErrKeyMismatch] or [ErrAuthorities]. One that names the wrong host, or has expired, is no
// mistake here: the gateway says so when it starts, and the doctor explains it.
//
// The Config is nil if the file is not a YAML mapping. Else it holds what could be read, even with an error; that is for the
// doctor, see [OnlyCertificates], and not for running a gateway.
func Parse(name string, data []byte, readFile func(path string) ([]byte, error)) (*Config, error) {
	var l strictyaml.List
	root := strictyaml.Parse(name, data, &l)
	if root.Kind != strictyaml.Mapping {
		if l.Len() == 0 {
			l.At(root, "a configuration has to be a mapping that begins with hostname:, not %s", root.Kind)
		}
		return nil, withoutSecrets(l.Err())
	}
	var c Config
	strictyaml.Decode(root, &c, &l)
	k := checker{List: &l, root: root, dir: filepath.Dir(name), readFile: readFile}
	k.check(&c)
	c.fillIn()
	return &c, withoutSecrets(l.Err())
}

// fillIn sets what the file leaves out to the defaults that the fields' comments name.
func (c *Config) fillIn() {
	c.SIP.Listen = cmp.Or(c.SIP.Listen, ":5061")
	c.XMPP.Listen = cmp.Or(c.XMPP.Listen, ":5269")
	c.XMPP.ConnectTimeout = cmp.Or(c.XMPP.ConnectTimeout, 10*time.Second)
	c.XMPP.StreamTimeout = cmp.Or(c.XMPP.StreamTimeout, 45*time.Second)
	c.XMPP.DialbackSecret = cmp.Or(c.XMPP.DialbackSecret, rand.Text())
	for name, d := range c.SIP.Domains {
		d.MinTLS = cmp.Or(d.MinTLS, "1.2")
		c.SIP.Domains[name] = d
	}
	for name, d := range c.XMPP.Domains {
		d.TLS = cmp.Or(d.TLS, TLSOptional)
		d.SASL = cmp.Or(d.SASL, SASLOptional)
		d.Dialback = cmp.Or(d.Dialback, DialbackOptional)
		c.XMPP.Domains[name] = d
	}
	c.Limits.FillIn()
}

// FillIn sets limits that are zero to their defaults.
func (l *Limits) FillIn() {
	l.StanzaBytes = cmp.Or(l.StanzaBytes, 65536)
	l.MessageBytes = cmp.Or(l.MessageBytes, 65536)
	l.Queue = cmp.Or(l.Queue, 1000)
	l.Streams = cmp.Or(l.Streams, 100)
	l.SessionIdle = cmp.Or(l.SessionIdle, 10*time.Minute)
	l.Outcome = cmp.Or(l.Outcome, 60*time.Second)
}

// Expanded is the XMPP domains with every name of an also list as an entry of its own.
func (x XMPP) Expanded() map[string]XMPPDomain {
	all := make(map[string]XMPPDomain, len(x.Domains))
	for name, d := range x.Domains {
		all[name] = d
		for _, also := range d.Also {
			all[also] = d
		}
	}
	return all
}

// OnlyCertificates reports whether err is from [Parse] or [Load] and speaks of nothing but certificates that cannot be used.
// The Config beside it is complete then, but for what the certificate files should have given.
func OnlyCertificates(err error) bool {
	var all *strictyaml.Errors
	if !errors.As(err, &all) || all.More > 0 {
		return false
	}
	for _, m := range all.Mistakes {
		if !aboutCertificates(m) {
			return false
		}
	}
	return true
}

func aboutCertificates(err error) bool {
	for _, cause := range []error{ErrCertificate, ErrNoKey, ErrKeyMismatch, ErrAuthorities} {
		if errors.Is(err, cause) {
			return true
		}
	}
	return false
}

// withoutSecrets removes excerpts that show the dialback secret: messages end up in logs and tickets.
func withoutSecrets(err error) error {
	var all *strictyaml.Errors
	if errors.As(err, &all) {
		for _, m := range all.Mistakes {
			if strings.Contains(m.Excerpt, "dialback_secret") {
				m.Excerpt = ""
			}
		}
	}
	return err
}
