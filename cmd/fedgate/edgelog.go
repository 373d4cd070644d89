package main

import (
	"bytes"
	"encoding/binary"
	"io"
	"os"
	"strings"
	"unicode/utf16"
)

// maxLog bounds what is read of the Edge's log: its end. What stands further up is older than anything that is wrong now.
const maxLog = 8 << 20

// edgeLog gives the lines of a log file so far. Every call begins at the same place, and gives the lines of the one before and those that have been
// written since. The file is UTF-8 or, as Windows writes it, UTF-16 with a byte order mark.
func edgeLog(path string) (lines func() []string, err error) {
	size, text, err := readFrom(path, 0, 2)
	if err != nil {
		return nil, err
	}
	var order binary.ByteOrder
	switch string(text) {
	case "\xff\xfe":
		order = binary.LittleEndian
	case "\xfe\xff":
		order = binary.BigEndian
	}
	from := max(0, size-maxLog) &^ 1 // at a whole character of UTF-16
	return func() []string {
		_, text, err := readFrom(path, from, 2*maxLog)
		if err != nil {
			return nil
		}
		if order != nil {
			text = utf8Of(text, order)
		}
		if from > 0 { // in the middle of a line
			_, text, _ = bytes.Cut(text, []byte("\n"))
		}
		return strings.Split(strings.TrimRight(string(text), "\r\n"), "\n")
	}, nil
}

// readFrom reads at most so many bytes of a file from a place on, and says how large it is.
func readFrom(path string, from, most int64) (size int64, text []byte, err error) {
	f, err := os.Open(path)
	if err != nil {
		return 0, nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return 0, nil, err
	}
	text, err = io.ReadAll(io.NewSectionReader(f, from, most))
	return info.Size(), text, err
}

func utf8Of(text []byte, order binary.ByteOrder) []byte {
	units := make([]uint16, len(text)/2)
	for i := range units {
		units[i] = order.Uint16(text[2*i:])
	}
	return []byte(strings.TrimPrefix(string(utf16.Decode(units)), "\ufeff"))
}
