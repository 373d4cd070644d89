package vnet

import (
	"context"
	"net/netip"
	"strings"

	"golang.org/x/net/dns/dnsmessage"

	"fedlab/internal/network"
)

var _ network.CanonicalNamer = (*Host)(nil)

// LookupCNAME implements network.CanonicalNamer as package net does: the name that the address records of host carry.
func (h *Host) LookupCNAME(ctx context.Context, host string) (string, error) {
	known, servers := h.settings(host)
	if _, err := netip.ParseAddr(host); err == nil || len(known) > 0 {
		return strings.TrimSuffix(host, ".") + ".", nil
	}
	answers, err := h.query(ctx, servers, host, []dnsmessage.Type{dnsmessage.TypeA, dnsmessage.TypeAAAA})
	for _, answer := range answers {
		for _, rr := range answer {
			if rr.Header.Type == dnsmessage.TypeA || rr.Header.Type == dnsmessage.TypeAAAA {
				return rr.Header.Name.String(), nil
			}
		}
	}
	return "", err
}
