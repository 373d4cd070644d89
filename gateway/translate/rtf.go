package translate

import (
	"strconv"
	"strings"
	"unicode/utf16"

	"golang.org/x/text/encoding/charmap"
)

// maxRTFDepth bounds the groups that stand open.
const maxRTFDepth = 64

// RTFText gives the words of a text/rtf body: Communicator and its kin send the text so, too. Fonts, colours, pictures and every
// destination that is not understood are left out.
func RTFText(body []byte) string {
	var b strings.Builder
	type group struct{ muted bool }
	stack := []group{{}}
	unicodeSkip, skip := 1, 0
	var high uint16
	put := func(s string) {
		if !stack[len(stack)-1].muted {
			b.WriteString(s)
		}
	}
	for i := 0; i < len(body); {
		c := body[i]
		i++
		switch {
		case c == '{':
			if len(stack) >= maxRTFDepth {
				return finishRTF(&b)
			}
			stack = append(stack, stack[len(stack)-1])
		case c == '}':
			if len(stack) > 1 {
				stack = stack[:len(stack)-1]
			}
		case c == '\r' || c == '\n' || c == 0:
		case c != '\\':
			if skip > 0 {
				skip--
				continue
			}
			put(decodeByte(c))
		case i >= len(body):
		case letter(body[i]):
			word, number, has, next := controlWord(body, i)
			i = next
			switch word {
			case "par", "line", "row", "sect", "page":
				put("\n")
			case "tab", "cell":
				put("\t")
			case "uc":
				unicodeSkip = min(max(number, 0), 16)
			case "u":
				if !has {
					continue
				}
				unit := uint16(number)
				skip = unicodeSkip
				switch {
				case unit >= 0xd800 && unit < 0xdc00:
					high = unit
				case high != 0:
					put(string(utf16.Decode([]uint16{high, unit})))
					high = 0
				default:
					put(string(utf16.Decode([]uint16{unit})))
				}
			case "lquote", "rquote":
				put("'")
			case "ldblquote", "rdblquote":
				put(`"`)
			case "endash", "emdash":
				put("-")
			case "bullet":
				put("•")
			case "fonttbl", "colortbl", "stylesheet", "info", "pict", "object", "header", "footer", "footnote", "generator":
				stack[len(stack)-1].muted = true
			}
		case body[i] == '\'':
			if i+2 < len(body) && hexDigit(body[i+1]) && hexDigit(body[i+2]) {
				if skip > 0 {
					skip--
				} else {
					put(decodeByte(unhex(body[i+1])<<4 | unhex(body[i+2])))
				}
				i += 3
			} else {
				i++
			}
		case body[i] == '*': // a destination that may be left out
			stack[len(stack)-1].muted = true
			i++
		case body[i] == '\r' || body[i] == '\n':
			put("\n")
			i++
		case body[i] == '~':
			put("\u00a0")
			i++
		case body[i] == '-':
			i++
		default: // an escaped \, { or }
			put(string(rune(body[i])))
			i++
		}
	}
	return finishRTF(&b)
}

func finishRTF(b *strings.Builder) string {
	s, _ := SafeXMLText(strings.TrimRight(b.String(), "\n"))
	return s
}

// controlWord reads the letters and the number behind a backslash, and the one space that ends them.
func controlWord(body []byte, i int) (word string, number int, has bool, next int) {
	start := i
	for i < len(body) && letter(body[i]) && i-start < 32 {
		i++
	}
	word = string(body[start:i])
	start = i
	if i < len(body) && body[i] == '-' {
		i++
	}
	for i < len(body) && body[i] >= '0' && body[i] <= '9' && i-start < 10 {
		i++
	}
	number, err := strconv.Atoi(string(body[start:i]))
	has = err == nil
	if i < len(body) && body[i] == ' ' {
		i++
	}
	return word, number, has, i
}

func letter(c byte) bool { return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' }

func decodeByte(c byte) string { return string(charmap.Windows1252.DecodeByte(c)) }
