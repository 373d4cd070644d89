package translate

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// SafeXMLText gives s without what XML 1.0 cannot carry (control characters, surrogates, U+FFFE, U+FFFF, broken UTF-8), each
// replaced by U+FFFD, and reports whether s was clean. One such character in a stanza ends the whole stream of a peer, and
// with it everybody's conversations. XML 1.0 §2.2
func SafeXMLText(s string) (string, bool) {
	if cleanXML(s) {
		return s, true
	}
	var b strings.Builder
	b.Grow(len(s))
	for _, r := range s { // an invalid byte reads as U+FFFD
		if !xmlChar(r) {
			r = utf8.RuneError
		}
		b.WriteRune(r)
	}
	return b.String(), false
}

func cleanXML(s string) bool {
	for i := 0; i < len(s); {
		r, n := utf8.DecodeRuneInString(s[i:])
		if r == utf8.RuneError && n == 1 || !xmlChar(r) {
			return false
		}
		i += n
	}
	return true
}

func xmlChar(r rune) bool {
	return r == '\t' || r == '\n' || r == '\r' || r >= 0x20 && r <= 0xd7ff || r >= 0xe000 && r <= 0xfffd || r >= 0x10000
}

// HeaderText makes s fit for the value of a SIP header field or a reason phrase: valid UTF-8 on one line, control characters
// and line ends as single spaces, at most max bytes, cut between characters. Whatever a stranger wrote, it cannot begin a
// header field of its own. RFC 3261 §25.1, TEXT-UTF8-TRIM
func HeaderText(s string, max int) string {
	var b strings.Builder
	space := false
	for _, r := range s {
		if unicode.IsSpace(r) || unicode.IsControl(r) {
			space = b.Len() > 0
			continue
		}
		need := utf8.RuneLen(r)
		if space {
			need++
		}
		if b.Len()+need > max {
			break
		}
		if space {
			b.WriteByte(' ')
			space = false
		}
		b.WriteRune(r)
	}
	return b.String()
}
