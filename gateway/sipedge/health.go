package sipedge

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/emiago/sipgo/sip"
)

// How links are looked after.
const (
	pingEvery    = 2 * time.Minute // CRLF, so that firewalls keep the connection and TCP finds a dead one
	probeAfter   = 5 * time.Minute // without a byte from the peer an OPTIONS asks whether it is still there
	longestRetry = 10 * time.Minute
)

var errDead = errors.New("sipedge: the peer does not answer")

// ask carries a request through and learns from what happens: a 503 with Retry-After keeps further requests back, and a link
// on which nothing at all has come since a request that was never answered is dead.
func (e *Edge) ask(l *link, h *hop, req *sip.Request) (*answer, error) {
	began := time.Now()
	a, err := e.stack.do(e.work, l, req)
	if errors.Is(err, sip.ErrTransactionTimeout) {
		l.suspect(began)
	}
	if err == nil {
		a.again = h.heed(a)
	}
	return a, err
}

// suspect ends the link if nothing was read since began.
func (l *link) suspect(began time.Time) {
	if time.Unix(0, l.lastRead.Load()).Before(began) {
		l.end(errDead)
	}
}

// heed notes a 503 with Retry-After, and reports whether the peer will be back so soon that asking again is worth the wait.
// RFC 3261 §21.5.4
func (h *hop) heed(a *answer) (soon bool) {
	if a.code != 503 {
		return false
	}
	seconds, _, _ := strings.Cut(a.get("retry-after"), ";")
	seconds, _, _ = strings.Cut(seconds, "(")
	n, err := strconv.Atoi(strings.TrimSpace(seconds))
	if err != nil || n <= 0 {
		return false
	}
	pause := min(time.Duration(min(n, 86400))*time.Second, longestRetry)
	h.mu.Lock()
	h.retryAt = time.Now().Add(pause)
	h.mu.Unlock()
	return pause <= busyPatience
}

// calm waits until the peer wants requests again. It is an error if that takes too long.
func (h *hop) calm(ctx context.Context) error {
	limit := time.Now().Add(busyPatience)
	for {
		h.mu.Lock()
		retryAt := h.retryAt
		h.mu.Unlock()
		pause := time.Until(retryAt)
		busy := &LinkError{h.address, "busy", fmt.Errorf("it wants no requests for another %v", pause.Round(time.Second))}
		switch {
		case pause <= 0:
			return nil
		case retryAt.After(limit):
			return busy
		}
		timer := time.NewTimer(pause)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return busy
		}
	}
}

// attend keeps a link alive and finds out when it is not: the link's own goroutine.
func (e *Edge) attend(l *link) {
	tick := time.NewTicker(pingEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-l.done:
			return
		}
		_, _ = l.Write([]byte("\r\n\r\n"))
		if time.Since(time.Unix(0, l.lastRead.Load())) >= probeAfter {
			e.probe(l)
		}
	}
}

// probe asks with OPTIONS; any final answer will do. It needs a domain that the peer knows as ours, so it waits until somebody
// has written. RFC 3261 §11
func (e *Edge) probe(l *link) {
	h := l.hops[0]
	h.mu.Lock()
	from, to := h.lastFrom, h.lastTo
	h.mu.Unlock()
	if from == "" {
		return
	}
	ctx, cancel := context.WithCancel(e.work)
	defer cancel()
	began := time.Now()
	req := e.newRequest(sip.OPTIONS, "sip:"+to, token(26), "<sip:"+from+">;tag="+token(10), "<sip:"+to+">", 1)
	req.AppendHeader(sip.NewHeader("Contact", e.contact()))
	req.SetBody(nil)
	if _, err := e.stack.do(ctx, l, req); errors.Is(err, sip.ErrTransactionTimeout) {
		l.suspect(began)
	}
}
