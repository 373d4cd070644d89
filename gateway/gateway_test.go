package gateway

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"fedlab/gateway/config"
	"fedlab/gateway/im"
)

// fakeSide is a side that remembers what it was given and answers when the test says so.
type fakeSide struct {
	ready chan struct{}
	fail  error // what Run returns at once

	mu    sync.Mutex
	given []given
	ended bool
}

type given struct {
	m       im.Message
	outcome im.Outcome
}

func newFakeSide() *fakeSide { return &fakeSide{ready: make(chan struct{})} }

func (s *fakeSide) Ready() <-chan struct{} { return s.ready }

func (s *fakeSide) Run(ctx context.Context) error {
	if s.fail != nil {
		return s.fail
	}
	close(s.ready)
	<-ctx.Done()
	s.mu.Lock()
	s.ended = true
	s.mu.Unlock()
	return nil
}

func (s *fakeSide) Send(m im.Message, o im.Outcome) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.given = append(s.given, given{m, o})
}

func (s *fakeSide) unsent() int { return 0 }

func (s *fakeSide) report(*Status) {}

func (s *fakeSide) last() given {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.given[len(s.given)-1]
}

// loopback is the operating system's network, as far as the admin listener needs it.
type loopback struct{}

func (loopback) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	var d net.Dialer
	return d.DialContext(ctx, network, address)
}

func (loopback) Listen(ctx context.Context, network, address string) (net.Listener, error) {
	var l net.ListenConfig
	return l.Listen(ctx, network, address)
}

func (loopback) LookupNetIP(context.Context, string, string) ([]netip.Addr, error) {
	return nil, errors.New("no DNS here")
}

func (loopback) LookupSRV(context.Context, string, string, string) (string, []*net.SRV, error) {
	return "", nil, errors.New("no DNS here")
}

func testConfig() *config.Config {
	return &config.Config{
		Hostname: "xmpp.jds.local",
		SIP:      config.SIP{Domains: map[string]config.SIPDomain{"contoso.com": {NextHop: config.NextHop{"sip.contoso.com:5061"}}}},
		XMPP:     config.XMPP{Domains: map[string]config.XMPPDomain{"gmail.com": {Also: []string{"googlemail.com"}}}},
	}
}

var (
	bob   = im.Address{Local: "bob", Domain: "gmail.com", Resource: "home"}
	alice = im.Address{Local: "alice", Domain: "contoso.com"}
)

// outcomes counts what a sender was told.
type outcomes struct {
	mu   sync.Mutex
	told []*im.Failure
}

func (o *outcomes) take(f *im.Failure) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.told = append(o.told, f)
}

func (o *outcomes) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	var words []string
	for _, f := range o.told {
		if f == nil {
			words = append(words, "taken")
		} else {
			words = append(words, string(f.Condition))
		}
	}
	return strings.Join(words, " ")
}

func assembled(t *testing.T, c *config.Config) (g *Gateway, xmpp, sip *fakeSide) {
	t.Helper()
	g, err := assemble(Options{Config: c, Network: loopback{}})
	if err != nil {
		t.Fatal(err)
	}
	xmpp, sip = newFakeSide(), newFakeSide()
	g.join(xmpp, sip)
	return g, xmpp, sip
}

func TestMessagesCross(t *testing.T) {
	g, xmpp, sip := assembled(t, testConfig())
	var o outcomes
	g.fromXMPP.Send(im.Message{From: bob, To: alice, Body: "Hello", ID: "1"}, o.take)
	if m := sip.last().m; m.From != bob || m.To != alice || m.Body != "Hello" || m.ID != "1" {
		t.Fatalf("the SIP side got %+v", m)
	}
	if o.String() != "" {
		t.Fatalf("told before the SIP side did: %s", &o)
	}
	sip.last().outcome(nil)
	g.fromSIP.Send(im.Message{From: alice, To: bob, Body: "Hi"}, o.take)
	xmpp.last().outcome(&im.Failure{Condition: im.ItemNotFound})
	xmpp.last().outcome(nil) // a second outcome is a mistake of the side and changes nothing
	if got := o.String(); got != "taken item-not-found" {
		t.Errorf("told: %s", got)
	}
	if g.fromXMPP.waiting()+g.fromSIP.waiting() != 0 {
		t.Error("settled messages are still counted as waiting")
	}
}

func TestRefusalsAreTold(t *testing.T) {
	g, xmpp, sip := assembled(t, testConfig())
	var o outcomes
	g.fromSIP.Send(im.Message{From: alice, To: im.Address{Local: "x", Domain: "yahoo.com"}, Body: "?"}, o.take)
	g.fromXMPP.Send(im.Message{From: bob, To: im.Address{Local: "x", Domain: "googlemail.com"}, Body: "?"}, o.take)
	g.fromXMPP.Send(im.Message{From: alice, To: alice, Body: "?"}, o.take)
	if got := o.String(); got != "remote-server-not-found not-allowed forbidden" {
		t.Errorf("told: %s", got)
	}
	if len(xmpp.given)+len(sip.given) != 0 {
		t.Error("a refused message crossed")
	}
}

// A message that is on its way when the stop begins reaches its recipient; one that the other side does not take in time is
// returned while both sides still run; one that comes later is refused.
func TestStopLosesNothingSilently(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, xmpp, sip := assembled(t, testConfig())
		ctx, stop := context.WithCancel(t.Context())
		ran := make(chan error, 1)
		go func() { ran <- g.Run(ctx) }()
		<-g.Ready()
		var quick, slow, late outcomes
		g.fromXMPP.Send(im.Message{From: bob, To: alice, Body: "quick"}, quick.take)
		taken := sip.last()
		sidesRan := false
		g.fromSIP.Send(im.Message{From: alice, To: bob, Body: "slow"}, func(f *im.Failure) {
			xmpp.mu.Lock()
			sip.mu.Lock()
			sidesRan = !xmpp.ended && !sip.ended
			sip.mu.Unlock()
			xmpp.mu.Unlock()
			slow.take(f)
		})
		began := time.Now()
		stop()
		synctest.Wait()
		if g.State() != Stopping {
			t.Errorf("state %s", g.State())
		}
		g.fromXMPP.Send(im.Message{From: bob, To: alice, Body: "late"}, late.take)
		taken.outcome(nil)
		if err := <-ran; err != nil {
			t.Errorf("Run: %v", err)
		}
		if quick.String() != "taken" || slow.String() != "remote-server-timeout" || late.String() != "remote-server-timeout" || !sidesRan {
			t.Errorf("quick %s, slow %s (sides ran: %v), late %s", &quick, &slow, sidesRan, &late)
		}
		if took := time.Since(began); took > drainTime+tellTime {
			t.Errorf("the stop took %v", took)
		}
		xmpp.last().outcome(nil)
		if slow.String() != "remote-server-timeout" {
			t.Errorf("told twice: %s", &slow)
		}
		if err := g.Run(t.Context()); !errors.Is(err, ErrRunTwice) {
			t.Errorf("second Run: %v", err)
		}
	})
}

// Without anything on its way a stop is at once.
func TestStopAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, _, _ := assembled(t, testConfig())
		ctx, stop := context.WithCancel(t.Context())
		ran := make(chan error, 1)
		go func() { ran <- g.Run(ctx) }()
		<-g.Ready()
		began := time.Now()
		stop()
		if err := <-ran; err != nil || time.Since(began) != 0 {
			t.Errorf("Run: %v after %v", err, time.Since(began))
		}
	})
}

func TestASideThatFailsEndsTheGateway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, xmpp, sip := assembled(t, testConfig())
		xmpp.fail = errors.New("listen tcp :5269: address already in use")
		err := g.Run(t.Context())
		if err == nil || !strings.Contains(err.Error(), "the XMPP side: listen tcp :5269") || !sip.ended || g.State() != Stopped {
			t.Errorf("Run: %v, SIP side ended: %v, state %s", err, sip.ended, g.State())
		}
	})
}

func TestAdmin(t *testing.T) {
	// An address of its own: on 127.0.0.1 a port that was free a moment ago may be the source port of somebody's connection.
	address := fmt.Sprintf("127.76.2.%d:9469", os.Getpid()%254+1)
	c := testConfig()
	c.Admin.Listen = address
	g, _, sip := assembled(t, c)
	ctx, stop := context.WithCancel(t.Context())
	ran := make(chan error, 1)
	go func() { ran <- g.Run(ctx) }()
	<-g.Ready()
	var o outcomes
	g.fromXMPP.Send(im.Message{From: bob, To: alice, Body: "x"}, o.take)
	sip.last().outcome(nil)
	g.fromXMPP.Send(im.Message{From: bob, To: alice, State: im.Composing}, o.take)
	sip.last().outcome(&im.Failure{Condition: "invented-by-a-stranger"})
	g.fromSIP.Send(im.Message{From: alice, To: im.Address{Local: "x", Domain: "yahoo.com"}, Body: "?"}, o.take)

	client := http.Client{Timeout: 5 * time.Second}
	get := func(path string) (int, string) {
		t.Helper()
		resp, err := client.Get("http://" + address + path)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return resp.StatusCode, string(body)
	}
	for path, want := range map[string]string{"/healthz": "ok", "/readyz": "serving", "/status": `"state": "serving"`} {
		if code, body := get(path); code != 200 || !strings.Contains(body, want) {
			t.Errorf("%s: %d %s", path, code, body)
		}
	}
	_, metrics := get("/metrics")
	for _, want := range []string{
		`fedgate_messages_total{direction="xmpp_to_sip",kind="message",outcome="delivered"} 1`,
		`fedgate_messages_total{direction="xmpp_to_sip",kind="state",outcome="undefined-condition"} 1`,
		`fedgate_messages_total{direction="sip_to_xmpp",kind="message",outcome="remote-server-not-found"} 1`,
		`fedgate_refusals_total{direction="sip_to_xmpp",reason="not-served"} 1`,
		`fedgate_messages_waiting{direction="xmpp_to_sip"} 0`,
		`fedgate_serving 1`,
	} {
		if !strings.Contains(metrics, want) {
			t.Errorf("no %s in\n%s", want, metrics)
		}
	}
	client.CloseIdleConnections()
	stop()
	if err := <-ran; err != nil {
		t.Errorf("Run: %v", err)
	}
	if _, err := net.Dial("tcp", address); err == nil {
		t.Error("the admin listener outlived Run")
	}
}

func TestNewRefuses(t *testing.T) {
	if _, err := New(Options{Network: loopback{}}); !errors.Is(err, ErrNoConfig) {
		t.Error(err)
	}
	if _, err := New(Options{Config: testConfig()}); !errors.Is(err, ErrNoNetwork) {
		t.Error(err)
	}
	c := testConfig()
	c.XMPP.Domains["contoso.com"] = config.XMPPDomain{}
	if _, err := New(Options{Config: c, Network: loopback{}}); err == nil || !strings.Contains(fmt.Sprint(err), `"contoso.com"`) {
		t.Errorf("a domain on both sides: %v", err)
	}
}

// The documentation knows every metric.
func TestMetricsAreDocumented(t *testing.T) {
	page, err := os.ReadFile("../docs/running-the-gateway.md")
	if err != nil {
		t.Fatal(err)
	}
	g, _, _ := assembled(t, testConfig())
	described := make(chan *prometheus.Desc, 100)
	g.count.registry.Describe(described)
	close(described)
	n := 0
	for d := range described {
		_, name, _ := strings.Cut(d.String(), `fqName: "`)
		name, _, _ = strings.Cut(name, `"`)
		if n++; !strings.Contains(string(page), "`"+name) {
			t.Errorf("docs/running-the-gateway.md does not know %s", name)
		}
	}
	if n < 9 {
		t.Errorf("only %d metrics", n)
	}
}
