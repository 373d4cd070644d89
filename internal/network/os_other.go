//go:build !linux

package network

import (
	"errors"
	"fmt"
	"runtime"
)

// Sockets is available on Linux only; elsewhere the error wraps errors.ErrUnsupported.
func (o OS) Sockets() ([]Socket, error) {
	return nil, fmt.Errorf("network: socket table on %s: %w", runtime.GOOS, errors.ErrUnsupported)
}
