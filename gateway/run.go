package gateway

import (
	"context"
	"errors"
	"fmt"
	"time"

	"fedlab/gateway/im"
)

// How long a stop may take. Messages that are on their way when it begins get drainTime to reach the next server; then their
// senders are told, for which tellTime is left before the connections close.
const (
	drainTime = 5 * time.Second
	tellTime  = 5 * time.Second
	flushLook = 10 * time.Millisecond
)

// Run opens the listeners and serves until ctx ends, then stops as the package comment says. It returns when everything it
// started has ended: nil after a stop, the reason if a listener could not be opened or a side failed. It can be called once.
func (g *Gateway) Run(ctx context.Context) error {
	if !g.enter(Starting, Idle) {
		return ErrRunTwice
	}
	defer g.enter(Stopped, Starting, Serving, Stopping)
	closeStore, err := g.open()
	if err != nil {
		return err
	}

	// The parts outlive ctx: they are needed for telling the senders of what could not be delivered.
	background := context.WithoutCancel(ctx)
	failed := make(chan error, 3)
	listening := []<-chan struct{}{g.xmpp.Ready(), g.sip.Ready()}
	endSIP := start(background, "the SIP side", g.sip.Run, failed)
	endXMPP := start(background, "the XMPP side", g.xmpp.Run, failed)
	endAdmin := func() {}
	if g.config.Admin.Listen != "" {
		open := make(chan struct{})
		listening = append(listening, open)
		endAdmin = start(background, "the admin listener", func(ctx context.Context) error {
			return g.admin(ctx, func() { close(open) })
		}, failed)
	}
	err = g.serve(ctx, listening, failed)
	g.enter(Stopping, Starting, Serving)
	if err == nil {
		g.drain()
	}
	g.giveBack()
	endSIP() // its sessions end here, and may still have something to tell the XMPP side
	g.flush()
	endXMPP()
	endAdmin()
	for len(failed) > 0 {
		err = errors.Join(err, <-failed)
	}
	return errors.Join(err, closeStore())
}

// start runs one part until the function that it returns is called, which waits for the part's end.
func start(ctx context.Context, name string, run func(context.Context) error, failed chan<- error) (end func()) {
	ctx, cancel := context.WithCancel(ctx)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		if err := run(ctx); err != nil {
			failed <- fmt.Errorf("gateway: %s: %w", name, err)
		} else if ctx.Err() == nil {
			failed <- fmt.Errorf("gateway: %s ended by itself", name)
		}
	}()
	return func() { cancel(); <-ended }
}

// serve waits for the listeners and then for the end.
func (g *Gateway) serve(ctx context.Context, listening []<-chan struct{}, failed <-chan error) error {
	for _, open := range listening {
		select {
		case <-open:
		case err := <-failed:
			return err
		case <-ctx.Done():
			return nil
		}
	}
	g.enter(Serving, Starting)
	close(g.ready)
	g.log.Info("gateway is ready", "hostname", g.config.Hostname, "sip", g.config.SIP.Listen, "xmpp", g.config.XMPP.Listen, "xmpp_tls", g.config.XMPP.ListenTLS, "admin", g.config.Admin.Listen)
	select {
	case err := <-failed:
		return err
	case <-ctx.Done():
		return nil
	}
}

// closing is what senders are told during a stop.
func closing() *im.Failure {
	return &im.Failure{Condition: im.RemoteServerTimeout, Text: "the gateway between the two systems is being shut down; try again later"}
}

// drain refuses new messages, waits for the earlier ones, and returns what is left to its senders.
func (g *Gateway) drain() {
	g.log.Info("gateway is stopping", "waiting_xmpp_to_sip", g.fromXMPP.waiting(), "waiting_sip_to_xmpp", g.fromSIP.waiting())
	late := time.NewTimer(drainTime)
	defer late.Stop()
	for _, idle := range []<-chan struct{}{g.fromXMPP.refuse(closing()), g.fromSIP.refuse(closing())} {
		select {
		case <-idle:
		case <-late.C:
			late.Reset(0)
		}
	}
}

// flush waits until what senders are told has left, for as long as tellTime.
func (g *Gateway) flush() {
	late := time.NewTimer(tellTime)
	defer late.Stop()
	look := time.NewTicker(flushLook)
	defer look.Stop()
	for g.xmpp.unsent() > 0 {
		select {
		case <-look.C:
		case <-late.C:
			g.log.Warn("stanzas could not be written before the stop", "count", g.xmpp.unsent())
			return
		}
	}
}

// giveBack returns every message that is still on its way.
func (g *Gateway) giveBack() {
	for _, c := range []*crossing{g.fromXMPP, g.fromSIP} {
		c.refuse(closing())
		if n := c.giveBack(closing()); n > 0 {
			g.log.Warn("messages returned to their senders because of the stop", "direction", direction(c.came), "count", n)
		}
	}
}
