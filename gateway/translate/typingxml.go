package translate

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
)

// The body types that say whether somebody types.
const (
	KeyboardActivityType = "application/xml"                // OCS, in an INFO
	IsComposingType      = "application/im-iscomposing+xml" // RFC 3994, in a MESSAGE or INFO
)

// ErrNotTyping says that a body is none that tells of typing. An INFO with such a body is answered 200 and left alone.
var ErrNotTyping = errors.New("a body that does not tell whether somebody types")

// KeyboardActivity is the INFO body by which OCS says that a person types, or has stopped.
func KeyboardActivity(typing bool) []byte {
	status := "idle"
	if typing {
		status = "type"
	}
	return []byte(`<?xml version="1.0"?><KeyboardActivity><status status="` + status + `"/></KeyboardActivity>`)
}

// IsComposing is the same for other SIP peers, with the content types that follow and, while somebody types, the interval after
// which the receiver may forget it. RFC 3994 §3.2, §4
func IsComposing(typing bool, refresh time.Duration) []byte {
	if !typing {
		return []byte(`<?xml version="1.0" encoding="UTF-8"?><isComposing xmlns="urn:ietf:params:xml:ns:im-iscomposing"><state>idle</state><contenttype>text/plain</contenttype></isComposing>`)
	}
	return fmt.Appendf(nil, `<?xml version="1.0" encoding="UTF-8"?><isComposing xmlns="urn:ietf:params:xml:ns:im-iscomposing"><state>active</state><contenttype>text/plain</contenttype><refresh>%d</refresh></isComposing>`,
		max(1, int(refresh/time.Second)))
}

// composingDefault is how long an active state lasts that names no refresh. RFC 3994 §3.3
const composingDefault = 120 * time.Second

// ReadTyping reads either form: whether the sender types, and for how long that holds without another word. lasting is 0 for a
// KeyboardActivity, which names no time. An unknown state counts as idle (RFC 3994 §3.2). The error is [ErrNotTyping] or a
// mistake in the XML.
func ReadTyping(body []byte) (typing bool, lasting time.Duration, err error) {
	const composingNS = "urn:ietf:params:xml:ns:im-iscomposing"
	d := xml.NewDecoder(bytes.NewReader(body))
	d.Strict = true
	var path []xml.Name
	var state, refresh string
	found := false
	for range 200 { // far more tokens than either form has
		token, err := d.Token()
		if err == io.EOF && len(path) == 0 && found {
			if state != "active" {
				return typing, 0, nil
			}
			lasting = composingDefault
			if n, err := strconv.Atoi(strings.TrimSpace(refresh)); err == nil && n > 0 && n <= 24*3600 {
				lasting = time.Duration(n) * time.Second
			}
			return true, lasting, nil
		}
		if err != nil {
			return false, 0, fmt.Errorf("%w: %v", ErrNotTyping, err)
		}
		switch t := token.(type) {
		case xml.StartElement:
			if len(path) == 0 && t.Name.Local != "KeyboardActivity" && (t.Name.Space != composingNS || t.Name.Local != "isComposing") {
				return false, 0, fmt.Errorf("%w: <%.40s>", ErrNotTyping, t.Name.Local)
			}
			if len(path) == 1 && path[0].Local == "KeyboardActivity" && t.Name.Local == "status" {
				for _, a := range t.Attr {
					if a.Name.Local == "status" {
						found, typing = true, strings.EqualFold(a.Value, "type")
					}
				}
			}
			path = append(path, t.Name)
		case xml.EndElement:
			path = path[:len(path)-1]
		case xml.CharData:
			if len(path) == 2 && path[0].Local == "isComposing" {
				switch path[1].Local {
				case "state":
					state, found = strings.TrimSpace(state+string(t)), true
				case "refresh":
					refresh += string(t)
				}
			}
		case xml.Directive:
			return false, 0, fmt.Errorf("%w: a document type", ErrNotTyping)
		}
	}
	return false, 0, fmt.Errorf("%w: it is too long", ErrNotTyping)
}
