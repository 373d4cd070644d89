package lab

import (
	"context"
	"crypto/tls"
	"fmt"

	"fedlab/lab/scenario"
	"fedlab/sim/googletalk"
)

// startPartners starts the XMPP servers of other organisations. Each is a farm of one machine.
func (w *world) startPartners(ctx context.Context) error {
	for _, name := range w.hosts() {
		if h := w.topology.Hosts[name]; h.Partner == nil || h.ServedBy() != "" {
			continue
		}
		if err := w.startPartner(ctx, name); err != nil {
			return fmt.Errorf("partner %s: %w", name, err)
		}
	}
	return nil
}

func (w *world) startPartner(ctx context.Context, name string) error {
	p := w.topology.Hosts[name].Partner
	c := googletalk.Config{
		Hosts: []googletalk.Host{{Name: name, Listen: w.listen(name, 5269), Network: w.on(name, "partner"), Down: p.Down}},
		// What sets Google's farm of 2010 apart is none of a partner's habits.
		Quirks:  googletalk.Quirks{Plain: true, BareHeaders: []string{}, DialbackErrors: true},
		Domains: p.Domains, Users: farmUsers(p.Users), Trace: w.trace, Seed: w.seed, Log: w.log,
		Partner: &googletalk.Partner{
			TLS: googletalk.TLSOptional, KeyLog: w.secrets(), Trusted: p.Trusted,
			External:   p.SASL != "never" && p.TLS != "never",
			NoDialback: p.Dialback == "never" || p.SASL == "required",
		},
	}
	if err := quirks(p.Quirks, &c.Quirks); err != nil {
		return err
	}
	switch p.TLS {
	case "never":
		c.Partner.TLS = googletalk.TLSNone
	case "required":
		c.Partner.TLS = googletalk.TLSRequired
	}
	if p.DirectTLS != 0 {
		c.Partner.Direct = w.listen(name, uint16(p.DirectTLS))
	}
	if p.NewestTLS != "" {
		c.Partner.MinVersion, c.Partner.MaxVersion = tls.VersionTLS10, newest[p.NewestTLS]
	}
	if p.TLS != "never" {
		c.Partner.Certificate, c.Partner.Roots = w.papers.certificate(name), w.papers.trusted(name)
	}
	farm, err := googletalk.Start(ctx, c)
	if err != nil {
		return err
	}
	w.partners[name] = farm
	return nil
}

// newest are the versions of TLS by their names in topologies.
var newest = map[string]uint16{"1.0": tls.VersionTLS10, "1.1": tls.VersionTLS11, "1.2": tls.VersionTLS12, "1.3": tls.VersionTLS13}

func farmUsers(users map[string]scenario.User) []googletalk.User {
	var all []googletalk.User
	for _, address := range sorted(users) {
		u := users[address]
		all = append(all, googletalk.User{Address: address, Contacts: u.Contacts, Refuse: u.Refuse, Receipts: u.Receipts})
	}
	return all
}

// farmOf is the farm that an XMPP user belongs to.
func (w *world) farmOf(user string) *googletalk.Farm {
	for name, farm := range w.partners {
		if _, ok := w.topology.Hosts[name].Partner.Users[user]; ok {
			return farm
		}
	}
	return w.farm
}
