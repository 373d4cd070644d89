package sipedge

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"fedlab/gateway/config"
)

// torture says what becomes of each message of RFC 4475, as if its domains were served here. "silent" is a message that needs no
// answer or is not whole; "closed" is a connection that cannot go on, as nobody knows where the next message begins. Where that
// is not what the RFC wishes for, the reason stands beside it.
var torture = []struct{ file, want, why string }{
	{"invalid/badaspec", "200", "spaces within angle brackets: nobody is looked up by them here, and they are harmless"},
	{"invalid/badbranch", "200", "taken for a peer of RFC 2543, as OCS clients send no branch at all"},
	{"invalid/baddate", "488", "Date is not read; refused for its audio"},
	{"invalid/baddn", "silent", "the file ends before the empty line: the message is not complete on a stream"},
	{"invalid/badinv01", "488", "empty parameters are harmless; refused for its audio"},
	{"invalid/badvers", "505", ""},
	{"invalid/bcast", "silent", "a response that nobody waits for"},
	{"invalid/bext01", "420", ""},
	{"invalid/bigcode", "silent", "a response with a status that there is not: dropped"},
	{"invalid/clerr", "silent", "Content-Length promises more than there is: a stream waits"},
	{"invalid/cparam01", "405", "REGISTER is not served"},
	{"invalid/cparam02", "405", "REGISTER is not served"},
	{"valid/dblreq", "405 or closed", "what follows the first request is the next message on a stream, and no good one; it may be found before the 405 is out"},
	{"valid/esc01", "488", "the escapes are the user's name; refused for its audio"},
	{"valid/esc02", "405", "%47 in a method is no escape"},
	{"valid/escnull", "400", "U+0000 can be in no address of XMPP"},
	{"invalid/escruri", "400", ""},
	{"invalid/insuf", "400", ""},
	{"valid/intmeth", "405", ""},
	{"invalid/inv2543", "400", "and closed: without Content-Length a stream has no end of it. RFC 3261 §20.14"},
	{"invalid/invut", "488", "a body that is no offer"},
	{"valid/longreq", "488", "read whole; refused for its audio"},
	{"invalid/ltgtruri", "400", ""},
	{"valid/lwsdisp", "200", ""},
	{"invalid/lwsruri", "400", ""},
	{"invalid/lwsstart", "400", ""},
	{"invalid/mcl01", "400", "and closed"},
	{"invalid/mismatch01", "400", ""},
	{"invalid/mismatch02", "400", ""},
	{"valid/mpart01", "403", "it has a Route for somebody else"},
	{"invalid/multi01", "400", ""},
	{"invalid/ncl", "400", "and closed"},
	{"valid/noreason", "silent", ""},
	{"invalid/novelsc", "416", ""},
	{"invalid/quotbal", "400", ""},
	{"invalid/regaut01", "405", "REGISTER is not served"},
	{"invalid/regbadct", "405", "REGISTER is not served"},
	{"invalid/regescrt", "405", "REGISTER is not served"},
	{"invalid/scalar02", "400", ""},
	{"invalid/scalarlg", "silent", "a response that nobody waits for"},
	{"invalid/sdp01", "488", ""},
	{"valid/semiuri", "200", ""},
	{"invalid/test", "closed", "no version: nothing says that it is SIP"},
	{"valid/transports", "200", ""},
	{"invalid/trws", "400", ""},
	{"invalid/unkscm", "416", ""},
	{"invalid/unksm2", "400", "an address of an unknown scheme in From"},
	{"valid/unreason", "silent", ""},
	{"valid/wsinv", "403", "it has a Route for somebody else"},
	{"invalid/zeromf", "200", "the request has arrived, it goes no further"},
}

// TestTorture: RFC 4475. Whatever comes, the gateway goes on.
func TestTorture(t *testing.T) {
	files, err := filepath.Glob("testdata/torture/*/*.dat")
	if err != nil || len(files) != len(torture) {
		t.Fatalf("%d files for %d rows (%v)", len(files), len(torture), err)
	}
	for _, c := range torture {
		t.Run(c.file, func(t *testing.T) {
			data, err := os.ReadFile("testdata/torture/" + c.file + ".dat")
			if err != nil {
				t.Fatal(err)
			}
			inWorld(t, func(w *world) {
				p := w.dial(w.edgeCertificate())
				_, _ = p.conn.Write(data)
				got := "closed"
				m, err := p.read(300 * time.Millisecond) // less than the first repetition of a 200
				switch {
				case err == nil:
					got = strings.Fields(m.start)[1]
				case strings.Contains(err.Error(), "timeout"):
					got = "silent"
				}
				if !strings.Contains(c.want, got) {
					t.Errorf("got %s %q, want %s (%s)", got, m.start, c.want, c.why)
				}
				p.close()
				p = w.dial(w.edgeCertificate())
				defer p.close()
				p.send(options)
				p.expect("SIP/2.0 200 OK")
			}, func(c *Config) {
				c.Domains = map[string]config.SIPDomain{}
				for _, d := range []string{"contoso.com", "example.net", "example.com", "example.org", "company.com"} {
					c.Domains[d] = config.SIPDomain{NextHop: config.NextHop{edgeName}}
				}
				c.Foreign = func(string) bool { return true }
			})
		})
	}
}
