// Package load runs the gateway's binary as a process between a light XMPP server and a light Access Edge of its own, on
// loopback, and counts: what is held and what it costs, what becomes of messages and subscriptions when something dies, and what
// strangers can do.
//
// The peers here share no code with the gateway and are as cheap as they can be, so that what is measured is the gateway: they
// answer what has to be answered, count, and remember what people were shown. farm_test.go is the XMPP server, edge_test.go the
// Access Edge, process_test.go the gateway with its files. Beside each figure stands what was counted; docs/figures.md collects them.
package load
