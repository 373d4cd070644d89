// Package gateway is the XMPP–SIP gateway: it takes its two sides, joins them, runs them, and says how they are.
//
// [New] builds a [Gateway] from a configuration and a network and touches nothing outside; [Gateway.Run] opens the listeners and
// blocks until its context ends. The XMPP side is package xmpps2s, the SIP side package sipedge; they know nothing of each
// other. What one receives it gives to a crossing (crossing.go), which asks the route table (package route) whether it may
// pass, hands it to the other side, and sees to it that the sender's side hears the outcome exactly once. So a message is
// either taken by the next server, or returned to its sender in his own protocol with the reason. Presence crosses as im.Signal
// values in the same way (signals.go); the machine behind it is package presence, which the SIP side runs.
//
// At the end of Run's context nothing is lost silently (run.go): new messages are refused, those on their way get some seconds
// to arrive, the rest is returned to its senders, and only then the connections close.
//
// The admin listener (admin.go) serves health, readiness, status and metrics on the same network.
package gateway

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"fedlab/gateway/config"
	"fedlab/gateway/im"
	"fedlab/gateway/route"
	"fedlab/internal/network"
)

// Errors of this package.
var (
	ErrNoConfig  = errors.New("gateway: no configuration")
	ErrNoNetwork = errors.New("gateway: no network")
	ErrRunTwice  = errors.New("gateway: Run was called before; make a new Gateway for each run")
)

// Options are what a gateway is made of.
type Options struct {
	Config  *config.Config  // as config.Load or config.Parse returns it; not changed
	Network network.Network // the host that the gateway stands on
	Log     *slog.Logger    // default: discard

	// Seed makes choices among equal targets and random delays repeat themselves; 0 is random. Secrets never depend on it.
	Seed uint64
}

// State is how far a gateway is.
type State string

// The states, in the order in which a gateway passes through them.
const (
	Idle     State = "idle"     // Run was not called
	Starting State = "starting" // the listeners are being opened
	Serving  State = "serving"  // messages are taken
	Stopping State = "stopping" // messages are refused, earlier ones get their outcome
	Stopped  State = "stopped"  // Run has returned
)

// Gateway is one gateway. Its methods are safe for concurrent use.
type Gateway struct {
	config  *config.Config
	network network.Network
	log     *slog.Logger
	table   *route.Table
	count   *counters

	xmpp, sip         side
	fromXMPP, fromSIP *crossing

	shownByXMPP, shownBySIP *signals
	keeper                  *keeper // nil if nothing is to be kept
	ready                   chan struct{}

	mu    sync.Mutex
	state State
	since time.Time // when the state was entered
}

// side is what each side is to the gateway.
type side interface {
	im.Sink
	Run(context.Context) error
	Ready() <-chan struct{}
	unsent() int    // what was given to this side and waits to be written
	report(*Status) // fills in this side's part
}

// New makes a gateway. The error names every domain that stands in the configuration wrongly.
func New(o Options) (*Gateway, error) {
	g, err := assemble(o)
	if err != nil {
		return nil, err
	}
	if err := g.makeSides(o); err != nil {
		return nil, fmt.Errorf("gateway: %w", err)
	}
	return g, nil
}

// assemble makes a gateway that has no sides yet.
func assemble(o Options) (*Gateway, error) {
	if o.Config == nil {
		return nil, ErrNoConfig
	}
	if o.Network == nil {
		return nil, ErrNoNetwork
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	var domains []route.Domain
	for name := range o.Config.SIP.Domains {
		domains = append(domains, route.Domain{Name: name, Side: route.SIP})
	}
	for name, d := range o.Config.XMPP.Domains {
		domains = append(domains, route.Domain{Name: name, Also: d.Also, Side: route.XMPP})
	}
	table, err := route.New(domains)
	if err != nil {
		return nil, fmt.Errorf("gateway: %w", err)
	}
	g := &Gateway{
		config: o.Config, network: o.Network, log: o.Log, table: table, count: newCounters(),
		ready: make(chan struct{}), state: Idle, since: time.Now(),
	}
	g.fromXMPP = newCrossing(route.XMPP, table, g.count)
	g.fromSIP = newCrossing(route.SIP, table, g.count)
	g.shownByXMPP = &signals{came: route.XMPP, table: table, count: g.count}
	g.shownBySIP = &signals{came: route.SIP, table: table, count: g.count}
	g.gauges()
	return g, nil
}

// join gives the gateway its sides.
func (g *Gateway) join(xmpp, sip side) {
	g.xmpp, g.sip = xmpp, sip
	g.fromXMPP.to, g.fromSIP.to = sip, xmpp
}

// Ready is closed when every listener is open.
func (g *Gateway) Ready() <-chan struct{} { return g.ready }

// State says how far the gateway is.
func (g *Gateway) State() State {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.state
}

// enter goes from a state to the next, and reports false if the gateway is in neither of the states it may come from.
func (g *Gateway) enter(next State, from ...State) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, s := range from {
		if g.state == s {
			g.state, g.since = next, time.Now()
			return true
		}
	}
	return false
}
