package strictyaml

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Pos is a place in a file. Line and Col count from 1, Col in characters; a Line of 0 is the file as a whole.
type Pos struct {
	File string
	Line int
	Col  int
}

// String is file:line:col, as editors and terminals understand it.
func (p Pos) String() string {
	switch {
	case p.Line == 0:
		return p.File
	case p.Col == 0:
		return fmt.Sprintf("%s:%d", p.File, p.Line)
	}
	return fmt.Sprintf("%s:%d:%d", p.File, p.Line, p.Col)
}

// SetPos makes every struct that embeds a Pos a [Placed].
func (p *Pos) SetPos(at Pos) { *p = at }

// Mistake is one thing that is wrong, and where.
type Mistake struct {
	Pos
	Message    string
	Suggestion string // what was probably meant; empty if nothing is near
	Excerpt    string // the line it stands in, without its end
	Cause      error  // what errors.Is and errors.As look into; may be nil
}

// Error is the place and the message on one line, then the excerpt with a mark under the place, if there is one.
func (m *Mistake) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %s", m.Pos, m.Message)
	if m.Suggestion != "" {
		fmt.Fprintf(&b, " (did you mean %q?)", m.Suggestion)
	}
	if m.Line > 0 && m.Col > 0 && m.Excerpt != "" {
		number := fmt.Sprint(m.Line)
		fmt.Fprintf(&b, "\n    %s | %s\n    %s | ", number, m.Excerpt, strings.Repeat(" ", len(number)))
		for i, r := range []rune(m.Excerpt) {
			if i >= m.Col-1 {
				break
			}
			if r != '\t' {
				r = ' '
			}
			b.WriteRune(r)
		}
		b.WriteByte('^')
	}
	return b.String()
}

// Unwrap is the cause.
func (m *Mistake) Unwrap() error { return m.Cause }

// Errors is everything that is wrong, sorted by place. It is never empty.
type Errors struct {
	Mistakes []*Mistake
	More     int // how many further ones there are beyond MaxMistakes
}

// Error is all mistakes, one after the other.
func (e *Errors) Error() string {
	var b strings.Builder
	for i, m := range e.Mistakes {
		if i > 0 {
			b.WriteByte('\n')
		}
		b.WriteString(m.Error())
	}
	if e.More > 0 {
		fmt.Fprintf(&b, "\nand %d more mistakes", e.More)
	}
	return b.String()
}

// Unwrap is the mistakes, for errors.Is and errors.As.
func (e *Errors) Unwrap() []error {
	all := make([]error, len(e.Mistakes))
	for i, m := range e.Mistakes {
		all[i] = m
	}
	return all
}

// List collects mistakes. The zero List is ready to use. It is not safe for concurrent use.
type List struct {
	mistakes []*Mistake
	more     int
}

// Add puts a mistake on the list. The same message at the same place counts once.
func (l *List) Add(m *Mistake) {
	for _, other := range l.mistakes {
		if other.Pos == m.Pos && other.Message == m.Message {
			return
		}
	}
	if len(l.mistakes) >= MaxMistakes {
		l.more++
		return
	}
	l.mistakes = append(l.mistakes, m)
}

// At reports a mistake at a node and returns it, for a suggestion or a cause to be added. A %w in format sets the cause.
func (l *List) At(n *Node, format string, args ...any) *Mistake {
	err := fmt.Errorf(format, args...)
	m := &Mistake{Message: err.Error()}
	if wrapped, ok := err.(interface{ Unwrap() error }); ok {
		m.Cause = wrapped.Unwrap()
	}
	if n != nil {
		m.Pos, m.Excerpt = n.Pos(), n.src.line(n.line)
	}
	l.Add(m)
	return m
}

// Unknown reports a word that is none of the known ones, and suggests the nearest.
func (l *List) Unknown(n *Node, what, word string, known []string) {
	m := &Mistake{Pos: n.Pos(), Excerpt: n.src.line(n.line), Message: fmt.Sprintf("unknown %s %q", what, word)}
	m.Suggestion = Nearest(word, known)
	if m.Suggestion == "" && len(known) > 0 {
		known = slices.Sorted(slices.Values(family(word, known)))
		const shown = 20
		if len(known) > shown {
			m.Message += fmt.Sprintf("; known are %s and %d more", strings.Join(known[:shown], ", "), len(known)-shown)
		} else {
			m.Message += "; known are " + strings.Join(known, ", ")
		}
	}
	l.Add(m)
}

// family is those of the known words that begin like word up to its first dot ("tls."), or all if none does.
func family(word string, known []string) []string {
	first, _, dotted := strings.Cut(word, ".")
	var same []string
	for _, k := range known {
		if dotted && strings.HasPrefix(k, first+".") {
			same = append(same, k)
		}
	}
	if len(same) == 0 {
		return known
	}
	return same
}

// Len is how many mistakes there are.
func (l *List) Len() int { return len(l.mistakes) + l.more }

// Err is nil if nothing is wrong, else an *Errors.
func (l *List) Err() error {
	if len(l.mistakes) == 0 {
		return nil
	}
	sorted := slices.Clone(l.mistakes)
	slices.SortStableFunc(sorted, func(a, b *Mistake) int {
		return cmp.Or(cmp.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line), cmp.Compare(a.Col, b.Col))
	})
	return &Errors{Mistakes: sorted, More: l.more}
}
