package networktest_test

import (
	"errors"
	"net"
	"syscall"
	"testing"

	"fedlab/internal/network"
	"fedlab/internal/network/networktest"
)

// The addresses are this test's own: on 127.0.0.1 a port that was free a moment ago may be the source port of somebody's connection.
func TestOS(t *testing.T) {
	networktest.Run(t, func(t *testing.T, test func(*testing.T, networktest.Env)) {
		server, stop, err := networktest.ServeDNS(t.Context(), network.OS{}, "127.76.0.53:0", networktest.Names.Addr)
		if err != nil {
			t.Fatal(err)
		}
		defer stop()
		client := network.OS{DNS: []string{server}}
		test(t, networktest.Env{Client: client, Server: network.OS{}, Address: "127.76.0.1", Filtered: fullBacklog(t),
			Unassigned: "192.0.2.1", DNS: networktest.Names})
	})
}

// fullBacklog returns the address of a listener that accepts nothing and whose queue is full, so that the system drops
// further attempts to connect: on one machine, the honest way to have no answer.
func fullBacklog(t *testing.T) string {
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { syscall.Close(fd) })
	if err := errors.Join(syscall.Bind(fd, &syscall.SockaddrInet4{Addr: [4]byte{127, 76, 0, 2}}), syscall.Listen(fd, 0)); err != nil {
		t.Fatal(err)
	}
	sa, err := syscall.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	address := &net.TCPAddr{IP: net.IPv4(127, 76, 0, 2), Port: sa.(*syscall.SockaddrInet4).Port}
	for range 2 { // a queue of length 0 takes one; the second is on its way for ever
		c, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_NONBLOCK|syscall.SOCK_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { syscall.Close(c) })
		if err := syscall.Connect(c, &syscall.SockaddrInet4{Addr: [4]byte{127, 76, 0, 2}, Port: address.Port}); err != nil && err != syscall.EINPROGRESS {
			t.Fatal(err)
		}
	}
	return address.String()
}
