package translate

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"strings"

	"golang.org/x/text/encoding/htmlindex"
)

// ErrUnsupportedType says that a body is of a type that no text can be read from: the answer is 415. RFC 7572 §7
var ErrUnsupportedType = errors.New("a body of a type that is not understood")

// AcceptedTypes are the body types that [ReadBody] reads, best first, as they stand in an Accept header field.
const AcceptedTypes = "text/plain, text/html, text/rtf, multipart/alternative, multipart/related"

// maxParts and maxNesting bound what a multipart body can make us look at.
const (
	maxParts   = 16
	maxNesting = 3
)

// Content is what a person wrote, in the forms the body had.
type Content struct {
	Text string // never empty unless the body is; fit for XML
	HTML string // XHTML as [XHTML] gives it; empty if the body had none
}

// ReadBody reads the body of a SIP message: text/plain, text/html and text/rtf in any charset that the web knows, and multiparts
// of these, of which the plain and the HTML form are taken. What XML cannot carry is replaced. contentType is the value of
// Content-Type; an empty one means text/plain in UTF-8. The error wraps [ErrUnsupportedType] if the type is the trouble.
func ReadBody(contentType string, body []byte) (Content, error) {
	c, err := readBody(contentType, body, maxNesting)
	if err != nil {
		return Content{}, err
	}
	if c.Text == "" && c.HTML != "" {
		c.Text = PlainText(c.HTML)
	}
	c.Text, _ = SafeXMLText(c.Text)
	return c, nil
}

func readBody(contentType string, body []byte, depth int) (Content, error) {
	if strings.TrimSpace(contentType) == "" {
		contentType = "text/plain; charset=UTF-8"
	}
	kind, params, err := mime.ParseMediaType(contentType)
	if kind == "" || err != nil && !errors.Is(err, mime.ErrInvalidMediaParameter) {
		return Content{}, fmt.Errorf("%w: Content-Type %.80q", ErrUnsupportedType, contentType)
	}
	switch kind {
	case "text/plain":
		text, err := decode(body, params["charset"])
		return Content{Text: text}, err
	case "text/html":
		text, err := decode(body, params["charset"])
		return Content{HTML: XHTML(text)}, err
	case "text/rtf", "application/rtf":
		return Content{Text: RTFText(body)}, nil
	case "multipart/alternative", "multipart/related", "multipart/mixed":
		if depth == 0 {
			return Content{}, fmt.Errorf("%w: multiparts nested too deep", ErrUnsupportedType)
		}
		return readParts(body, params["boundary"], depth-1)
	}
	return Content{}, fmt.Errorf("%w: %.80s", ErrUnsupportedType, kind)
}

// readParts takes the first plain and the first HTML text of a multipart.
func readParts(body []byte, boundary string, depth int) (Content, error) {
	var all Content
	found := false
	unsupported := fmt.Errorf("%w: a multipart without a text", ErrUnsupportedType)
	if boundary == "" {
		return all, unsupported
	}
	r := multipart.NewReader(bytes.NewReader(body), boundary)
	for range maxParts {
		p, err := r.NextPart() // undoes quoted-printable, too
		if err != nil {
			break // a multipart that ends too early gives what it has
		}
		content, err := io.ReadAll(p)
		if err != nil && len(content) == 0 {
			break
		}
		c, err := readBody(p.Header.Get("Content-Type"), content, depth)
		if err != nil {
			continue
		}
		found = true
		if all.Text == "" {
			all.Text = c.Text
		}
		if all.HTML == "" {
			all.HTML = c.HTML
		}
	}
	if !found {
		return Content{}, unsupported
	}
	return all, nil
}

func decode(body []byte, charset string) (string, error) {
	switch strings.ToLower(charset) {
	case "", "utf-8", "utf8", "us-ascii":
		return strings.TrimPrefix(string(body), "\ufeff"), nil // broken UTF-8 is mended by SafeXMLText
	}
	e, err := htmlindex.Get(charset)
	if err != nil {
		return "", fmt.Errorf("%w: charset %.40q", ErrUnsupportedType, charset)
	}
	text, err := e.NewDecoder().Bytes(body)
	if err != nil {
		return "", fmt.Errorf("%w: charset %.40q: %v", ErrUnsupportedType, charset, err)
	}
	return string(text), nil
}
