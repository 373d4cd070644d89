package ocsedge

import (
	"encoding/base64"
	"encoding/xml"
	"fmt"
	"mime"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// textType is the Content-Type of what Communicator writes: with its formatting in msgr, in UTF-16 and Base64 (code).
func textType() string {
	var b []byte
	for _, u := range utf16.Encode([]rune("X-MMS-IM-Format: FN=MS%20Shell%20Dlg%202; EF=; CO=0; CS=0; PF=0\r\n\r\n")) {
		b = append(b, byte(u), byte(u>>8))
	}
	return "text/plain; charset=UTF-8;msgr=" + strings.TrimRight(base64.StdEncoding.EncodeToString(b), "=")
}

// firstText is the text that rides in an INVITE (code).
func firstText(m *message) (string, bool) {
	for _, p := range strings.Split(m.get("Ms-Text-Format"), ";") {
		if v, ok := strings.CutPrefix(strings.TrimSpace(p), "ms-body="); ok {
			b, err := base64.StdEncoding.DecodeString(v)
			return string(b), err == nil
		}
	}
	return "", false
}

// plainText reads a body of type text/plain, the one type that a gateway needs. The second result says what is wrong with it.
func plainText(m *message) (body, problem string) {
	kind, params, err := mime.ParseMediaType(m.get("Content-Type"))
	if err != nil || kind != "text/plain" {
		return "", "a text of type " + strconv.Quote(m.get("Content-Type"))
	}
	switch charset := strings.ToLower(or(params["charset"], "utf-8")); charset {
	case "utf-8", "us-ascii":
		if !utf8.Valid(m.body) {
			return "", "a text that is not " + charset
		}
		return string(m.body), ""
	case "iso-8859-1":
		runes := make([]rune, len(m.body))
		for i, b := range m.body {
			runes[i] = rune(b)
		}
		return string(runes), ""
	default:
		return "", "a text in the charset " + strconv.Quote(charset)
	}
}

// paged takes a MESSAGE outside of a dialog.
func (e *Edge) paged(a *ask) {
	u := e.recipient(a)
	if u == nil {
		return
	}
	if !e.quirks.PageMode {
		e.unexpected(a.l, a.raw, "a MESSAGE outside of a session")
		e.answer(a, or(e.quirks.PageModeStatus, 405), field{"Allow", allowed})
		return
	}
	switch u.State {
	case Busy:
		e.answer(a, 486)
		return
	case Declines:
		e.answer(a, 603)
		return
	}
	if a.m.get("Content-Type") == cpimType {
		if e.quirks.Reports == "" {
			e.answer(a, 415, field{"Accept", "text/plain"}) // RFC 3428 §7
			return
		}
		e.enveloped(a, u)
		return
	}
	body, problem := plainText(a.m)
	if problem != "" {
		e.unexpected(a.l, a.raw, "%s", problem)
		e.answer(a, 415)
		return
	}
	e.answer(a, 200)
	u.showMessage(a.from.uri.aor(), body)
}

// page sends a text outside of a dialog (RFC 3428).
func (e *Edge) page(u *user, peer string, t text) {
	id, kind, body := e.letter(u, peer, t)
	e.mail(u, peer, kind, body, func(status int) {
		delete(e.reported, id)
		u.showError(peer, t, status)
	})
}

// mail sends a body outside of a dialog; failed is told the status if it is not taken.
func (e *Edge) mail(u *user, peer, kind string, body []byte, failed func(status int)) {
	d := e.newDialog(u, peer)
	e.removeDialog(d) // it never becomes one
	next, ok := e.nextHop(peer)
	if !ok {
		e.log(reason{1005, "0xC3E93C5E", "SIPPROXY_E_ROUTING", "cannot route to the destination domain: it is not on the Allow list and partner discovery is off"}, "MESSAGE to %s", peer)
		failed(504)
		return
	}
	m := d.compose("MESSAGE")
	m.add("Content-Type", kind)
	m.body = body
	e.request(next, m, or(e.quirks.MessageTimeout, answerTime), func(m *message, err error) {
		if m == nil || m.status >= 300 {
			failed(e.statusOf(m, err, "MESSAGE to "+peer))
		}
	})
}

// keyboardActivity reads the typing notice of OCS clients (trace): composing or paused.
func keyboardActivity(body []byte) (string, error) {
	var doc struct {
		XMLName xml.Name `xml:"KeyboardActivity"`
		Status  struct {
			Status string `xml:"status,attr"`
		} `xml:"status"`
	}
	if err := xml.Unmarshal(body, &doc); err != nil {
		return "", fmt.Errorf("not a KeyboardActivity: %w", err)
	}
	switch doc.Status.Status {
	case "type":
		return "composing", nil
	case "idle":
		return "paused", nil
	}
	return "", fmt.Errorf("KeyboardActivity with status %q", doc.Status.Status)
}
