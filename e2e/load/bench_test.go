package load

import (
	"flag"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"
)

// sizes says for how many subscriptions and sessions memory is measured. A million subscriptions take some minutes.
var sizes = flag.String("sizes", "10000", "benchmarks: numbers of `people` to measure memory for, with commas")

const conversations = 100

// BenchmarkMessages counts messages of 100 conversations that go through the gateway's process one way as fast as they can, with
// 500 on their way at a time: XMPP in clear on loopback, SIP in IM sessions over mutual TLS on loopback. Source and sink run on
// the same processors; cpu-us/msg is the gateway's process alone, in user and kernel mode. A lost, doubled or refused message fails it.
func BenchmarkMessages(b *testing.B) {
	for way, name := range []string{"ToSIP", "ToXMPP"} {
		b.Run(name, func(b *testing.B) {
			d := deploy(b, "")
			d.start()
			c := d.converse(conversations)
			c.pour(b, way, 5000) // sessions are set up, and what grows has grown
			began := d.cpu()
			b.ResetTimer()
			c.pour(b, way, b.N)
			b.StopTimer()
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "msg/s")
			b.ReportMetric(float64((d.cpu()-began).Microseconds())/float64(b.N), "cpu-us/msg")
			b.ReportMetric(0, "ns/op")
			d.kill()
		})
	}
}

// BenchmarkDelay sends messages one way at a steady rate, evenly spaced, and measures how long each takes from the source's
// hand to the sink's: 1,000 messages a second, and half of what 15,000 a second would be. Direct is the same without a gateway, from
// the source to a sink on loopback: what of the delay is the machine's and the measurement's own.
func BenchmarkDelay(b *testing.B) {
	for _, rate := range []int{1000, 7500} {
		b.Run(fmt.Sprintf("Direct/%d", rate), func(b *testing.B) {
			d := &deployment{t: b, farm: newFarm(b)}
			c := &traffic{d: d, sent: make(map[string]time.Time), talks: make([]talk, conversations)}
			c.source = d.farm.dial(b, d.farm.listener.Addr().String())
			d.farm.take(func(e []byte) { c.arrived(toSIP, child(e, "body")) })
			b.ResetTimer()
			report(b, c.steady(b, rate, time.Duration(b.N)*time.Second/time.Duration(rate), toSIP)[toSIP])
		})
		for way, name := range []string{"ToSIP", "ToXMPP"} {
			b.Run(fmt.Sprintf("%s/%d", name, rate), func(b *testing.B) {
				d := deploy(b, "")
				d.start()
				c := d.converse(conversations)
				c.pour(b, way, 2000)
				c = c.again()
				began := d.cpu()
				b.ResetTimer()
				l := c.steady(b, rate, time.Duration(b.N)*time.Second/time.Duration(rate), way)[way]
				b.StopTimer()
				report(b, l)
				b.ReportMetric(float64((d.cpu()-began).Microseconds())/float64(l.count), "cpu-us/msg")
				if n := c.failures(); n > 0 {
					b.Errorf("%d messages were refused", n)
				}
				d.kill()
			})
		}
	}
}

func report(b *testing.B, l latencies) {
	b.Helper()
	b.ReportMetric(float64(l.p50.Microseconds())/1000, "p50-ms")
	b.ReportMetric(float64(l.p99.Microseconds())/1000, "p99-ms")
	b.ReportMetric(0, "ns/op")
}

// people are the numbers that the flag names.
func people(b *testing.B) (all []int) {
	b.Helper()
	for _, s := range strings.Split(*sizes, ",") {
		n, err := strconv.Atoi(s)
		check(b, err)
		all = append(all, n)
	}
	return all
}

// BenchmarkSubscriptions has so many XMPP users watch a SIP user each, every one accepted by the Edge, kept in the store on disk,
// and shown as available. B/sub is what the gateway's resident memory has grown by, for each.
func BenchmarkSubscriptions(b *testing.B) {
	for _, count := range people(b) {
		b.Run(strconv.Itoa(count), func(b *testing.B) {
			for range b.N {
				d := deploy(b, "store: {path: fedgate.db}\n")
				p := newPump(count)
				d.farm.take(func(e []byte) {
					if tagName(e) == "presence" && attr(e, "type") == "" {
						p.arrived(numberOf(attr(e, "from")))
					}
				})
				server := &presenceServer{subscribed: make(map[int]bool), truth: func(int) (string, bool) { return "desk", true }}
				d.edge.take(server.request, func(*sipMessage) {})
				d.start()
				d.edge.up(b)
				source := d.farm.dial(b, d.xmpp)
				before, _ := d.memory()
				began, cpu := time.Now(), d.cpu()
				p.run(b, func(n int) { ask(source, n) }, func() { _ = source.Flush() })
				took := time.Since(began)
				now, most := d.memory()
				b.ReportMetric(float64(now-before)/float64(count), "B/sub")
				b.ReportMetric(float64(most)/(1<<20), "MB-peak")
				b.ReportMetric(float64(count)/took.Seconds(), "subs/s")
				b.ReportMetric(float64((d.cpu()-cpu).Microseconds())/float64(count), "cpu-us/sub")
				b.ReportMetric(0, "ns/op")
				d.kill()
			}
		})
	}
}

// mostSessions is how many sessions the gateway holds at a time.
const mostSessions = 100_000

// BenchmarkSessions has so many XMPP users write to a SIP user each, so that each pair has a session of its own. B/session is what
// the gateway's resident memory has grown by, for each.
func BenchmarkSessions(b *testing.B) {
	for _, count := range people(b) {
		if count > mostSessions {
			continue
		}
		b.Run(strconv.Itoa(count), func(b *testing.B) {
			for range b.N {
				d := deploy(b, "")
				p := newPump(count)
				d.edge.take(func(_ *wire, m *sipMessage) bool {
					if m.method == "MESSAGE" {
						p.arrived(numberAfter(string(m.body)))
					}
					return false
				}, func(*sipMessage) {})
				d.start()
				d.edge.up(b)
				source := d.farm.dial(b, d.xmpp)
				before, _ := d.memory()
				began, cpu := time.Now(), d.cpu()
				p.run(b, func(n int) {
					fmt.Fprintf(source, "<message from='y%d@%s/r' to='v%d@%s' type='chat' id='m%d'><body>%s%d</body></message>", n, xmppDomain, n, sipDomain, n, beforeNumber, n)
				}, func() { _ = source.Flush() })
				took := time.Since(began)
				now, most := d.memory()
				b.ReportMetric(float64(now-before)/float64(count), "B/session")
				b.ReportMetric(float64(most)/(1<<20), "MB-peak")
				b.ReportMetric(float64(count)/took.Seconds(), "sessions/s")
				b.ReportMetric(float64((d.cpu()-cpu).Microseconds())/float64(count), "cpu-us/session")
				b.ReportMetric(0, "ns/op")
				d.kill()
			}
		})
	}
}
