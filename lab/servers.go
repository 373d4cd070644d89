package lab

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"fedlab/lab/peers"
	"fedlab/lab/scenario"
)

// ErrRealServers means that a deployment has servers that others wrote, which the virtual network cannot run.
var ErrRealServers = errors.New("a real server needs real machines")

// OnVirtualNetwork says why t cannot be made on the virtual network; nil if it can.
func OnVirtualNetwork(t *scenario.Topology) error {
	for _, name := range sorted(t.Hosts) {
		if server := t.Hosts[name].ServedBy(); server != "" {
			return fmt.Errorf("%w: host %s is served by %s; run it with --world containers", ErrRealServers, name, server)
		}
	}
	return nil
}

// ServerFolder is where the files of a server that others wrote stand on its machine.
const ServerFolder = "/etc/fedlab"

// Server is how the server that others wrote is run on its machine. Its files are in [ServerFolder].
func (p *Papers) Server(name string, h scenario.Host) peers.Run {
	r := server(h)
	if p.minted.pairs[name] != nil {
		cert, key := string(p.minted.certPEM(name)), string(p.minted.pairs[name].KeyPEM)
		r.Files["server.pem"], r.Files["server.key"], r.Files["server.both.pem"] = cert, key, cert+key
	}
	r.Files["ca.pem"] = string(p.minted.trust[name])
	return r
}

// Where clients reach a server that others wrote: on its own machine, where nobody else does.
var (
	loopback = netip.MustParseAddr("127.0.0.1")
	clients  = netip.AddrPortFrom(loopback, 5222)
	phones   = netip.AddrPortFrom(loopback, 5060)
	aboveAll = uint16(5070) // the port of the first phone
)

func server(h scenario.Host) peers.Run {
	if e := h.Edge; e != nil {
		s := peers.SIPServer{
			Name: e.Name, Domains: e.Domains, Federation: netip.AddrPortFrom(e.Federation, 5061), Inside: phones, Phones: map[string]netip.AddrPort{},
			Hops: map[string]string{}, Folder: ServerFolder, Data: "/run", Tables: peers.Tables,
		}
		for i, user := range sorted(e.Users) {
			s.Phones[user] = phone(i)
		}
		for domain, hop := range e.Allow {
			if !strings.Contains(hop, ":") {
				hop += ":5061"
			}
			s.Hops[domain] = hop
		}
		return s.Kamailio()
	}
	p := h.Partner
	s := peers.XMPPServer{
		Domains: p.Domains, Federation: netip.AddrPortFrom(firstAddress(h), 5269), Clients: clients, Encryption: peers.Encryption(cmp.Or(p.TLS, string(peers.Optional))),
		External: p.SASL == "required", Names: netip.AddrPortFrom(h.Resolver[0], 53), Folder: ServerFolder, Data: "/var/lib/" + p.ServedBy,
	}
	if p.ServedBy == "ejabberd" {
		return s.Ejabberd()
	}
	return s.Prosody()
}

// phone is where the phone of the nth user listens.
func phone(n int) netip.AddrPort { return netip.AddrPortFrom(loopback, aboveAll+uint16(n)) }

// person is a user of a server that others wrote, with a client of the lab's own.
type person interface {
	Send(to, body string, receipt bool) error
	Typing(to, state string) error
	SetPresence(state, status string) error
	Subscription(to, kind string) error
	Close() error
}

// arrival is how long a server that others wrote may take until it serves its users.
const arrival = time.Minute

// startPeople logs the users of a host in.
func (w *world) startPeople(ctx context.Context, host string) error {
	ctx, cancel := context.WithTimeout(ctx, arrival)
	defer cancel()
	h := w.topology.Hosts[host]
	for i, address := range users(h) {
		if w.people[address] != nil {
			continue
		}
		var p person
		var err error
		if h.Edge != nil {
			p, err = peers.StartPhone(ctx, peers.PhoneConfig{Address: address, Listen: phone(i), Proxy: phones, Host: host, Trace: w.trace})
		} else {
			p, err = peers.StartXMPPUser(ctx, peers.XMPPUserConfig{Address: address, Server: clients.String(), Host: host, Receipts: h.Partner.Users[address].Receipts, Trace: w.trace})
		}
		if err != nil {
			return fmt.Errorf("%s on host %s: %w", h.ServedBy(), host, err)
		}
		w.people[address] = p
	}
	return nil
}

func (w *world) stopPeople(addresses []string) error {
	var errs []error
	for _, address := range addresses {
		if p := w.people[address]; p != nil {
			errs = append(errs, p.Close())
			delete(w.people, address)
		}
	}
	return errors.Join(errs...)
}

// users are those of a server that others wrote.
func users(h scenario.Host) []string {
	if h.Edge != nil {
		return sorted(h.Edge.Users)
	}
	return sorted(h.Partner.Users)
}

// personIn is who acts in a step, and what that one does; nil if a fake serves the user.
func (w *world) personIn(s *scenario.Step) (person, func() error) {
	subscription := func(x *scenario.Subscription, kind string) (person, func() error) {
		p := w.people[x.From]
		return p, func() error { return p.Subscription(x.To, kind) }
	}
	switch {
	case s.Typing != nil:
		p := w.people[s.Typing.From]
		return p, func() error { return p.Typing(s.Typing.To, cmp.Or(s.Typing.State, "composing")) }
	case s.Presence != nil:
		p := w.people[s.Presence.User]
		return p, func() error { return p.SetPresence(cmp.Or(s.Presence.State, "available"), s.Presence.Status) }
	case s.Subscribe != nil:
		return subscription(s.Subscribe, "subscribe")
	case s.Unsubscribe != nil:
		return subscription(s.Unsubscribe, "unsubscribe")
	case s.Approve != nil:
		return subscription(s.Approve, "subscribed")
	case s.Deny != nil:
		return subscription(s.Deny, "unsubscribed")
	}
	return nil, nil
}
