// Package scenario is the lab's language: topologies and scenarios in YAML, parsed into plain values with every mistake
// reported at its place. It executes nothing; package lab does.
package scenario

import (
	"time"

	"fedlab/internal/strictyaml"
)

// Scenario is a patch on a topology, steps, and expectations.
type Scenario struct {
	Name      string           // FAMILY/NAME, from the file's place; FAMILY/NAME/ROW if the file has rows
	File      string           // path as given
	Title     string           `yaml:"title" need:"true"`    // what is wrong, or what is shown, in one line
	FieldStep Steps            `yaml:"step" min:"1" max:"8"` // the step or steps of the field notes that this is about, if any
	Topology  string           `yaml:"topology" need:"true"` // name of the topology in topologies/
	Patch     *strictyaml.Node `yaml:"patch"`                // what is different from the topology: a merge patch (RFC 7386)
	Steps     []Step           `yaml:"steps"`                // what is done and what has to be seen, in this order
	Findings  []Expected       `yaml:"findings"`             // exactly what the doctor has to find; none: a healthy deployment

	Deployed *Topology // the topology with the patch applied
	Story    string    // the comment at the head of the file
}

// Steps is one number or a list of numbers.
type Steps []int

// Expected is a finding that has to be made: a code, and optionally from which vantage point ("gateway", "edge", "outside").
// In YAML it is either the code alone or {code: …, from: …}.
type Expected struct {
	Pos
	Code  string `yaml:"code" need:"true"`                  // what is found; "fedlab explain" lists the codes
	From  string `yaml:"from" oneof:"gateway edge outside"` // the vantage point; default any
	About string `yaml:"about"`                             // what it is about: a name, an address, a domain; default anything
}

// Pos is a place in a file, for messages.
type Pos = strictyaml.Pos

// Duration is a time.Duration written as in Go: "30s", "5m".
type Duration time.Duration

// Ordered is a map that keeps the order in which its keys stand in the file.
type Ordered[T any] struct {
	Keys   []string
	Values map[string]T
}
