package ocsedge

import (
	"context"
	"net"
	"slices"
	"strings"
	"time"
)

// Limits on discovered partners. Partners on the Allow list have none (TechNet bb663635).
const (
	discoveredRate  = time.Second / 20 // between two messages
	suspiciousRate  = time.Second
	suspiciousAfter = 20   // requests of which more than half failed; the product's own ratio is not known
	discoveredURIs  = 1000 // distinct addresses asked for, valid or not; requests to further ones are blocked
	srvTime         = 5 * time.Minute
	heldLength      = 10000
	maxPartners     = 1000 // domains at a time: strangers name them
)

// partner is a federated domain without a configured next hop: allowed, so that its SRV record says who may speak for it, or only
// discovered, with limits besides.
type partner struct {
	e          *Edge
	domain     string
	discovered bool
	targets    []string // of _sipfederationtls._tcp, those inside the domain
	until      time.Time
	looking    bool
	waiting    bool
	held       []func()
	next       time.Time // when the next message may pass
	asked      int
	failed     int
	uris       map[string]bool
	watched    bool // it is on the watch list
}

// partnerOf returns the partner that a domain is, nil if its next hop is configured or it may not federate.
func (e *Edge) partnerOf(domain string) *partner {
	next, listed := e.allow[domain]
	discovered := !listed && e.cfg.Discovery && !slices.Contains(e.domains, domain)
	if next != "" || (!listed && !discovered) || slices.Contains(e.block, domain) {
		return nil
	}
	p := e.partners[domain]
	if p == nil && len(e.partners) >= maxPartners {
		return nil
	}
	if p == nil || p.discovered != discovered {
		p = &partner{e: e, domain: domain, discovered: discovered, uris: map[string]bool{}}
		e.partners[domain] = p
	}
	return p
}

// admit calls f when the partner's SRV record is known and its rate allows. The order is kept.
func (p *partner) admit(l *link, f func()) {
	if len(p.held) >= heldLength {
		p.e.log(reason{0, "14508", "exceeded limits", "a discovered partner sends more than the Edge holds"}, "%s, connection from %s dropped", p.domain, hostOf(l.raw.RemoteAddr()))
		p.e.lost(l, net.ErrClosed)
		return
	}
	p.held = append(p.held, f)
	p.pass()
}

func (p *partner) pass() {
	for len(p.held) > 0 && !p.looking && !p.waiting {
		now := time.Now()
		if now.After(p.until) {
			p.look()
			return
		}
		if p.discovered && now.Before(p.next) {
			p.waiting = true
			p.e.after(p.next.Sub(now), func() { p.waiting = false; p.pass() })
			return
		}
		rate := discoveredRate
		if p.asked >= suspiciousAfter && p.failed*2 > p.asked {
			rate = suspiciousRate
		}
		p.next = now.Add(rate)
		f := p.held[0]
		p.held = p.held[1:]
		f()
	}
}

// look asks for the SRV record.
func (p *partner) look() {
	p.looking = true
	e := p.e
	e.wg.Go(func() {
		ctx, cancel := context.WithTimeout(e.ctx, transactionTime)
		defer cancel()
		targets, err := federationTargets(ctx, e, p.domain)
		e.post(func() {
			p.looking = false
			p.targets, p.until = nil, time.Now().Add(srvTime)
			if err != nil {
				e.log(err.(reason), "partner %s", p.domain)
			}
			for _, t := range targets {
				p.targets = append(p.targets, nameOf(t))
			}
			p.pass()
		})
	})
}

// federationTargets are the next hops that a domain's SRV record names, the best first, as host:port. A target counts only inside
// the domain itself: one of a sub-domain or of another domain is not trusted (Cisco 212383). Errors are reasons.
func federationTargets(ctx context.Context, e *Edge, domain string) ([]string, error) {
	_, records, err := e.cfg.Network.LookupSRV(ctx, "sipfederationtls", "tcp", domain)
	if err != nil {
		return nil, reason{1008, "11001", "WSAHOST_NOT_FOUND", "the SRV record _sipfederationtls._tcp." + domain + " cannot be resolved: " + err.Error()}
	}
	var out []string
	for _, r := range records {
		name := strings.ToLower(strings.TrimSuffix(r.Target, "."))
		if _, parent, _ := strings.Cut(name, "."); parent == domain {
			out = append(out, net.JoinHostPort(name, portText(r.Port)))
		}
	}
	if len(out) == 0 {
		return nil, reason{1009, "0xC3E93D6F", "SIPPROXY_E_EPROUTING_MSG_ALLOWED_DOMAIN_NO_SRV_MATCH", "no target of _sipfederationtls._tcp." + domain + " is inside the domain"}
	}
	return out, nil
}

// judge counts a request of a discovered partner; it returns 0, or the status that refuses it.
func (p *partner) judge(a *ask) int {
	if !p.discovered {
		return 0
	}
	p.asked++
	aor := a.to.uri.aor()
	if !p.uris[aor] && len(p.uris) >= discoveredURIs {
		if !p.watched {
			p.watched = true
			p.e.log(reason{0, "14508", "exceeded limits", "a discovered partner asked for more than 1000 addresses and is on the watch list"}, "%s", p.domain)
		}
		return 504
	}
	p.uris[aor] = true
	return 0
}
