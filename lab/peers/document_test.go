package peers

import "testing"

// A phone reads the documents that another phone writes.
func TestDocument(t *testing.T) {
	for _, state := range []string{"available", "away", "xa", "dnd"} {
		for _, note := range []string{"", "at <the> desk & back"} {
			got, said, err := readDocument(document("alice@example.com", state, note))
			if err != nil || got != state || said != note {
				t.Errorf("%s %q is read as %s %q, %v", state, note, got, said, err)
			}
		}
	}
}

func TestReadDocument(t *testing.T) {
	const head, tail = `<presence xmlns="urn:ietf:params:xml:ns:pidf" entity="pres:someone@example.com">`, `</presence>`
	tests := []struct{ what, document, state, note string }{
		{
			"RFC 3863 §4.3.1, less contact and priority",
			head + `<tuple id="bs35r9"><status><basic>open</basic></status><note xml:lang="en">Don't Disturb Please!</note></tuple>` + tail,
			"available", "Don't Disturb Please!",
		},
		{"the first open tuple counts", head + `<tuple id="a"><status><basic>closed</basic></status></tuple><tuple id="b"><status><basic> open </basic><show>xa</show></status></tuple>` + tail, "xa", ""},
		{"all closed", head + `<tuple id="a"><status><basic>closed</basic></status></tuple>` + tail, "unavailable", ""},
	}
	for _, tt := range tests {
		state, note, err := readDocument([]byte(tt.document))
		if err != nil || state != tt.state || note != tt.note {
			t.Errorf("%s: %s %q, %v", tt.what, state, note, err)
		}
	}
	for _, bad := range []string{"", "<presence", head + tail, "<other/>"} {
		if state, _, err := readDocument([]byte(bad)); err == nil {
			t.Errorf("%q is read as %s", bad, state)
		}
	}
}
