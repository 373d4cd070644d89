package config

import (
	"crypto"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"os"

	"fedlab/internal/revocation"
	"fedlab/internal/strictyaml"
)

// Why a certificate cannot be used at all. Each is the cause of a mistake at the key that names the file.
var (
	ErrCertificate = errors.New("no readable certificate")        // the file is missing or holds none
	ErrNoKey       = errors.New("no readable private key")        // the file is missing, holds none, or one under a passphrase (step 6)
	ErrKeyMismatch = errors.New("the key of another certificate") // certificate and key do not belong together
	ErrAuthorities = errors.New("no readable authority")          // the file is missing or holds no certificate
	ErrRevoked     = errors.New("no readable list of revoked certificates")
	errPassphrase  = errors.New("the key is under a passphrase")    // of ErrNoKey
	errOtherBlocks = errors.New("it is PEM, but of something else") // of any of them
	errNotPEM      = errors.New("it is not PEM: a text that begins with -----BEGIN")
)

// certificate reads the files of the certificate into c.Pair and c.Roots. Pair has the certificate even where its key is of no
// use, so that the doctor can look at it.
func (k *checker) certificate(c *Certificate, side string) {
	at := func(key string) *strictyaml.Node { return k.root.At(side, "certificate", key) }
	var leaf *x509.Certificate
	if c.Cert != "" {
		chain, err := k.certificates(c.Cert)
		if err != nil {
			k.because(at("cert"), ErrCertificate, fmt.Sprintf("cert: no certificate can be read from %s", c.Cert), err)
		} else {
			leaf = chain[0]
			c.Pair = pairOf(chain)
		}
	}
	if c.Key != "" {
		key, err := k.privateKey(c.Key)
		switch {
		case err != nil:
			k.because(at("key"), ErrNoKey, fmt.Sprintf("key: no private key can be read from %s; a certificate without its key is of no use", c.Key), err)
		case leaf != nil && !belongs(key, leaf):
			k.because(at("key"), ErrKeyMismatch, fmt.Sprintf("key: %s holds the key of another certificate than %s", c.Key, c.Cert), nil)
		default:
			c.Pair.PrivateKey = key
		}
	}
	if c.Revoked != "" {
		lists, err := k.lists(c.Revoked)
		if err != nil {
			k.because(at("revoked"), ErrRevoked, fmt.Sprintf("revoked: no list of revoked certificates can be read from %s", c.Revoked), err)
		}
		c.Lists = lists
	}
	if c.Authorities != "" {
		authorities, err := k.certificates(c.Authorities)
		if err != nil {
			k.because(at("authorities"), ErrAuthorities, fmt.Sprintf("authorities: no certificate can be read from %s", c.Authorities), err)
			return
		}
		c.Roots = x509.NewCertPool()
		for _, a := range authorities {
			c.Roots.AddCert(a)
		}
	}
}

// ReadPair reads a certificate and its private key for somebody who wants to know what is wrong with them: a key that belongs to another certificate is
// read like any other. The error is [ErrCertificate] or [ErrNoKey], and why; with the latter the Pair has the certificate.
func ReadPair(cert, key string) (pair tls.Certificate, err error) {
	k := checker{readFile: os.ReadFile}
	chain, err := k.certificates(cert)
	if err != nil {
		return pair, fmt.Errorf("%w: %s: %w", ErrCertificate, cert, err)
	}
	pair = pairOf(chain)
	if pair.PrivateKey, err = k.privateKey(key); err != nil {
		return pair, fmt.Errorf("%w: %s: %w", ErrNoKey, key, err)
	}
	return pair, nil
}

// pairOf is a certificate with its chain, as TLS wants it, and no key.
func pairOf(chain []*x509.Certificate) tls.Certificate {
	pair := tls.Certificate{Leaf: chain[0]}
	for _, c := range chain {
		pair.Certificate = append(pair.Certificate, c.Raw)
	}
	return pair
}

// because reports a mistake that is both of a kind and, if err is not nil, err.
func (k *checker) because(at *strictyaml.Node, kind error, message string, err error) {
	m := k.At(at, "%s", message)
	m.Cause = kind
	if err != nil {
		m.Message += ": " + err.Error()
		m.Cause = errors.Join(kind, err)
	}
}

func (k *checker) certificates(path string) ([]*x509.Certificate, error) {
	var all []*x509.Certificate
	err := k.blocks(path, func(b *pem.Block) error {
		if b.Type != "CERTIFICATE" {
			return nil
		}
		c, err := x509.ParseCertificate(b.Bytes)
		all = append(all, c)
		return err
	})
	if err == nil && len(all) == 0 {
		err = errOtherBlocks
	}
	return all, err
}

func (k *checker) lists(path string) ([]*x509.RevocationList, error) {
	file, err := k.readFile(k.path(path))
	if err != nil {
		return nil, err
	}
	all, err := revocation.Parse(file)
	if err == nil && len(all) == 0 {
		err = fmt.Errorf("there is none in it, in PEM: -----BEGIN %s", revocation.Block)
	}
	return all, err
}

func (k *checker) privateKey(path string) (crypto.PrivateKey, error) {
	var key crypto.PrivateKey
	err := k.blocks(path, func(b *pem.Block) (err error) {
		switch {
		case key != nil:
			return nil
		case b.Type == "ENCRYPTED PRIVATE KEY" || b.Headers["DEK-Info"] != "":
			return errPassphrase
		case b.Type == "PRIVATE KEY":
			key, err = x509.ParsePKCS8PrivateKey(b.Bytes)
		case b.Type == "RSA PRIVATE KEY":
			key, err = x509.ParsePKCS1PrivateKey(b.Bytes)
		case b.Type == "EC PRIVATE KEY":
			key, err = x509.ParseECPrivateKey(b.Bytes)
		}
		return err
	})
	if err == nil && key == nil {
		err = errOtherBlocks
	}
	return key, err
}

// blocks calls f with every PEM block of a file.
func (k *checker) blocks(path string, f func(*pem.Block) error) error {
	rest, err := k.readFile(k.path(path))
	if err != nil {
		return err
	}
	found := false
	for {
		var b *pem.Block
		if b, rest = pem.Decode(rest); b == nil {
			break
		}
		found = true
		if err := f(b); err != nil {
			return err
		}
	}
	if !found {
		return errNotPEM
	}
	return nil
}

// belongs reports whether a key is the one of a certificate.
func belongs(key crypto.PrivateKey, cert *x509.Certificate) bool {
	signer, ok := key.(crypto.Signer)
	if !ok {
		return false
	}
	public, ok := signer.Public().(interface{ Equal(crypto.PublicKey) bool })
	return ok && public.Equal(cert.PublicKey)
}

// Usable reports whether the certificate can be presented: it was read and has its key.
func (c Certificate) Usable() bool { return len(c.Pair.Certificate) > 0 && c.Pair.PrivateKey != nil }
