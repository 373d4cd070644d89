package translate

import "strings"

// Characters that a JID's local part cannot hold, and the two hexadecimal digits that stand for them behind a backslash.
// The backslash itself is escaped only where it would read as one of these escapes. XEP-0106 §4
const escapedChars = ` "&'/:<>@\`

const hexDigits = "0123456789abcdef"

// escape writes a local part as it stands in a JID.
func escape(local string) string {
	if !strings.ContainsAny(local, escapedChars) {
		return local
	}
	var b strings.Builder
	b.Grow(len(local) + 8)
	for i := 0; i < len(local); i++ {
		c := local[i]
		if strings.IndexByte(escapedChars, c) < 0 || c == '\\' && escapeAt(local[i:]) == 0 {
			b.WriteByte(c)
			continue
		}
		b.WriteByte('\\')
		b.WriteByte(hexDigits[c>>4])
		b.WriteByte(hexDigits[c&15])
	}
	return b.String()
}

// unescape undoes [escape]. Sequences that are not in the table stay as they are.
func unescape(s string) string {
	if !strings.Contains(s, `\`) {
		return s
	}
	var b strings.Builder
	b.Grow(len(s))
	for i := 0; i < len(s); i++ {
		if c := escapeAt(s[i:]); c != 0 {
			b.WriteByte(c)
			i += 2
			continue
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

// escapeAt gives the character that the escape at the beginning of s stands for, 0 if there is none. Case is significant.
func escapeAt(s string) byte {
	if len(s) < 3 || s[0] != '\\' {
		return 0
	}
	hi, lo := strings.IndexByte(hexDigits, s[1]), strings.IndexByte(hexDigits, s[2])
	if hi < 0 || lo < 0 {
		return 0
	}
	if c := byte(hi<<4 | lo); strings.IndexByte(escapedChars, c) >= 0 {
		return c
	}
	return 0
}
