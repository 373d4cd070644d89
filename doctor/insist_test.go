package doctor

import (
	"context"
	"errors"
	"net"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// Who gets no answer asks again; an answer, be it that there is no such name, ends it; and it ends in any case.
func TestInsist(t *testing.T) {
	lost := errors.New("no answer")
	none := &net.DNSError{Err: "no such host", IsNotFound: true}
	for _, tt := range []struct {
		name string
		nth  func(n int) (time.Duration, error) // how long the nth question takes, and what comes of it
		err  error
		asks int
		took time.Duration
	}{
		{"answered at once", func(int) (time.Duration, error) { return 0, nil }, nil, 1, 0},
		{"no such name", func(int) (time.Duration, error) { return 0, none }, none, 1, 0},
		{"the third is answered", func(n int) (time.Duration, error) {
			if n < 3 {
				return time.Minute, lost
			}
			return time.Millisecond, nil
		}, nil, 3, 2*askAgain + time.Millisecond},
		{"a slow answer", func(int) (time.Duration, error) { return 2500 * time.Millisecond, nil }, nil, 3, 2500 * time.Millisecond},
		{"failing at once", func(int) (time.Duration, error) { return 0, lost }, lost, mostAsks, (mostAsks - 1) * askAgain},
		{"silence", func(int) (time.Duration, error) { return time.Hour, nil }, context.DeadlineExceeded, mostAsks, Patience},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				began := time.Now()
				var asks atomic.Int32
				answer, err := insist(t.Context(), func(ctx context.Context) (int, error) {
					takes, err := tt.nth(int(asks.Add(1)))
					select {
					case <-time.After(takes):
						return 7, err
					case <-ctx.Done():
						return 0, ctx.Err()
					}
				})
				if !errors.Is(err, tt.err) || err == nil && answer != 7 || int(asks.Load()) != tt.asks || time.Since(began) != tt.took {
					t.Errorf("%v, %v after %d questions and %v", answer, err, asks.Load(), time.Since(began))
				}
			})
		})
	}
}
