package trace_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"fedlab/sim/trace"
)

func sip(kind, summary string) trace.Event {
	return trace.Event{Layer: trace.SIP, Kind: kind, Host: "edge", Summary: summary}
}

// Of millions of events the newest are kept, and everything that people did or that was not expected; the others are counted.
func TestForgets(t *testing.T) {
	r := trace.NewRecorder()
	bob := trace.Event{Layer: trace.Client, Kind: trace.Sent, From: "bob@gmail.com"}
	r.Record(bob)
	r.Record(sip(trace.Unexpected, "rubbish"))
	const many = 5 * trace.KeptOfTheWire
	for range many {
		r.Record(sip(trace.Received, "SUBSCRIBE sip:alice@contoso.com"))
	}
	r.Record(bob)
	events := r.Events()
	if n := len(events); n < trace.KeptOfTheWire || n > 2*trace.KeptOfTheWire+3 {
		t.Errorf("%d events are kept", n)
	}
	if a, b, z := events[0], events[1], events[len(events)-1]; a.Seq != 1 || a.Layer != trace.Client || b.Seq != 2 || b.Kind != trace.Unexpected || z.Seq != many+3 || r.Len() != z.Seq {
		t.Errorf("kept %v, %v, …, %v", a, b, z)
	}
	for i := range events[1:] {
		if events[i].Seq >= events[i+1].Seq {
			t.Fatalf("%d comes before %d", events[i].Seq, events[i+1].Seq)
		}
	}
	if late := r.Since(many + 1); len(late) != 2 || late[0].Seq != many+2 {
		t.Errorf("since %d: %v", many+1, late)
	}
	subscribes := trace.Tally{Layer: trace.SIP, Kind: trace.Received, Host: "edge", Word: "SUBSCRIBE"}
	if c := r.Count(subscribes, time.Time{}); c.Total != many {
		t.Errorf("counted %+v", c)
	}
}

// Await finds an event whose neighbours are forgotten meanwhile.
func TestAwait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := trace.NewRecorder()
		go func() {
			for range 3 * trace.KeptOfTheWire {
				r.Record(sip(trace.Received, "NOTIFY"))
			}
			r.Record(sip(trace.Received, "BYE"))
		}()
		e, err := r.Await(t.Context(), 0, func(e trace.Event) bool { return e.Summary == "BYE" })
		if err != nil || e.Seq != r.Len() {
			t.Errorf("%v, %v", e, err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if e, err := r.Await(ctx, e.Seq, func(trace.Event) bool { return true }); err == nil {
			t.Errorf("%v", e)
		}
	})
}

// A peak is the busiest second of the clock, from a moment on.
func TestCount(t *testing.T) {
	r := trace.NewRecorder()
	noon := time.Date(2010, 5, 17, 12, 0, 0, 0, time.UTC)
	for second, n := range []int{3, 0, 5, 5, 1} {
		for range n {
			e := sip(trace.Received, "SUBSCRIBE sip:alice@contoso.com")
			e.At = noon.Add(time.Duration(second)*time.Second + 700*time.Millisecond)
			r.Record(e)
		}
	}
	r.Record(sip(trace.Sent, "SUBSCRIBE sip:bob@gmail.com"))
	r.Record(trace.Event{Layer: trace.Packet, Kind: trace.Received, Host: "edge", Summary: "SYN"})
	tally := trace.Tally{Layer: trace.SIP, Kind: trace.Received, Host: "edge", Word: "SUBSCRIBE"}
	for since, want := range map[time.Duration]trace.Counted{
		0:               {Total: 14, Peak: 5, At: noon.Add(2 * time.Second)},
		3 * time.Second: {Total: 6, Peak: 5, At: noon.Add(3 * time.Second)},
		time.Hour:       {},
	} {
		if got := r.Count(tally, noon.Add(since)); got.Total != want.Total || got.Peak != want.Peak || !got.At.Equal(want.At) {
			t.Errorf("from %v on: %+v, want %+v", since, got, want)
		}
	}
	if all := r.Tallies(); len(all) != 2 || all[tally].Total != 14 {
		t.Errorf("%v", all)
	}
}
