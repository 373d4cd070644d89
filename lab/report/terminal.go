package report

import (
	"fmt"
	"io"
	"strings"
	"time"
)

// Terminal tells a run while it goes on and when it has ended. It is not safe for concurrent use.
type Terminal struct {
	W           io.Writer
	Live        bool // W is a terminal whose last line can be written again: show progress
	Colour      bool
	Annotations bool // write failures once more in the form that GitHub's CI shows beside the code
	Total       int  // runs that there will be

	done, failed int
	virtual      time.Duration
}

// The escape sequences, all that is used of them.
const (
	red, green, dim, plain = "\x1b[31m", "\x1b[32m", "\x1b[2m", "\x1b[0m"
	clearLine              = "\r\x1b[K"
)

// narrow is how many columns a progress line may take: those of the narrowest terminal, but for the last.
const narrow = 79

// Done is told of every run that ends; running is how many go on.
func (t *Terminal) Done(r Run, running int) error {
	t.done++
	t.virtual += r.Virtual
	if !r.Passed() {
		t.failed++
	}
	if !t.Live {
		return nil
	}
	failed := fmt.Sprintf("%d failed", t.failed)
	line := func(failed string) string {
		return fmt.Sprintf("%d of %d done, %d running, %s, %s of virtual time  ", t.done, t.Total, min(running, t.Total-t.done), failed, short(t.virtual))
	}
	// A line that the terminal wraps could not be written again.
	room := narrow - len(line(failed))
	_, err := fmt.Fprint(t.W, clearLine, line(t.paint(t.failed > 0, red, failed)), t.paint(true, dim, clip(r.Scenario, room)))
	return err
}

// Summary ends the progress line and writes the table, then why runs failed.
func (t *Terminal) Summary(runs []Run) error {
	var b strings.Builder
	if t.Live {
		b.WriteString(clearLine)
	}
	var table strings.Builder
	if err := Table(&table, runs); err != nil {
		return err
	}
	for line := range strings.Lines(table.String()) {
		switch {
		case strings.HasPrefix(line, "  ok "):
			line = "  " + t.paint(true, green, "ok") + line[4:]
		case strings.HasPrefix(line, "  FAILED "):
			line = "  " + t.paint(true, red, "FAILED") + line[8:]
		}
		b.WriteString(line)
	}
	for _, r := range runs {
		if err := Explain(&b, r); err != nil {
			return err
		}
		if t.Annotations {
			annotate(&b, r)
		}
	}
	_, err := io.WriteString(t.W, b.String())
	return err
}

func (t *Terminal) paint(when bool, colour, text string) string {
	if !when || !t.Colour {
		return text
	}
	return colour + text + plain
}

// annotate writes the workflow command that GitHub's CI turns into a note at the line of the file.
func annotate(b *strings.Builder, r Run) {
	data := strings.NewReplacer("%", "%25", "\r", "%0D", "\n", "%0A")
	property := strings.NewReplacer("%", "%25", "\r", "%0D", "\n", "%0A", ":", "%3A", ",", "%2C")
	for _, f := range r.Failures {
		fmt.Fprintf(b, "::error file=%s,line=%d,title=%s::%s\n", property.Replace(f.File), f.Line, property.Replace(r.Scenario), data.Replace(f.Message))
	}
}
