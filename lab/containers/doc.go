// Package containers is the world of real kernels: it deploys a topology as containers of a Docker engine, for lab.Options.World.
//
// Every host of the topology is a container, and so is every router; the gateway's own image runs beside the tools of its host, in
// the same network namespace. One more container, the switch, holds a bridge for each segment and lays a cable from it to every machine.
// None of them is on a network of the engine, so no packet of a scenario can leave, whatever addresses the topology uses, and
// nothing of the machine's own network is touched. The hosts of the Google Talk farm share what they know of one another, so they are one
// container with the addresses of all.
//
// On each host "fedlab serve machines" runs: the fakes with the code that the virtual world runs, and the field's tools
// (lab.ServeMachines). It is driven over the container's standard input and output. Routers filter and translate by nftables, from
// rules that nft.go writes.
//
// Files: engine.go talks to Docker, janitor.go removes what a killed program leaves behind, wire.go lays the cables, nft.go writes rules,
// agent.go drives a machine, capture.go captures, world.go is the lab.World, support.go says what a topology may not ask for here.
package containers
