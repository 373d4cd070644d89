// Package scenarios is the catalogue: FAMILY/NAME.yaml, and the deployments that they are patches on in topologies/. It holds
// nothing but the files, so that a program carries the catalogue that it was built with. Package lab/scenario reads them.
package scenarios

import "embed"

// Files is the catalogue.
//
//go:embed */*.yaml
var Files embed.FS
