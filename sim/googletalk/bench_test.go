package googletalk

import (
	"fmt"
	"testing"

	"fedlab/sim/trace"
)

// BenchmarkMessages is what one farm sends and another reads over loopback, without a trace: the farm has to be faster than
// what it is to put under load.
func BenchmarkMessages(b *testing.B) {
	w := newWorld(b)
	gmail := w.farm(func(c *Config) { c.Users[0].Contacts = nil; c.Trace = nil })
	w.records("contoso.com", "xmpp.contoso.com")
	w.start(Config{
		Hosts:   []Host{{Name: "xmpp", Names: []string{"xmpp.contoso.com"}, Network: w.machine("xmpp.contoso.com")}},
		Domains: []string{"contoso.com"},
		Users:   []User{{Address: "alice@contoso.com", Contacts: []string{"bob@gmail.com"}}},
		Trace:   w.trace,
	})
	b.ReportAllocs()
	n := 0
	for b.Loop() {
		n++
		if err := gmail.Send(b.Context(), SendOptions{From: "bob@gmail.com", To: "alice@contoso.com", Body: fmt.Sprint(n)}); err != nil {
			b.Fatal(err)
		}
		if n%1000 == 0 {
			w.await("a message", shows("alice@contoso.com", trace.Message, fmt.Sprint(n)))
		}
	}
	w.await("the last message", shows("alice@contoso.com", trace.Message, fmt.Sprint(n)))
}
