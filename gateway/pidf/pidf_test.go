package pidf

import (
	"encoding/xml"
	"errors"
	"io"
	"reflect"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"fedlab/gateway/im"
)

var (
	bob = im.Address{Local: "bob", Domain: "gmail.com"}
	at  = time.Date(2010, 5, 17, 14, 3, 0, 0, time.UTC)
)

// The rows of RFC 8048 Table 1 and Table 2, each way; the ids are those of the conformance table in docs/.
func TestPIDFRows(t *testing.T) {
	for _, c := range []struct {
		row   string
		p     im.Presence
		wants []string
		not   []string
	}{
		{"P13 P14: no type is open", im.Presence{Devices: []im.Device{{}}}, []string{"<basic>open</basic>"}, []string{"closed", "show", "activit"}},
		{"P13 P14: unavailable is closed", im.Presence{Status: "gone home"}, []string{"<basic>closed</basic>", "<note>gone home</note>"}, []string{"open", "show"}},
		{"P15: a resource with what an xs:ID forbids", im.Presence{Devices: []im.Device{{Resource: "0 a/b@ü_"}}}, []string{`<tuple id="ID-0_20a_2fb_40_c3_bc_5f">`}, nil},
		{"P15: RFC 8048 §6.2's resource", im.Presence{Devices: []im.Device{{Resource: "gmail.38CFF36D"}}}, []string{`<tuple id="ID-gmail.38CFF36D">`}, nil},
		{"P16: priority", im.Presence{Devices: []im.Device{{Priority: 13}}}, []string{`<contact priority="0.102">sip:bob@gmail.com</contact>`}, nil},
		{"P16: a negative priority is not mapped", im.Presence{Devices: []im.Device{{Priority: -1}}}, []string{`<contact>sip:bob@gmail.com</contact>`}, []string{"priority"}},
		{"P17: show in status, and RPID, and OCS's activity", im.Presence{Devices: []im.Device{{Show: im.DND}}},
			[]string{`<basic>open</basic><show xmlns="jabber:client">dnd</show><activities xmlns="urn:ietf:params:xml:ns:pidf:status:rpid-status"><activity>busy</activity></activities></status>`,
				`<dm:person id="person"><rpid:activities><rpid:busy/></rpid:activities></dm:person></presence>`}, nil},
		{"P17: chat has no activity", im.Presence{Devices: []im.Device{{Show: im.Chat}}}, []string{`<show xmlns="jabber:client">chat</show>`}, []string{"activit"}},
		{"P18: status and language", im.Presence{Devices: []im.Device{{Status: "auf <Reisen> & \"so\"", Lang: "de"}}}, []string{`<note xml:lang="de">auf &lt;Reisen&gt; &amp; &#34;so&#34;</note>`}, nil},
		{"P18: what is no language is left out", im.Presence{Devices: []im.Device{{Status: "x\x01", Lang: `"><x`}}}, []string{"<note>x\ufffd</note>"}, nil},
		{"P19: declaration, entity, order, timestamp", im.Presence{Devices: []im.Device{{Resource: "a", Status: "s"}}},
			[]string{`<?xml version="1.0" encoding="UTF-8"?>`, `entity="sip:bob@gmail.com"><tuple id="ID-a"><status><basic>open</basic></status><contact priority="0">sip:bob@gmail.com</contact><note>s</note><timestamp>2010-05-17T14:03:00.000Z</timestamp></tuple>`}, nil},
		{"P20: every device, the most available first", im.Presence{Devices: []im.Device{{Resource: "busy", Show: im.DND, Priority: 100}, {Resource: "away", Show: im.Away}, {Resource: "here"}}},
			[]string{`<tuple id="ID-here">`, `<tuple id="ID-away">`, `<tuple id="ID-busy">`}, []string{"dm:person id"}},
	} {
		t.Run(c.row, func(t *testing.T) {
			got := string(Encode(bob, c.p, at))
			rest := got
			for _, want := range c.wants {
				i := strings.Index(rest, want)
				if i < 0 {
					t.Errorf("no %s behind what came before it, in\n%s", want, got)
					continue
				}
				rest = rest[i+len(want):]
			}
			for _, not := range c.not {
				if strings.Contains(strings.Split(got, "entity=")[1], not) {
					t.Errorf("%s in\n%s", not, got)
				}
			}
		})
	}
}

// P16: RFC 8048 §6.2 and RFC 3922 §5.2.13, with the values they print.
func TestPriorities(t *testing.T) {
	t.Run("P16: the way there", testPriorities)
	t.Run("P16 P21: the way back", testPrioritiesBack)
}

func testPriorities(t *testing.T) {
	for p, want := range map[int]string{0: "0", 1: "0.007", 2: "0.015", 13: "0.102", 126: "0.992", 127: "1"} {
		if got := Priority(p); got != want {
			t.Errorf("priority %d: %s, want %s", p, got, want)
		}
	}
	seen := make(map[string]bool)
	for p := range 128 {
		s := Priority(p)
		if seen[s] || priorityOf(s) != p {
			t.Errorf("priority %d is %s, back %d", p, s, priorityOf(s))
		}
		seen[s] = true
	}
}

func testPrioritiesBack(t *testing.T) {
	for s, want := range map[string]int{
		"0.001": 1, "0.008": 2, "0.993": 126, "0.999": 126, "1.000": 127, " 0.5 ": 64, "0.0": 0, "0": 0,
		"": 0, "1.001": 0, "-0.5": 0, "2": 0, "0.1234": 0, "x": 0, "0.x": 0, // P21: out of range counts as absent
	} {
		if got := priorityOf(s); got != want {
			t.Errorf("priority %q: %d, want %d", s, got, want)
		}
	}
}

func TestDecode(t *testing.T) {
	const pidf, categories, lcs, xpidf = "application/pidf+xml", "application/msrtc-event-categories+xml; charset=utf-8", "text/xml+msrtc.pidf", "application/xpidf+xml"
	one := func(d im.Device) im.Presence { return im.Presence{Devices: []im.Device{d}} }
	category := func(number, rest string) string {
		return `<categories xmlns="http://schemas.microsoft.com/2006/09/sip/categories" uri="sip:anna@contoso.com">
  <category name="contactCard" instance="0"><contactCard xmlns="http://schemas.microsoft.com/2006/09/sip/contactcard"/></category>
  <category name="state" instance="1" publishTime="2010-05-17T14:03:00.000">
    <state xmlns="http://schemas.microsoft.com/2006/09/sip/state" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xsi:type="aggregateState">
      <availability>` + number + `</availability>` + rest + `</state></category>
  <category name="state"/></categories>`
	}
	for _, c := range []struct {
		name, kind, lang, body string
		want                   im.Presence
	}{
		{"P21: RFC 3863 §4.3.2, with its namespaces and an extension", pidf, "", `<?xml version="1.0" encoding="UTF-8"?>
<impp:presence xmlns:impp="urn:ietf:params:xml:ns:pidf" xmlns:myex="http://id.example.com/presence/" entity="pres:someone@example.com">
 <impp:tuple id="ub93s3"><impp:status><impp:basic>open</impp:basic><myex:location>home</myex:location></impp:status>
  <impp:contact priority="0.8">im:someone@example.com</impp:contact>
  <impp:note xml:lang="en">Don't Disturb Please!</impp:note><impp:note xml:lang="fr">Ne derangez pas</impp:note>
  <impp:timestamp>2001-10-27T16:49:29Z</impp:timestamp></impp:tuple>
 <impp:tuple id="eg92n8"><impp:status><impp:basic>closed</impp:basic></impp:status><impp:contact priority="1.0">mailto:someone@example.com</impp:contact></impp:tuple>
 <impp:note>I'll be in Tokyo next week</impp:note></impp:presence>`,
			one(im.Device{Resource: "ub93s3", Priority: 102, Status: "Don't Disturb Please!", Lang: "en"})},
		{"P14: closed", pidf, "", `<presence xmlns="urn:ietf:params:xml:ns:pidf" entity="pres:a@b.c"><tuple id="x"><status><basic>closed</basic></status><note>bye</note></tuple></presence>`, im.Presence{Status: "bye"}},
		{"P17: RFC 8048's show", pidf, "", `<presence xmlns="urn:ietf:params:xml:ns:pidf" entity="pres:a@b.c"><tuple id="ID-balcony"><status><basic>open</basic><show xmlns="jabber:client">away</show></status></tuple></presence>`,
			one(im.Device{Resource: "balcony", Show: im.Away})},
		{"P17: another's show is not ours", pidf, "", `<presence entity="pres:a@b.c"><tuple id="x"><status><basic>open</basic><show xmlns="urn:x">away</show></status></tuple></presence>`, one(im.Device{Resource: "x"})},
		{"P18: Content-Language", pidf, "fr, en", `<presence entity="pres:a@b.c"><tuple id="x"><status><basic>open</basic></status><note>oui</note></tuple></presence>`, one(im.Device{Resource: "x", Status: "oui", Lang: "fr"})},
		{"RFC 4480 §3.2: activities of the person, the least available counts", pidf, "", `<presence xmlns="urn:ietf:params:xml:ns:pidf" xmlns:dm="urn:ietf:params:xml:ns:pidf:data-model" xmlns:rpid="urn:ietf:params:xml:ns:pidf:rpid" entity="pres:a@b.c">
<tuple id="bs35r9"><status><basic>open</basic></status></tuple>
<dm:person id="p1"><rpid:activities from="2005-05-30T12:00:00+05:00"><rpid:note>Far away</rpid:note><rpid:away/><rpid:on-the-phone/></rpid:activities><dm:note>On a call</dm:note></dm:person></presence>`,
			one(im.Device{Resource: "bs35r9", Show: im.DND, Status: "On a call"})},
		{"the old place of activities, as OCS's family has it", pidf, "", `<presence xmlns="urn:ietf:params:xml:ns:pidf" entity="a@b.c"><tuple id="0"><status><basic>open</basic><activities><activity>be-right-back</activity></activities></status></tuple></presence>`, one(im.Device{Resource: "0", Show: im.Away})},
		{"RPID idle", pidf, "", `<presence entity="a@b.c"><tuple id="0"><status><basic>OPEN</basic></status><user-input xmlns="urn:ietf:params:xml:ns:pidf:rpid">idle</user-input></tuple></presence>`, one(im.Device{Resource: "0", Show: im.Away})},
		{"categories: available", categories, "", category("3500", ""), one(im.Device{})},
		{"categories: available, idle", categories, "", category("5000", ""), one(im.Device{Show: im.Away})},
		{"categories: busy on the phone", categories, "", category("6500", `<activity token="on-the-phone" minAvailability="6500" maxAvailability="8999"/>`), one(im.Device{Show: im.DND, Status: "On the phone"})},
		{"categories: busy, idle", categories, "", category("7500", ""), one(im.Device{Show: im.DND})},
		{"categories: do not disturb", categories, "", category("9500", ""), one(im.Device{Show: im.DND})},
		{"categories: be right back", categories, "", category("12500", ""), one(im.Device{Show: im.Away})},
		{"categories: away", categories, "", category("15500", ""), one(im.Device{Show: im.Away})},
		{"categories: off work", categories, "", category("15500", `<activity token="off-work"/>`), one(im.Device{Show: im.XA, Status: "Off work"})},
		{"categories: off line", categories, "", category("18500", ""), im.Presence{}},
		{"categories: unknown counts as off line", categories, "", category("0", ""), im.Presence{}},
		{"categories: the aggregate state goes before a machine's, the note along", categories, "", `<categories xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance">
<category name="state"><state xsi:type="machineState"><availability>3500</availability></state></category>
<category name="state"><state xsi:type="aggregateState"><availability>9500</availability></state></category>
<category name="state"><state xsi:type="machineState"><availability>18500</availability></state></category>
<category name="note"><note xmlns="http://schemas.microsoft.com/2006/09/sip/note"><body type="personal" uri="">Quiet, please</body></note></category></categories>`, one(im.Device{Show: im.DND, Status: "Quiet, please"})},
		{"LCS 2005: active", lcs, "", `<presentity xmlns="http://schemas.microsoft.com/09/2002/sip/presence" uri="a@b.c"><availability aggregate="300" description=""/><activity aggregate="400" description=""/></presentity>`, one(im.Device{})},
		{"LCS 2005: busy", lcs, "", `<presentity uri="a@b.c"><availability aggregate="300"/><activity aggregate="600"/></presentity>`, one(im.Device{Show: im.DND})},
		{"LCS 2005: out to lunch", lcs, "", `<presentity uri="a@b.c"><availability aggregate="300"/><activity aggregate="150"/></presentity>`, one(im.Device{Show: im.Away})},
		{"LCS 2005: off line", lcs, "", `<presentity uri="a@b.c"><availability aggregate="0"/><activity aggregate="0"/></presentity>`, im.Presence{}},
		{"XPIDF", xpidf, "", `<?xml version="1.0"?><!DOCTYPE presence PUBLIC "-//IETF//DTD RFCxxxx XPIDF 1.0//EN" "xpidf.dtd"><presence><presentity uri="sip:a@b.c;method=SUBSCRIBE"/><atom id="1"><address uri="sip:a@b.c"><status status="inuse"/><msnsubstatus substatus="outtolunch"/></address></atom></presence>`, one(im.Device{Show: im.Away})},
		{"XPIDF: in use", xpidf, "", `<presence><atom id="1"><address><status status="inuse"/></address></atom></presence>`, one(im.Device{Show: im.DND})},
		{"XPIDF: closed", xpidf, "", `<presence><atom id="1"><address><status status="closed"/><msnsubstatus substatus="away"/></address></atom></presence>`, im.Presence{}},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := Decode(c.kind, c.lang, []byte(c.body))
			if err != nil || !reflect.DeepEqual(got, c.want) {
				t.Errorf("%+v, %v; want %+v", got, err, c.want)
			}
		})
	}
}

// What cannot be read never shows somebody as there.
func TestDecodeRefuses(t *testing.T) {
	for _, c := range []struct {
		kind, body string
		is         error
	}{
		{"text/plain", "open", ErrType},
		{"", "", ErrType},
		{"application/pidf+xml", "", nil},
		{"application/pidf+xml", "<presence", nil},
		{"application/pidf+xml", "<presence><tuple id='x'><status><basic>open</basic></status></tuple>", nil},
		{"application/pidf+xml", "<presence/><presence/>", nil},
		{"application/pidf+xml", `<!DOCTYPE p [<!ENTITY o "open">]><presence><tuple id="x"><status><basic>&o;</basic></status></tuple></presence>`, nil},
		{"application/pidf+xml", "<presence entity='pres:a@b.c'><note>here</note></presence>", ErrNoState}, // RFC 3922 §5.2.11
		{"application/pidf+xml", "<presence><tuple id='x'><status/></tuple></presence>", ErrNoState},
		{"application/pidf+xml", "<categories/>", ErrNoState},
		{"application/pidf+xml", strings.Repeat("<presence>", 40) + strings.Repeat("</presence>", 40), nil},
		{"application/pidf+xml", "<presence>" + strings.Repeat("<x/>", 6000) + "</presence>", nil},
		{"application/msrtc-event-categories+xml", "<categories><category name='state'/></categories>", ErrNoState},
		{"application/msrtc-event-categories+xml", "<categories><category name='state'><state><availability>3500x</availability></state></category></categories>", ErrNoState},
		{"text/xml+msrtc.pidf", "<presentity><activity aggregate='400'/></presentity>", ErrNoState},
		{"application/xpidf+xml", "<presence><atom/></presence>", ErrNoState},
	} {
		got, err := Decode(c.kind, "", []byte(c.body))
		if err == nil || c.is != nil && !errors.Is(err, c.is) || len(got.Devices) > 0 {
			t.Errorf("%s %.60s: %+v, %v", c.kind, c.body, got, err)
		}
	}
}

// P19, P20: whatever a person shows, the document is well-formed, its tuples' ids are different, and what is read from it is
// what was written, in order of availability.
func TestRoundTrip(t *testing.T) {
	words := rapid.StringMatching(`[a-zA-Z0-9 <>&"'ü]{0,20}[a-z]`)
	rapid.Check(t, func(t *rapid.T) {
		var p im.Presence
		for range rapid.IntRange(0, 5).Draw(t, "devices") {
			d := im.Device{
				Resource: rapid.String().Draw(t, "resource"),
				Show:     rapid.SampledFrom([]im.Show{im.Available, im.Chat, im.Away, im.DND, im.XA}).Draw(t, "show"),
				Priority: rapid.IntRange(0, 127).Draw(t, "priority"),
			}
			if rapid.Bool().Draw(t, "has words") {
				d.Status, d.Lang = strings.TrimSpace(words.Draw(t, "status")), "en"
			}
			unique := true
			for _, o := range p.Devices {
				unique = unique && o.Resource != d.Resource
			}
			if unique {
				p.Devices = append(p.Devices, d)
			}
		}
		doc := Encode(bob, p, at)
		if strings.Contains(string(doc), "xs:ID") || !wellFormed(doc) {
			t.Fatalf("not well-formed:\n%s", doc)
		}
		got, err := Decode(Type, "", doc)
		if err != nil {
			t.Fatalf("%v in\n%s", err, doc)
		}
		want := sorted(p.Devices)
		if len(want) == 0 {
			want = nil
		}
		// A person's activity speaks for the devices that show none of their own.
		if len(want) > 0 && want[0].Show == im.Available && !reflect.DeepEqual(got.Devices, want) || len(got.Devices) != len(want) {
			t.Fatalf("wrote %+v, read %+v\n%s", want, got.Devices, doc)
		}
		for i := range want {
			if got.Devices[i].Resource != want[i].Resource || got.Devices[i].Priority != want[i].Priority || got.Devices[i].Show != want[i].Show {
				t.Fatalf("wrote %+v, read %+v", want[i], got.Devices[i])
			}
		}
	})
}

func wellFormed(doc []byte) bool {
	d := xml.NewDecoder(strings.NewReader(string(doc)))
	for {
		if _, err := d.Token(); err != nil {
			return err == io.EOF
		}
	}
}

func FuzzDecode(f *testing.F) {
	f.Add(0, Encode(bob, im.Presence{Devices: []im.Device{{Resource: "a", Show: im.Away, Status: "x", Lang: "en"}}}, at))
	f.Add(1, []byte(`<categories><category name="state"><state><availability>3500</availability></state></category></categories>`))
	f.Add(2, []byte(`<presentity><availability aggregate="300"/></presentity>`))
	f.Add(3, []byte(`<presence><atom><address><status status="open"/></address></atom></presence>`))
	kinds := []string{"application/pidf+xml", "application/msrtc-event-categories+xml", "text/xml+msrtc.pidf", "application/xpidf+xml"}
	f.Fuzz(func(t *testing.T, kind int, body []byte) {
		p, err := Decode(kinds[kind&3], "", body)
		if err != nil {
			if len(p.Devices) > 0 {
				t.Fatalf("%+v with %v", p, err)
			}
			return
		}
		if doc := Encode(bob, p, at); !wellFormed(doc) {
			t.Fatalf("%+v is written as\n%s", p, doc)
		}
	})
}
