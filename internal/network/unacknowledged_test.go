package network_test

import (
	"net"
	"runtime"
	"testing"

	"fedlab/internal/network"
)

func TestUnacknowledged(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Log("only Linux tells")
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	peer, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer peer.Close()
	if n, known := network.Unacknowledged(c); n != 0 || known != (runtime.GOOS == "linux") {
		t.Errorf("before anything was written: %d, %v", n, known)
	}
	c.Close()
	if _, known := network.Unacknowledged(c); known {
		t.Error("a closed connection tells")
	}
}
