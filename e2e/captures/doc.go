// Package captures has tshark, Wireshark's own reader, judge the captures of the catalogue. Its tests stand behind the build tag
// peers; `make test-peers` installs tshark.
package captures
