package load

import (
	"testing"
	"time"
)

// await waits for a channel to be closed or to give something.
func await(t testing.TB, done <-chan struct{}, what string) {
	t.Helper()
	limit := time.NewTimer(patience)
	defer limit.Stop()
	select {
	case <-done:
	case <-limit.C:
		t.Fatalf("waited %v for %s", patience, what)
	}
}
