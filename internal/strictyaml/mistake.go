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

	within *Node // the mapping that Merge could not remove something from
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
		shown, mark := m.shown()
		fmt.Fprintf(&b, "\n    %s | %s\n    %s | %s^", number, shown, strings.Repeat(" ", len(number)), mark)
	}
	return b.String()
}

// shown is the excerpt, cut to what a terminal can show of a long line around the place, and what stands below it before the mark.
func (m *Mistake) shown() (excerpt, mark string) {
	const widest, before = 160, 100
	line, at := []rune(m.Excerpt), min(m.Col-1, len([]rune(m.Excerpt)))
	var from int
	if len(line) > widest && at > before {
		from = min(at-before, len(line)-widest)
	}
	until := min(from+widest, len(line))
	excerpt = string(line[from:until])
	if from > 0 {
		excerpt, mark = "… "+excerpt, "  "
	}
	if until < len(line) {
		excerpt += " …"
	}
	for _, r := range line[from:at] {
		if r != '\t' {
			r = ' '
		}
		mark += string(r)
	}
	return excerpt, mark
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
	m.suggest(word, known)
	l.Add(m)
}

// suggest names the known word that is nearest to word, or else those that there are.
func (m *Mistake) suggest(word string, known []string) {
	m.Suggestion = Nearest(word, known)
	if m.Suggestion == "" && len(known) > 0 {
		m.Message += "; known are " + enumerate(family(word, known))
	}
}

// enumerate is words as a sentence has them, sorted, and not too many.
func enumerate(words []string) string {
	const shown = 20
	words = slices.Sorted(slices.Values(words))
	if len(words) > shown {
		return fmt.Sprintf("%s and %d more", strings.Join(words[:shown], ", "), len(words)-shown)
	}
	return strings.Join(words, ", ")
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

// forgetRemovals takes from the list what Merge said about a tree that nothing reads.
func (l *List) forgetRemovals(n *Node) {
	l.mistakes = slices.DeleteFunc(l.mistakes, func(m *Mistake) bool { return m.within == n })
	for _, e := range n.Entries {
		l.forgetRemovals(e.Value)
	}
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
