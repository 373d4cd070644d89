package gateway

import (
	"testing"

	"fedlab/gateway/im"
)

// promptSide takes everything at once.
type promptSide struct{ *fakeSide }

func (promptSide) Send(_ im.Message, o im.Outcome) { o(nil) }

// What the gateway adds to a message between its two sides: the decision, the accounts, the outcome.
func BenchmarkCrossing(b *testing.B) {
	g, err := assemble(Options{Config: testConfig(), Network: loopback{}})
	if err != nil {
		b.Fatal(err)
	}
	s := promptSide{newFakeSide()}
	g.join(s, s)
	taken := 0
	m := im.Message{From: bob, To: alice, Body: "Hello", ID: "1"}
	b.ReportAllocs()
	for b.Loop() {
		g.fromXMPP.Send(m, func(f *im.Failure) {
			if f == nil {
				taken++
			}
		})
	}
	b.ReportMetric(float64(taken)/b.Elapsed().Seconds(), "messages/s")
}
