package xmpps2s

import (
	"strings"

	"fedlab/gateway/translate"
)

// The namespaces of formatted text (XEP-0071).
const (
	nsXHTMLIM = "http://jabber.org/protocol/xhtml-im"
	nsXHTML   = "http://www.w3.org/1999/xhtml"
)

// parseXHTML reads a message's formatted text: only what is safe to show is left of it.
func parseXHTML(e *element) string {
	html := e.child(nsXHTMLIM, "html")
	if html == nil {
		return ""
	}
	body := html.child(nsXHTML, "body")
	if body == nil {
		return ""
	}
	w := &writer{}
	w.inside(body)
	return translate.XHTML(string(w.b))
}

// inside writes what stands inside an element, for reading as HTML: names without prefixes, only XHTML.
func (w *writer) inside(e *element) {
	for _, k := range e.Kids {
		switch {
		case k.Name.Local == "":
			w.text(k.Data)
		case k.Name.Space != nsXHTML:
		case voidElements[k.Name.Local]:
			w.tag(k).raw("/>")
		default:
			w.tag(k).raw(">").inside(k)
			w.raw("</").raw(k.Name.Local).raw(">")
		}
	}
}

// tag begins a start tag. The names come from the decoder, which has checked them.
func (w *writer) tag(e *element) *writer {
	w.raw("<").raw(e.Name.Local)
	for _, a := range e.Attr {
		if a.Name.Space == "" && a.Name.Local != "xmlns" {
			w.attrAlways(a.Name.Local, a.Value)
		}
	}
	return w
}

var voidElements = map[string]bool{"br": true, "hr": true, "img": true}

// xhtml writes a message's formatted text. It is cleaned once more: one unbalanced tag would end the stream.
func (w *writer) xhtml(html string) {
	clean := strings.TrimSpace(translate.XHTML(html))
	if clean == "" {
		return
	}
	clean, _ = translate.SafeXMLText(clean)
	w.raw("<html xmlns='").raw(nsXHTMLIM).raw("'><body xmlns='").raw(nsXHTML).raw("'>").raw(clean).raw("</body></html>")
}
