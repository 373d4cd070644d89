// Package strictyaml reads YAML that people write, and tells them all their mistakes at once, each at its place.
//
// [Parse] turns a file into a tree of [Node]s. Every node knows the file, line and column it stands at, and keeps that when
// [Merge] lays one tree over another: a value that a scenario patches into a topology is still reported in the scenario.
// [Decode] fills a Go value from a tree. What it does not know it reports, with the nearest word it does know:
//
//	scenarios/dns/srv-missing.yaml:9:3: unknown key "hots" (did you mean "hosts"?)
//	    9 |   hots:
//	      |   ^
//
// All functions report mistakes into a [List], which sorts them by place, so that reading, merging, decoding and the checks
// that a caller adds end in one answer. [List.Err] is an [Errors]; errors.As finds it.
//
// Accepted is the part of YAML that can be read without knowing YAML: mappings with plain keys, lists, and scalars.
// Anchors, aliases, merge keys, tags and several documents in a file are refused. Size, depth and number of nodes are
// bounded, so a file that a stranger wrote costs no more than its size.
//
// A struct's fields are named by their yaml tags, and a field without one is not part of the file; see [Fields] for structs without any.
// Further tags:
//
//	need:"true"        the key has to be there
//	oneof:"a b c"      the only texts allowed, for strings and lists of strings
//	min:"1" max:"9"    the bounds of a number
//
// A type that reads itself implements [Unmarshaler]. Types with UnmarshalText, such as those of net/netip, work as they are.
package strictyaml

// The bounds of a file. What is beyond them is a mistake and not read any further.
const (
	MaxBytes    = 1 << 20
	MaxDepth    = 64
	MaxNodes    = 100_000
	MaxMistakes = 100 // kept in a List; the rest is only counted
)
