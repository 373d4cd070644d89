package lab

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strconv"
	"sync"
	"time"
)

// bystander is a service that has nothing to do with the federation: it says its line to whoever connects, and listens until he leaves.
type bystander struct {
	listener net.Listener
	served   sync.WaitGroup
}

// patienceOfBystanders bounds how long one visitor may stay.
const patienceOfBystanders = time.Minute

func (w *world) startBystanders(ctx context.Context) error {
	for _, name := range w.hosts() {
		h := w.topology.Hosts[name]
		for _, port := range sorted(h.Says) {
			n, err := strconv.ParseUint(port, 10, 16)
			if err != nil {
				return fmt.Errorf("what host %s says: port %q: %w", name, port, err)
			}
			l, err := w.on(name, "bystander").Listen(ctx, "tcp", netip.AddrPortFrom(firstAddress(h), uint16(n)).String())
			if err != nil {
				return fmt.Errorf("what host %s says: %w", name, err)
			}
			b := &bystander{listener: l}
			b.served.Go(func() { b.serve(h.Says[port]) })
			w.bystanders = append(w.bystanders, b)
		}
	}
	return nil
}

func (b *bystander) serve(line string) {
	for {
		c, err := b.listener.Accept()
		if err != nil {
			return
		}
		b.served.Go(func() {
			defer c.Close()
			_ = c.SetDeadline(time.Now().Add(patienceOfBystanders))
			_, _ = io.WriteString(c, line+"\r\n")
			_, _ = io.Copy(io.Discard, c)
		})
	}
}

func (b *bystander) stop() error {
	err := b.listener.Close()
	b.served.Wait()
	return err
}
