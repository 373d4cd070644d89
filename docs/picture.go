//go:build ignore

// Picture turns the text of a terminal, on standard input, into an SVG on standard output. `make picture` makes the one in the
// README with it, from a real run.
package main

import (
	"bufio"
	"fmt"
	"html"
	"os"
	"strings"
	"unicode/utf8"
)

const (
	charWidth  = 8
	lineHeight = 18
	margin     = 16
)

func main() {
	var lines []string
	width := 0
	for s := bufio.NewScanner(os.Stdin); s.Scan(); {
		line := strings.TrimRight(s.Text(), " ")
		lines = append(lines, line)
		width = max(width, utf8.RuneCountInString(line))
	}
	w, h := 2*margin+width*charWidth, 2*margin+len(lines)*lineHeight
	fmt.Printf(`<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" viewBox="0 0 %d %d" role="img" aria-label="A run on a terminal">`+"\n", w, h, w, h)
	fmt.Printf(`<rect width="%d" height="%d" rx="8" fill="#10151b"/><g font-family="ui-monospace, Menlo, Consolas, monospace" font-size="13" xml:space="preserve">`+"\n", w, h)
	for i, line := range lines {
		colour := "#d5dbe3"
		switch {
		case strings.HasPrefix(line, "$ "):
			colour = "#7ab8ff"
		case strings.HasPrefix(line, "  ok"):
			colour = "#8fd6a4"
		case strings.HasPrefix(line, "  FAILED"):
			colour = "#ff8a80"
		}
		fmt.Printf(`<text x="%d" y="%d" fill="%s">%s</text>`+"\n", margin, margin+13+i*lineHeight, colour, html.EscapeString(line))
	}
	fmt.Println("</g></svg>")
}
