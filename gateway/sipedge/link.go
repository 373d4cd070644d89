package sipedge

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"
)

// Bounds of a link.
const (
	writeTimeout  = 20 * time.Second // a peer that takes nothing for so long is gone
	writeBacklog  = 4 << 20          // bytes that may wait to be written before a link is given up
	farewell      = time.Second      // for what is still to be written when a connection is of no more use
	writeAhead    = 1 << 20          // bytes that may wait before our own requests wait, and nothing more of the peer's is read
	maxTurns      = 16               // requests of ours that are written at a time
	maxUnanswered = 1000             // requests of the peer that may wait for their answer before we stop reading
)

var errStalled = errors.New("sipedge: the peer does not take what is sent to it")

// link is one verified connection with a next hop, in either direction. To sipgo it is a net.Conn whose Write never blocks;
// one goroutine writes what waits. Each link has an address of its own, out of the discard-only prefix, by which sipgo's
// connection pool and we tell links apart: real addresses do not, as two next hops may share one. RFC 6666
type link struct {
	conn    *tls.Conn
	id      linkName // its address, as sipgo writes it
	hops    []*hop   // whose certificate name it presented
	dialled bool     // by us
	place   place    // that was dialled
	since   time.Time
	arrived arrivals
	frames  framer // belongs to the reader

	lastRead atomic.Int64 // when something was read, in Unix nanoseconds

	mu      sync.Mutex
	waiting []byte
	spare   []byte
	closing bool          // nothing more will be written: flush and close
	why     error         // … and the reason
	busy    int           // requests of the peer without their final answer
	room    chan struct{} // closed when busy or what waits has sunk; nil while nobody waits for that
	err     error
	turns   chan struct{} // holds one for each request of ours that is about to be written
	wake    chan struct{} // there is something to write
	done    chan struct{} // closed when the link is over
	pooled  chan struct{} // closed when sipgo knows it
	readEnd chan struct{} // closed when sipgo has let go of it
	closed  sync.Once
	readOff sync.Once
}

// linkName is the address of a link.
type linkName string

func (linkName) Network() string  { return "tls" }
func (n linkName) String() string { return string(n) }

// nthLink is the address of the n-th link.
func nthLink(n uint64) linkName {
	var a [16]byte
	a[0] = 1 // 100::/64
	for i := range 6 {
		a[15-i] = byte(n >> (8 * i))
	}
	return linkName(netip.AddrPortFrom(netip.AddrFrom16(a), 5061).String())
}

func newLink(conn *tls.Conn, n uint64, dialled bool, hops []*hop) *link {
	l := &link{
		conn: conn, id: nthLink(n), hops: hops, dialled: dialled, since: time.Now(),
		turns: make(chan struct{}, maxTurns), wake: make(chan struct{}, 1), done: make(chan struct{}), pooled: make(chan struct{}), readEnd: make(chan struct{}),
	}
	l.lastRead.Store(l.since.UnixNano())
	return l
}

// write sends what waits until the link is over. It is the link's own goroutine.
func (l *link) write() {
	for {
		select {
		case <-l.done:
			return
		case <-l.wake:
		}
		l.mu.Lock()
		out, closing, why := l.waiting, l.closing, l.why
		l.waiting, l.spare = l.spare[:0], nil
		l.makeRoom()
		l.mu.Unlock()
		_ = l.conn.SetWriteDeadline(time.Now().Add(writeTimeout))
		if len(out) > 0 {
			if _, err := l.conn.Write(out); err != nil {
				l.endAfterReading(fmt.Errorf("writing: %w", err))
				return
			}
		}
		if closing {
			_ = l.conn.CloseWrite()
			l.end(why)
			return
		}
		l.mu.Lock()
		if cap(out) <= 1<<16 {
			l.spare = out
		}
		l.mu.Unlock()
	}
}

// Write enqueues. A peer that lets too much pile up loses the link.
func (l *link) Write(b []byte) (int, error) {
	l.mu.Lock()
	if l.err != nil {
		err := l.err
		l.mu.Unlock()
		return 0, err
	}
	if len(l.waiting)+len(b) > writeBacklog {
		l.mu.Unlock()
		l.end(errStalled)
		return 0, errStalled
	}
	l.waiting = append(l.waiting, b...)
	l.mu.Unlock()
	select {
	case l.wake <- struct{}{}:
	default:
	}
	return len(b), nil
}

// Read is called by sipgo's reader, and gives it what it can read. It waits while too many requests of this peer are unanswered, or
// too many answers wait to be written: a flood is held back by TCP.
func (l *link) Read(b []byte) (int, error) {
	for len(l.frames.ready) == 0 {
		n, err := l.read(b)
		if err != nil {
			return 0, err
		}
		if err := l.frames.take(b[:n]); err != nil {
			l.drain(farewell, err) // what was answered goes out yet
			return 0, net.ErrClosed
		}
	}
	n := copy(b, l.frames.ready)
	if l.frames.ready = l.frames.ready[n:]; len(l.frames.ready) == 0 {
		l.frames.ready = nil
	}
	return n, nil
}

// read reads from the connection.
func (l *link) read(b []byte) (int, error) {
	if !l.await(nil, func() bool { return l.busy < maxUnanswered && len(l.waiting) < writeAhead }) {
		return 0, net.ErrClosed
	}
	n, err := l.conn.Read(b)
	if err != nil {
		l.end(err)
		return n, net.ErrClosed // the reason is kept in the link; sipgo need not log it again
	}
	l.lastRead.Store(time.Now().UnixNano())
	return n, nil
}

// turn waits until a request of ours may be written, and has to be given back when that is done. When thousands of people come
// online at once, their requests wait for the peer to take the first ones, and the link does not break under them.
func (l *link) turn(ctx context.Context) (giveBack func(), ok bool) {
	if ctx.Err() != nil { // where there is a turn to be had as well, select would take either
		return nil, false
	}
	select {
	case l.turns <- struct{}{}:
	case <-l.done:
		return nil, false
	case <-ctx.Done():
		return nil, false
	}
	giveBack = func() { <-l.turns }
	if !l.await(ctx.Done(), func() bool { return len(l.waiting) < writeAhead }) {
		giveBack()
		return nil, false
	}
	return giveBack, true
}

// await waits until ready, which is called under the lock, says so. It is false if the link has ended before, or cancel.
func (l *link) await(cancel <-chan struct{}, ready func() bool) bool {
	for {
		l.mu.Lock()
		if ready() {
			l.mu.Unlock()
			return true
		}
		if l.room == nil {
			l.room = make(chan struct{})
		}
		room := l.room
		l.mu.Unlock()
		select {
		case <-room:
		case <-l.done:
			return false
		case <-cancel:
			return false
		}
	}
}

// makeRoom wakes all who wait for room. The caller holds l.mu.
func (l *link) makeRoom() {
	if l.room != nil {
		close(l.room)
		l.room = nil
	}
}

// request counts a request of the peer that waits for its answer; answered takes it off.
func (l *link) request() {
	l.mu.Lock()
	l.busy++
	l.mu.Unlock()
}

func (l *link) answered() {
	l.mu.Lock()
	l.busy--
	l.makeRoom()
	l.mu.Unlock()
}

// end ends the link for a reason; only the first one counts. It does not wait.
func (l *link) end(reason error) {
	l.closed.Do(func() {
		l.mu.Lock()
		l.err = reason
		l.mu.Unlock()
		close(l.done)
		// The TCP connection below: closing a tls.Conn would wait for a blocked writer to send the alert.
		_ = l.conn.NetConn().Close()
	})
}

// endAfterReading ends the link for an error of writing, but lets the reader go first for a moment: it may find the alert in
// which the peer says why it hung up.
func (l *link) endAfterReading(err error) {
	moment := time.NewTimer(time.Second)
	defer moment.Stop()
	select {
	case <-l.done:
	case <-moment.C:
		l.end(err)
	}
}

// reason is why the link ended, nil while it lives.
func (l *link) reason() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.err
}

// gone is the error of a request that the link's end has cut off.
func (l *link) gone(reason error) error { return &LinkError{l.hops[0].address, "link", reason} }

// drain lets what waits go out, closes TLS as it should be closed, and ends the link for a reason; it takes at most d.
func (l *link) drain(d time.Duration, why error) {
	l.mu.Lock()
	l.closing, l.why = true, why
	l.mu.Unlock()
	select {
	case l.wake <- struct{}{}:
	default:
	}
	limit := time.NewTimer(d)
	defer limit.Stop()
	select {
	case <-l.done:
	case <-limit.C:
		l.end(why)
	}
}

// Close is called by sipgo when its reader lets go.
func (l *link) Close() error {
	l.end(net.ErrClosed)
	l.readOff.Do(func() { close(l.readEnd) })
	return nil
}

func (l *link) LocalAddr() net.Addr                { return l.id }
func (l *link) RemoteAddr() net.Addr               { return l.id }
func (l *link) SetDeadline(t time.Time) error      { return nil }
func (l *link) SetReadDeadline(t time.Time) error  { return nil }
func (l *link) SetWriteDeadline(t time.Time) error { return nil }

// feed is the listener that sipgo accepts from: finished, verified connections.
type feed struct {
	links chan *link
	last  *link // the one that Accept gave out
	done  chan struct{}
	once  sync.Once
}

func newFeed() *feed { return &feed{links: make(chan *link), done: make(chan struct{})} }

// Accept is called by one goroutine of sipgo, which puts a connection into its pool before it asks for the next.
func (f *feed) Accept() (net.Conn, error) {
	if f.last != nil {
		close(f.last.pooled)
		f.last = nil
	}
	select {
	case l := <-f.links:
		f.last = l
		return l, nil
	case <-f.done:
		return nil, net.ErrClosed
	}
}

// give returns when sipgo can send on l.
func (f *feed) give(l *link) bool {
	select {
	case f.links <- l:
	case <-f.done:
		return false
	}
	select {
	case <-l.pooled:
		return true
	case <-f.done:
		return true // it has been taken: sipgo closes it
	}
}

func (f *feed) Close() error   { f.once.Do(func() { close(f.done) }); return nil }
func (f *feed) Addr() net.Addr { return nthLink(0) }
