package imdn

import (
	"reflect"
	"strings"
	"testing"
)

// FuzzEnvelope: what is read can be written again and says the same, with no line that was not there.
func FuzzEnvelope(f *testing.F) {
	for _, s := range []string{rfc5438Ask, rfc5438Report, rfc5438Several, rfc3862, strings.ReplaceAll(rfc5438Report, "\n", "\r\n"), `Subject: \u00e9\\` + "\n\n\n"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		e, err := ReadEnvelope(body)
		if err != nil {
			return
		}
		if e.Body == nil {
			e.Body = []byte{}
		}
		again, err := ReadEnvelope(e.Bytes())
		if err != nil {
			t.Fatalf("%q cannot be read again: %v", e.Bytes(), err)
		}
		if !reflect.DeepEqual(again, e) {
			t.Errorf("got  %+v\nwant %+v", again, e)
		}
		_, _ = ReadReports(e.ContentType, e.Body)
	})
}

// FuzzReport: what is read can be written again and says the same.
func FuzzReport(f *testing.F) {
	for _, s := range []string{rfc5438Delivered, rfc5438Displayed, rfc5438Processed, strings.ReplaceAll(rfc5438Delivered, "<delivered/>", "<failed/>")} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		r, err := readReport(body)
		if err != nil {
			return
		}
		if again, err := readReport(r.Bytes()); err != nil || again != r {
			t.Errorf("got  %+v (%v)\nwant %+v", again, err, r)
		}
	})
}

// FuzzOCSReport: the same for OCS's.
func FuzzOCSReport(f *testing.F) {
	f.Add([]byte(msConfim))
	f.Fuzz(func(t *testing.T, body []byte) {
		r, err := ReadOCS(body)
		if err != nil {
			return
		}
		if again, err := ReadOCS(r.Bytes()); err != nil || !reflect.DeepEqual(again, r) {
			t.Errorf("got  %+v (%v)\nwant %+v", again, err, r)
		}
	})
}
