package doctor

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
)

// A peer that takes a connection and says nothing is told as that, in the words that a silent port is told in.
func TestSilenceInsteadOfTLS(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ours, theirs := net.Pipe()
		var peer sync.WaitGroup
		peer.Go(func() { _, _ = io.Copy(io.Discard, theirs) })
		h := shake(t.Context(), ours, offer{oldest: tls.VersionTLS12})
		if h.err == nil || !strings.HasPrefix(h.err.Error(), "no answer within 10s") || !errors.Is(h.err, context.DeadlineExceeded) {
			t.Errorf("%v", h.err)
		}
		peer.Wait()
	})
}
