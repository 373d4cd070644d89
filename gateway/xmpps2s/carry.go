package xmpps2s

import (
	"context"
	"errors"
	"net"
	"sync/atomic"
	"time"

	"fedlab/gateway/im"
	"fedlab/internal/network"
)

// carrier is a verified stream in use. XMPP between servers acknowledges nothing: a message that was written may still be
// lost with the connection, when a firewall forgot it or a cable was cut. So what was written is remembered until the other
// host's TCP has acknowledged it; if that does not happen the stream is given up, and the senders are told.
type carrier struct {
	*link
	st          *stream
	ended       *ending // of the reading
	watch       bool    // the network tells what was acknowledged
	unconfirmed []sent
	look        time.Duration // until the next look at what was acknowledged
	used        time.Time     // when a stanza was last written
	wrote       bool
	ping        string // identifier of the ping that is under way
	pinged      time.Time
	buf         []byte
}

// sent is a stanza that was written, and the number of bytes that the connection had taken with it.
type sent struct {
	item
	end int64
	at  time.Time
}

// counted counts the bytes written to a connection, beneath TLS.
type counted struct {
	net.Conn
	n atomic.Int64
}

func (c *counted) Write(p []byte) (int, error) {
	n, err := c.Conn.Write(p)
	c.n.Add(int64(n))
	return n, err
}

// CloseWrite closes the sending half.
func (c *counted) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return errors.ErrUnsupported
}

// carry writes the queue to a verified stream until the stream ends, and reports whether a stanza was written.
func (l *link) carry(ctx context.Context, st *stream) (wrote bool) {
	c := &carrier{link: l, st: st, used: time.Now()}
	if in := st.peersUse; in != nil {
		c.ended = in.ended
		defer in.borrowers.Done()
	} else {
		c.ended = newEnding()
		go func() { c.ended.set(c.listen()) }()
	}
	_, c.watch = network.Unacknowledged(c.raw().Conn)
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		switch batch := l.take(maxBatch, batchBytes); {
		case len(batch) > 0:
			if err := c.write(batch); errors.Is(err, errFinished) {
				<-c.ended.done
				c.finish()
				return c.wrote
			} else if err != nil {
				c.abort("writing to " + l.to + " failed: " + err.Error())
				return c.wrote
			}
		case l.repay():
			l.s.log.Info("presence that was lost is told again", "pair", l.pair)
			l.s.cfg.Presence.TellAgain(l.from, l.to)
		default:
			timer.Reset(c.pause())
			select {
			case <-l.wake:
			case id := <-l.pong:
				if id == c.ping {
					c.ping, l.pings = "", true
				}
			case <-timer.C:
			case <-c.ended.done:
				c.finish()
				return c.wrote
			case <-ctx.Done():
				c.close(nil)
				return c.wrote
			}
		}
		if why := c.check(); why != "" {
			c.abort(why)
			return c.wrote
		}
		if st.peersUse == nil && c.outlived() {
			l.s.log.Info("outgoing stream closed", "pair", l.pair, "reason", "the peer's certificate has ended")
			c.close(outlived)
			return true
		}
		if time.Since(c.lastUsed()) >= l.s.cfg.IdleTimeout && !l.waiting() {
			if in := st.peersUse; in != nil && in.opener != l.pair {
				return true // who opened it will close it; what is written next may borrow it again
			}
			l.s.log.Info("idle outgoing stream closed", "pair", l.pair)
			c.close(nil)
			return true
		}
	}
}

// outlived reports whether the certificate has ended that proves the peer.
func (c *carrier) outlived() bool { return !c.st.until.IsZero() && !time.Now().Before(c.st.until) }

func (c *carrier) raw() *counted { return c.st.ends.conn.(*counted) }

// write writes a batch and tells its senders; those of presence only when it is acknowledged, where that can be known.
func (c *carrier) write(batch []item) error {
	c.buf = c.buf[:0]
	for _, i := range batch {
		c.buf = append(c.buf, i.xml...)
	}
	if err := c.st.write(c.buf); errors.Is(err, errFinished) {
		c.putBack(batch)
		return err
	} else if err != nil {
		for _, i := range batch {
			c.fail(i, &im.Failure{Condition: im.RemoteServerTimeout, Text: "writing to " + c.to + " failed: " + err.Error()})
		}
		return err
	}
	c.wrote, c.used = true, time.Now()
	end := c.raw().n.Load()
	for _, i := range batch {
		if !c.watch || !i.shows {
			i.tell(nil)
		}
		if c.watch && i.outcome != nil {
			c.unconfirmed = append(c.unconfirmed, sent{i, end, c.used})
		}
	}
	c.look = firstLook
	return nil
}

// pause is the time until something has to be looked at.
func (c *carrier) pause() time.Duration {
	d := c.s.cfg.IdleTimeout - time.Since(c.lastUsed())
	if len(c.unconfirmed) > 0 {
		d = min(d, c.look)
	}
	if until := c.st.until; !until.IsZero() && c.st.peersUse == nil {
		d = min(d, time.Until(until))
	}
	if due := c.due(); !due.IsZero() {
		d = min(d, time.Until(due))
	}
	switch {
	case !c.st.peers.modern():
	case c.ping != "":
		d = min(d, pingTimeout-time.Since(c.pinged))
	default:
		d = min(d, c.s.cfg.PingInterval-c.quiet())
	}
	return max(d, 0)
}

// lastUsed is when either side last needed the stream. One that the peer opened is not ours to keep open for it.
func (c *carrier) lastUsed() time.Time {
	if in := c.st.peersUse; in != nil && in.opener == c.pair {
		if at := in.lastHeard(); at.After(c.used) {
			return at
		}
	}
	return c.used
}

// quiet is for how long nothing was written.
func (c *carrier) quiet() time.Duration { return min(time.Since(c.used), time.Since(c.pinged)) }

// check looks after the stream's health, and says why it is to be given up, if it is.
func (c *carrier) check() string {
	c.confirm()
	if len(c.unconfirmed) > 0 {
		c.look = min(2*c.look, lastLook)
		if time.Since(c.unconfirmed[0].at) >= c.s.cfg.AckTimeout {
			return c.to + " acknowledges nothing any more"
		}
	}
	switch {
	case !c.st.peers.modern():
		// Servers of the first generation are not asked: many answered no ping.
	case c.ping != "" && time.Since(c.pinged) >= pingTimeout:
		c.ping = ""
		if c.pings {
			return c.to + " no longer answers pings"
		}
	case c.ping == "" && c.quiet() >= c.s.cfg.PingInterval:
		c.ping, c.pinged = newStreamID(), time.Now()
		w := &writer{}
		w.raw("<iq").attr("from", c.from).attr("to", c.to).attr("id", c.ping)
		if err := c.st.write(w.raw(" type='get'><ping xmlns='urn:xmpp:ping'/></iq>").b); err != nil {
			return "writing to " + c.to + " failed: " + err.Error()
		}
	}
	return ""
}

// confirm forgets what the other host has acknowledged.
func (c *carrier) confirm() {
	if len(c.unconfirmed) == 0 {
		return
	}
	n, known := network.Unacknowledged(c.raw().Conn)
	if !known {
		return
	}
	acknowledged := c.raw().n.Load() - int64(n)
	done := 0
	for done < len(c.unconfirmed) && c.unconfirmed[done].end <= acknowledged {
		if i := c.unconfirmed[done].item; i.shows {
			i.tell(nil)
		}
		done++
	}
	clear(c.unconfirmed[:done])
	c.unconfirmed = c.unconfirmed[done:]
}

// abort ends a stream that is of no use any more.
func (c *carrier) abort(why string) {
	waiting, _ := network.Unacknowledged(c.raw().Conn)
	c.s.log.Warn("outgoing stream given up", "pair", c.pair, "reason", why, "unacknowledged_bytes", waiting)
	c.confirm()
	c.st.conn.Close()
	<-c.ended.done
	c.lost(why)
}

// finish ends a stream that the peer has ended, or that has broken.
func (c *carrier) finish() {
	c.s.log.Info("outgoing stream ended", "pair", c.pair, "reason", c.ended.reason)
	if c.st.peersUse == nil {
		c.st.write(closeTag) // in answer to the peer's; if the connection is dead nothing is lost
	}
	c.settle()
	if c.st.peersUse == nil {
		c.st.conn.Close()
	}
	c.lost(c.to + " ended the stream: " + c.ended.reason.Error())
}

// close ends the stream in order: what was written is read by the peer before it answers (RFC 6120 §4.4). f, if there is one, says why.
func (c *carrier) close(f *fault) {
	last := closeTag
	if f != nil {
		last = f.xml()
	}
	if in := c.st.peersUse; in != nil {
		in.end(f)
		<-c.ended.done
		c.settle()
	} else {
		c.st.write(last)
		c.st.closeAt(time.Now().Add(c.s.cfg.CloseTimeout))
		<-c.ended.done
		c.settle()
		c.st.conn.Close()
	}
	c.lost("the stream to " + c.to + " ended before the message was acknowledged")
}

// settle waits a little for what is still on its way.
func (c *carrier) settle() {
	for end := time.Now().Add(c.s.cfg.CloseTimeout); len(c.unconfirmed) > 0 && time.Now().Before(end); {
		if c.confirm(); len(c.unconfirmed) == 0 {
			return
		}
		if _, known := network.Unacknowledged(c.raw().Conn); !known {
			return
		}
		time.Sleep(firstLook)
	}
}

// lost tells the senders of what was written and never acknowledged.
func (c *carrier) lost(why string) {
	for _, i := range c.unconfirmed {
		if i.shows {
			c.fail(i.item, &im.Failure{Condition: im.RemoteServerTimeout, Text: why})
		}
		m := i.message
		if m == nil || m.Body == "" || m.Failure != nil {
			continue
		}
		c.s.sink.Send(im.Message{From: m.To, To: m.From, ID: m.ID, Body: m.Body, Thread: m.Thread, Normal: m.Normal,
			Failure: &im.Failure{Condition: im.RemoteServerTimeout, Text: "it is not known whether the message arrived: " + why}}, func(*im.Failure) {})
	}
	c.unconfirmed = nil
}

// listen reads an outgoing stream, where the peer has nothing to say but that it ends.
func (c *carrier) listen() error {
	for {
		e, err := c.st.next(time.Time{})
		if err != nil {
			return endOf(err)
		}
		c.s.log.Warn("ignored on an outgoing stream", "pair", c.pair, "element", e.Name.Local)
	}
}

// pong takes an answer to a ping. Whatever it says, the peer lives (XEP-0199 §4.3).
func (s *Server) pong(p pair, id string) {
	s.mu.Lock()
	l := s.links[p]
	s.mu.Unlock()
	if l == nil {
		return
	}
	select {
	case l.pong <- id:
	default:
	}
}
