package report

import (
	"fmt"
	"html"
	"strings"
	"time"
)

// Ladder is what happened, as a sequence diagram: hosts as columns, virtual time downwards, messages as arrows.
type Ladder struct {
	Lanes  []Lane
	Arrows []Arrow // in order of time
}

// Lane is one host's column.
type Lane struct {
	Name  string
	Label string // second line: its addresses or what it is
}

// Arrow is one message, connection event or verdict.
type Arrow struct {
	At       time.Duration // since the scenario began
	From, To int           // lanes; equal for what happened in one place, such as a router's verdict or a step
	Layer    string        // dns, tcp, tls, xmpp, sip, router, log, client, step: readers switch them on and off
	Label    string
	Detail   string // the message as it was on the wire, or the evidence; shown when the arrow is opened
	Bad      bool   // dropped, failed, unexpected
}

// Layers are the layers of a ladder in the order in which readers are offered them.
var Layers = []string{"client", "xmpp", "sip", "tls", "dns", "tcp", "router", "log", "step"}

// The geometry of a ladder, in pixels.
const (
	laneWidth  = 162
	timeWidth  = 88
	headHeight = 58
	rowHeight  = 26
	gapHeight  = 30
	charWidth  = 8               // a little more than a character of the labels' font takes
	silence    = 2 * time.Second // longer pauses are cut and labelled
)

// row is one line of a laid-out ladder: an arrow, several equal ones in a row, or a silence.
type row struct {
	arrow   Arrow
	times   int           // how often the same arrow came in a row
	silence time.Duration // not zero: a cut, without an arrow
	y       int
}

// layout places the arrows: equal ones in a row are folded into one, long silences are cut. It returns the height as well.
func (l Ladder) layout() ([]row, int) {
	var rows []row
	y := headHeight
	last := time.Duration(0)
	for _, a := range l.Arrows {
		if n := len(rows); n > 0 && rows[n-1].silence == 0 && same(rows[n-1].arrow, a) && a.At-last <= silence {
			rows[n-1].times++
			last = a.At
			continue
		}
		if pause := a.At - last; pause > silence {
			rows = append(rows, row{silence: pause, y: y})
			y += gapHeight
		}
		rows = append(rows, row{arrow: a, times: 1, y: y})
		y += rowHeight
		last = a.At
	}
	return rows, y + rowHeight/2
}

func same(a, b Arrow) bool {
	return a.From == b.From && a.To == b.To && a.Layer == b.Layer && a.Label == b.Label && a.Bad == b.Bad && a.Layer != "client" && a.Layer != "step"
}

// SVG draws the ladder. Each arrow is a group with the class of its layer and data-row, its place in details, and can be
// reached by keyboard. Details are the texts to show when a group is opened.
func (l Ladder) SVG() (svg string, details []string) {
	rows, height := l.layout()
	width := timeWidth + laneWidth*max(1, len(l.Lanes))
	var b strings.Builder
	fmt.Fprintf(&b, `<svg class="ladder" xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" viewBox="0 0 %d %d" role="group" aria-label="Ladder of messages">`+"\n", width, height, width, height)
	for i, lane := range l.Lanes {
		x := laneX(i)
		fmt.Fprintf(&b, `<line class="lane" x1="%d" y1="%d" x2="%d" y2="%d"/>`+"\n", x, headHeight-8, x, height)
		fmt.Fprintf(&b, `<text class="host" x="%d" y="20" text-anchor="middle">%s</text><text class="label" x="%d" y="38" text-anchor="middle">%s</text>`+"\n",
			x, html.EscapeString(clip(lane.Name, 24)), x, html.EscapeString(clip(lane.Label, 28)))
	}
	for _, r := range rows {
		if r.silence > 0 {
			fmt.Fprintf(&b, `<g class="silence"><line x1="0" y1="%d" x2="%d" y2="%d"/><text x="%d" y="%d" text-anchor="middle">%s of silence</text></g>`+"\n",
				r.y+gapHeight/2, width, r.y+gapHeight/2, timeWidth+(width-timeWidth)/2, r.y+gapHeight/2-4, short(r.silence))
			continue
		}
		r.draw(&b, len(details), width)
		details = append(details, r.arrow.Detail)
	}
	b.WriteString("</svg>\n")
	return b.String(), details
}

func (r row) draw(b *strings.Builder, number, width int) {
	a := r.arrow
	class := "arrow " + a.Layer
	if a.Bad {
		class += " bad"
	}
	label := a.Label
	if r.times > 1 {
		label = fmt.Sprintf("%s ×%d", label, r.times)
	}
	y := r.y + rowHeight - 8
	fmt.Fprintf(b, `<g class="%s" data-row="%d" tabindex="0" role="button" aria-label="%s">`, class, number, html.EscapeString(a.Layer+" "+stamp(a.At)+" "+label))
	fmt.Fprintf(b, `<rect class="hit" x="0" y="%d" width="%d" height="%d"/><text class="time" x="4" y="%d">%s</text>`, r.y, width, rowHeight, y, stamp(a.At))
	from, to := laneX(a.From), laneX(a.To)
	if from == to {
		fmt.Fprintf(b, `<circle cx="%d" cy="%d" r="4"/>`, from, y-4)
		x, anchor, room := from+9, "start", width-from-16
		if from > timeWidth+(width-timeWidth)/2 {
			x, anchor, room = from-9, "end", from-timeWidth-16
		}
		fmt.Fprintf(b, `<text x="%d" y="%d" text-anchor="%s">%s</text>`, x, y, anchor, html.EscapeString(clip(label, room/charWidth)))
	} else {
		head := 7
		if to < from {
			head = -7
		}
		fmt.Fprintf(b, `<line x1="%d" y1="%d" x2="%d" y2="%d"/><polygon points="%d,%d %d,%d %d,%d"/>`, from, y, to, y, to, y, to-head, y-4, to-head, y+4)
		room := max(from, to) - min(from, to)
		fmt.Fprintf(b, `<text x="%d" y="%d" text-anchor="middle">%s</text>`, (from+to)/2, y-5, html.EscapeString(clip(label, room/charWidth)))
	}
	b.WriteString("</g>\n")
}

func laneX(i int) int { return timeWidth + laneWidth*i + laneWidth/2 }

// stamp is a time since the beginning, in a form whose columns line up.
func stamp(d time.Duration) string {
	d = d.Round(time.Millisecond)
	return fmt.Sprintf("%d:%02d:%02d.%03d", int(d.Hours()), int(d.Minutes())%60, int(d.Seconds())%60, d.Milliseconds()%1000)
}

// clip shortens s to at most n characters, with an ellipsis in place of what is cut.
func clip(s string, n int) string {
	if n < 2 {
		n = 2
	}
	r := []rune(s)
	if len(r) <= n {
		return s
	}
	return string(r[:n-1]) + "…"
}
