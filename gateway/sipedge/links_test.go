package sipedge

import (
	"crypto/tls"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"fedlab/gateway/config"
	"fedlab/gateway/im"
	"fedlab/internal/pki"
)

// TestAcceptedLinkServes: E27. When the Edge cannot be reached, requests go over the connection that it made; once it can, over
// ours.
func TestAcceptedLinkServes(t *testing.T) {
	inWorld(t, func(w *world) {
		in := w.dial(w.edgeCertificate())
		defer in.close()
		synctest.Wait()
		out := newOutcomes()
		w.edge.Send(im.Message{From: bob, To: alice, Body: "1"}, out.of("1"))
		in.answer(in.expect("INVITE "), "603 Decline")
		in.expect("ACK ")
		out.expect(t, "1 recipient-unavailable 603")

		ours := w.connected()
		defer ours.close()
		synctest.Wait()
		w.edge.Send(im.Message{From: bob, To: alice, Body: "2"}, out.of("2"))
		ours.answer(ours.expect("INVITE "), "603 Decline")
		ours.expect("ACK ")
		out.expect(t, "2 recipient-unavailable 603")
		if s := w.edge.Status().Links[0]; !s.Dialled || s.Accepted != 1 || s.Version != "TLS 1.3" {
			t.Errorf("status %+v", s)
		}
	})
}

// TestReconnect: a link that is lost is made again, with growing pauses; a message has one made at once, waits for it, and is
// returned when none comes.
func TestReconnect(t *testing.T) {
	inWorld(t, func(w *world) {
		began := time.Now()
		out := newOutcomes()
		w.edge.Send(im.Message{From: bob, To: alice, Body: "1"}, out.of("1"))
		out.expect(t, "1 remote-server-timeout 0")
		if took := time.Since(began); took < reconnectGrace || took > 20*time.Second {
			t.Errorf("returned after %v", took)
		}
		before := w.edge.Status().Links[0].Attempts
		time.Sleep(10 * time.Minute)
		if n := w.edge.Status().Links[0].Attempts - before; n < 8 || n > 15 {
			t.Errorf("%d attempts in ten minutes", n)
		}

		w.edge.Send(im.Message{From: bob, To: alice, Body: "2"}, out.of("2"))
		p := w.connected() // the Edge comes back
		p.answer(p.expect("INVITE "), "480 Gone home")
		p.expect("ACK ")
		out.expect(t, "2 recipient-unavailable 480")

		p.close() // and is lost again
		began = time.Now()
		p = w.connected()
		defer p.close()
		if took := time.Since(began); took > 5*time.Second {
			t.Errorf("reconnected after %v", took)
		}
	})
}

// TestSilentNetwork: the Edge's port is filtered. Attempts end by themselves, and so does the wait of a message.
func TestSilentNetwork(t *testing.T) {
	inWorld(t, func(w *world) {
		w.net.mu.Lock()
		w.net.dead[edgeName+":5061"] = true
		w.net.mu.Unlock()
		time.Sleep(5 * time.Second)
		began := time.Now()
		told := make(chan *im.Failure, 1)
		w.edge.Send(im.Message{From: bob, To: alice, Body: "1"}, func(f *im.Failure) { told <- f })
		f := <-told
		if took := time.Since(began); f.Condition != im.RemoteServerTimeout || took > 40*time.Second {
			t.Errorf("after %v: %v", took, f)
		}
	})
}

// TestLinkLostUnderMessage: the link dies while a MESSAGE is on its way. Whether it arrived nobody knows; the sender is told, and
// it is not sent twice. The session goes on over the next link.
func TestLinkLostUnderMessage(t *testing.T) {
	inWorld(t, func(w *world) {
		l := w.listen()
		defer l.Close()
		cert := w.edgeCertificate()
		p := w.accept(l, cert)
		out := newOutcomes()
		w.edge.Send(im.Message{From: bob, To: alice, Body: "1"}, out.of("1"))
		p.open()
		p.expect("MESSAGE ")
		p.close()
		out.expect(t, "1 remote-server-timeout 0")
		w.edge.Send(im.Message{From: bob, To: alice, Body: "2"}, out.of("2"))
		p = w.accept(l, cert)
		defer p.close()
		m := p.expect("MESSAGE " + gruu)
		if m.body != "2" {
			t.Errorf("got %q", m.body)
		}
		p.answer(m, "200 OK")
		out.expect(t, "2 ok")
	})
}

// TestLinkLostUnderInvite: an INVITE carries no text, so it is sent again when its link died before anything was said.
func TestLinkLostUnderInvite(t *testing.T) {
	inWorld(t, func(w *world) {
		l := w.listen()
		defer l.Close()
		cert := w.edgeCertificate()
		p := w.accept(l, cert)
		out := newOutcomes()
		w.edge.Send(im.Message{From: bob, To: alice, Body: "1"}, out.of("1"))
		p.expect("INVITE ")
		p.close()
		p = w.accept(l, cert)
		defer p.close()
		p.open()
		p.answer(p.expect("MESSAGE "), "200 OK")
		out.expect(t, "1 ok")
	})
}

// TestStop: sessions are ended, waiting messages returned, and everything is over when Run returns; the bubble finds leaks.
func TestStop(t *testing.T) {
	inWorld(t, func(w *world) {
		p := w.connected()
		out := newOutcomes()
		w.edge.Send(im.Message{From: bob, To: alice, Body: "1"}, out.of("1"))
		p.open()
		p.answer(p.expect("MESSAGE "), "200 OK")
		out.expect(t, "1 ok")
		w.edge.Send(im.Message{From: bob, To: anna, Body: "2"}, out.of("2"))
		inv := p.expect("INVITE sip:anna@")
		p.answer(inv, "180 Ringing")
		synctest.Wait()
		stopped := make(chan struct{})
		go func() { w.stop(); close(stopped) }()
		out.expect(t, "2 recipient-unavailable 0")
		for range 2 {
			switch m := p.next(); {
			case strings.HasPrefix(m.start, "BYE"), strings.HasPrefix(m.start, "CANCEL"):
				p.answer(m, "200 OK")
			default:
				t.Errorf("got\n%s", m)
			}
		}
		p.answer(inv, "487 Request Terminated")
		p.expect("ACK ")
		if m, err := p.read(time.Minute); err == nil {
			t.Errorf("got\n%s", m)
		}
		<-stopped
		p.close()
		w.edge.Send(im.Message{From: bob, To: alice, Body: "3"}, out.of("3"))
		out.expect(t, "3 recipient-unavailable 0")
	})
}

// TestStopWhileNobodyAnswers: a peer that is dead does not keep the gateway from stopping.
func TestStopWhileNobodyAnswers(t *testing.T) {
	inWorld(t, func(w *world) {
		p := w.connected()
		defer p.close()
		o := w.invited(p)
		o.do("MESSAGE", "Content-Type: text/plain", "no outcome")
		<-w.sink.arrived
		out := newOutcomes()
		w.edge.Send(im.Message{From: bob, To: alice, Body: "1"}, out.of("1"))
		p.expect("INVITE ")
		began := time.Now()
		w.stop()
		if took := time.Since(began); took > 5*time.Second {
			t.Errorf("stopped after %v", took)
		}
		out.expect(t, "1 recipient-unavailable 0")
	})
}

// TestTwoHopsOneAddress: domains behind different Edges are kept apart by their certificates, also where both are reached at one
// address; a domain may be spoken for by its own Edge alone.
func TestDomainsBehindTheirEdge(t *testing.T) {
	inWorld(t, func(w *world) {
		p := w.dial(w.certificate(leafFor("sip.fabrikam.com")))
		defer p.close()
		p.send(request("MESSAGE", change{"Content-Type": "text/plain"}), "from anna@contoso.com by fabrikam's Edge")
		p.expect("SIP/2.0 403 ")
		p.send(request("MESSAGE", change{"Content-Type": "text/plain", "From": "<sip:frank@Fabrikam.com>;tag=1", "CSeq": "2 MESSAGE"}), "hi")
		r := <-w.sink.arrived
		if r.From != (im.Address{Local: "frank", Domain: "fabrikam.com"}) || !r.Normal {
			t.Errorf("got %+v", r.Message)
		}
		r.outcome(nil)
		p.expect("SIP/2.0 202 ")
	}, func(c *Config) {
		c.Domains = map[string]config.SIPDomain{"contoso.com": {NextHop: config.NextHop{"sip.contoso.com:5061"}}, "fabrikam.com": {NextHop: config.NextHop{"sip.fabrikam.com:5061"}}}
	})
}

// TestFlood: a verified peer that sends without ever waiting is held back, not stored; when answers go out it is read again.
func TestFlood(t *testing.T) {
	inWorld(t, func(w *world) {
		p := w.dial(w.edgeCertificate())
		defer p.close()
		o := w.invited(p)
		const all = maxUnanswered + 500
		for i := range all {
			o.do("MESSAGE", "Content-Type: text/plain", fmt.Sprint(i))
		}
		for range maxUnanswered {
			(<-w.sink.arrived).outcome(nil)
		}
		for range all - maxUnanswered {
			(<-w.sink.arrived).outcome(nil)
		}
		for range all {
			p.expect("SIP/2.0 202 ")
		}
	})
}

// TestRenew: a new certificate and authority count for the next connection, without a restart; the links that stand are left.
func TestRenew(t *testing.T) {
	inWorld(t, func(w *world) {
		old := w.dial(w.edgeCertificate())
		defer old.close()
		synctest.Wait() // in TLS 1.3 the client is done before the server has looked at its certificate
		other := must(pki.NewAuthority("new-ca", pki.AuthorityOptions{}))
		w.edge.Renew(must(other.Issue(pki.Leaf{Subject: gatewayName, Names: []string{gatewayName}})).TLS(), pki.Roots(other), nil)
		if p, err := w.tryDial(&tls.Config{Certificates: []tls.Certificate{w.edgeCertificate()}, InsecureSkipVerify: true, MaxVersion: tls.VersionTLS12}); err == nil {
			p.close()
			t.Error("the old authority is still trusted")
		}
		w.ca = other
		p := w.dial(w.edgeCertificate())
		defer p.close()
		for _, p := range []*peer{old, p} {
			p.send(options)
			p.expect("SIP/2.0 200 OK")
		}
	})
}
