package googletalk

import (
	"strings"
	"unicode/utf8"
)

// escape makes s fit for text and for attributes in either quote.
func escape(s string) string { return escaper.Replace(s) }

var escaper = strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;", `"`, "&quot;", "'", "&apos;")

// xmlText reports whether XML can carry s. XML 1.0 §2.2
func xmlText(s string) bool {
	if !utf8.ValidString(s) {
		return false
	}
	for _, c := range s {
		if c < 0x20 && c != '\t' && c != '\n' && c != '\r' || c == 0xFFFE || c == 0xFFFF {
			return false
		}
	}
	return true
}

// writer builds a start tag's attributes in the farm's style: double quotes.
type tagWriter struct{ strings.Builder }

func (w *tagWriter) attr(name, value string) *tagWriter {
	if value != "" {
		w.WriteString(" " + name + `="` + escape(value) + `"`)
	}
	return w
}

func tag(name string) *tagWriter {
	w := &tagWriter{}
	w.WriteString("<" + name)
	return w
}

// empty ends the element without content.
func (w *tagWriter) empty() string { return w.String() + "/>" }

// wrap ends the start tag and puts content, which is XML already, between it and the end tag.
func (w *tagWriter) wrap(content string) string {
	s := w.String()
	name := strings.TrimPrefix(strings.Fields(s)[0], "<")
	return s + ">" + content + "</" + name + ">"
}
