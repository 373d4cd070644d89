package vnet

import (
	"context"
	"errors"
	"net"
	"os"
	"syscall"
)

// dialTimeout and dialCanceled are what package net makes of a context's error.
type dialTimeout struct{}

func (dialTimeout) Error() string        { return "i/o timeout" }
func (dialTimeout) Timeout() bool        { return true }
func (dialTimeout) Temporary() bool      { return true }
func (dialTimeout) Is(target error) bool { return target == context.DeadlineExceeded }

type dialCanceled struct{}

func (dialCanceled) Error() string        { return "operation was canceled" }
func (dialCanceled) Is(target error) bool { return target == context.Canceled }

// contextError turns a context's error into the one that package net returns for it.
func contextError(err error) error {
	switch {
	case errors.Is(err, context.Canceled):
		return dialCanceled{}
	case errors.Is(err, context.DeadlineExceeded):
		return dialTimeout{}
	default:
		return err
	}
}

// opError makes the error that package net would make. Errnos get the name of the system call that failed.
func opError(op, network string, local, remote net.Addr, err error) error {
	if errno, ok := err.(syscall.Errno); ok {
		call := op
		if op == "dial" {
			call = "connect"
		} else if op == "listen" {
			call = "bind"
		}
		err = os.NewSyscallError(call, errno)
	}
	return &net.OpError{Op: op, Net: network, Source: local, Addr: remote, Err: err}
}
