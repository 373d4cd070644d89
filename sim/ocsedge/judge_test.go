package ocsedge

import (
	"strings"
	"testing"
	"time"

	"fedlab/sim/trace"
)

// TestCallerIsCaught: each thing that a peer may do wrong in a session of its own is found, and nothing else is.
func TestCallerIsCaught(t *testing.T) {
	const route1, alice = "Route: <sip:sip.contoso.com", "alice@contoso.com"
	inside := func(want string, f func(*call)) func(*peer) {
		return func(p *peer) {
			f(p.invite(alice))
			p.read("SIP/2.0 " + want)
		}
	}
	outside := func(want string, edits ...string) func(*peer) {
		return func(p *peer) {
			p.open("INVITE", alice, peerAnswer, peerSDP, edits...)
			if want == "" {
				return
			}
			m := p.read("SIP/2.0 " + want)
			if want[0] > '2' {
				p.open("ACK", alice, "", "", "z9hG4bK2", "z9hG4bK1", "To: <sip:"+alice+">", "To: "+m.get("To"))
			}
		}
	}
	for name, c := range map[string]struct {
		peer  func(*peer)
		guilt []string
	}{
		"nothing":                     {inside("200", func(c *call) { c.say("x") }), nil},
		"Contact is an address":       {outside("100", "<sip:xmpp.jds.local", "<sip:10.11.12.40"), []string{"not a fully qualified name", "no ACK"}},
		"Contact is a short name":     {outside("100", "<sip:xmpp.jds.local", "<sip:xmpp"), []string{"not a fully qualified name", "no ACK"}},
		"no Contact":                  {outside("100", peerContact, ""), []string{"0 contacts", "no ACK"}},
		"Record-Route is an address":  {outside("100", "CSeq", "Record-Route: <sip:10.11.12.40;lr>\nCSeq"), []string{"Record-Route", "no ACK"}},
		"Via without branch":          {outside("100", ";branch=z9hG4bK1", ""), []string{"has no branch", "no ACK"}},
		"Via of another transport":    {outside("100", "SIP/2.0/TLS", "SIP/2.0/TCP"), []string{"on a TLS connection", "no ACK"}},
		"no Via":                      {outside("400", "Via: SIP/2.0/TLS xmpp.jds.local:5061;branch=z9hG4bK1\n", ""), []string{"no Via"}},
		"no Max-Forwards":             {outside("100", "Max-Forwards: 70\n", ""), []string{"Max-Forwards", "no ACK"}},
		"From without tag":            {outside("400", ";tag=a1", ""), []string{"no tag"}},
		"two Tos":                     {outside("400", "To:", "To: <sip:a@b.c>\nTo:"), []string{"2 lines of To"}},
		"CSeq of another method":      {outside("400", "1 INVITE", "1 MESSAGE"), []string{"CSeq"}},
		"Request-URI of another user": {outside("100", "INVITE sip:alice", "INVITE sip:anna"), []string{"Request-URI", "no ACK"}},
		"no IM in the offer":          {outside("488", "m=message", "m=x-video"), []string{"without m=message"}},
		"an offer that is none":       {outside("488", "application/sdp", "text/plain"), []string{"instead of a session description"}},
		"a preloaded Route":           {outside("504", "CSeq", "Route: <sip:sip.contoso.com:5061;lr>\nCSeq"), []string{"outside of a dialog"}},
		"no ACK":                      {outside("100"), []string{"no ACK for the accepted"}},
		"no ACK of a refusal":         {func(p *peer) { p.open("INVITE", "off@contoso.com", peerAnswer, peerSDP); p.read("SIP/2.0 480") }, []string{"no ACK for the refused"}},
		"a text before the ACK": {func(p *peer) {
			p.open("INVITE", alice, peerAnswer, peerSDP)
			for range 3 {
				p.read("SIP/2.0 1")
			}
			c := p.dialog(p.read("SIP/2.0 200"), 1)
			c.say("x")
			p.read("SIP/2.0 200")
			c.request("ACK", "", "", "CSeq: 2", "CSeq: 1")
		}, []string{"before the ACK"}},
		"an ACK without its Route set": {func(p *peer) {
			p.open("INVITE", alice, peerAnswer, peerSDP)
			for range 3 {
				p.read("SIP/2.0 1")
			}
			c := p.dialog(p.read("SIP/2.0 200"), 1)
			c.request("ACK", "", "", c.routes, "")
		}, []string{"Route set is not the recorded one", "no ACK for the accepted"}},
		"Route in the wrong order": {inside("504", func(c *call) {
			lines := strings.SplitAfter(c.routes, "\n")
			c.routes = lines[1] + lines[0]
			c.say("x")
		}), []string{"Route set is not the recorded one"}},
		"Route without what stands outside of the brackets": {inside("504", func(c *call) { c.say("x", ">;ms-rrsig=", ">;x=") }), []string{"Route set is not the recorded one"}},
		"Route in another case":                             {inside("504", func(c *call) { c.say("x", route1, "Route: <sip:SIP.contoso.com") }), []string{"Route set is not the recorded one"}},
		"the set on one line":                               {inside("200", func(c *call) { c.say("x", "\nRoute: <sip:pool01", ", <sip:pool01") }), nil},
		"no Route":                                          {inside("504", func(c *call) { c.routes = ""; c.say("x") }), []string{"Route set is not the recorded one"}},
		"half a GRUU":                                       {inside("404", func(c *call) { c.say("x", ";gruu SIP", " SIP") }), []string{"not the whole contact"}},
		"the user's address in place of the GRUU":           {inside("404", func(c *call) { c.target = "sip:" + alice; c.say("x") }), []string{"not the whole contact"}},
		"To without epid":                                   {inside("200", func(c *call) { c.to = strings.Replace(c.to, ";epid=", ";x=", 1); c.say("x") }), []string{"without the epid"}},
		"From of another":                                   {inside("481", func(c *call) { c.say("x", "From: <sip:bob", "From: <sip:eve") }), []string{"in a dialog with"}},
		"another From tag":                                  {inside("481", func(c *call) { c.say("x", ";tag=a1", ";tag=a2") }), []string{"in a dialog with"}},
		"CSeq that does not rise":                           {inside("500", func(c *call) { c.n--; c.say("x") }), []string{"CSeq 1 after 1"}},
		"the same transaction again":                        {inside("200", func(c *call) { c.say("x"); c.read("SIP/2.0 200"); c.w.n--; c.say("y") }), []string{"the same transaction again"}},
		"a text of another type":                            {inside("415", func(c *call) { c.say("x", "text/plain", "text/html") }), []string{"a text of type"}},
		"a text in an unknown charset":                      {inside("415", func(c *call) { c.say("x", "UTF-8", "x-klingon") }), []string{"in the charset"}},
		"a text that is not what it says":                   {inside("415", func(c *call) { c.say("\xff") }), []string{"not utf-8"}},
		"an INFO that says nothing":                         {inside("400", func(c *call) { c.request("INFO", "Content-Type: application/xml\n", "<x/>") }), []string{"not a KeyboardActivity"}},
		"REFER in a session":                                {inside("405", func(c *call) { c.request("REFER", "", "") }), []string{"REFER inside"}},
		"REGISTER":                                          {func(p *peer) { p.open("REGISTER", alice, "", ""); p.read("SIP/2.0 405") }, []string{"not for a federated peer"}},
		"NEGOTIATE":                                         {func(p *peer) { p.open("NEGOTIATE", alice, "Compression: LZ77-8K\n", ""); p.read("SIP/2.0 405") }, []string{"not for a federated peer"}},
		"BYE to nobody":                                     {func(p *peer) { p.open("BYE", alice, "", ""); p.read("SIP/2.0 481") }, []string{"BYE outside"}},
		"OPTIONS":                                           {func(p *peer) { p.open("OPTIONS", alice, "", ""); p.read("SIP/2.0 200") }, nil},
		"keep-alives":                                       {func(p *peer) { p.write("\n\n\n\n"); p.invite(alice) }, nil},
		"HTTP":                                              {func(p *peer) { p.write("GET / HTTP/1.1\n\n"); p.silent(time.Minute) }, []string{"not SIP"}},
		"no Content-Length":                                 {func(p *peer) { p.write("BYE sip:a@b.c SIP/2.0\n\n"); p.silent(time.Minute) }, []string{"not SIP"}},
		"an answer to nothing": {func(p *peer) {
			p.write("SIP/2.0 200 OK\nVia: SIP/2.0/TLS a.b;branch=z9hG4bKx\nFrom: <sip:a@b.c>;tag=1\nTo: <sip:a@b.c>;tag=2\nCall-ID: 1\nCSeq: 1 BYE\nContent-Length: 0\n\n")
		}, []string{"to nothing that was asked"}},
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, nil, func(t *testing.T, w *world) {
				p := w.dial()
				defer p.close()
				c.peer(p)
				// A sign of life, so that an ACK that never comes is the peer's fault; it fails where the connection was closed.
				time.Sleep(time.Second)
				_, _ = p.c.Write([]byte("OPTIONS sip:contoso.com SIP/2.0\r\nVia: SIP/2.0/TLS a.b;branch=z9hG4bKlife\r\nMax-Forwards: 70\r\nFrom: <sip:bob@gmail.com>;tag=1\r\nTo: <sip:contoso.com>\r\nCall-ID: life\r\nCSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n"))
				time.Sleep(time.Minute)
				w.guilty(c.guilt...)
			})
		})
	}
}

// TestCalleeIsCaught: each thing that a peer may do wrong in answering is found, and nothing else is.
func TestCalleeIsCaught(t *testing.T) {
	for name, c := range map[string]struct {
		more, body string
		edits      []string
		guilt      []string
	}{
		"nothing":                        {},
		"noting where it came from":      {edits: []string{`"` + "\nVia", `";received=10.10.10.50` + "\nVia"}},
		"noting a false origin":          {edits: []string{`"` + "\nVia", `";received=10.11.12.33` + "\nVia"}, guilt: []string{"Via is not echoed"}},
		"quotes lost in Via":             {edits: []string{`ms-internal-info="`, `ms-internal-info=`, `"` + "\nVia", "\nVia"}, guilt: []string{"Via is not echoed"}},
		"a branch added to Via":          {edits: []string{"10.10.20.7:50211;", "10.10.20.7:50211;branch=z9hG4bKx;"}, guilt: []string{"Via is not echoed"}},
		"case changed in Via":            {edits: []string{"branched=FALSE", "branched=false"}, guilt: []string{"Via is not echoed"}},
		"Record-Route without rrsig":     {edits: []string{">;ms-rrsig=", ">;x="}, guilt: []string{"Record-Route is not mirrored"}},
		"Record-Route with its own":      {edits: []string{"Record-Route:", "Record-Route: <sip:xmpp.jds.local;lr>\nRecord-Route:"}, guilt: []string{"Record-Route is not mirrored"}},
		"From without epid":              {edits: []string{"anna@contoso.com>;", "anna@contoso.com>;x=1;"}, guilt: []string{"From is not echoed"}},
		"a space in From":                {edits: []string{`"<sip:anna`, `" <sip:anna`}, guilt: []string{"From is not echoed"}},
		"To of another":                  {edits: []string{"To: <sip:bob", "To: <sip:eve"}, guilt: []string{"To is not echoed"}},
		"To without tag":                 {edits: []string{";tag=8c21f7", ""}, guilt: []string{"without a tag in To"}},
		"another Call-ID":                {edits: []string{"Call-ID: ", "Call-ID: x"}, guilt: []string{"Call-ID is not echoed"}},
		"a session without IM":           {edits: []string{"m=message", "m=x-video"}, guilt: []string{"without m=message"}},
		"an accepted call without offer": {more: peerContact, guilt: []string{"instead of a session description"}},
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, nil, func(t *testing.T, w *world) {
				w.send("anna@contoso.com", "bob@gmail.com", "hello")
				p := w.accept()
				defer p.close()
				inv := p.read("INVITE")
				if c.more == "" {
					c.more, c.body = peerAnswer, peerSDP
				}
				p.reply(inv, "200 OK", c.more, c.body, c.edits...)
				p.read("ACK")
				p.reply(p.read("MESSAGE"), "200 OK", "", "")
				w.guilty(c.guilt...)
			})
		})
	}
}

// TestCutIsNobodysFault: an ACK that cannot come, because the way is cut, is not held against the peer. The session ends.
func TestCutIsNobodysFault(t *testing.T) {
	inWorld(t, nil, func(t *testing.T, w *world) {
		p := w.dial()
		defer p.close()
		p.open("INVITE", "alice@contoso.com", peerAnswer, peerSDP)
		for range 3 {
			p.read("SIP/2.0 1")
		}
		p.read("SIP/2.0 200")
		w.net.Segment("perimeter").Cut()
		time.Sleep(time.Hour)
		w.conforming()
	})
}

// TestAddressContact: whoever hands out an address as his contact never gets a request inside the dialog (trace of a Lync server),
// and the user is told that his text did not arrive; unless the quirk says otherwise.
func TestAddressContact(t *testing.T) {
	for _, used := range []bool{false, true} {
		inWorld(t, quirks(Quirks{UsesAddresses: used}), func(t *testing.T, w *world) {
			w.send("anna@contoso.com", "bob@gmail.com", "hello")
			p := w.accept()
			defer p.close()
			p.reply(p.read("INVITE"), "200 OK", peerAnswer, peerSDP, "<sip:xmpp.jds.local:5061", "<sip:10.11.12.40:5061")
			if used {
				// The name in the certificate is not the address: the new connection fails, in the handshake.
				raw, err := w.l.Accept()
				if err != nil {
					t.Fatal(err)
				}
				defer raw.Close()
				w.guilty("not a fully qualified name")
				return
			}
			if e := w.shown(trace.Error, "anna@contoso.com"); e.Item.Code != 504 {
				t.Errorf("shown %+v", e)
			}
			p.silent(time.Hour)
			w.guilty("not a fully qualified name")
		})
	}
}

// TestStatuses: the doubtful codes are switches.
func TestStatuses(t *testing.T) {
	inWorld(t, func(_ *world, c *Config) {
		c.Quirks = Quirks{UnlistedStatus: 403, ForeignStatus: 403, ChangedRouteStatus: 481, ServerHeader: "RTC/6.0"}
	}, func(t *testing.T, w *world) {
		p := w.dial()
		defer p.close()
		p.open("OPTIONS", "alice@contoso.com", "", "", "bob@gmail.com", "bob@jabber.org")
		if m := p.read("SIP/2.0 403"); m.get("Server") != "RTC/6.0" {
			t.Errorf("Server %s", m.get("Server"))
		}
		p.open("OPTIONS", "alice@elsewhere.eu", "", "")
		p.read("SIP/2.0 403")
		c := p.invite("alice@contoso.com")
		c.routes = ""
		c.say("x")
		p.read("SIP/2.0 481")
	})
}

// TestUnavailable: a busy Edge says so, and how long.
func TestUnavailable(t *testing.T) {
	inWorld(t, quirks(Quirks{Unavailable: true, UnavailableFor: time.Minute, ResponseDelay: 3 * time.Second}), func(t *testing.T, w *world) {
		p := w.dial()
		defer p.close()
		begin := time.Now()
		p.open("OPTIONS", "alice@contoso.com", "", "")
		if m := p.read("SIP/2.0 503 Service Unavailable"); m.get("Retry-After") != "60" {
			t.Errorf("%s", m.bytes())
		}
		if d := time.Since(begin); d < 3*time.Second {
			t.Errorf("a slow Edge answers after %s", d)
		}
		if err := w.edge.SetQuirks(t.Context(), Quirks{}); err != nil {
			t.Fatal(err)
		}
		p.open("OPTIONS", "alice@contoso.com", "", "")
		p.read("SIP/2.0 200")
		w.conforming()
	})
}
