package network

import (
	"net"
	"net/netip"
	"testing"
)

func TestParseProcNet(t *testing.T) {
	for _, test := range []struct {
		protocol, line string
		want           Socket
	}{
		{"tcp", "0: 0100007F:1F90 00000000:0000 0A 00000000:00000000", Socket{Protocol: "tcp", Local: netip.MustParseAddrPort("127.0.0.1:8080"), State: "LISTENING"}},
		{"tcp", "1: 280C0B0A:13C5 320A0A0A:0E6A 01 0:0", Socket{"tcp", netip.MustParseAddrPort("10.11.12.40:5061"), netip.MustParseAddrPort("10.10.10.50:3690"), "ESTABLISHED", ""}},
		{"tcp6", "2: 00000000000000000000000001000000:0035 00000000000000000000000001000000:C000 06 0:0", Socket{"tcp6", netip.MustParseAddrPort("[::1]:53"), netip.MustParseAddrPort("[::1]:49152"), "TIME_WAIT", ""}},
		{"udp", "3: 00000000:0035 00000000:0000 07 0:0", Socket{Protocol: "udp", Local: netip.MustParseAddrPort("0.0.0.0:53")}},
	} {
		if got, err := parseProcNet(test.protocol, test.line); err != nil || got != test.want {
			t.Errorf("%s: %+v, %v", test.line, got, err)
		}
	}
	for _, bad := range []string{"", "0: x y z", "0: 0100007F:1F90 0100007F 0A", "0: 0100007F:1F90 00000000:0000 FF"} {
		if got, err := parseProcNet("tcp", bad); err == nil {
			t.Errorf("%q is read as %+v", bad, got)
		}
	}
}

// The table shows a listener and both ends of a connection to it.
func TestSockets(t *testing.T) {
	l, err := OS{}.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	c, err := OS{}.DialContext(t.Context(), "tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	all, err := OS{}.Sockets()
	if err != nil {
		t.Fatal(err)
	}
	at, from := l.Addr().(*net.TCPAddr).AddrPort(), c.LocalAddr().(*net.TCPAddr).AddrPort()
	for _, want := range []Socket{
		{Protocol: "tcp", Local: at, State: "LISTENING"},
		{Protocol: "tcp", Local: at, Remote: from, State: "ESTABLISHED"},
		{Protocol: "tcp", Local: from, Remote: at, State: "ESTABLISHED"},
	} {
		found := false
		for _, s := range all {
			found = found || s == want
		}
		if !found {
			t.Errorf("no %+v among %d sockets", want, len(all))
		}
	}
}
