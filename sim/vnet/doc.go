// Package vnet is a virtual network: segments, hosts and routers in one process, with packets that travel hop by hop.
//
// A [Topology] says what there is, [New] builds it, and each [Host] is a network.PacketNetwork: it dials, listens and
// resolves names like the operating system's network, with errors of the same types and errnos. A write becomes TCP
// segments; every hop forwards, translates, delays, loses, rejects or drops them. Hairpins, half-open connections, filtered
// return traffic and forgotten NAT mappings therefore come out by themselves, as in the field; none is a special case.
//
// The layers, from the wire up, each with its file:
//
//   - loop.go: the clock, the queue of events, timers. Everything happens under one lock, in order of (time, insertion).
//   - packet.go, wire.go: what travels, and its bytes for whoever taps the wire.
//   - segment.go, link.go: one network, on which everyone hears everyone; how it carries packets, and its faults.
//   - node.go, route.go, icmp.go: what hosts and routers share: interfaces, routes, input, output.
//   - router.go, filter.go, flow.go, nat.go: forwarding, named rules, connection tracking, translation.
//   - tcp*.go, udp.go: sockets. dial.go, resolver.go: what a program sees of a host. sockets.go: what netstat shows.
//
// # Time
//
// The network runs on package time and has no goroutine of its own: what is due is done by a time.AfterFunc, or by whoever
// calls in. Inside a testing/synctest bubble an hour therefore takes as long as its packets do; outside a bubble the same
// code runs in real time. Blocking calls wait on sync.Cond, which a bubble counts as idle. [Net.Close] stops every timer
// and fails every socket.
//
// A bubble gives virtual time, not an order among goroutines that run at the same instant. So that one seed means one story,
// each flow carries a constant, seeded delay of less than a microsecond: packets of different connections then arrive at
// different instants, and those of one connection stay in order.
//
// # What is simplified
//
// Neighbours are known without ARP or neighbour discovery (an address that nobody has still fails after the three seconds
// that ARP would take, except on a segment that stands for a whole Internet, where packets to nowhere just vanish). There is
// no fragmentation of UDP datagrams, no ECN, no urgent data, no TCP timestamps, no path MTU probing,
// and what a connection has learnt of its path's MTU no other one knows; broadcast and multicast
// do not exist. A program can notice none of this by its errors, only by looking at the wire.
package vnet
