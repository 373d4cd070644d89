// Package imdn is what SIP people are told of the fate of a message: reads and writes the three formats there are, and does nothing
// else. The SIP side (package sipedge) decides when a report is due and where it goes.
//
//   - cpim.go: [Envelope], the message/cpim in which a sender asks for a report and in which the report comes. RFC 3862, RFC 5438 §6
//   - report.go: [Report], the message/imdn+xml within. RFC 5438 §11
//   - ocs.go: [OCSReport], the application/ms-imdn+xml of Office Communications Server. [MS-CONFIM] §2.2
//
// Everything here comes from strangers: readers take what the specifications allow and refuse the rest, within bounds; what is read
// can be written into a message of ours without a line of its own getting into it. The functions are pure.
package imdn

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"strings"
)

// The content types.
const (
	EnvelopeType = "message/cpim"
	ReportType   = "message/imdn+xml"
	OCSType      = "application/ms-imdn+xml"
)

// ErrMalformed says that a body is not what its type promises: the answer is 400.
var ErrMalformed = errors.New("a body that is not what its type promises")

// Bounds of what a stranger sends.
const (
	maxHeaders  = 64       // lines of one block
	maxID       = 128      // bytes of a Message-ID
	maxRoutes   = 8        // IMDN-Record-Route
	maxDocument = 16 << 10 // bytes of one report
	maxReports  = 16       // in an aggregated one; recipients of one of OCS's
)

func malformed(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrMalformed, fmt.Sprintf(format, args...))
}

// readXML reads a document of one element into a struct. A document type is refused: neither format has one.
func readXML(body []byte, into any) error {
	if len(body) > maxDocument {
		return malformed("a report of %d bytes", len(body))
	}
	d := xml.NewDecoder(bytes.NewReader(body))
	for read := false; ; {
		token, err := d.Token()
		if err == io.EOF && read {
			return nil
		}
		if err != nil {
			return malformed("%v", err)
		}
		switch t := token.(type) {
		case xml.StartElement:
			if read {
				return malformed("two documents in one")
			}
			if err := d.DecodeElement(into, &t); err != nil {
				return malformed("%v", err)
			}
			read = true
		case xml.Directive:
			return malformed("a document type")
		case xml.CharData:
			if len(bytes.TrimSpace(t)) > 0 {
				return malformed("text around the document")
			}
		}
	}
}

// escaped is s as text or attribute value in XML.
func escaped(s string) string {
	var b strings.Builder
	_ = xml.EscapeText(&b, []byte(s)) // a strings.Builder takes everything
	return b.String()
}

// ValidID reports whether s can name a message: visible ASCII, not too long.
func ValidID(s string) bool {
	if s == "" || len(s) > maxID {
		return false
	}
	for i := range len(s) {
		if s[i] <= ' ' || s[i] > '~' {
			return false
		}
	}
	return true
}
