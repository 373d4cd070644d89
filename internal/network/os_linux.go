package network

import (
	"bufio"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
)

// Sockets reads the machine's socket table, as far as the program may see it. Owner is empty: finding it out would take the
// right to look into every process.
func (o OS) Sockets() ([]Socket, error) {
	var all []Socket
	for _, protocol := range []string{"tcp", "tcp6", "udp", "udp6"} {
		f, err := os.Open("/proc/net/" + protocol)
		if errors.Is(err, fs.ErrNotExist) { // no IPv6 here
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("network: socket table: %w", err)
		}
		lines := bufio.NewScanner(f)
		lines.Scan() // the heading
		for lines.Scan() {
			s, err := parseProcNet(protocol, lines.Text())
			if err != nil {
				f.Close()
				return nil, fmt.Errorf("network: socket table %s: %w", protocol, err)
			}
			all = append(all, s)
		}
		f.Close()
		if err := lines.Err(); err != nil {
			return nil, fmt.Errorf("network: socket table %s: %w", protocol, err)
		}
	}
	return all, nil
}

// The states of proc(5), net/tcp, under the names of Windows.
var procStates = []string{"", "ESTABLISHED", "SYN_SENT", "SYN_RECEIVED", "FIN_WAIT_1", "FIN_WAIT_2", "TIME_WAIT", "CLOSED",
	"CLOSE_WAIT", "LAST_ACK", "LISTENING", "CLOSING", "SYN_RECEIVED"}

// parseProcNet reads one line of /proc/net/tcp and its kin.
func parseProcNet(protocol, line string) (Socket, error) {
	fields := strings.Fields(line)
	if len(fields) < 4 {
		return Socket{}, fmt.Errorf("line %q has too few fields", line)
	}
	local, err := parseProcAddr(fields[1])
	if err != nil {
		return Socket{}, err
	}
	remote, err := parseProcAddr(fields[2])
	if err != nil {
		return Socket{}, err
	}
	s := Socket{Protocol: protocol, Local: local, Remote: remote}
	if remote.Port() == 0 {
		s.Remote = netip.AddrPort{}
	}
	if strings.HasPrefix(protocol, "tcp") {
		state, err := strconv.ParseUint(fields[3], 16, 8)
		if err != nil || int(state) >= len(procStates) {
			return Socket{}, fmt.Errorf("line %q has state %q", line, fields[3])
		}
		s.State = procStates[state]
	}
	return s, nil
}

// parseProcAddr reads "0100007F:1F90": 32-bit words in the machine's byte order, which is little-endian wherever Go runs Linux
// for us, then the port in plain order.
func parseProcAddr(s string) (netip.AddrPort, error) {
	words, port, ok := strings.Cut(s, ":")
	raw, err := hex.DecodeString(words)
	n, portErr := strconv.ParseUint(port, 16, 16)
	if !ok || err != nil || portErr != nil || len(raw) != 4 && len(raw) != 16 {
		return netip.AddrPort{}, fmt.Errorf("address %q cannot be read", s)
	}
	for i := 0; i < len(raw); i += 4 {
		slices.Reverse(raw[i : i+4])
	}
	addr, _ := netip.AddrFromSlice(raw)
	return netip.AddrPortFrom(addr.Unmap(), uint16(n)), nil
}
