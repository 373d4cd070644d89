package xmpps2s

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"fedlab/gateway/im"
	"fedlab/gateway/reach"
	"fedlab/gateway/translate"
)

// target is one place where a domain's XMPP server may be found.
type target struct {
	host   string // a name to look up, without a dot at its end, or an address
	port   uint16
	direct bool // TLS from the first byte (XEP-0368)
}

func (t target) String() string { return net.JoinHostPort(t.host, itoa(int(t.port))) }

// resolve finds the places where domain's server is, in the order in which they are to be tried (RFC 6120 §3.2). A failure
// names the condition that the senders of waiting stanzas get: the domain does not exist, or cannot be looked up now.
func (s *Server) resolve(ctx context.Context, domain string) ([]target, *im.Failure) {
	records, err := s.lookupSRV(ctx, "xmpp-server", domain)
	if err != nil {
		// SERVFAIL or no answer is not "no records": falling back would talk to the wrong host.
		return nil, &im.Failure{Condition: im.RemoteServerTimeout,
			Text: fmt.Sprintf("looking up the SRV record _xmpp-server._tcp.%s failed: %v", domain, err)}
	}
	var secure []*net.SRV
	if s.methods[domain].tls() {
		// Records for TLS from the first byte are one set with the others (XEP-0368 §3). Without them, or without an answer,
		// the others do.
		if secure, err = s.lookupSRV(ctx, "xmpps-server", domain); err != nil {
			s.log.Info("looking up an SRV record failed", "record", "_xmpps-server._tcp."+domain, "reason", err)
		}
	}
	if len(records) == 0 && len(secure) == 0 {
		return []target{{host: domain, port: 5269}}, nil // the domain's own addresses (RFC 6120 §3.2.2)
	}
	s.randMu.Lock()
	defer s.randMu.Unlock()
	var targets []target
	for _, r := range reach.Order(slices.Concat(records, secure), s.rand) {
		// A target of "." means that the service is decidedly not offered: no fallback (RFC 2782).
		if host := strings.TrimSuffix(r.Target, "."); host != "" {
			targets = append(targets, target{strings.ToLower(host), r.Port, slices.Contains(secure, r)})
		}
	}
	if len(targets) == 0 {
		return nil, &im.Failure{Condition: im.RemoteServerNotFound,
			Text: fmt.Sprintf("%s says by its SRV record that it offers no XMPP service", domain)}
	}
	return targets, nil
}

// lookupSRV is the SRV records of a service; none if there are none.
func (s *Server) lookupSRV(ctx context.Context, service, domain string) ([]*net.SRV, error) {
	_, records, err := s.cfg.Network.LookupSRV(ctx, service, "tcp", domain)
	var dnsErr *net.DNSError
	if errors.As(err, &dnsErr) && dnsErr.IsNotFound {
		return nil, nil
	}
	return records, err
}

// redirect is a peer's see-other-host: a host, or a host and a port.
type redirect struct{ place string }

func (r *redirect) Error() string { return "the peer sends us to " + r.place }

// resolveRedirect finds the places that a redirect names: a host with a port is one, a bare name is resolved as a domain is
// (RFC 6120 §4.9.3.19).
func (s *Server) resolveRedirect(ctx context.Context, r *redirect) ([]target, *im.Failure) {
	if host, port, err := net.SplitHostPort(r.place); err == nil {
		n, err := strconv.ParseUint(port, 10, 16)
		if err != nil || n == 0 || host == "" {
			return nil, &im.Failure{Condition: im.RemoteServerTimeout, Text: fmt.Sprintf("the peer sends us to %q, which is no place", r.place)}
		}
		return []target{{host: strings.ToLower(host), port: uint16(n)}}, nil
	}
	bare := strings.Trim(r.place, "[]")
	if _, err := netip.ParseAddr(bare); err == nil {
		return []target{{host: bare, port: 5269}}, nil
	}
	domain, err := translate.ParseDomain(bare)
	if err != nil {
		return nil, &im.Failure{Condition: im.RemoteServerTimeout, Text: fmt.Sprintf("the peer sends us to %q, which is no place: %v", r.place, err)}
	}
	return s.resolve(ctx, domain)
}
