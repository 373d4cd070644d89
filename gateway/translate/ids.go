package translate

import (
	"strings"
)

// maxThread bounds a thread that becomes a Call-ID, in bytes.
const maxThread = 255

// CallID gives the Call-ID that a thread becomes, and false where the thread cannot be one as it is: it is empty, too long, or
// holds a character that a Call-ID has no place for. The caller then makes one up and remembers the thread. RFC 7572 §4,
// RFC 7573 §4; RFC 3261 §25.1: callid = word [ "@" word ]
func CallID(thread string) (string, bool) {
	if thread == "" || len(thread) > maxThread {
		return "", false
	}
	at := 0
	for i := 0; i < len(thread); i++ {
		c := thread[i]
		switch {
		case c == '@':
			at++
			if at > 1 || i == 0 || i == len(thread)-1 {
				return "", false
			}
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', strings.IndexByte("-.!%*_+`'~()<>:\\\"/[]?{}", c) >= 0:
		default:
			return "", false
		}
	}
	return thread, true
}

// Thread gives the thread that a Call-ID becomes. It is opaque, so it is carried as it is; what XML cannot hold is replaced.
// RFC 7572 §5
func Thread(callID string) string {
	if len(callID) > maxThread {
		return ""
	}
	s, _ := SafeXMLText(callID)
	return s
}

// LanguageTag gives tag if it may stand in xml:lang and Content-Language, else nothing. BCP 47 §2.1; of a list the first counts.
// RFC 7572 §8
func LanguageTag(tag string) string {
	tag, _, _ = strings.Cut(tag, ",")
	tag = strings.TrimSpace(tag)
	if len(tag) > 35 { // RFC 5646 §4.4.1
		return ""
	}
	for sub := range strings.SplitSeq(tag, "-") {
		if sub == "" || len(sub) > 8 {
			return ""
		}
		for i := 0; i < len(sub); i++ {
			if c := sub[i]; (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') {
				return ""
			}
		}
	}
	return tag
}
