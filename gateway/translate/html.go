package translate

import (
	"slices"
	"strings"

	"golang.org/x/net/html"
	"golang.org/x/net/html/atom"
)

// XHTML is what may stand in the body of an XHTML-IM message: the elements of XEP-0071 §7 without images, with attributes and
// styles that only change how the text looks.

// xhtmlNames are the elements that pass, each with what it becomes. Others vanish, their text stays.
var xhtmlNames = map[atom.Atom]string{
	atom.A: "a", atom.Blockquote: "blockquote", atom.Br: "br", atom.Cite: "cite", atom.Em: "em", atom.Li: "li", atom.Ol: "ol",
	atom.P: "p", atom.Span: "span", atom.Strong: "strong", atom.Ul: "ul",
	atom.B: "strong", atom.I: "em", atom.Font: "span", atom.U: "span", atom.S: "span", atom.Strike: "span", atom.Div: "p",
}

// silent are the elements whose content is no text of the message.
func silent(a atom.Atom) bool {
	switch a {
	case atom.Script, atom.Style, atom.Head, atom.Title, atom.Template, atom.Noscript, atom.Iframe, atom.Object, atom.Svg, atom.Math:
		return true
	}
	return false
}

// maxOpen bounds how deep elements nest.
const maxOpen = 24

// XHTML turns any HTML into the content of an XHTML-IM body: well-formed, balanced, nothing that runs, loads or leads anywhere
// but to the web and to a mailbox. It is used in both directions, and what it gives it gives again. XEP-0071 §7, §10
func XHTML(source string) string {
	var b strings.Builder
	var open []string // elements that stand open, as they were written
	muted := 0
	walkHTML(source, func(t html.Token) {
		switch t.Type {
		case html.TextToken:
			if muted == 0 {
				writeText(&b, t.Data)
			}
		case html.StartTagToken, html.SelfClosingTagToken:
			if silent(t.DataAtom) {
				if t.Type == html.StartTagToken {
					muted++
				}
				return
			}
			if muted > 0 {
				return
			}
			if t.DataAtom == atom.Img {
				writeText(&b, attribute(t, "alt"))
				return
			}
			name, ok := xhtmlNames[t.DataAtom]
			if !ok {
				return
			}
			if name == "br" {
				b.WriteString("<br/>")
				return
			}
			if len(open) >= maxOpen {
				return
			}
			b.WriteByte('<')
			b.WriteString(name)
			writeAttributes(&b, name, t)
			b.WriteByte('>')
			if t.Type == html.SelfClosingTagToken {
				b.WriteString("</" + name + ">")
				return
			}
			open = append(open, name)
		case html.EndTagToken:
			if silent(t.DataAtom) {
				muted = max(0, muted-1)
				return
			}
			name, ok := xhtmlNames[t.DataAtom]
			i := lastIndex(open, name)
			if muted > 0 || !ok || i < 0 {
				return
			}
			for _, inner := range slices.Backward(open[i:]) {
				b.WriteString("</" + inner + ">")
			}
			open = open[:i]
		}
	})
	for _, name := range slices.Backward(open) {
		b.WriteString("</" + name + ">")
	}
	return b.String()
}

// PlainText gives the words of an HTML text, with the line breaks that it shows.
func PlainText(source string) string {
	var b strings.Builder
	muted, space := 0, false
	breakLine := func() {
		if s := b.String(); s != "" && !strings.HasSuffix(s, "\n") {
			b.WriteByte('\n')
		}
		space = false
	}
	walkHTML(source, func(t html.Token) {
		switch t.Type {
		case html.TextToken:
			if muted > 0 {
				return
			}
			for _, r := range t.Data {
				if r == ' ' || r == '\t' || r == '\n' || r == '\r' || r == '\f' {
					space = true
					continue
				}
				if space && b.Len() > 0 && !strings.HasSuffix(b.String(), "\n") {
					b.WriteByte(' ')
				}
				space = false
				b.WriteRune(r)
			}
		case html.StartTagToken, html.SelfClosingTagToken, html.EndTagToken:
			if silent(t.DataAtom) {
				if t.Type == html.StartTagToken {
					muted++
				} else if t.Type == html.EndTagToken {
					muted = max(0, muted-1)
				}
				return
			}
			switch t.DataAtom {
			case atom.Br:
				if muted == 0 {
					b.WriteByte('\n')
					space = false
				}
			case atom.P, atom.Div, atom.Li, atom.Ul, atom.Ol, atom.Blockquote, atom.Tr, atom.H1, atom.H2, atom.H3, atom.H4, atom.Pre:
				if muted == 0 {
					breakLine()
				}
			case atom.Img:
				if muted == 0 {
					b.WriteString(attribute(t, "alt"))
				}
			}
		}
	})
	text, _ := SafeXMLText(strings.Trim(b.String(), "\n"))
	return text
}

// HTMLDocument wraps what [XHTML] gave as the body of a SIP message of type text/html.
func HTMLDocument(xhtml string) string { return "<html><body>" + xhtml + "</body></html>" }

func walkHTML(source string, each func(html.Token)) {
	z := html.NewTokenizer(strings.NewReader(source))
	z.SetMaxBuf(1 << 20)
	for z.Next() != html.ErrorToken {
		each(z.Token())
	}
}

func lastIndex(list []string, s string) int {
	for i := len(list) - 1; i >= 0; i-- {
		if list[i] == s {
			return i
		}
	}
	return -1
}

func attribute(t html.Token, name string) string {
	for _, a := range t.Attr {
		if a.Key == name && a.Namespace == "" {
			return a.Val
		}
	}
	return ""
}

func writeAttributes(b *strings.Builder, name string, t html.Token) {
	if name == "a" {
		if href := strings.TrimSpace(attribute(t, "href")); safeLink(href) {
			b.WriteString(` href="`)
			writeText(b, href)
			b.WriteByte('"')
		}
	}
	style := safeStyle(attribute(t, "style"))
	if color := attribute(t, "color"); t.DataAtom == atom.Font && style == "" && color != "" {
		style = safeStyle("color: " + color)
	}
	switch {
	case t.DataAtom == atom.U && style == "":
		style = "text-decoration: underline"
	case (t.DataAtom == atom.S || t.DataAtom == atom.Strike) && style == "":
		style = "text-decoration: line-through"
	}
	if style != "" {
		b.WriteString(` style="`)
		writeText(b, style)
		b.WriteByte('"')
	}
}

// safeLink takes links that a click cannot be harmed by. XEP-0071 §10
func safeLink(href string) bool {
	scheme, _, ok := strings.Cut(href, ":")
	if !ok || len(href) > 2000 {
		return false
	}
	switch strings.ToLower(scheme) {
	case "http", "https", "mailto":
		return true
	}
	return false
}

// safeStyle keeps the properties that XEP-0071 §7.7 recommends, with values of harmless characters.
func safeStyle(style string) string {
	var kept []string
	for part := range strings.SplitSeq(style, ";") {
		property, value, ok := strings.Cut(part, ":")
		property, value = strings.ToLower(strings.TrimSpace(property)), strings.TrimSpace(value)
		if !ok || value == "" || len(value) > 64 || strings.IndexFunc(value, oddInStyle) >= 0 {
			continue
		}
		switch property {
		case "background-color", "color", "font-family", "font-size", "font-style", "font-weight", "margin-left", "margin-right", "text-align", "text-decoration":
			kept = append(kept, property+": "+value)
		}
	}
	return strings.Join(kept, "; ")
}

func oddInStyle(r rune) bool {
	return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune(" #%.,-", r))
}

// writeText writes character data, fit for XML and for an attribute.
func writeText(b *strings.Builder, s string) {
	s, _ = SafeXMLText(s)
	for _, r := range s {
		switch r {
		case '&':
			b.WriteString("&amp;")
		case '<':
			b.WriteString("&lt;")
		case '>':
			b.WriteString("&gt;")
		case '"':
			b.WriteString("&#34;")
		case '\r':
		default:
			b.WriteRune(r)
		}
	}
}
