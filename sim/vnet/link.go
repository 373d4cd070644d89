package vnet

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"time"
)

// LinkConfig is how packets are carried, in one direction. On a segment it holds for each sender on its own, like a switch
// with full-duplex ports. All chances are drawn from the network's seed.
type LinkConfig struct {
	Latency   time.Duration // one way; on a segment 0 means 1 ms and a negative value none
	Jitter    time.Duration // further delay, evenly distributed from 0 to this; keeps the order of packets
	Loss      float64       // share of packets lost, 0 to 1
	Duplicate float64       // share of packets that arrive twice
	Reorder   float64       // share of packets held back for another latency and jitter, so that later ones overtake them
	Bandwidth int           // bits per second; 0: unlimited
	Queue     int           // bytes that may wait for their turn when Bandwidth is set; 0: 64 KiB. What finds it full is lost
	MTU       int           // of a segment: largest packet in bytes; 0: 1500. Not used on attachments
	Down      bool          // nothing passes
}

// AttachmentLink is one machine's own attachment to a segment, by direction.
type AttachmentLink struct {
	Out LinkConfig // from the machine to the segment
	In  LinkConfig // from the segment to the machine
}

func (c LinkConfig) validate() error {
	share := func(name string, v float64) error {
		if v < 0 || v > 1 {
			return fmt.Errorf("%s is %v; it is a share, from 0 to 1", name, v)
		}
		return nil
	}
	var mtu error
	if c.MTU != 0 && (c.MTU < 576 || c.MTU > 65535) {
		mtu = fmt.Errorf("MTU is %d; it goes from 576 to 65535", c.MTU)
	}
	return errors.Join(share("loss", c.Loss), share("duplicate", c.Duplicate), share("reorder", c.Reorder), mtu)
}

func (l AttachmentLink) validate() error { return errors.Join(l.Out.validate(), l.In.validate()) }

// link is one direction of a link with its memory.
type link struct {
	free time.Duration // when the wire is idle again
	last time.Duration // when the latest packet arrives
}

// fate is what a link does to a packet.
type fate struct {
	arrives time.Duration
	lost    string // why; empty: it arrives
	twice   bool
}

// pass says what becomes of a packet of size bytes that is handed to the link at instant at.
func (l *link) pass(c *LinkConfig, rng *rand.Rand, at time.Duration, size int) fate {
	if c.Down {
		return fate{lost: "link down"}
	}
	if c.Bandwidth > 0 {
		queue := c.Queue
		if queue == 0 {
			queue = 64 << 10
		}
		start := max(at, l.free)
		if waiting := int64(start-at) * int64(c.Bandwidth) / 8 / int64(time.Second); waiting > int64(queue) {
			return fate{lost: "queue full"}
		}
		l.free = start + time.Duration(int64(size)*8*int64(time.Second)/int64(c.Bandwidth))
		at = l.free
	}
	if c.Loss > 0 && rng.Float64() < c.Loss {
		return fate{lost: "lost"}
	}
	at += max(c.Latency, 0)
	switch {
	case c.Reorder > 0 && rng.Float64() < c.Reorder:
		at += max(c.Latency, 0) + time.Duration(rng.Int64N(int64(c.Jitter+time.Millisecond)))
	case c.Jitter > 0:
		at = max(at+time.Duration(rng.Int64N(int64(c.Jitter))), l.last)
		l.last = at
	}
	return fate{arrives: at, twice: c.Duplicate > 0 && rng.Float64() < c.Duplicate}
}
