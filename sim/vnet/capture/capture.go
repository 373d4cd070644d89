// Package capture records what travels over a virtual network and writes it as pcapng files that Wireshark reads: one
// interface per segment with its name, virtual timestamps, correct checksums, and a comment on every packet that was lost, or
// that a router dropped, rejected or translated. TLS secrets go into the file, so that what is inside TLS is shown without any
// setting.
//
// A [Capture] begins when it is made and keeps the packets in memory until they are written: remarks about a packet come after
// the packet itself. In the file of the whole world a packet appears once per segment that it crosses; analysis of TCP as
// Wireshark does it makes sense in the file of one segment.
package capture

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
	"github.com/gopacket/gopacket/pcapgo"

	"fedlab/sim/vnet"
)

// limit is how many bytes of packets are kept; further ones are only counted.
const limit = 256 << 20

// Capture is the packets of a network since it was made. It is safe for concurrent use.
type Capture struct {
	mu      sync.Mutex
	frames  []frame
	data    []byte
	first   uint64 // serial number of frames[0]
	missed  int
	secrets bytes.Buffer
}

type frame struct {
	at         time.Time
	segment    string
	start, end int // in data
	remarks    []string
}

// Start begins to capture.
func Start(n *vnet.Net) *Capture {
	c := &Capture{}
	n.Tap((*tap)(c))
	return c
}

// tap keeps the methods that the network calls out of Capture's own.
type tap Capture

func (t *tap) Frame(f vnet.Frame) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.data) > limit {
		t.missed++
		return
	}
	if len(t.frames) == 0 {
		t.first = f.Serial
	}
	start := len(t.data)
	t.data = f.AppendTo(t.data)
	t.frames = append(t.frames, frame{at: f.At, segment: f.Segment, start: start, end: len(t.data)})
}

func (t *tap) Remark(serial uint64, what string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if i := serial - t.first; serial >= t.first && i < uint64(len(t.frames)) {
		t.frames[i].remarks = append(t.frames[i].remarks, what)
	}
}

// KeyLog returns a writer for the TLS secrets of programs on the network: a tls.Config's KeyLogWriter.
func (c *Capture) KeyLog() io.Writer { return (*keyLog)(c) }

type keyLog Capture

func (k *keyLog) Write(line []byte) (int, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.secrets.Write(line)
}

// Segments returns the names of the segments on which there were packets, loopback interfaces last.
func (c *Capture) Segments() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.segments()
}

func (c *Capture) segments() []string {
	var names []string
	for _, f := range c.frames {
		if !slices.Contains(names, f.segment) {
			names = append(names, f.segment)
		}
	}
	slices.SortFunc(names, func(a, b string) int {
		if la, lb := strings.HasPrefix(a, "lo."), strings.HasPrefix(b, "lo."); la != lb {
			if lb {
				return -1
			}
			return 1
		}
		return strings.Compare(a, b)
	})
	return names
}

// Write writes the packets of these segments, or of all if none is given, as one pcapng file.
func (c *Capture) Write(w io.Writer, segments ...string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(segments) == 0 {
		segments = c.segments()
	}
	if len(segments) == 0 {
		segments = []string{"none"} // a file has at least one interface
	}
	options := pcapgo.NgWriterOptions{SectionInfo: pcapgo.NgSectionInfo{Application: "fedlab"}}
	if c.missed > 0 {
		options.SectionInfo.Comment = fmt.Sprintf("%d packets at the end are missing: there were more than %d bytes", c.missed, limit)
	}
	var ng *pcapgo.NgWriter
	index := map[string]int{}
	for i, name := range segments {
		intf := pcapgo.NgInterface{Name: name, LinkType: layers.LinkTypeEthernet, TimestampResolution: 9}
		var err error
		if i == 0 {
			ng, err = pcapgo.NewNgWriterInterface(w, intf, options)
		} else {
			_, err = ng.AddInterface(intf)
		}
		if err != nil {
			return fmt.Errorf("capture: %w", err)
		}
		index[name] = i
	}
	if c.secrets.Len() > 0 { // before the packets that need them
		if err := ng.WriteDecryptionSecretsBlock(pcapgo.DSB_SECRETS_TYPE_TLS, c.secrets.Bytes()); err != nil {
			return fmt.Errorf("capture: TLS secrets: %w", err)
		}
	}
	for _, f := range c.frames {
		i, ok := index[f.segment]
		if !ok {
			continue
		}
		data := c.data[f.start:f.end]
		info := gopacket.CaptureInfo{Timestamp: f.at, CaptureLength: len(data), Length: len(data), InterfaceIndex: i}
		if err := ng.WritePacketWithOptions(info, data, pcapgo.NgPacketOptions{Comments: f.remarks}); err != nil {
			return fmt.Errorf("capture: %w", err)
		}
	}
	if err := ng.Flush(); err != nil {
		return fmt.Errorf("capture: %w", err)
	}
	return nil
}

// WriteDir writes world.pcapng and one file per segment into a directory, which is made if it is not there.
func (c *Capture) WriteDir(dir string) error {
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return fmt.Errorf("capture: %w", err)
	}
	write := func(name string, segments ...string) error {
		f, err := os.Create(filepath.Join(dir, name+".pcapng"))
		if err != nil {
			return fmt.Errorf("capture: %w", err)
		}
		defer f.Close()
		if err := c.Write(f, segments...); err != nil {
			return err
		}
		return f.Close()
	}
	if err := write("world"); err != nil {
		return err
	}
	for _, name := range c.Segments() {
		if err := write(name, name); err != nil {
			return err
		}
	}
	return nil
}
