package strictyaml

import (
	"bytes"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"
)

// ErrSyntax is the cause of a mistake that kept the file from being read as YAML.
var ErrSyntax = errors.New("not YAML")

// byteOrderMark is what some editors put before the first character of a file in UTF-8.
const byteOrderMark = "\ufeff"

// encodingMistake says where a file stops being text, or nil.
func encodingMistake(src *source, data []byte) *Mistake {
	if bytes.HasPrefix(data, []byte("\xff\xfe")) || bytes.HasPrefix(data, []byte("\xfe\xff")) {
		return &Mistake{Pos: Pos{File: src.name}, Message: "the file is in UTF-16; save it as UTF-8", Cause: ErrSyntax}
	}
	for i, line := range src.lines {
		for at, r := range line {
			message := ""
			if _, size := utf8.DecodeRuneInString(line[at:]); r == utf8.RuneError && size == 1 {
				message = fmt.Sprintf("byte 0x%02x is not UTF-8; save the file as UTF-8", line[at])
			} else if r < ' ' && r != '\t' && r != '\r' {
				message = fmt.Sprintf("byte 0x%02x is a control character, and no part of a text", line[at])
			}
			if message != "" {
				return &Mistake{Pos: Pos{src.name, i + 1, utf8.RuneCountInString(line[:at]) + 1}, Message: message, Excerpt: src.line(i + 1), Cause: ErrSyntax}
			}
		}
	}
	return nil
}

var yamlPlace = regexp.MustCompile(`^(?:line \d+: )?(?s:(.*))$`)

// syntaxMistake is the YAML parser's error at its place. The parser names a line, often that of the beginning of what it did
// not understand, and counts differently from error to error. So the place is found again: it is in the first line that cannot
// be read when all lines before it can, and there it is what keeps a text or a bracket from ending where it was meant to.
func syntaxMistake(src *source, err error) *Mistake {
	said := yamlPlace.FindStringSubmatch(strings.TrimPrefix(err.Error(), "yaml: "))[1]
	m := &Mistake{Pos: Pos{File: src.name}, Message: "this is not YAML: " + said, Cause: ErrSyntax}
	first := src.firstUnreadable()
	if first == 0 {
		return m
	}
	m.Line, m.Col = first, indentOf(src.lines[first-1])+1
	s := scanner{lines: src.lines, first: first}
	switch line, keyless := src.lines[first-1], src.keyless(first); {
	case strings.Contains(line[:indentOf(line)], "\t"):
		m.Message = "this line is indented with a tab; YAML wants spaces"
	case s.scan():
		m.Line, m.Col, m.Message = s.line, s.col, "this is not YAML: "+s.why
	case keyless > 0 && (strings.Contains(said, "mapping values are not allowed") || strings.Contains(said, "could not find expected ':'")):
		m.Line, m.Col = keyless, indentOf(src.lines[keyless-1])+1
		m.Message = "this is not YAML: the line has no key; write a word, a colon and a space before the value"
	case strings.HasPrefix(strings.TrimSpace(line), "-") && !strings.HasPrefix(strings.TrimSpace(line), "- "):
		m.Message = "this is not YAML: write a space behind the dash of a list"
	default:
		m.Message += "; write the keys of a mapping, and the dashes of a list, below each other in one column"
	}
	m.Excerpt = src.line(m.Line)
	return m
}

func indentOf(line string) int { return len(line) - len(strings.TrimLeft(line, " \t")) }

// keyless is a line without a key, "title" or "title:text": the first that cannot be read, or the one before it. Else 0.
func (s *source) keyless(first int) int {
	for n := first; n > 0; n-- {
		line := strings.TrimSpace(s.lines[n-1])
		switch {
		case line == "", strings.HasPrefix(line, "#"):
		case !strings.Contains(line, ": ") && !strings.HasSuffix(line, ":") && !strings.HasPrefix(line, "-"):
			return n
		case n < first:
			return 0
		}
	}
	return 0
}

// firstUnreadable is the line behind the longest beginning of the file that can be read, or 0 if finding it would take too long.
func (s *source) firstUnreadable() int {
	const mostLines, mostBytes = 500, 32 << 10
	size := 0
	for _, line := range s.lines {
		size += len(line) + 1
	}
	if len(s.lines) > mostLines || size > mostBytes {
		return 0
	}
	for n := len(s.lines) - 1; n > 0; n-- {
		if _, _, err := parseYAML([]byte(strings.Join(s.lines[:n], "\n"))); err == nil {
			return n + 1
		}
	}
	return 1
}

const (
	wantsQuotes     = "a text inside braces or brackets that holds any of , ? : [ ] { } has to stand in quotes"
	colonWantsQuote = `a text with ": " in it has to stand in quotes`
)

// scanner looks through a line that cannot be read for the character that is the reason, and through the lines behind it as long as a
// bracket is open. It knows of YAML what people get wrong, and no more.
type scanner struct {
	lines []string
	first int

	open  []bracket
	value bool // a key and its colon have been passed
	text  bool // of the key or value something has been passed
	ended bool // a bracket or a quote has ended it

	line, col int    // where the reason stands
	why       string // what it is
}

type bracket struct {
	char      rune
	line, col int
	value     bool // what stands in it is a value
}

// blame sets the reason. It returns true.
func (s *scanner) blame(line, col int, why string) bool {
	s.line, s.col, s.why = line, col, why
	return true
}

func (s *scanner) unclosed() bool {
	b := s.open[len(s.open)-1]
	end := map[rune]rune{'{': '}', '[': ']'}[b.char]
	return s.blame(b.line, b.col, fmt.Sprintf("this %c has to be closed by a %c, and is not", b.char, end))
}

// scan reports whether a reason was found.
func (s *scanner) scan() bool {
	for n := s.first; n <= len(s.lines); n++ {
		line := strings.TrimRight(s.lines[n-1], " \t\r")
		if line == "" {
			continue
		}
		if n > s.first && indentOf(line) <= indentOf(s.lines[s.open[0].line-1]) {
			return s.unclosed()
		}
		if s.scanLine(n, []rune(line)) {
			return true
		}
		if len(s.open) == 0 {
			return false
		}
	}
	return len(s.open) > 0 && s.unclosed()
}

func (s *scanner) scanLine(n int, line []rune) bool {
	for i := 0; i < len(line); i++ {
		c, last := line[i], i+1 == len(line)
		spaced := last || line[i+1] == ' ' || line[i+1] == '\t'
		switch {
		case c == ' ' || c == '\t':
		case c == '#' && (i == 0 || line[i-1] == ' ' || line[i-1] == '\t'):
			return false
		case c == '-' && spaced && !s.text && len(s.open) == 0: // an entry of a list
		case c == ':' && (spaced || s.ended && len(s.open) > 0):
			if s.value {
				if len(s.open) > 0 {
					return s.blame(n, i+1, wantsQuotes)
				}
				return s.blame(n, i+1, colonWantsQuote)
			}
			s.value, s.text, s.ended = true, false, false
		case len(s.open) > 0 && c == ',':
			if !s.text && !s.value {
				return s.blame(n, i+1, "nothing stands before this comma")
			}
			s.value, s.text, s.ended = false, false, false
		case (c == '}' || c == ']') && (len(s.open) > 0 || s.ended):
			if len(s.open) == 0 {
				return s.blame(n, i+1, fmt.Sprintf("nothing is open that this %c could close", c))
			}
			b := s.open[len(s.open)-1]
			if (b.char == '{') != (c == '}') {
				return s.blame(n, i+1, fmt.Sprintf("this %c cannot close the %c in column %d", c, b.char, b.col))
			}
			s.open, s.value, s.text, s.ended = s.open[:len(s.open)-1], b.value, true, true
		case s.ended:
			return s.blame(n, i+1, "a quote or a bracket has ended the text before this; a quote inside quotes is written twice")
		case (c == '{' || c == '[') && !s.text:
			s.open = append(s.open, bracket{c, n, i + 1, s.value})
			s.value = false
		case len(s.open) > 0 && slices.Contains([]rune("{[?"), c):
			return s.blame(n, i+1, wantsQuotes)
		case (c == '"' || c == '\'') && !s.text:
			end := closing(line[i+1:], c)
			if end < 0 {
				return s.blame(n, i+1, "this quote has no end in its line")
			}
			i += end + 1
			s.text, s.ended = true, true
		case !s.text && slices.Contains([]rune("@`%"), c), !s.text && (c == '*' || c == '&') && (last || !alphanumeric(line[i+1])):
			return s.blame(n, i+1, fmt.Sprintf("a text that begins with %c has to stand in quotes", c))
		default:
			s.text = true
		}
	}
	return false
}

// closing is where a quoted text ends, or -1.
func closing(text []rune, quote rune) int {
	for i := 0; i < len(text); i++ {
		switch {
		case quote == '"' && text[i] == '\\':
			i++
		case text[i] != quote:
		case quote == '\'' && i+1 < len(text) && text[i+1] == quote:
			i++
		default:
			return i
		}
	}
	return -1
}

func alphanumeric(c rune) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
}
